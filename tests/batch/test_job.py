"""A job: what is asked, what is not asked again, what stops it, and what its output is."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from luaopenai.batch import job as job_module
from luaopenai.batch.exchange import Chunk, Counts, Event, Outcome, Stop, Usage
from luaopenai.batch.job import Job
from luaopenai.batch.options import BatchError, MaxFailures, Options
from support.fake_executor import FakeExecutor, RowError
from support.job_place import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def failing(*ids: int, error: str = "no {}") -> Callable[[Any], Any]:
    def function(value: Any) -> Any:
        if value["id"] in ids:
            raise RowError(error.format("abcdefghij"[value["id"] % 10]))
        return value

    return function


def stopping_after(count: int) -> Callable[[Callable[[Any], Any]], FakeExecutor]:
    """An executor that stops the run after so many rows, as a budget does."""

    class Stopping(FakeExecutor):
        def outcomes(self, timeout: float) -> list[Event]:
            events = super().outcomes(timeout)
            if len(self.asked) >= count and not self._is_finishing:
                events.append(Stop("that is enough", 4))
            return events

    return lambda function: Stopping(function, capacity=4, chunk_rows=2)


# What comes out.


def test_results_are_in_the_order_of_the_input_whatever_order_they_come_in(place: Place) -> None:
    place.numbered(500)
    summary = place.run(
        lambda value: {"n": value["id"] + 1}, lambda function: FakeExecutor(function, seed=7)
    )
    assert summary.code == 0
    assert place.results() == [{"n": number + 1} for number in range(500)]
    assert (summary.counts.done, summary.counts.total) == (500, 500)
    assert summary.output == str(place.output)


def test_unordered_results_are_in_the_order_in_which_they_came(place: Place) -> None:
    place.numbered(100)
    place.run(executor=lambda function: FakeExecutor(function, seed=7), unordered=True)
    assert place.results() == place.asked
    assert place.results() != sorted(place.results(), key=lambda value: value["id"])


def test_nil_leaves_a_row_out(place: Place) -> None:
    place.numbered(10)
    summary = place.run(lambda value: value if value["id"] % 2 else None)
    assert [value["id"] for value in place.results()] == [1, 3, 5, 7, 9]
    assert (summary.counts.done, summary.counts.left_out, summary.code) == (5, 5, 0)


def test_an_empty_input_gives_an_empty_output_and_starts_no_worker(place: Place) -> None:
    place.rows()
    assert place.run().code == 0
    assert place.results() == []
    assert place.executor is None


def test_usage_is_counted_over_all_runs(place: Place) -> None:
    place.numbered(20)
    first = place.run(executor=stopping_after(7))
    second = place.run()
    assert first.counts.usage.requests + len(place.asked) == second.counts.usage.requests == 20
    assert second.counts.usage.cost == 5.0
    assert second.counts.usage_before == first.counts.usage


def test_formats_are_told_by_the_names(place: Place) -> None:
    pytest.importorskip("pyarrow")
    place.numbered(300)
    place.run(output=str(place.folder / "o.parquet"))
    place.run(
        inputs=(str(place.folder / "o.parquet"),), output=str(place.folder / "o.csv"), key="id"
    )
    place.run(inputs=(str(place.folder / "o.csv"),), output=f"{place.folder}/parts/", part_rows=200)
    parts = place.folder / "parts"
    lines = [line for path in sorted(parts.iterdir()) for line in path.read_text().splitlines()]
    assert [json.loads(line) for line in lines] == [{"id": str(number)} for number in range(300)]


def test_finished_rows_come_out_of_the_steps_with_their_outcomes(place: Place) -> None:
    job = place.job(output=None)
    place.numbered(50)
    pairs = [pair for step in job.steps() for pair in step]
    assert sorted(row.number for row, _ in pairs) == list(range(50))
    assert all(json.loads(outcome.text or b"") == row.value for row, outcome in pairs)
    assert sorted(os.listdir(place.folder)) == ["f.lua", "rows.jsonl"]


def test_rows_of_earlier_runs_come_out_of_the_steps_too_if_asked_for(place: Place) -> None:
    place.numbered(60)
    place.run(failing(3), stopping_after(30), attempts=1)
    job = place.job(yields_all=True)
    pairs = [pair for step in job.steps() for pair in step]
    assert len(place.asked) < 60
    assert sorted(row.number for row, _ in pairs) == list(range(60))
    for row, outcome in pairs:
        assert outcome.number == row.number
        if row.number == 3:
            assert (outcome.status, outcome.error) == ("failed", "no d")
        else:
            assert json.loads(outcome.text or b"") == row.value


def test_equal_rows_come_out_of_the_steps_each_if_asked_for(place: Place) -> None:
    place.rows(*({"id": number % 7} for number in range(100)))
    for _ in range(2):
        job = place.job(failing(3), yields_all=True, dedupe=True, attempts=1)
        pairs = [pair for step in job.steps() for pair in step]
        assert sorted(row.number for row, _ in pairs) == list(range(100))
        assert all(outcome.number == row.number for row, outcome in pairs)
        failed = [row.number for row, outcome in pairs if outcome.status == "failed"]
        assert sorted(failed) == list(range(3, 100, 7))


def test_without_a_journal_rows_are_but_counted(place: Place) -> None:
    place.numbered(30)
    summary = place.run(failing(3), output=None, attempts=1)
    assert (summary.counts.done, summary.counts.failed, summary.code) == (29, 1, 3)
    place.rows({"id": 1}, {"id": 1}, {"id": 1})
    job = place.job(output=None, dedupe=True, yields_all=True)
    assert len([pair for step in job.steps() for pair in step]) == 3
    assert place.asked == [{"id": 1}]


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


def test_a_dry_run_does_the_first_rows_and_leaves_nothing(place: Place) -> None:
    place.numbered(100)
    before = set(os.listdir(place.folder))
    summary = place.run(dry_run=10)
    assert sorted(value["id"] for value in place.asked) == list(range(10))
    assert (summary.counts.done, summary.counts.usage.requests) == (10, 10)
    assert set(os.listdir(place.folder)) == before


# What is not asked again.


def test_a_job_that_stopped_goes_on_with_the_rest(place: Place) -> None:
    place.numbered(100)
    summary = place.run(executor=stopping_after(30))
    assert (summary.code, summary.reason, summary.output) == (4, "that is enough", None)
    assert not place.output.exists()
    first = place.asked
    assert place.run().code == 0
    assert sorted(value["id"] for value in first + place.asked) == list(range(100))
    assert place.results() == [{"id": number} for number in range(100)]


def test_a_finished_job_asks_nothing_and_leaves_its_output(place: Place) -> None:
    place.numbered(20)
    place.run()
    before = place.output.stat()
    summary = place.run()
    assert (summary.code, summary.counts.before, place.executor) == (0, 20, None)
    assert place.output.stat().st_ino == before.st_ino


def test_an_output_that_was_lost_is_written_again(place: Place) -> None:
    place.numbered(20)
    place.run()
    place.output.unlink()
    assert place.run().code == 0
    assert place.executor is None
    assert len(place.results()) == 20


def test_equal_rows_are_asked_once_with_dedupe(place: Place) -> None:
    place.rows(*({"id": number % 10} for number in range(100)))
    summary = place.run(failing(3), dedupe=True, attempts=1)
    assert sorted(value["id"] for value in place.asked) == list(range(10))
    assert place.results() == [{"id": number % 10} for number in range(100) if number % 10 != 3]
    assert [line["number"] for line in place.failures()] == list(range(3, 100, 10))
    assert place.failures()[1]["source"] == f"{place.input}:14"
    assert (summary.counts.done, summary.counts.failed, summary.code) == (90, 10, 3)
    # The failed row is asked once more, for all ten.
    summary = place.run(retry_failed=True, dedupe=True)
    assert place.asked == [{"id": 3}]
    assert len(place.results()) == 100
    assert summary.code == 0


def test_an_equal_row_waits_for_no_row_that_has_changed_meanwhile(place: Place) -> None:
    place.rows({"id": 7}, {"id": 7}, *({"id": number} for number in range(100, 140)))
    place.run(failing(7), stopping_after(20), dedupe=True, attempts=100)
    # The first row was never finished; it is now another one, and the second is on its own.
    place.rows({"id": 8}, {"id": 7}, *({"id": number} for number in range(100, 140)))
    assert place.run(dedupe=True).code == 0
    assert [value["id"] for value in place.results()[:3]] == [8, 7, 100]
    # The journal tells of as many rows as it has.
    assert place.run(dedupe=True).code == 0


def test_a_row_that_equals_one_of_an_earlier_run_is_not_asked(place: Place) -> None:
    place.rows({"id": 1}, {"id": 2})
    assert place.run(dedupe=True).code == 0
    place.rows({"id": 1}, {"id": 2}, {"id": 1})
    assert place.run(dedupe=True, keep=True).code == 0
    assert place.asked == []
    assert [value["id"] for value in place.results()] == [1, 2, 1]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"dedupe": True, "key": "id"}, "dedupe and key exclude each other"),
        ({"restart": True, "keep": True}, "restart and keep exclude each other"),
        ({"restart": True, "retry_failed": True}, "restart and retry-failed exclude each other"),
        ({"attempts": 0}, "attempts: expected a whole number from 1, got 0"),
        ({"on_bad_row": "hide"}, "on-bad-row is stop or skip"),
    ],
)
def test_options_that_do_not_go_are_refused(
    place: Place, options: dict[str, Any], what: str
) -> None:
    place.numbered(3)
    with pytest.raises(BatchError, match=what) as caught:
        place.run(**options)
    assert caught.value.code == 2


def test_an_executor_that_cannot_start_ends_the_run_at_once(place: Place) -> None:
    place.numbered(5)

    def refuse(_: Callable[[Any], Any]) -> FakeExecutor:
        raise BatchError("no worker can start")

    summary = place.run(executor=refuse)
    assert (summary.code, summary.reason) == (1, "no worker can start")


def test_what_dropped_rows_have_used_is_counted(place: Place) -> None:
    place.numbered(100)

    class Late(FakeExecutor):
        def close(self, seconds: float) -> None:
            super().close(seconds)
            self.late = [Outcome(-1, "failed", usage=Usage(3, 30, 15, 1.0))]

        def outcomes(self, timeout: float) -> list[Event]:
            return [*self.late] if self.is_closed else super().outcomes(timeout)

    job = place.job(executor=Late)
    for step in job.steps():
        if step:
            job.stop("interrupted", 130, 0)
    assert job.summary is not None
    assert job.summary.counts.usage.requests == len(place.asked) + 3


def test_a_cache_keeps_answers_between_jobs(place: Place) -> None:
    place.numbered(20)
    cache = str(place.folder / "cache")
    place.run(lambda value: value if value["id"] else None, cache=cache)
    place.output = place.folder / "other.jsonl"
    place.numbered(25)
    summary = place.run(cache=cache)
    assert [value["id"] for value in place.asked] == [20, 21, 22, 23, 24]
    assert [value["id"] for value in place.results()] == list(range(1, 25))
    assert summary.counts.cached == 20


def test_another_script_has_other_answers_in_the_cache(place: Place) -> None:
    place.numbered(5)
    cache = str(place.folder / "cache")
    place.run(cache=cache)
    place.script.write_text("return function() return 1 end")
    place.output = place.folder / "other.jsonl"
    place.run(cache=cache)
    assert len(place.asked) == 5


def test_other_arguments_have_other_answers_in_the_cache(place: Place) -> None:
    place.numbered(5)
    cache = str(place.folder / "cache")
    place.run(cache=cache, args=("short",))
    place.output = place.folder / "other.jsonl"
    place.run(cache=cache, args=("long",))
    assert len(place.asked) == 5


def test_a_damaged_answer_in_the_cache_is_asked_for_again(place: Place) -> None:
    place.numbered(5)
    cache = place.folder / "cache"
    place.run(cache=str(cache))
    with contextlib.closing(sqlite3.connect(cache / "answers.sqlite")) as db:
        changed = (b'{"id": 9}', b'{"id": 3}')
        assert db.execute("UPDATE answers SET text = ? WHERE text = ?", changed).rowcount == 1
        db.commit()
    place.output = place.folder / "other.jsonl"
    place.run(cache=str(cache))
    assert place.asked == [{"id": 3}]
    assert place.results() == [{"id": number} for number in range(5)]


def test_a_damaged_cache_is_not_taken_for_the_journal(place: Place) -> None:
    place.numbered(500)
    cache = place.folder / "cache"
    place.run(cache=str(cache))
    file = cache / "answers.sqlite"
    pages = file.read_bytes()
    file.write_bytes(pages[:4096] + b"\xff" * (len(pages) - 4096))
    place.output = place.folder / "other.jsonl"
    summary = place.run(cache=str(cache))
    assert (summary.reason or "").startswith(f"the cache {file} cannot be used: ")
    assert place.run().code == 0


# Rows that fail.


def test_a_row_that_fails_is_tried_again(place: Place) -> None:
    place.numbered(30)
    tries: dict[int, int] = {}

    def function(value: Any) -> Any:
        tries[value["id"]] = tries.get(value["id"], 0) + 1
        if value["id"] == 5 and tries[5] < 3:
            raise RowError("not yet")
        return value

    summary = place.run(function)
    assert tries[5] == 3
    assert len(place.results()) == 30
    assert (summary.code, summary.counts.retries) == (0, 2)


def test_rows_that_keep_failing_are_written_beside_the_output(place: Place) -> None:
    place.numbered(30)
    summary = place.run(failing(5, 6))
    assert summary.code == 3
    assert [value["id"] for value in place.results()] == [n for n in range(30) if n not in (5, 6)]
    first, second = place.failures()
    assert first == {
        "number": 5,
        "key": first["key"],
        "source": f"{place.input}:6",
        "error": "no f",
        "attempts": 3,
        "row": {"id": 5},
    }
    assert (second["number"], summary.failures) == (6, f"{place.output}.failed.jsonl")
    # The same command asks nothing.
    assert place.run().code == 3
    assert place.executor is None


def test_retry_failed_takes_only_the_failed_rows(place: Place) -> None:
    place.numbered(30)
    place.run(failing(5, 6, 7))
    summary = place.run(failing(6), retry_failed=True, attempts=1)
    assert sorted(value["id"] for value in place.asked) == [5, 6, 7]
    assert [line["number"] for line in place.failures()] == [6]
    assert (summary.code, len(place.results())) == (3, 29)
    assert place.run(retry_failed=True).code == 0
    assert not Path(f"{place.output}.failed.jsonl").exists()
    assert [value["id"] for value in place.results()] == list(range(30))


def test_retry_failed_leaves_rows_that_were_never_finished(place: Place) -> None:
    place.numbered(40)
    place.run(failing(1), executor=stopping_after(20), attempts=1)
    summary = place.run(retry_failed=True)
    assert place.asked == [{"id": 1}]
    assert summary.code == 1
    assert "not finished yet" in (summary.reason or "")
    assert not place.output.exists()


def test_the_first_20_rows_failing_alike_stop_the_run(place: Place) -> None:
    place.numbered(1000)
    summary = place.run(failing(*range(1000), error="401 wrong key (request id 1{}2)"), attempts=1)
    assert summary.code == 3
    assert "the first 20 rows all failed alike: 401 wrong key" in (summary.reason or "")
    assert len(place.asked) < 60
    # Nothing of it is kept: with the right key, the same command does all rows.
    assert place.run().code == 0
    assert len(place.results()) == 1000


def test_failures_alike_are_not_kept_though_a_row_succeeds_as_the_run_stops(place: Place) -> None:
    place.numbered(100)

    def together(function: Any) -> FakeExecutor:
        return FakeExecutor(function, capacity=64, chunk_rows=64)

    summary = place.run(failing(*range(20), error="401"), executor=together, attempts=1)
    assert "failed alike" in (summary.reason or "")
    assert (summary.counts.done > 0, summary.counts.failed) == (True, 0)
    assert place.run().code == 0
    assert len(place.results()) == 100


def test_attempts_do_not_put_off_that_the_first_rows_fail(place: Place) -> None:
    place.numbered(1000)
    summary = place.run(failing(*range(1000), error="401"), attempts=50)
    assert "failed alike" in (summary.reason or "")
    assert len(place.asked) < 60


def test_one_success_among_the_first_rows_speaks_for_the_run(place: Place) -> None:
    place.numbered(100)
    summary = place.run(failing(*(n for n in range(100) if n != 15), error="401"), attempts=1)
    assert (summary.reason, summary.counts.failed, summary.counts.done) == (None, 99, 1)


def test_rows_that_fail_differently_are_no_reason_to_stop(place: Place) -> None:
    place.numbered(100)
    summary = place.run(failing(*range(100)), attempts=1)
    assert (summary.reason, summary.counts.failed) == (None, 100)


def test_few_rows_that_all_fail_are_failures(place: Place) -> None:
    place.numbered(5)
    summary = place.run(failing(*range(5), error="401"))
    assert (summary.code, summary.reason, len(place.failures())) == (3, None, 5)
    assert len(place.asked) == 15


@pytest.mark.parametrize("limit", ["10", "20%"])
def test_too_many_failures_stop_the_run(place: Place, limit: str) -> None:
    place.numbered(1000)
    summary = place.run(
        failing(*range(1, 1000, 2)), attempts=1, max_failures=MaxFailures.parse(limit)
    )
    assert summary.code == 3
    assert f"(max-failures {limit})" in (summary.reason or "")
    assert len(place.asked) < 200
    assert not place.output.exists()
    assert len(place.failures()) == summary.counts.failed > 10


def test_as_many_rows_as_max_failures_says_may_fail(place: Place) -> None:
    place.numbered(50)
    limit = MaxFailures.parse("2")
    summary = place.run(failing(10, 20), attempts=1, max_failures=limit)
    assert (summary.code, summary.reason) == (3, None)
    assert len(place.results()) == 48
    summary = place.run(failing(10, 20, 30), attempts=1, max_failures=limit, restart=True)
    assert summary.reason == "3 rows have failed (max-failures 2)"


def test_max_failures_is_a_number_or_a_percentage() -> None:
    assert MaxFailures.parse("5%") == MaxFailures(percent=5)
    for wrong in ("many", "-1", "101%", "%"):
        with pytest.raises(BatchError, match="max-failures is"):
            MaxFailures.parse(wrong)


def test_the_last_failure_is_told(place: Place) -> None:
    place.numbered(5)
    assert place.run().last_error is None
    assert place.run(failing(3), restart=True).last_error == "no d"


# Input that is not as it should be.


def test_a_bad_row_stops_the_run_until_it_is_to_be_skipped(place: Place) -> None:
    place.numbered(30)
    with place.input.open("a") as file:
        file.write('no\n{"id":30}\n')
    summary = place.run()
    assert summary.code == 1
    assert (summary.reason or "").startswith(f"{place.input}:31: is no JSON")
    first = summary.counts.done
    assert first == len(place.asked) > 0
    assert not place.output.exists()
    summary = place.run(on_bad_row="skip")
    assert len(place.asked) == 31 - first
    assert (summary.code, summary.counts.bad) == (0, 1)
    assert len(place.results()) == 31
    assert place.failures() == [
        {
            "source": f"{place.input}:31",
            "error": "is no JSON: Expecting value, at character 1",
        }
    ]


def test_rows_before_a_bad_one_come_out_of_the_steps(place: Place) -> None:
    place.numbered(3)
    place.run()
    with place.input.open("a") as file:
        file.write("no\n")
    job = place.job(yields_all=True, keep=True)
    assert [row.number for step in job.steps() for row, _ in step] == [0, 1, 2]
    assert job.summary is not None
    assert job.summary.code == 1


@pytest.mark.parametrize("lines", ["{{\n0\n1\n", "0\n{{\n1\n", "0\n1\n{{\n"])
def test_a_bad_row_that_was_mended_is_no_failure_any_more(place: Place, lines: str) -> None:
    place.input.write_text(lines)
    assert place.run(on_bad_row="skip").counts.bad == 1
    assert len(place.failures()) == 1
    place.input.write_text(lines.replace("{{", "2"))
    assert place.run(keep=True).code == 0
    assert not os.path.exists(f"{place.output}.failed.jsonl")


def test_two_rows_of_one_key_are_named(place: Place) -> None:
    place.rows({"id": "a"}, {"id": "b"}, {"id": "a", "x": 1})
    summary = place.run(key="id")
    assert summary.reason == f"{place.input}:3: the key 'a' is that of {place.input}:1 too"


def test_a_row_whose_key_is_taken_is_skipped_where_bad_rows_are(place: Place) -> None:
    place.rows({"id": 1}, {"id": 2}, {"id": 1, "x": 1}, {"id": 3})
    for _ in range(2):
        summary = place.run(failing(3), key="id", on_bad_row="skip")
        assert (summary.code, summary.reason, summary.counts.bad) == (3, None, 1)
    assert [row["id"] for row in place.results()] == [1, 2]
    assert [row["source"] for row in place.failures()] == [f"{place.input}:{n}" for n in (4, 3)]
    summary = place.run(key="id", on_bad_row="skip", retry_failed=True)
    assert (summary.code, summary.reason) == (0, None)
    assert place.asked == [{"id": 3}]


def test_rows_of_a_file_with_an_odd_name_may_fail(place: Place) -> None:
    name = os.fsdecode(b"rows-\xff.jsonl")
    try:
        (place.folder / name).write_text('{"id": 1}\n{"id": 2}\n')
    except OSError:
        pytest.skip("this file system has no such names")
    summary = place.run(failing(1), inputs=(str(place.folder / name),), attempts=1)
    assert (summary.code, summary.reason) == (3, None)
    assert place.failures()[0]["source"].endswith("rows-\\udcff.jsonl:1")


def test_a_row_of_10_mb_goes_in_and_out(place: Place) -> None:
    place.rows({"id": 0, "text": "x" * 10_000_000}, {"id": 1})
    assert place.run().code == 0
    assert len(place.results()[0]["text"]) == 10_000_000


def test_standard_input_is_kept_beside_the_journal(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = b"".join(b'{"id":%d}\n' % number for number in range(50))

    def give(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    give(lines)
    assert place.run(inputs=("-",), executor=stopping_after(10)).code == 4
    # The pipe gives the same again, or nothing.
    give(lines)
    assert place.run(inputs=("-",), executor=stopping_after(10)).code == 4
    give(b"")
    assert place.run(inputs=("-",)).code == 0
    assert place.results() == [{"id": number} for number in range(50)]
    give(b'{"id":7}\n')
    with pytest.raises(BatchError, match="stdin has changed since this job began"):
        place.run(inputs=("-",))


# Scripts and input that change.


def half_done(place: Place, **options: Any) -> list[int]:
    place.numbered(40)
    place.run(executor=stopping_after(20), **options)
    return sorted(value["id"] for value in place.asked)


def test_a_changed_script_stops_unless_it_is_to_be_kept(place: Place) -> None:
    done = half_done(place)
    place.script.write_text("return function(row) return 1 end")
    with pytest.raises(BatchError, match=r"f\.lua has changed .* --keep goes on, --restart"):
        place.run()
    assert place.run(keep=True).code == 0
    assert sorted(value["id"] for value in place.asked) == sorted(set(range(40)) - set(done))
    # What was kept is now the script of the job.
    assert place.run().code == 0


def test_a_changed_module_of_the_script_is_a_changed_script(place: Place) -> None:
    place.script.write_text('local m = require("lib.m") return m')
    (place.folder / "lib").mkdir()
    module = place.folder / "lib" / "m.lua"
    module.write_text("return function(row) return row end")
    half_done(place)
    module.write_text("return function(row) return 1 end")
    with pytest.raises(BatchError, match=r"lib\.m has changed"):
        place.run()


def test_changed_arguments_stop_too(place: Place) -> None:
    half_done(place, args=("a",))
    with pytest.raises(BatchError, match="the arguments of the script have changed"):
        place.run(args=("b",))


@pytest.mark.parametrize("keep", [False, True])
def test_another_key_stops_whether_or_not_changes_are_kept(place: Place, keep: bool) -> None:
    half_done(place)
    with pytest.raises(BatchError, match="was begun with no --key, this is with --key id"):
        place.run(key="id", keep=keep)


def test_restart_begins_anew(place: Place) -> None:
    half_done(place)
    place.script.write_text("return function(row) return 1 end")
    assert place.run(restart=True).code == 0
    assert len(place.asked) == 40


def test_an_input_that_was_only_touched_goes_on(place: Place) -> None:
    done = half_done(place)
    os.utime(place.input, ns=(1, 1))
    assert place.run().code == 0
    assert len(place.asked) == 40 - len(done)


def test_rows_that_were_appended_are_done_with_keep(place: Place) -> None:
    done = half_done(place)
    place.numbered(45)
    with pytest.raises(BatchError, match="the finished rows are as they were"):
        place.run()
    assert place.run(keep=True).code == 0
    assert len(place.asked) == 45 - len(done)
    assert place.results() == [{"id": number} for number in range(45)]


def test_rows_that_moved_keep_their_results(place: Place) -> None:
    place.numbered(40)
    place.run(failing(9), attempts=1)
    place.rows({"id": 99}, *({"id": number} for number in range(1, 40)), {"id": 1})
    with pytest.raises(BatchError, match=r"rows\.jsonl has changed .*:1 is another row"):
        place.run()
    summary = place.run(keep=True)
    assert place.asked == [{"id": 99}, {"id": 1}]
    expected = [99, *(number for number in range(1, 40) if number != 9), 1]
    assert [value["id"] for value in place.results()] == expected
    assert (summary.code, place.failures()[0]["row"]) == (3, {"id": 9})
    assert place.failures()[0]["number"] == 9


def test_with_a_key_an_edited_row_is_kept_too(place: Place) -> None:
    place.numbered(10)
    place.run(key="id")
    place.rows(*({"id": number, "edited": True} for number in range(10, -1, -1)))
    assert place.run(key="id", keep=True).code == 0
    assert place.asked == [{"id": 10, "edited": True}]
    assert [value["id"] for value in place.results()] == list(range(10, -1, -1))


def test_the_output_follows_rows_that_were_removed(place: Place) -> None:
    place.numbered(10)
    place.run()
    place.numbered(5)
    with pytest.raises(BatchError, match="there are fewer rows"):
        place.run()
    assert place.run(keep=True).code == 0
    assert len(place.results()) == 5


def test_an_input_that_changes_while_it_is_read_is_noticed(place: Place) -> None:
    place.numbered(40)

    def function(value: Any) -> Any:
        if value["id"] == 20:
            with place.input.open("a") as file:
                file.write('{"id": 40}\n')
        return value

    summary = place.run(function)
    assert summary.code == 1
    assert "the input has changed while it was read" in (summary.reason or "")
    assert not place.output.exists()
    assert place.run(keep=True).code == 0
    assert place.asked == [{"id": 40}]
    assert len(place.results()) == 41


def test_an_edit_that_keeps_size_and_time_is_found_by_the_rows(place: Place) -> None:
    half_done(place)
    stat = place.input.stat()
    place.input.write_text(place.input.read_text().replace('{"id": 1}', '{"id": 9}', 1))
    os.utime(place.input, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    summary = place.run()
    assert summary.code == 1
    assert ":2 is another row" in (summary.reason or "")


# Outputs and journals that are there.


def test_what_a_job_writes_is_no_input_of_it(place: Place) -> None:
    place.numbered(5)
    for _ in range(2):
        assert place.run(failing(3), inputs=(f"{place.folder}/*.jsonl",)).code == 3
        assert place.results() == [{"id": number} for number in (0, 1, 2, 4)]
    with pytest.raises(BatchError, match="is input and output at once"):
        place.run(inputs=(str(place.output),))


def test_an_output_of_somebody_else_is_refused(place: Place) -> None:
    place.numbered(5)
    place.output.write_text("precious")
    with pytest.raises(BatchError, match="exists, and there is no journal"):
        place.run()
    assert place.output.read_text() == "precious"
    assert place.run(restart=True, executor=stopping_after(2)).code == 4
    assert place.output.read_text() == "precious"
    # Without --restart, the command goes on with what was begun.
    assert place.run().code == 0
    assert len(place.results()) == 5


def test_an_output_that_was_edited_is_not_replaced(place: Place) -> None:
    place.numbered(5)
    place.run(failing(3))
    place.output.write_text("edited")
    with pytest.raises(BatchError, match="not as this job wrote it"):
        place.run(retry_failed=True)
    assert place.output.read_text() == "edited"


def test_an_output_that_appears_meanwhile_is_not_replaced(place: Place) -> None:
    place.numbered(5)

    def appear(value: Any) -> Any:
        place.output.write_text("precious")
        return value

    summary = place.run(appear)
    assert summary.code == 1
    assert "not as this job wrote it" in (summary.reason or "")
    assert place.output.read_text() == "precious"
    place.output.unlink()
    assert place.run().code == 0
    assert (len(place.results()), place.asked) == (5, [])


def test_a_damaged_journal_can_be_replaced_in_the_same_process(place: Place) -> None:
    place.numbered(500)
    assert place.run(executor=stopping_after(400)).code == 4
    journal = Path(f"{place.output}.journal")
    pages = journal.read_bytes()
    journal.write_bytes(pages[: len(pages) // 2])
    # The error is kept, and with it all that its frames hold.
    with pytest.raises(BatchError, match="is damaged"):
        place.run()
    with pytest.raises(BatchError, match="is damaged") as kept:
        place.run()
    assert kept.value.__traceback__ is not None
    assert place.run(restart=True).code == 0


def test_output_and_journal_are_two_files(place: Place) -> None:
    place.numbered(5)
    with pytest.raises(BatchError, match="is output and journal at once"):
        place.run(journal=str(place.output))


def test_an_output_that_could_not_be_replaced_is_replaced_by_the_next_run(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.numbered(5)
    assert place.run().code == 0
    place.numbered(6)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        assert place.run(keep=True).code == 1
    assert len(place.results()) == 5
    assert place.run(keep=True).code == 0
    assert len(place.results()) == 6


def test_a_second_command_on_one_journal_says_so(place: Place) -> None:
    place.numbered(5)
    code = (
        "import sys, time; from luaopenai.batch.lock import JournalLock;"
        "lock = JournalLock(sys.argv[1]); print('locked', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, f"{place.output}.journal"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            with pytest.raises(BatchError, match=rf"process {process.pid}\) is at work on"):
                place.run()
        finally:
            process.kill()
    # A lock ends with its process.
    assert place.run().code == 0


def test_a_run_stops_at_once_when_it_is_told_to(place: Place) -> None:
    place.numbered(1000)
    job = place.job()
    for step in job.steps():
        if step:
            job.stop("interrupted", 130, 5)
    assert job.summary is not None
    assert (job.summary.code, job.summary.reason) == (130, "interrupted")
    assert 0 < job.summary.counts.done < 100
    assert place.run().code == 0
    assert len(place.results()) == 1000


def test_an_iteration_that_is_given_up_keeps_what_is_finished(place: Place) -> None:
    place.numbered(1000)
    steps = place.job().steps()
    finished = next(step for step in steps if step)
    steps.close()
    assert place.executor is not None
    assert place.executor.is_closed
    place.run()
    assert len(place.asked) <= 1000 - len(finished)


def test_counts_are_kept_while_a_job_runs(place: Place) -> None:
    place.numbered(100)
    job = place.job()
    seen: list[tuple[int, int | None]] = []
    for _ in job.steps():
        counts: Counts = job.counts
        seen.append((counts.finished, counts.total))
    assert seen[0][1] == 100
    assert seen == sorted(seen, key=lambda pair: pair[0])
    assert seen[-1][0] == 100


@pytest.mark.timeout(30)
def test_large_rows_are_not_all_under_way_at_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_module, "_UNDER_WAY_BYTES", 1000)
    place.rows(*({"id": number, "text": "x" * 400} for number in range(20)))
    most = 0

    class Watching(FakeExecutor):
        def submit(self, chunk: Chunk) -> None:
            nonlocal most
            super().submit(chunk)
            most = max(most, len(self._waiting))

    assert place.run(executor=Watching).code == 0
    assert most <= 3
    assert len(place.results()) == 20
