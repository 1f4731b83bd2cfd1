"""Makes of an error what may stand in a journal: one line without keys."""

from __future__ import annotations

import os
import re

LONGEST_ERROR = 2000
"""Characters of an error that are kept."""
_SHORTEST_KEY = 8
_BREAKS = re.compile(r"\s*[\r\n\t\0\u2028\u2029]\s*")
_KEY_NAME = re.compile(r"_(KEY|TOKEN|SECRET)$")


class Tidy:
    """Makes an error's text one line without keys: those of the environment, and one more."""

    def __init__(self, key: str | None = None) -> None:
        held = {value for name, value in os.environ.items() if _KEY_NAME.search(name)}
        held.add(key or "")
        self._keys = sorted((key for key in held if len(key) >= _SHORTEST_KEY), key=len)[::-1]

    def __call__(self, text: str) -> str:
        """Returns the line."""
        for key in self._keys:
            text = text.replace(key, "***")
        line = _BREAKS.sub(" ", text).strip()
        return line if len(line) <= LONGEST_ERROR else line[:LONGEST_ERROR] + "…"
