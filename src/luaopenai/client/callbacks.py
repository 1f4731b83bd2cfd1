"""The functions that callers give for streams: which fit, and how many arguments they take."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import Signature, signature
from types import BuiltinFunctionType
from typing import Any


def check_callback(callback: object) -> None:
    """Raise ``TypeError`` unless a stream's callback is None or can be called."""
    if callback is not None and not callable(callback):
        raise TypeError(f"stream_callback: expected a function, got {type(callback).__name__}")


def two_arguments(callback: Callable[..., object]) -> Callable[[Any, Any], object]:
    """A callback that takes a piece and its event, made of one that may take the piece alone.

    Functions that are built in (``print``, ``list.append``) are given the piece alone, for what
    else they take is never an event. Raises ``TypeError`` for what takes neither one nor two.
    """
    check_callback(callback)
    function: Any = callback
    while isinstance(function, partial):
        function = function.func
    taken = () if isinstance(function, BuiltinFunctionType) else _counts(callback)
    if 2 in taken:
        return callback
    if taken and 1 not in taken:
        raise TypeError(
            "stream_callback: expected a function of a chunk, or of a chunk and an event"
        )
    return lambda piece, _: callback(piece)


def _counts(callback: Callable[..., object]) -> tuple[int, ...]:
    """Which of one and two arguments a callback takes; none where it does not say."""
    try:
        parameters = signature(callback)
    except (TypeError, ValueError):
        return ()
    return tuple(count for count in (1, 2) if _fits(parameters, count)) or (0,)


def _fits(parameters: Signature, count: int) -> bool:
    try:
        parameters.bind(*range(count))
    except TypeError:
        return False
    return True
