"""The exception for a failure in Lua, and what remembers the exceptions that led to one."""

from __future__ import annotations

import _thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MOST = 32
"""How many exceptions are remembered at a time."""


class LuaError(Exception):
    """Lua code failed; ``__cause__`` is the exception of a Python function that Lua let through.

    ``str()`` gives the message, behind the plugin's name where it is a plugin's.

    Attributes:
        message: what Lua says, with chunk and line in front where Lua puts them.
        chunk: the name of the chunk of the script's innermost function, such as ``script.lua``;
            None where unknown.
        line: the line in that chunk, counted from 1; None where unknown.
        traceback: the Lua traceback, without this package's own files; "" for a syntax error.
        value: what was raised, where that is a number, a boolean or a table of plain data (a dict
            or a list); None for a string, which is the message, and for anything else.
        plugin: the name of the plugin that failed; None for other code.
    """

    def __init__(
        self,
        message: str,
        chunk: str | None = None,
        line: int | None = None,
        traceback: str = "",
        value: Any = None,
        plugin: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.chunk = chunk
        self.line = line
        self.traceback = traceback
        self.value = value
        self.plugin = plugin

    def __str__(self) -> str:
        named = f"plugin {self.plugin}"
        if self.plugin is None or self.message.startswith(f"{named} "):
            return self.message
        return f"{named}: {self.message}"


class Causes:
    """Remembers the exceptions that Lua was told of by their texts, in case it lets one through."""

    def __init__(self) -> None:
        self._known: dict[str, Exception] = {}
        self._lock = _thread.allocate_lock()

    def note(self, text: str, error: Exception) -> bytes:
        """Remembers an exception; returns its text for Lua."""
        said = text.encode("utf-8", "replace")
        if said:
            with self._lock:
                if len(self._known) >= _MOST:
                    del self._known[next(iter(self._known))]
                self._known[said.decode()] = error
        return said

    def find(self, message: str) -> Exception | None:
        """Returns the exception whose text is in the message; the longest text wins."""
        with self._lock:
            known = [text for text in self._known if text in message]
            return self._known[max(known, key=len)] if known else None

    def clear(self) -> None:
        """Forgets all of them."""
        with self._lock:
            self._known.clear()
