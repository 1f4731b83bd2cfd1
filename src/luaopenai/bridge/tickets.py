"""The tickets of a Lua state: each stands for work that a task waits for, or for a pause."""

from __future__ import annotations

import heapq
import math
import time
from contextvars import copy_context
from typing import Any, NamedTuple

from luaopenai.bridge.threads import Callback, Outcome
from luaopenai.client.cancel import bounded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextvars import Context
    from typing import Protocol

    from luaopenai.bridge.work import Work

    class Executor(Protocol):
        """Does the work: ``ThreadExecutor``, or a way to one."""

        def submit(self, ticket: int, work: Work) -> object:
            """Begins work."""

        def next_done(self, timeout: float | None = None) -> Outcome | Callback | None:
            """Waits for a ticket, or for work that calls back; None when the seconds are over."""

        def cancel(self, ticket: int) -> None:
            """Ends work that nobody waits for any more."""

        def stop(self) -> object:
            """Ends all work that is under way."""


class _Pause(NamedTuple):
    """Time that passes; pauses are in the order of their ends.

    Attributes:
        end: on the monotonic clock.
        ticket: its number.
    """

    end: float
    ticket: int


class Tickets:
    """The tickets of one Lua state; all methods are for the thread that runs it.

    Args:
        executor: does the work.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._last = 0
        self._work: dict[int, Work] = {}
        """By ticket, what is under way, or done and not yet taken."""
        self._pauses: list[_Pause] = []
        self._callbacks: dict[int, Callback] = {}
        self._outcomes: dict[int, Outcome] = {}
        """Outcomes that ``next_done`` has named and ``take`` has not taken."""

    def begin(self, work: Work) -> int:
        """Has the executor do work; returns the ticket."""
        self._last += 1
        self._executor.submit(self._last, work)
        self._work[self._last] = work
        return self._last

    def begin_pause(self, seconds: float) -> int:
        """Begins a pause; returns its ticket."""
        self._last += 1
        heapq.heappush(self._pauses, _Pause(time.monotonic() + bounded(seconds), self._last))
        return self._last

    def next_done(self, seconds: float = math.inf) -> tuple[Any, ...]:
        """Waits for a ticket to come to its end, at most so many seconds; returns its number, or
        nothing.

        When true, a Lua function and its arguments come behind it, the ticket's work calls back,
        and ``answer`` takes what that comes to.
        """
        end = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            if self._pauses and self._pauses[0].end <= now:
                return self._keep(Outcome(heapq.heappop(self._pauses).ticket))
            until = min(end, self._pauses[0].end) if self._pauses else end
            done = self._wait(None if until == math.inf else max(0.0, until - now))
            if isinstance(done, Outcome):
                return self._keep(done)
            called = done and self._accept(done)
            if called:
                return called
            if now >= end:
                return ()

    def take(self, ticket: int) -> object:
        """Returns the result of a ticket that ``next_done`` has named; nothing for a pause.

        Raises what its work has raised.
        """
        _, result, error = self._outcomes.pop(ticket)
        work = self._work.pop(ticket, None)
        if error is not None:
            raise error
        return work.finish(result) if work else ()

    def answer(self, ticket: int, results: tuple[Any, ...]) -> None:
        """Takes the outcome of a ticket's callback, as the boot file's ``run`` returns it."""
        callback = self._callbacks.pop(ticket)
        callback.settle(lambda: callback.finish(results))

    def context(self, ticket: int) -> Context:
        """Returns the context variables for a call: those of the work that has led here.

        Args:
            ticket: of work that has called back, and waits for that; 0 for none.
        """
        callback = self._callbacks.get(ticket)
        return callback.context.copy() if callback else copy_context()

    def cancel(self, ticket: int) -> None:
        """Ends a ticket that nobody waits for any more."""
        self._outcomes.pop(ticket, None)
        if self._work.pop(ticket, None):
            self._executor.cancel(ticket)
        else:
            self._pauses = [pause for pause in self._pauses if pause.ticket != ticket]
            heapq.heapify(self._pauses)

    def rest(self) -> None:
        """Ends everything under way: nobody waits for anything any more."""
        self._executor.stop()
        self._work.clear()
        self._pauses.clear()
        self._callbacks.clear()
        self._outcomes.clear()

    def _keep(self, outcome: Outcome) -> tuple[int]:
        self._outcomes[outcome.ticket] = outcome
        return (outcome.ticket,)

    def _wait(self, timeout: float | None) -> Outcome | Callback | None:
        return self._executor.next_done(timeout)

    def _accept(self, callback: Callback) -> tuple[Any, ...] | None:
        """Returns a callback's ticket, function and arguments, if they can cross to Lua."""
        try:
            called = callback.start()
        except Exception as error:
            callback.reply.put((None, error))
            return None
        self._callbacks[callback.ticket] = callback
        return callback.ticket, True, *called
