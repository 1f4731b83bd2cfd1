"""Messages between a host and a worker: lists of byte strings, each behind its length."""

from __future__ import annotations

import socket
import struct
import time

_COUNT = struct.Struct("<II")
_LENGTH = 4
LARGEST = 2**28
MOST_PARTS = 8


class HungUpError(Exception):
    """The other side is gone."""


class NonsenseError(Exception):
    """The other side says what none of ours says."""


class TooLargeError(Exception):
    """A message is larger than any may be; nothing of it was sent."""


class Channel:
    """One end of a socket pair."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._held = bytearray()

    @property
    def holds_more(self) -> bool:
        """Whether something has come already that ``receive`` has not returned."""
        return bool(self._held)

    def send(self, *parts: bytes, deadline: float | None = None) -> None:
        """Sends a message.

        Raises ``HungUpError``, ``TooLargeError`` with nothing sent, or ``TimeoutError`` past a
        deadline on the monotonic clock.
        """
        lengths = [len(part) for part in parts]
        count = len(lengths)
        size = sum(lengths) + _LENGTH * count
        if size > LARGEST:
            raise TooLargeError(f"{size >> 20} MB are too much, at most {LARGEST >> 20} can cross")
        head = struct.pack(f"<{2 + count}I", count, size, *lengths)
        try:
            self._limit_wait(deadline)
            self._sock.sendall(b"".join((head, *parts)))
        except TimeoutError:
            raise
        except OSError as error:
            raise HungUpError from error

    def receive(self, deadline: float | None = None) -> list[bytes]:
        """Returns the next message.

        Raises ``HungUpError``, ``NonsenseError``, or ``TimeoutError`` past a deadline on the
        monotonic clock.
        """
        count, size = _COUNT.unpack(self._take(_COUNT.size, deadline))
        if size > LARGEST or not 0 < count <= MOST_PARTS or count * _LENGTH > size:
            raise NonsenseError
        message = self._take(size, deadline)
        at = count * _LENGTH
        parts = []
        for length in struct.unpack_from(f"<{count}I", message):
            parts.append(message[at : at + length])
            at += length
        return parts

    def close(self) -> None:
        """Closes this end."""
        self._sock.close()

    def _take(self, size: int, deadline: float | None) -> bytes:
        while len(self._held) < size:
            try:
                self._limit_wait(deadline)
                piece = self._sock.recv(max(65536, size - len(self._held)))
            except TimeoutError:
                raise
            except OSError as error:
                raise HungUpError from error
            if not piece:
                raise HungUpError
            self._held += piece
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken

    def _limit_wait(self, deadline: float | None) -> None:
        wait = None if deadline is None else deadline - time.monotonic()
        if wait is not None and wait <= 0:
            raise TimeoutError
        # Not where nothing changes: a worker that is locked up may not.
        if wait != self._sock.gettimeout():
            self._sock.settimeout(wait)
