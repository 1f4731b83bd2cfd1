"""Waits for what a server does in the background: when it is done, when to ask again; no I/O."""

from __future__ import annotations

from luaopenai.client.endpoints import find
from luaopenai.client.pauses import requested_pause

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from luaopenai.client.endpoints import Endpoint

FIRST_PAUSE = 1.0
GROWTH = 1.5
LONGEST_PAUSE = 30.0
FINAL_STATUSES = (
    "completed",
    "succeeded",
    "processed",
    "failed",
    "error",
    "cancelled",
    "canceled",
    "expired",
    "incomplete",
)
"""The statuses of batches, responses, jobs, runs, files and videos that do not change any more."""


def find_polled(name: str) -> Endpoint:
    """Returns the endpoint of a method that may be called again and again; it must be a ``GET``.

    Raises:
        ValueError: there is no such method, or it does more.
    """
    endpoint = find(name, "wait_for")
    if endpoint.method != "GET":
        raise ValueError(f"wait_for: {name} sends {endpoint.method}, which is not for polling")
    return endpoint


def check_seconds(name: str, value: object) -> None:
    """Raises ``ValueError`` unless an option is None or a number of seconds."""
    if value is None:
        return
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not value >= 0:  # type: ignore[operator]
        raise ValueError(f"wait_for: {name} is a number of seconds, from 0")


def is_final(name: str, status: object) -> bool:
    """Returns whether the ``status`` in a body will not change any more.

    Raises:
        ValueError: the answer has none.
    """
    if not isinstance(status, str):
        raise ValueError(
            f"wait_for: the answer of {name} has no status; done is to say when it is over"
        )
    return status in FINAL_STATUSES


def next_pause(polls: int, interval: float | None, headers: Mapping[str, str]) -> float:
    """Returns the seconds to wait before the next poll.

    Args:
        polls: how many there were.
        interval: the caller's first pause. Each is half as long again as the one before, up to
            ``LONGEST_PAUSE`` or to the first, whichever is longer.
        headers: of the last answer, which may ask for another pause.
    """
    seconds = requested_pause(headers, (("openai-poll-after-ms", 1000.0),))
    if seconds is not None and seconds > 0:
        return seconds
    first = FIRST_PAUSE if interval is None else interval
    grown: float = first * GROWTH ** min(polls - 1, 64)
    return min(grown, max(first, LONGEST_PAUSE))


def too_late(name: str, timeout: float, status: object) -> str:
    """Returns the error text for a wait that ran out of time."""
    last = f"; its last status was {status}" if isinstance(status, str) else ""
    return f"wait_for: {name} was not done within {timeout:g} s{last}"
