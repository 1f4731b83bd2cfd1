"""A plugin in the thread of whoever calls it: for authors who are trusted not to mean harm."""

from __future__ import annotations

from typing import Any

from luaopenai.host.broker import Broker
from luaopenai.host.engine import Engine
from luaopenai.host.faults import Stop, plugin_error
from luaopenai.host.setup import Setup
from luaopenai.host.tools import read_offers


class ThreadIsolation:
    """Runs a plugin in the caller's thread, behind the same walls of the language.

    Args:
        broker: serves it.
        source: its file.
        setup: what else it finds.
        exports: the names of its functions, where these are known; then its Lua state begins with
            the first call.
    """

    kind = "thread"

    def __init__(
        self, broker: Broker, source: bytes, setup: Setup, exports: list[str] | None = None
    ) -> None:
        self._broker = broker
        self._source = source
        self._setup = setup
        self._engine: Engine | None = None
        self.offers: list[dict[str, Any]] = []
        """The declarations of the plugin's tools."""
        self.exports = self._start() if exports is None else exports

    @property
    def has_state(self) -> bool:
        """Whether the plugin's Lua state is there, with what it keeps from call to call."""
        return self._engine is not None

    def prepare(self) -> None:
        """Does nothing: what makes a state would take as long now as with the next call."""

    def call(self, function: str, arguments: bytes | None) -> bytes | None:
        """Calls a function of the plugin."""
        if self._engine is None:
            self._start()
        engine = self._engine
        assert engine is not None
        try:
            return engine.call(function, arguments)
        except Stop as stop:
            raise stop.exceeded from None
        finally:
            self._book(engine)

    def interrupt(self) -> None:
        """Does nothing: only its limits end a call in a thread."""

    def close(self) -> None:
        """Forgets the plugin's Lua."""
        self._engine = None

    def leave_to_parent(self, *, was_called: bool) -> None:
        """Forgets the Lua state where a thread was in it that the fork has left behind."""
        if was_called:
            self._engine = None

    def _start(self) -> list[str]:
        broker = self._broker
        model, setup = broker.default_model, self._setup
        engine = Engine(broker.operations, broker.limits, broker.name, model, setup, is_guest=True)
        self._engine = engine
        try:
            exports = engine.load(self._source, broker.function_names)
            self.offers = read_offers(broker.values(engine.offers()))
            return exports
        except Stop as stop:
            raise stop.exceeded from None
        except ValueError as error:
            raise plugin_error(broker.name, f"offers what is no tool: {error}") from None
        finally:
            self._book(engine)

    def _book(self, engine: Engine) -> None:
        """Books what was used; drops a Lua state that keeps too much memory."""
        engine.disarm()
        usage = self._broker.usage
        usage.seconds += engine.seconds
        engine.seconds = 0.0
        usage.peak_memory_mb = max(usage.peak_memory_mb, engine.peak())
        if engine.is_broken or engine.is_full():
            self._engine = None
