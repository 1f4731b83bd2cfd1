"""Makes the text of strangers harmless: on a terminal, nothing in it moves, colours or erases."""

from __future__ import annotations

import os
import re
from unicodedata import combining, east_asian_width

_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,8}[@-~]?"  # a colour, a move
    r"|\x1b[ -/]{0,8}[0-Z\\-~]?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
_BEGUN = re.compile(r"(?:(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,8}|\x1b[ -/]{0,8})\Z")
_UNSEEN = re.compile(
    "[\\x00-\\x1f\\x7f-\\x9f\\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0d\ufeff\uffa0"
    "\ufff0-\ufffb\U000e0000-\U000e0fff]"
)
"""Characters that a terminal does not show, and those that turn the direction of a line."""
_CONTROLS = re.compile("[\x7f-\x9f]")
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


class HarmlessStream:
    """Takes control characters, but tabs and new lines, and escape sequences out of a text that
    comes in pieces.

    A sequence is taken out whole where it is one that ends; of all others, such as one that sets a
    title, the text stays and can be read.
    """

    def __init__(self) -> None:
        self._rest = ""

    def feed(self, piece: str) -> str:
        """Returns what can be shown of a piece; an end that may begin a sequence is held back."""
        text = self._rest + piece
        begun = _BEGUN.search(text)
        end = begun.start() if begun else len(text)
        self._rest = text[end:]
        return _SEQUENCE.sub("", text[:end])


def valid(text: str) -> str:
    """Returns a text from the system, with a mark in the place of each byte that is not UTF-8."""
    return os.fsencode(text).decode("utf-8", "replace")


def harmless(text: str) -> str:
    """Returns a whole text without control characters and escape sequences."""
    return _SEQUENCE.sub("", text)


def one_line(text: str) -> str:
    """Returns a text in one line, with an escape for each character that cannot be seen."""
    return _UNSEEN.sub(lambda found: _ESCAPES.get(found[0]) or _escape(found[0]), text)


def _escape(letter: str) -> str:
    code = ord(letter)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\u{{{code:x}}}"


def escaped(json: str) -> str:
    """Returns JSON with an escape of its own for each control character that it may hold as it is
    and a terminal would heed.
    """
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", json)


def cut(text: str, width: int) -> str:
    """Returns as much of a line as fits into so many columns; one that is cut ends with "…"."""
    columns = 0
    kept = 0  # what stays if the line proves too long
    for index, letter in enumerate(text):
        columns += _columns(letter)
        if columns > width:
            return text[:kept] + "…"
        if columns < width:
            kept = index + 1
    return text


def _columns(letter: str) -> int:
    if combining(letter):
        return 0
    return 2 if east_asian_width(letter) in "WF" else 1
