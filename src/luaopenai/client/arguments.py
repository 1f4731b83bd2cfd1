"""Checks of what Python's callers hand over; each error is one line that names the argument.

It tells a wrong value's type, never the value: that may be a key in the wrong place.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def check_client(client: object, method: str | None = None) -> None:
    """Raises ``TypeError`` unless ``client`` is an ``OpenAI`` client.

    Args:
        client: what was given.
        method: where not the class counts but that there is this method, which is called.
    """
    if method is None:
        from luaopenai.client.openai import OpenAI

        fits = isinstance(client, OpenAI)
    else:
        is_other = isinstance(client, type) or hasattr(client, "__aenter__")
        fits = callable(getattr(client, method, None)) and not is_other
    if not fits:
        raise TypeError(f"client: expected an OpenAI client, got {_kind(client)}")


def check_lists(**arguments: object) -> None:
    """Raises ``TypeError`` for an argument that is neither None nor a list, or another iterable."""
    for name, value in arguments.items():
        is_list = hasattr(value, "__iter__") and not isinstance(value, str | bytes | dict | type)
        if value is not None and not is_list:
            raise TypeError(f"{name}: expected a list, got {_kind(value)}")


def check_texts(**arguments: object) -> None:
    """Raises ``TypeError`` for an argument that is neither None nor a string."""
    for name, value in arguments.items():
        if value is not None and not isinstance(value, str):
            raise TypeError(f"{name}: expected a string, got {_kind(value)}")


def check_tables(**arguments: object) -> None:
    """Raises ``TypeError`` for an argument that is neither None nor a mapping."""
    for name, value in arguments.items():
        if value is not None and not hasattr(value, "keys"):
            raise TypeError(f"{name}: expected a dict, got {_kind(value)}")


def check_headers(headers: object) -> None:
    """Raises ``TypeError`` unless ``headers`` is None or maps strings to strings."""
    check_tables(headers=headers)
    items: Iterable[tuple[object, object]] = getattr(headers, "items", tuple)()
    for name, value in items:
        if not isinstance(name, str):
            raise TypeError(f"headers: expected names that are strings, got {_kind(name)}")
        if not isinstance(value, str):
            raise TypeError(f"headers: {name}: expected a string, got {_kind(value)}")


def check_callback(callback: object, name: str = "stream_callback") -> None:
    """Raises ``TypeError`` unless a callback is None or can be called."""
    if callback is not None and not callable(callback):
        raise TypeError(f"{name}: expected a function, got {_kind(callback)}")


def _kind(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
