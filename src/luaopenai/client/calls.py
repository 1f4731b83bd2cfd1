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

    A piece takes the same time however many came before it.
    """

    def __init__(self) -> None:
        self._calls: list[_Begun] = []
        self._newest: dict[object, _Begun] = {}
        """By index; None stands for any."""
        self._by_id: dict[tuple[object, str], _Begun] = {}
        """By index, or None for any, and id."""

    def add(self, piece: Mapping[str, Any]) -> None:
        """Adds a piece to its call."""
        function = piece.get("function")
        function = function if isinstance(function, dict) else {}
        begun = self._find(piece, function)
        for field, value in piece.items():
            if value and field not in ("index", "function"):
                begun.call[field] = value
        name = begun.call.get("id")
        if isinstance(name, str) and self._by_id.get((begun.index, name)) is not begun:
            self._by_id[begun.index, name] = self._by_id[None, name] = begun
        begun.function.add(function)

    def whole(self) -> list[Call]:
        """Returns the calls in the order of their indexes."""
        ordered = sorted(self._calls, key=lambda begun: begun.index)
        return [{**begun.call, "function": begun.function.whole()} for begun in ordered]

    def _find(self, piece: Mapping[str, Any], function: Mapping[str, Any]) -> _Begun:
        name, index = piece.get("id"), piece.get("index")
        found: _Begun | None = None
        if index is None or isinstance(index, int | float):
            newest = self._newest.get(index)
            if name and isinstance(name, str):
                found = self._by_id.get((index, name))
                found = found if found and found.call["id"] == name else None
                if found is None and newest and "id" not in newest.call and index is not None:
                    found = newest
            elif index is not None or not function.get("name"):
                found = newest
        return found or self._begin(index)

    def _begin(self, index: object) -> _Begun:
        begun = _Begun(index if isinstance(index, int) else len(self._calls))
        self._calls.append(begun)
        self._newest[begun.index] = self._newest[None] = begun
        return begun


class Function:
    """The name and the arguments of a function, made of their pieces."""

    def __init__(self) -> None:
        self._name = ""
        self._arguments: list[str] = []

    def add(self, piece: Mapping[str, Any]) -> None:
        """Adds a piece; a name that comes again is the same."""
        name, arguments = piece.get("name"), piece.get("arguments")
        if isinstance(name, str) and name != self._name:
            self._name += name
        if isinstance(arguments, str):
            self._arguments.append(arguments)

    def whole(self) -> dict[str, str]:
        """Returns what has come."""
        return {"name": self._name, "arguments": "".join(self._arguments)}


class _Begun:
    """A call of which not all may have come."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.call: Call = {"type": "function"}
        self.function = Function()
