"""The operations that a plugin may ask of its host, each with its work, codec and discarding.

Arguments and results are byte strings or None, so that they cross to a worker as they are. Without
a ticket an operation is done at once, with one by a thread.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, Protocol, TypeVar

from luaopenai.bridge.threads import Outcome, ThreadExecutor
from luaopenai.bridge.work import Work
from luaopenai.client.cancel import check_cancelled
from luaopenai.host import wire

if TYPE_CHECKING:
    from luaopenai.host.broker import Broker
    from luaopenai.host.response import PluginResponse

Part = bytes | None
Results = list[Part]

MOST_AT_ONCE = 32
"""Operations of one plugin that are under way, or done and not yet taken; others wait for them."""

WEIGHT = 4096
"""About how many bytes an operation under way takes by itself."""


class Services(Protocol):
    """The host's services for a plugin's engine: ``Operations``, or a way to them."""

    @property
    def work_seconds(self) -> float:
        """How long the host has worked on what the plugin sent, all calls together."""

    def perform(self, name: str, *args: Part) -> Results:
        """Does an operation, and returns its results."""

    def begin(self, ticket: int, name: str, *args: Part) -> None:
        """Has a thread do an operation."""

    def next_done(self, timeout: float | None = None) -> Outcome | None:
        """Waits for a ticket; None when the time is over, or nothing is under way."""

    def cancel(self, ticket: int) -> None:
        """Ends an operation that nobody waits for any more."""


F = TypeVar("F", bound="Callable[..., Work]")

OPERATIONS: dict[str, bool] = {}
"""The operations by name, each with whether it may be begun under a ticket."""


def _operation(*, tickets: bool) -> Callable[[F], F]:
    """Returns a decorator for methods that prepare an operation's work from its arguments."""

    def decorate(method: F) -> F:
        OPERATIONS[method.__name__] = tickets
        return method

    return decorate


class Operations:
    """One plugin's operations.

    Args:
        broker: checks and does them, and keeps account.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._last_response = 0
        self.leave_to_parent()

    def leave_to_parent(self) -> None:
        """Forgets everything under way: after a fork, it is the parent's."""
        self._threads = ThreadExecutor(MOST_AT_ONCE)
        self._work: dict[int, Work] = {}
        """By ticket, what is under way, or done and not yet taken."""
        self._weight = 0
        """Bytes that what is under way takes."""
        self._lock = threading.Lock()
        self._responses: dict[int, PluginResponse] = {}
        """The streams that nobody reads at the moment."""

    @property
    def work_seconds(self) -> float:
        """How long the host has worked on what the plugin sent, all calls together."""
        return self._broker.work_seconds

    def perform(self, name: str, *args: Part) -> Results:
        """Does an operation, and returns its results."""
        results: Results = self._prepare(name, args).do()
        return results

    def begin(self, ticket: int, name: str, *args: Part) -> None:
        """Has a thread do an operation, with the context variables of this one."""
        if ticket in self._work:
            raise ValueError(f"ticket {ticket} is in use")
        if not OPERATIONS[name]:
            raise ValueError(f"{name} takes no ticket")
        weight = WEIGHT + sum(map(wire.weight, args))
        with self._lock:
            self._broker.check_memory(self._weight + weight)
            self._weight += weight
        work: Work | None = None
        try:
            work = self._prepare(name, args)
            run, context = work.run, copy_context()

            def run_and_unload() -> object:
                try:
                    check_cancelled()
                    return context.run(run)
                finally:
                    self._unload(weight)

            work.run = run_and_unload
            self._threads.submit(ticket, work)
        except BaseException:
            self._unload(weight)
            if work is not None:
                work.discard(None)
            raise
        self._work[ticket] = work

    def next_done(self, timeout: float | None = None) -> Outcome | None:
        """Waits for a ticket; None when the time is over, or nothing is under way."""
        if not self._work:
            return None
        done = self._threads.next_done(timeout)
        if not isinstance(done, Outcome):
            return None
        work = self._work.pop(done.ticket)
        return done if done.error else Outcome(done.ticket, work.finish(done.result))

    def cancel(self, ticket: int) -> None:
        """Ends an operation that nobody waits for any more."""
        self._work.pop(ticket, None)
        self._threads.cancel(ticket)

    def end(self) -> None:
        """Ends what is under way: closes its connections, and waits for the host's functions."""
        self._work.clear()
        for thread in self._threads.stop():
            thread.join()
        while self._responses:
            self._responses.popitem()[1].close()

    def _prepare(self, name: str, args: tuple[Part, ...]) -> Work:
        assert name in OPERATIONS
        work: Work = getattr(self, name)(*args)
        return work

    def _unload(self, weight: int) -> None:
        with self._lock:
            self._weight -= weight

    @_operation(tickets=True)
    def open(self, method: bytes, url: bytes, body: Part) -> Work:
        """Sends a request.

        Its results are, as JSON, the number of the response, its status, reason and headers; and
        its body, if that is whole. Then the number is None, and there is nothing to read or close.
        """
        target = method.decode("latin-1"), url.decode("utf-8", "replace")
        send = self._broker.prepare_open(*target, body)
        return Work(send, self._opened, lambda response: response.close() if response else None)

    @_operation(tickets=True)
    def read(self, number: bytes) -> Work:
        """Reads the next piece of a response's body; its result is None at the end.

        Until then the response is the reading thread's: two never read one.
        """
        response = self._responses.pop(int(number), None)
        if response is None:
            raise ValueError("this response is closed, or is being read")

        def read() -> Part:
            try:
                return response.read_piece()
            except BaseException:
                response.close()
                raise

        def finish(piece: Part) -> Results:
            if piece is not None:
                self._responses[int(number)] = response
            return [piece]

        return Work(read, finish, lambda _: response.close())

    @_operation(tickets=False)
    def close(self, number: bytes) -> Work:
        """Closes a response, if it is there."""
        response = self._responses.pop(int(number), None)
        return Work(response.close if response else lambda: None, lambda _: [])

    @_operation(tickets=True)
    def host(self, name: bytes, arguments: Part) -> Work:
        """Calls a function of the host; its result is the function's, as ``wire`` encodes them."""
        return Work(self._broker.prepare_host(name.decode(), arguments), lambda text: [text])

    @_operation(tickets=False)
    def write(self, text: bytes) -> Work:
        """Takes what the plugin prints."""
        return Work(lambda: self._broker.write(text), lambda _: [])

    @_operation(tickets=False)
    def module(self, name: bytes) -> Work:
        """Returns the source of one of the plugin's modules."""
        return Work(
            lambda: self._broker.module(name.decode("utf-8", "replace")), lambda source: [source]
        )

    def _opened(self, response: PluginResponse) -> Results:
        number = body = None
        if not response.is_stream:
            body = response.take_body()
        else:
            self._last_response = number = self._last_response + 1
            self._responses[number] = response
        head = [number, response.status, response.reason, response.headers]
        return [json.dumps(head).encode(), body]
