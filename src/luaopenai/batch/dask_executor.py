"""Runs a job's rows on a cluster of Dask's: chunks of rows are its tasks."""

from __future__ import annotations

import json
import threading
import time
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import cloudpickle
from distributed import KilledWorker

from luaopenai.batch import dask_relay, frames
from luaopenai.batch.authority import Authority
from luaopenai.batch.begin import what_to_do
from luaopenai.batch.dask_cluster import Connection
from luaopenai.batch.dask_relay import CLOSE, DOWN, GONE, OPEN, OVER, TOPIC, Relay, plugin_name
from luaopenai.batch.dask_worker import GO, HELLO, START, UNREAD, JobPlugin, Rows, run_rows
from luaopenai.batch.events import Events
from luaopenai.batch.exchange import (
    FAILED,
    NOTHING_USED,
    Chunk,
    Dropped,
    Event,
    Outcome,
    Row,
    Stop,
    Usage,
)
from luaopenai.batch.frames import read_outcomes
from luaopenai.batch.meter import Meter
from luaopenai.batch.options import BatchError
from luaopenai.batch.pace import Need, Rates
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
_CHUNK_SECONDS = 0.5
"""How long a worker shall have to do with a chunk."""
_MOST_ROWS = 4096
_GROWTH = 4
_CHUNKS_AHEAD = 4
_QUIET_BYTES = 9 << 20
"""Of a chunk, beyond which Dask would warn."""
_MOST_LOSSES = 3
_MOST_FRUITLESS = 10
"""Workers that may be lost one after another without having finished a row, beside two each."""
_WAIT_SECONDS = 600.0
"""How long a run goes on without a worker."""
_SHORT_WAIT_SECONDS = 60.0
"""The same, where the last one has ended without having finished a row."""
_CLOSING_SECONDS = 10.0
"""How long the end of a run waits for the workers to let go of it."""
_ENDED = b"y"
"""A task has ended, as Dask says."""
_CHANGED = b"C"

_listeners: dict[str, DaskExecutor] = {}
"""By job. Dask keeps what it is given to call, and so it is given a function that holds nothing."""


def _hear(event: tuple[float, tuple[str, str, float, list[bytes]]]) -> None:
    """Takes what the relay has sent, in the thread of Dask's client."""
    job, worker, sent, messages = event[1]
    executor = _listeners.get(job)
    if executor is not None:
        executor.hear(worker, sent, messages)


class _Remote:
    """A worker of Dask's, as the job knows it."""

    def __init__(self, number: int, address: str) -> None:
        self.number = number
        self.address = address
        self.ahead = 0.0
        """By how much its clock is ahead of ours, at least."""
        self.is_ready = False
        self.begun: set[int] = set()
        self.chunks: set[_Task] = set()


class _Task:
    """A chunk that Dask has: its rows without an outcome, and the worker that does them."""

    __slots__ = (
        "began",
        "holder",
        "is_alone",
        "is_range",
        "is_suspect",
        "number",
        "numbers",
        "rows",
    )

    def __init__(self, number: int, rows: list[Row], *, is_alone: bool, is_suspect: bool) -> None:
        self.number = number
        self.rows = {row.number: row for row in rows}
        self.numbers = [row.number for row in rows]
        self.is_alone = is_alone
        self.is_suspect = is_suspect
        self.holder: _Remote | None = None
        self.began = 0.0
        self.is_range = False


class DaskExecutor:
    """Workers of Dask's; see ``exchange.Executor``.

    Args:
        options: the job's; ``dask`` names the cluster.
        rates: what the job may use.
        used: what former runs of the job have used, which counts towards the budgets.
        function: a Python function of a row, in the place of the script.

    When a worker is lost, Dask has another one do its tasks; that asks the job which rows are left.
    From then on these are suspects: they begin in groups that are announced. Rows of a group that
    was under way when a worker was lost are tried again alone. A row that is known to have been
    under way in three that were lost has failed.
    """

    def __init__(
        self,
        options: Options,
        rates: Rates,
        used: Usage = NOTHING_USED,
        function: Callable[[Any], Any] | None = None,
    ) -> None:
        assert options.dask is not None
        self._options = options
        self._concurrency = options.concurrency
        self._job = uuid.uuid4().hex[:12]
        self._name = plugin_name(self._job)
        self._begin = {
            **what_to_do(options, function),
            "names_models": bool(rates.prices),
            "slack": SLACK,
            "settling": SETTLING,
        }
        self._lock = threading.Lock()
        self._events = Events[_Remote | _Task]()
        self._authority = Authority(rates, self._note_change)
        self._authority.start_from(used)
        self._tasks: dict[int, _Task] = {}
        self._futures: dict[int, Future[None]] = {}
        self._where: dict[int, _Task] = {}
        self._losses: dict[int, int] = {}
        self._lonely: deque[Row] = deque()
        self._workers: dict[str, _Remote] = {}
        self._finished = Meter(2.0)
        self._found: list[Event] = []
        self._sends_ranges = True
        self._grown = 0
        """Rows of a chunk, as of those that were done fast."""
        self._last_task = 0
        self._last_worker = 0
        self._fruitless = 0
        self._worked_at = time.monotonic()
        self._is_finishing = False
        self._is_stopped = False
        self._is_closed = False
        self._connection = Connection(options.dask, options.workers)
        self._client: Client = self._connection.client
        try:
            self._open()
        except BaseException:
            self.close(0)
            raise

    def _open(self) -> None:
        """Has the scheduler and the workers expect the job."""
        client = self._client
        _listeners[self._job] = self
        cloudpickle.register_pickle_by_value(dask_relay)
        try:
            client.register_plugin(Relay())
        finally:
            cloudpickle.unregister_pickle_by_value(dask_relay)
        self._call(OPEN, job=self._job, client=client.id)
        client.subscribe_topic(TOPIC, _hear)
        client.register_plugin(JobPlugin(self._job, is_own=self._connection.is_own))

    @property
    def capacity(self) -> int:
        """How many rows should be under way."""
        return (len(self._workers) or 1) * (self._concurrency + _CHUNKS_AHEAD * self.chunk_rows)

    @property
    def chunk_rows(self) -> int:
        """How many rows a chunk should have at most."""
        each = self._finished.pace / (len(self._workers) or 1)
        least = max(1, self._concurrency // 8 if each else self._concurrency // 2)
        return min(_MOST_ROWS, max(least, int(each * _CHUNK_SECONDS), self._grown))

    def submit(self, chunk: Chunk) -> None:
        """Takes a chunk."""
        self._submit(chunk.rows)

    def outcomes(self, timeout: float) -> list[Event]:
        """Returns what has happened; waits up to ``timeout`` seconds for it."""
        end = time.monotonic() + timeout
        while True:
            left = 0.0 if self._found else max(0.0, end - time.monotonic())
            for event in self._events.take(left):
                self._heed(*event)
            while self._lonely and not self._is_finishing:
                self._submit([self._lonely.popleft()], is_alone=True)
            self._check_cluster()
            if self._found or time.monotonic() >= end:
                found, self._found = self._found, []
                return found

    def finish(self) -> None:
        """Begins no more rows; those that have not begun are given back, some as workers tell."""
        if self._is_finishing:
            return
        with self._lock:
            self._is_finishing = True
            waiting = [task for task in self._tasks.values() if task.holder is None]
        for worker in list(self._workers.values()):
            self._send(worker, frames.FINISH)
        self._drop([row.number for row in self._lonely])
        self._lonely.clear()
        for task in waiting:
            self._drop_task(task)

    def close(self, seconds: float) -> None:
        """Ends the job in the workers; what is under way after ``seconds`` is dropped."""
        if self._is_closed:
            return
        self.finish()
        deadline = time.monotonic() + seconds
        while self._tasks and not self._connection.is_lost and time.monotonic() < deadline:
            for event in self._events.take(0.02):
                self._heed(*event)
        self._is_closed = True
        if not self._connection.is_lost:
            # The scheduler may be gone any moment, and a worker may hang.
            with suppress(Exception):
                self._call("unregister_worker_plugin", _CLOSING_SECONDS, name=self._name)
            with suppress(Exception):
                self._call(CLOSE, _CLOSING_SECONDS, job=self._job)
        for event in self._events.take(0):
            self._heed(*event)
        _listeners.pop(self._job, None)
        for task in list(self._tasks.values()):
            self._drop_task(task)
        for number in list(self._futures):
            self._release(number)
        self._book_rest()
        self._authority.close()
        self._connection.close()

    # The way to the workers.

    def hear(self, address: str, sent: float, messages: list[bytes]) -> None:
        """Takes what a worker has sent, in the thread of Dask's client."""
        worker = self._workers.get(address)
        if messages[0] == GONE:
            if worker is not None:
                del self._workers[address]
                self._authority.lose(worker.number)
                self._events.put(worker, GONE)
            return
        if worker is None:
            worker = self._meet(address)
        worker.ahead = sent - time.monotonic()
        for kind, payload in zip(messages[::2], messages[1::2], strict=True):
            self._take(worker, kind, payload)

    def _meet(self, address: str) -> _Remote:
        self._last_worker += 1
        worker = _Remote(self._last_worker, address)
        self._workers[address] = worker

        def grant(numbers: list[int], at: float) -> None:
            told = [numbers, at + worker.ahead]
            self._send(worker, frames.GRANT, json.dumps(told).encode())

        self._authority.attach(worker.number, grant)
        return worker

    def _take(self, worker: _Remote, kind: bytes, payload: bytes) -> None:
        if kind == HELLO:
            begin = {
                **self._begin,
                "limited": self._authority.is_limited,
                "hold": max(0.05, len(self._workers) / 1000),
            }
            self._send(worker, frames.BEGIN, json.dumps(begin).encode())
        elif kind == frames.ASK:
            number, model, input_tokens, asked = json.loads(payload)
            self._authority.ask(worker.number, number, Need(model, input_tokens, asked))
        elif kind == frames.USED:
            self._authority.book(worker.number, json.loads(payload))
        elif kind == frames.TOLD:
            self._authority.report(*json.loads(payload))
        elif kind == START and self._start(worker, int(payload)):
            pass
        else:
            self._events.put(worker, kind, payload)

    def _start(self, worker: _Remote, number: int) -> bool:
        """Lets a task begin at once, if it is the first time and nothing speaks against it."""
        with self._lock:
            task = self._tasks.get(number)
            if task is not None and not self._is_finishing:
                is_whole = len(task.rows) == len(task.numbers)
                if task.holder is not None or task.is_suspect or not is_whole:
                    return False
                task.holder = worker
                task.began = time.monotonic()
                worker.chunks.add(task)
        self._answer(worker, number, None if task is None or task.holder is None else [])
        return True

    def _answer(
        self, worker: _Remote, number: int, skip: list[int] | None, *, is_suspect: bool = False
    ) -> None:
        """Tells a task which of its rows not to do; None for all."""
        told = b"" if skip is None else json.dumps({"skip": skip, "suspect": is_suspect}).encode()
        self._send(worker, GO, b"%d\t%b" % (number, told))

    def _send(self, worker: _Remote, kind: bytes, payload: bytes = b"") -> None:
        """Sends a message, from any thread."""
        message = {"op": DOWN, "job": self._job, "to": worker.address, "frames": [kind, payload]}

        def send() -> None:
            # Without a connection the run ends, and says so elsewhere.
            with suppress(Exception):
                comm: Any = self._client.scheduler_comm
                comm.send(message)

        with suppress(RuntimeError):
            loop: Any = self._client.loop
            loop.add_callback(send)

    def _call(self, method: str, seconds: float | None = None, **told: str) -> None:
        """Calls the scheduler, and waits: for ever, or for so many seconds."""
        call = getattr(self._client.scheduler, method)
        self._client.sync(call, callback_timeout=seconds, **told)

    # Tasks.

    def _submit(self, rows: list[Row], *, is_alone: bool = False, is_suspect: bool = False) -> None:
        self._last_task += 1
        task = _Task(self._last_task, rows, is_alone=is_alone, is_suspect=is_suspect)
        with self._lock:
            self._tasks[task.number] = task
        for row in rows:
            self._where[row.number] = task
        lines: bytes | Range | None = range_of(rows) if self._sends_ranges else None
        task.is_range = lines is not None
        if lines is None:
            lines = b"".join([b"%d\t%b\n" % (row.number, row.text) for row in rows])
        numbers: Sequence[int] = task.numbers
        if isinstance(lines, Range):
            numbers = range(lines.first, lines.first + lines.count)
        told = Rows(self._job, task.number, numbers, lines, is_alone=is_alone)
        key = f"{self._name}-{task.number}"
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

    def _heed(self, teller: _Remote | _Task | None, kind: bytes, payload: bytes) -> None:
        """Takes an event, in the job's thread."""
        if isinstance(teller, _Task):
            self._heed_end(teller)
        elif teller is None:
            self._heed_change()
        elif kind == frames.OUTCOMES:
            self._take_outcomes(teller, payload)
        elif kind == frames.BEGUN:
            number, group = json.loads(payload)
            teller.begun.update(group)
            self._answer(teller, number, [])
        elif kind == START:
            self._start_again(teller, int(payload))
        elif kind == frames.BEGIN:
            teller.is_ready = True
        elif kind == frames.REFUSED:
            self._stop(payload.decode("utf-8", "replace"), 0.0)
        elif kind == UNREAD:
            # Dask then says that the task has ended, and its rows are left.
            self._sends_ranges = False
        elif kind == GONE:
            self._take_loss(teller)
        elif kind == OVER:
            for task in list(teller.chunks):
                self._drop_task(task)

    def _take_outcomes(self, worker: _Remote, payload: bytes) -> None:
        count = 0
        is_watched = self._losses or worker.begun
        for outcome in read_outcomes(payload):
            task = self._where.pop(outcome.number, None)
            if task is None:
                continue
            count += 1
            del task.rows[outcome.number]
            if not task.rows:
                self._note_time(task)
                self._forget(task)
            if is_watched:
                self._losses.pop(outcome.number, None)
                worker.begun.discard(outcome.number)
            if count == 1:
                outcome.usage = self._authority.take_usage()
            self._found.append(outcome)
        if count:
            self._fruitless = 0
            self._finished.note(count)

    def _note_time(self, task: _Task) -> None:
        """Has chunks grow fast as long as they are done fast: the pace is not known yet."""
        seconds = time.monotonic() - task.began
        if seconds < _CHUNK_SECONDS / 2:
            self._grown = max(self._grown, min(_MOST_ROWS, _GROWTH * len(task.numbers)))
        elif seconds > 2 * _CHUNK_SECONDS:
            self._grown = 0

    def _forget(self, task: _Task) -> None:
        """Forgets a task whose rows have outcomes."""
        with self._lock:
            self._tasks.pop(task.number, None)
        if task.holder is not None:
            task.holder.chunks.discard(task)

    def _start_again(self, worker: _Remote, number: int) -> None:
        """Lets a task begin that another worker had, or that may end the worker."""
        task = self._tasks.get(number)
        if task is None or self._is_finishing:
            self._answer(worker, number, None)
            return
        if task.holder is not None:
            task.holder.chunks.discard(task)
        with self._lock:
            task.holder = worker
        worker.chunks.add(task)
        skip = [number for number in task.numbers if number not in task.rows]
        self._answer(worker, number, skip, is_suspect=task.is_suspect)

    def _heed_end(self, task: _Task) -> None:
        """A task has ended. Mostly its rows have outcomes, and it is forgotten already."""
        future = self._futures.get(task.number)
        if future is None:
            return
        if task.number not in self._tasks:
            self._release(task.number)
        elif self._is_finishing:
            self._drop_task(task)
        elif future.status == "cancelled":
            self._stop_for_loss()
        elif future.status != "error":
            # It could not read its rows; or its worker does not know the job.
            self._fruitless += not task.is_range
            if not self._is_hopeless():
                self._submit_again(task)
        else:
            error = future.exception()
            if isinstance(error, KilledWorker):
                self._submit_again(task)
            else:
                what = str(error).partition("\n")[0]
                self._stop(f"a worker of Dask's cannot do the rows: {what}", 0.0)

    def _submit_again(self, task: _Task) -> None:
        """Makes a new task of the rows that are left."""
        self._forget(task)
        self._release(task.number)
        rows = list(task.rows.values())
        if rows:
            self._submit(rows, is_alone=task.is_alone, is_suspect=task.is_suspect)

    # Losses.

    def _take_loss(self, worker: _Remote) -> None:
        """A worker is lost: Dask gives its tasks to others."""
        if self._is_finishing or self._is_stopped:
            for task in list(worker.chunks):
                self._drop_task(task)
            return
        self._fruitless += 1
        if self._is_hopeless():
            return
        for task in list(worker.chunks):
            with self._lock:
                task.is_suspect = True
            for number in [number for number in task.rows if number in worker.begun]:
                self._take_back(task, number)
            if not task.rows:
                self._forget(task)
        worker.chunks.clear()

    def _is_hopeless(self) -> bool:
        """Ends the run when workers only end."""
        if self._fruitless < _MOST_FRUITLESS + 2 * max(1, len(self._workers)):
            return False
        self._stop(f"{self._fruitless} workers have ended without having finished a row", 5.0)
        return True

    def _take_back(self, task: _Task, number: int) -> None:
        """Sorts a row that was known to be under way in a lost worker: it will run alone."""
        row = task.rows.pop(number)
        del self._where[number]
        losses = self._losses[number] = self._losses.get(number, 0) + 1
        if losses < _MOST_LOSSES:
            self._lonely.append(row)
            return
        del self._losses[number]
        self._fruitless = 0
        usage = self._authority.take_usage()
        error = f"the row has ended {_MOST_LOSSES} workers of Dask's"
        self._found.append(Outcome(number, FAILED, error=error, usage=usage, final=True))

    # The end.

    def _drop_task(self, task: _Task) -> None:
        """Gives back the rows of a task that have no outcome."""
        self._forget(task)
        for number in task.rows:
            self._where.pop(number, None)
        self._drop(list(task.rows))
        self._release(task.number)

    def _release(self, number: int) -> None:
        """Has Dask forget a task, and end it if it has not begun."""
        future = self._futures.pop(number, None)
        if future is not None and not self._connection.is_lost:
            with suppress(Exception):
                future.release()

    def _drop(self, numbers: list[int]) -> None:
        if numbers:
            self._found.append(Dropped(numbers))

    def _book_rest(self) -> None:
        """Hands over what was used by rows that have no outcome, under a number that no row has."""
        usage = self._authority.take_usage()
        if usage != NOTHING_USED:
            self._found.append(Outcome(-1, FAILED, usage=usage))

    def _note_change(self) -> None:
        self._events.put(None, _CHANGED)

    def _heed_change(self) -> None:
        if self._authority.is_limited:
            for worker in list(self._workers.values()):
                self._send(worker, frames.LIMIT)
        spent = self._authority.spent
        if spent is not None:
            self._stop(spent, 5.0)

    def _check_cluster(self) -> None:
        now = time.monotonic()
        if self._is_closed:
            return
        if self._connection.is_lost:
            self._stop_for_loss()
        elif self._workers:
            self._worked_at = now
        elif now - self._worked_at > (_SHORT_WAIT_SECONDS if self._fruitless else _WAIT_SECONDS):
            self._stop(f"{self._connection.shown} has no workers", 0.0)

    def _stop_for_loss(self) -> None:
        self._stop(f"the connection to {self._connection.shown} is lost", 0.0)

    def _stop(self, reason: str, seconds: float) -> None:
        """Has the job end the run, once."""
        if not self._is_stopped:
            self._is_stopped = True
            self._found.append(Stop(reason, 1, seconds))
