"""What a plugin's tasks have asked their host for: done in threads, a few at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from luaopenai.bridge.workers import Outcome, Workers
from luaopenai.client.cancel import check_cancelled
from luaopenai.host import wire

if TYPE_CHECKING:
    from luaopenai.host.broker import Broker
    from luaopenai.host.reading import Reading

MOST_AT_ONCE = 32
"""Errands of one plugin that are under way, or done and not yet taken; others wait for them."""

WEIGHT = 4096
"""About how many bytes an errand takes by itself."""


class Errands:
    """One plugin's errands.

    Args:
        broker: does them.
        check_memory: given the bytes that all of them take, raises ``Stop`` when they are too many.
    """

    def __init__(self, broker: Broker, check_memory: Callable[[int], object]) -> None:
        self._broker = broker
        self._check_memory = check_memory
        self._workers = Workers(MOST_AT_ONCE)
        self._awaited: set[int] = set()
        self._weight = 0
        self._lock = threading.Lock()

    def begin_host(self, ticket: int, name: str, arguments: bytes | None) -> None:
        """Call a function of the host; comes to its results."""
        context = copy_context()
        self._begin(
            ticket,
            wire.weight(arguments),
            lambda: partial(context.run, self._broker.prepare_host(name, arguments)),
            lambda _: None,
        )

    def begin_open(self, ticket: int, method: str, url: str, body: bytes | None) -> None:
        """Send a request; comes to a ``Reading``."""
        self._begin(
            ticket,
            wire.weight(body),
            lambda: self._broker.prepare_open(method, url, body),
            lambda reading: reading.close() if reading else None,
        )

    def begin_read(self, ticket: int, reading: Reading) -> None:
        """Read the next piece of an answer; comes to that, or to None."""

        def read() -> bytes | None:
            try:
                return reading.read_piece()
            except BaseException:
                reading.close()
                raise

        self._begin(ticket, 0, lambda: read, lambda _: reading.close())

    def next_done(self, timeout: float | None = None) -> Outcome | None:
        """Wait for an errand; None when the seconds are over, or nothing is under way."""
        if not self._awaited:
            return None
        done = self._workers.next_done(timeout)
        if not isinstance(done, Outcome):
            return None
        self._awaited.discard(done.ticket)
        return done

    def cancel(self, ticket: int) -> None:
        """The plugin waits for an errand no more."""
        self._awaited.discard(ticket)
        self._workers.cancel(ticket)

    def stop(self) -> None:
        """The plugin waits for nothing; its threads stay, for it may soon ask again."""

    def end(self) -> None:
        """End what is under way: close its connections, and wait for the functions of the host."""
        self._awaited.clear()
        for thread in self._workers.stop():
            thread.join()

    def _begin(
        self,
        ticket: int,
        weight: int,
        prepare: Callable[[], Callable[[], Any]],
        give_up: Callable[[Any], object],
    ) -> None:
        if ticket in self._awaited:
            raise ValueError(f"errand {ticket} is under way")
        weight += WEIGHT
        with self._lock:
            self._check_memory(self._weight + weight)
            self._weight += weight
        try:
            work = prepare()
        except BaseException:
            self._unload(weight)
            raise

        def run() -> Any:
            try:
                check_cancelled()
                return work()
            finally:
                self._unload(weight)

        try:
            self._workers.submit(ticket, run, give_up)
        except RuntimeError:
            self._unload(weight)
            raise
        self._awaited.add(ticket)

    def _unload(self, weight: int) -> None:
        with self._lock:
            self._weight -= weight
