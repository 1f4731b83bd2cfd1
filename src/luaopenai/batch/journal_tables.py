"""The tables of a journal: their schema, what a row and a failure are in them, and checksums."""

from __future__ import annotations

import json
from typing import Any
from zlib import crc32

from luaopenai.batch.exchange import DONE, FAILED, LEFT_OUT, Row

DONE_CODE, LEFT_OUT_CODE, FAILED_CODE, SAME_CODE = 1, 2, 3, 4
CODES = {DONE: DONE_CODE, LEFT_OUT: LEFT_OUT_CODE, FAILED: FAILED_CODE}
STATUSES = {code: status for status, code in CODES.items()}

# `same` is the number of an equal row whose outcome this row shares; such a row's text says where
# it comes from. `position` counts the rows in the order in which they were finished.
ROWS_TABLE = """
CREATE TABLE rows (
    number INTEGER PRIMARY KEY, digest BLOB NOT NULL, status INTEGER NOT NULL,
    position INTEGER NOT NULL, sum INTEGER NOT NULL, same INTEGER, text BLOB
);
"""
SEEN_TABLE = """
CREATE TABLE seen (
    digest BLOB PRIMARY KEY, number INTEGER NOT NULL, source TEXT NOT NULL
) WITHOUT ROWID;
"""
FAILURES_TABLE = """
CREATE TABLE failures (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL, source TEXT NOT NULL, row BLOB NOT NULL,
    error TEXT NOT NULL, attempts INTEGER NOT NULL, sum INTEGER NOT NULL
);
"""
SUMMED_TABLES = f"""
CREATE TABLE meta (
    name TEXT PRIMARY KEY, value TEXT NOT NULL, sum INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE bad (
    source TEXT PRIMARY KEY, error TEXT NOT NULL, sum INTEGER NOT NULL
) WITHOUT ROWID;
{FAILURES_TABLE}
"""
SCHEMA = ROWS_TABLE + SEEN_TABLE + SUMMED_TABLES

_VERSION_1 = f"""
{ROWS_TABLE}
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE bad (source TEXT PRIMARY KEY, error TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE failures (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL, source TEXT NOT NULL, row BLOB NOT NULL,
    error TEXT NOT NULL, attempts INTEGER NOT NULL
);
"""
_SEEN_WITHOUT_SOURCE = """
CREATE TABLE seen (digest BLOB PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
"""
VERSION = 2
SCHEMAS = {
    1: (_VERSION_1 + SEEN_TABLE, _VERSION_1 + _SEEN_WITHOUT_SOURCE),
    VERSION: (SCHEMA,),
}
"""What the tables may be in each version that can be read; 1 had checksums of rows only."""

COLUMNS = {
    "meta": ("name", "value"),
    "bad": ("source", "error"),
    "failures": ("number", "key", "source", "row", "error", "attempts"),
}
"""The columns of the tables whose records end in their own checksum, without that."""

ADD_ROW = "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?)"
ADD_FAILURE = "INSERT INTO failures VALUES (?, ?, ?, ?, ?, ?, ?)"


def statements(schema: str) -> list[str]:
    """Returns the statements of a schema, each as SQLite keeps it but for spaces."""
    return [" ".join(statement.split()) for statement in schema.split(";") if statement.strip()]


def row_record(
    row: Row, code: int, position: int, text: bytes | None, same: int | None = None
) -> tuple[Any, ...]:
    """Returns a finished row as ``rows`` has it."""
    sum_ = checksum(row.number, row.digest, code, text)
    return row.number, row.digest, code, position, sum_, same, text


def failure_record(row: Row, error: str, attempts: int) -> tuple[Any, ...]:
    """Returns a failed row as ``failures`` has it."""
    return summed(row.number, sound(row.key), sound(row.source), row.text, sound(error), attempts)


def summed(*values: Any) -> tuple[Any, ...]:
    """Returns a record that ends in its checksum, which its types count for, too."""
    return *values, crc32(json.dumps(values, default=repr).encode())


def checksum(number: int, digest: bytes, code: int, text: bytes | None) -> int:
    """Returns the checksum of a row."""
    return crc32(text or b"", crc32(digest, (number * 8 + code) & 0xFFFFFFFF))


def sound(text: str) -> str:
    """Returns a text that SQLite can store: half characters are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()
