"""Hosts plugins: ``PluginHost`` and ``Plugin``."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakMethod, WeakSet

from luaopenai.bridge.chain import Link, is_inside
from luaopenai.bridge.errors import LuaError
from luaopenai.client.arguments import check_client
from luaopenai.client.cancel import check_cancelled
from luaopenai.host import wire
from luaopenai.host.broker import Broker, Totals
from luaopenai.host.faults import Stop, plugin_error
from luaopenai.host.files import Folder, PluginFile
from luaopenai.host.limits import LimitExceeded, Limits, Usage
from luaopenai.host.setup import Script, find_setup

if TYPE_CHECKING:
    from luaopenai.client.openai import OpenAI
    from luaopenai.host.process import ProcessIsolation
    from luaopenai.host.thread import ThreadIsolation

    Isolated = ProcessIsolation | ThreadIsolation
    OnError = Callable[[Path, LuaError | LimitExceeded], object]

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
        self._folders: list[Folder] = []

    def __repr__(self) -> str:
        functions = ", ".join(sorted(self._functions))
        plugins = ", ".join(plugin.name for plugin in self.plugins)
        return f"<PluginHost {self._isolation}, functions: [{functions}], plugins: [{plugins}]>"

    @property
    def plugins(self) -> list[Plugin]:
        """The open plugins, in the order in which they were loaded."""
        return list(self._plugins)

    def __enter__(self) -> PluginHost:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def load(self, path: str | Path) -> Plugin:
        """Loads a Lua file, which returns a table of functions or defines them.

        Raises:
            LuaError: it cannot be read, is not Lua, fails, or has no functions.
            LimitExceeded: it used up a limit.
        """
        return self._load_file(PluginFile(Path(path)))

    def load_string(self, code: str | bytes, name: str = "plugin") -> Plugin:
        """Loads Lua code; see ``load``."""
        return self._load(code.encode() if isinstance(code, str) else code, name)

    def load_folder(
        self, path: str | Path, *, watch: bool = False, on_error: OnError | None = None
    ) -> list[Plugin]:
        """Loads each ``*.lua`` file of a folder, in the order of their names; returns the plugins.

        Args:
            path: the folder; those in it are not searched.
            watch: whether a file that has changed is loaded again when its plugin is next called,
                and ``refresh`` looks for new files and for such as are gone.
            on_error: is given the path and the ``LuaError`` or ``LimitExceeded`` of a file that
                cannot be loaded, now or later; the others are loaded all the same. When None, the
                logger ``luaopenai.plugins`` tells of it as an error.

        Raises:
            OSError: the folder cannot be read.
        """
        folder = Folder(Path(path), on_error or _log_error, is_watched=watch)
        loaded = self._load_new(folder, folder.find())
        if watch:
            self._folders.append(folder)
        return loaded

    def refresh(self) -> list[Plugin]:
        """Looks at the watched folders now; returns the plugins of files that are new there.

        Changed files are loaded again, and the plugins of files that are gone are closed.

        Raises:
            OSError: a folder cannot be read.
        """
        loaded = []
        for folder in self._folders:
            found = folder.find()
            for plugin in [one for one in self._plugins if one.is_of(folder)]:
                if plugin.path in found:
                    plugin.reload_if_changed()
                else:
                    plugin.close()
            loaded += self._load_new(folder, found)
        return loaded

    def run_script(
        self,
        code: bytes,
        path: str,
        args: Iterable[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Runs a script once, inside the walls, for its effects alone.

        Args:
            code: the script.
            path: its ``arg[0]``; what comes after the last slash is its name.
            args: its arguments, as ``arg`` and ``...``.
            environment: the variables that ``os.getenv`` gives it; it sees no others.
        """
        broker = self._broker(Path(path).name, None)
        script = Script(path, tuple(args), dict(environment or {}))
        try:
            isolated = self._isolate(code, broker, script=script)
            self._conclude(broker, isolated)
            isolated.close()
        finally:
            broker.end()

    def close(self) -> None:
        """Closes all plugins, and watches no folder any more."""
        self._folders.clear()
        for plugin in self.plugins:
            plugin.close()

    def _load_new(self, folder: Folder, paths: list[Path]) -> list[Plugin]:
        """Loads the files of a folder that have no plugin, unless they were tried as they are."""
        known = {plugin.path for plugin in self._plugins if plugin.is_of(folder)}
        loaded = []
        for path in paths:
            file = PluginFile(path, folder)
            if path in known or not folder.is_worth_trying(file):
                continue
            try:
                loaded.append(self._load_file(file))
            except (LuaError, LimitExceeded) as error:
                folder.on_error(path, error)
            finally:
                folder.note_tried(file)
        return loaded

    def _load_file(self, file: PluginFile) -> Plugin:
        folder = Path(os.path.abspath(file.path)).parent if self._modules else None
        name = os.fsencode(file.path.stem).decode("utf-8", "replace")
        return self._load(file.read(), name, folder, file)

    def _load(
        self,
        source: bytes,
        name: str,
        folder: Path | None = None,
        file: PluginFile | None = None,
    ) -> Plugin:
        broker = self._broker(name, folder)

        def start(source: bytes) -> Isolated:
            try:
                isolated = self._isolate(source, broker, modules=folder is not None)
                self._conclude(broker, isolated)
            except LuaError as error:
                raise error from broker.causes.find(error.message)
            finally:
                broker.end()
            return isolated

        plugin = Plugin(name, broker, start, source, file, WeakMethod(self._forget))
        self._plugins.append(plugin)
        return plugin

    def _forget(self, plugin: Plugin) -> None:
        with suppress(ValueError):
            self._plugins.remove(plugin)

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

    def _conclude(self, broker: Broker, isolated: Isolated) -> None:
        try:
            broker.conclude()
        except Stop as stop:
            isolated.close()
            raise stop.exceeded from None

    def _isolate(
        self,
        source: bytes,
        broker: Broker,
        *,
        modules: bool = False,
        script: Script | None = None,
    ) -> Isolated:
        if source.startswith(b"\x1b"):
            raise plugin_error(broker.name, "is bytecode; expected Lua text")
        setup = find_setup(self._client, modules=modules, script=script)
        if self._isolation == "thread":
            from luaopenai.host.thread import ThreadIsolation

            return ThreadIsolation(broker, source, setup)
        from luaopenai.host.process import ProcessIsolation

        return ProcessIsolation(broker, source, setup)


def _log_error(_path: Path, error: LuaError | LimitExceeded) -> None:
    _log.error("%s", error)


class Plugin:
    """A loaded plugin; ``PluginHost`` makes them.

    Attributes:
        name: its file's name without ``.lua``, or what ``load_string`` was told.
        exports: the names of its functions.
    """

    def __init__(
        self,
        name: str,
        broker: Broker,
        start: Callable[[bytes], Isolated],
        source: bytes,
        file: PluginFile | None,
        forget: WeakMethod[Callable[[Plugin], None]],
    ) -> None:
        self.name = name
        self._broker = broker
        self._start = start
        self._file = file
        self._forget = forget
        self._isolated = start(source)
        self.exports = list(self._isolated.exports)
        self._lock = threading.Lock()
        self._is_closed = False
        _living.add(self)

    def __repr__(self) -> str:
        closed = ", closed" if self._is_closed else ""
        exports = ", ".join(self.exports)
        return f"<Plugin {self.name!r}, {self._isolated.kind}, exports: [{exports}]{closed}>"

    @property
    def closed(self) -> bool:
        """Whether it was closed; then it cannot be called."""
        return self._is_closed

    @property
    def path(self) -> Path | None:
        """The file that it was loaded from, as its host was told it; None for ``load_string``."""
        return self._file.path if self._file else None

    @property
    def usage(self) -> Usage:
        """The account of its use so far."""
        return self._broker.usage

    def call(self, function: str, *args: Any) -> Any:
        """Calls one of its functions. Calls from several threads wait for one another.

        Args:
            function: its name, one of ``exports``.
            args: plain data: None, bool, int, float, str, bytes, list, dict.

        Returns:
            Its result; several come as a tuple.

        Raises:
            TypeError: an argument is not plain data.
            LuaError: it failed, or there is no such function; ``__cause__`` is the exception of the
                host's function that it let through, if that is why.
            LimitExceeded: a limit stopped it.
        """
        arguments = wire.encode(args, "argument") if args else None
        with self._entered():
            self._check_file()
            values = self._call(function, arguments)
        if not values:
            return None
        return values[0] if len(values) == 1 else tuple(values)

    async def call_async(self, function: str, *args: Any) -> Any:
        """Calls a function as ``call`` does, while the event loop goes on.

        Cancelling the awaiting task closes the connection of the plugin's request, and ends the
        call there; one in a process ends wherever it is.
        """
        from luaopenai.client.aio import in_thread

        return await in_thread(partial(self.call, function, *args))

    def reload(self) -> None:
        """Reads its file again, and runs that in the place of what ran; ``exports`` may change.

        What it kept in globals and locals is gone. It waits for a call that is under way.

        Raises:
            ValueError: it was not loaded from a file.
            LuaError: the file cannot be read, is not Lua, fails, or has no functions: the plugin
                stays as it was.
            LimitExceeded: the file used up a limit; likewise.
        """
        if self._file is None:
            raise ValueError(f"plugin {self.name} was not loaded from a file")
        with self._entered():
            self._reload(self._file)

    def reload_if_changed(self) -> None:
        """Reloads it where it is of a watched folder and its file has changed.

        A file that cannot be loaded is told to the folder's ``on_error``, once.
        """
        with self._entered():
            self._check_file()

    def is_of(self, folder: Folder) -> bool:
        """Returns whether it was loaded with a folder."""
        return self._file is not None and self._file.folder is folder

    def close(self) -> None:
        """Closes it; a call that is under way in a process fails, one in a thread goes on."""
        self._is_closed = True
        host_forgets = self._forget()
        if host_forgets is not None:
            host_forgets(self)
        self._isolated.interrupt()
        if not is_inside(self):
            with self._lock:
                self._isolated.close()

    @contextmanager
    def _entered(self) -> Iterator[None]:
        """Keeps other calls out; raises ``LuaError`` inside of a call, and when it is closed."""
        if is_inside(self):
            raise plugin_error(self.name, "is in this call already")
        with self._lock, Link(self):
            check_cancelled()
            if self._is_closed:
                raise plugin_error(self.name, "is closed")
            try:
                yield
            except (LuaError, LimitExceeded):
                if self._is_closed:
                    raise plugin_error(self.name, "is closed") from None
                raise
            finally:
                if self._is_closed:
                    self._isolated.close()

    def _check_file(self) -> None:
        """Reloads a watched file that has changed."""
        file = self._file
        if file is None or file.folder is None or not file.folder.is_watched:
            return
        if not file.has_changed():
            return
        try:
            self._reload(file)
        except (LuaError, LimitExceeded) as error:
            if self._is_closed:
                raise
            file.folder.on_error(file.path, error)

    def _reload(self, file: PluginFile) -> None:
        self._broker.begin()
        isolated = self._start(file.read())
        self._isolated.close()
        self._isolated = isolated
        self.exports = list(isolated.exports)

    def _call(self, function: str, arguments: bytes | None) -> list[Any]:
        if function not in self.exports:
            there = ", ".join(self.exports)
            raise plugin_error(self.name, f"has no function {function!r}; it has {there}")
        broker = self._broker
        broker.begin()
        try:
            result = self._isolated.call(function, arguments)
            broker.conclude()
            return broker.values(result)
        except LuaError as error:
            raise error from broker.causes.find(error.message)
        except Stop as stop:
            raise stop.exceeded from None
        except ValueError as error:
            raise plugin_error(self.name, f"sends nonsense: {error}") from None
        finally:
            broker.end()

    def leave_to_parent(self) -> None:
        """Forgets, in a process that was forked off, what its parent goes on with.

        A thread of the parent's that is in a call is not here to end it.
        """
        was_called = self._lock.locked()
        self._lock = threading.Lock()
        self._broker.leave_to_parent()
        self._isolated.leave_to_parent(was_called=was_called)


_living: WeakSet[Plugin] = WeakSet()


def _leave_to_parent() -> None:
    for plugin in list(_living):
        plugin.leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


_has_warned = False


def _warn_of_missing_walls() -> None:
    """Warns, once, of what a plugin's process can still do on this system."""
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
