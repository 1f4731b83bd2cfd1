"""Threads that wait in Lua's stead, so that one Lua state can have many waits under way."""

from __future__ import annotations

import heapq
import threading
import time
from queue import Empty, SimpleQueue

from luaopenai.client.cancel import Call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Outcome = tuple[int, Any, BaseException | None]


class Workers:
    """Runs work in threads, as many as there is work, and hands back what it came to.

    All methods are for one thread; only the work itself runs elsewhere.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[tuple[int, Callable[[], Any], Call] | None] = SimpleQueue()
        self._done: SimpleQueue[Outcome] = SimpleQueue()
        self._timers: list[tuple[float, int]] = []
        self._threads = 0
        self._under_way = 0
        self._tickets = 0
        self._calls: dict[int, Call] = {}

    def submit(self, work: Callable[[], Any]) -> int:
        """Have work done; returns its ticket."""
        self._tickets += 1
        self._under_way += 1
        if self._under_way > self._threads:
            self._threads += 1
            threading.Thread(target=self._work, name="luaopenai-wait", daemon=True).start()
        call = self._calls[self._tickets] = Call()
        self._jobs.put((self._tickets, work, call))
        return self._tickets

    def cancel(self, ticket: int) -> None:
        """Close the connection that a ticket's work uses."""
        call = self._calls.get(ticket)
        if call is not None:
            call.cancel()

    def cancel_all(self) -> None:
        """End all that is under way; safe from any thread."""
        for call in list(self._calls.values()):
            call.cancel()

    def submit_pause(self, seconds: float) -> int:
        """Have time pass; returns its ticket."""
        self._tickets += 1
        heapq.heappush(self._timers, (time.monotonic() + seconds, self._tickets))
        return self._tickets

    def next_done(self) -> Outcome:
        """Wait for a ticket: with its result, or the exception that ended it."""
        while True:
            now = time.monotonic()
            if self._timers and self._timers[0][0] <= now:
                return heapq.heappop(self._timers)[1], None, None
            wait = self._timers[0][0] - now if self._timers else None
            try:
                done = self._done.get(timeout=wait)
            except Empty:
                continue
            self._under_way -= 1
            self._calls.pop(done[0], None)
            return done

    def stop(self) -> None:
        """Let the threads go once their work is done."""
        for _ in range(self._threads):
            self._jobs.put(None)
        self._threads = 0
        self._under_way = 0
        self._jobs, self._done = SimpleQueue(), SimpleQueue()
        self._timers.clear()
        self._calls.clear()

    def _work(self) -> None:
        jobs, done = self._jobs, self._done
        while (job := jobs.get()) is not None:
            ticket, work, call = job
            try:
                with call:
                    done.put((ticket, work(), None))
            except BaseException as error:
                done.put((ticket, None, error))
