"""A loaded plugin: its calls, and what becomes of its file's changes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod, WeakSet

from luaopenai.bridge.chain import Link, is_inside
from luaopenai.bridge.errors import LuaError
from luaopenai.client.cancel import check_cancelled
from luaopenai.host import wire
from luaopenai.host.broker import Broker
from luaopenai.host.faults import LimitExceeded, Stop, plugin_error
from luaopenai.host.files import Folder, PluginFile
from luaopenai.host.limits import Usage
from luaopenai.host.tools import TOOL

if TYPE_CHECKING:
    from luaopenai.client.tool import Tool
    from luaopenai.host.process import ProcessIsolation
    from luaopenai.host.thread import ThreadIsolation

    Isolated = ProcessIsolation | ThreadIsolation


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
        self._tools: tuple[object, list[Tool]] | None = None
        """The declarations that were offered last, and the tools that were made of them."""
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
    def tools(self) -> list[Tool]:
        """The tools that it offers to models; others after a reload, which may change them.

        A call of one runs in the plugin, under its limits. The plugin checks the arguments, and
        ``ValueError`` is raised where they do not fit; a limit that stops the call raises
        ``LimitExceeded``, any other failure ``LuaError``: a run tells the model. Calls of one
        plugin wait for one another.
        """
        offers = self._isolated.offers
        if self._tools is None or self._tools[0] != offers:
            from luaopenai.host.tools import make_tools

            self._tools = offers, make_tools(offers, self._call_tool, self._check_answer)
        return list(self._tools[1])

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
            if function not in self.exports:
                there = ", ".join(self.exports) or "none"
                raise plugin_error(self.name, f"has no function {function!r}; it has {there}")
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

    def _call_tool(self, name: str, arguments: str) -> list[Any]:
        """Calls one of its tools with arguments as JSON; returns the values that it returns."""
        argument = wire.encode((arguments,), "arguments")
        with self._entered():
            self._check_file()
            there = [offer["name"] for offer in self._isolated.offers]
            if name not in there:
                text = f"has no tool {name!r} any more; it has {', '.join(there) or 'none'}"
                raise plugin_error(self.name, text)
            return self._call(TOOL + name, argument)

    def _check_answer(self, size: int) -> None:
        """Raises ``LimitExceeded`` when so many bytes are too much for a tool's answer."""
        limit = self._broker.limits.answer_kb
        if limit is not None and size > limit * 1024:
            raise LimitExceeded("answer_kb", limit, size / 1024, self.name)

    def _call(self, function: str, arguments: bytes | None) -> list[Any]:
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
