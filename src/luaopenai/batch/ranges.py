"""Chunks of rows as parts of a file, which workers read where they can reach it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from luaopenai.batch.exchange import Row

_SPACE = b" \t\r\n"


@dataclass(frozen=True)
class Range:
    """Lines of a file that follow one another, each of which is a row.

    Attributes:
        path: the file's, from the root.
        start: where the first line begins, in bytes.
        size: bytes up to the end of the last row.
        first: its number; the others follow.
        count: how many.
        digest: of the rows' texts.
    """

    path: str = field(repr=False)
    start: int
    size: int
    first: int
    count: int
    digest: bytes = field(repr=False)

    def read(self) -> bytes | None:
        """Returns the rows as lines with their numbers; None where they are not there."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self.start)
                data = file.read(self.size)
        except OSError:
            return None
        texts = [line.strip(_SPACE) for line in data.split(b"\n")]
        if len(texts) != self.count or _digest(texts) != self.digest:
            return None
        return b"".join([b"%d\t%b\n" % pair for pair in enumerate(texts, self.first)])


def range_of(rows: Sequence[Row]) -> Range | None:
    """Returns the range that rows are in a file; None where they do not follow one another."""
    first, last = rows[0], rows[-1]
    count = len(rows)
    if (
        first.path is None
        or first.path != last.path
        or last.number - first.number != count - 1
        or last.line - first.line != count - 1
    ):
        return None
    size = last.at + len(last.text) - first.at
    digest = _digest([row.text for row in rows])
    return Range(os.path.realpath(first.path), first.at, size, first.number, count, digest)


def _digest(texts: Sequence[bytes]) -> bytes:
    return blake2b(b"\n".join(texts), digest_size=16).digest()
