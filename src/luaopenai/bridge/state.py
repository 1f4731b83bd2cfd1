"""A LuaJIT state: how it begins, its calls, its errors, and how it is left."""

from __future__ import annotations

import lupa

from luaopenai.bridge import search
from luaopenai.bridge.errors import Causes, LuaError
from luaopenai.bridge.functions import Functions
from luaopenai.bridge.values import LuaFunction, Values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from luaopenai.bridge.exports import Exports

# C rocks look for Lua's own symbols in the process, so these must be global when LuaJIT loads.
with lupa.allow_lua_module_loading():
    import lupa.luajit21 as luajit

LIBRARY: str = luajit.__file__
"""The file that holds LuaJIT itself."""

LuaStateError = luajit.LuaError
"""The exception of lupa's for an error that has left Lua uncaught."""

_READY = (bytes, int, float, bool, type(None))
"""The types that lupa hands to Lua as they are."""


class LuaState:
    """A LuaJIT state that has run the boot file.

    Args:
        make_exports: makes, for the state's values, the functions that our Lua files call.
        call: calls a Lua function of the state's with Python values; so do those that reach Python.
        path: ``package.path``.
        cpath: ``package.cpath``.
        max_memory: for lupa: None is Lua's own allocator, 0 one whose limit can be set later.
        compiled: our Lua files by path, as bytecode, for many states in one process; grows as they
            are loaded. When None, each file is compiled.

    Attributes:
        lua: lupa's object.
        values: converts between Lua's values and Python's.
        exports: the functions that our Lua files call.
        boot: what the boot file has returned, by name.
        causes: the exceptions whose texts Lua got, in case it lets one through.

    Subclasses may override ``guard``, ``note`` and ``error_value``.
    """

    def __init__(
        self,
        make_exports: Callable[[Values], Exports],
        call: Callable[[Any, tuple[object, ...]], Any],
        path: str,
        cpath: str,
        max_memory: int | None = None,
        compiled: dict[bytes, bytes] | None = None,
    ) -> None:
        self.causes = Causes()
        self._raised: BaseException | None = None
        """The exception from a Python function for which Lua is to be left."""
        self.lua = luajit.LuaRuntime(
            encoding=None,
            unpack_returned_tuples=True,
            register_eval=False,
            register_builtins=False,
            attribute_filter=_refuse_attribute,
            max_memory=max_memory,
        )
        self.values = Values(
            self.lua,
            _lua_type,
            lambda function: LuaFunction(function, call),
            lambda function: self._functions.to_lua(function),
        )
        self.exports = make_exports(self.values)
        self.boot: dict[bytes, Any] = self._run_boot_file(path, cpath, compiled)
        self._plain = Values(self.lua, _lua_type, _refuse_function, _refuse_function)
        for values in (self.values, self._plain):
            values.learn(self.boot)
        wrap = self.boot[b"wrap_waiting"]
        self._functions = Functions(self.values, self.exports, self.guard, wrap)
        self._run = self.boot[b"run"]

    def _run_boot_file(
        self, path: str, cpath: str, compiled: dict[bytes, bytes] | None
    ) -> dict[bytes, Any]:
        table = self.lua.table_from
        globals_ = self.lua.globals()
        folder = search.lua_folder()
        functions = self.exports.functions()
        load = globals_[b"loadfile"](f"{folder}/luaopenai/boot.lua".encode())
        made = load(
            globals_[b"python"][b"as_function"],
            table({name: self.guard(f) for name, (f, _) in functions.items()}),
            table({name: is_soft for name, (_, is_soft) in functions.items()}),
            table({b"folder": folder.encode(), b"path": path.encode(), b"cpath": cpath.encode()}),
            None if compiled is None else table(compiled),
            None if compiled is None else compiled.__setitem__,
        )
        return dict(made.items())

    def crossed(self, function: Any, args: tuple[object, ...]) -> list[Any]:
        """Converts a function and its arguments for Lua; raises ``TypeError`` or ``ValueError``."""
        crossed = [self.values.to_lua(arg, f"argument {n}") for n, arg in enumerate(args, 1)]
        return [self.values.to_lua(function, "function"), *crossed]

    def run(self, function: Any, *args: Any) -> tuple[Any, ...]:
        """Calls a Lua function; returns ``True`` and its results, or ``False`` and its failure.

        Raises ``LuaStateError`` when Lua was left in the midst of it. Then the caller asks
        ``find_interrupt``, and in any case ``take_raised``, for what it was left.
        """
        results: Any = self._run(function, *args)
        return (True,) if results is True else results

    def find_interrupt(self) -> bool:
        """Returns whether the exception is known for which Lua was left.

        It asks Lua, too, for an interrupt that came too early for a function of ours to keep it.
        """
        if self._raised is None:
            self.boot[b"sethook"]()
            raised = self.boot[b"interrupt"]()
            self._raised = raised if isinstance(raised, BaseException) else None
        return self._raised is not None

    def take_raised(self) -> BaseException | None:
        """Returns, once, the exception for which Lua was left; None where it was not left."""
        raised, self._raised = self._raised, None
        return raised

    def abandon(self) -> None:
        """Forgets Lua's tasks and what they wait for, once Lua was left; closes what is open."""
        self.boot[b"sethook"]()
        self.boot[b"forget_tasks"]()
        self.exports.leave()

    def results(self, outcome: tuple[Any, ...]) -> tuple[Any, ...]:
        """Returns the values after the ``True`` that ``run`` puts first.

        Raises ``LuaError`` for the failure after a ``False``.
        """
        if outcome[0]:
            return outcome[1:]
        error = self.error(*outcome[1:])
        try:
            raise error from self.causes.find(error.message)
        finally:
            self.causes.clear()
            # Its traceback leads here: it would hold itself.
            del error

    def loaded(self, results: tuple[Any, ...]) -> Any:
        """Returns the chunk that a loading function of Lua's has made; raises its ``LuaError``."""
        if len(results) == 1:
            return results[0]
        message, (chunk, line) = results[1], self.boot[b"position"](results[1])
        raise self.error(message, chunk, line, b"", None, False)

    def error(
        self,
        message: bytes,
        chunk: bytes | None,
        line: int | None,
        traceback: bytes,
        value: Any,
        _is_memory: bool,
    ) -> LuaError:
        """Returns the exception for a failure, in the form that Lua's ``errors.report`` returns."""
        return LuaError(
            message.decode("utf-8", "replace"),
            chunk.decode("utf-8", "replace") if chunk else None,
            line,
            traceback.decode("utf-8", "replace"),
            self.error_value(value),
        )

    def error_value(self, value: Any) -> Any:
        """Returns the value of a Lua error as plain data; None where it is something else."""
        try:
            return self._plain.to_python(value)
        except (TypeError, ValueError):
            return None

    def note(self, error: Exception, text: str) -> bytes:
        """Returns an exception's text for Lua; keeps the exception in case Lua lets it through."""
        return self.causes.note(text, error)

    def guard(
        self, function: Callable[..., Any], describe: Callable[[Exception], str] = str
    ) -> Callable[..., tuple[object, ...]]:
        """Returns a function for the boot file: one that never raises.

        It returns ``True`` and results, ``False`` and a message, or None for leaving Lua.
        """

        def guarded(box: int | bool, *args: object) -> tuple[object, ...]:
            try:
                result = function(*(self._unboxed(box) if box else args))
            except Exception as error:
                return False, self.note(error, describe(error))
            except BaseException as error:
                self._raised = error
                return (None,)
            if type(result) is not tuple:
                result = (result,)
            return (True, *[r if type(r) in _READY else self._crossing(r) for r in result])

        return guarded

    def _unboxed(self, box: int) -> tuple[Any, ...]:
        """Takes the arguments out of the box that the boot file has put them into."""
        _, *args = self.boot[b"unbox"](box)
        return tuple(args)

    def _crossing(self, result: Any) -> Any:
        if isinstance(result, str):
            return result.encode("utf-8", "replace")
        if callable(result) and luajit.lua_type(result) is None:
            return self.guard(result)
        return result


def _lua_type(value: object) -> str | None:
    """Returns the Lua type of a lupa object; None for a Python value."""
    is_coroutine = type(value).__name__ == "_LuaCoroutineFunction"
    kind: str | None = "thread" if is_coroutine else luajit.lua_type(value)
    return kind


def _refuse_function(_: object) -> Any:
    raise TypeError("a function is no plain data")


def _refuse_attribute(obj: object, name: object, is_setting: bool) -> str:
    raise AttributeError("Python objects are closed to Lua")
