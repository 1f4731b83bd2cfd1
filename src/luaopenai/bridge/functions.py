"""Makes Lua functions of Python's: they are called where Lua runs or, for a task, in a thread."""

from __future__ import annotations

from luaopenai.bridge.errors import LuaError
from luaopenai.bridge.work import Work

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from luaopenai.bridge.network import Network
    from luaopenai.bridge.tickets import Tickets
    from luaopenai.bridge.values import Values


class Functions:
    """Makes the functions of one Lua state.

    Args:
        values: converts arguments and results.
        network: does work, at once or in threads.
        guard: makes a function one that raises nothing, and says how it ended.
        wrap: makes of such a function, which is an operation, one of Lua's.
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
        """Returns a Lua function that calls a Python one; inside a task, other tasks go on
        meanwhile.

        The operation comes to True and results, or, where a thread has done it, to False and a
        message.
        """

        def operation(callback: int | bool, *args: object) -> Any:
            taken = [self._values.to_python(arg, f"argument {n}") for n, arg in enumerate(args, 1)]
            if callback is False:
                return True, *self._give(function(*taken))
            work = _FunctionCall(lambda: _attempt(function, taken), self._settle)
            return self._network.begin(work, callback)

        return self._wrap(self._guard(operation, _describe))

    def _give(self, result: object) -> tuple[Any, ...]:
        """Converts a function's results for Lua."""
        if isinstance(result, tuple):
            return tuple(self._values.to_lua(value, "result") for value in result)
        return (self._values.to_lua(result, "result"),)

    def _settle(self, ended: Callable[[], object]) -> tuple[object, ...]:
        """Returns the outcome of a call in a thread: first whether it succeeded."""
        return self._guard(lambda: self._give(ended()), _describe)(False)


class _FunctionCall(Work):
    """A call of a Python function by a thread."""

    def begin(self, tickets: Tickets, callback: int) -> int:
        """Has a thread call the function, with the context variables of the code that led here."""
        context, attempt = tickets.context(callback), self.run
        self.run = lambda: context.run(attempt)
        return tickets.begin(self)


class _Raised:
    """Raises, in the thread that asks for a function's result, what the function has raised."""

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
    """Calls a function; returns one that returns its result, or raises what it has raised."""
    try:
        result = function(*args)
    except BaseException as error:
        return _Raised(error)
    return lambda: result


def _describe(error: Exception) -> str:
    """Returns the text of a function's exception for Lua: with its type, unless it is Lua's own."""
    return str(error) if isinstance(error, LuaError) else f"{type(error).__name__}: {error}"
