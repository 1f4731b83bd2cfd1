"""Keeps what became of each row, so that a job that is killed at any moment can go on.

Outcomes have checksums, so that a damaged file is never taken for results, or for failures.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from luaopenai.batch.exchange import FAILED, Outcome, Row, Usage
from luaopenai.batch.journal_file import JournalFile
from luaopenai.batch.journal_tables import (
    ADD_FAILURE,
    ADD_ROW,
    CODES,
    DONE_CODE,
    FAILED_CODE,
    LEFT_OUT_CODE,
    SAME_CODE,
    STATUSES,
    failure_record,
    row_record,
    sound,
    summed,
)
from luaopenai.batch.options import BatchError
from luaopenai.batch.renumbering import renumber

COMMIT_SECONDS = 0.5
COMMIT_BYTES = 16 << 20
_PAGE_ROWS = 5000
_PAGE_BYTES = 4 << 20

# The row whose outcome a row has, and how that failed, if it did.
_FIRST = "f.number, f.digest, f.status, f.sum, f.text"
_FAILURE = "e.number, e.key, e.source, e.row, e.error, e.attempts, e.sum"

Finished = tuple[int, bytes, bool]
"""A finished row: its number, its digest, and whether it failed."""


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
        self._rows: list[tuple[Any, ...]] = []
        self._failures: list[tuple[Any, ...]] = []
        self._again: list[tuple[int]] = []
        self._bytes = 0
        self._is_changed = False
        self._due = 0.0
        self._file = JournalFile(path, restart=restart)
        self._db = self._file.db
        self.is_new = self._file.is_new
        with self._file.opening():
            self._read_totals()

    def _read_totals(self) -> None:
        self._count()
        totals = self.get("totals") or {"rows": 0, "position": 0, "usage": {}}
        if totals["rows"] != self.done + self.left_out + self.failed:
            raise self._file.damaged("rows are missing")
        self.position = totals["position"]
        self.usage = Usage(**totals["usage"])
        self._forget_seen()

    def _forget_seen(self) -> None:
        """Forgets which rows were seen: one that is not finished may be another by now.

        Rows that share such a one's outcome are no longer finished.
        """
        if self._db.execute("SELECT 1 FROM seen LIMIT 1").fetchone() is None:
            return
        with self._file.transaction():
            self._db.execute("DELETE FROM seen")
            lost = self._db.execute(
                "DELETE FROM rows WHERE same IS NOT NULL AND same NOT IN (SELECT number FROM rows)"
            ).rowcount
            self.done -= lost
            self._put_totals()

    def _count(self) -> None:
        query = "SELECT status, count(*) FROM rows GROUP BY status"
        kinds: dict[int, int] = dict(self._db.execute(query))
        self.done = kinds.get(DONE_CODE, 0) + kinds.get(SAME_CODE, 0)
        self.left_out = kinds.get(LEFT_OUT_CODE, 0)
        self.failed = kinds.get(FAILED_CODE, 0)
        self._has_same = SAME_CODE in kinds

    # What is known of the job.

    def get(self, name: str) -> Any:
        """Returns what was kept under a name, or None."""
        return self._file.get(name)

    def set(self, name: str, value: Any) -> None:
        """Keeps a JSON value under a name, at once."""
        with self._file.transaction():
            self._file.put(name, value)

    # Outcomes.

    def add(self, row: Row, outcome: Outcome, attempts: int) -> None:
        """Keeps the last outcome of a row; it is safe after the next commit."""
        code = CODES[outcome.status]
        text = outcome.text if code == DONE_CODE else None
        if code == DONE_CODE:
            self.done += 1
        elif code == LEFT_OUT_CODE:
            self.left_out += 1
        else:
            self.failed += 1
            if self._keeps_rows:
                error = outcome.error or "failed"
                self._failures.append(failure_record(row, error, attempts))
        self._add(row, code, None, text)

    def add_same(self, row: Row, first: int) -> None:
        """Notes that a row shares the outcome of the equal row ``first``."""
        self.done += 1
        self._has_same = True
        self._add(row, SAME_CODE, first, json.dumps([row.key, row.source]).encode())

    def _add(self, row: Row, code: int, same: int | None, text: bytes | None) -> None:
        self._change()
        if not self._keeps_rows:
            return
        self._rows.append(row_record(row, code, self.position, text, same))
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
        with self._file.transaction():
            if self._again:
                self._db.executemany("DELETE FROM rows WHERE number = ?", self._again)
                self._db.executemany("DELETE FROM failures WHERE number = ?", self._again)
            self._db.executemany(ADD_ROW, self._rows)
            if self._failures:
                self._db.executemany(ADD_FAILURE, self._failures)
            self._put_totals()
        self._rows, self._failures, self._again, self._bytes = [], [], [], 0
        self._is_changed = False

    def _put_totals(self) -> None:
        rows = self.done + self.left_out + self.failed
        self._file.put(
            "totals", {"rows": rows, "position": self.position, "usage": asdict(self.usage)}
        )

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
        source = sound(row.source)
        self._write("INSERT INTO seen VALUES (?, ?, ?)", (row.digest, row.number, source))
        return row.number, source

    def add_bad(self, source: str, error: str) -> None:
        """Keeps that an input row could not be read."""
        record = summed(sound(source), sound(error))
        self._write("INSERT OR REPLACE INTO bad VALUES (?, ?, ?)", record)

    def forget_bad(self) -> None:
        """Forgets which input rows could not be read: whoever reads the input adds them again."""
        self._write("DELETE FROM bad", ())

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        """Writes something that is safe after the next commit."""
        self._file.begin()
        self._db.execute(statement, values)
        self._change()

    # What is in it.

    def finished(self) -> Iterator[Finished]:
        """Yields the finished rows by number; what is added meanwhile may be among them or not."""
        last = -1
        while page := self._page(last):
            for number, digest, status, sum_, text in page:
                self._file.check_row(number, digest, status, sum_, text)
                yield number, digest, status == FAILED_CODE
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
            size += len(row[4]) if isinstance(row[4], bytes) else 0
            if size > _PAGE_BYTES:
                break
        cursor.close()
        return page

    def outcome(self, number: int) -> Outcome | None:
        """Returns the outcome of a row, if it is finished; commits first where it must."""
        query = (
            f"SELECT r.digest, {_FIRST}, {_FAILURE} FROM rows r"
            " JOIN rows f ON f.number = coalesce(r.same, r.number)"
            " LEFT JOIN failures e ON e.number = f.number WHERE r.number = ?"
        )
        found = self._db.execute(query, (number,)).fetchone()
        if found is None and self._rows:
            self.commit()
            found = self._db.execute(query, (number,)).fetchone()
        if found is None:
            return None
        digest, *first = found[:6]
        failure = found[6:]
        self._file.check_shared(number, digest, first)
        code, text = first[2], first[4]
        if code != FAILED_CODE:
            return Outcome(number, STATUSES[code], text)
        self._file.check_sum(failure, f"the failure of row {number}")
        return Outcome(number, FAILED, error=failure[4])

    def results(self, *, unordered: bool = False) -> Iterator[bytes]:
        """Yields the results as JSON, in the order of the rows or in that of their being done.

        All rows are finished.
        """
        order = "position" if unordered else "number"
        if not self._has_same:
            query = (
                "SELECT number, digest, status, sum, text FROM rows"
                f" WHERE status = {DONE_CODE} ORDER BY {order}"
            )
            for record in self._db.execute(query):
                self._file.check_row(*record)
                yield record[4]
            return
        query = (
            f"SELECT r.number, r.digest, {_FIRST} FROM rows r"
            f" LEFT JOIN rows f ON f.number = coalesce(r.same, r.number) ORDER BY r.{order}"
        )
        for number, digest, *first in self._db.execute(query):
            self._file.check_shared(number, digest, first)
            if first[2] == DONE_CODE:
                yield first[4]

    def failures(self) -> Iterator[dict[str, Any]]:
        """Yields the failed rows by number, each as a line of the file of failures has it."""
        tables, first = "rows r", "r"
        if self._has_same:
            tables = "rows r CROSS JOIN rows f ON f.number = coalesce(r.same, r.number)"
            first = "f"
        query = (
            f"SELECT r.number, r.digest, r.status, r.sum, r.text, {first}.digest, {_FAILURE}"
            f" FROM {tables} LEFT JOIN failures e ON e.number = {first}.number"
            f" WHERE {first}.status = {FAILED_CODE} ORDER BY r.number"
        )
        for number, digest, code, sum_, text, first_digest, *failure in self._db.execute(query):
            self._file.check_row(number, digest, code, sum_, text)
            self._file.check_sum(failure, f"the failure of row {number}")
            if digest != first_digest:
                raise self._file.damaged(f"row {number} is not as it was written")
            _, key, source, row, error, attempts, _ = failure
            if code == SAME_CODE:
                key, source = self._file.decode(text)
            yield {
                "number": number,
                "key": key,
                "source": source,
                "error": error,
                "attempts": attempts,
                "row": self._file.decode(row),
            }

    def bad(self) -> Iterator[dict[str, Any]]:
        """Yields the input rows that could not be read."""
        for source, error, sum_ in self._db.execute("SELECT source, error, sum FROM bad"):
            self._file.check_sum((source, error, sum_), "a row that could not be read")
            yield {"source": source, "error": error}

    def failed_rows(self) -> int:
        """Returns how many rows failed, with those that share the outcome of a failed one."""
        if not self._has_same:
            return self.failed
        query = (
            "SELECT count(*) FROM rows r JOIN rows f ON f.number = coalesce(r.same, r.number)"
            f" WHERE f.status = {FAILED_CODE}"
        )
        return int(self._db.execute(query).fetchone()[0])

    # Another input.

    def renumber(self, rows: Iterator[Row]) -> int:
        """Gives finished rows the numbers that they have in a changed input; forgets the others.

        Rows are the same where their digests are; of equal ones the first comes first. Returns how
        many finished rows there are still. All of it happens in one transaction.
        """
        with self._file.transaction():
            renumber(self._file, rows)
            self._count()
            # The output is no longer that of these rows.
            self.position += 1
            self._put_totals()
        return self.done + self.left_out + self.failed

    # The end.

    def close(self) -> None:
        """Closes the file; what was not committed is lost."""
        self._file.close()

    def trouble(self, error: sqlite3.Error) -> BatchError:
        """Returns an error of the database as what it means for the job."""
        return self._file.trouble(error)
