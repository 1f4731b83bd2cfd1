"""What a chat completion and its stream mean; decided without I/O."""

from __future__ import annotations

from luaopenai.client.errors import APIError, status_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from luaopenai.client.errors import APIStatusError

    Message = dict[str, Any]


class Chunk(dict):  # type: ignore[type-arg]
    """A piece of a streamed reply: ``content``, ``index`` and, for some, ``tool_calls``.

    ``str(chunk)`` is its text.
    """

    def __str__(self) -> str:
        return str(self["content"])


def check_status(status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
    """Raise an ``APIStatusError`` unless ``status`` is 200; it holds the server's own words."""
    if status != 200:
        raise bad_status(status, body, headers)


def is_success(status: int) -> bool:
    """Whether a status says that the request was carried out."""
    return 200 <= status < 300


def bad_status(
    status: int, body: object, headers: Mapping[str, str] | None = None
) -> APIStatusError:
    """The error for an answer whose status is no success."""
    return status_error(f"Bad status: {status}{error_text(body)}", status, body, headers)


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
