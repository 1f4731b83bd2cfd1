"""What tests of many waits ask for: that something will be so, and which threads there are."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

GENEROUS = 30.0
"""Seconds within which what takes no time is done, also on a machine that is busy with others."""


def eventually(holds: Callable[[], object], seconds: float = GENEROUS) -> None:
    """Wait until something is true, so many seconds at most."""
    limit = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.005)


async def soon(holds: Callable[[], object]) -> None:
    """Wait in an event loop, which goes on, until something is true; fails when it never is."""
    limit = time.monotonic() + GENEROUS
    while not holds():
        assert time.monotonic() < limit
        await asyncio.sleep(0.005)


def waiting_threads() -> list[str]:
    """The names of the threads that this package has."""
    return [one.name for one in threading.enumerate() if one.name.startswith("luaopenai-")]
