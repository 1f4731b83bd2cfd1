"""The time by which a whole call must be done, held against every read of its connection."""

from __future__ import annotations

import io
import math
from time import monotonic
from typing import Any

_LEAST = 0.001
"""Seconds: a time-out of zero would mean not to wait at all."""


class TotalTimeoutError(TimeoutError):
    """A call was not done in the time that it had."""


class Deadline:
    """When a call must be done.

    Args:
        total: seconds from now; None for no deadline.

    Attributes:
        exists: whether there is any.
    """

    def __init__(self, total: float | None = None) -> None:
        self.exists = total is not None
        self._end = math.inf if total is None else monotonic() + total

    @property
    def is_over(self) -> bool:
        """Whether it has passed."""
        return self.exists and monotonic() >= self._end

    def left(self) -> float:
        """Returns the seconds until the deadline; infinite when there is none."""
        return self._end - monotonic()

    def extend(self, seconds: float) -> None:
        """Puts it off."""
        self._end += seconds

    def within(self, timeout: float) -> float:
        """Returns a time-out that ends no later than the deadline."""
        return max(_LEAST, min(timeout, self.left())) if self.exists else timeout


class TimedFile(io.RawIOBase):
    """Reads a socket; each read has the socket's time-out, but none outlasts the deadline.

    A socket's own time-out begins anew with every byte that arrives.
    """

    def __init__(self, sock: Any, deadline: Deadline) -> None:
        self._sock = sock
        self._file = sock.makefile("rb", buffering=0)
        self._timeout = sock.gettimeout()
        self._deadline = deadline

    def readable(self) -> bool:
        """Returns True."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Reads what has arrived; raises ``TimeoutError``, past the deadline a kind of its own."""
        if self._deadline.is_over:
            raise TotalTimeoutError
        self._sock.settimeout(self._deadline.within(self._timeout or math.inf))
        count: int | None = self._file.readinto(buffer)
        return count

    def close(self) -> None:
        """Lets go of the socket, which stays open."""
        self._file.close()
        super().close()
