"""Counts what a plugin's request costs, from what the server tells, else from what can be seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BYTES_OF_A_TOKEN = 4
"""About how many, in the languages that models are asked in most."""

LONGEST_ANSWER = 131_072
"""Tokens: no model writes more in one answer, whatever a request asks for."""

_ANSWER_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_COUNTS = ("n", "best_of")
_MOST_ANSWERS = 128
_PARTS = ("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens")
_MOST = 2**53


def asked_tokens(payload: Mapping[str, Any]) -> int:
    """Returns the most tokens that a request lets the model write; 0 where it does not say."""
    limits = [_whole(payload.get(name)) for name in _ANSWER_LIMITS]
    counts = [_whole(payload.get(name)) for name in _COUNTS]
    return min(max(limits), LONGEST_ANSWER) * min(max(1, *counts), _MOST_ANSWERS)


def told_tokens(event: Any) -> int | None:
    """Returns the tokens that an answer, or an event of a stream, says it has cost.

    ``usage`` stands in a chat completion itself, and in the ``response`` of a Responses event.
    """
    if not isinstance(event, dict):
        return None
    response = event.get("response")
    usage = event.get("usage") or (isinstance(response, dict) and response.get("usage"))
    if not isinstance(usage, dict):
        return None
    parts = [_whole(usage.get(name)) for name in _PARTS]
    total = max(_whole(usage.get("total_tokens")), sum(parts))
    return total if total or any(name in usage for name in ("total_tokens", *_PARTS)) else None


class TokenCount:
    """The tokens of one request.

    A server's own word holds. Without it, four bytes of the request count as a token; and so much
    of the answer as the request let the model write, or as has come, whichever is more.

    Args:
        request: the size of the request's body in bytes.
        asked: the most tokens that it lets the model write, 0 where that is unknown.
    """

    def __init__(self, request: int, asked: int) -> None:
        self._prompt = request // BYTES_OF_A_TOKEN
        self._asked = asked
        self._came = 0
        self._told: int | None = None

    def add_event(self, event: Any) -> None:
        """Counts an event of a stream: as one token, unless it tells the cost."""
        self._came += 1
        self._tell(event)

    def add_answer(self, answer: Any, size: int) -> None:
        """Counts a whole answer of so many bytes."""
        self._came += size // BYTES_OF_A_TOKEN
        self._tell(answer)

    def add_refusal(self) -> None:
        """Counts an answer for which no model has worked."""
        self._told = self._told or 0

    def total(self) -> int:
        """Returns the tokens to book."""
        if self._told is not None:
            return self._told
        return self._prompt + max(self._asked, self._came)

    def _tell(self, event: Any) -> None:
        told = told_tokens(event)
        if told is not None:
            self._told = max(self._told or 0, told)


def _whole(value: Any) -> int:
    """Returns a number of tokens or answers; 0 for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MOST:
        return 0
    return int(value)
