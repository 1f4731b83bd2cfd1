"""A worker's side of a run's pace: asks for permits where they are needed, and counts what is used.

``Permits`` is what the transport asks (see ``luaopenai.client.transport.set_pace``). It says what
it has to say through a function, so that it does not matter where the authority is.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any

from luaopenai.batch.pace import SLACK, Need, is_worth_telling
from luaopenai.client.cancel import current_call
from luaopenai.client.errors import OpenAIError
from luaopenai.client.failures import was_sent, was_stale
from luaopenai.host.tokens import BYTES_OF_A_TOKEN, WRITTEN, asked_tokens, told_parts

_USAGE = re.compile(rb'(?<!\\)"usage"\s*:\s*(?=\{)')
_EVENT = re.compile(rb"(?:^|\n)data:")
_MODELS = (*WRITTEN, "/embeddings")
"""The ends of the URLs at which a model works, and tokens are counted though nobody tells them."""
_TAIL = 1 << 16
"""Bytes of a stream's end that are looked through: that is where it tells its tokens."""
_decode = json.JSONDecoder().raw_decode


class RunIsOverError(OpenAIError):
    """The run ends, and sends nothing more."""


class _Try:
    """One request that is sent, from its permit to the end of its answer."""

    __slots__ = (
        "count",
        "input_tokens",
        "is_stream",
        "is_written",
        "model",
        "number",
        "pieces",
        "size",
    )

    def __init__(self, number: int | None, need: Need, url: str) -> None:
        self.number = number
        self.model = need.model
        self.input_tokens = need.input_tokens if url.endswith(_MODELS) else 0
        self.is_written = url.endswith(WRITTEN)
        self.is_stream = False
        self.pieces: list[bytes] = []
        self.size = 0
        self.count = 0


class Permits:
    """Asks for a permit for each request that asks a model, and counts what was used.

    Args:
        ask: is given a request's number and its need; ``grant`` answers.
        withdraw: is given the number of a request that is not sent after all.
        tell: is given the status and the headers of an answer that may change the pace.
        is_limited: whether requests need permits from the start.
        names_models: whether it matters which model is asked.
        slack: seconds for which a permit is good.
        settle: is given what each request with a permit has used, as ``take_used`` returns it.

    Attributes:
        learn: is given the headers of each request, which may hold a key that errors repeat.
        refused: how many requests were refused since the run ends.
    """

    def __init__(
        self,
        ask: Callable[[int, Need], object],
        withdraw: Callable[[int], object],
        tell: Callable[[int, dict[str, str]], object],
        settle: Callable[[list[list[Any]]], object],
        *,
        is_limited: bool,
        names_models: bool,
        slack: float = SLACK,
    ) -> None:
        self._slack = slack
        self._ask = ask
        self._withdraw = withdraw
        self._tell = tell
        self._settle = settle
        self.is_limited = is_limited
        self._names_models = names_models
        self.learn: Callable[[Mapping[str, str]], object] = _pass_over
        self.refused = 0
        self._lock = threading.Lock()
        self._last = 0
        self._waiting: dict[int, SimpleQueue[float | None]] = {}
        self._used: dict[str, list[int]] = {}
        self._is_over = False

    def limit(self) -> None:
        """From now on, requests need permits."""
        self.is_limited = True

    def grant(self, numbers: list[int], at: float) -> None:
        """Lets requests be sent; ``at`` is the time of the permit on the monotonic clock."""
        for number in numbers:
            reply = self._waiting.get(number)
            if reply is not None:
                reply.put(at)

    def end(self) -> None:
        """Refuses the requests that wait for a permit, and all that come."""
        self._is_over = True
        for reply in list(self._waiting.values()):
            reply.put(None)

    def take_used(self) -> list[list[Any]]:
        """Returns once what requests without permits have used: for each model, ``[None, MODEL,
        REQUESTS, INPUT TOKENS, OUTPUT TOKENS]``.
        """
        if not self._used:
            return []
        with self._lock:
            used, self._used = self._used, {}
        return [[None, model, *counts] for model, counts in used.items()]

    def before(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
    ) -> _Try | None:
        """See ``transport.Pace``: what is no ``POST`` asks no model, and needs no permit."""
        self.learn(headers)
        if method != "POST":
            return None
        if not self.is_limited:
            size = len(body or b"") // BYTES_OF_A_TOKEN
            need = self._need(body) if self._names_models else Need("", size)
            return _Try(None, need, url)
        need = self._need(body)
        return _Try(self._wait(need), need, url)

    def after(
        self, sent: _Try, status: int | None, headers: Mapping[str, str], failure: Exception | None
    ) -> Callable[[bytes], object] | None:
        """See ``transport.Pace``."""
        if status is None:
            was_lost = failure is None or (was_sent(failure) and not was_stale(failure))
            self._book(sent, sent.input_tokens if was_lost else 0, 0)
            return None
        if is_worth_telling(status, headers):
            names = ("retry-after", "retry-after-ms")
            limits = {
                name: value
                for name, value in headers.items()
                if name in names or name.startswith("x-ratelimit-")
            }
            self._tell(status, limits)
        if status >= 400:
            self._book(sent, 0, 0)
            return None
        sent.is_stream = headers.get("content-type", "").startswith("text/event-stream")

        def observe(piece: bytes) -> None:
            if piece:
                self._add(sent, piece)
            else:
                self._count(sent)

        return observe

    def _wait(self, need: Need) -> int:
        """Returns the number of a request that may be sent at once."""
        while True:
            number, reply = self._begin()
            call = current_call()
            if call is not None:
                call.attach(lambda reply=reply: reply.put(None))  # type: ignore[misc]
            try:
                self._ask(number, need)
                at = None if self._is_over else reply.get()
            finally:
                self._waiting.pop(number, None)
                if call is not None:
                    call.detach()
            if at is not None and time.monotonic() - at < self._slack:
                return number
            self._withdraw(number)
            if call is not None:
                call.check()
            if at is None:
                self.refused += 1
                raise RunIsOverError("the run is over, and sends nothing more")

    def _begin(self) -> tuple[int, SimpleQueue[float | None]]:
        reply = SimpleQueue[float | None]()
        with self._lock:
            self._last += 1
            self._waiting[self._last] = reply
            return self._last, reply

    def _need(self, body: bytes | None) -> Need:
        """Returns what a request may come to, from what it sends."""
        size = len(body or b"") // BYTES_OF_A_TOKEN
        try:
            payload = json.loads(body or b"{}")
        except ValueError:
            # A form with a file.
            return Need("", size, 0)
        if not isinstance(payload, dict):
            return Need("", size, 0)
        model = payload.get("model")
        return Need(model if isinstance(model, str) else "", size, asked_tokens(payload))

    def _add(self, sent: _Try, piece: bytes) -> None:
        sent.pieces.append(piece)
        sent.size += len(piece)
        if sent.is_stream:
            sent.count += len(_EVENT.findall(piece))
            while len(sent.pieces) > 1 and sent.size - len(sent.pieces[0]) > _TAIL:
                sent.size -= len(sent.pieces.pop(0))

    def _count(self, sent: _Try) -> None:
        """Books what an answer tells; where it tells nothing, what can be seen of it."""
        body = b"".join(sent.pieces)
        sent.pieces.clear()
        usage = find_usage(body)
        if usage is not None:
            self._book(sent, *usage)
        elif sent.is_stream:
            self._book(sent, sent.input_tokens, sent.count)
        else:
            came = len(body) // BYTES_OF_A_TOKEN if sent.is_written else 0
            self._book(sent, sent.input_tokens, came)

    def _book(self, sent: _Try, input_tokens: int, output_tokens: int) -> None:
        if sent.number is not None:
            self._settle([[sent.number, sent.model, 1, input_tokens, output_tokens]])
            return
        with self._lock:
            counts = self._used.setdefault(sent.model, [0, 0, 0])
            counts[0] += 1
            counts[1] += input_tokens
            counts[2] += output_tokens


def find_usage(body: bytes) -> tuple[int, int] | None:
    """Returns the tokens of question and answer that a body tells last; None where it tells none.

    The body may be JSON or a stream's end. Within a text the name would stand behind backslashes.
    """
    found = None
    for match in _USAGE.finditer(body):
        try:
            value, _ = _decode(body[match.end() : match.end() + _TAIL].decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            continue
        found = told_parts(value) or found
    return found


def _pass_over(_: Mapping[str, str]) -> None:
    """Learns nothing."""
