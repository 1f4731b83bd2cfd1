"""Each row of a run on Dask ends once, whatever workers are lost, and however late that is told.

Workers, Dask, and the executor are played here: only what decides, ``Tasks``, is the real one.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from luaopenai.batch.dask_tasks import Answer, Holder, Task, Tasks
from luaopenai.batch.exchange import DONE, FAILED, Outcome, Row

GROUP = 2
"""How many suspects begin together."""
MOST_WORKERS = 3
ROWS = 40
STEPS = 150


def ends_workers(number: int) -> bool:
    return number % 8 == 3


class Worker:
    """A process, and what it does."""

    def __init__(self) -> None:
        self.holder = Holder()
        self.runs: list[Run] = []
        self.is_lost = False

    def may_begin(self, run: Run) -> bool:
        """Whether nothing is under way that no others may be beside, nor that may not be."""
        busy = [one for one in self.runs if one.under_way]
        if run.task.is_alone:
            return not busy
        return not any(one.task.is_alone for one in busy)


class Run:
    """A task in a worker: rows that wait to be announced, and rows under way."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.waiting: list[int] = []
        self.under_way: set[int] = set()
        self.is_announced = False
        self.is_asking = True
        """It waits for the job's word."""

    @property
    def is_busy(self) -> bool:
        return bool(self.under_way) and not self.is_asking


class Cluster:
    """Workers begin rows, finish them, are lost, and come back; the job hears of it later."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.tasks = Tasks(GROUP, 0.0)
        self.queue: list[Task] = []
        """With Dask, in no worker."""
        self.workers: list[Worker] = []
        self.lost: list[Worker] = []
        self.events: deque[Callable[[], None]] = deque()
        self.rows = iter(range(ROWS))
        self.again: list[int] = []
        self.open: set[int] = set()
        self.submitted: set[int] = set()
        self.failed: set[int] = set()
        self.ended: Counter[int] = Counter()
        """By row: workers that were lost while it was under way."""
        self.known: Counter[int] = Counter()
        """The same, where it was announced."""
        self.told: list[int] = []
        """Rows whose outcome is on its way."""
        self.is_over = False

    def run(self, *, is_calm: bool, is_finished_early: bool) -> None:
        """Plays for a while, and then on without further losses until all rows have ended, but for
        those that rows are to blame for; in a calm run, there are no others.
        """
        steps = {
            self.heed: 9,
            self.submit: 2,
            self.meet: 4,
            self.begin_one: 8,
            self.announce_one: 6,
            self.do_some: 6,
            self.find_unreadable: 1,
            self.lose_one: 0 if is_calm else 1,
            self.come_back: 0 if is_calm else 1,
        }
        for _ in range(self.random.randrange(STEPS)):
            [step] = self.random.choices(list(steps), list(steps.values()))
            step()
            self.check()
        if is_finished_early:
            self.finish()
        for _ in range(1000):
            if not self.open:
                break
            for step in (self.meet, self.heed, self.begin_one, self.announce_one, self.do_some):
                step()
                self.check()
        assert not self.open
        assert self.tasks.left() == []
        assert not any(worker.holder.tasks for worker in self.workers)

    def check(self) -> None:
        left = [number for task in self.tasks.left() for number in task.rows]
        assert sorted(left) == sorted(self.open)
        assert all(task.rows for task in self.tasks.left())
        for worker in self.workers:
            for task in worker.holder.tasks:
                assert task in self.tasks
                assert task.holder is worker.holder
            under_way = [number for run in worker.runs for number in run.under_way]
            assert self.events or worker.holder.begun.issubset(under_way)

    # The job.

    def submit(self) -> None:
        numbers, self.again = self.again, []
        numbers += [number for number, _ in zip(self.rows, range(5), strict=False)]
        if numbers:
            self.open.update(numbers)
            self.submitted.update(numbers)
            rows = [Row(number, b"1", b"", "", 1) for number in numbers]
            self.queue.append(self.tasks.add(rows))

    def heed(self) -> None:
        if self.events:
            self.events.popleft()()
        while (task := self.tasks.next_alone()) is not None:
            self.queue.append(task)

    def finish(self) -> None:
        self.is_over = True
        under_way = {number for _, run in self.runs() for number in run.under_way}
        for task in self.tasks.finish():
            assert under_way.isdisjoint(task.rows)
            self.drop(task)

    def drop(self, task: Task) -> None:
        for number in self.tasks.drop(task):
            self.end_row(number)
        self.queue = [one for one in self.queue if one is not task]

    def end_row(self, number: int) -> None:
        assert number in self.open
        self.open.remove(number)
        del self.ended[number], self.known[number]

    def take_outcomes(self, holder: Holder, outcomes: list[Outcome]) -> None:
        self.told = [one for one in self.told if one not in {it.number for it in outcomes}]
        for outcome in self.tasks.take_outcomes(holder, outcomes, 0.0):
            self.end_row(outcome.number)
            if outcome.status == FAILED:
                self.again.append(outcome.number)

    def take_loss(self, holder: Holder) -> None:
        if self.is_over:
            for task in list(holder.tasks):
                self.drop(task)
            return
        for outcome in self.tasks.lose(holder):
            assert self.known[outcome.number] == 3
            self.end_row(outcome.number)
            self.failed.add(outcome.number)

    def take_end(self, task: Task) -> None:
        if task in self.tasks:
            if self.is_over:
                self.drop(task)
            else:
                self.queue.append(self.tasks.renew(task))

    def take_start(self, worker: Worker, run: Run) -> None:
        self.answer(worker, run, self.tasks.start_again(worker.holder, run.task.number))

    def answer(self, worker: Worker, run: Run, told: Answer) -> None:
        if worker.is_lost:
            return
        run.is_asking = False
        skip = run.task.numbers if told.skip is None else told.skip
        numbers = [number for number in run.task.numbers if number not in skip]
        assert self.open.issuperset(numbers)
        assert not (numbers and self.is_over)
        assert not set(self.told).intersection(numbers)
        assert run.task.is_alone or not any(self.known[number] for number in numbers)
        if run.task.is_alone or told.is_suspect:
            run.waiting = numbers
        else:
            assert not any(self.ended[number] for number in numbers)
            run.under_way = set(numbers)
        self.end_if_done(worker, run)

    def take_beginning(self, worker: Worker, run: Run, group: list[int]) -> None:
        worker.holder.begun.update(group)
        run.is_asking = False

    # Workers, and Dask.

    def runs(self) -> list[tuple[Worker, Run]]:
        return [(worker, run) for worker in self.workers for run in worker.runs]

    def meet(self) -> None:
        if len(self.workers) < MOST_WORKERS:
            self.workers.append(Worker())

    def begin_one(self) -> None:
        if self.workers and self.queue:
            worker, run = self.random.choice(self.workers), Run(self.take_from_queue())
            worker.runs.append(run)
            told = self.tasks.start(worker.holder, run.task.number, 0.0)
            if told is None:
                self.events.append(partial(self.take_start, worker, run))
            else:
                self.answer(worker, run, told)

    def take_from_queue(self) -> Task:
        return self.queue.pop(self.random.randrange(len(self.queue)))

    def find_unreadable(self) -> None:
        if self.queue:
            self.events.append(partial(self.take_end, self.take_from_queue()))

    def announce_one(self) -> None:
        if found := [
            (worker, run)
            for worker, run in self.runs()
            if run.waiting and not run.under_way and worker.may_begin(run)
        ]:
            worker, run = self.random.choice(found)
            group, run.waiting = run.waiting[:GROUP], run.waiting[GROUP:]
            run.under_way = set(group)
            run.is_announced = run.is_asking = True
            self.events.append(partial(self.take_beginning, worker, run, group))

    def do_some(self) -> None:
        """Has rows under way come to their end, or end their worker."""
        if found := [(worker, run) for worker, run in self.runs() if run.is_busy]:
            worker, run = self.random.choice(found)
            under_way = sorted(run.under_way)
            numbers = self.random.sample(under_way, self.random.randint(1, len(under_way)))
            if any(map(ends_workers, numbers)):
                self.lose(worker)
            else:
                run.under_way.difference_update(numbers)
                status = self.random.choice([DONE, DONE, DONE, FAILED])
                outcomes = [Outcome(number, status, b"1") for number in numbers]
                self.told += numbers
                self.events.append(partial(self.take_outcomes, worker.holder, outcomes))
                self.end_if_done(worker, run)

    def end_if_done(self, worker: Worker, run: Run) -> None:
        if not run.waiting and not run.under_way:
            worker.runs.remove(run)
            self.events.append(partial(self.take_end, run.task))

    def lose_one(self) -> None:
        if self.workers:
            self.lose(self.random.choice(self.workers))

    def lose(self, worker: Worker) -> None:
        """Ends a worker: Dask gives its tasks to others, or gives them up."""
        self.workers.remove(worker)
        worker.is_lost = True
        self.lost.append(worker)
        self.events.append(partial(self.take_loss, worker.holder))
        for run in worker.runs:
            self.ended.update(run.under_way)
            if run.is_announced:
                self.known.update(run.under_way)
            if self.random.random() < 0.2:
                self.events.append(partial(self.take_end, run.task))
            else:
                self.queue.append(run.task)

    def come_back(self) -> None:
        """Has a worker that was thought lost tell what it has done meanwhile."""
        if self.lost:
            worker = self.lost.pop()
            outcomes = [
                Outcome(number, DONE, b"1")
                for run in worker.runs
                for number in sorted(run.under_way)
                if not ends_workers(number)
            ]
            self.events.append(partial(self.take_outcomes, Holder(), outcomes))


seeds = given(st.integers(0, 1 << 32))
often = settings(max_examples=100, deadline=None)


@often
@seeds
def test_each_row_ends_once_and_fails_only_if_it_was_under_way_in_three_lost_workers(
    seed: int,
) -> None:
    cluster = Cluster(Random(seed))
    cluster.run(is_calm=False, is_finished_early=False)
    assert cluster.failed >= set(filter(ends_workers, cluster.submitted))


@often
@seeds
def test_rows_that_end_workers_fail_and_no_others_do(seed: int) -> None:
    cluster = Cluster(Random(seed))
    cluster.run(is_calm=True, is_finished_early=False)
    assert cluster.failed == set(filter(ends_workers, cluster.submitted))


@often
@seeds
def test_each_row_ends_once_or_is_given_back_and_none_begins_after_the_end(seed: int) -> None:
    Cluster(Random(seed)).run(is_calm=False, is_finished_early=True)
