"""The file of a journal: what is no journal is refused, and what is committed is on the disk."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from luaopenai.batch.journal_file import JournalFile
from luaopenai.batch.options import BatchError


def test_a_journal_with_a_damaged_page_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "j"
    JournalFile(str(path)).close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        [size] = db.execute("PRAGMA page_size").fetchone()
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'failures'"
        [page] = db.execute(query).fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(bytes(size))
    with pytest.raises(BatchError, match="is damaged"):
        JournalFile(str(path))


def test_a_commit_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def note(*args: Any, **options: Any) -> sqlite3.Connection:
        opened.append(connect(*args, **options))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", note)
    with contextlib.closing(JournalFile(str(tmp_path / "j"))):
        full = 2
        assert opened[-1].execute("PRAGMA synchronous").fetchone() == (full,)


def change(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(statement)
        db.commit()


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("PRAGMA user_version = 3", "is of another version of luaopenai"),
        ("PRAGMA user_version = 0", r"is damaged \(it is no journal\)"),
        ("ALTER TABLE rows RENAME number TO numbes", r"is damaged \(its tables are not as they"),
        ("DROP TABLE seen", r"is damaged \(its tables are not as they were made\)"),
        ("PRAGMA user_version = 1", r"is damaged \(its tables are not as they were made\)"),
    ],
)
def test_another_file_of_sqlite_is_refused(tmp_path: Path, statement: str, what: str) -> None:
    path = tmp_path / "j"
    JournalFile(str(path)).close()
    change(path, statement)
    with pytest.raises(BatchError, match=what):
        JournalFile(str(path))
    JournalFile(str(path), restart=True).close()


def test_what_is_kept_under_a_name_is_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    path = str(tmp_path / "j")
    with contextlib.closing(JournalFile(path)) as file, file.transaction():
        file.put("job", {"n": 1})
    with contextlib.closing(JournalFile(path)) as file:
        assert (file.is_new, file.get("job"), file.get("other")) == (False, {"n": 1}, None)


@pytest.mark.parametrize("statement", ["value = '{}'", "name = 'task'"])
def test_what_is_damaged_under_a_name_is_said_to_be(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "j"
    with contextlib.closing(JournalFile(str(path))) as file, file.transaction():
        file.put("job", {"n": 1})
    change(path, f"UPDATE meta SET {statement}")
    with pytest.raises(BatchError, match=r"is damaged \(what is kept as (job|task) is not as it"):
        JournalFile(str(path))


def test_an_exception_undoes_a_transaction_and_what_was_begun_before_it() -> None:
    with contextlib.closing(JournalFile(None)) as file:
        file.begin()
        file.put("before", 1)
        with pytest.raises(TypeError), file.transaction():
            file.put("within", object())
        assert (file.get("before"), file.db.in_transaction) == (None, False)


def test_a_file_whose_content_is_not_as_it_should_be_is_closed(tmp_path: Path) -> None:
    file = JournalFile(str(tmp_path / "j"))
    with pytest.raises(BatchError, match=r"is damaged \('rows'\)"), file.opening():
        raise KeyError("rows")
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        file.get("job")
