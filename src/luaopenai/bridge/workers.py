"""Threads that wait in Lua's stead, so that one Lua state can have many waits under way."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from contextvars import Context, copy_context
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from luaopenai.client.cancel import Call, current_call


class Job(NamedTuple):
    """Work for a thread.

    Attributes:
        ticket: its number.
        work: what to run.
        give_up: takes a result that came for nobody, None where the work has failed.
        call: what the work is done in.
        is_taken: set when what the work came to is in somebody's hands, or nobody's.
    """

    ticket: int
    work: Callable[[], Any]
    give_up: Callable[[Any], object]
    call: Call
    is_taken: threading.Event


class Outcome(NamedTuple):
    """What a ticket came to: a result, or the exception that ended it."""

    ticket: int
    result: Any = None
    error: BaseException | None = None


class Callback(NamedTuple):
    """What work wants of Lua, which only Lua's own thread may run.

    Attributes:
        ticket: the work's.
        call: what the work is done in.
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
        """Reply with what a function gives, or with what it raises."""
        try:
            self.reply.put((give(), None))
        except Exception as error:
            self.reply.put((None, error))


class _Mailbox:
    """A queue that one thread reads.

    Before Python 3.13, ``SimpleQueue.get`` with a timeout may wait for ever: so no time is given to
    it, and a lock is waited for instead.
    """

    def __init__(self) -> None:
        self._letters: SimpleQueue[int | Callback | None] = SimpleQueue()
        self._bell = threading.Lock()
        self._bell.acquire()

    def put(self, letter: int | Callback | None) -> None:
        """Add a letter, from any thread."""
        self._letters.put(letter)
        with contextlib.suppress(RuntimeError):
            # It may be ringing already.
            self._bell.release()

    def get(self, timeout: float | None) -> int | Callback | None:
        """Wait for a letter; raises ``Empty`` when the seconds are over."""
        if timeout is None:
            return self._letters.get()
        end = time.monotonic() + timeout
        while True:
            with contextlib.suppress(Empty):
                return self._letters.get_nowait()
            if not self._bell.acquire(timeout=max(0.0, end - time.monotonic())):
                return self._letters.get_nowait()


class _Shift:
    """Threads that leave together.

    Attributes:
        jobs: what they have to do; None lets all of them go.
        done: the tickets that may be done, and who calls back; None for a look at the clock.
        results: what came of the jobs that somebody waits for, by ticket.
        load: how many jobs are under way or wait for a thread.
        threads: all that have begun.
        lock: held to look at ``load`` or at a job's end.
        most: how many threads there may be.
        crew: what is the same for all shifts of a ``Workers``, and is not that itself: those that
            nobody has any more shall go.
    """

    def __init__(self, most: int | None, crew: object) -> None:
        self.jobs: SimpleQueue[Job | None] = SimpleQueue()
        self.done = _Mailbox()
        self.results: dict[int, Outcome] = {}
        self.load = 0
        self.threads: list[threading.Thread] = []
        self.lock = threading.Lock()
        self.most = most
        self.crew = crew

    def work(self) -> None:
        """Do jobs until there is None."""
        _here.shift = self
        while (job := self.jobs.get()) is not None:
            _here.job = job
            try:
                with job.call:
                    outcome = Outcome(job.ticket, job.work())
            except BaseException as error:
                outcome = Outcome(job.ticket, error=error)
            _here.job = None
            self._hand_over(job, outcome)
            # What they hold may be large, and the next job far.
            del job, outcome
        # To each of them, also to one that an interrupt has kept out of the list.
        self.jobs.put(None)

    def _hand_over(self, job: Job, outcome: Outcome) -> None:
        with self.lock:
            is_awaited = not job.call.is_cancelled
            if is_awaited:
                self.results[job.ticket] = outcome
                self.done.put(job.ticket)
            if self.most is None:
                self.load -= 1
        if not is_awaited:
            job.give_up(outcome.result)
        if self.most is not None:
            job.is_taken.wait()
            with self.lock:
                self.load -= 1


_here = threading.local()
"""Of a thread that works: its ``shift`` and the ``job`` that it does."""


class Workers:
    """Runs work in threads, as many as there is work, and hands back what it came to.

    Args:
        most: how many threads there may be; work beyond them waits for one, and a thread for its
            result to be taken. None: any number.

    All methods but ``call_back`` are for one thread, Lua's; only the work itself runs elsewhere.
    """

    def __init__(self, most: int | None = None) -> None:
        self._shift = _Shift(most, object())
        self._awaited: dict[int, Job] = {}

    def __del__(self) -> None:
        # Nothing that takes a lock: whoever holds it may be what is interrupted for this.
        self._shift.jobs.put(None)

    def submit(
        self, ticket: int, work: Callable[[], Any], give_up: Callable[[Any], object]
    ) -> None:
        """Have work done; raises ``RuntimeError`` when the system has no thread for it."""
        shift = self._shift
        with shift.lock:
            shift.load += 1
            count = len(shift.threads)
            if count < shift.load and count != shift.most:
                try:
                    _begin_thread(shift)
                except RuntimeError:
                    # Those that there are will come to it.
                    if not shift.threads:
                        shift.load -= 1
                        raise
        job = self._awaited[ticket] = Job(ticket, work, give_up, Call(), threading.Event())
        shift.jobs.put(job)

    def next_done(self, timeout: float | None = None) -> Outcome | Callback | None:
        """Wait for a ticket, or for work that calls back; None when the seconds are over.

        Raises ``Cancelled`` when the call that the waiting thread is in is cancelled.
        """
        call = current_call()
        if call is None:
            return self._next_done(timeout)
        done = self._shift.done
        call.attach(lambda: done.put(None))
        try:
            call.check()
            found = self._next_done(timeout)
            call.check()
            return found
        finally:
            call.detach()

    def is_here(self) -> bool:
        """Whether this thread is one of those that work here."""
        job: Job | None = getattr(_here, "job", None)
        return job is not None and _here.shift.crew is self._shift.crew

    def call_back(self, start: Callable[[], list[Any]], finish: Callable[[Any], Any]) -> Any:
        """Have Lua's thread call Lua, and wait for it; for a thread that works here.

        Raises what ``start`` or ``finish`` raises.
        """
        job: Job = _here.job
        reply = SimpleQueue[tuple[Any, BaseException | None] | None]()
        callback = Callback(job.ticket, job.call, copy_context(), start, finish, reply)
        job.call.attach(lambda: reply.put(None))
        try:
            _here.shift.done.put(callback)
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
        """Close the connection that a ticket's work uses; it is not handed back."""
        job = self._awaited.pop(ticket, None)
        if job is not None:
            self._drop(job, self._shift)

    def stop(self) -> list[threading.Thread]:
        """End what is under way, and let the threads go; these are they."""
        if not self._shift.threads:
            return []
        shift, self._shift = self._shift, _Shift(self._shift.most, self._shift.crew)
        while self._awaited:
            self._drop(self._awaited.popitem()[1], shift)
        shift.jobs.put(None)
        return shift.threads

    def _next_done(self, timeout: float | None) -> Outcome | Callback | None:
        try:
            done = self._shift.done.get(timeout=timeout)
        except Empty:
            return None
        if isinstance(done, Callback):
            return None if done.call.is_cancelled else done
        outcome = self._shift.results.pop(done, None) if done else None
        if outcome is not None:
            self._awaited.pop(outcome.ticket).is_taken.set()
        return outcome

    def _drop(self, job: Job, shift: _Shift) -> None:
        """End a job that nobody waits for, or give up what it has come to."""
        with shift.lock:
            job.call.cancel()
            outcome = shift.results.pop(job.ticket, None)
        if outcome is not None:
            job.give_up(outcome.result)
        job.is_taken.set()


def _begin_thread(shift: _Shift) -> None:
    thread = threading.Thread(target=shift.work, name="luaopenai-wait", daemon=True)
    thread.start()
    shift.threads.append(thread)
