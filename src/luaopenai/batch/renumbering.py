"""Gives the finished rows of a journal the numbers that they have in a changed input."""

from __future__ import annotations

from collections.abc import Iterable

from luaopenai.batch.exchange import Row
from luaopenai.batch.journal_file import JournalFile
from luaopenai.batch.journal_tables import (
    ADD_FAILURE,
    ADD_ROW,
    COLUMNS,
    FAILED_CODE,
    FAILURES_TABLE,
    ROWS_TABLE,
    failure_record,
    row_record,
)


def renumber(file: JournalFile, rows: Iterable[Row]) -> None:
    """Moves finished rows to the numbers that equal rows have in ``rows``, and forgets the others.

    Rows are equal where their digests are; of several equal ones the first comes first. Whoever
    calls it has begun a transaction.
    """
    db = file.db
    db.execute(
        "CREATE TABLE old (digest BLOB, number INTEGER, PRIMARY KEY (digest, number)) WITHOUT ROWID"
    )
    db.execute("INSERT INTO old SELECT digest, number FROM rows")
    for table in ("rows", "failures"):
        db.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    db.execute(ROWS_TABLE)
    db.execute(FAILURES_TABLE)
    db.execute("DELETE FROM seen")
    for row in rows:
        _move(file, row)
    for table in ("old", "old_rows", "old_failures"):
        db.execute(f"DROP TABLE {table}")


def _move(file: JournalFile, row: Row) -> None:
    db = file.db
    found = db.execute(
        "SELECT number FROM old WHERE digest = ? ORDER BY number LIMIT 1", (row.digest,)
    ).fetchone()
    if found is None:
        return
    [was] = found
    db.execute("DELETE FROM old WHERE digest = ? AND number = ?", (row.digest, was))
    # A row that shared another's outcome gets it as its own.
    found = db.execute(
        "SELECT r.position, r.digest, f.number, f.digest, f.status, f.sum, f.text FROM old_rows r"
        " JOIN old_rows f ON f.number = coalesce(r.same, r.number) WHERE r.number = ?",
        (was,),
    ).fetchone()
    if found is None:
        return
    position, digest, *first = found
    file.check_shared(was, digest, first)
    number, _, code, _, text = first
    db.execute(ADD_ROW, row_record(row, code, position, text))
    if code == FAILED_CODE:
        columns = ", ".join((*COLUMNS["failures"], "sum"))
        query = f"SELECT {columns} FROM old_failures WHERE number = ?"
        failure = db.execute(query, (number,)).fetchone()
        file.check_sum(failure or (None,), f"the failure of row {was}")
        *_, error, attempts, _ = failure
        db.execute(ADD_FAILURE, failure_record(row, error, attempts))
