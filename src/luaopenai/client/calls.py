"""Puts the calls together that a stream brings in pieces."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Call = dict[str, Any]


class ToolCalls:
    """The tool calls of one message, each made of its pieces.

    A piece belongs to the call with its id, else to the newest call at its index, else to the
    newest of all. Servers differ: some give every call the index 0, some no index at all, some
    the id with every piece. So a new id at a known index begins another call, and so does a name
    without either.
    """

    def __init__(self) -> None:
        self._calls: list[tuple[int, Call]] = []

    def add(self, piece: Mapping[str, Any]) -> None:
        """Adds a piece to its call."""
        function = piece.get("function")
        function = function if isinstance(function, dict) else {}
        call = self._find(piece, function)
        for field, value in piece.items():
            if value and field not in ("index", "function"):
                call[field] = value
        add_texts(call["function"], function)

    def whole(self) -> list[Call]:
        """Returns the calls in the order of their indexes."""
        return [call for _, call in sorted(self._calls, key=lambda pair: pair[0])]

    def _find(self, piece: Mapping[str, Any], function: Mapping[str, Any]) -> Call:
        name, index = piece.get("id"), piece.get("index")
        at_index = [call for at, call in self._calls if index in (None, at)]
        if name and isinstance(name, str):
            same = [call for call in at_index if call.get("id") == name]
            nameless = [call for call in at_index[-1:] if "id" not in call and index is not None]
            found = same or nameless
        else:
            begins = index is None and function.get("name")
            found = [] if begins else at_index[-1:]
        return found[-1] if found else self._begin(index)

    def _begin(self, index: object) -> Call:
        call: Call = {"type": "function", "function": {"name": "", "arguments": ""}}
        self._calls.append((index if isinstance(index, int) else len(self._calls), call))
        return call


def add_texts(function: dict[str, str], piece: Mapping[str, Any]) -> None:
    """Appends a piece's name and arguments to a function's; a name that comes again is the same."""
    name, arguments = piece.get("name"), piece.get("arguments")
    if isinstance(name, str) and name != function["name"]:
        function["name"] += name
    if isinstance(arguments, str):
        function["arguments"] += arguments
