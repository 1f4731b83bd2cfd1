"""The file of a journal: an SQLite database that is made whole, and checked when it is opened.

It is in WAL mode. ``synchronous=FULL`` makes a commit wait for the disk: with one commit in half a
second that costs little, and a power cut then loses no more than a kill does.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from luaopenai.batch.disk import sync_folder
from luaopenai.batch.journal_tables import (
    COLUMNS,
    SAME_CODE,
    SCHEMA,
    SCHEMAS,
    SEEN_TABLE,
    SUMMED_TABLES,
    VERSION,
    checksum,
    statements,
    summed,
)
from luaopenai.batch.options import BatchError

_CACHE_KB = 16_000
_HEADER = b"SQLite format 3\0"
_ENDS = ("", "-wal", "-shm", "-journal")


class JournalDamagedError(BatchError):
    """The journal's file is not as it was written."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(
            f"the journal {path} is damaged ({what}): --restart begins anew, or bring a copy back"
        )


class JournalFile:
    """The journal's database in the file at ``path``, or in memory where that is None.

    With ``restart``, one that is there is replaced. Raises ``JournalDamagedError``, and
    ``BatchError`` where the file cannot be made or read.

    Attributes:
        is_new: whether it was made just now.
        db: the connection; statements outside of a transaction are committed at once.
    """

    def __init__(self, path: str | None, *, restart: bool = False) -> None:
        self.path = path
        if path is not None:
            _check_start(path)
        if path is not None and restart:
            _remove(path)
        self.is_new = path is None or not os.path.exists(path)
        if path is not None and self.is_new:
            _make(path)
        with self._telling():
            self.db = _connect(path or ":memory:")
        with self.opening():
            if path is None:
                self.db.executescript(SCHEMA)
            elif not self.is_new:
                self._check()

    def _check(self) -> None:
        [version] = self.db.execute("PRAGMA user_version").fetchone()
        if version not in SCHEMAS:
            if version:
                raise BatchError(f"the journal {self.path} is of another version of luaopenai")
            raise self.damaged("it is no journal")
        [verdict] = self.db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise self.damaged(verdict.splitlines()[-1])
        # With another column by its name, SQLite would find no row, and say nothing.
        found = self.db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
        tables = {" ".join(sql.split()) for (sql,) in found}
        if tables not in [set(statements(schema)) for schema in SCHEMAS[version]]:
            raise self.damaged("its tables are not as they were made")
        if version == 1:
            self._add_sums()
        # All of them: one whose name is damaged would not be found.
        for record in self.db.execute("SELECT name, value, sum FROM meta"):
            self.check_sum(record, f"what is kept as {record[0]}")

    def _add_sums(self) -> None:
        """Makes a journal of version 1 one of this version, whose records have checksums."""
        db = self.db
        with self.transaction():
            # Whoever opens it forgets what was seen, so the source need not be known.
            db.execute("ALTER TABLE seen RENAME TO old_seen")
            db.execute(SEEN_TABLE)
            db.execute("INSERT INTO seen SELECT digest, number, '' FROM old_seen")
            db.execute("DROP TABLE old_seen")
            for table in COLUMNS:
                db.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
            for statement in statements(SUMMED_TABLES):
                db.execute(statement)
            for table, columns in COLUMNS.items():
                records = db.execute(f"SELECT {', '.join(columns)} FROM old_{table}")
                places = ", ".join("?" * (len(columns) + 1))
                db.executemany(
                    f"INSERT INTO {table} VALUES ({places})",
                    (summed(*record) for record in records),
                )
                db.execute(f"DROP TABLE old_{table}")
            db.execute(f"PRAGMA user_version = {VERSION}")

    @contextlib.contextmanager
    def opening(self) -> Iterator[None]:
        """Is around what is done with the file at first: where that fails, the file is closed.

        Raises ``BatchError`` where SQLite fails, or what is in the file is not as it should be.
        """
        with self._telling():
            try:
                yield
            except BaseException:
                # Its lock would keep this process from another try, as with --restart.
                self.db.close()
                raise

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self.trouble(error) from None
        except (ValueError, KeyError, TypeError) as error:
            # Such as a message of SQLite with bytes of a broken schema.
            raise self.damaged(str(error)) from None

    def get(self, name: str) -> Any:
        """Returns what was kept under a name, or None."""
        found = self.db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if found is None else self.decode(found[0])

    def put(self, name: str, value: Any) -> None:
        """Keeps a JSON value under a name."""
        record = summed(name, json.dumps(value))
        self.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", record)

    def begin(self) -> None:
        """Begins a transaction, where none has begun."""
        if not self.db.in_transaction:
            self.db.execute("BEGIN IMMEDIATE")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Commits at its end, also what ``begin`` has begun; an exception rolls all of it back."""
        self.begin()
        try:
            yield
            self.db.execute("COMMIT")
        except BaseException:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            raise

    def check_row(
        self, number: int, digest: bytes, code: int, sum_: int, text: bytes | None
    ) -> None:
        """Raises ``JournalDamagedError`` where a row does not have its checksum."""
        try:
            is_as_written = checksum(number, digest, code, text) == sum_
        except TypeError:
            # One bit makes a text of bytes.
            is_as_written = False
        if not is_as_written:
            raise self.damaged(f"row {number} is not as it was written")

    def check_shared(self, number: int, digest: bytes, first: Sequence[Any]) -> None:
        """Checks the row ``first``, whose outcome row ``number`` has: itself, or an equal one."""
        if digest != first[1] or first[2] == SAME_CODE:
            raise self.damaged(f"row {number} is not as it was written")
        self.check_row(*first)

    def check_sum(self, record: Sequence[Any], what: str) -> None:
        """Raises ``JournalDamagedError`` where a record does not end in its checksum."""
        if summed(*record[:-1])[-1] != record[-1]:
            raise self.damaged(f"{what} is not as it was written")

    def decode(self, text: str | bytes) -> Any:
        """Returns the value of a JSON text; raises ``JournalDamagedError`` where it is none."""
        try:
            return json.loads(text)
        except ValueError as error:
            raise self.damaged(str(error)) from None

    def damaged(self, what: str) -> JournalDamagedError:
        """Returns the error that tells of damage."""
        return JournalDamagedError(str(self.path), what)

    def trouble(self, error: sqlite3.Error) -> BatchError:
        """Returns an error of the database as what it means for the job."""
        if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
            return BatchError(f"the journal {self.path} cannot be used: {error}")
        return self.damaged(str(error))

    def close(self) -> None:
        """Closes the file; what was not committed is lost."""
        self.db.close()


def _connect(path: str) -> sqlite3.Connection:
    # Results may be taken in one thread after another, as by ``asyncio.to_thread``.
    db = sqlite3.connect(path, isolation_level=None, cached_statements=64, check_same_thread=False)
    # What is damaged shall be said so, not be an error of decoding.
    db.text_factory = lambda text: text.decode("utf-8", "replace")
    try:
        # Nobody else reads it: no shared memory is needed, and network drives do.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
    except BaseException:
        db.close()
        raise
    return db


def _check_start(path: str) -> None:
    """Refuses a file that was never a journal: with --restart, what is in it would be lost."""
    try:
        with open(path, "rb") as file:
            start = file.read(len(_HEADER))
    except FileNotFoundError:
        return
    except OSError as error:
        raise BatchError(f"the journal {path} cannot be read: {error.strerror}") from None
    if start != _HEADER[: len(start)]:
        raise BatchError(f"{path} is no journal: name another with --journal, or move it away")


def _make(path: str) -> None:
    """Makes an empty journal that is there as a whole or not at all."""
    partial = f"{path}.new"
    _remove(partial)
    _remove(path)
    try:
        db = _connect(partial)
        db.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()
        os.replace(partial, path)
    except (sqlite3.Error, OSError) as error:
        raise BatchError(f"the journal {path} cannot be made: {error}") from None
    sync_folder(path)


def _remove(path: str) -> None:
    """Removes a database, with what SQLite has put beside it."""
    for end in _ENDS:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path + end)
