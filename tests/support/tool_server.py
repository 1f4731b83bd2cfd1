"""A scripted model behind both APIs, which refuses a history whose calls are not all answered.

It holds a client to what real servers do: after an assistant's message with ``tool_calls``, chat
completions want an answer to each call before anything else, and the Responses API wants an output
for each call of the response that is continued. Else the status is 400.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

_OUTPUTS = ("function_call_output", "custom_tool_call_output")
Reply = dict[str, Any]
Payload = dict[str, Any]


class ToolServer:
    """The server; runs inside ``with``.

    ``script`` sets what it replies, one after the other, and ``requests`` holds the payloads of the
    requests so far, refused ones too. Without a reply left it says ``"done"``. A reply is a dict:

    * ``{"text": TEXT}``; ``"refusal": TEXT``; ``"finish_reason": "length"`` beside either,
    * ``{"calls": [[NAME, ARGUMENTS], ...]}``, where arguments are a dict or the text itself; with
      ``"text"`` beside it, the message has both,
    * ``{"function": [NAME, ARGUMENTS]}``: a legacy ``function_call``,
    * ``{"custom": [NAME, TEXT]}``: a ``custom_tool_call`` of the Responses API,
    * ``{"status": N}``: an error; ``{"cut": true}``: hangs up half-way; ``{"body": VALUE}``,
    * ``"seconds": N`` beside any: the pause before it.

    From outside Python: ``POST /_script`` with a list of replies, which also forgets the requests,
    and ``GET /_requests``.
    """

    def __init__(self) -> None:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self.base_url = f"{self.address}/v1"

    @property
    def requests(self) -> list[Payload]:
        return self._server.requests

    def script(self, *replies: Reply) -> None:
        self._server.begin(list(replies))

    def __enter__(self) -> ToolServer:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.lock = threading.Lock()
        self.begin([])

    def begin(self, replies: list[Reply]) -> None:
        with self.lock:
            self.replies = replies
            self.requests: list[Payload] = []
            self.open_calls: dict[str, list[str]] = {}
            self.numbers = iter(range(1, 10**9))

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that hang up, which some tests do on purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.json(self.server.requests)

    def do_POST(self) -> None:
        payload = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        if self.path == "/_script":
            self.server.begin(payload)
            self.json({})
            return
        is_chat = self.path.endswith("/chat/completions")
        with self.server.lock:
            self.server.requests.append(payload)
            fault = history_fault(payload["messages"]) if is_chat else self._input_fault(payload)
            reply = self.server.replies.pop(0) if self.server.replies and not fault else {}
        time.sleep(reply.get("seconds", 0))
        if fault:
            self.json({"error": {"message": fault, "type": "invalid_request_error"}}, 400)
        elif "status" in reply:
            self.json({"error": {"message": "Told to fail", "type": "test"}}, reply["status"])
        elif "cut" in reply:
            self.close_connection = True
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"{")
        elif "body" in reply:
            self.json(reply["body"])
        elif is_chat:
            self._chat(payload, reply)
        else:
            self._respond(payload, reply)

    def _input_fault(self, payload: Payload) -> str:
        """Say what the Responses API has against an input, or forget the calls that it answers."""
        key = payload.get("conversation") or payload.get("previous_response_id") or ""
        wanted = self.server.open_calls.get(key, [])
        items = payload["input"] if isinstance(payload["input"], list) else []
        given = [i["call_id"] for i in items if i.get("type") in _OUTPUTS]
        for item in items:
            is_custom = item.get("call_id", "").startswith("custom_")
            if item.get("type") in _OUTPUTS and item["type"] != _OUTPUTS[is_custom]:
                return f"The output of {item['call_id']} is of another type than its call."
        for call in wanted:
            if call not in given:
                return f"No tool output found for function call {call}."
        for call in given:
            if call not in wanted:
                return f"No tool call found for function call output with call_id {call}."
        if len(set(given)) != len(given):
            return "A call has two outputs."
        return ""

    def _chat(self, payload: Payload, reply: Reply) -> None:
        message: dict[str, Any] = {"role": "assistant", "content": reply.get("text")}
        if "calls" in reply:
            message["tool_calls"] = [self._call(*call) for call in reply["calls"]]
        if "function" in reply:
            name, arguments = reply["function"]
            message["function_call"] = {"name": name, "arguments": _text(arguments)}
        if "refusal" in reply:
            message["refusal"] = reply["refusal"]
        elif message.keys() == {"role", "content"}:
            message["content"] = reply.get("text", "done")
        reason = reply.get("finish_reason", "tool_calls" if "calls" in reply else "stop")
        if payload.get("stream"):
            self.events(_chat_events(message, reason))
            return
        choice = {"index": 0, "message": message, "finish_reason": reason}
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        self.json({"object": "chat.completion", "choices": [choice], "usage": usage})

    def _call(self, name: str, arguments: object) -> dict[str, Any]:
        function = {"name": name, "arguments": _text(arguments)}
        return {"id": f"call_{next(self.server.numbers)}", "type": "function", "function": function}

    def _respond(self, payload: Payload, reply: Reply) -> None:
        number = next(self.server.numbers)
        output: list[dict[str, Any]] = []
        if "refusal" in reply:
            output.append(_output("refusal", "refusal", reply["refusal"]))
        elif "text" in reply or not {"calls", "custom"} & reply.keys():
            output.append(_output("output_text", "text", reply.get("text", "done")))
        for name, arguments in reply.get("calls", ()):
            call = {"call_id": f"call_{next(self.server.numbers)}", "name": name}
            output.append({"type": "function_call", **call, "arguments": _text(arguments)})
        if "custom" in reply:
            name, text = reply["custom"]
            call = {"call_id": f"custom_{next(self.server.numbers)}", "name": name}
            output.append({"type": "custom_tool_call", **call, "input": text})
        response: dict[str, Any] = {"id": f"resp_{number}", "object": "response"}
        response |= {"status": "completed", "output": output}
        if reply.get("finish_reason") == "length":
            details = {"reason": "max_output_tokens"}
            response |= {"status": "incomplete", "incomplete_details": details}
        calls = [item["call_id"] for item in output if "call_id" in item]
        with self.server.lock:
            self.server.open_calls[payload.get("conversation") or f"resp_{number}"] = calls
        if payload.get("stream"):
            self.events(_response_events(response))
        else:
            self.json(response)

    def json(self, value: object, status: int = 200) -> None:
        self._send(json.dumps(value).encode(), status, "application/json")

    def events(self, events: Iterator[dict[str, Any]]) -> None:
        stream = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
        self._send(stream.encode() + b"data: [DONE]\n\n", 200, "text/event-stream")

    def _send(self, body: bytes, status: int, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep standard error for the tests."""


def history_fault(messages: list[dict[str, Any]]) -> str:
    """Say what chat completions have against a history, or ""."""
    wanted: list[str] = []
    function = ""
    for number, message in enumerate(messages):
        role = message["role"]
        if role == "tool":
            if message["tool_call_id"] not in wanted:
                return f"messages[{number}] of role 'tool' answers no call before it."
            if not isinstance(message["content"], str):
                return f"messages[{number}]: the content of an answer must be a string."
            wanted.remove(message["tool_call_id"])
            continue
        if role == "function":
            if message["name"] != function:
                return f"messages[{number}] of role 'function' answers no call before it."
            function = ""
            continue
        if wanted or function:
            break
        wanted = [call["id"] for call in message.get("tool_calls") or ()]
        function = (message.get("function_call") or {}).get("name", "")
    if wanted or function:
        left = ", ".join(wanted) or function
        return (
            "An assistant message with 'tool_calls' must be followed by tool messages responding "
            f"to each 'tool_call_id'. These have no response: {left}"
        )
    return ""


def _text(arguments: object) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def _output(kind: str, field: str, text: str) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [{"type": kind, field: text}]}


def _halves(text: str) -> list[str]:
    middle = len(text) // 2
    return [half for half in (text[:middle], text[middle:]) if half]


def _chat_events(message: dict[str, Any], reason: str) -> Iterator[dict[str, Any]]:
    """Give a message as a stream does: texts and arguments in halves."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": None}]
    deltas += [{"content": half} for half in _halves(message["content"] or "")]
    deltas += [{"refusal": half} for half in _halves(message.get("refusal", ""))]
    for index, call in enumerate(message.get("tool_calls", ())):
        head = {"name": call["function"]["name"], "arguments": ""}
        deltas.append({"tool_calls": [{**call, "index": index, "function": head}]})
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": half}}]}
            for half in _halves(call["function"]["arguments"])
        ]
    if "function_call" in message:
        call = message["function_call"]
        deltas.append({"function_call": {"name": call["name"], "arguments": ""}})
        deltas += [{"function_call": {"arguments": half}} for half in _halves(call["arguments"])]
    for delta in deltas:
        yield _chunk({"index": 0, "delta": delta, "finish_reason": None})
    yield _chunk({"index": 0, "delta": {}, "finish_reason": reason})


def _chunk(choice: dict[str, Any]) -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "choices": [choice]}


def _response_events(response: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for item in response["output"]:
        for part in item.get("content", ()):
            kind = "refusal" if part["type"] == "refusal" else "output_text"
            for half in _halves(part.get("text") or part.get("refusal") or ""):
                yield {"type": f"response.{kind}.delta", "delta": half}
    yield {"type": f"response.{response['status']}", "response": response}
