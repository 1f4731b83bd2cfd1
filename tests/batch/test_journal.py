"""A journal keeps outcomes and what was used, gives them back, and gives nobody what is damaged."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from luaopenai.batch.exchange import DONE, Outcome, Row, Usage
from luaopenai.batch.journal import COMMIT_BYTES, Journal
from luaopenai.batch.options import BatchError


def test_outcomes_are_kept_within_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("luaopenai.batch.journal.time.monotonic", lambda: now)
    journal = Journal(str(tmp_path / "j"))
    row = Row(0, b"1", b"d" * 16, "f", 1)
    journal.add(row, Outcome(0, DONE, b"1"), 1)
    journal.commit_if_due()
    assert journal.unsaved == 1
    now += 0.9
    journal.commit_if_due()
    assert journal.unsaved == 0
    journal.close()


def test_much_is_kept_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luaopenai.batch.journal.time.monotonic", lambda: 100.0)
    with contextlib.closing(Journal(str(tmp_path / "j"))) as journal:
        text = b'"' + b"x" * COMMIT_BYTES + b'"'
        journal.add(Row(0, b"1", b"d" * 16, "f", 1), Outcome(0, DONE, text), 1)
        journal.commit_if_due()
        assert journal.unsaved == 0


def test_what_was_used_is_kept_although_no_row_was_finished(tmp_path: Path) -> None:
    path = str(tmp_path / "j")
    with contextlib.closing(Journal(path)) as journal:
        journal.use(Usage(1, 10, 5, 0.25))
        journal.commit()
    with contextlib.closing(Journal(path)) as journal:
        assert journal.usage == Usage(1, 10, 5, 0.25)


def test_a_commit_that_fails_at_its_end_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Disturbed(sqlite3.Connection):
        is_disturbed = False

        def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
            if statement == "COMMIT" and self.is_disturbed:
                raise sqlite3.OperationalError("disk I/O error")
            return super().execute(statement, *values)

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Disturbed))
    with contextlib.closing(Journal(str(tmp_path / "j"))) as journal:
        journal.add(Row(0, b"1", b"d" * 16, "f", 1), Outcome(0, DONE, b"1"), 1)
        Disturbed.is_disturbed = True
        with pytest.raises(sqlite3.Error, match="disk I/O error"):
            journal.commit()
        Disturbed.is_disturbed = False
        journal.commit()
        assert list(journal.results()) == [b"1"]


def test_what_found_no_room_is_kept_once_there_is_some(tmp_path: Path) -> None:
    code = f"""
import resource, signal, sqlite3
from luaopenai.batch.exchange import DONE, Outcome, Row
from luaopenai.batch.journal import Journal

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = {str(tmp_path / "j")!r}
journal = Journal(path)
rows = [Row(n, b"1", n.to_bytes(16, "big"), "f", n) for n in range(500)]
for row in rows:
    journal.add(row, Outcome(row.number, DONE, b'"' + b"x" * 200 + b'"'), 1)
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, most))
for _ in range(2):
    try:
        journal.commit()
        print("kept")
    except sqlite3.Error as error:
        print("full")
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
journal.commit()
journal.close()
print(sum(1 for _ in Journal(path).results()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("full\nfull\n500\n", "")


@pytest.mark.skipif(os.name != "posix", reason="limits of files are POSIX's")
@pytest.mark.parametrize(
    "read",
    [
        lambda journal: list(journal.finished()),
        lambda journal: list(journal.results()),
        lambda journal: journal.outcome(0),
    ],
)
def test_a_damaged_row_is_given_to_nobody(
    tmp_path: Path, read: Callable[[Journal], object]
) -> None:
    path = str(tmp_path / "j")
    with contextlib.closing(Journal(path)) as journal:
        journal.add(Row(0, b"1", b"d" * 16, "f", 1), Outcome(0, DONE, b"1"), 1)
        journal.commit()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE rows SET text = ?", (b"2",))
        db.commit()
    with (
        contextlib.closing(Journal(path)) as journal,
        pytest.raises(BatchError, match="row 0 is not as it was written"),
    ):
        read(journal)
