"""When a request is sent again, and after which pause; decided without I/O.

The rules are those of OpenAI's own Python client, but for requests that are not safe to repeat:
without an answer that refuses them, those are not sent twice.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from luaopenai.client.endpoints import ENDPOINTS
from luaopenai.client.pauses import requested_pause

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 8.0
LONGEST_RETRY_AFTER = 120.0
STREAM_REST = 1.0
"""Seconds in which a server may yet close a connection whose stream has ended.

llama.cpp does so 16 to 150 ms after the last byte, though it announces ``Keep-Alive``.
"""
KEEP_ALIVE_MARGIN = 1.0
"""Seconds before the end that a server has announced for an idle connection: a request takes
time to arrive."""

_ANNOUNCED = re.compile(r"(?:^|[,;\s])timeout\s*=\s*(\d{1,6})", re.IGNORECASE)
_SAFE_METHODS = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}
_PLACEHOLDER = re.compile(r"{\w+}")
# They change nothing that a later request could see.
_SAFE_POSTS = re.compile(
    "(?:{})\\Z".format(
        "|".join(
            _PLACEHOLDER.sub("[^/]+", endpoint.path)
            for endpoint in ENDPOINTS.values()
            if endpoint.method == "POST" and endpoint.repeatable
        )
    )
)


def is_repeatable(method: str, url: str) -> bool:
    """Returns whether a request may be sent again when its outcome is unknown."""
    if method == "POST":
        return _SAFE_POSTS.search(urlsplit(url).path) is not None
    return method in _SAFE_METHODS


def is_surely_kept(idle: float, *, after_stream: bool, announced: float | None) -> bool:
    """Returns whether a connection is safe for a request that must not be sent twice.

    A server that closes a connection while a request is on its way leaves open whether it has
    acted on it. So what is not repeatable goes out only where no end is to be expected.

    Args:
        idle: seconds since the connection's last answer.
        after_stream: whether that was an event stream.
        announced: seconds after which the server has said that it closes an idle connection.
    """
    if after_stream and idle < STREAM_REST:
        return False
    return announced is None or idle < announced - KEEP_ALIVE_MARGIN


def announced_rest(keep_alive: str | None) -> float | None:
    """Returns the idle seconds that a ``Keep-Alive`` header allows, or None."""
    found = _ANNOUNCED.search(keep_alive) if keep_alive else None
    return float(found[1]) if found else None


def is_refusal(status: int, headers: Mapping[str, str]) -> bool:
    """Returns whether a response asks to try again; of a failure, ``x-should-retry`` decides."""
    if status < 400:
        return False
    advice = headers.get("x-should-retry")
    if advice in ("true", "false"):
        return advice == "true"
    return status in (408, 409, 429) or status >= 500


def pause(retry: int, headers: Mapping[str, str] | None = None) -> float | None:
    """Returns the seconds to wait before a retry; None when the server asks for too many.

    Args:
        retry: 0 for the first.
        headers: of the answer that refused; ``retry-after-ms`` and ``retry-after`` (seconds or a
            date) are obeyed up to two minutes. None at all, zero, a date that has passed, or
            what is no time, leave the pause to the back-off.
    """
    seconds = requested_pause(headers or {})
    if seconds is not None and seconds > 0:
        return seconds if seconds <= LONGEST_RETRY_AFTER else None
    doubled = FIRST_PAUSE * 2.0 ** min(retry, 64)
    return min(doubled, LONGEST_PAUSE) * (1 - 0.25 * random.random())
