"""``overload`` for modules that every script loads: ``typing`` itself would slow its start."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import overload as overload
else:

    def overload(function: object) -> object:
        """Returns the function as it is; the one without ``overload`` takes its place."""
        return function
