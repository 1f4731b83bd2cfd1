"""Keeps what became of each row, so that a job that is killed at any moment can go on.

The journal is an SQLite database in WAL mode. ``synchronous=FULL`` makes a commit wait for the
disk: with one commit in half a second that costs little, and a power cut then loses no more than a
kill does. Every row has a checksum, so that a damaged file is never taken for results.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any
from zlib import crc32

from luaopenai.batch.exchange import DONE, FAILED, LEFT_OUT, Outcome, Row, Usage
from luaopenai.batch.options import BatchError

VERSION = 1
COMMIT_SECONDS = 0.5
COMMIT_BYTES = 16 << 20
_PAGE_ROWS = 5000
_PAGE_BYTES = 4 << 20
_CACHE_KB = 16_000
_HEADER = b"SQLite format 3\0"

_DONE, _LEFT_OUT, _FAILED, _SAME = 1, 2, 3, 4
_CODES = {DONE: _DONE, LEFT_OUT: _LEFT_OUT, FAILED: _FAILED}
_STATUSES = {code: status for status, code in _CODES.items()}

# `same` is the number of an equal row whose outcome this row shares; such a row's text says where
# it comes from. `position` counts the rows in the order in which they were finished.
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE rows (
    number INTEGER PRIMARY KEY, digest BLOB NOT NULL, status INTEGER NOT NULL,
    position INTEGER NOT NULL, sum INTEGER NOT NULL, same INTEGER, text BLOB
);
CREATE TABLE failures (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL, source TEXT NOT NULL, row BLOB NOT NULL,
    error TEXT NOT NULL, attempts INTEGER NOT NULL
);
CREATE TABLE bad (source TEXT PRIMARY KEY, error TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE seen (
    digest BLOB PRIMARY KEY, number INTEGER NOT NULL, source TEXT NOT NULL
) WITHOUT ROWID;
"""
_ADD = "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?)"
_ADD_FAILURE = "INSERT INTO failures VALUES (?, ?, ?, ?, ?, ?)"

Finished = tuple[int, bytes, bool]
"""A finished row: its number, its digest, and whether it failed."""


class JournalDamagedError(BatchError):
    """The journal's file is not as it was written."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(
            f"the journal {path} is damaged ({what}): --restart begins anew, or bring a copy back"
        )


class Journal:
    """The outcomes of a job's rows, in the file at ``path``.

    Where that is None, they are in memory, and only if ``keeps_rows``: else they are but counted.
    Who opens it holds its ``JournalLock``. Raises ``JournalDamagedError``, and ``BatchError`` where
    the file cannot be made or read.

    Attributes:
        is_new: whether it was made just now.
        done, left_out, failed: how many rows there are of each kind; rows that share another's
            outcome are counted as done.
        usage: what all runs have used.
        position: grows with every change of what the output is made of.
    """

    def __init__(self, path: str | None, *, restart: bool = False, keeps_rows: bool = True) -> None:
        self.path = path
        self._keeps_rows = keeps_rows or path is not None
        if path is not None:
            _check_start(path)
        if path is not None and restart:
            for end in ("", "-wal", "-shm", "-journal"):
                _remove(path + end)
        self.is_new = path is None or not os.path.exists(path)
        if path is not None and self.is_new:
            _make(path)
        self._rows: list[tuple[Any, ...]] = []
        self._failures: list[tuple[Any, ...]] = []
        self._again: list[tuple[int]] = []
        self._bytes = 0
        self._is_changed = False
        self._due = 0.0
        try:
            self._db = _connect(path or ":memory:")
            try:
                if path is None:
                    self._db.executescript(_SCHEMA)
                self._read_totals()
            except BaseException:
                # Its lock would keep this process from another try, as with --restart.
                self._db.close()
                raise
        except sqlite3.Error as error:
            raise self.trouble(error) from None
        except (ValueError, KeyError, TypeError) as error:
            # Such as a message of SQLite with bytes of a broken schema.
            raise JournalDamagedError(str(path), str(error)) from None

    def _read_totals(self) -> None:
        if not self.is_new:
            self._check()
        kinds = dict(self._db.execute("SELECT status, count(*) FROM rows GROUP BY status"))
        self.done = kinds.get(_DONE, 0) + kinds.get(_SAME, 0)
        self.left_out = kinds.get(_LEFT_OUT, 0)
        self.failed: int = kinds.get(_FAILED, 0)
        self._has_same = _SAME in kinds
        totals = self.get("totals") or {"rows": 0, "position": 0, "usage": {}}
        if totals["rows"] != self.done + self.left_out + self.failed:
            raise JournalDamagedError(str(self.path), "rows are missing")
        self.position = totals["position"]
        self.usage = Usage(**totals["usage"])
        self._forget_seen()

    def _forget_seen(self) -> None:
        """Forgets which rows were seen: one that is not finished may be another by now.

        Rows that share such a one's outcome are no longer finished.
        """
        if self._db.execute("SELECT 1 FROM seen LIMIT 1").fetchone() is None:
            return
        with self._transaction():
            self._db.execute("DELETE FROM seen")
            lost = self._db.execute(
                "DELETE FROM rows WHERE same IS NOT NULL AND same NOT IN (SELECT number FROM rows)"
            ).rowcount
            self.done -= lost
            self._put_totals()

    def _check(self) -> None:
        [version] = self._db.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            if version:
                raise BatchError(f"the journal {self.path} is of another version of luaopenai")
            raise JournalDamagedError(str(self.path), "it is no journal")
        [verdict] = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise JournalDamagedError(str(self.path), verdict.splitlines()[-1])

    # What is known of the job.

    def get(self, name: str) -> Any:
        """Returns what was kept under a name, or None."""
        found = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if found is None else self._decode(found[0])

    def set(self, name: str, value: Any) -> None:
        """Keeps a JSON value under a name, at once."""
        with self._transaction():
            self._put(name, value)

    def _put(self, name: str, value: Any) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, json.dumps(value)))

    # Outcomes.

    def add(self, row: Row, outcome: Outcome, attempts: int) -> None:
        """Keeps the last outcome of a row; it is safe after the next commit."""
        code = _CODES[outcome.status]
        text = outcome.text if code == _DONE else None
        if code == _DONE:
            self.done += 1
        elif code == _LEFT_OUT:
            self.left_out += 1
        else:
            self.failed += 1
            if self._keeps_rows:
                error = outcome.error or "failed"
                self._failures.append(_failure(row, _sound(error), attempts))
        self._add(row, code, None, text)

    def add_same(self, row: Row, first: int) -> None:
        """Notes that a row shares the outcome of the equal row ``first``."""
        self.done += 1
        self._has_same = True
        self._add(row, _SAME, first, json.dumps([row.key, row.source]).encode())

    def _add(self, row: Row, code: int, same: int | None, text: bytes | None) -> None:
        self._change()
        if not self._keeps_rows:
            return
        sum_ = checksum(row.number, row.digest, code, text)
        self._rows.append((row.number, row.digest, code, self.position, sum_, same, text))
        self.position += 1
        self._bytes += len(text or b"")

    def use(self, usage: Usage) -> None:
        """Adds to what was used."""
        self.usage += usage
        self._change()

    def try_again(self, number: int) -> None:
        """Forgets the failure of a row; ``add`` follows with its new outcome."""
        self._again.append((number,))
        self.failed -= 1
        self._change()

    def _change(self) -> None:
        if not self._is_changed:
            self._is_changed = True
            self._due = time.monotonic() + COMMIT_SECONDS

    def commit_if_due(self) -> None:
        """Commits what is half a second old, or much; raises ``sqlite3.Error``."""
        if self._is_changed and (self._bytes > COMMIT_BYTES or time.monotonic() >= self._due):
            self.commit()

    def commit(self) -> None:
        """Makes all outcomes safe; after a ``sqlite3.Error`` they are kept for another try."""
        if not self._is_changed:
            return
        with self._transaction():
            if self._again:
                self._db.executemany("DELETE FROM rows WHERE number = ?", self._again)
                self._db.executemany("DELETE FROM failures WHERE number = ?", self._again)
            self._db.executemany(_ADD, self._rows)
            if self._failures:
                self._db.executemany(_ADD_FAILURE, self._failures)
            self._put_totals()
        self._rows, self._failures, self._again, self._bytes = [], [], [], 0
        self._is_changed = False

    def _put_totals(self) -> None:
        rows = self.done + self.left_out + self.failed
        self._put("totals", {"rows": rows, "position": self.position, "usage": asdict(self.usage)})

    def _transaction(self) -> _Transaction:
        return _Transaction(self._db)

    @property
    def unsaved(self) -> int:
        """How many outcomes wait for a commit."""
        return len(self._rows)

    # Rows that have been seen.

    def first_seen(self, row: Row) -> tuple[int, str]:
        """Returns number and source of the first row that was seen with a row's digest: those of
        itself, if it is new.
        """
        query = "SELECT number, source FROM seen WHERE digest = ?"
        known: tuple[int, str] | None = self._db.execute(query, (row.digest,)).fetchone()
        if known is not None:
            return known
        source = _sound(row.source)
        self._write("INSERT INTO seen VALUES (?, ?, ?)", (row.digest, row.number, source))
        return row.number, source

    def add_bad(self, source: str, error: str) -> None:
        """Keeps that an input row could not be read."""
        self._write("INSERT OR REPLACE INTO bad VALUES (?, ?)", (_sound(source), _sound(error)))

    def forget_bad(self) -> None:
        """Forgets which input rows could not be read: whoever reads the input adds them again."""
        self._write("DELETE FROM bad", ())

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        """Writes something that is safe after the next commit."""
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
        self._db.execute(statement, values)
        self._change()

    # What is in it.

    def finished(self) -> Iterator[Finished]:
        """Yields the finished rows by number; what is added meanwhile may be among them or not."""
        last = -1
        while page := self._page(last):
            for number, digest, status, sum_, text in page:
                self._check_row(number, digest, status, sum_, text)
                yield number, digest, status == _FAILED
            last = page[-1][0]

    def _page(self, last: int) -> list[Any]:
        """Returns rows after ``last``: not too many, for a cursor that stays open lets the WAL
        grow, and not too much, for they are kept in memory.
        """
        page: list[Any] = []
        size = 0
        cursor = self._db.execute(
            "SELECT number, digest, status, sum, text FROM rows WHERE number > ?"
            f" ORDER BY number LIMIT {_PAGE_ROWS}",
            (last,),
        )
        for row in cursor:
            page.append(row)
            size += len(row[4] or b"")
            if size > _PAGE_BYTES:
                break
        cursor.close()
        return page

    def outcome(self, number: int) -> Outcome | None:
        """Returns the outcome of a row, if it is finished; commits first where it must."""
        query = (
            "SELECT f.number, f.digest, f.status, f.sum, f.text, e.error FROM rows r"
            " JOIN rows f ON f.number = coalesce(r.same, r.number)"
            " LEFT JOIN failures e ON e.number = f.number WHERE r.number = ?"
        )
        found = self._db.execute(query, (number,)).fetchone()
        if found is None and self._rows:
            self.commit()
            found = self._db.execute(query, (number,)).fetchone()
        if found is None:
            return None
        first, digest, code, sum_, text, error = found
        self._check_row(first, digest, code, sum_, text)
        return Outcome(number, _STATUSES[code], text, error)

    def results(self, *, unordered: bool = False) -> Iterator[bytes]:
        """Yields the results as JSON, in the order of the rows or in that of their being done."""
        order = "position" if unordered else "number"
        if not self._has_same:
            query = (
                "SELECT number, digest, status, sum, text FROM rows"
                f" WHERE status = {_DONE} ORDER BY {order}"
            )
        else:
            query = (
                "SELECT f.number, f.digest, f.status, f.sum, f.text FROM rows r"
                " CROSS JOIN rows f ON f.number = coalesce(r.same, r.number)"
                f" WHERE f.status = {_DONE} ORDER BY r.{order}"
            )
        for number, digest, status, sum_, text in self._db.execute(query):
            self._check_row(number, digest, status, sum_, text)
            yield text

    def failures(self) -> Iterator[dict[str, Any]]:
        """Yields the failed rows by number, each as a line of the file of failures has it."""
        columns = "r.number, f.key, f.source, f.row, f.error, f.attempts, r.text"
        if self._has_same:
            tables = "rows r CROSS JOIN failures f ON f.number = coalesce(r.same, r.number)"
        else:
            tables = "failures f CROSS JOIN rows r ON r.number = f.number"
        query = f"SELECT {columns} FROM {tables} ORDER BY r.number"
        for number, key, source, row, error, attempts, text in self._db.execute(query):
            if text is not None:
                key, source = self._decode(text)
            yield {
                "number": number,
                "key": key,
                "source": source,
                "error": error,
                "attempts": attempts,
                "row": self._decode(row),
            }

    def bad(self) -> Iterator[dict[str, Any]]:
        """Yields the input rows that could not be read."""
        for source, error in self._db.execute("SELECT source, error FROM bad"):
            yield {"source": source, "error": error}

    def failed_rows(self) -> int:
        """Returns how many rows failed, with those that share the outcome of a failed one."""
        if not self._has_same:
            return self.failed
        query = (
            "SELECT count(*) FROM rows r JOIN rows f ON f.number = coalesce(r.same, r.number)"
            f" WHERE f.status = {_FAILED}"
        )
        return int(self._db.execute(query).fetchone()[0])

    def _decode(self, text: str | bytes) -> Any:
        try:
            return json.loads(text)
        except ValueError as error:
            raise JournalDamagedError(str(self.path), str(error)) from None

    def _check_row(
        self, number: int, digest: bytes, status: int, sum_: int, text: bytes | None
    ) -> None:
        if checksum(number, digest, status, text) != sum_:
            raise JournalDamagedError(str(self.path), f"row {number} is not as it was written")

    # Another input.

    def renumber(self, rows: Iterator[Row]) -> int:
        """Gives finished rows the numbers that they have in a changed input; forgets the others.

        Rows are the same where their digests are; of equal ones the first comes first. Returns how
        many finished rows there are still. All of it happens in one transaction.
        """
        db = self._db
        kept = 0
        with self._transaction():
            db.execute(
                "CREATE TABLE old (digest BLOB, number INTEGER, PRIMARY KEY (digest, number))"
                " WITHOUT ROWID"
            )
            db.execute("INSERT INTO old SELECT digest, number FROM rows")
            for table in ("rows", "failures"):
                db.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
            for statement in _SCHEMA.split(";"):
                if "TABLE rows" in statement or "TABLE failures" in statement:
                    db.execute(statement)
            db.execute("DELETE FROM seen")
            for row in rows:
                kept += self._move(row)
            for table in ("old", "old_rows", "old_failures"):
                db.execute(f"DROP TABLE {table}")
            kinds = dict(db.execute("SELECT status, count(*) FROM rows GROUP BY status"))
            self.done, self.left_out = kinds.get(_DONE, 0), kinds.get(_LEFT_OUT, 0)
            self.failed, self._has_same = kinds.get(_FAILED, 0), False
            # The output is no longer that of these rows.
            self.position += 1
            self._put_totals()
        return kept

    def _move(self, row: Row) -> bool:
        db = self._db
        found = db.execute(
            "SELECT number FROM old WHERE digest = ? ORDER BY number LIMIT 1", (row.digest,)
        ).fetchone()
        if found is None:
            return False
        [was] = found
        db.execute("DELETE FROM old WHERE digest = ? AND number = ?", (row.digest, was))
        # A row that shared another's outcome gets it as its own.
        outcome = db.execute(
            "SELECT f.number, f.digest, f.status, f.sum, f.text, r.position FROM old_rows r"
            " JOIN old_rows f ON f.number = coalesce(r.same, r.number) WHERE r.number = ?",
            (was,),
        ).fetchone()
        if outcome is None:
            return False
        first, digest, status, sum_, text, position = outcome
        self._check_row(first, digest, status, sum_, text)
        sum_ = checksum(row.number, row.digest, status, text)
        db.execute(_ADD, (row.number, row.digest, status, position, sum_, None, text))
        if status == _FAILED:
            error, attempts = db.execute(
                "SELECT error, attempts FROM old_failures WHERE number = ?", (first,)
            ).fetchone()
            db.execute(_ADD_FAILURE, _failure(row, error, attempts))
        return True

    # The end.

    def close(self) -> None:
        """Closes the file; what was not committed is lost."""
        self._db.close()

    def trouble(self, error: sqlite3.Error) -> BatchError:
        """Returns an error of the database as what it means for the job."""
        if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
            return BatchError(f"the journal {self.path} cannot be used: {error}")
        return JournalDamagedError(str(self.path), str(error))


class _Transaction:
    """A transaction that may have been begun before; rolled back where an exception ends it."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            try:
                self._db.execute("COMMIT")
                return
            except sqlite3.Error:
                self._roll_back()
                raise
        self._roll_back()

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")


def checksum(number: int, digest: bytes, status: int, text: bytes | None) -> int:
    """Returns the checksum of a row."""
    return crc32(text or b"", crc32(digest, (number * 8 + status) & 0xFFFFFFFF))


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
    for end in ("", "-wal", "-shm", "-journal"):
        _remove(partial + end)
        _remove(path + end)
    try:
        db = _connect(partial)
        db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()
        os.replace(partial, path)
    except (sqlite3.Error, OSError) as error:
        raise BatchError(f"the journal {path} cannot be made: {error}") from None
    sync_folder(path)


def sync_folder(path: str) -> None:
    """Makes the names in a file's folder safe, where the system has that."""
    if os.name != "posix":
        return
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _sound(text: str) -> str:
    """Returns a text that SQLite can store: half characters are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def _failure(row: Row, error: str, attempts: int) -> tuple[Any, ...]:
    """Returns a failed row as the table has it."""
    return row.number, _sound(row.key), _sound(row.source), row.text, error, attempts


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
