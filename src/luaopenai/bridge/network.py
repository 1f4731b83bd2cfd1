"""The functions for our Lua files that wait: requests, their bodies, pauses.

Each comes in two forms. ``open``, ``read`` and ``sleep`` wait here and now. ``begin_open``,
``begin_read`` and ``begin_sleep`` return a ticket at once, and ``next_done`` says which ticket
came to its end, ``take`` what it came to: so many of Lua's coroutines can wait at a time.
``begin`` and ``call_back`` are not for Lua: with them the runtime lets Python's own functions wait.
"""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context
    from typing import Any

    from luaopenai.bridge.values import Values
    from luaopenai.bridge.waits import Waits
    from luaopenai.bridge.workers import Workers
    from luaopenai.client.settings import Settings
    from luaopenai.client.transport import Answer, Transport


LONGEST = 1e9
"""Seconds of a pause: more than anyone waits, less than the clocks can hold."""


class Defaults:
    """What a Lua client starts from when the script does not say otherwise."""

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        transport: Transport | None = None,
        default_model: str | None = None,
    ) -> None:
        self.base_url = base_url
        self.api_key = api_key
        self.transport = transport
        self.default_model = default_model


class Network:
    """One runtime's requests."""

    def __init__(self, values: Values, defaults: Defaults) -> None:
        self._values = values
        self._defaults = defaults
        self._transports: dict[int | None, Transport] = {}
        """By pool size; None is the default one's key."""
        self._answers: dict[int, Answer] = {}
        self._last_answer = 0
        self._workers: Workers | None = None
        self._waits: Waits | None = None

    def open(
        self,
        method: bytes,
        url: bytes,
        headers: bytes,
        body: bytes | None,
        given: object = None,
    ) -> tuple[object, ...]:
        """Send a request; ``given`` holds settings for it.

        Names and values of ``headers`` come in turn, with NUL between.
        Returns status, reason, headers, and a number by which to read and close the answer.
        """
        return self._opened(self._sender(method, url, headers, body, given)())

    def read(self, number: int) -> bytes | None:
        """The next piece of an answer's body, nil at the end."""
        return self._piece(number, self._answers[number].read_piece())

    def close(self, number: int) -> None:
        """Let go of an answer that was not read to its end."""
        answer = self._answers.pop(number, None)
        if answer is not None:
            answer.close()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        pause(length(seconds))

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def begin_open(
        self,
        method: bytes,
        url: bytes,
        headers: bytes,
        body: bytes | None,
        given: object = None,
    ) -> int:
        """``open``, for later."""
        send = self._sender(method, url, headers, body, given)

        def send_and_read_ahead() -> Answer:
            # Each ticket costs 50 µs: most bodies come with the head.
            answer = send()
            answer.read_ahead()
            return answer

        return self.begin(send_and_read_ahead, _close, self._opened)

    def begin_read(self, number: int) -> int | tuple[None, bytes | None]:
        """``read``, for later; until then the answer is the reading thread's.

        Where nothing needs to be waited for, the piece comes at once, in the place of a ticket.
        """
        if self._answers[number].is_at_hand:
            return None, self.read(number)
        answer = self._answers.pop(number)

        def finish(piece: bytes) -> bytes | None:
            self._answers[number] = answer
            return self._piece(number, piece)

        return self.begin(answer.read_piece, lambda _: answer.close(), finish)

    def begin_sleep(self, seconds: float) -> int:
        """``sleep``, for later."""
        return self._tasks().begin_pause(length(seconds))

    def next_done(self, *seconds: float) -> tuple[Any, ...]:
        """Wait for a ticket to come to its end; its number, or what ``Waits.next_done`` adds.

        Args:
            seconds: how long to wait at most; then nothing is returned.
        """
        return self._tasks().next_done(*seconds)

    def take(self, ticket: int) -> object:
        """What a ticket that ``next_done`` told came to, as ``open`` or ``read`` returns it."""
        return self._tasks().take(ticket)

    def answer(self, ticket: int, *results: object) -> None:
        """What the Lua function came to that a ticket's work has called."""
        self._tasks().answer(ticket, results)

    def cancel(self, ticket: int) -> None:
        """Nobody waits for a ticket any more."""
        self._tasks().cancel(ticket)

    def rest(self) -> None:
        """No coroutine waits any more: let the threads go."""
        if self._waits is not None:
            self._waits.rest()

    def begin(
        self,
        work: Callable[[], Any],
        give_up: Callable[[Any], object],
        finish: Callable[[Any], object],
    ) -> int:
        """Have work done in a thread that touches nothing of Lua's; returns its ticket.

        Args:
            work: what to run.
            give_up: takes a result that came for nobody, None where the work has failed.
            finish: makes of the result, in Lua's thread, what ``take`` returns.
        """
        waits, workers = self._tasks(), self._workers
        assert workers is not None
        return waits.begin(lambda ticket: workers.submit(ticket, work, give_up), finish)

    def is_elsewhere(self) -> bool:
        """Whether this thread does work for Lua's: then Lua is not to be called from here."""
        return self._workers is not None and self._workers.is_here()

    def context(self, ticket: int | None) -> Context:
        """The context variables for a call that the callback of a ticket's work has led to."""
        from contextvars import copy_context

        known = None if ticket is None else self._tasks().context(ticket)
        return known.copy() if known else copy_context()

    def call_back(self, start: Callable[[], list[Any]], finish: Callable[[Any], Any]) -> Any:
        """Have Lua's thread call Lua; see ``Workers.call_back``."""
        assert self._workers is not None
        return self._workers.call_back(start, finish)

    def leave(self) -> None:
        """No Lua runs any more, though nothing is at its end: close what is open."""
        self.rest()
        while self._answers:
            self._answers.popitem()[1].close()

    def close_connections(self) -> None:
        """Close the connections that are not in use."""
        for transport in self._transports.values():
            transport.close()

    def _tasks(self) -> Waits:
        """What tasks wait for, loaded when it is first needed."""
        if self._waits is None:
            from luaopenai.bridge.waits import Waits
            from luaopenai.bridge.workers import Workers

            self._workers = Workers()
            self._waits = Waits(self._workers)
        return self._waits

    def _sender(
        self, method: bytes, url: bytes, headers: bytes, body: bytes | None, given: object
    ) -> Callable[[], Answer]:
        """A function that sends a request; it touches nothing of Lua's."""
        transport, settings = self._settled(given)
        fields = headers.decode("latin-1").split("\0")
        sent = dict(zip(fields[::2], fields[1::2], strict=False))
        place = method.decode("latin-1"), url.decode("utf-8", "replace")
        return lambda: transport.open(*place, sent, body, settings)

    def _opened(self, answer: Answer) -> tuple[object, ...]:
        self._last_answer = number = self._last_answer + 1
        self._answers[number] = answer
        headers = self._values.to_lua(answer.headers, "headers")
        return answer.status, answer.reason, headers, number

    def _piece(self, number: int, piece: bytes | None) -> bytes | None:
        if not piece:
            self._answers.pop(number, None)
        return piece or None

    def _settled(self, given: object) -> tuple[Transport, Settings | None]:
        """The transport for a request, and the settings that it was given."""
        transport = self._transports.get(None)
        if transport is None:
            from luaopenai.client.transport import Transport

            transport = self._transports[None] = self._defaults.transport or Transport()
        if given is None:
            return transport, None
        from luaopenai.client.settings import read_settings

        settings = read_settings(self._values.to_python(given, "config"), transport.settings)
        size = settings.pool_size
        if size != transport.settings.pool_size:
            from luaopenai.client.transport import Transport

            transport = self._transports.get(size) or Transport(settings)
            self._transports[size] = transport
        return transport, settings


def _close(answer: Answer | None) -> None:
    if answer is not None:
        answer.close()


def length(seconds: float) -> float:
    """A pause's seconds, as the clocks can hold them."""
    return min(max(0.0, seconds), LONGEST)


def pause(seconds: float) -> None:
    """Sleep; raises ``Cancelled`` when the call that this thread is in is cancelled."""
    from luaopenai.client.cancel import current_call

    call = current_call()
    (call.pause if call else time.sleep)(seconds)
