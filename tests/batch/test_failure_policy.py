"""What becomes of rows that fail, and when a run stops for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from luaopenai.batch.exchange import DONE, FAILED, Outcome, Row, Stop
from luaopenai.batch.failure_policy import PERCENT_FROM_ROWS, FailurePolicy
from luaopenai.batch.journal import Journal
from luaopenai.batch.keeper import OutcomeKeeper
from luaopenai.batch.options import CODE_FAILURES, MaxFailures, Options
from luaopenai.batch.stopping import RunStop
from luaopenai.batch.trial import ROWS as TRIAL_ROWS


class Tried:
    """A policy, and what it leads to."""

    def __init__(self, **options: Any) -> None:
        self.journal = Journal(None)
        self.keeper = OutcomeKeeper(self.journal)
        self.stop = RunStop()
        self.policy = FailurePolicy(Options("", **options), self.journal, self.keeper, self.stop)

    def fail(self, number: int, error: str | None = "no", *, final: bool = False) -> bool:
        return self.policy.fail(row(number), Outcome(number, FAILED, error=error, final=final))

    def succeed(self, number: int) -> int:
        attempts = self.policy.succeed(row(number))
        self.keeper.keep(row(number), Outcome(number, DONE, b"1"), attempts)
        return attempts

    def failures(self) -> list[tuple[int, int]]:
        """The rows whose failures are kept, with their attempts."""
        self.journal.commit()
        return [(line["number"], line["attempts"]) for line in self.journal.failures()]


def row(number: int) -> Row:
    return Row(number, b"1", number.to_bytes(16, "big"), "f", number + 1)


TriedWith = Callable[..., Tried]


@pytest.fixture
def tried_with() -> Iterator[TriedWith]:
    with contextlib.ExitStack() as stack:

        def make(**options: Any) -> Tried:
            tried = Tried(**options)
            stack.callback(tried.journal.close)
            return tried

        yield make


def test_a_row_is_tried_again_until_it_has_had_its_attempts(tried_with: TriedWith) -> None:
    tried = tried_with(attempts=3)
    tried.succeed(9)
    assert [tried.fail(0) for _ in range(3)] == [True, True, False]
    assert tried.failures() == [(0, 3)]


def test_a_success_tells_how_many_attempts_it_took(tried_with: TriedWith) -> None:
    tried = tried_with(attempts=3)
    tried.fail(0)
    tried.fail(0)
    assert (tried.succeed(0), tried.succeed(1)) == (3, 1)


def test_a_failure_that_is_final_is_not_tried_again(tried_with: TriedWith) -> None:
    tried = tried_with(attempts=3)
    tried.succeed(9)
    assert not tried.fail(0, final=True)
    assert tried.failures() == [(0, 1)]


def test_failures_are_held_back_until_a_row_succeeds(tried_with: TriedWith) -> None:
    tried = tried_with(attempts=1)
    tried.fail(0)
    tried.fail(1)
    assert (tried.policy.is_trial, tried.failures()) == (True, [])
    tried.succeed(2)
    assert (tried.policy.is_trial, tried.failures()) == (False, [(0, 1), (1, 1)])


def test_failures_are_kept_as_soon_as_they_differ(tried_with: TriedWith) -> None:
    tried = tried_with(attempts=1)
    tried.fail(0, "no answer")
    tried.fail(1, "too long")
    assert (tried.policy.is_trial, tried.failures()) == (False, [(0, 1), (1, 1)])


def test_failures_that_are_held_back_are_kept_when_nothing_else_is_left(
    tried_with: TriedWith,
) -> None:
    tried = tried_with(attempts=1)
    tried.fail(0)
    tried.policy.release_held()
    tried.policy.release_held()
    assert tried.failures() == [(0, 1)]


def test_where_the_first_rows_fail_alike_the_run_stops_and_none_is_kept(
    tried_with: TriedWith,
) -> None:
    tried = tried_with(attempts=1)
    for number in range(TRIAL_ROWS - 1):
        tried.fail(number)
    assert tried.stop.stop is None
    assert not tried.fail(99)
    reason = f"the first {TRIAL_ROWS} rows all failed alike: no"
    assert tried.stop.stop == Stop(reason, CODE_FAILURES, 5)
    tried.succeed(100)
    tried.policy.release_held()
    assert tried.failures() == []


def test_more_failures_than_may_be_stop_the_run(tried_with: TriedWith) -> None:
    tried = tried_with(attempts=1, max_failures=MaxFailures(rows=2))
    tried.succeed(9)
    tried.fail(0)
    tried.fail(1)
    assert tried.stop.stop is None
    tried.fail(2)
    reason = "3 rows have failed (max-failures 2)"
    assert tried.stop.stop == Stop(reason, CODE_FAILURES, 5)


def test_a_percentage_of_failures_counts_once_there_are_enough_rows(tried_with: TriedWith) -> None:
    tried = tried_with(attempts=1, max_failures=MaxFailures(percent=10))
    for number in range(PERCENT_FROM_ROWS - 11):
        tried.succeed(number)
    for number in range(PERCENT_FROM_ROWS, PERCENT_FROM_ROWS + 10):
        tried.fail(number)
    # Of 99 rows, 10 are more than a tenth.
    assert tried.stop.stop is None
    tried.succeed(999)
    tried.fail(1000)
    assert tried.stop.stop is not None
    assert tried.stop.stop.reason == "11 of 101 finished rows have failed (max-failures 10%)"


def test_just_the_percentage_of_failures_is_not_too_much(tried_with: TriedWith) -> None:
    tried = tried_with(attempts=1, max_failures=MaxFailures(percent=10))
    for number in range(PERCENT_FROM_ROWS - 10):
        tried.succeed(number)
    for number in range(PERCENT_FROM_ROWS, PERCENT_FROM_ROWS + 10):
        tried.fail(number)
    assert (tried.stop.stop, len(tried.failures())) == (None, 10)


def test_the_last_error_is_known(tried_with: TriedWith) -> None:
    tried = tried_with()
    assert tried.policy.last_error is None
    tried.fail(0, "no answer")
    tried.fail(1, None)
    assert tried.policy.last_error == "failed"
