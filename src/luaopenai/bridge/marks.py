"""Marks the Python functions that Lua may call, each where it stands."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    F = TypeVar("F", bound="Callable[..., Any]")


class Mark:
    """The properties of a function that Lua may call.

    Attributes:
        is_soft: whether it says first how it went, ``true`` or ``false`` and a message; the others
            raise the message in Lua.
        is_operation: whether it returns ``Work``, for Lua to wait for: at once, or with a ticket.
        is_for_plugins: whether a plugin's Lua state has it too; there, the others only refuse.
        needs: the modules that are imported when it is called. A plugin's worker imports them
            before its plugin runs, for later it can open no files.
    """

    def __init__(
        self, is_soft: bool, is_operation: bool, is_for_plugins: bool, needs: list[str]
    ) -> None:
        self.is_soft = is_soft
        self.is_operation = is_operation
        self.is_for_plugins = is_for_plugins
        self.needs = needs


_marks: dict[object, Mark] = {}


def export(*, soft: bool = False, plugins: bool = False, needs: str = "") -> Callable[[F], F]:
    """Returns a decorator for methods that Lua may call.

    A method that overrides a marked one needs a mark of its own.

    Args:
        soft: see ``Mark.is_soft``.
        plugins: see ``Mark.is_for_plugins``.
        needs: the names for ``Mark.needs``; ``client.x`` stands for ``luaopenai.client.x``.
    """
    return _marking(soft, False, plugins, needs)


def operation(*, plugins: bool = False, needs: str = "") -> Callable[[F], F]:
    """Returns a decorator for methods that return ``Work``, for which Lua may wait.

    Lua calls it with one argument before all others: False to have the work done at once, or a
    number to have it begun and get a ticket; see ``Work.begin``. It fails softly.
    """
    return _marking(True, True, plugins, needs)


def _marking(
    is_soft: bool, is_operation: bool, is_for_plugins: bool, needs: str
) -> Callable[[F], F]:
    modules = [f"luaopenai.{name}" if name[:7] == "client." else name for name in needs.split()]

    def decorate(function: F) -> F:
        _marks[function] = Mark(is_soft, is_operation, is_for_plugins, modules)
        return function

    return decorate


def find_marks(owner: type) -> dict[str, Mark]:
    """Returns the marks of a class's methods by their names."""
    functions: dict[str, object] = {}
    for base in reversed(owner.__mro__):
        functions.update(vars(base))
    function_type = type(find_marks)
    return {
        name: _marks[function]
        for name, function in functions.items()
        if type(function) is function_type and function in _marks
    }
