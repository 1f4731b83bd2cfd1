"""Threads that wait for Lua, so that one Lua state can have many waits under way."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from contextvars import Context, copy_context
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from luaopenai.bridge.work import Work
from luaopenai.client.cancel import Call, current_call


class _Job(NamedTuple):
    """Work for a thread.

    Attributes:
        ticket: its number.
        work: what to do.
        call: by which it can be ended.
        is_taken: set when its result was taken, or is wanted by nobody; None where no thread waits
            for that.
    """

    ticket: int
    work: Work
    call: Call
    is_taken: threading.Event | None

    def let_go(self) -> None:
        """Notes that its result was taken, or is wanted by nobody."""
        if self.is_taken is not None:
            self.is_taken.set()


class Outcome(NamedTuple):
    """How a ticket ended: with a result, or with an exception."""

    ticket: int
    result: Any = None
    error: BaseException | None = None


class Callback(NamedTuple):
    """A call of a Lua function that work asks for: only Lua's own thread may run Lua.

    Attributes:
        ticket: the work's.
        call: by which the work can be ended.
        context: the context variables of the work.
        start: gives, in Lua's thread, a Lua function and its arguments.
        finish: makes, in Lua's thread, a Python value of what that came to.
        reply: takes the value, or the exception, to the thread that waits for it.
    """

    ticket: int
    call: Call
    context: Context
    start: Callable[[], list[Any]]
    finish: Callable[[Any], Any]
    reply: SimpleQueue[tuple[Any, BaseException | None] | None]

    def settle(self, give: Callable[[], Any]) -> None:
        """Replies with what a function returns, or with what it raises."""
        try:
            self.reply.put((give(), None))
        except Exception as error:
            self.reply.put((None, error))


class _Queue:
    """A queue that one thread reads.

    Before Python 3.13, ``SimpleQueue.get`` with a timeout may wait for ever: so no time is given to
    it, and a lock is waited for instead.
    """

    def __init__(self) -> None:
        self._items: SimpleQueue[int | Callback | None] = SimpleQueue()
        self._signal = threading.Lock()
        self._signal.acquire()

    def put(self, item: int | Callback | None) -> None:
        """Adds an item, from any thread."""
        self._items.put(item)
        with contextlib.suppress(RuntimeError):
            # The signal may be given already.
            self._signal.release()

    def get(self, timeout: float | None) -> int | Callback | None:
        """Waits for an item; raises ``Empty`` when the time is over."""
        if timeout is None:
            return self._items.get()
        end = time.monotonic() + timeout
        while True:
            with contextlib.suppress(Empty):
                return self._items.get_nowait()
            if not self._signal.acquire(timeout=max(0.0, end - time.monotonic())):
                return self._items.get_nowait()


class _Pool:
    """Threads that end together.

    Attributes:
        jobs: what they have to do; None lets all of them go.
        done: the tickets that may be done, and who calls back; None for a look at the clock.
        results: the outcomes of the jobs that somebody waits for, by ticket.
        load: how many jobs are under way or wait for a thread.
        threads: all that have begun.
        lock: held to look at ``load`` or at a job's end.
        most: how many threads there may be.
        owner: the same for all pools of an executor. It is not the executor itself: threads shall
            not keep alive one that nobody has any more.
    """

    def __init__(self, most: int | None, owner: object) -> None:
        self.jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self.done = _Queue()
        self.results: dict[int, Outcome] = {}
        self.load = 0
        self.threads: list[threading.Thread] = []
        self.lock = threading.Lock()
        self.most = most
        self.owner = owner

    def work(self) -> None:
        """Does jobs until there is None."""
        _here.pool = self
        while (job := self.jobs.get()) is not None:
            _here.job = job
            try:
                with job.call:
                    outcome = Outcome(job.ticket, job.work.run())
            except BaseException as error:
                outcome = Outcome(job.ticket, error=error)
            _here.job = None
            self._hand_over(job, outcome)
            # What they hold may be large, and the next job far.
            del job, outcome
        # To each of them, also to one that an interrupt has kept out of the list.
        self.jobs.put(None)

    def _hand_over(self, job: _Job, outcome: Outcome) -> None:
        with self.lock:
            is_awaited = not job.call.is_cancelled
            if is_awaited:
                self.results[job.ticket] = outcome
                self.done.put(job.ticket)
            if self.most is None:
                self.load -= 1
        if not is_awaited:
            job.work.discard(outcome.result)
        if job.is_taken is not None:
            job.is_taken.wait()
            with self.lock:
                self.load -= 1


_here = threading.local()
"""Of a thread that works: its ``pool`` and the ``job`` that it does."""


class ThreadExecutor:
    """Does work in threads, as many as there is work, and hands back the outcomes.

    Args:
        most: how many threads there may be; work beyond them waits for one, and a thread for its
            result to be taken. None: any number.

    All methods but ``call_back`` are for one thread, Lua's; only the work itself runs elsewhere.
    """

    def __init__(self, most: int | None = None) -> None:
        self._pool = _Pool(most, object())
        self._awaited: dict[int, _Job] = {}

    def __del__(self) -> None:
        # Nothing that takes a lock: whoever holds it may be what is interrupted for this.
        self._pool.jobs.put(None)

    def submit(self, ticket: int, work: Work) -> None:
        """Has a thread do work; raises ``RuntimeError`` when the system has no thread for it."""
        pool = self._pool
        with pool.lock:
            pool.load += 1
            count = len(pool.threads)
            if count < pool.load and count != pool.most:
                try:
                    _begin_thread(pool)
                except RuntimeError:
                    # Those that there are will come to it.
                    if not pool.threads:
                        pool.load -= 1
                        raise
        is_taken = None if pool.most is None else threading.Event()
        job = self._awaited[ticket] = _Job(ticket, work, Call(), is_taken)
        pool.jobs.put(job)

    def next_done(self, timeout: float | None = None) -> Outcome | Callback | None:
        """Waits for a ticket, or for work that calls back; None when the seconds are over.

        Raises ``Cancelled`` when the call that the waiting thread is in is cancelled.
        """
        call = current_call()
        if call is None:
            return self._next_done(timeout)
        done = self._pool.done
        call.attach(lambda: done.put(None))
        try:
            call.check()
            found = self._next_done(timeout)
            call.check()
            return found
        finally:
            call.detach()

    def is_here(self) -> bool:
        """Returns whether this thread is one of the executor's."""
        job: _Job | None = getattr(_here, "job", None)
        return job is not None and _here.pool.owner is self._pool.owner

    def call_back(self, start: Callable[[], list[Any]], finish: Callable[[Any], Any]) -> Any:
        """Has Lua's thread call Lua and waits for the result; for the executor's threads only.

        Raises what ``start`` or ``finish`` raises.
        """
        job: _Job = _here.job
        reply = SimpleQueue[tuple[Any, BaseException | None] | None]()
        callback = Callback(job.ticket, job.call, copy_context(), start, finish, reply)
        job.call.attach(lambda: reply.put(None))
        try:
            _here.pool.done.put(callback)
            answer = reply.get()
        finally:
            job.call.detach()
        job.call.check()
        assert answer is not None
        value, error = answer
        if error is None:
            return value
        try:
            raise error
        finally:
            # Its traceback leads here: it would hold itself.
            del answer, error

    def cancel(self, ticket: int) -> None:
        """Ends a ticket's work and closes its connection; the ticket has no outcome."""
        job = self._awaited.pop(ticket, None)
        if job is not None:
            self._drop(job, self._pool)

    def stop(self) -> list[threading.Thread]:
        """Ends all work that is under way; returns the threads, which end too."""
        if not self._pool.threads:
            return []
        pool, self._pool = self._pool, _Pool(self._pool.most, self._pool.owner)
        while self._awaited:
            self._drop(self._awaited.popitem()[1], pool)
        pool.jobs.put(None)
        return pool.threads

    def _next_done(self, timeout: float | None) -> Outcome | Callback | None:
        try:
            done = self._pool.done.get(timeout=timeout)
        except Empty:
            return None
        if isinstance(done, Callback):
            return None if done.call.is_cancelled else done
        outcome = self._pool.results.pop(done, None) if done else None
        if outcome is not None:
            self._awaited.pop(outcome.ticket).let_go()
        return outcome

    def _drop(self, job: _Job, pool: _Pool) -> None:
        """Cancels a job that nobody waits for, or discards its result."""
        with pool.lock:
            job.call.cancel()
            outcome = pool.results.pop(job.ticket, None)
        if outcome is not None:
            job.work.discard(outcome.result)
        job.let_go()


def _begin_thread(pool: _Pool) -> None:
    thread = threading.Thread(target=pool.work, name="luaopenai-wait", daemon=True)
    thread.start()
    pool.threads.append(thread)
