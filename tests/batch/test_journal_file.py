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
