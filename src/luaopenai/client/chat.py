"""Chat sessions: what to send, what an answer means, how a stream is put together."""

from __future__ import annotations

from luaopenai.client.errors import APIError
from luaopenai.client.messages import check_function, check_message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from luaopenai.client.openai import OpenAI

    Message = dict[str, Any]
    StreamCallback = Callable[["Chunk", dict[str, Any]], object]

SESSION_PARAMETERS = (
    "function_call",
    "model",
    "parallel_tool_calls",
    "response_format",
    "temperature",
    "tool_choice",
)
"""The session options that are sent with every request, where they are set."""


class Chunk(dict):  # type: ignore[type-arg]
    """A piece of a streamed reply: ``content``, ``index`` and, for some, ``tool_calls``.

    ``str(chunk)`` is its text.
    """

    def __str__(self) -> str:
        return str(self["content"])


class ChatSession:
    """A conversation: sends its history with every request and keeps the replies.

    Attributes:
        client: the ``OpenAI`` client that it speaks through.
        opts: the options that it was made with.
        messages: the history, a live list of message dicts.
        functions: function declarations, or None.
        tools: tool definitions, or None.
    """

    def __init__(
        self,
        client: OpenAI,
        *,
        messages: Iterable[Message] = (),
        functions: Iterable[Message] | None = None,
        tools: Iterable[Message] | None = None,
        **opts: Any,
    ) -> None:
        self.client = client
        self.opts = opts
        self.messages: list[Message] = []
        self.functions = None if functions is None else list(functions)
        self.tools = None if tools is None else list(tools)
        unknown = sorted(set(opts).difference(SESSION_PARAMETERS))
        if unknown:
            raise TypeError(f"ChatSession: unknown option {unknown[0]!r}")
        for number, function in enumerate(self.functions or ()):
            check_function(function, f"functions[{number}]")
        self.append_message(*messages)

    def append_message(self, *messages: Message) -> None:
        """Check each message and append it to the history; raises ``ValueError`` for a bad one."""
        for message in messages:
            check_message(message)
            self.messages.append(message)

    def last_message(self) -> Message | None:
        """The newest message of the history, if there is one."""
        return self.messages[-1] if self.messages else None

    def send(
        self,
        message: str | Message,
        stream_callback: StreamCallback | None = None,
        **opts: Any,
    ) -> str | Message:
        """Append a message (a string is the user's) and return the model's reply.

        Args:
            message: text, or a message dict.
            stream_callback: called with each ``Chunk`` and its raw event as it arrives.
            opts: request parameters for this call, over the session's own.

        Returns:
            The reply's text, or its whole message when it calls tools or a function.

        Raises:
            ValueError: the message is not a valid one.
            APIError: the server refused, or its answer holds no reply.
            APIConnectionError: no complete answer came.
        """
        self.append_message(
            {"role": "user", "content": message} if isinstance(message, str) else message
        )
        return self.generate_response(stream_callback=stream_callback, **opts)

    def generate_response(
        self,
        append_response: bool = True,
        stream_callback: StreamCallback | None = None,
        **opts: Any,
    ) -> str | Message:
        """Return the model's reply to the history as it stands; see ``send``."""
        parameters = self._parameters(opts)
        if stream_callback is None:
            response = self.client.chat(self.messages, **parameters)
            check_status(response.status, response.body)
            whole = find_message(response.status, response.body)
        else:
            whole = self._stream(stream_callback, parameters)
        reply = history_message(whole)
        if append_response:
            self.append_message(reply)
        return reply["content"] if is_plain(whole) else whole

    def _stream(self, stream_callback: StreamCallback, parameters: dict[str, Any]) -> Message:
        from luaopenai.client.streams import stream_failure

        chunks: list[Chunk] = []

        def collect(chunk: Chunk, event: dict[str, Any]) -> object:
            chunks.append(chunk)
            return stream_callback(chunk, event)

        response = self.client.chat(self.messages, collect, **parameters)
        check_status(response.status, response.body)
        whole = assemble(chunks)
        failure = stream_failure(response.body)
        if failure:
            raise APIError(failure, status=response.status, body=whole["content"])
        return whole

    def _parameters(self, opts: dict[str, Any]) -> dict[str, Any]:
        parameters = {"functions": self.functions, "tools": self.tools, **self.opts, **opts}
        return {name: value for name, value in parameters.items() if value is not None}


def check_status(status: int, body: object) -> None:
    """Raise ``APIError`` unless ``status`` is 200; its text holds the server's own words."""
    if status != 200:
        raise APIError(f"Bad status: {status}{error_text(body)}", status=status, body=body)


def error_text(body: object) -> str:
    """What a body says of an error: ``: TEXT (CODE)``, each where it is there."""
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, str):
        return f": {error}"
    if not isinstance(error, dict):
        return ""
    text, code = error.get("message"), error.get("code")
    said = f": {text}" if isinstance(text, str) else ""
    if isinstance(code, str) or (isinstance(code, int | float) and not isinstance(code, bool)):
        said += f" ({code})"
    return said


def find_message(status: int, body: Any) -> Message:
    """The reply's message in a chat completion; raises ``APIError`` where there is none."""
    fault = _reply_fault(body)
    if fault:
        text = f"Failed to parse response from server: {fault}"
        raise APIError(text, status=status, body=body)
    message: Message = body["choices"][0]["message"]
    return message


_MISSING = object()


def _reply_fault(body: object) -> str:
    """What keeps a body from being a chat completion, or "".

    Worded as a shape check of Lua tables would: test suites compare the text.
    """
    trail, value = "", body
    for key in ("choices", 0, "message"):
        if not isinstance(value, dict | list):
            return f'{trail}expected type "table", got "{lua_type(value)}"'
        trail += f'field "{key}": ' if isinstance(key, str) else f"field {key + 1}: "
        value = _field(value, key)
    if not isinstance(value, dict):
        return f'{trail}expected type "table", got "{lua_type(value)}"'
    content = value.get("content", _MISSING)
    if isinstance(content, str) or (content in (None, _MISSING) and not is_plain(value)):
        return ""
    return f'{trail}field "content": expected type "string", got "{lua_type(content)}"'


def _field(table: dict[str, Any] | list[Any], key: str | int) -> object:
    if isinstance(table, list):
        return table[key] if isinstance(key, int) and key < len(table) else _MISSING
    return table.get(key, _MISSING) if isinstance(key, str) else _MISSING


def lua_type(value: object) -> str:
    """What Lua's ``type`` says of a decoded JSON value."""
    if value is _MISSING:
        return "nil"
    if value is None:
        return "userdata"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str | bytes) else "table"


def is_plain(message: Message) -> bool:
    """Whether a message is text only, with neither ``tool_calls`` nor ``function_call``."""
    return not message.get("tool_calls") and not message.get("function_call")


def history_message(message: Message) -> Message:
    """The fields of a reply that belong in the history."""
    kept: Message = {"role": "assistant", "content": message.get("content")}
    for field in ("function_call", "tool_calls"):
        if message.get(field):
            kept[field] = message[field]
    return kept


def read_chunk(event: object) -> Chunk | None:
    """The chunk in a stream's event, or None where it brings neither text nor tool calls."""
    if not isinstance(event, dict) or event.get("object") != "chat.completion.chunk":
        return None
    choices = event.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        return None
    delta = choices[0].get("delta")
    if not isinstance(delta, dict):
        return None
    content, calls = delta.get("content"), delta.get("tool_calls")
    calls = [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    chunk = Chunk(
        content=content if isinstance(content, str) else "", index=choices[0].get("index", 0)
    )
    if calls:
        chunk["tool_calls"] = calls
    return chunk if chunk["content"] or calls else None


def assemble(chunks: Iterable[Mapping[str, Any]]) -> Message:
    """The message that a stream's chunks make: texts joined, tool calls by their index."""
    texts: list[str] = []
    calls: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        texts.append(chunk["content"])
        for piece in chunk.get("tool_calls", ()):
            _add_call(calls, piece)
    text = "".join(texts)
    message: Message = {"role": "assistant", "content": text}
    if calls:
        message["content"] = text or None
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    return message


def _add_call(calls: dict[int, dict[str, Any]], piece: Mapping[str, Any]) -> None:
    """Join one delta of a tool call to what came before of the call with its index."""
    index = piece.get("index")
    if not isinstance(index, int):
        index = len(calls)
    call = calls.setdefault(index, {"type": "function", "function": {"name": "", "arguments": ""}})
    for field in ("id", "type"):
        if piece.get(field):
            call[field] = piece[field]
    function = piece.get("function")
    for field in ("name", "arguments"):
        text = function.get(field) if isinstance(function, dict) else None
        if isinstance(text, str):
            call["function"][field] += text
