"""A queue of workers' messages, from their threads to the job's."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import suppress
from typing import Generic, TypeVar

Teller = TypeVar("Teller")
"""Who tells something: a worker."""


class Events(Generic[Teller]):
    """A queue of events; it may be read inside a signal's handler."""

    def __init__(self) -> None:
        self._items: deque[tuple[Teller | None, bytes, bytes]] = deque()
        self._signal = threading.Lock()

    def put(self, teller: Teller | None, kind: bytes, payload: bytes = b"") -> None:
        """Adds an event, from any thread."""
        self._items.append((teller, kind, payload))
        with suppress(RuntimeError):
            # The signal may be given already.
            self._signal.release()

    def take(self, timeout: float) -> list[tuple[Teller | None, bytes, bytes]]:
        """Returns all there are; waits for the first up to ``timeout`` seconds."""
        end = time.monotonic() + timeout
        while not self._items and (left := end - time.monotonic()) > 0:
            self._signal.acquire(timeout=left)
        found = []
        with suppress(IndexError):
            while True:
                found.append(self._items.popleft())
        return found
