"""Names of ``typing`` for modules that every script loads: itself it would slow their start."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Generic as Generic
    from typing import TypeVar as TypeVar
    from typing import overload as overload
else:

    def overload(function: object) -> object:
        """Returns the function as it is; the one without ``overload`` takes its place."""
        return function

    def TypeVar(name: str, **_: object) -> str:  # noqa: N802
        """Returns the name."""
        return name

    class Generic:
        """A base of classes, whatever stands in brackets behind it."""

        def __class_getitem__(cls, _: object) -> type:
            return cls
