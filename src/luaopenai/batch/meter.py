"""How many rows a second are finished."""

from __future__ import annotations

from collections import deque


class Meter:
    """Counts the rows of the last seconds.

    Attributes:
        pace: rows a second, as of the last note.
    """

    def __init__(self, seconds: float = 1.0) -> None:
        self.pace = 0.0
        self._seconds = seconds
        self._count = 0
        self._noted: deque[tuple[float, int]] = deque()

    def note(self, count: int, now: float) -> None:
        """Notes rows that were finished just now."""
        self._noted.append((now, count))
        self._count += count
        while self._noted[0][0] < now - self._seconds:
            self._count -= self._noted.popleft()[1]
        self.pace = self._count / self._seconds
