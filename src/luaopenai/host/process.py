"""A plugin in a process of its own: starts it, serves it, and kills it when it must be."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from luaopenai.bridge.errors import LuaError
from luaopenai.client.cancel import check_cancelled, current_call
from luaopenai.host.broker import Broker, Reading, Stop, describe
from luaopenai.host.channel import Channel, HungUpError
from luaopenai.host.limits import LimitExceeded
from luaopenai.host.worker import OUT_OF_MEMORY, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable

START_SECONDS = 30.0
GRACE_SECONDS = 0.5
"""How long past its time a plugin may take to notice, before it is killed."""

_START = (
    "import sys; sys.path[:] = {path!r};"
    " from luaopenai.host.worker import main; main({line}, {life})"
)


class ProcessIsolation:
    """Runs one plugin in a worker, which is replaced after it had to be killed."""

    def __init__(
        self, broker: Broker, source: bytes, *, modules: bool = False, script: bool = False
    ) -> None:
        self._broker = broker
        self._source = source
        self._modules = modules
        self._script = script
        self._worker: _Worker | None = None
        self.exports = self._start()

    def call(self, function: str, arguments: bytes | None) -> bytes | None:
        """Call a function of the plugin."""
        if self._worker is None:
            self._start()
        return self._exchange(b"call", function.encode(), pack(arguments))

    def interrupt(self) -> None:
        """End a call that is under way in another thread."""
        worker = self._worker
        if worker is not None:
            worker.kill()

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _start(self) -> list[str]:
        broker = self._broker
        settings = {
            "name": broker.name,
            "limits": asdict(broker.limits),
            "functions": broker.function_names,
            "modules": self._modules,
            "script": self._script,
        }
        self._worker = _Worker()
        found = self._exchange(b"load", json.dumps(settings).encode(), self._source)
        return found.decode().split("\n") if found else []

    def _exchange(self, *message: bytes) -> bytes | None:
        """Send the worker to work, and serve it until it is done."""
        worker = self._worker
        assert worker is not None
        done = False
        try:
            worker.channel.send(*message)
            result = self._serve(worker, is_start=message[0] == b"load")
            done = True
            return result
        except HungUpError:
            check_cancelled()
            raise self._lost(worker) from None
        except (LuaError, LimitExceeded) as error:
            done = message[0] != b"load" and not isinstance(error, _Killed | _NonsenseError)
            if isinstance(error, _Killed):
                raise error.exceeded from None
            raise
        finally:
            call = current_call()
            if call is not None:
                call.detach()
            if not done:
                self.close()

    def _serve(self, worker: _Worker, *, is_start: bool) -> bytes | None:
        desk = _Desk(self._broker)
        limit = self._broker.limits.seconds
        deadline = None
        if limit is not None:
            spare = START_SECONDS if is_start else GRACE_SECONDS
            deadline = time.monotonic() + limit + spare
        call = current_call()
        while True:
            if call is not None:
                call.attach(worker.kill)
            try:
                kind, *parts = worker.channel.receive(deadline)
            except TimeoutError:
                assert limit is not None
                raise _Killed(LimitExceeded("seconds", limit, limit, self._broker.name)) from None
            if kind in (b"done", b"failed", b"limit"):
                try:
                    return self._finish(kind, *parts)
                except (ValueError, TypeError, RecursionError):
                    raise _NonsenseError(self._broker.name) from None
            begun = time.monotonic()
            worker.channel.send(*desk.serve(kind, parts))
            if deadline is not None:
                deadline += time.monotonic() - begun

    def _finish(self, kind: bytes, result: bytes, used: bytes) -> bytes | None:
        seconds, peak = map(_amount, json.loads(used))
        usage = self._broker.usage
        usage.seconds += seconds
        usage.peak_memory_mb = max(usage.peak_memory_mb, peak)
        if kind == b"done":
            return unpack(result)
        if kind == b"limit":
            what, _, used_up = json.loads(result)
            limit = getattr(self._broker.limits, str(what), None)
            exceeded = LimitExceeded(what, _amount(limit), _amount(used_up), self._broker.name)
            raise _Killed(exceeded) if exceeded.kind == "memory_mb" else exceeded
        message, chunk, line, traceback = json.loads(result)
        error = LuaError(str(message), chunk, line, str(traceback))
        error.plugin = self._broker.name
        raise error

    def _lost(self, worker: _Worker) -> Exception:
        """What became of a worker that is gone."""
        code = worker.wait()
        limit = self._broker.limits.memory_mb
        if limit is not None and (code == OUT_OF_MEMORY or code < 0):
            return LimitExceeded("memory_mb", limit, limit, self._broker.name)
        error = LuaError(f"the process of plugin {self._broker.name} ended with status {code}")
        error.plugin = self._broker.name
        return error


class _Killed(LimitExceeded):
    """A limit after which the worker is not to be used again."""

    def __init__(self, exceeded: LimitExceeded) -> None:
        super().__init__(exceeded.kind, exceeded.limit, exceeded.used, exceeded.plugin)
        self.exceeded = exceeded


class _NonsenseError(LuaError):
    """A worker says what none of ours says: it is not to be used again."""

    def __init__(self, plugin: str) -> None:
        super().__init__(f"the process of plugin {plugin} sends nonsense")
        self.plugin = plugin


def _amount(value: Any) -> float:
    """A number that a worker tells; raises ``ValueError`` or ``TypeError`` for what is none."""
    if not 0 <= value < math.inf:
        raise ValueError(value)
    return float(value)


class _Desk:
    """Answers a worker's questions during one call."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._errands = broker.errands
        self._readings: dict[int, Reading] = {}
        self._last_reading = 0
        self._read_by: dict[int, tuple[int, Reading]] = {}
        """By ticket, those that a thread reads, with their numbers."""
        self._serves: dict[bytes, Callable[..., list[bytes]]] = {
            b"host": self._host,
            b"write": self._write,
            b"module": self._module,
            b"open": self._open,
            b"read": self._read,
            b"close": self._close,
            b"begin_host": self._begin_host,
            b"begin_open": self._begin_open,
            b"begin_read": self._begin_read,
            b"next_done": self._next_done,
            b"cancel": self._cancel,
        }

    def serve(self, kind: bytes, parts: list[bytes]) -> list[bytes]:
        """The answer to a question."""
        serve = self._serves.get(kind)
        if serve is None:
            raise _NonsenseError(self._broker.name)
        try:
            return [b"ok", *serve(*parts)]
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
        return []

    def _hold(self, reading: Reading) -> bytes:
        """Keep an answer under a number; that, and its head, as JSON."""
        self._last_reading = number = self._last_reading + 1
        self._readings[number] = reading
        return json.dumps([number, reading.status, reading.reason, reading.headers]).encode()


class _Worker:
    """A worker process and the line to it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        life, self._life = os.pipe()
        code = _START.format(path=sys.path, line=theirs.fileno(), life=life)
        kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        self._process: subprocess.Popen[Any] = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", code],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=os.path.abspath(os.sep),
            env=kept,
            pass_fds=(theirs.fileno(), life),
        )
        theirs.close()
        os.close(life)
        self.channel = Channel(ours)

    def wait(self) -> int:
        """The exit status of a process that has hung up."""
        try:
            return self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return -9

    def kill(self) -> None:
        """Kill the process; its end of the line closes."""
        self._process.kill()

    def close(self) -> None:
        """Kill the process and forget it."""
        self.channel.close()
        os.close(self._life)
        self._process.kill()
        self._process.wait()


_ENVIRONMENT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
"""What a Python may need to start at all."""
