"""A plugin in a process of its own: starts it, serves it, and kills it when it must be."""

from __future__ import annotations

import json
import math
import os
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from hmac import compare_digest
from typing import Any

from luaopenai.bridge.errors import LuaError
from luaopenai.client.cancel import check_cancelled, current_call
from luaopenai.host import wire
from luaopenai.host.broker import Broker, plugin_error
from luaopenai.host.channel import Channel, HungUpError, NonsenseError
from luaopenai.host.desk import Desk
from luaopenai.host.limits import LimitExceeded
from luaopenai.host.worker import OUT_OF_MEMORY, SECRET_BYTES, pack, unpack

START_SECONDS = 30.0
CONNECT_SECONDS = 1.0
GRACE_SECONDS = 0.5
"""How long past its time a plugin may take to notice, before it is killed."""

_START = "import sys; sys.path[:] = {path!r}; from luaopenai.host.worker import main; main({line})"

_INHERITS = hasattr(os, "fork")
"""Whether this system lets a new process inherit a socket under its number, as POSIX does."""


class ProcessIsolation:
    """Runs one plugin in a worker, which is replaced after it had to be killed."""

    kind = "process"

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
            "default_model": broker.default_model,
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
        except NonsenseError:
            raise plugin_error(self._broker.name, "has a process that sends nonsense") from None
        except (LuaError, LimitExceeded) as error:
            done = message[0] != b"load" and not isinstance(error, _Killed)
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
        desk = Desk(self._broker)
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
                    raise NonsenseError from None
            begun, worked = time.monotonic(), self._broker.work_seconds
            outcome, *answer = desk.serve(kind, parts)
            worked = self._broker.work_seconds - worked
            worker.channel.send(outcome, repr(worked).encode(), *answer)
            if deadline is not None:
                deadline += time.monotonic() - begun - worked

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
        raise self._failed(*json.loads(result))

    def _failed(self, message: Any, chunk: Any, line: Any, traceback: Any, value: Any) -> LuaError:
        """The error that a worker tells; ``ValueError`` or ``TypeError`` for what is none."""
        texts = (message, traceback, value, chunk or "")
        if not all(isinstance(text, str) for text in texts) or not isinstance(line, int | None):
            raise TypeError("an error has a message, a place, a traceback and a value")
        # The worker has written characters that Lua had as they are with up to six for each byte.
        if len(value) > 6 * wire.LARGEST_ERROR_VALUE:
            raise ValueError("the value of an error is too large")
        (found,) = wire.decode(value.encode()) or [None]
        return LuaError(message, chunk, line, traceback, found, self._broker.name)

    def _lost(self, worker: _Worker) -> Exception:
        """What became of a worker that is gone."""
        code = worker.wait()
        limit = self._broker.limits.memory_mb
        if limit is not None and (code == OUT_OF_MEMORY or code < 0):
            return LimitExceeded("memory_mb", limit, limit, self._broker.name)
        return plugin_error(self._broker.name, f"has lost its process, with status {code}")


class _Killed(LimitExceeded):
    """A limit after which the worker is not to be used again."""

    def __init__(self, exceeded: LimitExceeded) -> None:
        super().__init__(exceeded.kind, exceeded.limit, exceeded.used, exceeded.plugin)
        self.exceeded = exceeded


def _amount(value: Any) -> float:
    """A number that a worker tells; raises ``ValueError`` or ``TypeError`` for what is none."""
    if not 0 <= value < math.inf:
        raise ValueError(value)
    return float(value)


class _Worker:
    """A worker process and the line to it. The worker ends when its standard input does."""

    def __init__(self) -> None:
        if _INHERITS:
            ours, theirs = socket.socketpair()
            with theirs:
                self._process = _start_process(theirs.fileno())
        else:
            self._process, ours = _start_and_connect()
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
        _end(self._process)


def _start_process(line: int | None) -> subprocess.Popen[bytes]:
    """Start a worker: with the number of its socket, or None if it is to connect by itself."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _START.format(path=sys.path, line=line)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=os.path.abspath(os.sep),
        env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        pass_fds=() if line is None else (line,),
    )


def _start_and_connect() -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start a worker that connects to us over the loopback interface.

    Other programs on this machine could connect first: a secret, which only the worker's standard
    input tells, shows which connection is the worker's.
    """
    deadline = time.monotonic() + START_SECONDS
    secret = os.urandom(SECRET_BYTES)
    with socket.create_server(("127.0.0.1", 0)) as server:
        process = _start_process(None)
        try:
            assert process.stdin is not None
            process.stdin.write(struct.pack("<H", server.getsockname()[1]) + secret)
            process.stdin.flush()
            while time.monotonic() < deadline and process.poll() is None:
                server.settimeout(CONNECT_SECONDS)
                with suppress(TimeoutError, ConnectionError):
                    line, _ = server.accept()
                    if _knows(line, secret):
                        return process, line
                    line.close()
        except BaseException:
            _end(process)
            raise
    _end(process)
    raise LuaError("a plugin's process did not start")


def _knows(line: socket.socket, secret: bytes) -> bool:
    """Whether the other side says the secret, at once."""
    line.settimeout(CONNECT_SECONDS)
    said = b""
    with suppress(TimeoutError, ConnectionError):
        while len(said) < len(secret) and (piece := line.recv(len(secret) - len(said))):
            said += piece
    line.settimeout(None)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return compare_digest(said, secret)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.close()
    process.wait()


_ENVIRONMENT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
"""What a Python may need to start at all."""
