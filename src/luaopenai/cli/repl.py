"""The interactive mode of ``luaopenai-lua -i``."""

from __future__ import annotations

import contextlib
import sys

from luaopenai.bridge.errors import LuaError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from luaopenai.bridge.runtime import Runtime

_NAME = "stdin"


class Repl:
    """Reads Lua from the terminal, line by line, and shows what expressions give."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def loop(self) -> None:
        """Read and run until the input ends."""
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 (gives input() its line editing)
        while (code := self._read()) is not None:
            try:
                self._runtime.execute_string(code, _NAME)
            except LuaError as error:
                print(error.message, error.traceback, sep="\n", file=sys.stderr)
        print()

    def _read(self) -> str | None:
        """A statement, of as many lines as it needs; an expression becomes a call of print."""
        code = _input("> ")
        while code is not None:
            expression = code.removeprefix("=")
            shown = f"(function(...) if select('#', ...) > 0 then print(...) end end)({expression})"
            if self._error(shown) is None:
                return shown
            error = self._error(code)
            if error is None or "near '<eof>'" not in error:
                return code
            more = _input(">> ")
            code = None if more is None else f"{code}\n{more}"
        return None

    def _error(self, code: str) -> str | None:
        try:
            self._runtime.compile(code, _NAME)
        except LuaError as error:
            return error.message
        return None


def _input(prompt: str) -> str | None:
    try:
        return input(prompt)
    except EOFError:
        return None
