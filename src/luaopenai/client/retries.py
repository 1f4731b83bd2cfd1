"""When a request is sent again, and after which pause; decided without I/O.

The rules are those of OpenAI's own Python client, but for requests that are not safe to repeat:
without an answer that refuses them, those are not sent twice.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 8.0
LONGEST_RETRY_AFTER = 60.0

_SAFE_METHODS = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}
# They change nothing that a later request could see.
_SAFE_POSTS = ("/chat/completions", "/completions", "/embeddings", "/moderations")


def is_repeatable(method: str, url: str) -> bool:
    """Whether a request may be sent again when nobody knows what became of it."""
    if method == "POST":
        return urlsplit(url).path.endswith(_SAFE_POSTS)
    return method in _SAFE_METHODS


def is_refusal(status: int, headers: Mapping[str, str]) -> bool:
    """Whether an answer says: not now. Of a failure, ``x-should-retry`` has the last word."""
    if status < 400:
        return False
    told = headers.get("x-should-retry")
    if told in ("true", "false"):
        return told == "true"
    return status in (408, 409, 429) or status >= 500


def pause(retry: int, headers: Mapping[str, str] | None = None) -> float:
    """Seconds to wait before a retry.

    Args:
        retry: 0 for the first.
        headers: of the answer that refused; ``retry-after-ms`` and ``retry-after`` (seconds or a
            date) are obeyed up to a minute.
    """
    told = _told(headers or {})
    if told is not None and 0 <= told <= LONGEST_RETRY_AFTER:
        return told
    doubled = FIRST_PAUSE * 2.0 ** min(retry, 64)
    return min(doubled, LONGEST_PAUSE) * (1 - 0.25 * random.random())


def _told(headers: Mapping[str, str]) -> float | None:
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            return float(headers[name]) / unit
        except (KeyError, ValueError):
            continue
    try:
        return max(0.0, parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time())
    except (KeyError, ValueError):
        return None
