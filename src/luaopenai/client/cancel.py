"""Ends a call from another thread: its connection is closed, and its pauses are cut short."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from types import TracebackType

_LONGEST = 1e9
"""Seconds of a pause: more than anyone waits, less than the clocks can hold."""
_local = threading.local()


class Cancelled(BaseException):
    """Ends what a thread does for somebody who has lost interest; no handler is to hold it up."""


class Call:
    """Work in a thread that can be cancelled from another; a context manager in the first."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()
        self._end: Callable[[], object] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Call:
        _local.call = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _local.call = None
        self.detach()

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody waits any more."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Ends what the thread waits for, from any thread; nothing further is sent."""
        with self._lock:
            self._cancelled.set()
            self._end_wait()

    def check(self) -> None:
        """Raises ``Cancelled`` when nobody waits any more."""
        if self.is_cancelled:
            raise Cancelled

    def attach(self, end: Callable[[], object]) -> None:
        """Notes how to end what the thread is about to wait for."""
        with self._lock:
            self._end = end
            if self.is_cancelled:
                self._end_wait()

    def detach(self) -> None:
        """Forgets how to end the wait: the connection is somebody else's from now on."""
        with self._lock:
            self._end = None

    def pause(self, seconds: float) -> None:
        """Sleeps; raises ``Cancelled`` when nobody waits any more."""
        if self._cancelled.wait(seconds):
            raise Cancelled

    def _end_wait(self) -> None:
        if self._end is not None:
            with contextlib.suppress(OSError):
                self._end()


def current_call() -> Call | None:
    """Returns the call that this thread is in, if it can be cancelled."""
    return getattr(_local, "call", None)


def pause(seconds: float) -> None:
    """Sleeps; raises ``Cancelled`` when the call that this thread is in is cancelled."""
    call = current_call()
    (call.pause if call else time.sleep)(bounded(seconds))


def bounded(seconds: float) -> float:
    """Limits the seconds of a pause to what the clocks can hold."""
    return min(max(0.0, seconds), _LONGEST)


def check_cancelled() -> None:
    """Raises ``Cancelled`` when nobody waits any more for what this thread does."""
    call = current_call()
    if call is not None:
        call.check()
