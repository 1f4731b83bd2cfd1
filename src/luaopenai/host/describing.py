"""Describes to models what code of theirs may do, and which host functions it may call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from luaopenai.host.limits import Limits

LONGEST = 1024
"""Characters that OpenAI's API takes as a tool's description; a parameter's may be longer."""

_LONGEST_LINE = 200
_LONGEST_DEFAULT = 40

_TASK = (
    "Runs Lua 5.1 code in a sandbox, without files or network, and answers with an object: "
    "`result`, the value that the code returns; `output`, what it prints; `error`, what went "
    "wrong, with the line."
)
_CODE = (
    "An expression, or statements of which `return` gives the result: plain data, no functions. "
    'require("cjson") is there for JSON.'
)


def describe_code(
    functions: Mapping[str, Callable[..., Any]], limits: Limits, *, keep: bool, asks: bool
) -> tuple[str, str]:
    """Returns the description of a tool that runs code, and that of its argument.

    Args:
        functions: the host's, by the names that code calls them by.
        limits: of each call.
        keep: whether globals last from call to call.
        asks: whether the code may ask a model.
    """
    kept = (
        "Globals last from call to call; locals do not."
        if keep
        else "Each call begins anew: nothing lasts from the one before."
    )
    parts = [_TASK, kept, *_bounds(limits)]
    if asks:
        parts.append('require("openai").new() is a client that asks a model.')
    text = " ".join(parts)
    if not functions:
        return text, _CODE
    listed = "\n".join(_listed(functions))
    whole = f"{text}\nThe code can call these functions, with arguments by position:\n{listed}"
    if len(whole) <= LONGEST:
        return whole, _CODE
    text = f"{text}\nThe code can call functions, which the description of `code` lists."
    return text, f"{_CODE}\nFunctions that it can call, with arguments by position:\n{listed}"


def _bounds(limits: Limits) -> Iterable[str]:
    shown = []
    if limits.seconds is not None:
        shown.append(f"{limits.seconds:g} seconds")
    if limits.memory_mb is not None:
        shown.append(f"{limits.memory_mb:g} MB of memory")
    if shown:
        yield f"A call may take {' and '.join(shown)}."


def _listed(functions: Mapping[str, Callable[..., Any]]) -> Iterable[str]:
    for name, function in sorted(functions.items()):
        about = _first_line(function)
        yield f"host.{name}{_signature(function)}" + (f": {about}" if about else "")


def _signature(function: Callable[..., Any]) -> str:
    """Returns the arguments that may be given by position, and what is returned."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return "(...)"
    shown = []
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            shown.append("...")
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            shown.append(_parameter(parameter))
    returned = signature.return_annotation
    arrow = "" if returned is signature.empty else f" -> {_annotation(returned)}"
    return f"({', '.join(shown)}){arrow}"


def _parameter(parameter: inspect.Parameter) -> str:
    text = parameter.name
    has_type = parameter.annotation is not parameter.empty
    if has_type:
        text += f": {_annotation(parameter.annotation)}"
    default = parameter.default
    if default is parameter.empty:
        return text
    # Other values could show what is no model's business, such as a key.
    is_plain = default is None or type(default) in (bool, int, float, str)
    value = repr(default) if is_plain else "..."
    if len(value) > _LONGEST_DEFAULT:
        value = "..."
    return f"{text} = {value}" if has_type else f"{text}={value}"


def _annotation(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return text.replace("typing.", "").replace("collections.abc.", "")


def _first_line(function: Callable[..., Any]) -> str:
    """Returns the first line of a function's docstring; "" where it has none of its own."""
    while isinstance(function, partial):
        function = function.func
    if not inspect.isroutine(function) and not inspect.isclass(function):
        # An object's class describes the object; this is what calling it does.
        function = type(function).__call__
    lines = inspect.cleandoc(function.__doc__ or "").strip().splitlines()
    line = lines[0] if lines else ""
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…"
