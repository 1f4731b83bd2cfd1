"""A job: what comes out, what is not asked again, which rows are bad, and how far it is."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from luaopenai.batch import job as job_module
from luaopenai.batch.exchange import Chunk, Counts, Event, Outcome, Usage
from luaopenai.batch.job import Job
from luaopenai.batch.options import BatchError, Options
from support.fake_executor import FakeExecutor, failing, stopping_after
from support.job_workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


# What comes out.


def test_results_are_in_the_order_of_the_input_whatever_order_they_come_in(
    workspace: Workspace,
) -> None:
    workspace.numbered(500)
    summary = workspace.run(
        lambda value: {"n": value["id"] + 1}, lambda function: FakeExecutor(function, seed=7)
    )
    assert summary.code == 0
    assert workspace.results() == [{"n": number + 1} for number in range(500)]
    assert (summary.counts.done, summary.counts.total) == (500, 500)
    assert summary.output == str(workspace.output)


def test_unordered_results_are_in_the_order_in_which_they_came(workspace: Workspace) -> None:
    workspace.numbered(100)
    workspace.run(executor=lambda function: FakeExecutor(function, seed=7), unordered=True)
    assert workspace.results() == workspace.asked
    assert workspace.results() != sorted(workspace.results(), key=lambda value: value["id"])


def test_nil_leaves_a_row_out(workspace: Workspace) -> None:
    workspace.numbered(10)
    summary = workspace.run(lambda value: value if value["id"] % 2 else None)
    assert [value["id"] for value in workspace.results()] == [1, 3, 5, 7, 9]
    assert (summary.counts.done, summary.counts.left_out, summary.code) == (5, 5, 0)


def test_an_empty_input_gives_an_empty_output_and_starts_no_worker(workspace: Workspace) -> None:
    workspace.rows()
    assert workspace.run().code == 0
    assert workspace.results() == []
    assert workspace.executor is None


def test_usage_is_counted_over_all_runs(workspace: Workspace) -> None:
    workspace.numbered(20)
    first = workspace.run(executor=stopping_after(7))
    second = workspace.run()
    assert first.counts.usage.requests + len(workspace.asked) == second.counts.usage.requests == 20
    assert second.counts.usage.cost == 5.0
    assert second.counts.usage_before == first.counts.usage


def test_formats_are_told_by_the_names(workspace: Workspace) -> None:
    pytest.importorskip("pyarrow")
    workspace.numbered(300)
    workspace.run(output=str(workspace.folder / "o.parquet"))
    workspace.run(
        inputs=(str(workspace.folder / "o.parquet"),),
        output=str(workspace.folder / "o.csv"),
        key="id",
    )
    workspace.run(
        inputs=(str(workspace.folder / "o.csv"),),
        output=f"{workspace.folder}/parts/",
        part_rows=200,
    )
    parts = workspace.folder / "parts"
    lines = [line for path in sorted(parts.iterdir()) for line in path.read_text().splitlines()]
    assert [json.loads(line) for line in lines] == [{"id": str(number)} for number in range(300)]


def test_finished_rows_come_out_of_the_steps_with_their_outcomes(workspace: Workspace) -> None:
    job = workspace.job(output=None)
    workspace.numbered(50)
    pairs = [pair for step in job.steps() for pair in step]
    assert sorted(row.number for row, _ in pairs) == list(range(50))
    assert all(json.loads(outcome.text or b"") == row.value for row, outcome in pairs)
    assert sorted(os.listdir(workspace.folder)) == ["f.lua", "rows.jsonl"]


def test_rows_of_earlier_runs_come_out_of_the_steps_too_if_asked_for(workspace: Workspace) -> None:
    workspace.numbered(60)
    workspace.run(failing(3), stopping_after(30), attempts=1)
    job = workspace.job(yields_all=True)
    pairs = [pair for step in job.steps() for pair in step]
    assert len(workspace.asked) < 60
    assert sorted(row.number for row, _ in pairs) == list(range(60))
    for row, outcome in pairs:
        assert outcome.number == row.number
        if row.number == 3:
            assert (outcome.status, outcome.error) == ("failed", "no d")
        else:
            assert json.loads(outcome.text or b"") == row.value


def test_equal_rows_come_out_of_the_steps_each_if_asked_for(workspace: Workspace) -> None:
    workspace.rows(*({"id": number % 7} for number in range(100)))
    for _ in range(2):
        job = workspace.job(failing(3), yields_all=True, dedupe=True, attempts=1)
        pairs = [pair for step in job.steps() for pair in step]
        assert sorted(row.number for row, _ in pairs) == list(range(100))
        assert all(outcome.number == row.number for row, outcome in pairs)
        failed = [row.number for row, outcome in pairs if outcome.status == "failed"]
        assert sorted(failed) == list(range(3, 100, 7))


def test_without_a_journal_rows_are_but_counted(workspace: Workspace) -> None:
    workspace.numbered(30)
    summary = workspace.run(failing(3), output=None, attempts=1)
    assert (summary.counts.done, summary.counts.failed, summary.code) == (29, 1, 3)
    workspace.rows({"id": 1}, {"id": 1}, {"id": 1})
    job = workspace.job(output=None, dedupe=True, yields_all=True)
    assert len([pair for step in job.steps() for pair in step]) == 3
    assert workspace.asked == [{"id": 1}]


def test_rows_may_be_python_values(tmp_path: Path) -> None:
    options = Options("", output=str(tmp_path / "o.jsonl"))
    values = [{"id": number} for number in range(30)]
    assert Job(options, lambda _: FakeExecutor(lambda value: value), iter(values)).run().code == 0
    executor = FakeExecutor(lambda value: value)
    assert Job(options, lambda _: executor, iter([*values, {"id": 30}])).run().code == 0
    assert executor.asked == [{"id": 30}]
    other = [{"id": 99}, *values]
    summary = Job(options, lambda _: executor, iter(other)).run()
    assert summary.code == 1
    assert "row:1 is another row" in (summary.reason or "")


def test_fewer_python_values_than_were_finished_are_noticed(tmp_path: Path) -> None:
    options = Options("", output=str(tmp_path / "o.jsonl"))
    executor = FakeExecutor(lambda value: value)
    assert Job(options, lambda _: executor, iter(range(30))).run().code == 0
    summary = Job(options, lambda _: executor, iter(range(20))).run()
    assert summary.code == 1
    assert "there are fewer rows" in (summary.reason or "")


def test_a_dry_run_does_the_first_rows_and_leaves_nothing(workspace: Workspace) -> None:
    workspace.numbered(100)
    before = set(os.listdir(workspace.folder))
    summary = workspace.run(dry_run=10)
    assert sorted(value["id"] for value in workspace.asked) == list(range(10))
    assert (summary.counts.done, summary.counts.usage.requests) == (10, 10)
    assert set(os.listdir(workspace.folder)) == before


# What is not asked again.


def test_a_job_that_stopped_goes_on_with_the_rest(workspace: Workspace) -> None:
    workspace.numbered(100)
    summary = workspace.run(executor=stopping_after(30))
    assert (summary.code, summary.reason, summary.output) == (4, "that is enough", None)
    assert not workspace.output.exists()
    first = workspace.asked
    assert workspace.run().code == 0
    assert sorted(value["id"] for value in first + workspace.asked) == list(range(100))
    assert workspace.results() == [{"id": number} for number in range(100)]


def test_a_finished_job_asks_nothing_and_leaves_its_output(workspace: Workspace) -> None:
    workspace.numbered(20)
    workspace.run()
    before = workspace.output.stat()
    summary = workspace.run()
    assert (summary.code, summary.counts.before, workspace.executor) == (0, 20, None)
    assert workspace.output.stat().st_ino == before.st_ino


def test_an_output_that_was_lost_is_written_again(workspace: Workspace) -> None:
    workspace.numbered(20)
    workspace.run()
    workspace.output.unlink()
    assert workspace.run().code == 0
    assert workspace.executor is None
    assert len(workspace.results()) == 20


def test_equal_rows_are_asked_once_with_dedupe(workspace: Workspace) -> None:
    workspace.rows(*({"id": number % 10} for number in range(100)))
    summary = workspace.run(failing(3), dedupe=True, attempts=1)
    assert sorted(value["id"] for value in workspace.asked) == list(range(10))
    assert workspace.results() == [{"id": number % 10} for number in range(100) if number % 10 != 3]
    assert [line["number"] for line in workspace.failures()] == list(range(3, 100, 10))
    assert workspace.failures()[1]["source"] == f"{workspace.input}:14"
    assert (summary.counts.done, summary.counts.failed, summary.code) == (90, 10, 3)
    # The failed row is asked once more, for all ten.
    summary = workspace.run(retry_failed=True, dedupe=True)
    assert workspace.asked == [{"id": 3}]
    assert len(workspace.results()) == 100
    assert summary.code == 0


def test_an_equal_row_waits_for_no_row_that_has_changed_meanwhile(workspace: Workspace) -> None:
    workspace.rows({"id": 7}, {"id": 7}, *({"id": number} for number in range(100, 140)))
    workspace.run(failing(7), stopping_after(20), dedupe=True, attempts=100)
    # The first row was never finished; it is now another one, and the second is on its own.
    workspace.rows({"id": 8}, {"id": 7}, *({"id": number} for number in range(100, 140)))
    assert workspace.run(dedupe=True).code == 0
    assert [value["id"] for value in workspace.results()[:3]] == [8, 7, 100]
    # The journal tells of as many rows as it has.
    assert workspace.run(dedupe=True).code == 0


def test_a_row_that_equals_one_of_an_earlier_run_is_not_asked(workspace: Workspace) -> None:
    workspace.rows({"id": 1}, {"id": 2})
    assert workspace.run(dedupe=True).code == 0
    workspace.rows({"id": 1}, {"id": 2}, {"id": 1})
    assert workspace.run(dedupe=True, keep=True).code == 0
    assert workspace.asked == []
    assert [value["id"] for value in workspace.results()] == [1, 2, 1]


def test_an_executor_that_cannot_start_ends_the_run_at_once(workspace: Workspace) -> None:
    workspace.numbered(5)

    def refuse(_: Callable[[Any], Any]) -> FakeExecutor:
        raise BatchError("no worker can start")

    summary = workspace.run(executor=refuse)
    assert (summary.code, summary.reason) == (1, "no worker can start")


def test_what_dropped_rows_have_used_is_counted(workspace: Workspace) -> None:
    workspace.numbered(100)

    class Late(FakeExecutor):
        def close(self, seconds: float) -> None:
            super().close(seconds)
            self.late = [Outcome(-1, "failed", usage=Usage(3, 30, 15, 1.0))]

        def outcomes(self, timeout: float) -> list[Event]:
            return [*self.late] if self.is_closed else super().outcomes(timeout)

    job = workspace.job(executor=Late)
    for step in job.steps():
        if step:
            job.stop("interrupted", 130, 0)
    assert job.summary is not None
    assert job.summary.counts.usage.requests == len(workspace.asked) + 3


def test_a_cache_keeps_answers_between_jobs(workspace: Workspace) -> None:
    workspace.numbered(20)
    cache = str(workspace.folder / "cache")
    workspace.run(lambda value: value if value["id"] else None, cache=cache)
    workspace.output = workspace.folder / "other.jsonl"
    workspace.numbered(25)
    summary = workspace.run(cache=cache)
    assert [value["id"] for value in workspace.asked] == [20, 21, 22, 23, 24]
    assert [value["id"] for value in workspace.results()] == list(range(1, 25))
    assert summary.counts.cached == 20


def test_another_script_has_other_answers_in_the_cache(workspace: Workspace) -> None:
    workspace.numbered(5)
    cache = str(workspace.folder / "cache")
    workspace.run(cache=cache)
    workspace.script.write_text("return function() return 1 end")
    workspace.output = workspace.folder / "other.jsonl"
    workspace.run(cache=cache)
    assert len(workspace.asked) == 5


def test_other_arguments_have_other_answers_in_the_cache(workspace: Workspace) -> None:
    workspace.numbered(5)
    cache = str(workspace.folder / "cache")
    workspace.run(cache=cache, args=("short",))
    workspace.output = workspace.folder / "other.jsonl"
    workspace.run(cache=cache, args=("long",))
    assert len(workspace.asked) == 5


def test_a_damaged_answer_in_the_cache_is_asked_for_again(workspace: Workspace) -> None:
    workspace.numbered(5)
    cache = workspace.folder / "cache"
    workspace.run(cache=str(cache))
    with contextlib.closing(sqlite3.connect(cache / "answers.sqlite")) as db:
        changed = (b'{"id": 9}', b'{"id": 3}')
        assert db.execute("UPDATE answers SET text = ? WHERE text = ?", changed).rowcount == 1
        db.commit()
    workspace.output = workspace.folder / "other.jsonl"
    workspace.run(cache=str(cache))
    assert workspace.asked == [{"id": 3}]
    assert workspace.results() == [{"id": number} for number in range(5)]


def test_a_damaged_cache_is_not_taken_for_the_journal(workspace: Workspace) -> None:
    workspace.numbered(500)
    cache = workspace.folder / "cache"
    workspace.run(cache=str(cache))
    file = cache / "answers.sqlite"
    pages = file.read_bytes()
    file.write_bytes(pages[:4096] + b"\xff" * (len(pages) - 4096))
    workspace.output = workspace.folder / "other.jsonl"
    summary = workspace.run(cache=str(cache))
    assert (summary.reason or "").startswith(f"the cache {file} cannot be used: ")
    assert workspace.run().code == 0


# Input that is not as it should be.


def test_a_bad_row_stops_the_run_until_it_is_to_be_skipped(workspace: Workspace) -> None:
    workspace.numbered(30)
    with workspace.input.open("a") as file:
        file.write('no\n{"id":30}\n')
    summary = workspace.run()
    assert summary.code == 1
    assert (summary.reason or "").startswith(f"{workspace.input}:31: is no JSON")
    first = summary.counts.done
    assert first == len(workspace.asked) > 0
    assert not workspace.output.exists()
    summary = workspace.run(on_bad_row="skip")
    assert len(workspace.asked) == 31 - first
    assert (summary.code, summary.counts.bad) == (0, 1)
    assert len(workspace.results()) == 31
    assert workspace.failures() == [
        {
            "source": f"{workspace.input}:31",
            "error": "is no JSON: Expecting value, at character 1",
        }
    ]


def test_rows_before_a_bad_one_come_out_of_the_steps(workspace: Workspace) -> None:
    workspace.numbered(3)
    workspace.run()
    with workspace.input.open("a") as file:
        file.write("no\n")
    job = workspace.job(yields_all=True, keep=True)
    assert [row.number for step in job.steps() for row, _ in step] == [0, 1, 2]
    assert job.summary is not None
    assert job.summary.code == 1


@pytest.mark.parametrize("lines", ["{{\n0\n1\n", "0\n{{\n1\n", "0\n1\n{{\n"])
def test_a_bad_row_that_was_mended_is_no_failure_any_more(workspace: Workspace, lines: str) -> None:
    workspace.input.write_text(lines)
    assert workspace.run(on_bad_row="skip").counts.bad == 1
    assert len(workspace.failures()) == 1
    workspace.input.write_text(lines.replace("{{", "2"))
    assert workspace.run(keep=True).code == 0
    assert not os.path.exists(f"{workspace.output}.failed.jsonl")


def test_two_rows_of_one_key_are_named(workspace: Workspace) -> None:
    workspace.rows({"id": "a"}, {"id": "b"}, {"id": "a", "x": 1})
    summary = workspace.run(key="id")
    assert summary.reason == f"{workspace.input}:3: the key 'a' is that of {workspace.input}:1 too"


def test_a_row_whose_key_is_taken_is_skipped_where_bad_rows_are(workspace: Workspace) -> None:
    workspace.rows({"id": 1}, {"id": 2}, {"id": 1, "x": 1}, {"id": 3})
    for _ in range(2):
        summary = workspace.run(failing(3), key="id", on_bad_row="skip")
        assert (summary.code, summary.reason, summary.counts.bad) == (3, None, 1)
    assert [row["id"] for row in workspace.results()] == [1, 2]
    assert [row["source"] for row in workspace.failures()] == [
        f"{workspace.input}:{n}" for n in (4, 3)
    ]
    summary = workspace.run(key="id", on_bad_row="skip", retry_failed=True)
    assert (summary.code, summary.reason) == (0, None)
    assert workspace.asked == [{"id": 3}]


def test_rows_of_a_file_with_an_odd_name_may_fail(workspace: Workspace) -> None:
    name = os.fsdecode(b"rows-\xff.jsonl")
    try:
        (workspace.folder / name).write_text('{"id": 1}\n{"id": 2}\n')
    except OSError:
        pytest.skip("this file system has no such names")
    summary = workspace.run(failing(1), inputs=(str(workspace.folder / name),), attempts=1)
    assert (summary.code, summary.reason) == (3, None)
    assert workspace.failures()[0]["source"].endswith("rows-\\udcff.jsonl:1")


def test_a_row_of_10_mb_goes_in_and_out(workspace: Workspace) -> None:
    workspace.rows({"id": 0, "text": "x" * 10_000_000}, {"id": 1})
    assert workspace.run().code == 0
    assert len(workspace.results()[0]["text"]) == 10_000_000


# While it runs.


def test_a_run_stops_at_once_when_it_is_told_to(workspace: Workspace) -> None:
    workspace.numbered(1000)
    job = workspace.job()
    for step in job.steps():
        if step:
            job.stop("interrupted", 130, 5)
    assert job.summary is not None
    assert (job.summary.code, job.summary.reason) == (130, "interrupted")
    assert 0 < job.summary.counts.done < 100
    assert workspace.run().code == 0
    assert len(workspace.results()) == 1000


def test_an_iteration_that_is_given_up_keeps_what_is_finished(workspace: Workspace) -> None:
    workspace.numbered(1000)
    steps = workspace.job().steps()
    finished = next(step for step in steps if step)
    steps.close()
    assert workspace.executor is not None
    assert workspace.executor.is_closed
    workspace.run()
    assert len(workspace.asked) <= 1000 - len(finished)


def test_counts_are_kept_while_a_job_runs(workspace: Workspace) -> None:
    workspace.numbered(100)
    job = workspace.job()
    seen: list[tuple[int, int | None]] = []
    for _ in job.steps():
        counts: Counts = job.counts
        seen.append((counts.finished, counts.total))
    assert seen[0][1] == 100
    assert seen == sorted(seen, key=lambda pair: pair[0])
    assert seen[-1][0] == 100


@pytest.mark.timeout(30)
def test_large_rows_are_not_all_under_way_at_once(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_module, "_UNDER_WAY_BYTES", 1000)
    workspace.rows(*({"id": number, "text": "x" * 400} for number in range(20)))
    most = 0

    class Watching(FakeExecutor):
        def submit(self, chunk: Chunk) -> None:
            nonlocal most
            super().submit(chunk)
            most = max(most, len(self._waiting))

    assert workspace.run(executor=Watching).code == 0
    assert most <= 3
    assert len(workspace.results()) == 20
