"""Keeps answers between runs and jobs: the same script gives the same row the same answer."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from zlib import crc32

from luaopenai.batch.options import BatchError

NAME = "answers.sqlite"
_WAIT_SECONDS = 60.0


class AnswerCache:
    """Answers in a folder that several jobs may share at the same time.

    ``script`` has the digests of the script's files, ``args`` are what its ``setup`` gets: another
    script or other arguments have answers of their own. Raises ``BatchError`` where the folder
    cannot be used.
    """

    def __init__(self, folder: str, script: Mapping[str, str], args: Sequence[str]) -> None:
        self._path = os.path.join(folder, NAME)
        # The name of the script does not count, nor what it calls its modules.
        meaning = json.dumps([sorted(script.values()), list(args)])
        self._meaning = blake2b(meaning.encode()).digest()
        self._new: list[tuple[bytes, bytes | None, int]] = []
        try:
            os.makedirs(folder, exist_ok=True)
            self._db = sqlite3.connect(
                self._path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode = WAL")
            # An answer that a power cut takes away is asked for again.
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS answers"
                " (digest BLOB PRIMARY KEY, text BLOB, sum INTEGER NOT NULL) WITHOUT ROWID"
            )
        except (OSError, sqlite3.Error) as error:
            raise self._trouble(error) from None

    def find(self, row: bytes) -> tuple[bytes | None] | None:
        """Returns the answer to a row in a tuple (None: the row is left out), or None.

        Raises ``BatchError`` where the cache is damaged.
        """
        digest = self._digest(row)
        query = "SELECT text, sum FROM answers WHERE digest = ?"
        try:
            found = self._db.execute(query, (digest,)).fetchone()
        except sqlite3.Error as error:
            raise self._trouble(error) from None
        if found is None or crc32(found[0] or b"", crc32(digest)) != found[1]:
            return None
        return (found[0],)

    def add(self, row: bytes, text: bytes | None) -> None:
        """Keeps an answer; others see it after ``save``."""
        digest = self._digest(row)
        self._new.append((digest, text, crc32(text or b"", crc32(digest))))

    def save(self) -> None:
        """Writes what was added; raises ``sqlite3.Error``."""
        if not self._new:
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", self._new)
            self._db.execute("COMMIT")
        except sqlite3.Error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._new = []

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    def _trouble(self, error: Exception) -> BatchError:
        return BatchError(f"the cache {self._path} cannot be used: {error}")

    def _digest(self, row: bytes) -> bytes:
        return blake2b(row, digest_size=16, key=self._meaning).digest()
