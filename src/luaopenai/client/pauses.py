"""Reads how long a server asks to wait before the next request."""

from __future__ import annotations

import math
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_UNITS = (("retry-after-ms", 1000.0), ("retry-after", 1.0))


def requested_pause(
    headers: Mapping[str, str], more: tuple[tuple[str, float], ...] = ()
) -> float | None:
    """Returns the seconds that a server asks to wait in its headers, or None.

    Args:
        headers: names in lower case; ``retry-after`` may also be a date.
        more: further headers that are read first, each with how many of its units are a second.
    """
    for name, unit in (*more, *_UNITS):
        try:
            seconds = float(headers[name]) / unit
        except (KeyError, ValueError):
            continue
        if math.isfinite(seconds):
            return seconds
    return _until(headers["retry-after"]) if "retry-after" in headers else None


def _until(date: str) -> float | None:
    """Returns the seconds until an HTTP date; None for a text that is no date."""
    try:
        from email.utils import parsedate_to_datetime

        return parsedate_to_datetime(date).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError, ImportError, OSError):
        # A plugin's worker cannot import any more; there, a date asks for nothing.
        return None
