"""The clock that a plugin runs under: it stands still while the host works for itself."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from luaopenai.client.cancel import pause
from luaopenai.host.faults import LimitExceeded, Stop

if TYPE_CHECKING:
    from luaopenai.host.operations import Services


class Clock:
    """Counts the seconds of a plugin's own running.

    Args:
        host: tells what the host has worked on what the plugin sent: that is the plugin's own time.
        limit: the seconds of a call; None for any number.
        name: the plugin's name, for errors.
    """

    def __init__(self, host: Services, limit: float | None, name: str) -> None:
        self._host = host
        self._limit = limit
        self._name = name
        self._outside = 0.0
        self._begun = 0.0

    def begin(self) -> float:
        """Begins a call; returns the time."""
        self._begun = self.now()
        return self._begun

    def now(self) -> float:
        """Returns the time in seconds."""
        return time.monotonic() - self._outside

    def spent(self) -> float:
        """Returns the seconds since the call began."""
        return self.now() - self._begun

    def is_late(self) -> bool:
        """Returns whether the call has run for longer than it may."""
        return self._limit is not None and self.spent() > self._limit

    def outside(self, function: Callable[..., Any], *args: Any) -> Any:
        """Calls the host; counts only the time in which it works on what the plugin sent."""
        begun, worked = time.monotonic(), self._host.work_seconds
        try:
            return function(*args)
        finally:
            worked = self._host.work_seconds - worked
            self._outside += time.monotonic() - begun - worked

    def pause(self, seconds: float) -> None:
        """Sleeps on the plugin's own time; raises ``Stop`` when that is over."""
        left = math.inf if self._limit is None else self._limit - self.spent()
        pause(min(seconds, left))
        if seconds > left:
            assert self._limit is not None
            raise Stop(LimitExceeded("seconds", self._limit, self.spent(), self._name))
