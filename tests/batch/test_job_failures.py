"""A job with rows that fail: which it asks again, where they are told of, and when it stops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from luaopenai.batch.options import BatchError, MaxFailures
from support.fake_executor import FakeExecutor, RowError, failing, stopping_after
from support.job_workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def test_a_row_that_fails_is_tried_again(workspace: Workspace) -> None:
    workspace.numbered(30)
    tries: dict[int, int] = {}

    def function(value: Any) -> Any:
        tries[value["id"]] = tries.get(value["id"], 0) + 1
        if value["id"] == 5 and tries[5] < 3:
            raise RowError("not yet")
        return value

    summary = workspace.run(function)
    assert tries[5] == 3
    assert len(workspace.results()) == 30
    assert (summary.code, summary.counts.retries) == (0, 2)


def test_rows_that_keep_failing_are_written_beside_the_output(workspace: Workspace) -> None:
    workspace.numbered(30)
    summary = workspace.run(failing(5, 6))
    assert summary.code == 3
    assert [value["id"] for value in workspace.results()] == [
        n for n in range(30) if n not in (5, 6)
    ]
    first, second = workspace.failures()
    assert first == {
        "number": 5,
        "key": first["key"],
        "source": f"{workspace.input}:6",
        "error": "no f",
        "attempts": 3,
        "row": {"id": 5},
    }
    assert (second["number"], summary.failures) == (6, f"{workspace.output}.failed.jsonl")
    # The same command asks nothing.
    assert workspace.run().code == 3
    assert workspace.executor is None


def test_retry_failed_takes_only_the_failed_rows(workspace: Workspace) -> None:
    workspace.numbered(30)
    workspace.run(failing(5, 6, 7))
    summary = workspace.run(failing(6), retry_failed=True, attempts=1)
    assert sorted(value["id"] for value in workspace.asked) == [5, 6, 7]
    assert [line["number"] for line in workspace.failures()] == [6]
    assert (summary.code, len(workspace.results())) == (3, 29)
    assert workspace.run(retry_failed=True).code == 0
    assert not Path(f"{workspace.output}.failed.jsonl").exists()
    assert [value["id"] for value in workspace.results()] == list(range(30))


def test_retry_failed_leaves_rows_that_were_never_finished(workspace: Workspace) -> None:
    workspace.numbered(40)
    workspace.run(failing(1), executor=stopping_after(20), attempts=1)
    summary = workspace.run(retry_failed=True)
    assert workspace.asked == [{"id": 1}]
    assert summary.code == 1
    assert "not finished yet" in (summary.reason or "")
    assert not workspace.output.exists()


def test_the_first_20_rows_failing_alike_stop_the_run(workspace: Workspace) -> None:
    workspace.numbered(1000)
    summary = workspace.run(
        failing(*range(1000), error="401 wrong key (request id 1{}2)"), attempts=1
    )
    assert summary.code == 3
    assert "the first 20 rows all failed alike: 401 wrong key" in (summary.reason or "")
    assert len(workspace.asked) < 60
    # Nothing of it is kept: with the right key, the same command does all rows.
    assert workspace.run().code == 0
    assert len(workspace.results()) == 1000


def test_failures_alike_are_not_kept_though_a_row_succeeds_as_the_run_stops(
    workspace: Workspace,
) -> None:
    workspace.numbered(100)

    def together(function: Any) -> FakeExecutor:
        return FakeExecutor(function, capacity=64, chunk_rows=64)

    summary = workspace.run(failing(*range(20), error="401"), executor=together, attempts=1)
    assert "failed alike" in (summary.reason or "")
    assert (summary.counts.done > 0, summary.counts.failed) == (True, 0)
    assert workspace.run().code == 0
    assert len(workspace.results()) == 100


def test_attempts_do_not_put_off_that_the_first_rows_fail(workspace: Workspace) -> None:
    workspace.numbered(1000)
    summary = workspace.run(failing(*range(1000), error="401"), attempts=50)
    assert "failed alike" in (summary.reason or "")
    assert len(workspace.asked) < 60


def test_one_success_among_the_first_rows_speaks_for_the_run(workspace: Workspace) -> None:
    workspace.numbered(100)
    summary = workspace.run(failing(*(n for n in range(100) if n != 15), error="401"), attempts=1)
    assert (summary.reason, summary.counts.failed, summary.counts.done) == (None, 99, 1)


def test_rows_that_fail_differently_are_no_reason_to_stop(workspace: Workspace) -> None:
    workspace.numbered(100)
    summary = workspace.run(failing(*range(100)), attempts=1)
    assert (summary.reason, summary.counts.failed) == (None, 100)


def test_few_rows_that_all_fail_are_failures(workspace: Workspace) -> None:
    workspace.numbered(5)
    summary = workspace.run(failing(*range(5), error="401"))
    assert (summary.code, summary.reason, len(workspace.failures())) == (3, None, 5)
    assert len(workspace.asked) == 15


@pytest.mark.parametrize("limit", ["10", "20%"])
def test_too_many_failures_stop_the_run(workspace: Workspace, limit: str) -> None:
    workspace.numbered(1000)
    summary = workspace.run(
        failing(*range(1, 1000, 2)), attempts=1, max_failures=MaxFailures.parse(limit)
    )
    assert summary.code == 3
    assert f"(max-failures {limit})" in (summary.reason or "")
    assert len(workspace.asked) < 200
    assert not workspace.output.exists()
    assert len(workspace.failures()) == summary.counts.failed > 10


def test_as_many_rows_as_max_failures_says_may_fail(workspace: Workspace) -> None:
    workspace.numbered(50)
    limit = MaxFailures.parse("2")
    summary = workspace.run(failing(10, 20), attempts=1, max_failures=limit)
    assert (summary.code, summary.reason) == (3, None)
    assert len(workspace.results()) == 48
    summary = workspace.run(failing(10, 20, 30), attempts=1, max_failures=limit, restart=True)
    assert summary.reason == "3 rows have failed (max-failures 2)"


def test_max_failures_is_a_number_or_a_percentage() -> None:
    assert MaxFailures.parse("5%") == MaxFailures(percent=5)
    for wrong in ("many", "-1", "101%", "%"):
        with pytest.raises(BatchError, match="max-failures is"):
            MaxFailures.parse(wrong)


def test_the_last_failure_is_told(workspace: Workspace) -> None:
    workspace.numbered(5)
    assert workspace.run().last_error is None
    assert workspace.run(failing(3), restart=True).last_error == "no d"
