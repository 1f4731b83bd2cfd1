"""Hosts plugins: ``PluginHost`` and ``Plugin``."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from luaopenai.bridge.chain import Link, is_inside
from luaopenai.bridge.errors import LuaError
from luaopenai.client.arguments import check_client
from luaopenai.client.cancel import check_cancelled
from luaopenai.host import wire
from luaopenai.host.broker import Broker, Stop, Totals, plugin_folder
from luaopenai.host.limits import LimitExceeded, Limits, Usage

if TYPE_CHECKING:
    from luaopenai.client.openai import OpenAI
    from luaopenai.host.process import ProcessIsolation

_log = logging.getLogger("luaopenai.plugins")


class PluginHost:
    """Lets a program's users extend it with Lua, and stays in charge.

    Args:
        client: what plugins' ``require("openai")`` speaks through; they never see its key. None:
            they cannot ask a model.
        functions: what plugins may call, as ``host.NAME(...)``.
        limits: what each call may use.
        models: the models that plugins may ask; None for any.
        isolation: ``"process"`` runs each plugin in a process of its own; ``"thread"`` runs it in
            this one, for authors who are trusted not to mean harm. Where the system lacks limits
            that a process needs, the first host warns of it with a ``RuntimeWarning``.
        modules: whether plugins may ``require`` Lua files below their own folder.
        output: is given what plugins print, as ``output(plugin_name, text)``; the logger
            ``luaopenai.plugins`` when None.
    """

    def __init__(
        self,
        client: OpenAI | None = None,
        functions: Mapping[str, Callable[..., Any]] | None = None,
        limits: Limits | None = None,
        models: Iterable[str] | None = None,
        isolation: Literal["process", "thread"] = "process",
        *,
        modules: bool = False,
        output: Callable[[str, str], object] | None = None,
    ) -> None:
        if client is not None:
            check_client(client)
        if isolation not in ("process", "thread"):
            raise ValueError(f"isolation: expected 'process' or 'thread', got {isolation!r}")
        for name, function in (functions or {}).items():
            if not str(name).isidentifier():
                raise ValueError(f"functions: {name!r} is no name")
            if not callable(function):
                raise TypeError(f"functions: {name}: expected a function, got {function!r}")
        if isinstance(models, str):
            raise TypeError("models: expected a collection of names, got a string")
        if not isinstance(limits, Limits | None):
            raise TypeError(f"limits: expected Limits, got {limits!r}")
        if output is not None and not callable(output):
            raise TypeError(f"output: expected a function, got {output!r}")
        if isolation == "process":
            _warn_of_missing_walls()
        self.limits = limits or Limits()
        self._client = client
        self._functions = dict(functions or {})
        self._models = None if models is None else frozenset(models)
        self._isolation = isolation
        self._modules = modules
        self._output = output
        self._totals = Totals()
        self._plugins: list[Plugin] = []

    def __enter__(self) -> PluginHost:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def load(self, path: str | Path) -> Plugin:
        """Load a Lua file; it returns a table of functions, or defines them.

        Raises:
            LuaError: it cannot be read, is not Lua, fails, or has no functions.
            LimitExceeded: it used up a limit.
        """
        path = Path(path)
        try:
            source = path.read_bytes()
        except OSError as error:
            raise _failure(path.stem, f"cannot be read: {path}: {error.strerror}") from None
        return self._load(source, path.stem, plugin_folder(path) if self._modules else None)

    def load_string(self, code: str | bytes, name: str = "plugin") -> Plugin:
        """Load Lua code; see ``load``."""
        return self._load(code.encode() if isinstance(code, str) else code, name, None)

    def run_script(self, code: bytes, name: str) -> None:
        """Run code once, inside the walls, for its effects alone."""
        broker = self._broker(name, None)
        try:
            isolated = self._isolate(code, broker, modules=False, script=True)
            self._conclude(broker, isolated)
            isolated.close()
        finally:
            broker.end()

    def close(self) -> None:
        """End all plugins."""
        while self._plugins:
            self._plugins.pop().close()

    def _load(self, source: bytes, name: str, folder: Path | None) -> Plugin:
        broker = self._broker(name, folder)
        try:
            isolated = self._isolate(source, broker, modules=folder is not None)
            self._conclude(broker, isolated)
        finally:
            broker.end()
        plugin = Plugin(name, broker, isolated)
        self._plugins.append(plugin)
        return plugin

    def _broker(self, name: str, folder: Path | None) -> Broker:
        def output(text: str) -> None:
            if self._output is None:
                _log.info("%s: %s", name, text.rstrip("\n"))
            else:
                self._output(name, text)

        return Broker(
            name,
            self._client,
            self._functions,
            self._models,
            self.limits,
            self._totals,
            output,
            folder,
        )

    def _conclude(self, broker: Broker, isolated: ProcessIsolation | ThreadIsolation) -> None:
        try:
            broker.conclude()
        except Stop as stop:
            isolated.close()
            raise stop.exceeded from None

    def _isolate(
        self, source: bytes, broker: Broker, *, modules: bool, script: bool = False
    ) -> ProcessIsolation | ThreadIsolation:
        if source.startswith(b"\x1b"):
            raise _failure(broker.name, "is bytecode; expected Lua text")
        if self._isolation == "thread":
            return ThreadIsolation(broker, source, modules=modules, script=script)
        from luaopenai.host.process import ProcessIsolation

        return ProcessIsolation(broker, source, modules=modules, script=script)


class Plugin:
    """A loaded plugin.

    Attributes:
        name: its file's name without ``.lua``, or what ``load_string`` was told.
        exports: the names of its functions.
    """

    def __init__(
        self, name: str, broker: Broker, isolated: ProcessIsolation | ThreadIsolation
    ) -> None:
        self.name = name
        self.exports = list(isolated.exports)
        self._broker = broker
        self._isolated = isolated
        self._lock = threading.Lock()
        self._is_closed = False

    @property
    def usage(self) -> Usage:
        """What it has used so far."""
        return self._broker.usage

    def call(self, function: str, *args: Any) -> Any:
        """Call one of its functions. Calls from several threads wait for one another.

        Args:
            function: its name, one of ``exports``.
            args: plain data: None, bool, int, float, str, bytes, list, dict.

        Returns:
            Its result; several come as a tuple.

        Raises:
            TypeError: an argument is not plain data.
            LuaError: it failed, or there is no such function.
            LimitExceeded: a limit stopped it.
        """
        if function not in self.exports:
            there = ", ".join(self.exports)
            raise _failure(self.name, f"has no function {function!r}; it has {there}")
        arguments = wire.encode(args, "argument") if args else None
        if is_inside(self):
            raise _failure(self.name, "is in this call already")
        with self._lock, Link(self):
            try:
                values = self._call(function, arguments)
            except (LuaError, LimitExceeded):
                if self._is_closed:
                    raise _failure(self.name, "is closed") from None
                raise
            finally:
                self._broker.end()
                if self._is_closed:
                    self._isolated.close()
        if not values:
            return None
        return values[0] if len(values) == 1 else tuple(values)

    async def call_async(self, function: str, *args: Any) -> Any:
        """``call``, awaited: the event loop goes on meanwhile.

        Cancelling the awaiting task closes the connection of the plugin's request, and ends the
        call there; one in a process ends wherever it is.
        """
        from luaopenai.client.aio import in_thread

        return await in_thread(partial(self.call, function, *args))

    def close(self) -> None:
        """End it; a call that is under way in a process fails, one in a thread goes on."""
        self._is_closed = True
        self._isolated.interrupt()
        if not is_inside(self):
            with self._lock:
                self._isolated.close()

    def _call(self, function: str, arguments: bytes | None) -> list[Any]:
        check_cancelled()
        if self._is_closed:
            raise _failure(self.name, "is closed")
        self._broker.begin()
        try:
            result = self._isolated.call(function, arguments)
            self._broker.conclude()
            return self._broker.values(result)
        except Stop as stop:
            raise stop.exceeded from None
        except ValueError as error:
            raise _failure(self.name, f"sends nonsense: {error}") from None


class ThreadIsolation:
    """Runs a plugin in the caller's thread, behind the same walls of the language."""

    def __init__(
        self, broker: Broker, source: bytes, *, modules: bool = False, script: bool = False
    ) -> None:
        self._broker = broker
        self._source = source
        self._modules = modules
        self._script = script
        self._engine: Any = None
        self.exports = self._start()

    def call(self, function: str, arguments: bytes | None) -> bytes | None:
        """Call a function of the plugin."""
        if self._engine is None:
            self._start()
        try:
            result: bytes | None = self._engine.call(function, arguments)
            return result
        except Stop as stop:
            raise stop.exceeded from None
        finally:
            self._book()

    def interrupt(self) -> None:
        """Nothing: only its limits end a call in a thread."""

    def close(self) -> None:
        """Forget the plugin's Lua."""
        self._engine = None

    def _start(self) -> list[str]:
        from luaopenai.host.engine import Engine

        broker = self._broker
        self._engine = Engine(broker, broker.limits, broker.name, is_guest=True)
        try:
            names: list[str] = self._engine.load(
                self._source,
                self._broker.function_names,
                modules=self._modules,
                script=self._script,
            )
            return names
        except Stop as stop:
            raise stop.exceeded from None
        finally:
            self._book()

    def _book(self) -> None:
        """Note what was used; a state that keeps too much memory is given up for a new one."""
        engine, usage = self._engine, self._broker.usage
        usage.seconds += engine.seconds
        engine.seconds = 0.0
        usage.peak_memory_mb = max(usage.peak_memory_mb, engine.peak())
        if engine.is_broken or engine.is_full():
            self._engine = None


_has_warned = False


def _warn_of_missing_walls() -> None:
    """Tell once what a plugin's process is not kept from on this system."""
    global _has_warned
    if _has_warned:
        return
    from luaopenai.host.lockup import missing_walls

    _has_warned = True
    missing = missing_walls()
    if missing:
        warnings.warn(
            "this system cannot keep a plugin's process from "
            + ", or from ".join(missing)
            + "; see docs/plugins.md",
            RuntimeWarning,
            stacklevel=3,
        )


def _failure(plugin: str, what: str) -> LuaError:
    error = LuaError(f"plugin {plugin} {what}")
    error.plugin = plugin
    return error
