"""Shows answers on standard output, and what is said beside them on standard error."""

from __future__ import annotations

import os
import shutil
import sys

from luaopenai.cli.harmless import HarmlessStream, cut, harmless, one_line

_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"
_LOGGED = 500
"""The columns that a note may take where there is no terminal."""


class Screen:
    """Where a model's answers go, in pieces, and notes about them.

    On a terminal, nothing in an answer reaches the terminal as a command to it. Elsewhere an answer
    is what the model wrote, and nothing else is on standard output.

    Attributes:
        is_terminal: whether a terminal shows the answers.
        has_terminal_for_notes: whether one shows the notes.
    """

    def __init__(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            # What the terminal's encoding lacks, and lone halves of characters, are no failure.
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")
        self.is_terminal = sys.stdout.isatty()
        self.has_terminal_for_notes = sys.stderr.isatty()
        has_colours = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._is_dim = self.has_terminal_for_notes and has_colours
        self._stream = HarmlessStream()
        self._last = "\n"

    def write(self, piece: str) -> None:
        """Shows a piece of an answer."""
        text = self._stream.feed(piece) if self.is_terminal else piece
        if text:
            sys.stdout.write(text)
            sys.stdout.flush()
            self._last = text[-1]

    def end_line(self) -> None:
        """Ends the answer's line, if one is begun."""
        self._stream = HarmlessStream()
        if self._last != "\n":
            self.write("\n")

    def break_off(self) -> None:
        """Goes to a new line after what the user typed, such as ``^C``."""
        if self.is_terminal:
            self._last = ""
            self.end_line()
        else:
            self.end_line()
            print(file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """Says something beside the answer, in one line that is cut to the terminal's width."""
        self.make_room()
        width = shutil.get_terminal_size().columns if self.has_terminal_for_notes else _LOGGED
        line = cut(one_line(text), width)
        print(f"{_DIM}{line}{_PLAIN}" if self._is_dim else line, file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """Shows text that is not the answer as it is."""
        self.make_room()
        shown = harmless(text) if self.has_terminal_for_notes else text
        print(shown, end="" if shown.endswith("\n") else "\n", file=sys.stderr, flush=True)

    def complain(self, text: str) -> None:
        """Says what went wrong, in one line."""
        self.make_room()
        print(f"luaopenai: {one_line(text)}", file=sys.stderr, flush=True)

    def make_room(self) -> None:
        """Ends the answer's line where a terminal shows both it and the notes."""
        if self.is_terminal and self.has_terminal_for_notes:
            self.end_line()
