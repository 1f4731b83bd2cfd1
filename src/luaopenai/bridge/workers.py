"""Threads that wait in Lua's stead, so that one Lua state can have many waits under way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from luaopenai.client.cancel import Call, Cancelled, current_call


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


class Workers:
    """Runs work in threads, as many as there is work, and hands back what it came to.

    Args:
        most: how many threads there may be; work beyond them waits for one. None: any number.

    All methods but ``call_back`` are for one thread, Lua's; only the work itself runs elsewhere.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._done: SimpleQueue[Outcome | Callback | None] = SimpleQueue()
        self._under_way: dict[int, Job] = {}
        self._threads = 0
        self._here = threading.local()

    def submit(
        self, ticket: int, work: Callable[[], Any], give_up: Callable[[Any], object]
    ) -> None:
        """Have work done."""
        job = self._under_way[ticket] = Job(ticket, work, give_up, Call())
        if len(self._under_way) > self._threads and self._threads != self._most:
            self._threads += 1
            threading.Thread(target=self._work, name="luaopenai-wait", daemon=True).start()
        self._jobs.put(job)

    def next_done(self, timeout: float | None = None) -> Outcome | Callback | None:
        """Wait for a ticket, or for work that calls back; None when the seconds are over.

        Raises ``Cancelled`` when the call that the waiting thread is in is cancelled.
        """
        call = current_call()
        if call is None:
            return self._next_done(timeout)
        call.attach(lambda: self._done.put(None))
        try:
            call.check()
            done = self._next_done(timeout)
            call.check()
            return done
        finally:
            call.detach()

    def is_here(self) -> bool:
        """Whether this thread is one of those that work here."""
        return hasattr(self._here, "job")

    def call_back(self, start: Callable[[], tuple[Any, ...]], finish: Callable[[Any], Any]) -> Any:
        """Have Lua's thread call Lua, and wait for it; for a thread that works here.

        Raises what ``start`` or ``finish`` raises.
        """
        job: Job = self._here.job
        callback = Callback(job.ticket, job.call, start, finish, SimpleQueue())
        job.call.attach(lambda: callback.reply.put(None))
        try:
            self._done.put(callback)
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
        job = self._under_way.get(ticket)
        if job is not None:
            job.call.cancel()

    def stop(self) -> None:
        """End what is under way, and let the threads go."""
        for job in self._under_way.values():
            job.call.cancel()
        while not self._done.empty():
            self._settle(self._done.get())
        for _ in range(self._threads):
            self._jobs.put(None)
        self._threads = 0
        self._jobs, self._done = SimpleQueue(), SimpleQueue()
        self._under_way.clear()

    def _next_done(self, timeout: float | None) -> Outcome | Callback | None:
        try:
            done = self._done.get(timeout=timeout)
        except Empty:
            return None
        return done if self._settle(done) else None

    def _settle(self, done: Outcome | Callback | None) -> bool:
        """Take work off the list; whether somebody still wants to know what it came to."""
        if isinstance(done, Callback):
            return not done.call.is_cancelled
        job = self._under_way.pop(done.ticket, None) if done else None
        if job is None:
            return False
        if not job.call.is_cancelled:
            return True
        if done and done.error is None:
            job.give_up(done.result)
        return False

    def _work(self) -> None:
        jobs, done = self._jobs, self._done
        while (job := jobs.get()) is not None:
            self._here.job = job
            try:
                with job.call:
                    outcome = Outcome(job.ticket, job.work())
                if job.call.is_cancelled:
                    job.give_up(outcome.result)
                    outcome = Outcome(job.ticket, error=Cancelled())
            except BaseException as error:
                outcome = Outcome(job.ticket, error=error)
            done.put(outcome)
