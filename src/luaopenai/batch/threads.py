"""Runs a job's rows by a Python function, in threads of this process."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from luaopenai.batch.authority import Authority
from luaopenai.batch.exchange import (
    DONE,
    FAILED,
    LEFT_OUT,
    NOTHING_USED,
    Chunk,
    Dropped,
    Event,
    Outcome,
    Row,
    Stop,
    Usage,
)
from luaopenai.batch.permits import Permits, RunIsOverError
from luaopenai.batch.tidy import Tidy
from luaopenai.client.payload import encode
from luaopenai.client.transport import set_pace

if TYPE_CHECKING:
    from luaopenai.batch.options import Options
    from luaopenai.batch.pace import Rates

_here = threading.local()
"""Of a thread that runs rows: its run's ``permits``, and whether its row ``was_refused`` one."""
_WORKER = 1


class _PaceOfThreads:
    """Has the requests of a run's threads ask that run, and lets all others go."""

    def before(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Any:
        """See ``transport.Pace``."""
        permits: Permits | None = getattr(_here, "permits", None)
        try:
            sent = permits.before(method, url, body, headers) if permits else None
        except RunIsOverError:
            _here.was_refused = True
            raise
        return None if sent is None else (permits, sent)

    def after(
        self, sent: Any, status: int | None, headers: Mapping[str, str], failure: Exception | None
    ) -> Callable[[bytes], object] | None:
        """See ``transport.Pace``."""
        permits, its = sent
        observe: Callable[[bytes], object] | None = permits.after(its, status, headers, failure)
        return observe


_PACE = _PaceOfThreads()


def pace_this_thread(permits: Permits) -> None:
    """Has what this thread sends ask a run for permits."""
    set_pace(_PACE)
    _here.permits = permits


def begin_row() -> None:
    """Forgets what this thread's last row was refused."""
    _here.was_refused = False


def was_refused() -> bool:
    """Returns whether this thread's row was refused a request, because the run ends.

    Its function may have made a result of that: it is not the row's.
    """
    refused: bool = _here.was_refused
    return refused


class ThreadExecutor:
    """Threads that call a function; see ``exchange.Executor``.

    Args:
        function: is given a row's value; what it returns is the result, None leaves the row out.
        options: the job's; ``concurrency`` is how many threads there are.
        rates: what the job may use.
        used: what former runs of the job have used.

    What the threads send through this package's clients is held to the rates and the budgets.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        options: Options,
        rates: Rates,
        used: Usage = NOTHING_USED,
    ) -> None:
        self._function = function
        self._concurrency = options.concurrency
        self._tidy = Tidy()
        self._rows = SimpleQueue[Row | None]()
        self._events: deque[Event] = deque()
        self._signal = threading.Lock()
        self._is_finishing = False
        self._has_told_stop = False
        self._authority = Authority(rates, self._note_change)
        self._authority.start_from(used)
        authority = self._authority
        self._permits = Permits(
            lambda number, need: authority.ask(_WORKER, number, need),
            lambda number: authority.book(_WORKER, [[number, None, 0, 0, 0]]),
            self._tell,
            lambda used: authority.book(_WORKER, used),
            is_limited=authority.is_limited,
            names_models=bool(rates.prices),
        )
        self._permits.learn = self._tidy.learn
        authority.attach(_WORKER, self._permits.grant)
        self._threads = [
            threading.Thread(target=self._work, name="luaopenai-row", daemon=True)
            for _ in range(self._concurrency)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def capacity(self) -> int:
        """How many rows should be under way."""
        return 2 * self._concurrency

    @property
    def chunk_rows(self) -> int:
        """How many rows a chunk should have at most."""
        return self._concurrency

    def submit(self, chunk: Chunk) -> None:
        """Takes a chunk."""
        for row in chunk.rows:
            self._rows.put(row)

    def outcomes(self, timeout: float) -> list[Event]:
        """Returns what has happened; waits up to ``timeout`` seconds for it."""
        end = time.monotonic() + timeout
        while not self._events and (left := end - time.monotonic()) > 0:
            self._signal.acquire(timeout=left)
        found: list[Event] = []
        with suppress(IndexError):
            while True:
                found.append(self._events.popleft())
        return found

    def finish(self) -> None:
        """Begins no more rows, and gives those back that have not begun."""
        if self._is_finishing:
            return
        self._is_finishing = True
        waiting = []
        while not self._rows.empty():
            row = self._rows.get_nowait()
            if row is not None:
                waiting.append(row.number)
        if waiting:
            self._put(Dropped(waiting))
        self._permits.end()
        for _ in self._threads:
            self._rows.put(None)

    def close(self, seconds: float) -> None:
        """Ends the threads; those that do not end in time are left to themselves."""
        self.finish()
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        self._authority.close()
        self._settle()
        # What rows have used that were dropped, and what those may come to that still run.
        self._authority.lose(_WORKER)
        usage = self._authority.take_usage()
        if usage != NOTHING_USED:
            self._put(Outcome(-1, FAILED, usage=usage))

    def _work(self) -> None:
        pace_this_thread(self._permits)
        while (row := self._rows.get()) is not None:
            self._put(self._run(row))

    def _run(self, row: Row) -> Event:
        begin_row()
        outcome = self._answer(row)
        return Dropped([row.number]) if was_refused() else outcome

    def _answer(self, row: Row) -> Event:
        outcome = Outcome(row.number, DONE)
        try:
            result = self._function(row.value)
            if result is None:
                outcome.status = LEFT_OUT
            else:
                outcome.text = encode(result, "result")
        except BaseException as error:
            # Whatever it is, it must not end the thread: the row would never have an outcome.
            if self._is_finishing:
                # It may have failed for the run's end.
                return Dropped([row.number])
            outcome.status, outcome.text = FAILED, None
            outcome.error = self._tidy(describe(error))
        self._settle()
        outcome.usage = self._authority.take_usage()
        return outcome

    def _settle(self) -> None:
        self._authority.book(_WORKER, self._permits.take_used())

    def _tell(self, status: int, headers: dict[str, str]) -> None:
        self._settle()
        self._authority.report(status, headers)

    def _note_change(self) -> None:
        if self._authority.is_limited:
            self._permits.limit()
        spent = self._authority.spent
        if spent is not None and not self._has_told_stop:
            self._has_told_stop = True
            self._put(Stop(spent, 1))

    def _put(self, event: Event) -> None:
        self._events.append(event)
        with suppress(RuntimeError):
            # The signal may be given already.
            self._signal.release()


def describe(error: BaseException) -> str:
    """Returns the kind and the text of what a function has raised."""
    name = type(error).__name__
    try:
        return f"{name}: {error}"
    except Exception:
        return f"{name}, whose text cannot be made"
