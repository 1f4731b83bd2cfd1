"""Reads HTTP answers: passes over interim ones, and reads a chunked body by what has arrived.

The standard library reads each chunk with calls of its own, and urllib3 adds more: 10 µs an event
where a server sends one event a chunk. Here all chunks that a read of the socket brought come
out as one piece. It reads headers as if they were an e-mail's, in 100 µs; here that is left for
those that are not plain lines.
"""

from __future__ import annotations

import functools
import io
import re
import socket
from http.client import (
    HTTPException,
    HTTPResponse,
    IncompleteRead,
    LineTooLong,
    UnknownProtocol,
    parse_headers,
)
from typing import Any

from urllib3 import HTTPHeaderDict

from luaopenai.client.deadlines import Deadline, TimedFile

_READ = 65536
_LONGEST_LINE = 65536
_SHORT_LINE = 32
_MOST_INTERIM = 32
_MOST_HEADERS = 100
_SWITCHING_PROTOCOLS = 101
_WITHOUT_BODY = {_SWITCHING_PROTOCOLS, 204, 304}
_HEADER = re.compile(rb"([\w!#$%&'*+.^`|~-]+):[ \t]*([^\r\n\0]*?)[ \t]*\r?\n")
_HEADERS = re.compile(
    r"^([\w!#$%&'*+.^`|~-]+):[ \t]*([^\r\n\0]*?)[ \t]*\r\n", re.ASCII | re.MULTILINE
)
_FOLD = re.compile(r"[ \t]*\r?\n[ \t]+")
_HEXADECIMAL = re.compile(rb"[0-9A-Fa-f]{1,15}")


class ChunkedResponse(HTTPResponse):
    """The standard library's response, with a ``read1`` for chunked bodies.

    Of the interim answers (1xx) the standard library passes over 100 alone, and would take any
    other for the answer, and the answer for that to the next request.
    """

    _unread = b""
    _left = 0
    """Bytes that the current chunk still lacks."""
    _line_end = b""
    """The line end before the next chunk's size; empty before the first one's."""

    def __init__(
        self, sock: socket.socket, *args: Any, deadline: Deadline | None = None, **options: Any
    ) -> None:
        super().__init__(sock, *args, **options)
        if deadline is not None:
            self.fp.close()
            self.fp = io.BufferedReader(TimedFile(sock, deadline))

    def begin(self) -> None:
        """Reads the status and the headers."""
        version, self.status, reason = self._read_status()
        self.code, self.reason = self.status, reason.strip()
        if not version.startswith(("HTTP/1.", "HTTP/0.9")):
            raise UnknownProtocol(version)
        self.version = 10 if version in ("HTTP/1.0", "HTTP/0.9") else 11
        headers = _read_headers(self.fp)
        self.headers = self.msg = headers  # type: ignore[assignment]
        coding = next(iter(headers.getlist("transfer-encoding")), "")
        self.chunked = coding.lower() == "chunked"
        self.length = None if self.chunked else _read_length(headers.get("content-length"))
        if self.status in _WITHOUT_BODY or self._method == "HEAD":  # type: ignore[attr-defined]
            self.length = 0
        is_framed = self.chunked or self.length is not None
        # After 101 (switching protocols), what follows is no HTTP.
        self.will_close = (
            self._check_close()  # type: ignore[attr-defined]
            or not is_framed
            or self.status == _SWITCHING_PROTOCOLS
        )

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(_MOST_INTERIM):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status >= 200 or status == _SWITCHING_PROTOCOLS:
                return version, status, reason
            _read_headers(self.fp)
        raise HTTPException(f"more than {_MOST_INTERIM} interim answers")

    def read1(self, n: int = -1) -> bytes:
        """Returns what has arrived of the body; empty at its end."""
        if not self.chunked or self.fp is None:
            piece = super().read1(n)
            if self.length == 0:
                self.close()
            return piece
        if self.length == 0:  # HEAD's answer, and others that have no body whatever they say.
            self.close()
            return b""
        while True:
            data = self._unread + self.fp.read1(_READ)
            if len(data) == len(self._unread):
                self.close()
                raise IncompleteRead(b"")
            body = self._take(data)
            if body or self.fp is None:
                return body

    def _take(self, data: bytes) -> bytes:
        """Returns the bodies of the chunks in ``data``; keeps what is not yet a whole line."""
        pieces: list[bytes] = []
        at = 0
        while True:
            if self._left:
                taken = data[at : at + self._left]
                at += len(taken)
                self._left -= len(taken)
                pieces.append(taken)
                if self._left:
                    break
            end = data.find(b"\r\n", at + len(self._line_end))
            if end < 0:
                break
            size = _size(data[at:end], self._line_end)
            if size == 0:
                at = self._finish(data, at, end)
                break
            at, self._left, self._line_end = end + 2, size, b"\r\n"
        self._unread = data[at:]
        if len(self._unread) > _LONGEST_LINE:
            raise IncompleteRead(b"")
        return b"".join(pieces)

    def _finish(self, data: bytes, at: int, end: int) -> int:
        """Skips the trailer, once all of it is there, so that the connection can be used again."""
        if data[end + 2 : end + 4] == b"\r\n":
            stop = end + 4
        else:
            stop = data.find(b"\r\n\r\n", end) + 4
            if stop < 4:
                return at
        fp, self.fp = self.fp, None  # type: ignore[assignment]
        fp.close()
        return stop


def _read_headers(file: Any) -> HTTPHeaderDict:
    """Reads the headers, up to the blank line after them."""
    arrived = file.peek()
    end = arrived.find(b"\r\n\r\n") + 2
    if end >= 2:
        found = _HEADERS.findall(arrived[:end].decode("latin-1"))
        if len(found) == arrived.count(b"\n", 0, end) <= _MOST_HEADERS:
            file.read(end + 2)
            return HTTPHeaderDict(found)
    return _read_header_lines(file)


def _read_header_lines(file: Any) -> HTTPHeaderDict:
    """Reads headers that have not come together, or are no plain lines."""
    headers, lines, is_plain = HTTPHeaderDict(), [], True
    while True:
        line = file.readline(_LONGEST_LINE + 1)
        if len(line) > _LONGEST_LINE:
            raise LineTooLong("header line")
        if not line:
            raise IncompleteRead(b"")
        if line in (b"\r\n", b"\n"):
            break
        lines.append(line)
        if len(lines) > _MOST_HEADERS:
            raise HTTPException(f"more than {_MOST_HEADERS} headers")
        plain = _HEADER.fullmatch(line)
        if plain:
            headers.add(plain[1].decode("ascii"), plain[2].decode("latin-1"))
        else:
            is_plain = False
    if is_plain:
        return headers
    message = parse_headers(io.BytesIO(b"".join([*lines, b"\r\n"])))
    return HTTPHeaderDict((name, _FOLD.sub(" ", text)) for name, text in message.items())


def _read_length(text: str | None) -> int | None:
    """Returns the length that a body is said to have; None where that is no number.

    Args:
        text: with commas between several, which must be the same: one alone could end the body
            early, and have its rest taken for the next answer.
    """
    if not text:
        return None
    lengths = {_read_number(number) for number in text.split(",")}
    if len(lengths) > 1:
        raise HTTPException("a body of several lengths")
    return lengths.pop()


def _read_number(text: str) -> int | None:
    try:
        number = int(text)
    except ValueError:
        return None
    return number if number >= 0 else None


def _size(line: bytes, before: bytes) -> int:
    """Returns the size in a chunk's first line; known ones are cached, for streams use few."""
    return (_known_size if len(line) < _SHORT_LINE else _read_size)(line, before)


def _read_size(line: bytes, before: bytes) -> int:
    digits = line[len(before) :].partition(b";")[0].strip(b" \t")
    if not (line.startswith(before) and _HEXADECIMAL.fullmatch(digits)):
        raise IncompleteRead(b"")
    return int(digits, 16)


_known_size = functools.lru_cache(maxsize=1024)(_read_size)
