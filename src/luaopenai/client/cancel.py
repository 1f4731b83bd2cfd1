"""Ends a call from another thread: its connection is closed, and its pauses are cut short."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType

_local = threading.local()


class Call:
    """What a thread does for somebody who may lose interest; a context manager in that thread."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()
        self._sock: socket.socket | None = None
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

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody waits any more."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Close the connection in use, from any thread; nothing further is sent."""
        with self._lock:
            self._cancelled.set()
            self._shut()

    def attach(self, sock: socket.socket) -> None:
        """Note the connection in use."""
        with self._lock:
            self._sock = sock
            if self.is_cancelled:
                self._shut()

    def pause(self, seconds: float) -> None:
        """Sleep, but not past a cancel."""
        self._cancelled.wait(seconds)

    def _shut(self) -> None:
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)


def current_call() -> Call | None:
    """The call that this thread is in, if it can be cancelled."""
    return getattr(_local, "call", None)
