"""Makes Lua functions of Python's: they are called where Lua runs or, for a task, in a thread."""

from __future__ import annotations

from luaopenai.bridge.errors import LuaError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from luaopenai.bridge.network import Network
    from luaopenai.bridge.values import Values


class Functions:
    """Makes the functions of one Lua state.

    Args:
        values: converts arguments and results.
        network: has work done in threads.
        guard: makes a function one that raises nothing, and says how it ended.
        wrap: makes, of a function that calls and one that begins, a Lua function.
    """

    def __init__(
        self,
        values: Values,
        network: Network,
        guard: Callable[..., Callable[..., tuple[object, ...]]],
        wrap: Any,
    ) -> None:
        self._values = values
        self._network = network
        self._guard = guard
        self._wrap = wrap

    def to_lua(self, function: Callable[..., object]) -> Any:
        """A Lua function that calls a Python one; in a task, the others go on meanwhile."""

        def call(*args: object) -> Any:
            return self._give(function(*self._take(args)))

        def begin(callback: int | None, *args: object) -> int:
            context, taken = self._network.context(callback), self._take(args)
            return self._network.begin(
                lambda: context.run(_attempt, function, taken),
                _give_up,
                lambda ended: self._guard(lambda: self._give(ended()), _describe)(False),
            )

        return self._wrap(self._guard(call, _describe), self._guard(begin, _describe))

    def _take(self, args: tuple[object, ...]) -> list[Any]:
        return [self._values.to_python(arg, f"argument {n}") for n, arg in enumerate(args, 1)]

    def _give(self, result: object) -> Any:
        if isinstance(result, tuple):
            return tuple(self._values.to_lua(value, "result") for value in result)
        return self._values.to_lua(result, "result")


class _Raised:
    """What a function has raised, for the thread that asks what it came to."""

    def __init__(self, error: BaseException) -> None:
        self._error: BaseException | None = error

    def __call__(self) -> object:
        assert self._error is not None
        try:
            raise self._error
        finally:
            # Its traceback leads here: it would hold itself.
            self._error = None


def _attempt(function: Callable[..., object], args: list[Any]) -> Callable[[], object]:
    """Call a function; what is returned gives its result, or raises what it has raised."""
    try:
        result = function(*args)
    except BaseException as error:
        return _Raised(error)
    return lambda: result


def _give_up(_: object) -> None:
    """What is made of results that nobody wants."""


def _describe(error: Exception) -> str:
    """A function's exception for Lua: with its type, unless it is Lua's own."""
    return str(error) if isinstance(error, LuaError) else f"{type(error).__name__}: {error}"
