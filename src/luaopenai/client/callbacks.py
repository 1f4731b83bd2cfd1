"""The functions that callers give for streams: how many arguments they take."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import BuiltinFunctionType
from typing import TYPE_CHECKING, Any

from luaopenai.client.arguments import check_callback

if TYPE_CHECKING:
    from inspect import Signature


def two_arguments(callback: Callable[..., object]) -> Callable[[Any, Any], object]:
    """Returns a callback that takes a piece and its event, made of one that may take the piece
    alone.

    What can take both is given both, with two exceptions: a second parameter that has a default
    of its own (``lambda chunk, out=out: ...``) is not for the event, and neither is what a built-in
    function takes beside the piece (``print``, ``list.append``). Raises ``TypeError`` for what
    takes neither one nor two.
    """
    check_callback(callback)
    function: Any = callback
    while isinstance(function, partial):
        function = function.func
    parameters = None if isinstance(function, BuiltinFunctionType) else _signature(callback)
    if parameters is not None:
        if _fits(parameters, 2) and _is_for_event(parameters):
            return callback
        if not _fits(parameters, 1):
            raise TypeError(
                "stream_callback: expected a function of a chunk, or of a chunk and an event"
            )
    return lambda piece, _: callback(piece)


def _signature(callback: Callable[..., object]) -> Signature | None:
    from inspect import signature  # takes 4 ms, which every program's start would

    try:
        return signature(callback)
    except (TypeError, ValueError):
        return None


def _fits(parameters: Signature, count: int) -> bool:
    try:
        parameters.bind(*range(count))
    except TypeError:
        return False
    return True


def _is_for_event(parameters: Signature) -> bool:
    """Returns whether the second parameter has no default, or None, which stands for no event."""
    second = [*parameters.parameters.values()][:2][-1]
    return second.default is second.empty or second.default is None
