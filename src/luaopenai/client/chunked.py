"""Reads a chunked HTTP body by what has arrived, not chunk by chunk.

The standard library reads each chunk with calls of its own, and urllib3 adds more: 10 µs an event
where a server sends one event a chunk. Here all chunks that a read of the socket brought come
out as one piece.
"""

from __future__ import annotations

import re
from http.client import HTTPResponse, IncompleteRead
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

_READ = 65536
_LONGEST_LINE = 65536
_HEXADECIMAL = re.compile(rb"[0-9A-Fa-f]{1,15}")


class _Response(HTTPResponse):
    _unread = b""
    _left = 0
    """Bytes that the current chunk still lacks, its line end among them."""

    def read1(self, n: int = -1) -> bytes:
        if not self.chunked or self.fp is None:
            return super().read1(n)
        while True:
            data = self._unread + self.fp.read1(_READ)
            if len(data) == len(self._unread):
                self.close()
                raise IncompleteRead(b"")
            body = self._take(data)
            if body or self.fp is None:
                return body

    def _take(self, data: bytes) -> bytes:
        """The bodies of the chunks in ``data``; keeps what is not yet a whole line."""
        pieces: list[bytes] = []
        at = 0
        while True:
            if self._left:
                taken = data[at : at + self._left]
                at += len(taken)
                self._left -= len(taken)
                pieces.append(taken[: len(taken) - max(0, 2 - self._left)])
                if self._left:
                    break
            end = data.find(b"\r\n", at)
            if end < 0:
                break
            size = _size(data[at:end])
            if size == 0:
                at = self._finish(data, at, end)
                break
            at, self._left = end + 2, size + 2
        self._unread = data[at:]
        if len(self._unread) > _LONGEST_LINE:
            raise IncompleteRead(b"")
        return b"".join(pieces)

    def _finish(self, data: bytes, at: int, end: int) -> int:
        """Pass over the trailer, once all of it is there, and let the connection be used again."""
        if data[end + 2 : end + 4] == b"\r\n":
            stop = end + 4
        else:
            stop = data.find(b"\r\n\r\n", end) + 4
            if stop < 4:
                return at
        fp, self.fp = self.fp, None  # type: ignore[assignment]
        fp.close()
        return stop


def _size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    if not _HEXADECIMAL.fullmatch(digits):
        raise IncompleteRead(b"")
    return int(digits, 16)


class _Connection(HTTPConnection):
    response_class = _Response


class _TLSConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


POOL_CLASSES: dict[str, Any] = {"http": _Pool, "https": _TLSPool}
"""For ``PoolManager.pool_classes_by_scheme``."""
