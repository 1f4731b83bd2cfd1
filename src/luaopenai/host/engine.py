"""A plugin's Lua: its state, its walls, and the clock that it runs under.

The same engine runs in a worker process and, for trusted authors, in the host's own.
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import TYPE_CHECKING, Any

from luaopenai.bridge.errors import LuaError
from luaopenai.bridge.network import Defaults
from luaopenai.bridge.state import LIBRARY, LuaState, LuaStateError
from luaopenai.host import wire
from luaopenai.host.clock import Clock
from luaopenai.host.exports import PluginExports, needed_modules
from luaopenai.host.faults import LimitExceeded, plugin_error
from luaopenai.host.held import HeldMemory
from luaopenai.host.setup import BASE_URL, Setup
from luaopenai.host.watchdog import Alarm, watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from luaopenai.bridge.exports import Exports
    from luaopenai.bridge.values import Values
    from luaopenai.host.limits import Limits
    from luaopenai.host.operations import Services

MEGABYTE = 2**20
_CAP = 4
"""How many times its ``memory_mb`` a plugin in the host may take before Lua refuses it more:
garbage counts here, and lies about until Lua has grown to twice its size."""
_SPARE = MEGABYTE
"""Bytes that lupa may need beside the values that it hands over."""
_PLAIN = (bytes, int, float, bool)
_compiled: dict[bytes, bytes] = {}
"""Our Lua files as bytecode, for the states in this process; no plugin reaches it."""


class Engine:
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
        self._limits = limits
        self._name = name
        self._setup = setup or Setup()
        for module in needed_modules():
            import_module(module)
        defaults = Defaults(base_url=BASE_URL, default_model=default_model)
        self._clock = clock = Clock(services, limits.seconds, name)
        self._held = held = HeldMemory(limits.memory_mb, name)
        self._state = state = _PluginState(
            lambda values: PluginExports(values, defaults, clock, held, services, self._setup),
            is_capped=is_guest and limits.memory_mb is not None,
            compiled=_compiled if is_guest else None,
        )
        self._sandbox: dict[bytes, Any] = dict(state.boot[b"sandbox"]().items())
        self._stride = self._sandbox[b"stride"]
        self._tick = self._sandbox[b"tick"]
        self._is_armed = False
        self._sandbox[b"collect"]()
        self._look()
        self._base = self._used
        if limits.memory_mb is not None:
            state.begin_cap(int(_CAP * limits.memory_mb * MEGABYTE))
        self.seconds = 0.0
        self.is_broken = False
        self._alarm = self._make_alarm() if is_guest and limits.seconds is not None else None

    def load(self, source: bytes, functions: list[str]) -> list[str]:
        """Runs the plugin's file; returns the names of its functions, none for a script."""
        names = "\n".join(functions).encode()
        if self._setup.is_code:
            return [self._limited(self._sandbox[b"load_code"], names).decode()]
        chunk = f"={self._name}".encode()
        modules, script = self._setup.modules, self._setup.script
        values = script.values() if script else None
        found = self._limited(self._sandbox[b"load"], source, chunk, names, modules, values)
        return found.decode().split("\n") if found else []

    def offers(self) -> bytes | None:
        """Returns what the plugin's file says of its tools, as ``luaopenai.host.wire`` text."""
        offers: bytes | None = self._sandbox[b"offers"]()
        return offers

    def call(self, function: str, arguments: bytes | None) -> bytes | None:
        """Calls a function of the plugin; arguments and results are texts of
        ``luaopenai.host.wire``.
        """
        result: bytes | None = self._limited(self._sandbox[b"call"], function.encode(), arguments)
        return result

    def peak(self) -> float:
        """Returns the most memory that the last call used, in megabytes above an empty plugin's."""
        return max(0.0, self._peak - self._base) / MEGABYTE

    def is_full(self) -> bool:
        """Returns whether the plugin keeps more memory than a call may use, garbage aside."""
        limit = self._limits.memory_mb
        if limit is None or self._used - self._base <= limit * MEGABYTE:
            return False
        self._sandbox[b"collect"]()
        self._look()
        return self._used - self._base > limit * MEGABYTE

    def _look(self) -> bytes | None:
        """Notes the bytes of memory in use, and the most since the last call began.

        Returns which limit stopped that call.
        """
        kind: bytes | None
        kind, used, peak = self._sandbox[b"state"]()
        self._used: float = used + self._held.size
        self._peak: float = max(self._used, peak)
        return kind

    def _make_alarm(self) -> Alarm | None:
        """Returns an alarm that ends a late call from another thread, or None if none can."""
        from luaopenai.bridge.hooks import CountHook

        try:
            hook = CountHook(LIBRARY, self._sandbox[b"address"])
        except (OSError, AttributeError):
            return None
        return Alarm(self._clock.is_late, hook.fire)

    def disarm(self) -> None:
        """Lifts the limits of a call that is over; an interrupt may have kept it from that."""
        if not self._is_armed:
            return
        self._state.lift_cap()
        if self._alarm is not None:
            watchdog.forget(self._alarm)
        self._state.boot[b"sethook"]()
        self._is_armed = False

    def _limited(self, function: Any, *args: Any) -> Any:
        limits = self._limits
        state = self._state
        self.disarm()
        state.take_raised()
        begun = self._clock.begin()
        self._sandbox[b"arm"](
            math.inf if limits.seconds is None else begun + limits.seconds,
            math.inf if limits.memory_mb is None else self._base + limits.memory_mb * MEGABYTE,
            math.inf if limits.output_kb is None else limits.output_kb * 1024,
        )
        outcome: tuple[Any, ...] | None = None
        was_left = False
        try:
            self._arm(args)
            outcome = state.run(function, *args)
        except LuaStateError:
            was_left = True
        finally:
            # Armed, it would end the next call by this one's deadline, before that has begun.
            self.disarm()
        if was_left:
            state.find_interrupt()
        spent = self._clock.spent()
        self.seconds += spent
        raised = state.take_raised()
        if not (outcome and outcome[0]):
            state.boot[b"forget_tasks"]()
        state.exports.leave()
        kind = self._look()
        if raised is not None:
            raise raised
        if kind is not None:
            raise self._exceeded(kind.decode(), spent)
        if outcome is None:
            self.is_broken = True
            raise plugin_error(self._name, "was interrupted")
        if not outcome[0]:
            raise self._failure(*outcome[1:])
        return outcome[1] if len(outcome) > 1 else None

    def _arm(self, crossing: Iterable[object]) -> None:
        state = self._state
        self._is_armed = True
        state.boot[b"sethook"](self._tick, b"", self._stride)
        if self._alarm is not None:
            watchdog.watch(self._alarm)
        state.set_cap(crossing)

    def _failure(self, *failure: Any) -> LuaError | LimitExceeded:
        """Returns the exception for a failure, in the form that Lua's ``errors.report`` returns."""
        *_, is_memory = failure
        if is_memory and self._limits.memory_mb is not None:
            return self._exceeded("memory_mb", 0)
        error = self._state.error(*failure)
        error.plugin = self._name
        return error

    def _exceeded(self, kind: str, spent: float) -> LimitExceeded:
        limit = getattr(self._limits, kind)
        used = {"seconds": spent, "memory_mb": max(self.peak(), limit)}.get(kind, limit)
        return LimitExceeded(kind, limit, used, self._name)


class _PluginState(LuaState):
    """A plugin's Lua state, which hands Python plain values only.

    Args:
        make_exports: see ``LuaState``.
        is_capped: whether Lua can be held to an amount of memory.
        compiled: see ``LuaState``.
    """

    def __init__(
        self,
        make_exports: Callable[[Values], Exports],
        *,
        is_capped: bool,
        compiled: dict[bytes, bytes] | None,
    ) -> None:
        self._is_capped = is_capped
        self._cap = 0
        # Bundled modules only: those that LUA_PATH names are the host's, and made for no walls.
        super().__init__(make_exports, _refuse_call, "", "", 0 if is_capped else None, compiled)

    def begin_cap(self, spare: int) -> None:
        """Sets how many bytes Lua may take beyond those in use; ``set_cap`` enforces it."""
        if self._is_capped:
            self._cap = self.lua.get_memory_used(total=True) + spare

    def set_cap(self, crossing: Iterable[object]) -> None:
        """Limits Lua's memory, with room for values that lupa is about to hand over.

        An allocation of lupa's own that fails ends the process.
        """
        if self._is_capped:
            size = sum(len(value) for value in crossing if isinstance(value, bytes))
            least = self.lua.get_memory_used(total=True) + size + _SPARE
            self.lua.set_max_memory(max(self._cap, least), total=True)

    def lift_cap(self) -> None:
        """Lets Lua take any amount of memory."""
        if self._is_capped:
            self.lua.set_max_memory(0)

    def guard(
        self, function: Callable[..., Any], describe: Callable[[Exception], str] = str
    ) -> Callable[..., tuple[object, ...]]:
        """Returns a guarded function that takes plain values, and None in the place of others.

        Lupa would look a table's methods up in the plugin's table.
        """

        def plain(*args: object) -> Any:
            return function(*(arg if type(arg) in _PLAIN else None for arg in args))

        guarded = super().guard(plain, describe)
        if not self._is_capped:
            return guarded

        def uncapped(*args: object) -> tuple[object, ...]:
            self.lift_cap()
            results = guarded(*args)
            self.set_cap(results)
            return results

        return uncapped

    def note(self, error: Exception, text: str) -> bytes:
        """Encodes an exception's text for Lua; the broker keeps those that can be a cause."""
        return text.encode("utf-8", "replace")

    def error_value(self, value: Any) -> Any:
        """Decodes the value of a plugin's error, which comes as a result does."""
        if not value or len(value) > wire.LARGEST_ERROR_VALUE:
            return None
        return wire.decode(value)[0]


def _refuse_call(function: Any, args: tuple[object, ...]) -> Any:
    raise TypeError("no function of a plugin's reaches its host")
