"""A small OpenAI-like HTTP server on the loopback interface, for tests that want real requests.

A chat completion repeats the last message, and a response its input; the model's name asks for
another answer (see ``ChatModels``). Where a JSON schema is asked for, both are a value that fits.
There is one batch, which is completed, and one file. ``/v1/mirror`` sends the body back as it came.
``GET /_last`` tells of the request before it. The paths outside ``/v1`` are for tests of plain HTTP
(see ``PlainPaths``).
"""

from __future__ import annotations

import json
import re
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

SLOW_SECONDS = 0.6


class OpenAIServer:
    """The server; runs inside ``with``.

    Args:
        tls: makes it speak TLS.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        if tls:
            # The handshake is for a connection's own thread: here, one client could hold up all.
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.address = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> OpenAIServer:
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
    last: dict[str, Any] | None = None

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that hang up, which some tests do on purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Else the body waits 40 ms for the client's acknowledgement of the headers.
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/_last":
            self.json(self.server.last)
            return
        self.server.last = request = {
            "method": self.command,
            "path": self.path,
            "headers": {
                name.lower(): ", ".join(self.headers.get_all(name, [])) for name in self.headers
            },
            "body": body.decode("utf-8", "replace"),
        }
        if self.path == "/v1/chat/completions":
            ChatModels(self, json.loads(body)).answer()
        elif self.path == "/v1/responses":
            self.respond(json.loads(body))
        elif self.path == "/v1/embeddings":
            vector = {"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}
            self.json({"object": "list", "data": [vector]})
        elif self.path == "/v1/models":
            self.json({"object": "list", "data": [{"id": "echo", "object": "model"}]})
        elif self.path == "/v1/mirror":
            kind = self.headers.get("Content-Type", "")
            self.whole(body, kind=kind, headers={"X-Request-Id": "req_mirror"})
        elif self.path.startswith("/v1/batches"):
            batch = {"id": "batch_echo", "status": "completed", "output_file_id": "file-echo"}
            is_list = self.command == "GET" and "/batch_echo" not in self.path
            found = {"object": "list", "data": [batch]} if is_list else batch
            self.json({**found, "request": request})
        elif self.path == "/v1/files":
            self.json({"id": "file-echo", "object": "echo", "request": request})
        elif self.path.startswith("/v1/"):
            self.json({"object": "echo", "request": request})
        else:
            PlainPaths(self, request).answer()

    do_POST = do_PUT = do_DELETE = do_HEAD = do_GET  # noqa: N815 (http.server's names)

    def respond(self, payload: dict[str, Any]) -> None:
        """Answer as the Responses API does: with what was said, as a stream when asked for one."""
        form = payload.get("text", {}).get("format", {})
        text = json.dumps(sample(form["schema"])) if form else f"You said: {payload['input']}"
        message = {"type": "message", "content": [{"type": "output_text", "text": text}]}
        response = {"id": "resp_echo", "object": "response", "output": [message]}
        if not payload.get("stream"):
            self.json(response)
            return
        events = (
            {"type": "response.output_text.delta", "delta": text},
            {"type": "response.completed", "response": response},
        )
        stream = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
        self.whole(stream.encode(), kind="text/event-stream")

    def log_message(self, format: str, *args: object) -> None:
        """Keep standard error for the tests."""

    def json(self, value: object, status: int = 200) -> None:
        self.whole(json.dumps(value).encode(), status, "application/json")

    def whole(
        self,
        body: bytes,
        status: int = 200,
        kind: str = "text/plain",
        headers: dict[str, str] | None = None,
    ) -> None:
        """Answer with a body of known length."""
        self.send_response(status)
        for name, value in {"Content-Type": kind, **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def start_chunked(self, kind: str) -> None:
        """Begin an answer whose length is not known."""
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        """Send a piece of a chunked answer; an empty one ends it."""
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def cut(self) -> None:
        """Hang up in the middle of an answer."""
        self.close_connection = True


class ChatModels:
    """What ``/v1/chat/completions`` answers, by the model's name.

    ``status-N`` and ``status-N-number``: an error, its code a string or a number.
    ``html``: a web page. ``html-latin-1``: one with status 502. ``not-utf8``: a stray byte.
    ``cut``: hangs up half-way. ``slow``: answers after ``SLOW_SECONDS``. ``tools``: two calls.
    ``null-first-delta``: streams as llama.cpp does. ``crlf``: streams with CRLF line ends.
    Any other: repeats the last message.
    """

    def __init__(self, handler: _Handler, payload: dict[str, Any]) -> None:
        self._handler = handler
        self._model: str = payload.get("model", "")
        self._streams: bool = payload.get("stream", False)
        said = payload["messages"][-1].get("content") if payload.get("messages") else ""
        form = payload.get("response_format", {}).get("json_schema")
        self._text = json.dumps(sample(form["schema"])) if form else f"You said: {said}"

    def answer(self) -> None:
        status = re.fullmatch(r"status-(\d+)(-number)?", self._model)
        if status:
            code = int(status[1]) if status[2] else "told_to"
            error = {"message": "Told to fail", "type": "test", "code": code}
            self._handler.json({"error": error}, int(status[1]))
        elif self._model == "html":
            self._handler.whole(b"<html><p>Please log in</p></html>", kind="text/html")
        elif self._model == "html-latin-1":
            self._handler.whole("<p>Vérifié</p>".encode("latin-1"), 502, "text/html")
        elif self._model == "slow":
            time.sleep(SLOW_SECONDS)
            self._reply({"content": self._text})
        elif self._streams:
            self._stream()
        elif self._model == "tools":
            self._reply({"content": None, "tool_calls": _tool_calls()})
        else:
            self._reply({"content": self._text})

    def _reply(self, message: dict[str, Any]) -> None:
        choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
        body = json.dumps({"object": "chat.completion", "choices": [choice]}).encode()
        if self._model == "not-utf8":
            body = body.replace(b"You said", b"You\xff said")
        if self._model == "cut":
            self._handler.send_response(200)
            self._handler.send_header("Content-Length", str(len(body)))
            self._handler.end_headers()
            self._handler.wfile.write(body[: len(body) // 2])
            self._handler.cut()
        else:
            self._handler.whole(body, kind="application/json")

    def _stream(self) -> None:
        newline = b"\r\n" if self._model == "crlf" else b"\n"
        self._handler.start_chunked("text/event-stream")
        for event in self._events():
            self._handler.chunk(b"data: " + json.dumps(event).encode() + newline + newline)
        if self._model == "cut":
            self._handler.cut()
        else:
            self._handler.chunk(b"data: [DONE]" + newline + newline)
            self._handler.chunk(b"")

    def _events(self) -> list[dict[str, Any]]:
        if self._model == "tools":
            opening = _event({"role": "assistant", "content": None})
            return [opening, *(_event({"tool_calls": [piece]}) for piece in _tool_call_pieces())]
        words = [_event({"content": word}) for word in re.findall(r"\S+\s*", self._text)]
        if self._model == "null-first-delta":
            opening = _event({"role": "assistant", "content": None})
            usage = {"object": "chat.completion.chunk", "choices": [], "usage": {}}
            return [opening, *words, _event({}), usage]
        return words


def sample(schema: dict[str, Any], root: dict[str, Any] | None = None) -> Any:
    """Make up a value that fits a strict schema."""
    root = root or schema
    if "$ref" in schema:
        return sample(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "anyOf" in schema:
        return sample(schema["anyOf"][0], root)
    if "enum" in schema or "const" in schema:
        return schema["enum"][0] if "enum" in schema else schema["const"]
    kind = schema["type"] if isinstance(schema["type"], str) else schema["type"][0]
    if kind == "object":
        return {name: sample(part, root) for name, part in schema["properties"].items()}
    if kind == "array":
        return [sample(schema["items"], root)]
    return {"string": "red", "integer": 1, "number": 1.5, "boolean": True}.get(kind)


def _event(delta: dict[str, Any]) -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta}]}


def _tool_calls() -> list[dict[str, Any]]:
    return [
        {
            "id": f"call_{city}",
            "type": "function",
            "function": {"name": "weather", "arguments": json.dumps({"city": city})},
        }
        for city in ("Oslo", "Rome")
    ]


def _tool_call_pieces() -> list[dict[str, Any]]:
    """The tool calls as a stream brings them: the head first, the arguments in halves."""
    pieces: list[dict[str, Any]] = []
    for index, call in enumerate(_tool_calls()):
        text = call["function"]["arguments"]
        head = {**call, "index": index, "function": {"name": "weather", "arguments": ""}}
        halves = [{"index": index, "function": {"arguments": h}} for h in (text[:5], text[5:])]
        pieces += [head, *halves]
    return pieces


class PlainPaths:
    """What the paths for plain HTTP answer.

    ``/echo``: the request as JSON. ``/bytes``: every byte once. ``/pieces``: a chunked body.
    ``/status/N``. ``/redirect/N``: N hops to ``/echo``. ``/to/URL``: one hop to that URL.
    ``/see-other``: 303. ``/slow``. ``/cut``.
    """

    def __init__(self, handler: _Handler, request: dict[str, Any]) -> None:
        self._handler = handler
        self._request = request

    def answer(self) -> None:
        name, _, argument = self._handler.path.lstrip("/").partition("/")
        if name == "bytes":
            self._handler.whole(bytes(range(256)), kind="application/octet-stream")
        elif name == "pieces":
            self._pieces()
        elif name == "status":
            self._handler.whole(b"as asked", int(argument))
        elif name == "redirect":
            hops = int(argument)
            target = f"/redirect/{hops - 1}" if hops > 1 else "/echo"
            self._handler.whole(b"moved", 302, headers={"Location": target})
        elif name == "to":
            self._handler.whole(b"moved", 302, headers={"Location": argument})
        elif name == "see-other":
            self._handler.whole(b"see there", 303, headers={"Location": "/echo"})
        elif name == "slow":
            time.sleep(SLOW_SECONDS)
            self._handler.whole(b"late")
        elif name == "cut":
            self._handler.start_chunked("text/plain")
            self._handler.chunk(b"the first half")
            self._handler.cut()
        else:
            self._handler.json(self._request)

    def _pieces(self) -> None:
        self._handler.start_chunked("text/plain")
        for piece in (b"one ", b"two ", b"three"):
            self._handler.chunk(piece)
            time.sleep(0.02)
        self._handler.chunk(b"")
