"""How a worker asks its host for operations: its side, the host's side, and what crosses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from luaopenai.bridge.threads import Outcome
from luaopenai.host.channel import Channel, NonsenseError
from luaopenai.host.faults import LimitExceeded, Stop, describe
from luaopenai.host.operations import OPERATIONS, Operations, Part, Results

if TYPE_CHECKING:
    from collections.abc import Callable

_NONE = b"-"
_BYTES = b"+"


def pack(part: Part) -> bytes:
    """Returns a byte string or None as a part of a message."""
    return _NONE if part is None else _BYTES + part


def unpack(part: bytes) -> Part:
    """Returns the argument that ``pack`` was given."""
    return None if part == _NONE else part[1:]


def pack_limit(exceeded: LimitExceeded) -> bytes:
    """Returns a limit's name, value and use as JSON; the host knows whose it is."""
    return json.dumps([exceeded.kind, exceeded.limit, exceeded.used]).encode()


class RemoteServices:
    """The services of a host, for the worker at the other end of a channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.work_seconds = 0.0

    def perform(self, name: str, *args: Part) -> Results:
        """Has the host do an operation, and returns its results."""
        return list(map(unpack, self._ask(b"perform", name.encode(), *map(pack, args))))

    def begin(self, ticket: int, name: str, *args: Part) -> None:
        """Has a thread of the host's do an operation."""
        self._ask(b"begin", b"%d" % ticket, name.encode(), *map(pack, args))

    def next_done(self, timeout: float | None = None) -> Outcome | None:
        """Waits for a ticket; None when the time is over, or nothing is under way."""
        found = self._ask(b"next_done", b"" if timeout is None else repr(timeout).encode())
        if not found:
            return None
        ticket, kind, *results = found
        if kind == b"error":
            return Outcome(int(ticket), error=_error(results[0]))
        return Outcome(int(ticket), list(map(unpack, results)))

    def cancel(self, ticket: int) -> None:
        """Has the host end an operation that nobody waits for any more."""
        self._ask(b"cancel", b"%d" % ticket)

    def _ask(self, *message: bytes) -> list[bytes]:
        self._channel.send(*message)
        kind, worked, *answer = self._channel.receive()
        self.work_seconds += float(worked)
        if kind == b"error":
            raise _error(answer[0])
        if kind == b"stop":
            raise Stop(LimitExceeded(*json.loads(answer[0])))
        return answer


def _error(text: bytes) -> Exception:
    return RuntimeError(text.decode("utf-8", "replace"))


class Dispatcher:
    """Answers, in the host, what a worker asks."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._methods: dict[bytes, Callable[..., list[bytes]]] = {
            b"perform": self._perform,
            b"begin": self._begin,
            b"next_done": self._next_done,
            b"cancel": self._cancel,
        }

    def serve(self, kind: bytes, parts: list[bytes]) -> list[bytes]:
        """Answers a message; raises ``NonsenseError`` for one that no worker of ours sends."""
        method = self._methods.get(kind)
        if method is None:
            raise NonsenseError
        try:
            return [b"ok", *method(*parts)]
        except Stop as stop:
            return [b"stop", pack_limit(stop.exceeded)]
        except NonsenseError:
            raise
        except Exception as error:
            return [b"error", describe(error).encode("utf-8", "replace")]

    def _perform(self, name: bytes, *args: bytes) -> list[bytes]:
        return list(map(pack, self._operations.perform(_known(name), *map(unpack, args))))

    def _begin(self, ticket: bytes, name: bytes, *args: bytes) -> list[bytes]:
        self._operations.begin(int(ticket), _known(name), *map(unpack, args))
        return []

    def _next_done(self, timeout: bytes) -> list[bytes]:
        done = self._operations.next_done(float(timeout[:32]) if timeout else None)
        if done is None:
            return []
        ticket, results, error = b"%d" % done.ticket, done.result, done.error
        if error is None:
            return [ticket, b"ok", *map(pack, results)]
        if isinstance(error, Exception):
            return [ticket, b"error", describe(error).encode("utf-8", "replace")]
        raise error

    def _cancel(self, ticket: bytes) -> list[bytes]:
        self._operations.cancel(int(ticket))
        return []


def _known(name: bytes) -> str:
    """Returns an operation's name; raises ``NonsenseError`` for any other."""
    text = name.decode("latin-1")
    if text not in OPERATIONS:
        raise NonsenseError
    return text
