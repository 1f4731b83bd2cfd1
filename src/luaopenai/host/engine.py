"""A plugin's Lua: its state, its walls, and the clock that it runs under.

The same engine runs in a worker process and, for trusted authors, in the host's own.
"""

from __future__ import annotations

import math
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from luaopenai.bridge.errors import LuaError
from luaopenai.bridge.exports import Exports
from luaopenai.bridge.network import length, pause
from luaopenai.bridge.runtime import LIBRARY, LuaStateError, Runtime
from luaopenai.bridge.waits import Waits
from luaopenai.client.servers import PROVIDERS
from luaopenai.host import wire
from luaopenai.host.broker import BASE_URL, Stop, plugin_error
from luaopenai.host.limits import LimitExceeded, Limits
from luaopenai.host.setup import Setup
from luaopenai.host.watchdog import Alarm, watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MEGABYTE = 2**20
_CAP = 4
"""How many times its ``memory_mb`` a plugin in the host may take before Lua refuses it more:
garbage counts here, and lies about until Lua has grown to twice its size."""
_SPARE = MEGABYTE
"""Bytes that lupa may need beside the values that it hands over."""
_READER_SIZE = 2048
"""About how many bytes a stream's reader takes of Python's memory by itself."""
_PLAIN = (bytes, int, float, bool)

_EXPORTED = {
    "account_headers",
    "add_query",
    "begin_host",
    "begin_open",
    "begin_read",
    "begin_sleep",
    "cancel",
    "check_function",
    "check_input",
    "check_message",
    "check_messages",
    "check_seconds",
    "check_text",
    "check_tool_call",
    "close",
    "constants",
    "endpoint",
    "explain",
    "fill_path",
    "find_list",
    "find_polled",
    "held",
    "host",
    "is_binary",
    "is_final",
    "is_utf8",
    "mended",
    "missing",
    "module",
    "next_done",
    "next_pause",
    "now",
    "odd_event_reader",
    "open",
    "output_images",
    "poll_failure",
    "read",
    "read_base_url",
    "read_page",
    "read_reply",
    "read_response_event",
    "read_stream",
    "response_failure",
    "rest",
    "sleep",
    "stream_fault",
    "take",
    "too_late",
    "write",
}
"""All that a plugin's Lua, ours included, can make Python do."""

_NEEDED = (
    "difflib",
    "encodings.utf_16_le",
    "json",
    "luaopenai.client.chat",
    "luaopenai.client.completions",
    "luaopenai.client.endpoints",
    "luaopenai.client.errors",
    "luaopenai.client.lenient",
    "luaopenai.client.lists",
    "luaopenai.client.messages",
    "luaopenai.client.payload",
    "luaopenai.client.polling",
    "luaopenai.client.responses",
    "luaopenai.client.servers",
    "luaopenai.client.sse",
    "luaopenai.client.streams",
    "luaopenai.client.urls",
)
"""What those functions import, or what does that they call: a worker can open no files later."""


class Services(Protocol):
    """What an engine asks its host for; ``Broker`` itself, or a line to it.

    Attributes:
        work_seconds: how long the host has worked on what the plugin sent, all calls together.
        errands: does the same for tasks: ``begin_host``, ``begin_open`` and ``begin_read`` take a
            ticket more, and come to what ``host``, ``open`` and a reading's ``read`` return.
    """

    work_seconds: float
    errands: Any

    def host(self, name: str, arguments: bytes | None) -> bytes | None:
        """Call a function of the host."""

    def write(self, text: bytes) -> None:
        """Take output."""

    def module(self, name: str) -> bytes:
        """Give a module's source."""

    def open(self, method: str, url: str, body: bytes | None) -> Any:
        """Send a request; returns what has ``status``, ``headers``, ``read`` and ``close``."""


class Engine(Runtime):
    """One plugin's Lua state.

    Args:
        services: the way to the host.
        limits: of each call.
        name: the plugin's name, for errors.
        default_model: the model where the plugin names none.
        setup: what else it finds.
        is_guest: whether it runs in the host's own process. Then Lua itself is held to a multiple
            of ``memory_mb``, and a thread watches the clock beside the hook: a process is killed.

    Attributes:
        seconds: of the plugin's own running that nobody has booked yet.
        held: bytes of Python's memory that the plugin takes.
        is_broken: whether Lua was left in a way that nothing explains; it is not to be used again.
    """

    def __init__(
        self,
        services: Services,
        limits: Limits,
        name: str,
        default_model: str | None = None,
        setup: Setup | None = None,
        *,
        is_guest: bool = False,
    ) -> None:
        self._is_capped = is_guest and limits.memory_mb is not None
        self._max_memory = 0 if self._is_capped else None
        self._cap = 0
        self._services = services
        self._limits = limits
        self._name = name
        self._setup = setup or Setup()
        self._outside = 0.0
        self.held = 0
        for module in _NEEDED:
            import_module(module)
        super().__init__(lua_path="", rocks=False, base_url=BASE_URL, default_model=default_model)
        self._sandbox = self._boot[b"sandbox"]()
        self._stride = self._sandbox[b"stride"]
        self._tick = self._sandbox[b"tick"]
        self._sandbox[b"collect"]()
        self._base, _ = self._memory()
        if self._is_capped:
            assert limits.memory_mb is not None
            used = self._lua.get_memory_used(total=True)
            self._cap = used + int(_CAP * limits.memory_mb * MEGABYTE)
        self._begun = 0.0
        self.seconds = 0.0
        self.is_broken = False
        self._alarm = self._make_alarm() if is_guest and limits.seconds is not None else None

    def load(self, source: bytes, functions: list[str]) -> list[str]:
        """Run the plugin's file; returns the names of its functions, none for a script."""
        names = "\n".join(functions).encode()
        chunk = f"={self._name}".encode()
        modules, script = self._setup.modules, self._setup.script
        values = script.values() if script else None
        found = self._limited(self._sandbox[b"load"], source, chunk, names, modules, values)
        return found.decode().split("\n") if found else []

    def call(self, function: str, arguments: bytes | None) -> bytes | None:  # type: ignore[override]
        """Call a function of the plugin; arguments and results as in ``luaopenai.host.wire``."""
        result: bytes | None = self._limited(self._sandbox[b"call"], function.encode(), arguments)
        return result

    def peak(self) -> float:
        """The most that the last call had in use, in megabytes above an empty plugin's."""
        return max(0.0, self._memory()[1] - self._base) / MEGABYTE

    def is_full(self) -> bool:
        """Whether the plugin holds more memory than a call may use, garbage aside."""
        limit = self._limits.memory_mb
        if limit is None or self._memory()[0] - self._base <= limit * MEGABYTE:
            return False
        self._sandbox[b"collect"]()
        return self._memory()[0] - self._base > limit * MEGABYTE

    def clock(self) -> float:
        """Seconds of the plugin's own running."""
        return time.monotonic() - self._outside

    def outside(self, function: Callable[..., Any], *args: Any) -> Any:
        """Calls the host; its time is not the plugin's, but for what it works on what was sent."""
        begun, worked = time.monotonic(), self._services.work_seconds
        try:
            return function(*args)
        finally:
            worked = self._services.work_seconds - worked
            self._outside += time.monotonic() - begun - worked

    def pause(self, seconds: float) -> None:
        """Let time pass, which is the plugin's own."""
        limit = self._limits.seconds
        left = math.inf if limit is None else self._begun + limit - self.clock()
        pause(max(0.0, min(seconds, left)))
        if seconds > left:
            assert limit is not None
            raise Stop(LimitExceeded("seconds", limit, self.clock() - self._begun, self._name))

    def _start(self, path: str, cpath: str) -> None:
        # Bundled modules only: those that LUA_PATH names are the host's, and made for no walls.
        super()._start("", "")

    def _exports(self) -> Exports:
        return _PluginExports(self, self._services, self._setup)

    def hold(self, size: int) -> None:
        """Count Python's memory as the plugin's; raises ``Stop`` when that alone is too much."""
        self.held += size
        limit, held = self._limits.memory_mb, self.held / MEGABYTE
        if limit is not None and held > limit:
            raise Stop(LimitExceeded("memory_mb", limit, held, self._name))

    def _memory(self) -> tuple[float, float]:
        """Bytes of memory in use, and the most since the last call began."""
        _, used, peak = self._sandbox[b"state"]()
        used += self.held
        return used, max(used, peak)

    def _guarded(
        self, function: Callable[..., Any], describe: Callable[[Exception], str] = str
    ) -> Callable[..., tuple[object, ...]]:
        """Only plain values go in: lupa would look a table's methods up in the plugin's table."""

        def plain(*args: object) -> Any:
            return function(*(arg if type(arg) in _PLAIN else None for arg in args))

        guarded = super()._guarded(plain, describe)
        if not self._is_capped:
            return guarded

        def uncapped(*args: object) -> tuple[object, ...]:
            self._lift_cap()
            results = guarded(*args)
            self._set_cap(results)
            return results

        return uncapped

    def _set_cap(self, crossing: Iterable[object]) -> None:
        """Holds Lua to its memory, but for values that lupa is about to hand over.

        An allocation of lupa's own that fails ends the process.
        """
        if self._is_capped:
            size = sum(len(value) for value in crossing if isinstance(value, bytes))
            least = self._lua.get_memory_used(total=True) + size + _SPARE
            self._lua.set_max_memory(max(self._cap, least), total=True)

    def _lift_cap(self) -> None:
        if self._is_capped:
            self._lua.set_max_memory(0)

    def _make_alarm(self) -> Alarm | None:
        """What ends a call that is past its time, from another thread; None where none can."""
        from luaopenai.bridge.hooks import CountHook

        try:
            hook = CountHook(LIBRARY, self._sandbox[b"address"])
        except (OSError, AttributeError):
            return None
        limit = self._limits.seconds
        assert limit is not None
        return Alarm(lambda: self.clock() - self._begun > limit, hook.fire)

    def disarm(self) -> None:
        """Lifts the limits of a call that is over; an interrupt may have kept it from that."""
        self._lift_cap()
        if self._alarm is not None:
            watchdog.forget(self._alarm)
        self._boot[b"sethook"]()

    def _limited(self, function: Any, *args: Any) -> Any:
        limits = self._limits
        self.disarm()
        self._pending = None
        self._begun = begun = self.clock()
        self._sandbox[b"arm"](
            math.inf if limits.seconds is None else begun + limits.seconds,
            math.inf if limits.memory_mb is None else self._base + limits.memory_mb * MEGABYTE,
            math.inf if limits.output_kb is None else limits.output_kb * 1024,
        )
        results: Any = None
        try:
            self._arm(args)
            results = self._run(function, *args)
        except LuaStateError:
            pass
        finally:
            # Armed, it would end the next call by this one's deadline, before that has begun.
            self.disarm()
        if results is None:
            self._pending = self._pending or self._interrupt()
        spent = self.clock() - begun
        self.seconds += spent
        if results is None or (results is not True and not results[0]):
            self._boot[b"forget_tasks"]()
        self._network.leave()
        kind, *_ = self._sandbox[b"state"]()
        if self._pending is not None:
            pending, self._pending = self._pending, None
            raise pending
        if kind is not None:
            raise self._exceeded(kind.decode(), spent)
        if results is None:
            self.is_broken = True
            raise plugin_error(self._name, "was interrupted")
        if results is True:
            return None
        if not results[0]:
            self._fail(*results[1:])
        return results[1]

    def _arm(self, crossing: Iterable[object]) -> None:
        self._boot[b"sethook"](self._tick, b"", self._stride)
        if self._alarm is not None:
            watchdog.watch(self._alarm)
        self._set_cap(crossing)

    def _fail(self, *failure: Any) -> None:
        *_, is_memory = failure
        if is_memory and self._limits.memory_mb is not None:
            raise self._exceeded("memory_mb", 0)
        raise self._lua_error(*failure)

    def _lua_error(self, *failure: Any) -> LuaError:
        error = super()._lua_error(*failure)
        error.plugin = self._name
        return error

    def _error_value(self, value: Any) -> Any:
        """The value of a plugin's error; its Lua gives it as it gives a result."""
        if not value or len(value) > wire.LARGEST_ERROR_VALUE:
            return None
        return wire.decode(value)[0]

    def _noted(self, error: Exception, text: str) -> bytes:
        """The exception's text for Lua; the broker keeps those that are a cause for the host."""
        return text.encode("utf-8", "replace")

    def _exceeded(self, kind: str, spent: float) -> LimitExceeded:
        limit = getattr(self._limits, kind)
        used = {"seconds": spent, "memory_mb": max(self.peak(), limit)}.get(kind, limit)
        return LimitExceeded(kind, limit, used, self._name)


class _PluginWaits(Waits):
    """What a plugin's tasks wait for."""

    def __init__(self, engine: Engine, errands: Any) -> None:
        super().__init__(errands)
        self._engine = engine

    def _wait(self, timeout: float | None) -> Any:
        """While the host does something, time is free; a mere pause is the plugin's own."""
        if self._finish:
            return self._engine.outside(self._crew.next_done, timeout)
        if timeout is None:
            raise ValueError("there is nothing to wait for")
        self._engine.pause(timeout)
        return None


class _HeldEvents:
    """Counts the events that a stream's reader holds back, until Lua has forgotten the reader."""

    def __init__(self, engine: Engine, read: Callable[[bytes | None], tuple[object, ...]]) -> None:
        self._engine = engine
        self._read = read
        self._held = 0
        self._hold(_READER_SIZE)

    def read(self, data: bytes | None) -> tuple[object, ...]:
        """Read the data of an event."""
        _, is_holding, _ = result = self._read(data)
        self._hold(self._held + wire.weight(data) if is_holding else _READER_SIZE)
        return result

    def __del__(self) -> None:
        self._engine.held -= self._held

    def _hold(self, size: int) -> None:
        grown, self._held = size - self._held, size
        self._engine.hold(grown)


def _as_it_is(result: object) -> object:
    return result


class _PluginExports(Exports):
    """The functions for our Lua files that may run under a plugin: none reaches past the host."""

    def __init__(self, engine: Engine, services: Services, setup: Setup) -> None:
        super().__init__(engine._values, engine._defaults)
        self._setup = setup
        self._engine = engine
        self._services = services
        self._waits = _PluginWaits(engine, services.errands)

    def functions(self) -> dict[bytes, Callable[..., object]]:
        """Those that are named above; in the place of all others stands a refusal."""
        return {
            name: getattr(self, name.decode()) if name.decode() in _EXPORTED else _refuse(name)
            for name in {*super().functions(), *(name.encode() for name in _EXPORTED)}
        }

    def open(
        self,
        method: bytes,
        url: bytes,
        headers: bytes,
        body: bytes | None,
        given: object = None,
    ) -> tuple[object, ...]:
        """Ask the host for a request; headers and settings are the host's own."""
        place = method.decode("latin-1"), url.decode("utf-8", "replace")
        return self._opened(self._engine.outside(self._services.open, *place, body))

    def begin_open(
        self,
        method: bytes,
        url: bytes,
        headers: bytes,
        body: bytes | None,
        given: object = None,
    ) -> int:
        """``open``, for later."""
        place = method.decode("latin-1"), url.decode("utf-8", "replace")
        return self._errand(self._services.errands.begin_open, *place, body, finish=self._opened)

    def read(self, number: int) -> bytes | None:
        """The next piece of an answer's body, nil at the end."""
        return self._piece(number, self._engine.outside(self._answers[number].read_piece))

    def begin_read(self, number: int) -> int:
        """``read``, for later."""
        answer: Any = self._answers.pop(number)

        def finish(piece: bytes | None) -> bytes | None:
            self._answers[number] = answer
            return self._piece(number, piece)

        return self._errand(self._services.errands.begin_read, answer, finish=finish)

    def close(self, number: int) -> None:
        """Let go of an answer."""
        self._engine.outside(super().close, number)

    def leave(self) -> None:
        """The call is at its end: so is, for the host, all that it has left open."""
        if self._answers or self._tasks().are_under_way:
            self._answers.clear()
            self.rest()

    def host(self, name: bytes, arguments: bytes | None = None) -> bytes | None:
        """Call a function of the host."""
        result: bytes | None = self._engine.outside(self._services.host, name.decode(), arguments)
        return result

    def begin_host(self, name: bytes, arguments: bytes | None = None) -> int:
        """``host``, for later."""
        return self._errand(self._services.errands.begin_host, name.decode(), arguments)

    def sleep(self, seconds: float) -> None:
        """Wait; the time is the plugin's own."""
        self._engine.pause(length(seconds))

    def write(self, text: bytes) -> None:
        """Say something to the host."""
        self._engine.outside(self._services.write, text)

    def module(self, name: bytes) -> bytes:
        """The source of one of the plugin's modules."""
        source: bytes = self._engine.outside(self._services.module, name.decode("utf-8", "replace"))
        return source

    def explain(self, value: object, where: bytes) -> str:
        """Nothing: to look through a plugin's value takes time that no hook can end."""
        return ""

    def now(self) -> float:
        """Seconds of the plugin's own running."""
        return self._engine.clock()

    def held(self) -> int:
        """Bytes of Python's memory that the plugin takes."""
        return self._engine.held

    def odd_event_reader(self) -> Callable[[bytes | None], tuple[object, ...]]:
        """The same, but the events that it holds back count as the plugin's memory."""
        return _HeldEvents(self._engine, super().odd_event_reader()).read

    def _errand(
        self,
        begin: Callable[..., object],
        *args: object,
        finish: Callable[[Any], object] = _as_it_is,
    ) -> int:
        return self._tasks().begin(
            lambda ticket: self._engine.outside(begin, ticket, *args), finish
        )

    def _gather_constants(self) -> dict[str, object]:
        """Without the accounts that the host's environment names; the host is its company."""
        found = super()._gather_constants()
        found |= {"account_headers": {}, "company": False, "providers": {}}
        company = self._setup.company
        if company:
            model = self._setup.company_model or self._defaults.default_model
            name = PROVIDERS[company].class_name
            provider = {"class_name": name, "api_base": BASE_URL, "default_model": model}
            found |= {"company": company, "providers": {company: provider}}
        return found


def _refuse(name: bytes) -> Callable[..., object]:
    def refuse(*_: object) -> None:
        raise ValueError(f"{name.decode()} is not for plugins")

    return refuse
