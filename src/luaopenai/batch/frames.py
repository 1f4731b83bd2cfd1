"""Messages between a job and its workers: a kind and bytes, through a pipe.

Rows go to a worker as lines ``NUMBER TAB JSON``, outcomes come back as ``NUMBER TAB STATUS TAB
TEXT``: neither JSON on one line nor an error's line has a line break.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator

from luaopenai.batch.exchange import DONE, FAILED, LEFT_OUT, Outcome

_HEAD = struct.Struct("<cI")
_PIECE = 1 << 18
_STATUSES = {b"d": DONE, b"l": LEFT_OUT, b"f": FAILED}

BEGIN = b"b"
"""To a worker: what it is to do, as JSON. From it: it has loaded the script."""
ROWS = b"r"
"""To a worker: rows, after a line with their number."""
SUSPECTS = b"s"
"""To a worker: rows that may have ended another worker; each is announced when it begins."""
GRANT = b"g"
"""To a worker: the numbers of the requests that may be sent, and the time, as JSON."""
LIMIT = b"l"
"""To a worker: from now on, each request needs a permit."""
FINISH = b"f"
"""To a worker: begin no further row, and end when those under way have ended."""
OUTCOMES = b"o"
"""From a worker: what became of rows."""
BEGUN = b"a"
"""From a worker: the number of a suspect that begins."""
ASK = b"q"
"""From a worker: a request's number and its need, as JSON."""
USED = b"u"
"""From a worker: what requests have used, as JSON."""
TOLD = b"t"
"""From a worker: the status and headers of an answer that may change the pace, as JSON."""
REFUSED = b"x"
"""From a worker: why it cannot begin, in one line; it ends."""


class FrameError(Exception):
    """The other side has ended, or sends what is no frame."""


class Frames:
    """Both directions of one line to the other side; any thread may send, one receives.

    Args:
        reader: the file descriptor to read from.
        writer: the one to write to.
    """

    def __init__(self, reader: int, writer: int) -> None:
        self._reader = reader
        self._writer = writer
        self._lock = threading.Lock()
        self._held = bytearray()

    def send(self, kind: bytes, payload: bytes = b"") -> None:
        """Sends a message; raises ``FrameError`` when nobody reads it."""
        data = memoryview(_HEAD.pack(kind, len(payload)) + payload)
        try:
            with self._lock:
                while data:
                    data = data[os.write(self._writer, data) :]
        except OSError:
            raise FrameError from None

    def receive(self) -> tuple[bytes, bytes]:
        """Returns the next message; raises ``FrameError`` at the end."""
        kind, size = _HEAD.unpack(self._take(_HEAD.size))
        return kind, self._take(size)

    def _take(self, size: int) -> bytes:
        held = self._held
        while len(held) < size:
            try:
                piece = os.read(self._reader, max(_PIECE, size - len(held)))
            except OSError:
                raise FrameError from None
            if not piece:
                raise FrameError
            held += piece
        taken = bytes(held[:size])
        del held[:size]
        return taken


def read_outcomes(payload: bytes) -> Iterator[Outcome]:
    """Yields what a worker's ``OUTCOMES`` tell."""
    for line in payload.split(b"\n"):
        if not line:
            continue
        number, status, text = line.split(b"\t", 2)
        outcome = Outcome(int(number), _STATUSES[status])
        if status == b"d":
            outcome.text = text
        elif status == b"f":
            outcome.error = text.decode("utf-8", "replace")
        yield outcome
