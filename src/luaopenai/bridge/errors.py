"""The exception for a failure in Lua."""

from __future__ import annotations


class LuaError(Exception):
    """Lua code failed.

    Attributes:
        message: what Lua says, with chunk and line in front where Lua puts them.
        chunk: the name of the chunk that failed, such as ``script.lua``; None where unknown.
        line: the line in that chunk, counted from 1; None where unknown.
        traceback: the Lua traceback; "" for a syntax error.
        plugin: the name of the plugin that failed; None for other code.
    """

    plugin: str | None = None

    def __init__(
        self,
        message: str,
        chunk: str | None = None,
        line: int | None = None,
        traceback: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.chunk = chunk
        self.line = line
        self.traceback = traceback
