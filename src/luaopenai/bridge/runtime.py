"""A LuaJIT state that runs trusted scripts."""

from __future__ import annotations

import _thread
import os

import lupa

from luaopenai.bridge import search
from luaopenai.bridge.chain import Link, is_inside
from luaopenai.bridge.errors import Causes, LuaError
from luaopenai.bridge.exports import Exports
from luaopenai.bridge.functions import Functions
from luaopenai.bridge.network import Defaults
from luaopenai.bridge.values import LuaFunction, Values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from luaopenai.client.openai import OpenAI

# C rocks look for Lua's own symbols in the process, so these must be global when LuaJIT loads.
with lupa.allow_lua_module_loading():
    import lupa.luajit21 as luajit

LIBRARY: str = luajit.__file__
"""The file that holds LuaJIT itself."""

LuaStateError = luajit.LuaError
"""What lupa raises when an error has left Lua without being caught."""

_READY = (bytes, int, float, bool, type(None))
"""The types that lupa hands to Lua as they are."""


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

    _max_memory: int | None = None
    """For lupa: None is Lua's own allocator, 0 one whose limit can be set later."""

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
        self._pending: BaseException | None = None
        self._causes = Causes()
        self._thread: int | None = None
        """The one that runs Lua."""
        self._lock = _thread.RLock()
        self._turn = _thread.allocate_lock()
        self._defaults = Defaults(
            base_url or (client.base_url if client else None),
            api_key or (client._api_key if client else None),
            client._transport if client else None,
            default_model or (client.default_model if client else None),
        )
        self._start(
            search.package_path(lua_path, rocks=rocks),
            search.package_cpath(lua_cpath, rocks=rocks),
        )
        if self._args:
            self.set_arg({0: "", **dict(enumerate(self._args, 1))})

    def run_file(self, path: str, *args: object) -> Any:
        """Run a Lua file and return what it returns; ``args`` are its ``...`` and ``arg``.

        Raises ``LuaError`` when it cannot be read, is not Lua, or fails.
        """
        args = args or self._args
        self.set_arg({0: path, **dict(enumerate(args, 1))})
        return self._call(self._compile_file(path), args)

    def run_string(self, code: str | bytes, name: str = "code", *args: object) -> Any:
        """Run Lua code and return what it returns; ``name`` stands for it in messages."""
        return self._call(self.compile(code, name), args or self._args)

    def execute_file(self, path: str, *args: object) -> None:
        """Run a Lua file for its effects alone: its results need no counterpart in Python."""
        self._in_lua(self._compile_file(path), args, _nothing)

    def execute_string(self, code: str | bytes, name: str = "code", *args: object) -> None:
        """Run Lua code for its effects alone."""
        self._in_lua(self.compile(code, name), args, _nothing)

    def finish_tasks(self) -> None:
        """Run what scripts have spawned to its end; raises what a task failed with unseen."""
        self._in_lua(self._boot[b"drain"], (), _nothing)

    def compile(self, code: str | bytes, name: str = "code") -> Any:
        """A chunk for ``call``; raises ``LuaError`` for what is not Lua."""
        source = code.encode() if isinstance(code, str) else code
        return self._in_lua(self._boot[b"loadstring"], (source, f"={name}"), self._loaded)

    def require(self, name: str) -> Any:
        """What Lua's ``require(name)`` returns."""
        return self.call(self._boot[b"require"], name)

    def call(self, function: Any, *args: object) -> Any:
        """Call a Lua function; several results come as a tuple.

        Args:
            function: one that a script returned.
            args: cross by the table in ``luaopenai.bridge.values``.
        """
        return self._call(function, args)

    async def call_async(self, function: Any, *args: object) -> Any:
        """``call``, awaited: the event loop goes on meanwhile; calls follow one another.

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
        """Set the global ``arg``."""
        self._in_lua(self._boot[b"set_arg"], (arg,), _nothing)

    def _exports(self) -> Exports:
        return Exports(self._values, self._defaults)

    def _start(self, path: str, cpath: str) -> None:
        self._lua = luajit.LuaRuntime(
            encoding=None,
            unpack_returned_tuples=True,
            register_eval=False,
            register_builtins=False,
            attribute_filter=_refuse_attribute,
            max_memory=self._max_memory,
        )
        self._values = Values(
            self._lua, _lua_type, self._function_to_python, lambda f: self._functions.to_lua(f)
        )
        self._network = exports = self._exports()
        table = self._lua.table_from
        globals_ = self._lua.globals()
        folder = search.lua_folder()
        boot = globals_[b"loadfile"](f"{folder}/luaopenai/boot.lua".encode())
        made = boot(
            globals_[b"python"][b"as_function"],
            table({name: self._guarded(f) for name, f in exports.functions().items()}),
            table({b"folder": folder.encode(), b"path": path.encode(), b"cpath": cpath.encode()}),
        )
        self._boot = dict(made.items())
        self._plain = Values(self._lua, _lua_type, _refuse_function, _refuse_function)
        for values in (self._values, self._plain):
            values.learn(self._boot)
        wrap = self._boot[b"wrap_waiting"]
        self._functions = Functions(self._values, exports, self._guarded, wrap)
        self._run = self._boot[b"run"]

    def _call(self, function: Any, args: tuple[object, ...]) -> Any:
        return self._in_lua(function, args, self._value)

    def _value(self, results: tuple[Any, ...]) -> Any:
        """A call's results for Python."""
        found = [self._values.to_python(value, "result") for value in results]
        if not found:
            return None
        return found[0] if len(found) == 1 else tuple(found)

    def _in_lua(
        self,
        function: Any,
        args: tuple[object, ...],
        finish: Callable[[tuple[Any, ...]], Any],
    ) -> Any:
        """Call a Lua function and make something of its results, all in the thread that runs Lua.

        A Python function that a task waits for runs in a thread of its own; what it wants of Lua,
        Lua's thread does for it.
        """
        if self._network.is_elsewhere():
            return self._network.call_back(
                lambda: self._crossed(function, args),
                lambda results: finish(self._results(results)),
            )
        self._check_thread()
        return finish(self._execute(function, args))

    def _check_thread(self) -> None:
        """Raise ``LuaError`` where Lua would wait for this thread, and this thread for Lua."""
        if self._thread not in (None, _thread.get_ident()) and is_inside(self):
            raise LuaError("this runtime waits, in another thread, for what calls it here")

    def _execute(self, function: Any, args: tuple[object, ...]) -> tuple[Any, ...]:
        """Call a Lua function; its results as lupa gives them."""
        crossed = self._crossed(function, args)
        # Until Lua is left for good: another thread must not find what is kept for this one.
        with self._lock, Link(self):
            thread, self._thread = self._thread, _thread.get_ident()
            try:
                results = self._run(*crossed)
            except LuaStateError:
                self._pending = self._pending or self._interrupt()
                if self._pending is None:
                    raise
            finally:
                self._thread = thread
            if self._pending is not None:
                self._leave()
            found = () if results is True else self._results(results)
            if thread is None:
                self._causes.clear()
            return found

    def _crossed(self, function: Any, args: tuple[object, ...]) -> list[Any]:
        """A function and its arguments as Lua's."""
        crossed = [self._values.to_lua(arg, f"argument {n}") for n, arg in enumerate(args, 1)]
        return [self._values.to_lua(function, "function"), *crossed]

    def _results(self, results: tuple[Any, ...]) -> tuple[Any, ...]:
        """What follows the true that the boot file's ``run`` has returned; raises after a false."""
        if not results[0]:
            self._fail(*results[1:])
        return results[1:]

    def _interrupt(self) -> BaseException | None:
        """What left Lua although no function of ours has kept it: a signal came too early."""
        self._boot[b"sethook"]()
        raised = self._boot[b"interrupt"]()
        return raised if isinstance(raised, BaseException) else None

    def _leave(self) -> None:
        """Raise what Lua was left for."""
        self._boot[b"sethook"]()
        self._boot[b"forget_tasks"]()
        self._network.leave()
        pending, self._pending = self._pending, None
        assert pending is not None
        raise pending

    def _fail(self, *failure: Any) -> None:
        """Raise ``LuaError`` for what the boot file's ``run`` has returned behind false."""
        error = self._lua_error(*failure)
        try:
            raise error from self._causes.find(error.message)
        finally:
            self._causes.clear()
            # Its traceback leads here: it would hold itself.
            del error

    def _lua_error(
        self,
        message: bytes,
        chunk: bytes | None,
        line: int | None,
        traceback: bytes,
        value: Any,
        _is_memory: bool,
    ) -> LuaError:
        return LuaError(
            message.decode("utf-8", "replace"),
            chunk.decode("utf-8", "replace") if chunk else None,
            line,
            traceback.decode("utf-8", "replace"),
            self._error_value(value),
        )

    def _error_value(self, value: Any) -> Any:
        """The value of a Lua error as plain data; None where it is something else."""
        try:
            return self._plain.to_python(value)
        except (TypeError, ValueError):
            return None

    def _compile_file(self, path: str) -> Any:
        return self._in_lua(self._boot[b"loadfile"], (os.fsencode(path),), self._loaded)

    def _loaded(self, loaded: tuple[Any, ...]) -> Any:
        """The chunk that Lua's loading functions made, or their error as ``LuaError``."""
        if len(loaded) == 1:
            return loaded[0]
        message, (chunk, line) = loaded[1], self._boot[b"place"](loaded[1])
        raise self._lua_error(message, chunk, line, b"", None, False)

    def _guarded(
        self, function: Callable[..., Any], describe: Callable[[Exception], str] = str
    ) -> Callable[..., tuple[object, ...]]:
        """A function as the boot file expects it: it raises nothing, and says how it ended."""

        def guarded(box: int | bool, *args: object) -> tuple[object, ...]:
            try:
                result = function(*(self._unboxed(box) if box else args))
            except Exception as error:
                return False, self._noted(error, describe(error))
            except BaseException as error:
                self._pending = error
                return (None,)
            if type(result) is not tuple:
                result = (result,)
            return (True, *[r if type(r) in _READY else self._crossing(r) for r in result])

        return guarded

    def _unboxed(self, box: int) -> tuple[Any, ...]:
        """The arguments that the boot file has put into a box."""
        _, *args = self._boot[b"unbox"](box)
        return tuple(args)

    def _crossing(self, result: Any) -> Any:
        if isinstance(result, str):
            return result.encode("utf-8", "replace")
        if callable(result) and luajit.lua_type(result) is None:
            return self._guarded(result)
        return result

    def _noted(self, error: Exception, text: str) -> bytes:
        """The exception's text for Lua; the exception is kept in case Lua lets it through."""
        return self._causes.note(text, error)

    def _function_to_python(self, function: Any) -> LuaFunction:
        return LuaFunction(function, self._call)


def _nothing(_: object) -> None:
    """What is made of results that nobody wants."""


def _lua_type(value: object) -> str | None:
    """The Lua type of a lupa object; lupa shows a coroutine that has not begun as a function."""
    is_coroutine = type(value).__name__ == "_LuaCoroutineFunction"
    kind: str | None = "thread" if is_coroutine else luajit.lua_type(value)
    return kind


def _refuse_function(_: object) -> Any:
    raise TypeError("a function is no plain data")


def _refuse_attribute(obj: object, name: object, is_setting: bool) -> str:
    raise AttributeError("Python objects are closed to Lua")
