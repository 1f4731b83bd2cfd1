"""What a Lua state's tasks wait for: each wait has a ticket, and comes to its end some time."""

from __future__ import annotations

import heapq
import math
import time
from typing import Any, NamedTuple

from luaopenai.bridge.workers import Callback, Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context
    from typing import Protocol

    class Crew(Protocol):
        """What does the work: ``Workers``, or a way to them."""

        def next_done(self, timeout: float | None = None) -> Outcome | Callback | None:
            """Wait for a ticket, or for work that calls back; None when the seconds are over."""

        def cancel(self, ticket: int) -> None:
            """Nobody waits for a ticket any more."""

        def stop(self) -> object:
            """End what is under way."""


class Pause(NamedTuple):
    """Time that passes; pauses are in the order of their ends.

    Attributes:
        end: on the monotonic clock.
        ticket: its number.
    """

    end: float
    ticket: int


class Waits:
    """The waits of one Lua state; all methods are for the thread that runs it.

    Args:
        crew: does what takes time.
    """

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._tickets = 0
        self._finish: dict[int, Callable[[Any], object]] = {}
        """By ticket, for work that is under way."""
        self._pauses: list[Pause] = []
        self._callbacks: dict[int, Callback] = {}
        self._outcomes: dict[int, Outcome] = {}
        """Those that ``next_done`` has told and ``take`` has not."""

    @property
    def are_under_way(self) -> bool:
        """Whether there are any."""
        return bool(self._finish or self._pauses)

    def begin(self, start: Callable[[int], object], finish: Callable[[Any], object]) -> int:
        """Have work done elsewhere; returns its ticket.

        Args:
            start: given the ticket, hands the work to the crew.
            finish: makes of the work's result, in Lua's thread, what ``take`` returns.
        """
        self._tickets += 1
        start(self._tickets)
        self._finish[self._tickets] = finish
        return self._tickets

    def begin_pause(self, seconds: float) -> int:
        """Have time pass; returns its ticket."""
        self._tickets += 1
        heapq.heappush(self._pauses, Pause(time.monotonic() + seconds, self._tickets))
        return self._tickets

    def next_done(self, seconds: float = math.inf) -> tuple[Any, ...]:
        """Wait for a ticket, at most so many seconds; its number, or nothing.

        When true, a Lua function and its arguments come behind it, the ticket's work calls back,
        and ``answer`` takes what that comes to.
        """
        end = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            if self._pauses and self._pauses[0].end <= now:
                return self._tell(Outcome(heapq.heappop(self._pauses).ticket))
            until = min(end, self._pauses[0].end) if self._pauses else end
            done = self._wait(None if until == math.inf else max(0.0, until - now))
            if isinstance(done, Outcome):
                return self._tell(done)
            called = done and self._accept(done)
            if called:
                return called
            if now >= end:
                return ()

    def take(self, ticket: int) -> object:
        """What a ticket that ``next_done`` told came to: as ``finish`` says, nothing for a pause.

        Raises what its work has raised.
        """
        _, result, error = self._outcomes.pop(ticket)
        finish = self._finish.pop(ticket, None)
        if error is not None:
            raise error
        return finish(result) if finish else ()

    def answer(self, ticket: int, results: tuple[Any, ...]) -> None:
        """What a ticket's callback came to, as the boot file's ``run`` tells it."""
        callback = self._callbacks.pop(ticket)
        callback.settle(lambda: callback.finish(results))

    def context(self, ticket: int) -> Context | None:
        """The context variables of the work that has called back, while it waits for that."""
        callback = self._callbacks.get(ticket)
        return callback.context if callback else None

    def cancel(self, ticket: int) -> None:
        """Nobody waits for a ticket any more."""
        self._outcomes.pop(ticket, None)
        if self._finish.pop(ticket, None):
            self._crew.cancel(ticket)
        else:
            self._pauses = [pause for pause in self._pauses if pause.ticket != ticket]
            heapq.heapify(self._pauses)

    def rest(self) -> None:
        """Nobody waits for anything any more."""
        self._crew.stop()
        self._finish.clear()
        self._pauses.clear()
        self._callbacks.clear()
        self._outcomes.clear()

    def _tell(self, outcome: Outcome) -> tuple[int]:
        self._outcomes[outcome.ticket] = outcome
        return (outcome.ticket,)

    def _wait(self, timeout: float | None) -> Outcome | Callback | None:
        return self._crew.next_done(timeout)

    def _accept(self, callback: Callback) -> tuple[Any, ...] | None:
        """The ticket of a callback, the function and its arguments, if they can cross to Lua."""
        try:
            called = callback.start()
        except Exception as error:
            callback.reply.put((None, error))
            return None
        self._callbacks[callback.ticket] = callback
        return callback.ticket, True, *called
