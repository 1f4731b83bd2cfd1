"""Line editing at a prompt, with readline: history, completion, turns for tasks."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
from ctypes import CFUNCTYPE, c_int, c_void_p, cast, pythonapi
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

_LINES = 1000
"""How many lines of history are kept."""

_DELIMITERS = " \t\n\"'`@$><=;|&{}()[]+-*/%^~#,\\"


class LineEditor:
    """Reads lines from a terminal; a context manager that keeps the history.

    Args:
        complete: what a word that is being typed may become.
        on_idle: called several times a second while a line is awaited, with a function that tells
            whether something has been typed since.
        history: the name of the file that keeps the lines, in the user's folder for programs'
            state.

    Raises ``ImportError`` where Python has no readline.
    """

    def __init__(
        self,
        complete: Callable[[str], list[str]],
        on_idle: Callable[[Callable[[], bool]], object],
        history: str = "history",
    ) -> None:
        import readline

        self._readline = readline
        self._complete = complete
        self._on_idle = on_idle
        self._names: list[str] = []
        self._is_serving = False
        self._raised: BaseException | None = None
        self._hook = c_void_p.in_dll(pythonapi, "PyOS_InputHook")
        self._callback = CFUNCTYPE(c_int)(self._idle)
        self._history = _state_folder() / history

    def __enter__(self) -> LineEditor:
        readline = self._readline
        readline.set_completer(self._completion)
        readline.set_completer_delims(_DELIMITERS)
        is_libedit = "libedit" in (readline.__doc__ or "")
        readline.parse_and_bind("bind ^I rl_complete" if is_libedit else "tab: complete")
        readline.set_history_length(_LINES)
        with contextlib.suppress(OSError):
            readline.read_history_file(self._history)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._history.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._readline.write_history_file(self._history)

    def read(self, prompt: str) -> str:
        """Reads a line; raises ``EOFError`` at the end, ``KeyboardInterrupt`` upon Ctrl-C."""
        before, handler = self._hook.value, signal.getsignal(signal.SIGINT)
        try:
            if handler is signal.default_int_handler:
                signal.signal(signal.SIGINT, self._interrupt)
            self._hook.value = cast(self._callback, c_void_p).value
            return input(prompt)
        except KeyboardInterrupt:
            raised, self._raised = self._raised, None
            raise raised or KeyboardInterrupt from None
        finally:
            self._hook.value = before
            signal.signal(signal.SIGINT, handler)

    def _idle(self) -> int:
        """Serves tasks when readline calls, ten times a second; keeps what they raise."""
        try:
            self._is_serving = True
            self._on_idle(_has_input)
            self._is_serving = False
        except BaseException as error:
            self._is_serving = False
            self._raised = error
            self._interrupt_soon()
        return 0

    def _interrupt(self, _: int, frame: FrameType | None) -> None:
        """Raises ``KeyboardInterrupt`` where that ends the line, or tasks that run meanwhile."""
        if self._is_serving or (frame is not None and frame.f_code is LineEditor.read.__code__):
            raise KeyboardInterrupt
        self._interrupt_soon()

    def _interrupt_soon(self) -> None:
        """Sends a signal in a moment: only one that breaks off readline's own wait ends a line.

        Until then no Python may run: the signal's handler would run in it, and not in that wait.
        """
        self._hook.value = None
        threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT)).start()

    def _completion(self, text: str, index: int) -> str | None:
        if index == 0:
            self._names = self._complete(text)
        return self._names[index] if index < len(self._names) else None


def _has_input() -> bool:
    return bool(select.select([sys.stdin], [], [], 0)[0])


def _state_folder() -> Path:
    """Returns our folder in the user's one for programs' state."""
    if base := os.environ.get("XDG_STATE_HOME"):
        return Path(base) / "luaopenai"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "luaopenai"
    return Path.home() / ".local" / "state" / "luaopenai"
