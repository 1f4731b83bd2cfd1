"""Programs that Ctrl-C reaches, whoever has started pytest: on a terminal, and on pipes."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from support.children import child

PATIENCE = 60.0
"""Seconds after which a test gives a program up."""

CTRL_C = b"\x03"
CTRL_D = b"\x04"


def with_interrupts() -> None:
    """Let SIGINT end this process; for a child's start, since an ignored signal is inherited."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def piped(command: list[str], **options: Any) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """Starts a program on pipes that SIGINT reaches; it is killed when the block is left."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return child(command, **{"preexec_fn": with_interrupts, **pipes, **options})


class Terminal:
    """A program on a terminal of its own, with all its children; killed when its block is left.

    Attributes:
        shown: all that it has written so far.
    """

    def __init__(self, command: Sequence[str], **environment: str) -> None:
        self.shown = b""
        self._status: int | None = None
        self._pid, self._screen = pty.fork()
        if self._pid == 0:
            with_interrupts()
            try:
                os.execvpe(command[0], list(command), os.environ | {"TERM": "dumb"} | environment)
            finally:
                os._exit(127)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is None:
            os.killpg(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        os.close(self._screen)

    def type(self, text: str | bytes) -> None:
        """Press keys."""
        os.write(self._screen, text.encode() if isinstance(text, str) else text)

    def read_until(self, pattern: str) -> str:
        """Wait until a regular expression is shown; the text from the last such to its end."""
        end = time.monotonic() + PATIENCE
        while not (found := re.search(pattern.encode(), self.shown, re.S)):
            if not self._receive(end - time.monotonic()):
                raise AssertionError(f"no {pattern!r} in {self.shown!r}")
        text, self.shown = self.shown[: found.end()], self.shown[found.end() :]
        return text.decode("utf-8", "replace").replace("\r\n", "\n")

    def wait(self) -> int:
        """The exit status, negative for the signal that has killed it."""
        end = time.monotonic() + PATIENCE
        while self._receive(end - time.monotonic()):
            pass
        _, status = os.waitpid(self._pid, 0)
        self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def is_echoing(self) -> bool:
        """Whether the terminal itself shows what is typed: no line editor is at work."""
        return bool(termios.tcgetattr(self._screen)[3] & termios.ECHO)

    def _receive(self, seconds: float) -> bool:
        """Take what the program writes; False when it is gone. Fails when it keeps silent."""
        ready, _, _ = select.select([self._screen], [], [], max(0.0, seconds))
        if not ready:
            raise AssertionError(f"gave up after {self.shown!r}")
        try:
            piece = os.read(self._screen, 65536)
        except OSError:
            piece = b""
        self.shown += piece
        return bool(piece)
