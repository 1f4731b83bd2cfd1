"""Checks messages, inputs, tool calls and function declarations; does no I/O."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

ROLES = ("system", "developer", "user", "assistant", "function", "tool")
_REQUIRED = {"function": "name", "tool": "tool_call_id"}
_FUNCTION_FIELDS = ("name", "description", "parameters")


def check_messages(messages: object, base: int = 0) -> None:
    """Raises ``ValueError`` unless ``messages`` is a list of valid messages.

    Args:
        messages: what the caller wants to send.
        base: the number of the first message in the error's text; Lua counts from 1.
    """
    if not isinstance(messages, list | tuple):
        raise ValueError(f"messages: expected a list of messages, got {kind_of(messages)}")
    for number, message in enumerate(messages, base):
        check_message(message, f"messages[{number}]", base)


def check_message(message: object, where: str = "message", base: int = 0) -> None:
    """Raises ``ValueError`` unless ``message`` is one that the API takes.

    Args:
        message: ``role``, and ``content`` as a string, None or a list of parts; a ``function``
            message needs ``name``, a ``tool`` message ``tool_call_id``.
        where: what to call the message in the error's text.
        base: the number of the first content part in the error's text.
    """
    if not isinstance(message, dict):
        raise ValueError(f"{where}: expected a table with role and content, got {kind_of(message)}")
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        shown = f'"{role}"' if isinstance(role, str) else kind_of(role)
        raise ValueError(f"{where}.role: expected one of {', '.join(ROLES)}; got {shown}")
    _check_content(message.get("content"), f"{where}.content", base)
    for field, expected, fits in _FIELDS:
        value = message.get(field)
        if value is None and field == _REQUIRED.get(role):
            raise ValueError(f'{where}.{field}: required when role is "{role}"')
        if value is not None and not fits(value):
            raise ValueError(f"{where}.{field}: expected {expected}, got {kind_of(value)}")


def check_function(function: object, where: str = "function") -> None:
    """Raises ``ValueError`` unless ``function`` is ``{name, description?, parameters?}``."""
    if not isinstance(function, dict):
        raise ValueError(f"{where}: expected a table with name, got {kind_of(function)}")
    if not isinstance(function.get("name"), str):
        raise ValueError(f"{where}.name: expected a string, got {kind_of(function.get('name'))}")
    for field in function:
        if field not in _FUNCTION_FIELDS:
            raise ValueError(f"{where}.{field}: expected only {', '.join(_FUNCTION_FIELDS)}")
    description, parameters = function.get("description"), function.get("parameters")
    if description is not None and not isinstance(description, str):
        raise ValueError(f"{where}.description: expected a string, got {kind_of(description)}")
    if parameters is not None and not isinstance(parameters, dict):
        raise ValueError(f"{where}.parameters: expected a table, got {kind_of(parameters)}")


def check_input(input: object, base: int = 0) -> None:
    """Raises ``ValueError`` unless ``input`` is what the Responses API takes.

    Args:
        input: a string, or a list of messages and items; an item has a string ``type``, and a
            call's output needs ``call_id`` and ``output``.
        base: the number of the first item in the error's text.
    """
    if input is None:
        raise ValueError("input must be provided")
    if isinstance(input, str):
        return
    if not isinstance(input, list | tuple):
        raise ValueError(f"input: expected a string or a list, got {kind_of(input)}")
    for number, item in enumerate(input, base):
        where = f"input[{number}]"
        kind = item.get("type") if isinstance(item, dict) else None
        if kind is None or kind == "message":
            check_message(item, where, base)
        elif not isinstance(kind, str):
            raise ValueError(f"{where}.type: expected a string, got {kind_of(kind)}")
        elif kind in ("function_call_output", "custom_tool_call_output"):
            _check_call_output(item, where)


def _check_call_output(item: dict[str, object], where: str) -> None:
    if not isinstance(item.get("call_id"), str):
        raise ValueError(f"{where}.call_id: expected a string, got {kind_of(item.get('call_id'))}")
    output = item.get("output")
    if not isinstance(output, str | list):
        raise ValueError(f"{where}.output: expected a string or a list, got {kind_of(output)}")


def check_tool_call(call: object, where: str = "tool_call") -> None:
    """Raises ``ValueError`` unless ``call`` is ``{id, type, function: {name, arguments}}``."""
    if not isinstance(call, dict):
        raise ValueError(f"{where}: expected a table with id and function, got {kind_of(call)}")
    function = call.get("function")
    if not isinstance(function, dict):
        raise ValueError(f"{where}.function: expected a table, got {kind_of(function)}")
    for name, value in (
        ("id", call.get("id")),
        ("type", call.get("type")),
        ("function.name", function.get("name")),
        ("function.arguments", function.get("arguments")),
    ):
        if not isinstance(value, str):
            raise ValueError(f"{where}.{name}: expected a string, got {kind_of(value)}")


def _check_content(content: object, where: str, base: int) -> None:
    if content is None or isinstance(content, str):
        return
    if not isinstance(content, list | tuple):
        expected = "a string, null or a list of parts"
        raise ValueError(f"{where}: expected {expected}, got {kind_of(content)}")
    for number, part in enumerate(content, base):
        _check_part(part, f"{where}[{number}]")


def _check_part(part: object, where: str) -> None:
    if not isinstance(part, dict):
        raise ValueError(f"{where}: expected a table with type, got {kind_of(part)}")
    kind = part.get("type")
    if not isinstance(kind, str):
        raise ValueError(f"{where}.type: expected a string, got {kind_of(kind)}")
    if kind == "text" and not isinstance(part.get("text"), str):
        raise ValueError(f"{where}.text: expected a string, got {kind_of(part.get('text'))}")
    if kind == "image_url":
        image = part.get("image_url")
        url = image.get("url") if isinstance(image, dict) else image
        if not isinstance(url, str):
            raise ValueError(f"{where}.image_url: expected a URL or a table with url")


def _is_string(value: object) -> bool:
    return isinstance(value, str)


_FIELDS: tuple[tuple[str, str, Callable[[object], bool]], ...] = (
    ("name", "a string", _is_string),
    ("tool_call_id", "a string", _is_string),
    ("function_call", "a table", lambda value: isinstance(value, dict)),
    ("tool_calls", "a list", lambda value: isinstance(value, list | tuple)),
)


def kind_of(value: object) -> str:
    """Returns a name for a value's type that readers of both languages know."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, bytes):
        return "a string that is not UTF-8"
    return "a list" if isinstance(value, list | tuple) else "a table"
