"""Threads that wait in Lua's stead, so that one Lua state can have many waits under way."""

from __future__ import annotations

import heapq
import threading
import time
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


class Workers:
    """Runs work in threads, as many as there is work, and hands back what it came to.

    All methods are for one thread; only the work itself runs elsewhere.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._done: SimpleQueue[Outcome | None] = SimpleQueue()
        self._timers: list[tuple[float, int]] = []
        self._under_way: dict[int, Job] = {}
        self._threads = 0
        self._tickets = 0

    def submit(self, work: Callable[[], Any], give_up: Callable[[Any], object]) -> int:
        """Have work done; returns its ticket."""
        self._tickets += 1
        job = self._under_way[self._tickets] = Job(self._tickets, work, give_up, Call())
        if len(self._under_way) > self._threads:
            self._threads += 1
            threading.Thread(target=self._work, name="luaopenai-wait", daemon=True).start()
        self._jobs.put(job)
        return job.ticket

    def submit_pause(self, seconds: float) -> int:
        """Have time pass; returns its ticket."""
        self._tickets += 1
        heapq.heappush(self._timers, (time.monotonic() + seconds, self._tickets))
        return self._tickets

    def next_done(self) -> Outcome:
        """Wait for a ticket.

        Raises ``Cancelled`` when the call that the waiting thread is in is cancelled.
        """
        call = current_call()
        if call is None:
            return self._next_done()
        call.attach(lambda: self._done.put(None))
        try:
            return self._next_done(call)
        finally:
            call.detach()

    def cancel(self, ticket: int) -> None:
        """Close the connection that a ticket's work uses; it is not handed back."""
        job = self._under_way.get(ticket)
        if job is not None:
            job.call.cancel()
        else:
            self._timers = [timer for timer in self._timers if timer[1] != ticket]
            heapq.heapify(self._timers)

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
        self._timers.clear()

    def _next_done(self, call: Call | None = None) -> Outcome:
        while True:
            if call is not None:
                call.check()
            now = time.monotonic()
            if self._timers and self._timers[0][0] <= now:
                return Outcome(heapq.heappop(self._timers)[1])
            try:
                done = self._done.get(timeout=self._timers[0][0] - now if self._timers else None)
            except Empty:
                continue
            if self._settle(done):
                assert done is not None
                return done

    def _settle(self, done: Outcome | None) -> bool:
        """Take work off the list; whether somebody still wants to know what it came to."""
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
            try:
                with job.call:
                    outcome = Outcome(job.ticket, job.work())
                if job.call.is_cancelled:
                    job.give_up(outcome.result)
                    outcome = Outcome(job.ticket, error=Cancelled())
            except BaseException as error:
                outcome = Outcome(job.ticket, error=error)
            done.put(outcome)
