"""Makes of an error what may stand in a journal: one line without keys."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

LONGEST_ERROR = 2000
"""Characters of an error that are kept."""
_SHORTEST_KEY = 8
_BREAKS = re.compile(r"\s*[\r\n\t\0\u2028\u2029]\s*")
_KEY_NAME = re.compile(r"_(KEY|TOKEN|SECRET)$")
_KEY_HEADERS = {"authorization", "api-key", "x-api-key"}
_NOTHING: Mapping[str, str] = {}


class Tidy:
    """Makes an error's text one line without keys: those of the environment, and more.

    ``drop`` is left out of it too: a folder, which says nothing to who reads it.
    """

    def __init__(
        self,
        key: str | None = None,
        environment: Mapping[str, str] = _NOTHING,
        *,
        drop: str = "",
    ) -> None:
        self._dropped = drop
        self._keys: list[str] = []
        for known in (os.environ, environment):
            for name, value in known.items():
                if _KEY_NAME.search(name):
                    self._add(value)
        self._add(key or "")

    def learn(self, headers: Mapping[str, str]) -> None:
        """Takes the key that a request is sent with, wherever that has it from; in any thread."""
        for name, value in headers.items():
            if name.lower() in _KEY_HEADERS:
                self._add(value.rpartition(" ")[2])

    def _add(self, key: str) -> None:
        if len(key) >= _SHORTEST_KEY and key not in self._keys:
            # Long ones first: they may have others in them.
            self._keys = sorted((*self._keys, key), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Returns the line."""
        for key in self._keys:
            text = text.replace(key, "***")
        if self._dropped:
            text = text.replace(self._dropped, "")
        line = _BREAKS.sub(" ", text).strip()
        return line if len(line) <= LONGEST_ERROR else line[:LONGEST_ERROR] + "…"
