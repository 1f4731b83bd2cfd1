"""Watches the calls of plugins that run in this process, and rings when one is past its time.

A count hook looks at the clock every so many instructions; when each of them takes long, as it does
with large strings, that is far too seldom.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import NamedTuple

LOOK_SECONDS = 0.02
IDLE_SECONDS = 1.0
"""How long the thread waits for another call before it ends."""


class Alarm(NamedTuple):
    """The alarm of a call.

    Attributes:
        is_late: whether the call is past its time.
        ring: ends it; called again and again until the call is over.
    """

    is_late: Callable[[], bool]
    ring: Callable[[], object]


class Watchdog:
    """Watches any number of calls from one thread, which there is only while there are some."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets all calls, and that there was a thread: a fork leaves both behind."""
        self._lock = threading.Lock()
        self._alarms: set[Alarm] = set()
        self._has_thread = False

    def watch(self, alarm: Alarm) -> None:
        """Begins to watch a call."""
        with self._lock:
            self._alarms.add(alarm)
            if not self._has_thread:
                threading.Thread(target=self._run, name="luaopenai watchdog", daemon=True).start()
                self._has_thread = True

    def forget(self, alarm: Alarm) -> None:
        """Ends the watch over a call; its alarm does not ring any more."""
        with self._lock:
            self._alarms.discard(alarm)

    def _run(self) -> None:
        pause = threading.Event()
        idle = 0.0
        while idle < IDLE_SECONDS or not self._may_end():
            pause.wait(LOOK_SECONDS)
            idle = 0.0 if self._look() else idle + LOOK_SECONDS

    def _look(self) -> bool:
        with self._lock:
            for alarm in self._alarms:
                if alarm.is_late():
                    alarm.ring()
            return bool(self._alarms)

    def _may_end(self) -> bool:
        with self._lock:
            self._has_thread = bool(self._alarms)
            return not self._has_thread


watchdog = Watchdog()
"""The one of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=watchdog.reset)
