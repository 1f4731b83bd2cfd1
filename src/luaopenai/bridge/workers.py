"""Threads that wait in Lua's stead, so that one Lua state can have many waits under way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from luaopenai.client.cancel import Call, current_call


class Job(NamedTuple):
    """Work for a thread.

    Attributes:
        ticket: its number.
        work: what to run.
        give_up: takes a result that came for nobody.
        call: what the work is done in.
    """

    ticket: int
    work: Callable[[], Any]
    give_up: Callable[[Any], object]
    call: Call


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
        start: gives, in Lua's thread, a Lua function and its arguments.
        finish: makes, in Lua's thread, a Python value of what that came to.
        reply: takes the value, or the exception, to the thread that waits for it.
    """

    ticket: int
    call: Call
    start: Callable[[], tuple[Any, ...]]
    finish: Callable[[Any], Any]
    reply: SimpleQueue[tuple[Any, BaseException | None] | None]

    def settle(self, give: Callable[[], Any]) -> None:
        """Reply with what a function gives, or with what it raises."""
        try:
            self.reply.put((give(), None))
        except Exception as error:
            self.reply.put((None, error))


class _Shift:
    """Threads that leave together.

    Attributes:
        jobs: what they have to do; None lets one of them go.
        done: what came of it.
        load: how many jobs are under way or wait for a thread.
    """

    def __init__(self) -> None:
        self.jobs: SimpleQueue[Job | None] = SimpleQueue()
        self.done: SimpleQueue[tuple[Job, Outcome] | Callback | None] = SimpleQueue()
        self.load = 0
        self.threads: list[threading.Thread] = []


class Workers:
    """Runs work in threads, as many as there is work, and hands back what it came to.

    Args:
        most: how many threads there may be; work beyond them waits for one. None: any number.

    All methods but ``call_back`` are for one thread, Lua's; only the work itself runs elsewhere.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._shift = _Shift()
        self._awaited: dict[int, Job] = {}
        self._lock = threading.Lock()
        self._here = threading.local()

    def submit(
        self, ticket: int, work: Callable[[], Any], give_up: Callable[[Any], object]
    ) -> None:
        """Have work done."""
        shift = self._shift
        job = self._awaited[ticket] = Job(ticket, work, give_up, Call())
        shift.jobs.put(job)
        with self._lock:
            shift.load += 1
            count = len(shift.threads)
            if count < shift.load and count != self._most:
                thread = threading.Thread(
                    target=self._work, args=(shift,), name="luaopenai-wait", daemon=True
                )
                shift.threads.append(thread)
                thread.start()

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
        return getattr(self._here, "job", None) is not None

    def call_back(self, start: Callable[[], tuple[Any, ...]], finish: Callable[[Any], Any]) -> Any:
        """Have Lua's thread call Lua, and wait for it; for a thread that works here.

        Raises what ``start`` or ``finish`` raises.
        """
        job: Job = self._here.job
        callback = Callback(job.ticket, job.call, start, finish, SimpleQueue())
        job.call.attach(lambda: callback.reply.put(None))
        try:
            self._here.shift.done.put(callback)
            reply = callback.reply.get()
        finally:
            job.call.detach()
        job.call.check()
        assert reply is not None
        value, error = reply
        if error is not None:
            raise error
        return value

    def cancel(self, ticket: int) -> None:
        """Close the connection that a ticket's work uses; it is not handed back."""
        job = self._awaited.pop(ticket, None)
        if job is not None:
            job.call.cancel()

    def stop(self) -> list[threading.Thread]:
        """End what is under way, and let the threads go; these are they."""
        if not self._shift.threads:
            return []
        shift, self._shift = self._shift, _Shift()
        with self._lock:
            for job in self._awaited.values():
                job.call.cancel()
        self._awaited.clear()
        while not shift.done.empty():
            _settle(shift.done.get())
        for _ in shift.threads:
            shift.jobs.put(None)
        return shift.threads

    def _next_done(self, timeout: float | None) -> Outcome | Callback | None:
        try:
            done = _settle(self._shift.done.get(timeout=timeout))
        except Empty:
            return None
        if isinstance(done, Outcome):
            self._awaited.pop(done.ticket, None)
        return done

    def _work(self, shift: _Shift) -> None:
        self._here.shift = shift
        while (job := shift.jobs.get()) is not None:
            self._here.job = job
            try:
                with job.call:
                    outcome = Outcome(job.ticket, job.work())
            except BaseException as error:
                outcome = Outcome(job.ticket, error=error)
            self._here.job = None
            with self._lock:
                shift.load -= 1
                is_awaited = not job.call.is_cancelled
                if is_awaited:
                    shift.done.put((job, outcome))
            if not is_awaited and outcome.error is None:
                job.give_up(outcome.result)
            # What they hold may be large, and the next job far.
            del job, outcome


def _settle(done: tuple[Job, Outcome] | Callback | None) -> Outcome | Callback | None:
    """What somebody still waits for; a result that came for nobody is given up."""
    if done is None:
        return None
    if isinstance(done, Callback):
        return None if done.call.is_cancelled else done
    job, outcome = done
    if not job.call.is_cancelled:
        return outcome
    if outcome.error is None:
        job.give_up(outcome.result)
    return None
