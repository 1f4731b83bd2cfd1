"""A journal keeps outcomes and what was used, gives them back, and gives nobody what is damaged."""

from __future__ import annotations

import contextlib
import json
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luaopenai.batch.exchange import DONE, FAILED, LEFT_OUT, Outcome, Row, Usage
from luaopenai.batch.journal import COMMIT_BYTES, Journal
from luaopenai.batch.journal_file import JournalDamagedError
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


@pytest.mark.skipif(os.name != "posix", reason="limits of files are POSIX's")
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


@pytest.mark.parametrize(
    "read",
    [
        lambda journal: list(journal.finished()),
        lambda journal: list(journal.results()),
        lambda journal: journal.outcome(0),
    ],
)
@pytest.mark.parametrize("damaged", [b"2", "1", 1, None])
def test_a_damaged_row_is_given_to_nobody(
    tmp_path: Path, read: Callable[[Journal], object], damaged: object
) -> None:
    path = str(tmp_path / "j")
    with contextlib.closing(Journal(path)) as journal:
        journal.add(Row(0, b"1", b"d" * 16, "f", 1), Outcome(0, DONE, b"1"), 1)
        journal.commit()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE rows SET text = ?", (damaged,))
        db.commit()
    with (
        contextlib.closing(Journal(path)) as journal,
        pytest.raises(BatchError, match="row 0 is not as it was written"),
    ):
        read(journal)


# Damage, and journals of version 1.


def row(number: int, value: int) -> Row:
    return Row(number, b"%d" % value, b"%d" % value * 16, "f.jsonl", number + 1)


def fill(path: Path) -> None:
    """Makes a journal with rows of every kind, and closes it."""
    with contextlib.closing(Journal(str(path))) as journal:
        journal.set("job", {"args": ["a"]})
        for number in range(4):
            journal.add(row(number, number), Outcome(number, DONE, b"%d" % -number), 1)
        for number in (4, 5):
            journal.add(row(number, number), Outcome(number, FAILED, error=f"no {number}"), 2)
        journal.add(row(6, 6), Outcome(6, LEFT_OUT), 1)
        for number, first in ((7, 1), (8, 4), (9, 2)):
            journal.add_same(row(number, first), first)
        journal.add_bad("f.jsonl:11", "is no JSON")
        journal.commit()


def content(path: Path) -> list[Any]:
    """All that a journal tells."""
    with contextlib.closing(Journal(str(path))) as journal:
        return [
            journal.get("job"),
            list(journal.finished()),
            list(journal.results()),
            # In which order they came has no checksum.
            sorted(journal.results(unordered=True)),
            list(journal.failures()),
            list(journal.bad()),
            [journal.outcome(number) for number in range(10)],
            (journal.done, journal.left_out, journal.failed, journal.failed_rows()),
        ]


def change(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()


def test_a_journal_gives_back_what_it_was_given(tmp_path: Path) -> None:
    fill(tmp_path / "j")
    job, finished, results, unordered, failures, bad, outcomes, counts = content(tmp_path / "j")
    assert job == {"args": ["a"]}
    assert [number for number, _, _ in finished] == list(range(10))
    assert [number for number, _, is_failed in finished if is_failed] == [4, 5]
    assert results == [b"0", b"-1", b"-2", b"-3", b"-1", b"-2"]
    assert unordered == sorted(results)
    assert [(line["number"], line["source"], line["error"]) for line in failures] == [
        (4, "f.jsonl:5", "no 4"),
        (5, "f.jsonl:6", "no 5"),
        (8, "f.jsonl:9", "no 4"),
    ]
    assert {line["attempts"] for line in failures} == {2}
    assert bad == [{"source": "f.jsonl:11", "error": "is no JSON"}]
    assert outcomes[7:] == [
        Outcome(7, DONE, b"-1"),
        Outcome(8, FAILED, error="no 4"),
        Outcome(9, DONE, b"-2"),
    ]
    assert counts == (7, 1, 2, 3)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE failures SET error = 'other' WHERE number = 4",
        "UPDATE failures SET key = CAST(key AS BLOB) WHERE number = 4",
        "UPDATE failures SET attempts = 3 WHERE number = 4",
        "UPDATE failures SET row = '[1]' WHERE number = 4",
        "UPDATE failures SET sum = 1 WHERE number = 4",
        "UPDATE failures SET number = 40 WHERE number = 4",
        "DELETE FROM failures WHERE number = 4",
    ],
)
@pytest.mark.parametrize(
    "read", [lambda journal: list(journal.failures()), lambda journal: journal.outcome(4)]
)
def test_a_damaged_failure_is_given_to_nobody(
    tmp_path: Path, statement: str, read: Callable[[Journal], object]
) -> None:
    fill(tmp_path / "j")
    change(tmp_path / "j", statement)
    with (
        contextlib.closing(Journal(str(tmp_path / "j"))) as journal,
        pytest.raises(BatchError, match=r"is damaged \(the failure of row 4 is not as it was"),
    ):
        read(journal)


@pytest.mark.parametrize("first", [0, 7, 77])
def test_a_row_gets_the_result_of_no_row_but_an_equal_one(tmp_path: Path, first: int) -> None:
    fill(tmp_path / "j")
    change(tmp_path / "j", f"UPDATE rows SET same = {first} WHERE number = 9")
    with (
        contextlib.closing(Journal(str(tmp_path / "j"))) as journal,
        pytest.raises(BatchError, match=r"is damaged \(row 9 is not as it was written\)"),
    ):
        list(journal.results())


@pytest.mark.parametrize(("number", "first"), [(9, 0), (8, 5), (9, 7)])
def test_a_row_gets_the_outcome_of_no_row_but_an_equal_one(
    tmp_path: Path, number: int, first: int
) -> None:
    fill(tmp_path / "j")
    change(tmp_path / "j", f"UPDATE rows SET same = {first} WHERE number = {number}")
    with contextlib.closing(Journal(str(tmp_path / "j"))) as journal:
        with pytest.raises(BatchError, match=f"row {number} is not as it was written"):
            journal.outcome(number)
        if number == 8:
            with pytest.raises(BatchError, match="row 8 is not as it was written"):
                list(journal.failures())


def test_a_journal_with_one_other_bit_is_as_it_was_or_said_to_be_damaged(tmp_path: Path) -> None:
    path = tmp_path / "j"
    fill(path)
    whole, told = path.read_bytes(), content(path)
    used = [place for place in range(100, len(whole)) if whole[place]]
    chance = random.Random("bits")
    damaged = 0
    for _ in range(300):
        changed = bytearray(whole)
        changed[chance.choice(used)] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        try:
            same = content(path) == told
        except JournalDamagedError:
            damaged += 1
        else:
            assert same
    assert damaged > 250


VERSION_1 = (
    "DROP TABLE meta",
    "DROP TABLE failures",
    "DROP TABLE bad",
    """CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE failures (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL, source TEXT NOT NULL, row BLOB NOT NULL,
    error TEXT NOT NULL, attempts INTEGER NOT NULL
)""",
    """CREATE TABLE bad (source TEXT PRIMARY KEY, error TEXT NOT NULL) WITHOUT ROWID""",
    "INSERT INTO meta SELECT name, value FROM now.meta",
    "INSERT INTO failures SELECT number, key, source, row, error, attempts FROM now.failures",
    "INSERT INTO bad SELECT source, error FROM now.bad",
    "PRAGMA user_version = 1",
)


SEEN = (
    "DROP TABLE seen",
    "CREATE TABLE seen (digest BLOB PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID",
    "INSERT INTO seen SELECT digest, number FROM now.seen",
)


def fill_version_1(path: Path) -> None:
    """Makes a journal as version 1 had them, which had no checksums but in ``rows``."""
    fill(path)
    make_version_1(path)


def make_version_1(path: Path, *more: str) -> None:
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    change(path, f"ATTACH '{copy}' AS now", *VERSION_1, *more)


def test_a_journal_of_version_1_is_read(tmp_path: Path) -> None:
    fill(tmp_path / "now")
    fill_version_1(tmp_path / "j")
    for _ in range(2):
        assert content(tmp_path / "j") == content(tmp_path / "now")


@pytest.mark.parametrize("more", [(), SEEN])
def test_of_a_journal_of_version_1_rows_that_wait_for_another_are_forgotten(
    tmp_path: Path, more: tuple[str, ...]
) -> None:
    path = tmp_path / "j"
    with contextlib.closing(Journal(str(path))) as journal:
        for number in (0, 1):
            journal.first_seen(row(number, number))
        journal.add(row(0, 0), Outcome(0, DONE, b"0"), 1)
        journal.add_same(row(2, 1), 1)
        journal.add_same(row(3, 0), 0)
        journal.commit()
    make_version_1(path, *more)
    with contextlib.closing(Journal(str(path))) as journal:
        assert [number for number, _, _ in journal.finished()] == [0, 3]
        assert (journal.done, journal.first_seen(row(4, 1))) == (2, (4, "f.jsonl:5"))


def test_a_journal_of_version_1_has_checksums_once_it_was_read(tmp_path: Path) -> None:
    fill_version_1(tmp_path / "j")
    Journal(str(tmp_path / "j")).close()
    change(tmp_path / "j", "UPDATE failures SET error = 'other' WHERE number = 5")
    with pytest.raises(BatchError, match="the failure of row 5 is not as it was written"):
        content(tmp_path / "j")


def test_a_row_that_shares_with_one_that_shares_itself_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with contextlib.closing(Journal(str(path))) as journal:
        journal.add(row(0, 1), Outcome(0, DONE, b"1"), 1)
        for number in (1, 2):
            journal.add_same(row(number, 1), 0)
        journal.commit()
    change(path, "UPDATE rows SET same = 1 WHERE number = 2")
    with contextlib.closing(Journal(str(path))) as journal:
        with pytest.raises(BatchError, match="row 2 is not as it was written"):
            list(journal.results())
        with pytest.raises(BatchError, match="row 2 is not as it was written"):
            journal.outcome(2)


def test_a_result_that_was_damaged_is_not_moved(tmp_path: Path) -> None:
    fill(tmp_path / "j")
    change(tmp_path / "j", "UPDATE rows SET text = CAST('7' AS BLOB) WHERE number = 3")
    with (
        contextlib.closing(Journal(str(tmp_path / "j"))) as journal,
        pytest.raises(BatchError, match="row 3 is not as it was written"),
    ):
        journal.renumber(iter([row(0, 3)]))


@given(text=st.text(), row_text=st.text())
def test_any_failure_comes_back_as_it_was(text: str, row_text: str) -> None:
    content = json.dumps(row_text).encode()
    failed = Row(0, content, b"d" * 16, text, 1, named=text)
    with contextlib.closing(Journal(None)) as journal:
        journal.add(failed, Outcome(0, FAILED, error=text), 1)
        journal.commit()
        [line] = journal.failures()
        assert (line["row"], journal.outcome(0)) == (
            row_text,
            Outcome(0, FAILED, error=line["error"]),
        )
        escaped = text.encode("utf-8", "backslashreplace").decode()
        assert (line["key"], line["error"]) == (escaped, escaped or "failed")


def test_a_failure_that_was_damaged_is_not_moved(tmp_path: Path) -> None:
    fill(tmp_path / "j")
    change(tmp_path / "j", "UPDATE failures SET error = 'other' WHERE number = 5")
    with (
        contextlib.closing(Journal(str(tmp_path / "j"))) as journal,
        pytest.raises(BatchError, match="the failure of row 5 is not as it was written"),
    ):
        journal.renumber(iter([row(0, 5)]))


def test_rows_that_move_keep_their_outcomes(tmp_path: Path) -> None:
    fill(tmp_path / "j")
    with contextlib.closing(Journal(str(tmp_path / "j"))) as journal:
        # The second row of value 4 had shared the outcome of the first.
        assert journal.renumber(row(n, value) for n, value in enumerate((3, 4, 9, 4, 1))) == 4
        assert [number for number, _, _ in journal.finished()] == [0, 1, 3, 4]
        assert list(journal.results()) == [b"-3", b"-1"]
        assert [line["number"] for line in journal.failures()] == [1, 3]
        assert (journal.done, journal.failed) == (2, 2)
    assert content(tmp_path / "j")[2] == [b"-3", b"-1"]
