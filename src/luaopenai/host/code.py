"""Code as a tool: Lua text that a model writes, behind the walls and limits of a plugin."""

from __future__ import annotations

import json
import math
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod, WeakSet

from luaopenai.bridge.chain import is_inside
from luaopenai.bridge.errors import LuaError
from luaopenai.host.faults import LimitExceeded, plugin_error

if TYPE_CHECKING:
    from luaopenai.host.plugin import Isolated, Plugin

    Made = tuple[Plugin, Isolated]
    Make = Callable[[str, list[str], Callable[[str], object], WeakMethod[Any]], Made]

RUN = "run"
"""The function that runs code, as ``sandbox.lua`` names it."""

_CODE = "code"
"""The name of the chunk that the model has written, as ``sandbox.lua`` names it."""

_POSITION = re.compile(rf"{_CODE}:(\d+): ")
BUSY_SECONDS = 1.0
"""Two calls that come closer together than that have two processes in reserve, which start side by
side: one takes longer to start than code mostly runs."""

_LONGEST_ERROR = 2000
"""Characters of an error's text that a model is shown."""

_LOST = "; what earlier calls had kept is gone"


class CodeTool:
    """Runs code that models write.

    Args:
        name: the tool's.
        make: makes a plugin for code, of its name, the names of its functions, what takes its
            output, and what is told that it is closed.
        keep: whether all calls run in one Lua state, which keeps their globals; else each has a
            state of its own.
        answer_size: how many characters a result may come to, and output that is shown.
    """

    def __init__(self, name: str, make: Make, *, keep: bool, answer_size: int) -> None:
        self._name = name
        self._make = make
        self._keep = keep
        self._answer_size = answer_size
        self._lock = threading.Lock()
        self._is_closed = False
        self._spares: deque[_State] = deque()
        """States in which no code has run: their processes start while the model thinks. With
        ``keep``, the one state."""
        self._last_call = -math.inf
        self._plugins: set[Plugin] = set()
        """All that are open: the spare state's too."""
        _living.add(self)
        self._prepare(1)

    def run(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Runs code; returns its result, its output, and its error."""
        try:
            state = self._take()
        except LuaError as error:
            return self._failed("", error)
        try:
            if is_inside(state.plugin):
                raise plugin_error(self._name, "is in this call already")
            with state.calling:
                return self._run(state, _text(arguments["code"]))
        except LuaError as error:
            return self._failed("", error)
        finally:
            if not self._keep:
                state.plugin.close()

    def close(self) -> None:
        """Closes it; calls that are under way end as a plugin's do."""
        with self._lock:
            self._is_closed = True
            self._spares.clear()
            plugins = list(self._plugins)
        for plugin in plugins:
            plugin.close()

    def leave_to_parent(self) -> None:
        """Forgets, in a process that was forked off, the threads that are in its parent."""
        self._lock = threading.Lock()
        for state in self._spares:
            state.calling = threading.Lock()

    def _take(self) -> _State:
        """Returns the state for a call, and has the next call's begin."""
        with self._lock:
            if self._is_closed:
                raise plugin_error(self._name, "is closed")
            state = self._spares.popleft() if self._spares else self._made()
            if self._keep:
                self._spares.append(state)
            now = time.monotonic()
            is_busy, self._last_call = now - self._last_call < BUSY_SECONDS, now
        self._prepare(2 if is_busy and not self._keep else 1)
        return state

    def _prepare(self, count: int) -> None:
        """Begins spare states up to a number; a call begins its own where that fails."""
        with self._lock, suppress(LuaError):
            while len(self._spares) < count and not self._is_closed:
                state = self._made()
                self._spares.append(state)
                state.isolated.prepare()

    def _made(self) -> _State:
        output = _Output(self._answer_size)
        forget = WeakMethod(self._forget)
        plugin, isolated = self._make(self._name, [RUN], output.write, forget)
        self._plugins.add(plugin)
        return _State(plugin, isolated, output)

    def _forget(self, plugin: Plugin) -> None:
        self._plugins.discard(plugin)

    def _run(self, state: _State, code: str) -> dict[str, Any]:
        had_state = state.isolated.has_state
        state.output.clear()
        try:
            result = self._read(state.plugin.call(RUN, code))
        except (LuaError, LimitExceeded) as error:
            is_lost = self._keep and had_state and not state.isolated.has_state
            return self._failed(state.output.text(), error, _LOST if is_lost else "")
        return {"result": result, "output": state.output.text(), "error": None}

    def _read(self, value: Any) -> Any:
        """Returns a call's value as an answer may have it; raises ``LuaError`` for too large ones.

        A worker of ours sends no value that is nested more deeply than Python can follow.
        """
        try:
            result = _plain(value)
            size = len(json.dumps(result, ensure_ascii=False))
        except RecursionError:
            raise LuaError("the result is nested too deeply") from None
        if size > self._answer_size:
            most = self._answer_size
            text = f"the result is too large: {size} characters as JSON, at most {most}"
            raise LuaError(f"{text}; return less of it")
        return result

    def _failed(
        self, output: str, error: LuaError | LimitExceeded, more: str = ""
    ) -> dict[str, Any]:
        return {"result": None, "output": output, "error": self._explain(error) + more}

    def _explain(self, error: LuaError | LimitExceeded) -> str:
        """Returns what a model is told of an error, with the line in its code."""
        if isinstance(error, LimitExceeded):
            return f"stopped: {error.kind}: the limit is {error.limit:g}"
        message = error.message
        own = f"plugin {self._name} "
        if message.startswith(own):
            # Code may say so itself, at any length.
            return _cut(f"the code {message.removeprefix(own)}", _LONGEST_ERROR)
        found = _POSITION.match(message)
        if found:
            message = f"line {found[1]}: {message[found.end() :]}"
        elif error.chunk == _CODE and error.line:
            message = f"line {error.line}: {message}"
        return _cut(message, _LONGEST_ERROR)


class _State:
    """A Lua state for code.

    Attributes:
        plugin: runs it.
        isolated: the plugin's.
        output: what the code of the call under way has printed.
        calling: held by the call under way.
    """

    def __init__(self, plugin: Plugin, isolated: Isolated, output: _Output) -> None:
        self.plugin = plugin
        self.isolated = isolated
        self.output = output
        self.calling = threading.Lock()


class _Output:
    """Keeps the beginning of what is printed.

    Args:
        most: how many characters it keeps.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.clear()

    def clear(self) -> None:
        """Forgets what was printed."""
        self._pieces: list[str] = []
        self._size = 0

    def write(self, text: str) -> None:
        """Takes a piece."""
        left = self._most - self._size
        if left > 0:
            self._pieces.append(text[:left])
        self._size += len(text)

    def text(self) -> str:
        """Returns what was kept, and how much was not."""
        kept = "".join(self._pieces)
        more = self._size - len(kept)
        return f"{kept}… {more} characters more" if more else kept


def _plain(value: Any) -> Any:
    """Returns a plugin's value as JSON can carry it."""
    if isinstance(value, str | bytes):
        return _text(value)
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {_key(key): _plain(item) for key, item in value.items()}
    return value


def _key(key: Any) -> str:
    return _text(key) if isinstance(key, str | bytes) else str(key)


def _text(text: str | bytes) -> str:
    data = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    return data.decode("utf-8", "replace")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


_living: WeakSet[CodeTool] = WeakSet()


def _leave_to_parent() -> None:
    for tool in list(_living):
        tool.leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
