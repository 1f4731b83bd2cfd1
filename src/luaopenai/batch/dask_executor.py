"""Runs a job's rows on a cluster of Dask's: chunks of rows are its tasks."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from distributed import KilledWorker

from luaopenai.batch import frames
from luaopenai.batch.authority import Authority
from luaopenai.batch.begin import what_to_do
from luaopenai.batch.dask_cluster import Connection
from luaopenai.batch.dask_link import Link, Remote
from luaopenai.batch.dask_relay import GONE, OVER
from luaopenai.batch.dask_tasks import WHOLE, Task, Tasks
from luaopenai.batch.dask_worker import START, UNREAD, Rows, run_rows
from luaopenai.batch.events import Events
from luaopenai.batch.exchange import (
    FAILED,
    NOTHING_USED,
    Chunk,
    Dropped,
    Event,
    Outcome,
    Stop,
    Usage,
)
from luaopenai.batch.frames import read_outcomes
from luaopenai.batch.options import BatchError
from luaopenai.batch.pace import Rates
from luaopenai.batch.ranges import Range, range_of

if TYPE_CHECKING:
    from distributed import Client, Future

    from luaopenai.batch.options import Options

SLACK = 2.0
"""Seconds for which a permit is good: messages take longer than on one machine."""
SETTLING = 5.0
"""Seconds that a worker is there before it begins rows that may end it: Dask does not replace one
that ends before its nanny knows that it has begun.
"""
_QUIET_BYTES = 9 << 20
"""Of a chunk, beyond which Dask would warn."""
_ENDED = b"y"
"""A task has ended, as Dask says."""
_CHANGED = b"C"


class DaskExecutor:
    """Workers of Dask's; see ``exchange.Executor``.

    Args:
        options: the job's; ``dask`` names the cluster.
        rates: what the job may use.
        used: what former runs of the job have used, which counts towards the budgets.
        function: a Python function of a row, in the place of the script.

    ``Tasks`` decides what is done where, ``Link`` has the messages; this is their job's thread.
    """

    def __init__(
        self,
        options: Options,
        rates: Rates,
        used: Usage = NOTHING_USED,
        function: Callable[[Any], Any] | None = None,
    ) -> None:
        assert options.dask is not None
        begin = {
            **what_to_do(options, function),
            "names_models": bool(rates.prices),
            "slack": SLACK,
            "settling": SETTLING,
        }
        self._events = Events[Remote | Task]()
        self._authority = Authority(rates, self._note_change)
        self._authority.start_from(used)
        self._tasks = Tasks(options.concurrency, time.monotonic())
        self._futures: dict[int, Future[None]] = {}
        self._found: list[Event] = []
        self._sends_ranges = True
        self._is_stopped = False
        self._is_closed = False
        self._connection = Connection(options.dask, options.workers)
        self._client: Client = self._connection.client
        self._link = Link(self._connection, begin, self._tasks, self._authority, self._events)
        try:
            self._link.open()
        except BaseException:
            self.close(0)
            raise

    @property
    def capacity(self) -> int:
        """How many rows should be under way."""
        return self._tasks.size.capacity(len(self._link.workers))

    @property
    def chunk_rows(self) -> int:
        """How many rows a chunk should have at most."""
        return self._tasks.size.rows(len(self._link.workers))

    def submit(self, chunk: Chunk) -> None:
        """Takes a chunk."""
        self._submit(self._tasks.add(chunk.rows))

    def outcomes(self, timeout: float) -> list[Event]:
        """Returns what has happened; waits up to ``timeout`` seconds for it."""
        end = time.monotonic() + timeout
        while True:
            left = 0.0 if self._found else max(0.0, end - time.monotonic())
            for event in self._events.take(left):
                self._heed(*event)
            while (task := self._tasks.next_alone()) is not None:
                self._submit(task)
            self._check_cluster()
            if self._found or time.monotonic() >= end:
                found, self._found = self._found, []
                return found

    def finish(self) -> None:
        """Begins no more rows; those that have not begun are given back, some as workers tell."""
        if self._tasks.is_finishing:
            return
        waiting = self._tasks.finish()
        self._link.send_all(frames.FINISH)
        self._drop_tasks(waiting)

    def close(self, seconds: float) -> None:
        """Ends the job in the workers; what is under way after ``seconds`` is dropped."""
        if self._is_closed:
            return
        self.finish()
        deadline = time.monotonic() + seconds
        while self._tasks.left() and not self._connection.is_lost and time.monotonic() < deadline:
            for event in self._events.take(0.02):
                self._heed(*event)
        self._is_closed = True
        self._link.close()
        for event in self._events.take(0):
            self._heed(*event)
        self._drop_tasks(self._tasks.left())
        for number in list(self._futures):
            self._release(number)
        self._book_rest()
        self._authority.close()
        self._connection.close()

    # Tasks.

    def _submit(self, task: Task) -> None:
        """Gives a task to Dask."""
        rows = list(task.rows.values())
        lines: bytes | Range | None = range_of(rows) if self._sends_ranges else None
        task.is_range = lines is not None
        if lines is None:
            lines = b"".join([b"%d\t%b\n" % (row.number, row.text) for row in rows])
        numbers: Sequence[int] = task.numbers
        if isinstance(lines, Range):
            numbers = range(lines.first, lines.first + lines.count)
        told = Rows(self._link.job, task.number, numbers, lines, is_alone=task.is_alone)
        key = f"{self._link.name}-{task.number}"
        try:
            with warnings.catch_warnings():
                if isinstance(lines, bytes) and len(lines) > _QUIET_BYTES:
                    warnings.simplefilter("ignore")
                future = self._client.submit(run_rows, told, key=key, pure=False)
        except Exception as error:
            if not self._connection.is_lost:
                raise BatchError(f"{self._connection.shown} takes no task: {error}") from None
            return
        self._futures[task.number] = future
        future.add_done_callback(lambda _: self._events.put(task, _ENDED))

    def _heed(self, teller: Remote | Task | None, kind: bytes, payload: bytes) -> None:
        """Takes an event, in the job's thread."""
        if isinstance(teller, Task):
            self._heed_end(teller)
        elif teller is None:
            self._heed_change()
        elif kind == frames.OUTCOMES:
            self._take_outcomes(teller, payload)
        elif kind == frames.BEGUN:
            number, group = json.loads(payload)
            teller.begun.update(group)
            self._link.answer(teller, number, WHOLE)
        elif kind == START:
            number = int(payload)
            self._link.answer(teller, number, self._tasks.start_again(teller, number))
        elif kind == frames.REFUSED:
            self._stop(payload.decode("utf-8", "replace"), 0.0)
        elif kind == UNREAD:
            # Dask then says that the task has ended, and its rows are left.
            self._sends_ranges = False
        elif kind == GONE:
            self._take_loss(teller)
        elif kind == OVER:
            self._drop_tasks(teller.tasks)

    def _take_outcomes(self, worker: Remote, payload: bytes) -> None:
        now = time.monotonic()
        self._hand_over(self._tasks.take_outcomes(worker, read_outcomes(payload), now))

    def _hand_over(self, outcomes: list[Outcome]) -> None:
        """Hands outcomes to the job, with what was used since the last ones."""
        if outcomes:
            outcomes[0].usage = self._authority.take_usage()
            self._found += outcomes

    def _heed_end(self, task: Task) -> None:
        """A task has ended. Mostly its rows have outcomes, and it is forgotten already."""
        future = self._futures.get(task.number)
        if future is None:
            return
        if task not in self._tasks:
            self._release(task.number)
        elif self._tasks.is_finishing:
            self._drop_tasks([task])
        elif future.status == "cancelled":
            self._stop_for_loss()
        elif future.status != "error":
            # It could not read its rows; or its worker does not know the job.
            if not task.is_range:
                self._tasks.patience.note_failure()
            if not self._is_hopeless():
                self._submit_again(task)
        else:
            error = future.exception()
            if isinstance(error, KilledWorker):
                self._submit_again(task)
            else:
                what = str(error).partition("\n")[0]
                self._stop(f"a worker of Dask's cannot do the rows: {what}", 0.0)

    def _submit_again(self, task: Task) -> None:
        """Makes a new task of the rows that are left."""
        self._release(task.number)
        self._submit(self._tasks.renew(task))

    # Losses.

    def _take_loss(self, worker: Remote) -> None:
        """A worker is lost: Dask gives its tasks to others."""
        if self._tasks.is_finishing or self._is_stopped:
            self._drop_tasks(worker.tasks)
            return
        self._tasks.patience.note_failure()
        if not self._is_hopeless():
            self._hand_over(self._tasks.lose(worker))

    def _is_hopeless(self) -> bool:
        """Ends the run when workers only end."""
        reason = self._tasks.patience.find_reason(len(self._link.workers))
        if reason is not None:
            self._stop(reason, 5.0)
        return reason is not None

    # The end.

    def _drop_tasks(self, tasks: Iterable[Task]) -> None:
        """Gives back the rows of tasks that have no outcome."""
        for task in list(tasks):
            self._found.append(Dropped(self._tasks.drop(task)))
            self._release(task.number)

    def _release(self, number: int) -> None:
        """Has Dask forget a task, and end it if it has not begun."""
        future = self._futures.pop(number, None)
        if future is not None and not self._connection.is_lost:
            with suppress(Exception):
                future.release()

    def _book_rest(self) -> None:
        """Hands over what was used by rows that have no outcome, under a number that no row has."""
        usage = self._authority.take_usage()
        if usage != NOTHING_USED:
            self._found.append(Outcome(-1, FAILED, usage=usage))

    def _note_change(self) -> None:
        self._events.put(None, _CHANGED)

    def _heed_change(self) -> None:
        if self._authority.is_limited:
            self._link.send_all(frames.LIMIT)
        spent = self._authority.spent
        if spent is not None:
            self._stop(spent, 5.0)

    def _check_cluster(self) -> None:
        if self._is_closed:
            return
        if self._connection.is_lost:
            self._stop_for_loss()
        elif self._tasks.patience.is_deserted(len(self._link.workers), time.monotonic()):
            self._stop(f"{self._connection.shown} has no workers", 0.0)

    def _stop_for_loss(self) -> None:
        self._stop(f"the connection to {self._connection.shown} is lost", 0.0)

    def _stop(self, reason: str, seconds: float) -> None:
        """Has the job end the run, once."""
        if not self._is_stopped:
            self._is_stopped = True
            self._found.append(Stop(reason, 1, seconds))
