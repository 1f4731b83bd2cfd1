"""What tests of many waits ask for: that something will be so, and which threads there are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def eventually(holds: Callable[[], object], seconds: float = 5) -> None:
    """Wait until something is true, so many seconds at most."""
    limit = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.005)


def waiting_threads() -> list[str]:
    """The names of the threads that this package has."""
    return [one.name for one in threading.enumerate() if one.name.startswith("luaopenai-")]
