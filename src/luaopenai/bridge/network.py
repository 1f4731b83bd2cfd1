"""The functions for our Lua files that wait: requests, their bodies, pauses.

``open``, ``read`` and ``sleep`` are operations: what they return is work. Without a ticket it is
done here and now. With one it is begun; ``next_done`` says which ticket came to its end, and
``take`` what it came to: so many of Lua's coroutines can wait at a time.
"""

from __future__ import annotations

import time

from luaopenai.bridge.marks import export, operation
from luaopenai.bridge.work import Work

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from luaopenai.bridge.threads import ThreadExecutor
    from luaopenai.bridge.tickets import Tickets
    from luaopenai.bridge.values import Values
    from luaopenai.client.settings import Settings
    from luaopenai.client.transport import RawResponse, Transport


class Defaults:
    """The server, key, transport and model of a Lua client where the script names none."""

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
        self._responses: dict[int, RawResponse] = {}
        self._last_response = 0
        self._threads: ThreadExecutor | None = None
        self._known_tickets: Tickets | None = None

    @operation(plugins=True)
    def open(
        self,
        method: bytes,
        url: bytes,
        headers: bytes,
        body: bytes | None,
        given: object = None,
    ) -> Work:
        """Sends a request; ``given`` holds settings for it.

        Names and values of ``headers`` come in turn, with NUL between.
        Lua gets status, reason, headers, and a number by which to read and close the response.
        """
        transport, settings = self._settled(given)
        fields = headers.decode("latin-1").split("\0")
        sent = dict(zip(fields[::2], fields[1::2], strict=False))
        target = method.decode("latin-1"), url.decode("utf-8", "replace")
        return _Open(lambda: transport.open(*target, sent, body, settings), self._opened, _close)

    @operation(plugins=True)
    def read(self, number: int) -> Work:
        """Reads the next piece of a response's body, nil at the end.

        Until then the response is the reading thread's, and nobody else's to read or close.
        """
        return _Read(self._responses, number)

    @export(plugins=True)
    def close(self, number: int) -> None:
        """Closes a response that was not read to its end."""
        response = self._responses.pop(number, None)
        if response is not None:
            response.close()

    @operation(plugins=True)
    def sleep(self, seconds: float) -> Work:
        """Waits for so many seconds."""
        from luaopenai.client.cancel import pause

        return Pause(pause, seconds)

    @export(plugins=True)
    def now(self) -> float:
        """Returns the seconds since the epoch."""
        return time.time()

    @export(plugins=True)
    def next_done(self, *seconds: float) -> tuple[Any, ...]:
        """Waits for a ticket to come to its end; returns its number, or a callback of its work.

        Args:
            seconds: how long to wait at most; then nothing is returned.
        """
        return self._tickets().next_done(*seconds)

    @export(soft=True, plugins=True)
    def take(self, ticket: int) -> object:
        """Returns the result of a ticket that ``next_done`` has named, as its operation does."""
        return self._tickets().take(ticket)

    @export()
    def answer(self, ticket: int, *results: object) -> None:
        """Takes the results of the Lua function that a ticket's work has called."""
        self._tickets().answer(ticket, results)

    @export(plugins=True)
    def cancel(self, ticket: int) -> None:
        """Ends a ticket that nobody waits for any more."""
        self._tickets().cancel(ticket)

    @export(plugins=True)
    def rest(self) -> None:
        """Lets the threads end: no coroutine waits any more."""
        if self._known_tickets is not None:
            self._known_tickets.rest()

    def begin(self, work: Work, callback: int) -> Any:
        """Begins work, and returns its ticket; see ``Work.begin``."""
        return work.begin(self._tickets(), callback)

    def is_elsewhere(self) -> bool:
        """Returns whether this thread does work for Lua, so that it must not call Lua itself."""
        return self._threads is not None and self._threads.is_here()

    def call_back(self, start: Callable[[], list[Any]], finish: Callable[[Any], Any]) -> Any:
        """Has Lua's thread call Lua; see ``ThreadExecutor.call_back``."""
        assert self._threads is not None
        return self._threads.call_back(start, finish)

    def leave(self) -> None:
        """Closes what is open, and ends what is under way: no Lua runs any more."""
        self.rest()
        while self._responses:
            self._responses.popitem()[1].close()

    @export()
    def close_connections(self) -> None:
        """Closes the connections that are not in use."""
        for transport in self._transports.values():
            transport.close()

    def _tickets(self) -> Tickets:
        """Returns the state's tickets; their code is loaded when they are first needed."""
        if self._known_tickets is None:
            self._known_tickets = self._make_tickets()
        return self._known_tickets

    def _make_tickets(self) -> Tickets:
        from luaopenai.bridge.threads import ThreadExecutor
        from luaopenai.bridge.tickets import Tickets

        self._threads = ThreadExecutor()
        return Tickets(self._threads)

    def _opened(self, response: RawResponse) -> tuple[object, ...]:
        self._last_response = number = self._last_response + 1
        self._responses[number] = response
        headers = self._values.texts(response.headers)
        return response.status, response.reason, headers, number

    def _settled(self, given: object) -> tuple[Transport, Settings | None]:
        """Returns the transport and the settings for a request."""
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

            if size not in self._transports:
                self._transports[size] = Transport(settings)
                self._transports[size].pace = transport.pace
            transport = self._transports[size]
        return transport, settings


class _Open(Work):
    """Sends a request, and returns the response."""

    def begin(self, tickets: Tickets, callback: int) -> int:
        """Has a thread send it and read whatever part of the body comes with the head."""
        send = self.run

        def send_and_read_ahead() -> RawResponse:
            # Each ticket costs 50 µs: most bodies come with the head.
            response: RawResponse = send()
            response.read_ahead()
            return response

        self.run = send_and_read_ahead
        return tickets.begin(self)


class _Read(Work):
    """Reads a piece of a response, which is closed if that fails or nobody wants it.

    It makes no functions, as other work does: a stream has many pieces.
    """

    def __init__(self, responses: dict[int, RawResponse], number: int) -> None:
        self._responses = responses
        self._number = number
        self._response = responses.pop(number)

    def do(self) -> bytes | None:
        """Reads the piece at once."""
        return self._finish(self._read())

    def begin(self, tickets: Tickets, callback: int) -> int | tuple[None, bytes | None]:
        """Has a thread read the piece, unless one is there already."""
        if self._response.is_at_hand:
            return None, self.do()
        super().__init__(self._read, self._finish, lambda _: self._response.close())
        return tickets.begin(self)

    def _read(self) -> bytes:
        try:
            return self._response.read_piece()
        except BaseException:
            self._response.close()
            raise

    def _finish(self, piece: bytes) -> bytes | None:
        if not piece:
            return None
        self._responses[self._number] = self._response
        return piece


class Pause(Work):
    """Time that passes: it takes no thread.

    Args:
        pause: waits for so many seconds.
        seconds: how many.
    """

    def __init__(self, pause: Callable[[float], object], seconds: float) -> None:
        super().__init__(lambda: pause(seconds))
        self._seconds = seconds

    def begin(self, tickets: Tickets, callback: int) -> int:
        """Returns the ticket of the pause."""
        return tickets.begin_pause(self._seconds)


def _close(response: RawResponse | None) -> None:
    if response is not None:
        response.close()
