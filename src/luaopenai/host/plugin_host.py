"""Hosts plugins: ``PluginHost``."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakMethod, WeakSet

from luaopenai.bridge.errors import LuaError
from luaopenai.client.arguments import check_client
from luaopenai.client.tools import check_name
from luaopenai.host.broker import Broker, Totals
from luaopenai.host.faults import LimitExceeded, Stop, plugin_error
from luaopenai.host.files import Folder, PluginFile
from luaopenai.host.limits import Limits
from luaopenai.host.plugin import Plugin
from luaopenai.host.setup import Script, find_setup

if TYPE_CHECKING:
    from luaopenai.client.openai import OpenAI
    from luaopenai.client.tool import Tool
    from luaopenai.host.code import CodeTool
    from luaopenai.host.plugin import Isolated

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
        self._code_tools: WeakSet[CodeTool] = WeakSet()
        """Those that somebody may still call."""

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

    def tools(self) -> list[Tool]:
        """Returns the tools that all plugins offer, for a session's ``run``.

        Where several have one name, each gets its plugin's name and ``_`` in front.
        """
        from luaopenai.host.tools import join_tools

        return join_tools(self.plugins)

    def code_tool(
        self,
        name: str = "run_lua",
        *,
        keep: bool = False,
        description: str | None = None,
        answer_kb: float = 16,
        strict: bool = False,
    ) -> Tool:
        """Returns a tool with which a model runs Lua code of its own, as a plugin's is run.

        Its one argument, ``code``, is an expression or a chunk; it finds the host's functions, and
        is held to the limits of a call. The answer has its ``result``, its ``output``, and the
        ``error`` with the line, which a limit and a worker that dies come to as well.

        Args:
            name: the tool's.
            keep: whether all calls run in one Lua state, which keeps their globals, one after the
                other. Else each call has a state of its own, and several run at once; in processes
                one or two more wait in reserve.
            description: takes the place of what tells the model of the tool, the limits and the
                host's functions.
            answer_kb: how many thousand characters a result may come to, as JSON, and the output
                that is shown.
            strict: as in ``Tool``.

        Raises:
            ValueError: the name is no tool's.
        """
        from luaopenai.client.tool import Tool
        from luaopenai.host.code import CodeTool
        from luaopenai.host.describing import describe_code

        about, argument = describe_code(
            self._functions, self.limits, keep=keep, asks=self._client is not None
        )
        code = {"type": "string", "description": argument}
        parameters = {
            "type": "object",
            "properties": {"code": code},
            "required": ["code"],
            "additionalProperties": False,
        }
        check_name(name)
        is_number = isinstance(answer_kb, int | float) and not isinstance(answer_kb, bool)
        if not (is_number and answer_kb > 0):
            raise ValueError(f"answer_kb: expected a number above 0, got {answer_kb!r}")
        made = CodeTool(name, self._code_plugin, keep=keep, answer_size=int(answer_kb * 1000))
        self._code_tools.add(made)
        return Tool.from_handler(
            made.run,
            name=name,
            description=about if description is None else description,
            parameters=parameters,
            strict=strict,
        )

    def close(self) -> None:
        """Closes all plugins and tools, and watches no folder any more."""
        self._folders.clear()
        for plugin in self.plugins:
            plugin.close()
        for tool in list(self._code_tools):
            tool.close()

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

    def _code_plugin(
        self,
        name: str,
        exports: list[str],
        output: Callable[[str], object],
        forget: WeakMethod[Callable[[Plugin], None]],
    ) -> tuple[Plugin, Isolated]:
        """Returns a plugin that runs code, which begins with its first call, and its isolation."""
        broker = self._broker(name, None, output)
        isolated = self._isolate(b"", broker, is_code=True, exports=exports)
        return Plugin(name, broker, lambda _: isolated, b"", None, forget), isolated

    def _broker(
        self, name: str, folder: Path | None, given: Callable[[str], object] | None = None
    ) -> Broker:
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
            given or output,
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
        is_code: bool = False,
        exports: list[str] | None = None,
    ) -> Isolated:
        if source.startswith(b"\x1b"):
            raise plugin_error(broker.name, "is bytecode; expected Lua text")
        setup = find_setup(self._client, modules=modules, script=script, is_code=is_code)
        if self._isolation == "thread":
            from luaopenai.host.thread import ThreadIsolation

            return ThreadIsolation(broker, source, setup, exports)
        from luaopenai.host.process import ProcessIsolation

        return ProcessIsolation(broker, source, setup, exports)


def _log_error(_path: Path, error: LuaError | LimitExceeded) -> None:
    _log.error("%s", error)


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
