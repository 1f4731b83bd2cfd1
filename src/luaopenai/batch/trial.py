"""Tells when a run is hopeless: its first 20 rows all fail, and all alike."""

from __future__ import annotations

import re

ROWS = 20
# What differs between rows of one failure: numbers, ids, and what is quoted.
_VARIES = re.compile(r"\"[^\"]*\"|'[^']*'|\b\w*\d\w*\b")


class Trial:
    """The first failures of a run, until one row succeeds or fails otherwise.

    Attributes:
        is_on: whether nothing has spoken for the run yet.
    """

    def __init__(self) -> None:
        self.is_on = True
        self._rows: set[int] = set()
        self._error = ""

    def succeed(self) -> None:
        """Notes that a row did not fail."""
        self.is_on = False

    def fail(self, number: int, error: str) -> bool:
        """Notes a failure; returns whether the run is hopeless."""
        alike = _VARIES.sub("", error)
        if self._rows and alike != self._error:
            self.is_on = False
            return False
        self._error = alike
        self._rows.add(number)
        return len(self._rows) >= ROWS
