"""The limits of a plugin, and the account of its use."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Limits:
    """Limits for each call of a plugin's function; None means none.

    Attributes:
        seconds: of the plugin's own running and its pauses; time in which the host runs a function
            or a request for it is free.
        memory_mb: megabytes (2^20 bytes) of Lua memory above an empty plugin's.
        requests: to the model.
        tokens: as the answers' ``usage`` tells.
        output_kb: kilobytes (2^10 bytes) that ``print`` and ``io.write`` say.
        total_requests: of all plugins of a host, over its life.
        total_tokens: likewise.
    """

    seconds: float | None = 2.0
    memory_mb: float | None = 64
    requests: int | None = 20
    tokens: int | None = 50_000
    output_kb: float | None = 256
    total_requests: int | None = None
    total_tokens: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (is_number and value >= 0):
                raise ValueError(f"Limits: {field.name}: expected a number from 0, got {value!r}")


class LimitExceeded(Exception):  # noqa: N818 (it is no error of anyone's)
    """A limit stopped a plugin's call; the host goes on, and so do later calls.

    Attributes:
        kind: the name of the limit, as in ``Limits``.
        limit: its value.
        used: how much the call (for a ``total``, the host) had used.
        plugin: the plugin's name.
    """

    def __init__(self, kind: str, limit: float, used: float, plugin: str = "") -> None:
        named = f"plugin {plugin}: " if plugin else ""
        super().__init__(f"{named}{kind}: the limit is {limit:g}, used {used:.6g}")
        self.kind = kind
        self.limit = limit
        self.used = used
        self.plugin = plugin

    def __reduce__(self) -> tuple[Any, ...]:
        return LimitExceeded, (self.kind, self.limit, self.used, self.plugin)


@dataclass
class Usage:
    """The account of a plugin's use so far.

    Attributes:
        requests: to the model.
        tokens: as the answers' ``usage`` tells.
        seconds: of its own running and pausing.
        peak_memory_mb: the most Lua memory that was in use at the end of a call, in 2^20 bytes.
    """

    requests: int = 0
    tokens: int = 0
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
