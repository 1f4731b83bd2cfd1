"""Tools that plugins offer: their calls run in the plugin, in its isolation, under its limits."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from luaopenai.bridge.errors import LuaError
from luaopenai.client.tools import ArgumentsError, check_name
from luaopenai.host import wire

if TYPE_CHECKING:
    from luaopenai.client.tool import Tool

    Declaration = dict[str, Any]
    Call = Callable[[str, str], list[Any]]

TOOL = "tool "
"""The prefix that ``offered.lua`` gives the name of a tool."""

_LONGEST_NAME = 64
_FIELDS = {"name": str, "description": str, "parameters": dict, "strict": bool}


def read_offers(values: list[Any]) -> list[Declaration]:
    """Returns the declarations of a plugin's tools; raises ``ValueError`` for what are none.

    They go to the model's server as they are: nothing of the host's follows their schemas, which
    could be made to keep it busy.
    """
    (offers,) = values or [[]]
    if not isinstance(offers, list):
        raise ValueError("a plugin's tools are a list")
    names = set()
    for offer in offers:
        if not isinstance(offer, dict) or not offer.keys() <= _FIELDS.keys():
            raise ValueError("a tool has a name, a description, parameters and strict")
        for field, value in offer.items():
            if not isinstance(value, _FIELDS[field]) or not _is_json(value, 0):
                raise ValueError(f"a tool's {field} is of type {_FIELDS[field].__name__}")
        check_name(offer.get("name"))
        names.add(offer["name"])
    if len(names) < len(offers):
        raise ValueError("a plugin's tools have a name each")
    return offers


def make_tools(
    offers: Iterable[Declaration], call: Call, check_answer: Callable[[int], object]
) -> list[Tool]:
    """Returns the tools that a plugin declares.

    Args:
        offers: their declarations.
        call: calls a tool of a name with arguments as JSON; returns True and the values that it
            returns, or False and why the arguments do not fit.
        check_answer: is given the bytes that an answer comes to; raises ``LimitExceeded``.
    """
    return [_make(offer, call, check_answer) for offer in offers]


class Offering(Protocol):
    """A plugin, or another Lua file, that offers tools."""

    @property
    def name(self) -> str:
        """The file's name without ``.lua``."""

    @property
    def tools(self) -> list[Tool]:
        """The tools that it offers."""


def join_tools(plugins: Iterable[Offering]) -> list[Tool]:
    """Returns the tools of all plugins; names that clash are put behind the plugin's name."""
    from luaopenai.client.tool import Tool

    offered = [(plugin, tool) for plugin in plugins for tool in plugin.tools]
    counts = Counter(tool.name for _, tool in offered)
    taken = {name for name, count in counts.items() if count == 1}
    joined = []
    for plugin, tool in offered:
        if counts[tool.name] > 1:
            name = _free_name(f"{_plain(plugin.name)}_{tool.name}", taken)
            taken.add(name)
            declaration = {**tool.definition["function"], "name": name}
            tool = Tool.from_declaration(declaration, tool.function)
        joined.append(tool)
    return joined


class PluginToolError(LuaError):
    """The ``LuaError`` of a tool's call, whose text is for a model: the message alone."""

    def __str__(self) -> str:
        return self.message


def _make(offer: Declaration, call: Call, check_answer: Callable[[int], object]) -> Tool:
    from luaopenai.client.tool import Tool

    name = offer["name"]

    def run(arguments: dict[str, Any]) -> Any:
        text = json.dumps(arguments, ensure_ascii=False)
        try:
            values = call(name, text)
        except LuaError as error:
            check_answer(_size(error.message))
            found = error.chunk, error.line, error.traceback, error.value, error.plugin
            raise PluginToolError(error.message, *found) from error.__cause__
        fits, result, reason = (*values, None, None, None)[:3]
        check_answer(_size(reason if result is None else result))
        if fits is not True:
            raise ArgumentsError(_reason(result))
        if result is None and reason is not None:
            raise PluginToolError(_reason(reason))
        return result

    return Tool.from_declaration(offer, run)


def _size(answer: Any) -> int:
    """Returns how many bytes an answer comes to as JSON."""
    return len(wire.encode((answer,), "answer") or b"")


def _reason(reason: Any) -> str:
    return reason if isinstance(reason, str) else repr(reason)


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)


def _free_name(name: str, taken: set[str]) -> str:
    """Returns a name that the API takes and that is not taken."""
    found, number = name[:_LONGEST_NAME], 1
    while found in taken:
        number += 1
        end = f"_{number}"
        found = name[: _LONGEST_NAME - len(end)] + end
    return found


def _is_json(value: Any, depth: int) -> bool:
    """Returns whether JSON can carry a value, at a depth at which everybody can read it."""
    if isinstance(value, str):
        return _is_text(value)
    if isinstance(value, float):
        return value - value == 0
    if value is None or isinstance(value, int):
        return True
    if depth > wire.MAX_DEPTH:
        return False
    if isinstance(value, list):
        return all(_is_json(item, depth + 1) for item in value)
    return isinstance(value, dict) and all(
        isinstance(key, str) and _is_text(key) and _is_json(item, depth + 1)
        for key, item in value.items()
    )


def _is_text(text: str) -> bool:
    """Returns whether a string has no halves of surrogate pairs, which nobody could send."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
