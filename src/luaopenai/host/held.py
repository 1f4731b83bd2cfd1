"""Counts what Python holds for a plugin as the plugin's memory."""

from __future__ import annotations

from collections.abc import Callable

from luaopenai.host import wire
from luaopenai.host.faults import LimitExceeded, Stop

_READER_SIZE = 2048
"""About how many bytes a stream's reader takes of Python's memory by itself."""


class HeldMemory:
    """The memory of Python's that a plugin takes.

    Args:
        limit: how many megabytes (2^20 bytes) it may be; None for any number.
        name: the plugin's name, for errors.

    Attributes:
        size: how many bytes it is.
    """

    def __init__(self, limit: float | None, name: str) -> None:
        self._limit = limit
        self._name = name
        self.size = 0

    def hold(self, size: int) -> None:
        """Counts more bytes, or fewer if negative; raises ``Stop`` when they alone are too many."""
        self.size += size
        held = self.size / 2**20
        if self._limit is not None and held > self._limit:
            raise Stop(LimitExceeded("memory_mb", self._limit, held, self._name))


class HeldEvents:
    """Counts the events that a stream's reader holds back, until Lua has forgotten the reader.

    Args:
        memory: the plugin's.
        read: the reader.
    """

    def __init__(
        self, memory: HeldMemory, read: Callable[[bytes | None], tuple[object, ...]]
    ) -> None:
        self._memory = memory
        self._read = read
        self._held = 0
        self._hold(_READER_SIZE)

    def read(self, data: bytes | None) -> tuple[object, ...]:
        """Reads the data of an event."""
        _, is_holding, _ = result = self._read(data)
        self._hold(self._held + wire.weight(data) if is_holding else _READER_SIZE)
        return result

    def __del__(self) -> None:
        self._memory.size -= self._held

    def _hold(self, size: int) -> None:
        grown, self._held = size - self._held, size
        self._memory.hold(grown)
