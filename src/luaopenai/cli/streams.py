"""Standard streams for a command that goes on when nobody reads what it says."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import TextIO


class LastingStream:
    """A stream for people: once its reader has gone, what is written goes nowhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes a text."""
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            forsake(self._stream.fileno())
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def forsake(file: int) -> None:
    """Has what is written to a file descriptor, and what is still in its buffer, go nowhere."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, file)
    os.close(nothing)


def keep_streams() -> None:
    """Has this process and its children go on without readers of what they say.

    Streams that are closed become empty ones: a file that is opened must not take their place.
    """
    for file in range(3):
        try:
            os.fstat(file)
        except OSError:
            # The lowest that is free.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    said = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = LastingStream(said)
