"""Counts what a plugin's request costs, from what the server tells, else from what can be seen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

WRITTEN = ("/chat/completions", "/completions", "/responses")
"""The paths, or their ends, at which a model writes the answer."""

BYTES_OF_A_TOKEN = 4
"""About how many, in the languages that models are asked in most."""

LONGEST_ANSWER = 131_072
"""Tokens: no model writes more in one answer, whatever a request asks for."""

_ANSWER_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_COUNTS = ("n", "best_of")
_MOST_ANSWERS = 128
_PARTS = ("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens")
_ALL_TOKENS = ("total_tokens", *_PARTS)
_LABELS = {"id", "index", "name", "role", "type"}
_MOST = 2**53


def asked_tokens(payload: Mapping[str, Any]) -> int:
    """Returns the most tokens that a request lets the model write; 0 where it sets no limit."""
    most = max([_whole(payload.get(name)) for name in _ANSWER_LIMITS])
    return most and min(most, LONGEST_ANSWER) * min(_answers(payload), _MOST_ANSWERS)


def check_amounts(payload: Mapping[str, Any]) -> None:
    """Raises ``ValueError`` for an amount that some server might read and this host cannot."""
    for name in (*_ANSWER_LIMITS, *_COUNTS):
        value = payload.get(name)
        if value is not None and not _is_number(value):
            raise ValueError(f"payload.{name}: expected a number")


def hold_to(payload: dict[str, Any], most: int) -> None:
    """Lowers a request's limits to so many tokens for all its answers, at least one for each."""
    given = [name for name in _ANSWER_LIMITS if payload.get(name) is not None]
    each = max(1, most // _answers(payload)) if given else 1
    for name in given:
        if _whole(payload[name]) > each:
            payload[name] = each


def reported_tokens(event: Any) -> int | None:
    """Returns the tokens that an answer, or an event of a stream, reports as its cost.

    ``usage`` stands in a chat completion itself, and in the ``response`` of a Responses event.
    """
    usage = _usage_of(event)
    if usage is None:
        return None
    parts = [_whole(usage.get(name)) for name in _PARTS]
    return max(_whole(usage.get("total_tokens")), sum(parts))


def told_parts(usage: Any) -> tuple[int, int] | None:
    """Returns the tokens of the question and of the answer in what stands under ``usage``.

    None where it tells of none. A total that is more than both counts for the answer.
    """
    if not _tells(usage):
        return None
    prompt, completion, read, written = (_whole(usage.get(name)) for name in _PARTS)
    asked = prompt + read
    return asked, max(completion + written, _whole(usage.get("total_tokens")) - asked)


def _usage_of(event: Any) -> dict[str, Any] | None:
    if not isinstance(event, dict):
        return None
    response = event.get("response")
    within = response.get("usage") if isinstance(response, dict) else None
    usage: dict[str, Any] | None = event.get("usage") or within
    return usage if _tells(usage) else None


def _tells(usage: Any) -> bool:
    """Returns whether a value has a count of tokens; less than none is no count."""
    return isinstance(usage, dict) and any(_is_count(usage.get(name)) for name in _ALL_TOKENS)


class TokenCount:
    """The tokens of one request.

    A server's own word holds. Without it, four bytes of the request count as a token; and so much
    of the answer as the request let the model write, or as has come, whichever is more.

    Args:
        request: the size of the request's body in bytes.
        asked: the most tokens that it lets the model write, 0 where that is unknown.
        is_written: whether a model writes the answer; others cost nothing.
    """

    def __init__(self, request: int, asked: int, *, is_written: bool = True) -> None:
        self._prompt = request // BYTES_OF_A_TOKEN
        self._asked = asked
        self._is_written = is_written
        self._came = 0
        self._reported: int | None = None
        self._reported_so_far: int | None = None

    def add_event(self, event: Any) -> None:
        """Counts the text in an event of a stream, or takes the cost that it reports."""
        self._came += max(1, _written(event) // BYTES_OF_A_TOKEN)
        reported = reported_tokens(event)
        if reported is None:
            return
        if _is_under_way(event):
            self._reported_so_far = max(self._reported_so_far or 0, reported)
        else:
            self._reported = max(self._reported or 0, reported)

    def add_bytes(self, size: int) -> None:
        """Counts so many bytes of an answer that is no stream."""
        if self._is_written:
            self._came += size // BYTES_OF_A_TOKEN

    def add_answer(self, answer: Any) -> None:
        """Takes the cost that a whole answer reports."""
        self._reported = reported_tokens(answer)

    def add_refusal(self, answer: Any) -> None:
        """Takes the cost that a refusal reports; without one it is 0, for no model has worked."""
        self._reported = reported_tokens(answer) or 0

    def end(self) -> None:
        """Takes the end of a stream: the cost reported last is the whole."""
        if self._reported is None:
            self._reported = self._reported_so_far

    def total(self) -> int:
        """Returns the tokens to book."""
        if self._reported is not None:
            return self._reported
        return max(self._reported_so_far or 0, self._prompt + max(self._asked, self._came))


def _is_under_way(event: Any) -> bool:
    """Returns whether an event is within a stream, where some servers report the cost so far."""
    choices = event.get("choices")
    if not isinstance(choices, list) or not choices:
        return False
    return not any(isinstance(one, dict) and one.get("finish_reason") for one in choices)


def _written(event: Any) -> int:
    """Returns about how many characters the model has written in an event."""
    if not isinstance(event, dict):
        return 0
    choices = event.get("choices")
    parts = [event.get("delta")]
    for choice in choices if isinstance(choices, list) else []:
        if isinstance(choice, dict):
            parts += [choice.get("text"), choice.get("delta")]
    return sum(map(_characters, parts))


def _characters(value: Any) -> int:
    """Returns the length of all texts in a piece, without its labels."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(map(_characters, value))
    if isinstance(value, dict):
        return sum(_characters(item) for name, item in value.items() if name not in _LABELS)
    return 0


def _answers(payload: Mapping[str, Any]) -> int:
    return max(1, *(_whole(payload.get(name)) for name in _COUNTS))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: Any) -> int:
    """Returns a number of tokens or answers; 0 for anything else."""
    if value is None:  # as most are, of the many that are asked for in each request
        return 0
    return int(value) if _is_count(value) and value < _MOST else 0


def _is_count(value: Any) -> bool:
    return _is_number(value) and bool(value >= 0)
