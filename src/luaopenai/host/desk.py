"""Answers what a worker asks of its host, over the channel; its counterpart is in ``worker``."""

from __future__ import annotations

import json

from luaopenai.host.broker import Broker, Stop, describe
from luaopenai.host.channel import NonsenseError
from luaopenai.host.reading import Reading
from luaopenai.host.worker import pack, unpack

_QUESTIONS = {
    b"host",
    b"write",
    b"module",
    b"open",
    b"read",
    b"close",
    b"begin_host",
    b"begin_open",
    b"begin_read",
    b"next_done",
    b"cancel",
}


class Desk:
    """Answers a worker's questions during one call."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._errands = broker.errands
        self._readings: dict[int, Reading] = {}
        self._last_reading = 0
        self._read_by: dict[int, tuple[int, Reading]] = {}
        """By ticket, those that a thread reads, with their numbers."""

    def serve(self, kind: bytes, parts: list[bytes]) -> list[bytes]:
        """The answer to a question; raises ``NonsenseError`` for what is none."""
        if kind not in _QUESTIONS:
            raise NonsenseError
        try:
            return [b"ok", *getattr(self, f"_{kind.decode()}")(*parts)]
        except Stop as stop:
            exceeded = stop.exceeded
            return [b"stop", json.dumps([exceeded.kind, exceeded.limit, exceeded.used]).encode()]
        except Exception as error:
            return [b"error", describe(error).encode("utf-8", "replace")]

    def _host(self, name: bytes, arguments: bytes) -> list[bytes]:
        return [pack(self._broker.host(name.decode(), unpack(arguments)))]

    def _write(self, text: bytes) -> list[bytes]:
        self._broker.write(text)
        return []

    def _module(self, name: bytes) -> list[bytes]:
        return [self._broker.module(name.decode("utf-8", "replace"))]

    def _open(self, method: bytes, url: bytes, body: bytes) -> list[bytes]:
        return [self._hold(self._broker.open(method.decode(), url.decode(), unpack(body)))]

    def _read(self, number: bytes) -> list[bytes]:
        return [pack(self._readings[int(number)].read_piece())]

    def _close(self, number: bytes) -> list[bytes]:
        reading = self._readings.pop(int(number), None)
        if reading is not None:
            reading.close()
        return []

    def _begin_host(self, ticket: bytes, name: bytes, arguments: bytes) -> list[bytes]:
        self._errands.begin_host(int(ticket), name.decode(), unpack(arguments))
        return []

    def _begin_open(self, ticket: bytes, method: bytes, url: bytes, body: bytes) -> list[bytes]:
        place = method.decode(), url.decode()
        self._errands.begin_open(int(ticket), *place, unpack(body))
        return []

    def _begin_read(self, ticket: bytes, number: bytes) -> list[bytes]:
        reading = self._readings[int(number)]
        self._errands.begin_read(int(ticket), reading)
        # Whatever a worker asks for: two threads never read one answer.
        self._read_by[int(ticket)] = int(number), self._readings.pop(int(number))
        return []

    def _next_done(self, timeout: bytes) -> list[bytes]:
        done = self._errands.next_done(float(timeout[:32]) if timeout else None)
        if done is None:
            return []
        ticket, result, error = done
        if ticket in self._read_by:
            number, reading = self._read_by.pop(ticket)
            self._readings[number] = reading
        if isinstance(error, Exception):
            parts = b"error", describe(error).encode("utf-8", "replace")
        elif error is not None:
            raise error
        elif isinstance(result, Reading):
            parts = b"open", self._hold(result)
        else:
            parts = b"text", pack(result)
        return [str(ticket).encode(), *parts]

    def _cancel(self, ticket: bytes) -> list[bytes]:
        self._errands.cancel(int(ticket))
        self._read_by.pop(int(ticket), None)
        return []

    def _hold(self, reading: Reading) -> bytes:
        """Keep an answer under a number; that, and its head, as JSON."""
        self._last_reading = number = self._last_reading + 1
        self._readings[number] = reading
        return json.dumps([number, reading.status, reading.reason, reading.headers]).encode()
