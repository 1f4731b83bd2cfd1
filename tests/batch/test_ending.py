"""The end of a run: which files it writes, and what it says it came to."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from luaopenai.batch.ending import end_run
from luaopenai.batch.exchange import DONE, FAILED, Counts, Outcome, Row, Summary
from luaopenai.batch.journal import Journal
from luaopenai.batch.lock import JournalLock
from luaopenai.batch.opening import OpenJob
from luaopenai.batch.options import CODE_FAILURES, CODE_STOPPED, Options
from luaopenai.batch.outputs import Output
from luaopenai.batch.rows import ValueRows
from luaopenai.batch.stopping import RunStop


class Source(ValueRows):
    """Values in the place of a file, which may change."""

    file: str | None = None

    def changed(self) -> str | None:
        return self.file


class Run:
    """A run that has done some rows, and is about to end."""

    def __init__(self, folder: Path) -> None:
        self.output = folder / "out.jsonl"
        self.failed = folder / "out.jsonl.failed.jsonl"
        self.options = Options("", output=str(self.output))
        self.journal = Journal(str(folder / "j"))
        self.source = Source([])
        self.stop = RunStop()
        self.journal.add(row(0), Outcome(0, DONE, b'{"n": 0}'), 1)

    def end(self, passed_over: int = 0) -> Summary:
        with contextlib.suppress(sqlite3.Error):
            self.journal.commit()
        opened = OpenJob(self.journal, self.source, Output(str(self.output)), None)
        journal = self.journal
        counts = Counts(done=journal.done, left_out=journal.left_out, failed=journal.failed)
        return end_run(self.options, opened, counts, self.stop, passed_over)

    def failures(self) -> list[Any]:
        return [json.loads(line) for line in self.failed.read_text().splitlines()]


def row(number: int) -> Row:
    return Row(number, b"1", b"d" * 16, "f", number + 1)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path)
    with contextlib.closing(run.journal):
        yield run


def test_a_run_whose_rows_are_all_done_writes_its_output(run: Run) -> None:
    summary = run.end()
    assert (summary.code, summary.reason) == (0, None)
    assert (summary.output, summary.failures) == (str(run.output), None)
    assert run.output.read_text() == '{"n": 0}\n'
    assert not run.failed.exists()


def test_rows_that_share_a_failure_are_counted_as_failed(run: Run) -> None:
    run.journal.add(row(1), Outcome(1, FAILED, error="no"), 2)
    run.journal.add_same(row(2), 1)
    summary = run.end()
    assert (summary.code, summary.counts.done, summary.counts.failed) == (CODE_FAILURES, 1, 2)
    assert (summary.output, summary.failures) == (str(run.output), str(run.failed))
    assert [line["number"] for line in run.failures()] == [1, 2]


def test_a_run_that_was_stopped_writes_its_failures_only(run: Run) -> None:
    run.journal.add(row(1), Outcome(1, FAILED, error="no"), 2)
    run.stop.request("interrupted", 130)
    summary = run.end(passed_over=3)
    assert (summary.code, summary.reason) == (130, "interrupted")
    assert (summary.output, len(run.failures())) == (None, 1)
    assert not run.output.exists()


def test_rows_that_were_passed_over_keep_the_output_from_being_written(run: Run) -> None:
    summary = run.end(passed_over=3)
    assert summary.code == CODE_STOPPED
    assert (summary.reason or "").startswith("3 rows are not finished yet; ")
    assert not run.output.exists()


def test_an_input_that_has_changed_keeps_the_output_from_being_written(run: Run) -> None:
    run.source.file = "rows.jsonl"
    summary = run.end(passed_over=3)
    assert summary.code == CODE_STOPPED
    assert "while it was read: rows.jsonl is not as it was; " in (summary.reason or "")
    assert not run.output.exists()


def test_outcomes_that_could_not_be_kept_are_counted(run: Run) -> None:
    run.journal.commit()
    run.journal.add(row(0), Outcome(0, DONE, b"1"), 1)
    run.stop.request("full", CODE_STOPPED)
    assert run.end().reason == "full; 1 finished rows could not be kept"


def test_an_output_that_another_command_writes_is_left_to_it(run: Run) -> None:
    with JournalLock(str(run.output)):
        summary = run.end()
    assert summary.code == CODE_STOPPED
    assert "is at work on" in (summary.reason or "")
    assert summary.output is None


def test_an_output_that_is_as_it_was_written_is_not_written_again(run: Run) -> None:
    run.end()
    before = run.output.stat()
    assert run.end().output == str(run.output)
    assert run.output.stat().st_ino == before.st_ino
    run.journal.add(row(1), Outcome(1, DONE, b'{"n": 1}'), 1)
    run.end()
    assert run.output.read_text() == '{"n": 0}\n{"n": 1}\n'
