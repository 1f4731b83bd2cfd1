"""Decides which rows Dask's tasks have, who does them, and how they end when workers are lost.

There is no I/O here: the clock is passed in, answers and tasks to send are returned.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from luaopenai.batch.exchange import FAILED, Outcome, Row
from luaopenai.batch.meter import Meter

_CHUNK_SECONDS = 0.5
"""How long a worker shall have to do with a chunk."""
_MOST_ROWS = 4096
_GROWTH = 4
_CHUNKS_AHEAD = 4
_MOST_LOSSES = 3
_MOST_FRUITLESS = 10
"""Workers that may be lost one after another without having finished a row, beside two each."""
_WAIT_SECONDS = 600.0
"""How long a run goes on without a worker."""
_SHORT_WAIT_SECONDS = 60.0
"""The same, where the last one has ended without having finished a row."""


class ChunkSize:
    """The size of chunks, by the pace of the workers.

    Args:
        concurrency: how many rows are under way in a worker.
    """

    def __init__(self, concurrency: int) -> None:
        self._concurrency = concurrency
        self._finished = Meter(2.0)
        self._grown = 0
        """Rows of a chunk, as of those that were done fast."""

    def rows(self, workers: int) -> int:
        """Returns how many rows a chunk should have at most."""
        each = self._finished.pace / max(1, workers)
        least = max(1, self._concurrency // 8 if each else self._concurrency // 2)
        return min(_MOST_ROWS, max(least, int(each * _CHUNK_SECONDS), self._grown))

    def capacity(self, workers: int) -> int:
        """Returns how many rows should be under way."""
        return max(1, workers) * (self._concurrency + _CHUNKS_AHEAD * self.rows(workers))

    def note_rows(self, count: int, now: float) -> None:
        """Notes rows that were finished just now."""
        self._finished.note(count, now)

    def note_chunk(self, rows: int, seconds: float) -> None:
        """Has chunks grow fast as long as they are done fast: the pace is not known yet."""
        if seconds < _CHUNK_SECONDS / 2:
            self._grown = max(self._grown, min(_MOST_ROWS, _GROWTH * rows))
        elif seconds > 2 * _CHUNK_SECONDS:
            self._grown = 0


class Patience:
    """Decides when a run is hopeless because workers only end, or there are none."""

    def __init__(self, now: float) -> None:
        self._fruitless = 0
        self._worked_at = now

    def note_failure(self) -> None:
        """Notes that a worker has ended, or could not do a task."""
        self._fruitless += 1

    def note_success(self) -> None:
        """Notes that rows have got an outcome."""
        self._fruitless = 0

    def find_reason(self, workers: int) -> str | None:
        """Returns why a run is hopeless in which workers only end; None if it is not."""
        if self._fruitless < _MOST_FRUITLESS + 2 * max(1, workers):
            return None
        return f"{self._fruitless} workers have ended without having finished a row"

    def is_deserted(self, workers: int, now: float) -> bool:
        """Notes how many workers there are; returns whether there were none for too long."""
        if workers:
            self._worked_at = now
        wait = _SHORT_WAIT_SECONDS if self._fruitless else _WAIT_SECONDS
        return now - self._worked_at > wait


class Holder:
    """A worker that tasks may begin in.

    Attributes:
        begun: rows without an outcome that are known to have begun there.
        tasks: what it does.
    """

    def __init__(self) -> None:
        self.begun: set[int] = set()
        self.tasks: set[Task] = set()


class Task:
    """A chunk that Dask has.

    Attributes:
        rows: those without an outcome, by their numbers.
        numbers: of all its rows.
        is_alone: whether no other rows may be under way beside it.
        is_suspect: whether its rows may have ended a worker.
        holder: the worker that does it.
        began: when it began, if nothing spoke against it.
        is_range: whether its worker reads the rows from their file.
    """

    def __init__(self, number: int, rows: list[Row], *, is_alone: bool, is_suspect: bool) -> None:
        self.number = number
        self.rows = {row.number: row for row in rows}
        self.numbers = [row.number for row in rows]
        self.is_alone = is_alone
        self.is_suspect = is_suspect
        self.holder: Holder | None = None
        self.began = 0.0
        self.is_range = False


class Answer(NamedTuple):
    """The answer to a task that wants to begin.

    Attributes:
        skip: which of its rows not to do; None for all.
        is_suspect: whether the others may have ended a worker.
    """

    skip: list[int] | None
    is_suspect: bool = False


UNWANTED = Answer(None)
WHOLE = Answer([])


class Tasks:
    """The tasks whose rows have no outcome yet; ``start`` is for any thread, the rest for one.

    When a worker is lost, Dask has another one do its tasks; that asks which rows are left. From
    then on these are suspects: they begin in groups that are announced. Rows of a group that was
    under way when a worker was lost are tried again alone. A row that is known to have been under
    way in three that were lost has failed.

    Attributes:
        size: of chunks.
        patience: with workers that end.
        is_finishing: whether no more tasks begin.
    """

    def __init__(self, concurrency: int, now: float) -> None:
        self.size = ChunkSize(concurrency)
        self.patience = Patience(now)
        self.is_finishing = False
        self._lock = threading.Lock()
        """Lest a task begins that is being forgotten, or after the end."""
        self._tasks: dict[int, Task] = {}
        self._where: dict[int, Task] = {}
        """By the numbers of the rows that have no outcome."""
        self._losses: dict[int, int] = {}
        self._alone: deque[Task] = deque()
        self._last = 0

    def __contains__(self, task: Task) -> bool:
        return task.number in self._tasks

    def left(self) -> list[Task]:
        """Returns the tasks that have rows without an outcome."""
        return list(self._tasks.values())

    def add(self, rows: list[Row], *, is_alone: bool = False, is_suspect: bool = False) -> Task:
        """Makes a task, which then is to be sent."""
        self._last += 1
        task = Task(self._last, rows, is_alone=is_alone, is_suspect=is_suspect)
        for row in rows:
            self._where[row.number] = task
        self._tasks[task.number] = task
        return task

    def renew(self, task: Task) -> Task:
        """Makes a new task of the rows that are left of one which Dask has given up."""
        self._forget(task)
        rows = list(task.rows.values())
        return self.add(rows, is_alone=task.is_alone, is_suspect=task.is_suspect)

    def next_alone(self) -> Task | None:
        """Returns once each task of a row that is to run alone; None if there is none to send."""
        return self._alone.popleft() if self._alone and not self.is_finishing else None

    def start(self, worker: Holder, number: int, now: float) -> Answer | None:
        """Lets a task begin at once, if it is the first time and nothing speaks against it.

        Otherwise returns None: ``start_again`` decides, after all that was told before.
        """
        with self._lock:
            task = self._tasks.get(number)
            if task is None or self.is_finishing:
                return UNWANTED
            is_whole = len(task.rows) == len(task.numbers)
            if task.holder is not None or task.is_suspect or not is_whole:
                return None
            task.began = now
            _give(task, worker)
            return WHOLE

    def start_again(self, worker: Holder, number: int) -> Answer:
        """Lets a task begin that another worker had, or that may end the worker."""
        task = self._tasks.get(number)
        if task is None or self.is_finishing:
            return UNWANTED
        # Without the lock: ``start`` would leave this task to us again.
        _give(task, worker)
        skip = [number for number in task.numbers if number not in task.rows]
        return Answer(skip, task.is_suspect)

    def take_outcomes(
        self, worker: Holder, outcomes: Iterable[Outcome], now: float
    ) -> list[Outcome]:
        """Notes outcomes from a worker; returns those of rows that had none."""
        taken = []
        for outcome in outcomes:
            worker.begun.discard(outcome.number)
            task = self._where.pop(outcome.number, None)
            if task is None:
                continue
            taken.append(outcome)
            self._losses.pop(outcome.number, None)
            del task.rows[outcome.number]
            if not task.rows:
                self.size.note_chunk(len(task.numbers), now - task.began)
                self._forget(task)
        if taken:
            self.patience.note_success()
            self.size.note_rows(len(taken), now)
        return taken

    def lose(self, worker: Holder) -> list[Outcome]:
        """Makes the tasks of a lost worker suspects; returns the outcomes of rows that failed."""
        failed = []
        for task in list(worker.tasks):
            task.is_suspect = True
            for number in [number for number in task.rows if number in worker.begun]:
                row = task.rows.pop(number)
                del self._where[number]
                if self._count_loss(number) < _MOST_LOSSES:
                    self._alone.append(self.add([row], is_alone=True))
                else:
                    failed.append(self._fail(number))
            if not task.rows:
                self._forget(task)
        return failed

    def finish(self) -> list[Task]:
        """Lets no more tasks begin; returns those that have not, which are to be dropped."""
        with self._lock:
            self.is_finishing = True
            return [task for task in self._tasks.values() if task.holder is None]

    def drop(self, task: Task) -> list[int]:
        """Forgets a task; returns its rows without an outcome."""
        self._forget(task)
        for number in task.rows:
            del self._where[number]
        return list(task.rows)

    def _count_loss(self, number: int) -> int:
        """Counts a worker that was lost with a row under way."""
        self._losses[number] = losses = self._losses.get(number, 0) + 1
        return losses

    def _fail(self, number: int) -> Outcome:
        del self._losses[number]
        self.patience.note_success()
        error = f"the row has ended {_MOST_LOSSES} workers of Dask's"
        return Outcome(number, FAILED, error=error, final=True)

    def _forget(self, task: Task) -> None:
        with self._lock:
            del self._tasks[task.number]
        if task.holder is not None:
            task.holder.tasks.discard(task)


def _give(task: Task, worker: Holder) -> None:
    """Notes who does a task from now on."""
    if task.holder is not None:
        task.holder.tasks.discard(task)
    task.holder = worker
    worker.tasks.add(task)
