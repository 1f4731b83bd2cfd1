"""The one authority over a run's pace: serves the workers' requests for permits, in a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from luaopenai.batch.exchange import Usage
from luaopenai.batch.pace import Need, Pace, Rates, find_price

Grant = Callable[[list[int], float], object]


class Authority:
    """Gives permits to workers, and books what they use; every method is for any thread.

    Args:
        rates: what the job may use.
        on_change: called, in any thread, when the run must be limited or must stop.
    """

    def __init__(self, rates: Rates, on_change: Callable[[], object]) -> None:
        self._on_change = on_change
        self._pace = Pace(rates, time.monotonic())
        self._changed = threading.Condition()
        self._grants: dict[int, Grant] = {}
        self._usage = Usage()
        self._is_closed = False
        self._told_limited = self._pace.is_limited
        self._told_spent = False
        self._thread: threading.Thread | None = None

    @property
    def is_limited(self) -> bool:
        """Whether requests need permits."""
        return self._pace.is_limited

    @property
    def spent(self) -> str | None:
        """Why no further request may be sent; None as long as they may."""
        return self._pace.spent

    def start_from(self, used: Usage) -> None:
        """Counts what former runs have used towards the budgets."""
        with self._changed:
            self._pace.used_tokens = used.input_tokens + used.output_tokens
            self._pace.used_cost = used.cost

    def attach(self, worker: int, grant: Grant) -> None:
        """Notes how to tell a worker which of its requests may be sent, and since when."""
        with self._changed:
            self._grants[worker] = grant

    def ask(self, worker: int, number: int, need: Need) -> None:
        """Takes a worker's wish to send a request."""
        with self._changed:
            self._pace.ask((worker, number), need)
            self._wake()

    def book(self, worker: int, used: list[list[Any]]) -> None:
        """Takes what requests have used, as ``Permits`` tells it."""
        now = time.monotonic()
        with self._changed:
            for number, model, requests, input_tokens, output_tokens in used:
                if model is None:
                    self._pace.withdraw((worker, number))
                    continue
                holder = None if number is None else (worker, number)
                self._pace.settle(holder, model, requests, input_tokens, output_tokens, now)
                self._count(model, requests, input_tokens, output_tokens)
            self._wake()

    def report(self, status: int, headers: Mapping[str, str]) -> None:
        """Takes an answer that may change the pace."""
        with self._changed:
            self._pace.report(status, headers, time.monotonic())
            self._wake()

    def lose(self, worker: int) -> None:
        """Forgets a worker that has ended, and counts what was reserved for it."""
        with self._changed:
            self._grants.pop(worker, None)
            before = self._pace.totals
            counts = before.requests, before.input_tokens, before.output_tokens, before.cost
            self._pace.lose(worker, time.monotonic())
            after = self._pace.totals
            self._usage += Usage(
                after.requests - counts[0],
                after.input_tokens - counts[1],
                after.output_tokens - counts[2],
                after.cost - counts[3],
            )
            self._wake()

    def take_usage(self) -> Usage:
        """Returns once what was used since the last time."""
        with self._changed:
            usage, self._usage = self._usage, Usage()
        return usage

    def close(self) -> None:
        """Ends the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def _count(self, model: str, requests: int, input_tokens: int, output_tokens: int) -> None:
        price = find_price(self._pace.rates.prices, model)
        cost = price.of(input_tokens, output_tokens) if price else 0.0
        self._usage += Usage(requests, input_tokens, output_tokens, cost)

    def _wake(self) -> None:
        """Has the thread look again; without limits, and so without budgets, there is nothing to
        look at.
        """
        if self._pace.is_limited:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve, name="luaopenai-pace", daemon=True
                )
                self._thread.start()
            self._changed.notify()
            if not self._told_limited:
                self._told_limited = True
                self._on_change()

    def _serve(self) -> None:
        while True:
            with self._changed:
                if self._is_closed:
                    return
                now = time.monotonic()
                granted, at = self._pace.due(now)
                by_worker: dict[int, list[int]] = {}
                for worker, number in granted:
                    by_worker.setdefault(worker, []).append(number)
                grants = [(self._grants.get(one), list_) for one, list_ in by_worker.items()]
                if self._pace.spent is not None and not self._told_spent:
                    self._told_spent = True
                    self._on_change()
                if not granted:
                    self._changed.wait(None if at is None else max(0.0, at - now))
            for grant, numbers in grants:
                if grant is not None:
                    grant(numbers, now)
