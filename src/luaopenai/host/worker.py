"""The process that runs one plugin: it has a line to its host, and nothing else.

The host's end of the line is ``luaopenai.host.process``.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

from luaopenai.bridge.errors import LuaError
from luaopenai.bridge.runtime import LuaStateError
from luaopenai.bridge.workers import Outcome
from luaopenai.host import wire
from luaopenai.host.broker import Stop
from luaopenai.host.channel import Channel, HungUpError, TooLargeError
from luaopenai.host.engine import Engine
from luaopenai.host.limits import LimitExceeded, Limits
from luaopenai.host.lockup import lock_up
from luaopenai.host.setup import read_setup

NO_VALUE = b"-"
VALUE = b"+"
PANICKED, CRASHED, OUT_OF_MEMORY = 1, 76, 77
"""How the process ends: LuaJIT found no memory outside of a protected call, something failed that
must not, or Python found no memory."""
READY = b"ready"
PARENT_SECONDS = 1.0
"""How often a worker looks whether its host is still there."""
SECRET_BYTES = 32


def pack(value: bytes | None) -> bytes:
    """A byte string or None as a part of a message."""
    return NO_VALUE if value is None else VALUE + value


def unpack(part: bytes) -> bytes | None:
    """The other way."""
    return None if part == NO_VALUE else part[1:]


def main(line: int | None) -> None:
    """Serve the host until it hangs up.

    Args:
        line: the file descriptor of the channel; None if standard input tells where to connect.
    """
    channel = Channel(_connect() if line is None else socket.socket(fileno=line))
    for has_lost_host in (_await_input_end, _await_other_parent):
        threading.Thread(target=_die_when, args=(has_lost_host,), daemon=True).start()
    status = CRASHED
    # Nothing here needs memory: there may be none.
    try:
        _serve(channel)
    except HungUpError:
        status = 0
    except (MemoryError, LuaStateError):
        status = OUT_OF_MEMORY
    finally:
        os._exit(status)


def _connect() -> socket.socket:
    """The line to a host that could not hand its socket over: it has sent a port and a secret."""
    (port,) = struct.unpack("<H", _read_input(2))
    secret = _read_input(SECRET_BYTES)
    line = socket.create_connection(("127.0.0.1", port))
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.sendall(secret)
    return line


def _read_input(size: int) -> bytes:
    """That many bytes of standard input; ends the process if they do not come."""
    data = b""
    while len(data) < size:
        piece = os.read(0, size - len(data))
        if not piece:
            os._exit(CRASHED)
        data += piece
    return data


def _die_when(has_lost_host: Callable[[], object]) -> None:
    """Ends the process when a function returns."""
    has_lost_host()
    os._exit(0)


def _await_input_end() -> None:
    """Waits for the end of standard input, which the host holds open as long as it lives."""
    os.read(0, 1)


def _await_other_parent() -> None:
    """Waits until the host is gone, though something else may hold our standard input open."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)


def _serve(channel: Channel) -> None:
    _, settings_text, source = channel.receive()
    settings = json.loads(settings_text)
    limits = Limits(**settings["limits"])
    setup = read_setup(settings["setup"])
    engine = Engine(_Line(channel), limits, settings["name"], settings["default_model"], setup)
    lock_up(limits.memory_mb)
    channel.send(READY)
    _answer(
        channel,
        engine,
        lambda: "\n".join(engine.load(source, settings["functions"])).encode(),
    )
    while True:
        _, function, arguments = channel.receive()
        name, values = function.decode(), unpack(arguments)
        _answer(channel, engine, lambda name=name, values=values: engine.call(name, values))


def _answer(channel: Channel, engine: Engine, work: Any) -> None:
    before = engine.seconds
    try:
        parts = [b"done", pack(work())]
    except LuaError as error:
        value = (wire.encode((error.value,), "error") or b"").decode()
        shown = [error.message, error.chunk, error.line, error.traceback, value]
        parts = [b"failed", json.dumps(shown).encode()]
    except Stop as stop:
        parts = [b"limit", _limit(stop.exceeded)]
    except LimitExceeded as exceeded:
        parts = [b"limit", _limit(exceeded)]
    used = json.dumps([engine.seconds - before, engine.peak()]).encode()
    try:
        channel.send(*parts, used)
    except TooLargeError as error:
        shown = [f"its result is too large: {error}", None, None, "", ""]
        channel.send(b"failed", json.dumps(shown).encode(), used)
    if engine.is_broken:
        raise HungUpError


def _limit(exceeded: LimitExceeded) -> bytes:
    return json.dumps([exceeded.kind, exceeded.limit, exceeded.used]).encode()


class _Line:
    """The services of the host, over the channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.work_seconds = 0.0
        self.errands = _Errands(self)

    def host(self, name: str, arguments: bytes | None) -> bytes | None:
        return unpack(self.ask(b"host", name.encode(), pack(arguments))[0])

    def write(self, text: bytes) -> None:
        self.ask(b"write", text)

    def module(self, name: str) -> bytes:
        return self.ask(b"module", name.encode())[0]

    def open(self, method: str, url: str, body: bytes | None) -> _RemoteReading:
        head = self.ask(b"open", method.encode(), url.encode(), pack(body))[0]
        return _RemoteReading(self, *json.loads(head))

    def ask(self, *parts: bytes) -> list[bytes]:
        self._channel.send(*parts)
        kind, worked, *answer = self._channel.receive()
        self.work_seconds += float(worked)
        if kind == b"error":
            raise RuntimeError(answer[0].decode("utf-8", "replace"))
        if kind == b"stop":
            raise Stop(LimitExceeded(*json.loads(answer[0])))
        return answer


class _RemoteReading:
    """An answer that the host holds."""

    def __init__(
        self, line: _Line, number: int, status: int, reason: str, headers: dict[str, str]
    ) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self.number = str(number).encode()
        self._line = line

    def read_piece(self) -> bytes | None:
        return unpack(self._line.ask(b"read", self.number)[0])

    def close(self) -> None:
        self._line.ask(b"close", self.number)


class _Errands:
    """The errands of the host, over the channel."""

    def __init__(self, line: _Line) -> None:
        self._line = line

    def begin_host(self, ticket: int, name: str, arguments: bytes | None) -> None:
        self._line.ask(b"begin_host", _number(ticket), name.encode(), pack(arguments))

    def begin_open(self, ticket: int, method: str, url: str, body: bytes | None) -> None:
        place = method.encode(), url.encode()
        self._line.ask(b"begin_open", _number(ticket), *place, pack(body))

    def begin_read(self, ticket: int, reading: _RemoteReading) -> None:
        self._line.ask(b"begin_read", _number(ticket), reading.number)

    def next_done(self, timeout: float | None = None) -> Outcome | None:
        found = self._line.ask(b"next_done", b"" if timeout is None else repr(timeout).encode())
        if not found:
            return None
        ticket, kind, result = int(found[0]), *found[1:]
        if kind == b"error":
            return Outcome(ticket, error=RuntimeError(result.decode("utf-8", "replace")))
        if kind == b"open":
            return Outcome(ticket, _RemoteReading(self._line, *json.loads(result)))
        return Outcome(ticket, unpack(result))

    def cancel(self, ticket: int) -> None:
        self._line.ask(b"cancel", _number(ticket))

    def stop(self) -> None:
        """The host's errands end with the call."""


def _number(number: int) -> bytes:
    return str(number).encode()
