"""A LuaJIT state that runs trusted scripts."""

from __future__ import annotations

import _thread
import os

from luaopenai.bridge import search
from luaopenai.bridge.chain import Link, is_inside
from luaopenai.bridge.errors import LuaError
from luaopenai.bridge.exports import Exports
from luaopenai.bridge.network import Defaults
from luaopenai.bridge.state import LuaState, LuaStateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from luaopenai.bridge.values import Values
    from luaopenai.client.doors import Connection
    from luaopenai.client.openai import OpenAI


class Runtime:
    """Runs trusted Lua code with ``require("openai")`` and the bundled modules.

    Args:
        client: gives ``openai.new()`` its connections, and its base URL, key and default model
            where the script names none.
        args: the script's arguments, as ``arg`` and ``...``.
        lua_path: ``package.path`` templates to search first.
        lua_cpath: ``package.cpath`` templates to search first.
        rocks: whether to search ``./``, LuaRocks' trees and the system's folders too.
        base_url: goes over the client's.
        api_key: goes over the client's.
        default_model: the model where a script names none; goes over the client's.

    Values cross as the table in ``luaopenai.bridge.values`` says. Failing code raises
    ``LuaError``; ``os.exit`` in a script raises ``SystemExit``. One thread at a time runs Lua, and
    the Python functions that Lua calls; those that a task calls run in threads of their own.
    """

    def __init__(
        self,
        client: OpenAI | None = None,
        args: Iterable[str] = (),
        lua_path: str | None = None,
        *,
        lua_cpath: str | None = None,
        rocks: bool = True,
        base_url: str | None = None,
        api_key: str | None = None,
        default_model: str | None = None,
    ) -> None:
        if client is not None:
            from luaopenai.client.arguments import check_client

            check_client(client)
        self._args = tuple(args)
        self._thread: int | None = None
        """The one that runs Lua."""
        self._lock = _thread.RLock()
        self._turn = _thread.allocate_lock()
        given: Connection | Defaults = Defaults()
        if client is not None:
            from luaopenai.client.doors import connection_of

            given = connection_of(client)
        defaults = Defaults(
            base_url or given.base_url,
            api_key or given.api_key,
            given.transport,
            default_model or given.default_model,
        )
        self._state = LuaState(
            lambda values: self._make_exports(values, defaults),
            self._call,
            search.package_path(lua_path, rocks=rocks),
            search.package_cpath(lua_cpath, rocks=rocks),
        )
        if self._args:
            self.set_arg({0: "", **dict(enumerate(self._args, 1))})

    def run_file(self, path: str, *args: object) -> Any:
        """Runs a Lua file and returns what it returns; ``args`` are its ``...`` and ``arg``.

        Raises ``LuaError`` when it cannot be read, is not Lua, or fails.
        """
        args = args or self._args
        self.set_arg({0: path, **dict(enumerate(args, 1))})
        return self._call(self._compile_file(path), args)

    def run_string(self, code: str | bytes, name: str = "code", *args: object) -> Any:
        """Runs Lua code and returns what it returns; ``name`` stands for it in messages."""
        return self._call(self.compile(code, name), args or self._args)

    def execute_file(self, path: str, *args: object) -> None:
        """Runs a Lua file for its effects; its results are not converted to Python."""
        self._in_lua(self._compile_file(path), args, _nothing)

    def execute_string(self, code: str | bytes, name: str = "code", *args: object) -> None:
        """Runs Lua code for its effects; its results are not converted to Python."""
        self._in_lua(self.compile(code, name), args, _nothing)

    def finish_tasks(self) -> None:
        """Runs all spawned tasks to their end; raises a failure that nobody has asked about."""
        self._in_lua(self._state.boot[b"drain"], (), _nothing)

    def compile(self, code: str | bytes, name: str = "code") -> Any:
        """Returns a chunk for ``call``; raises ``LuaError`` for a syntax error."""
        source = code.encode() if isinstance(code, str) else code
        return self._in_lua(
            self._state.boot[b"loadstring"], (source, f"={name}"), self._state.loaded
        )

    def require(self, name: str) -> Any:
        """Returns what Lua's ``require(name)`` returns."""
        return self.call(self._state.boot[b"require"], name)

    def call(self, function: Any, *args: object) -> Any:
        """Calls a Lua function and returns its result; several come as a tuple.

        Args:
            function: one that a script returned.
            args: cross by the table in ``luaopenai.bridge.values``.
        """
        return self._call(function, args)

    async def call_async(self, function: Any, *args: object) -> Any:
        """Calls a Lua function as ``call`` does, while the event loop goes on; calls follow one
        another.

        Cancelling the awaiting task closes the connections that the Lua code waits for, and ends
        it there: no ``pcall`` of its own keeps it going.
        """
        from luaopenai.client.aio import in_thread
        from luaopenai.client.cancel import check_cancelled

        def run() -> Any:
            self._check_thread()
            with self._turn:
                check_cancelled()
                return self.call(function, *args)

        return await in_thread(run)

    def set_arg(self, arg: dict[int, object]) -> None:
        """Sets the global ``arg``."""
        self._in_lua(self._state.boot[b"set_arg"], (arg,), _nothing)

    def _make_exports(self, values: Values, defaults: Defaults) -> Exports:
        """Returns the functions that our Lua files call."""
        return Exports(values, defaults)

    def _call(self, function: Any, args: tuple[object, ...]) -> Any:
        return self._in_lua(function, args, self._value)

    def _value(self, results: tuple[Any, ...]) -> Any:
        """Converts a call's results for Python."""
        found = [self._state.values.to_python(value, "result") for value in results]
        if not found:
            return None
        return found[0] if len(found) == 1 else tuple(found)

    def _in_lua(
        self,
        function: Any,
        args: tuple[object, ...],
        finish: Callable[[tuple[Any, ...]], Any],
    ) -> Any:
        """Calls a Lua function and converts its results, all in the thread that runs Lua.

        A Python function that a task waits for runs in a thread of its own; what it wants of Lua,
        Lua's thread does for it.
        """
        state = self._state
        if state.exports.is_elsewhere():
            return state.exports.call_back(
                lambda: state.crossed(function, args),
                lambda outcome: finish(state.results(outcome)),
            )
        self._check_thread()
        return finish(self._execute(function, args))

    def _check_thread(self) -> None:
        """Raises ``LuaError`` where this thread and Lua's would wait for one another."""
        if self._thread not in (None, _thread.get_ident()) and is_inside(self):
            raise LuaError("this runtime waits, in another thread, for what calls it here")

    def _execute(self, function: Any, args: tuple[object, ...]) -> tuple[Any, ...]:
        """Calls a Lua function; returns its results as lupa gives them."""
        state = self._state
        crossed = state.crossed(function, args)
        # Until Lua is left for good: another thread must not find what is kept for this one.
        with self._lock, Link(self):
            thread, self._thread = self._thread, _thread.get_ident()
            outcome: tuple[Any, ...] = (True,)
            try:
                outcome = state.run(*crossed)
            except LuaStateError:
                if not state.find_interrupt():
                    raise
            finally:
                self._thread = thread
            raised = state.take_raised()
            if raised is not None:
                self._recover(raised)
                raise raised
            results = state.results(outcome)
            if thread is None:
                state.causes.clear()
            return results

    def _recover(self, raised: BaseException) -> None:
        """Forgets the tasks and waits that Lua was in when an exception left it."""
        self._state.abandon()

    def _compile_file(self, path: str) -> Any:
        return self._in_lua(self._state.boot[b"loadfile"], (os.fsencode(path),), self._state.loaded)


def _nothing(_: object) -> None:
    """Drops results that nobody wants."""
