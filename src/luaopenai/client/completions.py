"""Reads chat completions and the events of their streams; does no I/O."""

from __future__ import annotations

from luaopenai.client.calls import Function, ToolCalls
from luaopenai.client.errors import APIError, status_error
from luaopenai.client.server_errors import error_text, reported_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from luaopenai.client.errors import APIStatusError

    Message = dict[str, Any]


_UNUSABLE = "Failed to parse response from server"
_CHUNK_OBJECTS = ("chat.completion.chunk", None)


class Chunk(dict):  # type: ignore[type-arg]
    """A piece of a streamed reply: ``content``, always a string, and ``index``.

    Where its event has them: ``finish_reason``, ``reasoning``, ``refusal``, and the pieces
    ``tool_calls`` and ``function_call``. ``str(chunk)`` is its text.

    Attributes:
        is_content_empty: whether its event has a content without a text, such as null.
    """

    is_content_empty = False

    def __str__(self) -> str:
        return str(self["content"])


def check_status(status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
    """Raises an ``APIStatusError`` with the server's own words unless ``status`` is 200."""
    if status != 200:
        raise bad_status(status, body, headers)


def is_success(status: int) -> bool:
    """Returns whether a status reports that the request was carried out."""
    return 200 <= status < 300


def bad_status(
    status: int, body: object, headers: Mapping[str, str] | None = None
) -> APIStatusError:
    """Returns the error for a response whose status is no success."""
    return status_error(f"Bad status: {status}{error_text(body)}", status, body, headers)


def find_message(status: int, body: Any) -> Message:
    """Returns the message in a chat completion, without anything that cannot be sent again.

    Raises ``APIError`` where there is none, and where the model refuses: with its words.
    """
    fault = _reply_fault(body)
    if fault:
        words = reported_error(body)
        text = f"Request failed{words}" if words else f"{_UNUSABLE}: {fault}"
        raise APIError(text, status=status, body=body)
    message: Message = body["choices"][0]["message"]
    refusal = refusal_of(message)
    if refusal:
        raise APIError(refusal, status=status, body=body)
    return _sendable(message)


def _sendable(message: Message) -> Message:
    from luaopenai.client.lenient import sendable

    checked: Message = sendable(message)
    return checked


def refusal_of(message: Message) -> str:
    """Returns the words with which the model refuses, or ""; a message with calls is no refusal."""
    refusal = message.get("refusal")
    return refusal if isinstance(refusal, str) and is_plain(message) else ""


_MISSING = object()


def _reply_fault(body: object) -> str:
    """Returns why a body is not a chat completion, or "".

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
    is_absent = content is None or content is _MISSING
    if isinstance(content, str) or (is_absent and (refusal_of(value) or not is_plain(value))):
        return ""
    return f'{trail}field "content": expected type "string", got "{lua_type(content)}"'


def _field(table: dict[str, Any] | list[Any], key: str | int) -> object:
    if isinstance(table, list):
        return table[key] if isinstance(key, int) and key < len(table) else _MISSING
    return table.get(key, _MISSING) if isinstance(key, str) else _MISSING


def lua_type(value: object) -> str:
    """Returns the name that Lua's ``type`` gives a decoded JSON value."""
    if value is _MISSING:
        return "nil"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str | bytes) else "table"


def is_plain(message: Message) -> bool:
    """Returns whether a message is text only, with neither ``tool_calls`` nor ``function_call``."""
    return not _filled(message, "tool_calls", list) and not _filled(message, "function_call", dict)


def history_message(message: Message) -> Message:
    """Returns the fields of a reply that belong in the history.

    Its calls are those that an answer can refer to: by an id or a name that is a text, "" where
    the server gives none. A ``function_call`` beside ``tool_calls`` could have no answer.
    """
    kept: Message = {"role": "assistant"}
    if "content" in message:
        kept["content"] = message["content"]
    calls = _filled(message, "tool_calls", list)
    if calls:
        found = [_with_text(call, "id") for call in calls if isinstance(call, dict)]
        return {**kept, "tool_calls": found} if found else kept
    call = _filled(message, "function_call", dict)
    return {**kept, "function_call": _with_text(call, "name")} if call else kept


def _with_text(call: Message, field: str) -> Message:
    """Returns a call with the text of a field by which its answer refers to it."""
    value = call.get(field)
    if isinstance(value, str):
        return call
    from luaopenai.client.tools import text_of

    return {**call, field: text_of(value)}


def _filled(table: Mapping[str, Any], field: str, kind: type) -> Any:
    """Returns a field if it is of this kind and not empty, or None."""
    value = table.get(field)
    return value if value and isinstance(value, kind) else None


def read_chunk(event: object) -> Chunk | None:
    """Returns the chunk in a stream's event; None unless there is one choice, with a delta."""
    if not isinstance(event, dict) or event.get("object") not in _CHUNK_OBJECTS:
        return None
    choices = event.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        return None
    choice = choices[0]
    delta, index = choice.get("delta"), choice.get("index")
    if not isinstance(delta, dict):
        return None
    content = delta.get("content")
    chunk = Chunk(
        content=content if isinstance(content, str) else "",
        index=index if type(index) is int and -_EXACT < index < _EXACT else 0,
    )
    if len(delta) > 1 or not chunk["content"]:
        _add_more(chunk, delta)
    if choice.get("finish_reason"):
        _add_text(chunk, "finish_reason", choice["finish_reason"])
    return chunk


_EXACT = 2**53


def _add_more(chunk: Chunk, delta: dict[str, Any]) -> None:
    """Adds to a chunk what its delta holds beside a text."""
    if not chunk["content"] and "content" in delta:
        chunk.is_content_empty = True
    calls = [piece for piece in _filled(delta, "tool_calls", list) or () if isinstance(piece, dict)]
    if calls:
        chunk["tool_calls"] = calls
    call = _filled(delta, "function_call", dict)
    if call:
        chunk["function_call"] = call
    _add_text(chunk, "reasoning", delta.get("reasoning") or delta.get("reasoning_content"))
    _add_text(chunk, "refusal", delta.get("refusal"))


def _add_text(chunk: Chunk, field: str, text: object) -> None:
    if text and isinstance(text, str):
        chunk[field] = text


def assemble(chunks: Iterable[Mapping[str, Any]], is_content_empty: bool = False) -> Message:
    """Returns the message that a stream's chunks make: texts joined, calls put together.

    Args:
        chunks: as ``read_chunk`` gives them, or dicts with the same fields.
        is_content_empty: whether any of the dicts comes from an event whose content has no text.

    Returns:
        ``role`` and ``content``; and ``tool_calls``, ``function_call`` or ``refusal`` where the
        stream brings them. With calls, a ``content`` without a text is null, and it is left out
        where the stream never sent any.
    """
    texts: list[str] = []
    refusals: list[str] = []
    calls = ToolCalls()
    function = Function()
    for chunk in chunks:
        text = chunk.get("content")
        if isinstance(text, str):
            texts.append(text)
        if text and len(chunk) == 2:
            continue
        is_content_empty = is_content_empty or getattr(chunk, "is_content_empty", False)
        refusals.append(chunk.get("refusal") or "")
        function.add(chunk.get("function_call") or {})
        for piece in chunk.get("tool_calls") or ():
            calls.add(piece)
    message: Message = {"role": "assistant", "content": "".join(texts)}
    if any(refusals):
        message["refusal"] = "".join(refusals)
    found, function_call = calls.whole(), function.whole()
    if found:
        message["tool_calls"] = found
    if any(function_call.values()):
        message["function_call"] = function_call
    if not message["content"] and not is_plain(message):
        if is_content_empty:
            message["content"] = None
        else:
            del message["content"]
    return _sendable(message)
