"""Which rows Dask's tasks have, and what becomes of them when workers are lost; without Dask."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from luaopenai.batch.dask_tasks import (
    UNWANTED,
    WHOLE,
    Answer,
    ChunkSize,
    Holder,
    Patience,
    Task,
    Tasks,
)
from luaopenai.batch.exchange import DONE, FAILED, Outcome, Row


def row(number: int) -> Row:
    return Row(number, b"%d" % number, b"", "rows.jsonl", number + 1)


def rows(*numbers: int) -> list[Row]:
    return [row(number) for number in numbers]


def done(*numbers: int) -> list[Outcome]:
    return [Outcome(number, DONE, b"1") for number in numbers]


def numbers_of(outcomes: list[Outcome]) -> list[int]:
    return [outcome.number for outcome in outcomes]


@pytest.fixture
def tasks() -> Tasks:
    return Tasks(8, 0.0)


@pytest.fixture
def one() -> Holder:
    return Holder()


@pytest.fixture
def other() -> Holder:
    return Holder()


def start(tasks: Tasks, worker: Holder, *numbers: int) -> Task:
    task = tasks.add(rows(*numbers))
    assert tasks.start(worker, task.number, 0.0) == WHOLE
    return task


def lose_with(tasks: Tasks, task: Task, *begun: int) -> list[Outcome]:
    """Has a worker take a task, begin rows of it, and end."""
    worker = Holder()
    tasks.start_again(worker, task.number)
    worker.begun.update(begun)
    return tasks.lose(worker)


def run_alone(tasks: Tasks, number: int, losses: int) -> list[Outcome]:
    """Has a row be under way in so many workers that are lost."""
    task: Task | None = tasks.add(rows(number))
    failed: list[Outcome] = []
    for _ in range(losses):
        assert task is not None
        failed = lose_with(tasks, task, number)
        task = tasks.next_alone()
    return failed


# How a task begins.


def test_a_task_begins_at_once_with_all_its_rows(tasks: Tasks, one: Holder) -> None:
    task = tasks.add(rows(1, 2))
    assert tasks.start(one, task.number, 3.0) == Answer([], is_suspect=False)
    assert one.tasks == {task}


def test_tasks_have_numbers_of_their_own(tasks: Tasks) -> None:
    assert tasks.add(rows(1)).number != tasks.add(rows(2)).number


def test_a_task_whose_rows_have_outcomes_is_unwanted(tasks: Tasks, one: Holder) -> None:
    task = start(tasks, one, 1)
    tasks.take_outcomes(one, done(1), 1.0)
    assert tasks.start(one, task.number, 2.0) == UNWANTED
    assert tasks.start_again(one, task.number) == UNWANTED


def test_a_task_that_was_begun_elsewhere_does_not_begin_at_once(
    tasks: Tasks, one: Holder, other: Holder
) -> None:
    task = start(tasks, one, 1, 2)
    assert tasks.start(other, task.number, 1.0) is None
    assert one.tasks == {task}


def test_a_task_of_a_lost_worker_begins_with_the_rows_that_are_left_as_suspects(
    tasks: Tasks, one: Holder, other: Holder
) -> None:
    task = start(tasks, one, 1, 2, 3)
    tasks.take_outcomes(one, done(2), 1.0)
    tasks.lose(one)
    assert tasks.start_again(other, task.number) == Answer([2], is_suspect=True)
    assert other.tasks == {task}


def test_a_task_that_begins_again_without_a_loss_is_the_new_workers_alone(
    tasks: Tasks, one: Holder, other: Holder
) -> None:
    task = start(tasks, one, 1)
    assert tasks.start_again(other, task.number) == WHOLE
    tasks.lose(one)
    assert not task.is_suspect


def test_suspects_whose_task_dask_has_given_up_do_not_begin_at_once(
    tasks: Tasks, one: Holder, other: Holder
) -> None:
    task = start(tasks, one, 1, 2)
    tasks.take_outcomes(one, done(1), 1.0)
    tasks.lose(one)
    again = tasks.renew(task)
    assert again.numbers == [2]
    assert tasks.start(other, again.number, 2.0) is None
    assert tasks.start_again(other, again.number) == Answer([], is_suspect=True)


def test_a_row_that_runs_alone_does_so_too_when_dask_has_given_up_its_task(tasks: Tasks) -> None:
    lose_with(tasks, tasks.add(rows(1)), 1)
    task = tasks.next_alone()
    assert task is not None
    assert tasks.renew(task).is_alone


def test_a_task_that_was_renewed_is_unwanted(tasks: Tasks, one: Holder) -> None:
    task = tasks.add(rows(1))
    tasks.renew(task)
    assert task not in tasks
    assert tasks.start(one, task.number, 0.0) == UNWANTED


def test_a_task_leaves_out_what_a_worker_that_was_thought_lost_has_done(
    tasks: Tasks, one: Holder, other: Holder
) -> None:
    task = tasks.add(rows(1, 2))
    tasks.take_outcomes(other, done(1), 1.0)
    assert tasks.start(one, task.number, 2.0) is None
    assert tasks.start_again(one, task.number) == Answer([1])


# Outcomes.


def test_an_outcome_counts_once(tasks: Tasks, one: Holder) -> None:
    start(tasks, one, 1, 2)
    assert numbers_of(tasks.take_outcomes(one, done(1, 1, 7), 1.0)) == [1]
    assert tasks.take_outcomes(one, done(1), 1.0) == []


def test_a_task_is_left_as_long_as_a_row_of_it_has_no_outcome(tasks: Tasks, one: Holder) -> None:
    task = start(tasks, one, 1, 2)
    tasks.take_outcomes(one, done(1), 1.0)
    assert tasks.left() == [task]
    assert task in tasks
    tasks.take_outcomes(one, done(2), 1.0)
    assert tasks.left() == []
    assert task not in tasks
    assert one.tasks == set()


def test_a_row_that_has_failed_may_come_again(tasks: Tasks, one: Holder) -> None:
    start(tasks, one, 1)
    tasks.take_outcomes(one, [Outcome(1, FAILED, error="no")], 1.0)
    start(tasks, one, 1)
    assert numbers_of(tasks.take_outcomes(one, done(1), 2.0)) == [1]


# Losses.


def test_rows_that_were_under_way_in_a_lost_worker_run_alone_and_the_others_as_before(
    tasks: Tasks,
) -> None:
    task = tasks.add(rows(1, 2, 3))
    assert lose_with(tasks, task, 1, 3) == []
    alone = [tasks.next_alone(), tasks.next_alone()]
    assert [one and (one.numbers, one.is_alone) for one in alone] == [([1], True), ([3], True)]
    assert tasks.next_alone() is None
    assert list(task.rows) == [2]
    assert not task.is_alone


def test_a_task_all_of_whose_rows_run_alone_is_unwanted(tasks: Tasks, one: Holder) -> None:
    task = tasks.add(rows(1))
    lose_with(tasks, task, 1)
    assert task not in tasks
    assert tasks.start_again(one, task.number) == UNWANTED


def test_a_row_fails_for_good_with_the_third_worker_that_it_ends(tasks: Tasks) -> None:
    assert run_alone(tasks, 1, 2) == []
    assert len(tasks.left()) == 1
    [failed] = run_alone(Tasks(8, 0.0), 1, 3)
    assert (failed.number, failed.status, failed.final) == (1, FAILED, True)
    assert failed.error == "the row has ended 3 workers of Dask's"


def test_a_row_that_has_failed_for_good_is_left_nowhere(tasks: Tasks, one: Holder) -> None:
    run_alone(tasks, 1, 3)
    assert tasks.left() == []
    assert tasks.next_alone() is None
    assert tasks.take_outcomes(one, done(1), 1.0) == []


@pytest.mark.parametrize("losses", [2, 3])
def test_the_workers_that_a_row_has_ended_are_forgotten_with_its_outcome(
    tasks: Tasks, one: Holder, losses: int
) -> None:
    run_alone(tasks, 1, losses)
    tasks.take_outcomes(one, done(1), 1.0)
    assert run_alone(tasks, 1, 2) == []


def test_a_row_that_was_finished_is_not_under_way_when_its_worker_is_lost(
    tasks: Tasks, one: Holder
) -> None:
    start(tasks, one, 1)
    one.begun.add(1)
    tasks.take_outcomes(one, done(1), 1.0)
    start(tasks, one, 1)
    tasks.lose(one)
    assert tasks.next_alone() is None


def test_a_row_that_was_finished_too_late_is_not_under_way_either(
    tasks: Tasks, one: Holder, other: Holder
) -> None:
    start(tasks, one, 1)
    one.begun.add(1)
    tasks.take_outcomes(other, done(1), 1.0)
    assert tasks.take_outcomes(one, done(1), 2.0) == []
    start(tasks, one, 1)
    tasks.lose(one)
    assert tasks.next_alone() is None


# The end.


def test_what_has_not_begun_is_given_back_at_the_end_and_then_nothing_begins(
    tasks: Tasks, one: Holder, other: Holder
) -> None:
    begun, waiting = start(tasks, one, 1), tasks.add(rows(2, 3))
    assert tasks.finish() == [waiting]
    for task in (begun, waiting):
        assert tasks.start(other, task.number, 1.0) == UNWANTED
        assert tasks.start_again(other, task.number) == UNWANTED
    assert one.tasks == {begun}


def test_rows_that_are_to_run_alone_are_given_back_too(tasks: Tasks) -> None:
    lose_with(tasks, tasks.add(rows(1)), 1)
    assert [task.numbers for task in tasks.finish()] == [[1]]
    assert tasks.next_alone() is None


def test_a_task_that_is_dropped_gives_back_the_rows_without_an_outcome(
    tasks: Tasks, one: Holder
) -> None:
    task = start(tasks, one, 1, 2, 3)
    tasks.take_outcomes(one, done(2), 1.0)
    assert tasks.drop(task) == [1, 3]
    assert task not in tasks
    assert one.tasks == set()
    assert tasks.take_outcomes(one, done(1, 3), 2.0) == []


class _Late:
    """A lock for which another thread was first, and did something."""

    def __init__(self, before: Callable[[], object]) -> None:
        self._before = before

    def __enter__(self) -> None:
        before, self._before = self._before, lambda: None
        before()

    def __exit__(self, *_: object) -> None:
        pass


def test_a_start_sees_an_end_that_has_come_first(
    tasks: Tasks, one: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = tasks.add(rows(1))
    monkeypatch.setattr(tasks, "_lock", _Late(tasks.finish))
    assert tasks.start(one, task.number, 0.0) == UNWANTED


def test_an_end_sees_a_start_that_has_come_first(
    tasks: Tasks, one: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = tasks.add(rows(1))
    late = _Late(lambda: tasks.start(one, task.number, 0.0))
    monkeypatch.setattr(tasks, "_lock", late)
    assert tasks.finish() == []
    assert one.tasks == {task}


def test_a_task_that_is_forgotten_sees_a_start_that_has_come_first(
    tasks: Tasks, one: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = tasks.add(rows(1))
    begun: list[object] = []
    late = _Late(lambda: begun.append(tasks.start(one, task.number, 0.0)))
    monkeypatch.setattr(tasks, "_lock", late)
    tasks.drop(task)
    assert begun == [WHOLE]
    assert one.tasks == set()


# When a run is hopeless.


@pytest.mark.parametrize(("workers", "most"), [(0, 12), (1, 12), (4, 18)])
def test_a_run_is_hopeless_after_ten_workers_and_two_each_that_have_ended_in_vain(
    workers: int, most: int
) -> None:
    patience = Patience(0.0)
    for _ in range(most - 1):
        patience.note_failure()
    assert patience.find_reason(workers) is None
    patience.note_failure()
    told = f"{most} workers have ended without having finished a row"
    assert patience.find_reason(workers) == told


def test_any_outcome_gives_hope_and_so_does_a_row_that_is_found_to_end_workers(
    tasks: Tasks, one: Holder
) -> None:
    start(tasks, one, 1)
    _exhaust(tasks.patience)
    tasks.take_outcomes(one, done(7), 1.0)
    assert tasks.patience.find_reason(1) is not None
    tasks.take_outcomes(one, done(1), 1.0)
    assert tasks.patience.find_reason(1) is None
    _exhaust(tasks.patience)
    run_alone(tasks, 2, 3)
    assert tasks.patience.find_reason(1) is None


def _exhaust(patience: Patience) -> None:
    for _ in range(12):
        patience.note_failure()


def test_a_run_waits_ten_minutes_for_workers() -> None:
    patience = Patience(100.0)
    assert not patience.is_deserted(0, 700.0)
    assert patience.is_deserted(0, 700.1)


def test_a_run_waits_one_minute_when_the_last_worker_has_ended_in_vain() -> None:
    patience = Patience(100.0)
    patience.note_failure()
    assert not patience.is_deserted(0, 160.0)
    assert patience.is_deserted(0, 160.1)


def test_the_wait_begins_when_the_last_worker_has_gone() -> None:
    patience = Patience(0.0)
    assert not patience.is_deserted(1, 10_000.0)
    assert not patience.is_deserted(0, 10_600.0)
    assert patience.is_deserted(0, 10_600.1)


# How large chunks are.


@pytest.mark.parametrize(("concurrency", "first"), [(1, 1), (8, 4), (64, 32)])
def test_first_chunks_have_half_of_the_rows_that_a_worker_has_under_way(
    concurrency: int, first: int
) -> None:
    assert ChunkSize(concurrency).rows(2) == first


def test_chunks_last_half_a_second_at_the_pace_of_a_worker() -> None:
    size = ChunkSize(8)
    size.note_rows(2000, 0.0)
    assert [size.rows(workers) for workers in (0, 1, 2, 4)] == [500, 500, 250, 125]


def test_slow_rows_come_in_chunks_of_an_eighth_of_those_under_way() -> None:
    size = ChunkSize(64)
    size.note_rows(2, 0.0)
    assert size.rows(1) == 8


def test_chunks_grow_fourfold_while_they_are_done_fast_up_to_4096() -> None:
    size = ChunkSize(1)
    sizes = []
    for _ in range(7):
        size.note_chunk(size.rows(1), 0.2)
        sizes.append(size.rows(1))
    assert sizes == [4, 16, 64, 256, 1024, 4096, 4096]


def test_the_pace_makes_no_chunk_of_more_than_4096_rows() -> None:
    size = ChunkSize(1)
    size.note_rows(1_000_000, 0.0)
    assert size.rows(1) == 4096


def test_a_small_chunk_that_is_done_fast_makes_others_no_smaller() -> None:
    size = ChunkSize(1)
    size.note_chunk(100, 0.1)
    size.note_chunk(1, 0.1)
    assert size.rows(1) == 400


@pytest.mark.parametrize(("seconds", "after"), [(0.25, 400), (1.0, 400), (1.1, 1)])
def test_chunks_stay_as_they_are_until_one_takes_a_second(seconds: float, after: int) -> None:
    size = ChunkSize(1)
    size.note_chunk(100, 0.1)
    size.note_chunk(400, seconds)
    assert size.rows(1) == after


def test_a_chunks_time_is_from_its_start_to_its_last_outcome(tasks: Tasks, one: Holder) -> None:
    task = tasks.add(rows(*range(100)))
    tasks.start(one, task.number, 10.0)
    tasks.take_outcomes(one, done(*range(99)), 10.1)
    before = tasks.size.rows(1)
    tasks.take_outcomes(one, done(99), 10.2)
    assert (before, tasks.size.rows(1)) == (24, 400)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_each_worker_has_its_rows_under_way_and_four_chunks_ahead(workers: int) -> None:
    size = ChunkSize(8)
    assert size.capacity(workers) == max(1, workers) * (8 + 4 * 4)
