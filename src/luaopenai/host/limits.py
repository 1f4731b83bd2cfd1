"""The limits of a plugin, and the account of its use."""

from __future__ import annotations

from dataclasses import dataclass, fields


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
        answer_kb: kilobytes that a tool's result may come to as JSON: the model reads it, and each
            further request pays for it.
        total_requests: of all plugins of a host, over its life.
        total_tokens: likewise.
    """

    seconds: float | None = 2.0
    memory_mb: float | None = 64
    requests: int | None = 20
    tokens: int | None = 50_000
    output_kb: float | None = 256
    answer_kb: float | None = 64
    total_requests: int | None = None
    total_tokens: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (is_number and value >= 0):
                raise ValueError(f"Limits: {field.name}: expected a number from 0, got {value!r}")


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
