"""Decides about tools: the calls in a reply, their answers, the end of a run; no I/O."""

from __future__ import annotations

import json
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, Literal

    Kind = Literal["tool", "function", "response", "custom"]

MAX_STEPS = 10
"""Rounds of calls that a run takes at most, where its caller names no number."""
LIMIT = 8
"""Calls of one round that run side by side, where the caller names no number."""
_ITEMS: dict[object, tuple[Kind, str]] = {
    "function_call": ("response", "arguments"),
    "custom_tool_call": ("custom", "input"),
}
"""By an item's type: a call's kind, and which field holds its text."""
_OUTPUTS = {"response": "function_call_output", "custom": "custom_tool_call_output"}
"""By a call's kind, the type of the item that answers it."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Call:
    """A call that a model asks for.

    Attributes:
        id: what its answer refers to; "" where the server gives none.
        name: the tool's.
        text: the arguments as the model wrote them, which should be JSON.
        kind: ``"tool"`` for one of ``tool_calls``, ``"function"`` for a ``function_call``,
            ``"response"`` for a ``function_call`` of the Responses API, ``"custom"`` for a
            ``custom_tool_call`` there.
    """

    __slots__ = ("id", "kind", "name", "text")

    def __init__(self, id: str, name: str, text: str, kind: Kind) -> None:
        self.id = id
        self.name = name
        self.text = text
        self.kind = kind

    def __repr__(self) -> str:
        return f"Call({self.id!r}, {self.name!r}, {self.text!r}, {self.kind!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Call) and repr(self) == repr(other)

    __hash__ = None  # type: ignore[assignment]


class ArgumentsError(ValueError):
    """A model's arguments cannot be used; the text is the line that it is told."""


def check_name(name: object, where: str = "name") -> None:
    """Raises ``ValueError`` unless ``name`` is one that the API takes for a tool."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        expected = "a string of up to 64 letters, digits, _ and -"
        raise ValueError(f"{where}: expected {expected}, got {name!r}")


def find_calls(message: Mapping[str, Any]) -> list[Call]:
    """Returns the calls in an assistant's message, in their order."""
    calls = message.get("tool_calls")
    if isinstance(calls, list | tuple) and calls:
        return [_tool_call(call) for call in calls if isinstance(call, dict)]
    call = message.get("function_call")
    if isinstance(call, dict) and call:
        return [Call("", text_of(call.get("name")), text_of(call.get("arguments")), "function")]
    return []


def _tool_call(call: Mapping[str, Any]) -> Call:
    """Reads a call; one of another type than ``function`` needs an answer too."""
    kind = text_of(call.get("type")) or "function"
    body = call.get(kind)
    body = body if isinstance(body, dict) else {}
    text = body.get("arguments", body.get("input"))
    return Call(text_of(call.get("id")), text_of(body.get("name")) or kind, text_of(text), "tool")


def find_response_calls(response: object) -> list[Call]:
    """Returns the calls in the output of a response of the Responses API."""
    output = response.get("output") if isinstance(response, dict) else None
    calls = []
    for item in output if isinstance(output, list) else ():
        found = _ITEMS.get(text_of(item.get("type"))) if isinstance(item, dict) else None
        if found:
            kind, field = found
            id, name, text = (text_of(item.get(key)) for key in ("call_id", "name", field))
            calls.append(Call(id, name, text, kind))
    return calls


def text_of(value: object) -> str:
    """Returns a text as it is; anything else, which some servers send decoded, as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def answer(call: Call, text: str) -> dict[str, Any]:
    """Returns the message, or the item of the Responses API, that answers a call."""
    if call.kind == "function":
        return {"role": "function", "name": call.name, "content": text}
    if call.kind in _OUTPUTS:
        return {"type": _OUTPUTS[call.kind], "call_id": call.id, "output": text}
    return {"role": "tool", "tool_call_id": call.id, "content": text}


def unanswered(messages: Iterable[Mapping[str, Any]]) -> list[Call]:
    """Returns the calls of a history's last assistant message that no answer follows."""
    answered: list[tuple[str, str]] = []
    for message in reversed(list(messages)):
        if message.get("role") == "tool":
            answered.append(("tool", text_of(message.get("tool_call_id"))))
        elif message.get("role") == "function":
            answered.append(("function", text_of(message.get("name"))))
        else:
            break
    else:
        return []
    left = []
    for call in find_calls(message) if message.get("role") == "assistant" else ():
        key = (call.kind, call.name if call.kind == "function" else call.id)
        if key in answered:
            answered.remove(key)
        else:
            left.append(call)
    return left


def missing_outputs(pending: Iterable[Mapping[str, Any]], input: object) -> list[Any]:
    """Returns those of the pending outputs of calls that an input does not hold."""
    items = input if isinstance(input, list | tuple) else ()
    given = {
        item.get("call_id")
        for item in items
        if isinstance(item, dict) and item.get("type") in _OUTPUTS.values()
    }
    return [item for item in pending if item.get("call_id") not in given]


def read_arguments(text: str) -> dict[str, Any]:
    """Decodes the arguments of a call; no text at all counts as none.

    Raises ``ArgumentsError`` where it is not a JSON object.
    """
    if not text.strip():
        return {}
    try:
        arguments = json.loads(text, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ArgumentsError(f"arguments: not JSON: {json_fault(error)}") from None
    if not isinstance(arguments, dict):
        kind = json_type(arguments)
        raise ArgumentsError(f'arguments: expected type "object", got "{kind}"')
    return arguments


def refuse_constant(name: str) -> None:
    """Raises for a number that only Python's decoder takes, such as ``NaN``."""
    raise ValueError(f"JSON has no {name}")


def json_fault(error: Exception) -> str:
    """Returns why a text could not be decoded, and where, from the decoder's error."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos + 1}"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def json_type(value: object) -> str:
    """Returns the name of a decoded JSON value's type."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list | tuple) else "object"


def result_text(value: object) -> str:
    """Returns what a call's answer says: a string as it is, anything else as JSON.

    Raises ``ValueError`` for what JSON cannot carry.
    """
    if isinstance(value, str):
        return value
    from luaopenai.client.payload import encode

    return encode(value, "result").decode()


def unknown_tool(name: str, names: Iterable[str]) -> str:
    """Returns the answer to a call of a tool that there is not."""
    known = ", ".join(sorted(names))
    return f"there is no tool {name!r}; " + (
        f"the tools are: {known}" if known else "there are none"
    )


def tool_failed(text: str) -> str:
    """Returns the answer to a call whose function has failed, from the error's text."""
    return f"error: {one_line(text) or 'the tool failed'}"


def refused(reason: str | None) -> str:
    """Returns the answer to a call that the caller has refused."""
    line = one_line(reason or "")
    return f"refused: {line}" if line else "refused: this call is not allowed"


def not_run() -> str:
    """Returns the answer to a call that was not run, or not to its end."""
    return "not run: the run was ended before"


def too_many_rounds(steps: int) -> str:
    """Returns the error text of a run that has reached its ``max_steps``."""
    return f"no answer after {steps} round{'' if steps == 1 else 's'} of tool calls"


# Texts of errors come from anywhere and may be long: no pattern looks at a character twice.
_TRACEBACK = re.compile(r"stack traceback:|Traceback \(most recent call last\):")
_POSITION = re.compile(r'(?:\[string "[^\n]*?"\]|((?:[A-Za-z]:)?[^\n:"]*)):\d+: ')
_LETTER = re.compile(r"[A-Za-z_]")
_PATH = re.compile(r"(?<![\w:/\\.~-])(?:[A-Za-z]:)?[/\\][\w.@+~-][\w.@+~/\\-]*")


def one_line(text: str) -> str:
    """Returns an error's text as one line for a model: no traceback, no position, no folders."""
    traceback = _TRACEBACK.search(text)
    text = (text[: traceback.start()] if traceback else text).strip()
    position = _POSITION.match(text)
    if position and _is_chunk(position[1]):
        text = text[position.end() :]
    return " ".join(_PATH.sub(_without_folders, text).split())


def _is_chunk(name: str | None) -> bool:
    """Returns whether a position names a chunk of code; None stands for one made of a string."""
    if name is None or name.endswith(".lua"):
        return True
    return not any(map(str.isspace, name)) and _LETTER.search(name) is not None


def _without_folders(path: re.Match[str]) -> str:
    """Returns the last name in a path; a path of one name stays as it is."""
    names = re.split(r"[/\\]+", path[0].rstrip("/\\"))
    if len(names) < 3:
        return path[0]
    return names[-1] + path[0][len(path[0].rstrip("/\\")) :]


def later_choice(choice: object) -> object:
    """Returns what ``tool_choice`` or ``function_call`` is from a run's second round on.

    One that forces a call would never let the model answer: it is None, for left out.
    """
    if choice in ("auto", "none"):
        return choice
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        mode = choice.get("mode", (choice.get("allowed_tools") or {}).get("mode"))
        return choice if mode == "auto" else None
    return None


def chat_definition(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns a tool as chat completions take it: ``{"type": "function", "function": {...}}``."""
    if tool.get("type") != "function" or isinstance(tool.get("function"), dict):
        return tool
    return {"type": "function", "function": {k: v for k, v in tool.items() if k != "type"}}


def response_definition(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns a tool as the Responses API takes it: with its name beside ``type``.

    There, a tool is strict unless it says that it is not, and parameters may not be left out.
    """
    function = tool.get("function")
    if tool.get("type") != "function" or not isinstance(function, dict):
        return tool
    parameters = {"type": "object", "properties": {}}
    made = {"type": "function", "parameters": parameters, **function}
    return {**made, "strict": bool(function.get("strict"))}


def function_declaration(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns a tool as the legacy ``functions`` take it."""
    function = tool.get("function")
    if not isinstance(function, dict):
        return tool
    return {name: value for name, value in function.items() if name != "strict"}


def tool_name(tool: Mapping[str, Any]) -> str:
    """Returns the name in a definition of any form; "" where it has none."""
    function = tool.get("function")
    return text_of((function if isinstance(function, dict) else tool).get("name"))
