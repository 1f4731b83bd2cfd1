"""A plugin in a process of its own: starts it, serves it, and kills it when it must be."""

from __future__ import annotations

import json
import logging
import math
import re
import signal
import time
from dataclasses import asdict
from typing import Any

from luaopenai.bridge.errors import LuaError
from luaopenai.client.cancel import check_cancelled, current_call
from luaopenai.host import wire
from luaopenai.host.broker import Broker
from luaopenai.host.channel import HungUpError, NonsenseError, TooLargeError
from luaopenai.host.faults import LimitExceeded, Stop, plugin_error
from luaopenai.host.launch import START_SECONDS, WorkerProcess
from luaopenai.host.rpc import Dispatcher, pack, unpack
from luaopenai.host.setup import Setup, write_setup
from luaopenai.host.tools import read_offers
from luaopenai.host.worker import OUT_OF_MEMORY, PANICKED, READY

GRACE_SECONDS = 0.5
"""How long past its time a plugin may take to notice, before it is killed."""

_SHORT = 1024
"""Bytes that no message about a limit, or of what was used, comes to."""

_NAME_BYTES = 64
"""About how many a name takes in Python beside its letters."""

_NAMES = re.compile(rb"[A-Za-z_]\w*(\n[A-Za-z_]\w*)*", re.ASCII)

_log = logging.getLogger("luaopenai.plugins")


class ProcessIsolation:
    """Runs one plugin in a worker, which is replaced after it had to be killed.

    Args:
        broker: serves it.
        source: its file.
        setup: what else it finds.
        exports: the names of its functions, where these are known; then nothing is begun before
            ``prepare`` or the first call.
    """

    kind = "process"

    def __init__(
        self, broker: Broker, source: bytes, setup: Setup, exports: list[str] | None = None
    ) -> None:
        self._broker = broker
        self._source = source
        self._setup = setup
        self._worker: WorkerProcess | None = None
        self._is_starting = False
        """Whether the worker was told what to load, and nobody has read what came of it."""
        self.offers: list[dict[str, Any]] = []
        """The declarations of the plugin's tools."""
        self.exports = self._start() if exports is None else exports

    @property
    def has_state(self) -> bool:
        """Whether the plugin's Lua state is there, with what it keeps from call to call."""
        worker = self._worker
        return worker is not None and worker.is_alive() and not self._is_starting

    def prepare(self) -> None:
        """Begins a worker for the next call, and waits for nothing."""
        if self._worker is None:
            self._begin()

    def call(self, function: str, arguments: bytes | None) -> bytes | None:
        """Calls a function of the plugin."""
        if self._worker is not None and not self._worker.is_alive():
            # It has ended between calls, or is the process's that this one was forked from.
            _log.info("%s: its process is gone, and another one begins", self._broker.name)
            self.close()
        is_ahead = self._worker is not None and self._is_starting
        self.prepare()
        if self._is_starting:
            try:
                self._finish_start()
            except LuaError:
                # One that has begun ahead of its call may have been ended meanwhile.
                if not is_ahead or (self._worker is not None and self._worker.is_alive()):
                    raise
                self.close()
                self._start()
        return self._exchange(b"call", function.encode(), pack(arguments))

    def interrupt(self) -> None:
        """Ends a call that is under way in another thread."""
        worker = self._worker
        if worker is not None:
            worker.kill()

    def close(self) -> None:
        """Ends the worker."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def leave_to_parent(self, *, was_called: bool) -> None:
        """Leaves the process to the parent; here another one begins with the next call."""
        self._worker = None

    def _start(self) -> list[str]:
        self._begin()
        return self._finish_start()

    def _begin(self) -> None:
        """Begins a worker, and tells it what to load."""
        broker = self._broker
        settings = {
            "name": broker.name,
            "limits": asdict(broker.limits),
            "functions": broker.function_names,
            "default_model": broker.default_model,
            "setup": write_setup(self._setup),
        }
        try:
            self._worker = WorkerProcess()
        except OSError as error:
            raise plugin_error(broker.name, f"can have no process: {error.strerror}") from None
        self._is_starting = True
        try:
            self._worker.channel.send(b"load", json.dumps(settings).encode(), self._source)
        except HungUpError:
            pass  # which whoever waits for its start finds out
        except TooLargeError as error:
            self.close()
            raise plugin_error(broker.name, f"cannot be loaded: {error}") from None
        except BaseException:
            self.close()
            raise

    def _finish_start(self) -> list[str]:
        """Waits for a worker that has begun; returns the names of the plugin's functions."""
        try:
            return self._exported(self._exchange())
        except Stop as stop:
            self.close()
            raise stop.exceeded from None

    def _exported(self, found: bytes | None) -> list[str]:
        """Reads the names of the plugin's functions, a line each, and what it says of its tools."""
        names, _, offers = (found or b"").partition(b"\0")
        try:
            self.offers = read_offers(self._broker.values(offers))
        except (ValueError, RecursionError):
            self.close()
            raise self._speaks_nonsense() from None
        if not names:
            return []
        self._broker.check_memory(len(names) + _NAME_BYTES * names.count(b"\n"))
        if not _NAMES.fullmatch(names):
            self.close()
            raise self._speaks_nonsense()
        return names.decode().split("\n")

    def _exchange(self, *message: bytes) -> bytes | None:
        """Gives the worker something to do, and serves it until that is done.

        Without a message that is what it was told to load. A worker that may be out of step with
        its host is ended.
        """
        worker = self._worker
        assert worker is not None
        is_loaded = is_started = not self._is_starting
        self._is_starting = False
        is_in_step = False
        try:
            if is_loaded:
                worker.channel.send(*message)
            else:
                self._await_ready(worker)
                is_started = True
            result = self._serve(worker)
            is_in_step = True
            return result
        except HungUpError:
            check_cancelled()
            raise self._lost(worker, is_started=is_started) from None
        except TooLargeError as error:
            is_in_step = True
            raise plugin_error(
                self._broker.name, f"cannot be given its arguments: {error}"
            ) from None
        except NonsenseError:
            raise self._speaks_nonsense() from None
        except (LuaError, LimitExceeded):
            is_in_step = is_loaded
            raise
        finally:
            call = current_call()
            if call is not None:
                call.detach()
            if not is_in_step:
                self.close()

    def _speaks_nonsense(self) -> LuaError:
        return plugin_error(self._broker.name, "has a process that sends nonsense")

    def _await_ready(self, worker: WorkerProcess) -> None:
        """Waits until the plugin's file is about to run: its seconds count from then on."""
        call = current_call()
        if call is not None:
            call.attach(worker.kill)
        try:
            answer = worker.channel.receive(time.monotonic() + START_SECONDS)
        except TimeoutError:
            name = self._broker.name
            raise plugin_error(name, "has a process that does not come to its start") from None
        if answer != [READY]:
            raise NonsenseError

    def _serve(self, worker: WorkerProcess) -> bytes | None:
        dispatcher = Dispatcher(self._broker.operations)
        limit = self._broker.limits.seconds
        deadline = None if limit is None else time.monotonic() + limit + GRACE_SECONDS
        call = current_call()
        while True:
            if call is not None:
                call.attach(worker.kill)
            try:
                kind, *parts = worker.channel.receive(deadline)
            except TimeoutError:
                raise self._late() from None
            if worker.channel.holds_more:
                # What an answer takes is free: a worker that does not wait for it never ended.
                raise NonsenseError
            if kind == b"broken":
                worker.kill()
                kind = b"failed"
            if kind in (b"done", b"failed", b"limit"):
                try:
                    return self._finish(kind, *parts)
                except (ValueError, TypeError, RecursionError):
                    raise NonsenseError from None
            begun, worked = time.monotonic(), self._broker.work_seconds
            outcome, *answer = dispatcher.serve(kind, parts)
            worked = self._broker.work_seconds - worked
            if deadline is not None:
                deadline += time.monotonic() - begun - worked
            begun = time.monotonic()
            self._answer(worker, deadline, outcome, repr(worked).encode(), *answer)
            if deadline is not None:
                deadline += time.monotonic() - begun

    def _answer(
        self,
        worker: WorkerProcess,
        deadline: float | None,
        outcome: bytes,
        took: bytes,
        *rest: bytes,
    ) -> None:
        try:
            worker.channel.send(outcome, took, *rest, deadline=deadline)
        except TooLargeError as error:
            worker.channel.send(b"error", took, str(error).encode(), deadline=deadline)
        except TimeoutError:
            raise self._late() from None

    def _late(self) -> LimitExceeded:
        """Ends a worker that is past its time; returns the limit that it has exceeded."""
        self.close()
        limit = self._broker.limits.seconds
        assert limit is not None
        return LimitExceeded("seconds", limit, limit, self._broker.name)

    def _finish(self, kind: bytes, result: bytes, used: bytes) -> bytes | None:
        if len(used) > _SHORT or (kind == b"limit" and len(result) > _SHORT):
            raise NonsenseError
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
            if exceeded.kind == "memory_mb":
                self.close()
            raise exceeded
        self._broker.check_memory(wire.weight(result))
        raise self._failed(*json.loads(result))

    def _failed(self, message: Any, chunk: Any, line: Any, traceback: Any, value: Any) -> LuaError:
        """Returns the error from a worker; raises ``ValueError`` or ``TypeError`` for nonsense."""
        texts = (message, traceback, value, chunk or "")
        if not all(isinstance(text, str) for text in texts) or not isinstance(line, int | None):
            raise TypeError("an error has a message, a place, a traceback and a value")
        for text in texts:
            # Raises for halves of surrogate pairs, which could not be printed.
            text.encode()
        # The worker has written characters that Lua had as they are with up to six for each byte.
        if len(value) > 6 * wire.LARGEST_ERROR_VALUE:
            raise ValueError("the value of an error is too large")
        (found,) = wire.decode(value.encode()) or [None]
        return LuaError(message, chunk, line, traceback, found, self._broker.name)

    def _lost(self, worker: WorkerProcess, *, is_started: bool) -> Exception:
        """Returns the error for a worker that is gone."""
        how = worker.end()
        if not is_started:
            # No limit of the plugin's has ended it.
            return plugin_error(self._broker.name, f"has a process that cannot start: {how}")
        limit = self._broker.limits.memory_mb
        if limit is not None and worker.status in _OUT_OF_MEMORY:
            return LimitExceeded("memory_mb", limit, limit, self._broker.name)
        return plugin_error(self._broker.name, f"has lost its process: {how}")


_OUT_OF_MEMORY = {OUT_OF_MEMORY, PANICKED, -signal.SIGABRT}
"""How a worker ends that has no memory left: Python, LuaJIT and the C library each have a way."""


def _amount(value: Any) -> float:
    """Returns a number from a worker; raises ``ValueError`` or ``TypeError`` for nonsense."""
    if not 0 <= value < math.inf:
        raise ValueError(value)
    return float(value)
