"""The interactive mode of ``luaopenai-lua``."""

from __future__ import annotations

import contextlib
import os
import sys

from luaopenai.bridge.errors import LuaError
from luaopenai.bridge.runtime import Runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_NAME = "stdin"
_VALUES_OF = "return (function(...) return ... end)({}\n)"
"""Gives an expression's values. No tail call: a traceback shall name the line."""

_SLICE = 0.005
"""Seconds for which tasks that wait are waited for, before the prompt has its turn again."""
_POLL = 0.05
"""Seconds between two such turns, where no line editor gives them."""


class InteractiveRuntime(Runtime):
    """A runtime for a person at a prompt: Ctrl-C ends what runs, and leaves all else as it is."""

    _repl: dict[bytes, Any] | None = None

    def begin_session(self) -> None:
        """Has Lua look for Ctrl-C while it runs from now on, which turns the JIT compiler off."""
        self._repl = dict(self._state.boot[b"repl"]().items())

    def evaluate(self, chunk: Any) -> None:
        """Calls a chunk and shows what it returns."""
        self._call_ours(b"begin")
        results = self._in_lua(chunk, (), lambda found: found)
        self._call_ours(b"present", *results)

    def call_interruptibly(self, function: Any, *args: object) -> Any:
        """Calls a Lua function as ``call`` does; Ctrl-C ends it wherever it is."""
        if self._repl is not None:
            self._call_ours(b"begin")
        return self.call(function, *args)

    def find_tools(self, path: str) -> dict[str, Any]:
        """Runs a file of tools; returns their ``declarations`` as JSON, and what calls them."""
        found: dict[str, Any] = self.call(self._state.boot[b"chat"](), os.fsencode(path))
        return found

    def turn(self, seconds: float = 0.0) -> bool:
        """Lets tasks go on that need not wait; returns whether one did.

        Raises ``LuaError`` when one has failed, and nobody has asked.
        """
        went_on: tuple[bool] = self._call_ours(b"turn", seconds)
        return went_on[0]

    def complete(self, text: str) -> list[str]:
        """Returns the completions of a name that is being typed."""
        (names,) = self._call_ours(b"complete", text)
        found: list[str] = names.decode().split("\n")
        return found if names else []

    def _recover(self, raised: BaseException) -> None:
        """Forgets the tasks that Lua was in; upon Ctrl-C, tasks of former chunks go on."""
        if self._repl is None or not isinstance(raised, KeyboardInterrupt):
            super()._recover(raised)
        else:
            self._state.boot[b"sethook"]()
            self._call_ours(b"recover")

    def _call_ours(self, name: bytes, *args: Any) -> Any:
        assert self._repl is not None
        return self._in_lua(self._repl[name], args, lambda found: found)


class Repl:
    """Reads Lua from the terminal, line by line, and shows what expressions give."""

    def __init__(self, runtime: InteractiveRuntime) -> None:
        self._runtime = runtime
        self._editor: Any = None

    def loop(self) -> None:
        """Reads and runs until the input ends."""
        from luaopenai.cli.signals import raise_on_interrupt

        raise_on_interrupt()
        self._runtime.begin_session()
        with self._line_editor():
            while True:
                try:
                    chunk = self._read()
                    if chunk is None:
                        break
                    self._runtime.evaluate(chunk)
                    self._runtime.turn()
                except LuaError as error:
                    _complain(error)
                except KeyboardInterrupt:
                    print()
        print()
        self._finish()

    def _finish(self) -> None:
        """Waits for the tasks that still run; Ctrl-C ends them."""
        try:
            self._runtime.finish_tasks()
        except LuaError as error:
            _complain(error)
        except KeyboardInterrupt:
            print()

    def _line_editor(self) -> contextlib.AbstractContextManager[object]:
        if sys.stdin.isatty():
            with contextlib.suppress(ImportError):
                from luaopenai.cli.line_editor import LineEditor

                self._editor = LineEditor(self._runtime.complete, self._serve_tasks)
                return self._editor  # type: ignore[no-any-return]
        return contextlib.nullcontext()

    def _read(self) -> Any:
        """Reads a statement or an expression of any number of lines; returns None at the end."""
        code = self._read_line("> ")
        while code is not None:
            expression = code.removeprefix("=")
            for candidate in (_VALUES_OF.format(expression), code):
                try:
                    return self._runtime.compile(candidate, _NAME)
                except LuaError as error:
                    failure = error
            if not (_is_begun(failure) or self._is_begun_expression(expression)):
                raise failure
            more = self._read_line(">> ")
            code = None if more is None else f"{code}\n{more}"
        return None

    def _is_begun_expression(self, code: str) -> bool:
        try:
            self._runtime.compile(f"return {code}", _NAME)
        except LuaError as error:
            return _is_begun(error)
        return False

    def _read_line(self, prompt: str) -> str | None:
        try:
            if self._editor is not None:
                return str(self._editor.read(prompt))
            if sys.stdin.isatty():
                print(prompt, end="", flush=True)
                prompt = ""
                self._wait_for_line()
            return input(prompt)
        except EOFError:
            return None

    def _wait_for_line(self) -> None:
        """Lets tasks go on until a line is there, on systems that can tell."""
        import select

        with contextlib.suppress(OSError):
            while not select.select([sys.stdin], [], [], _POLL)[0]:
                self._serve_tasks(lambda: bool(select.select([sys.stdin], [], [], 0)[0]))

    def _serve_tasks(self, is_wanted: Callable[[], bool]) -> None:
        """Lets tasks go on until they wait, or this thread is needed elsewhere."""
        try:
            while self._runtime.turn(_SLICE) and not is_wanted():
                pass
        except LuaError as error:
            _complain(error)


def _is_begun(failure: LuaError) -> bool:
    """Returns whether code is no Lua merely because it ends too early."""
    return failure.message.endswith("near '<eof>'")


def _complain(error: LuaError) -> None:
    print(error.message, *filter(None, [error.traceback]), sep="\n", file=sys.stderr)
