"""An incremental decoder for server-sent events; it does no I/O.

Follows the event-stream format of the HTML standard (section 9.2), with three liberties that real
servers and their clients take: white space may stand before a line; an object that stands whole on
one ``data:`` line is an event at once, without waiting for the blank line, whatever came before it
without one; and an object may go on in lines that lack their ``data:``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def has_end(text: bytes) -> bool:
    """Returns whether these bytes hold a mark of a stream's end.

    Needed where HTTP does not tell: a body without a length ends with the connection, cut or not.
    """
    import re

    end = rb'\[DONE\]|"finish_reason"\s*:\s*"|"response\.(completed|incomplete|failed)"'
    return re.search(end, text) is not None


LONGEST_EVENT = 512 << 20
"""Bytes of an event that has not ended, with the lines around it."""


class Decoder:
    """Cuts body pieces of any size into events.

    Args:
        accept: is given the data of each event, as bytes; returns whether it could be decoded.
        limit: how many bytes of an event are held before it has ended.
    """

    def __init__(self, accept: Callable[[bytes], bool], limit: int = LONGEST_EVENT) -> None:
        self._accept = accept
        self._limit = limit
        self._held = 0
        self._partial: list[bytes] = []
        self._data: list[bytes] = []
        self._after_cr = False
        self._first = True

    def feed(self, piece: bytes) -> None:
        """Takes the next piece of the body, cut anywhere.

        Raises ``APIConnectionError`` when an event grows beyond the limit.
        """
        if not piece:
            return
        after_cr, self._after_cr = self._after_cr, piece.endswith(b"\r")
        if after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
        if b"\r" in piece:
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        head, newline, rest = piece.partition(b"\n")
        self._partial.append(head)
        self._held += len(piece)
        if newline:
            lines = rest.split(b"\n")
            self._partial, line = [lines.pop()], b"".join(self._partial)
            self._line(line)
            for line in lines:
                self._line(line)
            if not self._data:
                self._held = len(self._partial[0])
        if self._held > self._limit:
            self._give_up()

    def close(self) -> None:
        """Takes the end of the body: the last line may lack its newline."""
        line, self._partial = b"".join(self._partial), []
        if line:
            self._line(line)
        self._dispatch()

    def _give_up(self) -> None:
        from luaopenai.client.errors import APIConnectionError

        self._partial, self._data, self._held = [], [], 0
        raise APIConnectionError(f"an event of the stream is larger than {self._limit} bytes")

    def _line(self, whole: bytes) -> None:
        line = whole.lstrip()
        if self._first:
            self._first = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            self._dispatch()
        elif line.startswith(b"data:"):
            self._field(line[6:] if line[5:6] == b" " else line[5:])
        elif self._data and self._data[0][:1] == b"{" and not _is_field(line):
            self._data.append(whole)  # A line break that the server has not escaped.

    def _field(self, data: bytes) -> None:
        text = data.rstrip()
        if text[-1:] == b"}" and data[:1] == b"{":
            if self._data and self._data[-1].rstrip()[-1:] == b"}":
                self._dispatch()  # No JSON goes on with an object there, so it was whole.
            if self._accept(data):
                self._data = []
            else:
                self._data.append(data)
        elif text == b"[DONE]":
            self._dispatch()
        else:
            self._data.append(data)

    def _dispatch(self) -> None:
        if self._data:
            data, self._data = b"\n".join(self._data), []
            self._held = 0
            self._accept(data)


def _is_field(line: bytes) -> bool:
    name, _, _ = line.partition(b":")
    return name in (b"", b"data", b"event", b"id", b"retry")
