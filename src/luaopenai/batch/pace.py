"""When a request of a job may be sent: rates, budgets and what servers say; decided without I/O.

Every function that needs the time is given it, in seconds of any clock that only goes forward.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from luaopenai.client.pauses import requested_pause

MINUTE = 60.0
SLACK = 0.6
"""Seconds that a permit is good for: with them no minute at the server sees more than the rate."""

FIRST_GUESS = 256
"""Tokens of an answer, as long as there is none to learn from."""

LONGEST_HOLD = 600.0
"""Seconds for which a server may stop the whole run with one answer."""

_BURST = 0.1
"""Seconds of a high rate that may be sent together: permits are given at intervals."""
_TOKEN_BURST = 1 / 20
_CUT = 0.5
_RISE = 1.15
"""By how much the rate after a cut grows each second: it doubles in five."""
_CUT_SECONDS = 1.0
"""Refusals within this time count once: they answer requests of the former rate."""
_FIRST_HOLD = 0.5
_LONGEST_GUESSED_HOLD = 30.0
_SLOWEST = 0.05
_SEEN_SECONDS = 5.0
_LOW = 0.1
"""The part of a server's limit from which on what is left is spread over the time that is left."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Price:
    """The price of a million tokens, in any currency."""

    input: float
    output: float

    def of(self, input_tokens: int, output_tokens: int) -> float:
        """Returns the cost of so many tokens."""
        return (input_tokens * self.input + output_tokens * self.output) / 1e6


def read_prices(value: object) -> dict[str, Price]:
    """Returns the prices of a file's content; raises ``ValueError`` that names what is wrong.

    The content is ``{"MODEL": {"input": 0.15, "output": 0.6}}``, per million tokens.
    """
    if not isinstance(value, dict) or not value:
        raise ValueError("expected an object with a model's name for each price")
    prices = {}
    for model, price in value.items():
        amounts = [price.get(name) for name in ("input", "output")] if _is_price(price) else []
        if not amounts or not all(map(_is_amount, amounts)):
            raise ValueError(f'{model}: expected {{"input": NUMBER, "output": NUMBER}}')
        prices[model] = Price(*map(float, amounts))
    return prices


def find_price(prices: Mapping[str, Price], model: str) -> Price | None:
    """Returns a model's price; a name that begins with a known one and ``-`` has that one's."""
    while model not in prices:
        model, dash, _ = model.rpartition("-")
        if not dash:
            return None
    return prices[model]


@dataclass(frozen=True)
class Rates:
    """The rates and budgets of a job.

    Attributes:
        rpm: requests a minute.
        tpm: tokens a minute, of questions and answers together.
        max_tokens: tokens in all.
        max_cost: cost in all, in the currency of the prices.
        prices: by model.
        slack: seconds for which a permit is good, by which the minute is longer.
    """

    rpm: float | None = None
    tpm: float | None = None
    max_tokens: int | None = None
    max_cost: float | None = None
    prices: Mapping[str, Price] = field(default_factory=dict)
    slack: float = SLACK

    @property
    def are_limited(self) -> bool:
        """Whether a request needs a permit from the start."""
        return any(
            limit is not None for limit in (self.rpm, self.tpm, self.max_tokens, self.max_cost)
        )


@dataclass(frozen=True)
class Need:
    """The most that a request may use.

    Attributes:
        model: which it asks.
        input_tokens: of the question, about.
        asked_tokens: the most that the answer may have; 0 where the request does not say.
    """

    model: str = ""
    input_tokens: int = 0
    asked_tokens: int = 0


class Spacing:
    """Requests at a rate: in no window of a minute and ``SLACK`` are there more than it allows.

    With ``n`` together at most, and ``t`` seconds from one to the next in the long run, a window of
    ``w`` seconds has fewer than ``w / t + n``; so ``t`` is ``w / (rate - n + 1)``.
    """

    def __init__(self, per_minute: float, slack: float = SLACK) -> None:
        together = max(1, int(per_minute / MINUTE * _BURST))
        self._interval = (MINUTE + slack) / (per_minute - together + 1)
        self._tolerance = (together - 1) * self._interval
        self._next = -math.inf

    def allowed_at(self) -> float:
        """Returns the time from which on the next request may be sent."""
        return self._next - self._tolerance

    def take(self, now: float) -> None:
        """Notes a request."""
        self._next = max(now, self._next) + self._interval


class TokenBucket:
    """Tokens at a rate: what a request has reserved too much comes back when it is done."""

    def __init__(self, per_minute: float, now: float, slack: float = SLACK) -> None:
        self._most = per_minute * _TOKEN_BURST
        self._rate = (per_minute - self._most) / (MINUTE + slack)
        self._level = self._most
        self._at = now

    def allowed_at(self, tokens: int, now: float) -> float:
        """Returns the time from which on so many may be taken; more than fit, when it is full."""
        self._fill(now)
        missing = min(tokens, self._most) - self._level
        return now if missing <= 0 else now + missing / self._rate

    def take(self, tokens: int, now: float) -> None:
        """Takes tokens, or gives some back when there are less than none."""
        self._fill(now)
        self._level = min(self._most, self._level - tokens)

    def _fill(self, now: float) -> None:
        self._level = min(self._most, self._level + self._rate * max(0.0, now - self._at))
        self._at = max(now, self._at)


class Backoff:
    """The limits that servers set: a refusal stops everyone for a time and halves the rate.

    Until there is a refusal there is no rate; after one it rises again.
    """

    def __init__(self) -> None:
        self.hold_until = -math.inf
        self._rate = math.inf
        self._cut_at = -math.inf
        self._next = -math.inf
        self._refusals = 0
        self._sent: deque[tuple[float, int]] = deque()
        self._spread = math.inf
        self._spread_until = -math.inf

    @property
    def is_needed(self) -> bool:
        """Whether anything was refused, or is about to be."""
        return self.hold_until > -math.inf or self._rate < math.inf

    def rate(self, now: float) -> float:
        """Returns the requests a second that may be sent now."""
        since = max(0.0, now - max(self._cut_at, self.hold_until))
        risen = self._rate * float(_RISE ** min(since, 300.0))
        return min(risen, self._spread if now < self._spread_until else math.inf)

    def allowed_at(self) -> float:
        """Returns the time from which on the next request may be sent."""
        return max(self.hold_until, self._next)

    def take(self, now: float) -> None:
        """Notes a request that needed a permit."""
        self.note_sent(1, now)
        rate = self.rate(now)
        if rate < math.inf:
            self._next = max(now, self._next) + 1 / rate

    def note_sent(self, count: int, now: float) -> None:
        """Notes requests, so that it is known what rate a refusal answers."""
        if self._sent and now - self._sent[-1][0] < _SEEN_SECONDS / 50:
            at, before = self._sent.pop()
            self._sent.append((at, before + count))
        else:
            self._sent.append((now, count))
        self._forget(now)

    def report(self, status: int, headers: Mapping[str, str], now: float) -> None:
        """Takes an answer, with names of headers in lower case."""
        if status == 429 or (status == 503 and "retry-after" in headers):
            self._refused(requested_pause(headers), now)
        elif status < 400:
            self._refusals = 0
        for kind in ("requests", "tokens"):
            self._take_remaining(kind, headers, now)

    def _refused(self, requested: float | None, now: float) -> None:
        if requested is not None and requested > 0:
            pause = min(requested, LONGEST_HOLD)
        else:
            pause = min(_FIRST_HOLD * 2.0 ** min(self._refusals, 16), _LONGEST_GUESSED_HOLD)
        if now - self._cut_at >= _CUT_SECONDS and now >= self.hold_until:
            self._refusals += 1
            self._rate = max(_SLOWEST, min(self.rate(now), self._seen_rate(now)) * _CUT)
            self._cut_at = now
        if requested is not None or now >= self.hold_until:
            self.hold_until = max(self.hold_until, now + pause)

    def _take_remaining(self, kind: str, headers: Mapping[str, str], now: float) -> None:
        """Takes how many requests or tokens a server says that it has left."""
        left = _number(headers.get(f"x-ratelimit-remaining-{kind}"))
        seconds = read_duration(headers.get(f"x-ratelimit-reset-{kind}"))
        if left is None or seconds is None or not 0 < seconds <= LONGEST_HOLD:
            return
        if left <= 0:
            self.hold_until = max(self.hold_until, now + seconds)
            return
        limit = _number(headers.get(f"x-ratelimit-limit-{kind}"))
        if kind == "requests" and limit is not None and left < limit * _LOW:
            self._spread, self._spread_until = left / seconds, now + seconds
            self.hold_until = max(self.hold_until, now)
        elif kind == "requests":
            self._spread_until = -math.inf

    def _seen_rate(self, now: float) -> float:
        """Returns how many requests a second were sent lately; infinite where that is too early to
        say, as when all of them were sent at once.
        """
        self._forget(now)
        seconds = now - self._sent[0][0] if self._sent else 0.0
        if seconds < _CUT_SECONDS:
            return math.inf
        return sum(count for _, count in self._sent) / seconds

    def _forget(self, now: float) -> None:
        while self._sent and self._sent[0][0] < now - _SEEN_SECONDS:
            self._sent.popleft()


def is_worth_telling(status: int, headers: Mapping[str, str]) -> bool:
    """Returns whether an answer may change the pace of a run that has no limits of its own."""
    if status in (429, 503):
        return True
    for kind in ("requests", "tokens"):
        left = _number(headers.get(f"x-ratelimit-remaining-{kind}"))
        limit = _number(headers.get(f"x-ratelimit-limit-{kind}"))
        if left is not None and (left <= 0 or (limit is not None and left < limit * _LOW)):
            return True
    return False


def read_duration(text: str | None) -> float | None:
    """Returns the seconds of ``6m0s``, ``120ms`` or ``1.5``; None for what is no duration."""
    if text is None:
        return None
    plain = _number(text)
    if plain is not None:
        return plain
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


@dataclass
class Totals:
    """The use so far, and the part that is reserved for requests under way."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    reserved_tokens: int = 0
    reserved_cost: float = 0.0


@dataclass(frozen=True)
class _Reservation:
    tokens: int
    cost: float
    """For the budgets."""
    paced: int
    """Tokens that were taken from the bucket."""
    need: Need


Holder = tuple[int, int]
"""Whose request it is: the worker's number, and the request's own in that worker."""


class Pace:
    """The one authority of a run: it gives permits in the order in which they were asked for.

    Args:
        rates: what the job may use.
        now: the time.
        used_tokens, used_cost: what former runs of the job have used.

    Attributes:
        totals: what this run has used.
        spent: why no further request may be sent, once a budget is used up; else None.
    """

    def __init__(
        self, rates: Rates, now: float, used_tokens: int = 0, used_cost: float = 0.0
    ) -> None:
        self.rates = rates
        self.totals = Totals()
        self.spent: str | None = None
        self.backoff = Backoff()
        self.used_tokens = used_tokens
        self.used_cost = used_cost
        self._requests = Spacing(rates.rpm, rates.slack) if rates.rpm else None
        self._tokens = TokenBucket(rates.tpm, now, rates.slack) if rates.tpm else None
        self._waiting: deque[tuple[Holder, Need]] = deque()
        self._reservations: dict[Holder, _Reservation] = {}
        self._answers = 0
        self._output = 0

    @property
    def is_limited(self) -> bool:
        """Whether requests need permits: they do from the first refusal on."""
        return self.rates.are_limited or self.backoff.is_needed

    def ask(self, holder: Holder, need: Need) -> None:
        """Takes the wish to send a request."""
        self._waiting.append((holder, need))

    def withdraw(self, holder: Holder) -> None:
        """Forgets a wish; gives back what is reserved for it if it was granted meanwhile."""
        self._waiting = deque(one for one in self._waiting if one[0] != holder)
        reservation = self._reservations.pop(holder, None)
        if reservation is not None:
            self._release(reservation)

    def due(self, now: float) -> tuple[list[Holder], float | None]:
        """Returns whose requests may be sent now, and the time to ask again.

        That is None where only another wish or the end of a request can change something.
        """
        granted: list[Holder] = []
        while self._waiting and self.spent is None:
            holder, need = self._waiting[0]
            reservation = self._reserve(need)
            if reservation is None:
                break
            at = self._allowed_at(reservation, now)
            if at > now:
                return granted, at
            self._waiting.popleft()
            self._take(holder, reservation, now)
            granted.append(holder)
        return granted, None

    def settle(
        self,
        holder: Holder | None,
        model: str,
        requests: int,
        input_tokens: int,
        output_tokens: int,
        now: float,
    ) -> None:
        """Books what a request has used, or several that needed no permit."""
        reservation = self._reservations.pop(holder, None) if holder else None
        if reservation is not None:
            self._release(reservation)
            if self._tokens is not None:
                self._tokens.take(input_tokens + output_tokens - reservation.paced, now)
        elif requests:
            self.backoff.note_sent(requests, now)
        price = find_price(self.rates.prices, model)
        totals = self.totals
        totals.requests += requests
        totals.input_tokens += input_tokens
        totals.output_tokens += output_tokens
        totals.cost += price.of(input_tokens, output_tokens) if price else 0.0
        if output_tokens:
            self._answers += requests
            self._output += output_tokens
        self._check_budgets()

    def report(self, status: int, headers: Mapping[str, str], now: float) -> None:
        """Takes what a server has answered."""
        self.backoff.report(status, headers, now)

    def lose(self, worker: int, now: float) -> None:
        """Forgets a worker; what was reserved for its requests counts as used."""
        self._waiting = deque(one for one in self._waiting if one[0][0] != worker)
        for holder, reservation in list(self._reservations.items()):
            if holder[0] == worker:
                need = reservation.need
                output = self._output_of(need)
                self.settle(holder, need.model, 1, need.input_tokens, output, now)

    def _output_of(self, need: Need) -> int:
        """Returns how many tokens an answer may have, as far as can be said."""
        guess = self._output // self._answers if self._answers else FIRST_GUESS
        return need.asked_tokens or guess

    def _reserve(self, need: Need) -> _Reservation | None:
        """Returns what a request takes; None where the budgets have no room for it now."""
        output = self._output_of(need)
        tokens = need.input_tokens + output
        cost = 0.0
        if self.rates.max_cost is not None:
            price = find_price(self.rates.prices, need.model)
            if price is None:
                self.spent = f"there is no price for the model {need.model!r}"
                return None
            cost = price.of(need.input_tokens, output)
        if not self._has_room(tokens, cost):
            if not self._reservations:
                self.spent = self._spent_words()
            return None
        # An answer seldom has as many tokens as it may have.
        usual = 2 * self._output // self._answers if self._answers else output
        return _Reservation(tokens, cost, need.input_tokens + min(output, usual), need)

    def _has_room(self, tokens: int, cost: float) -> bool:
        limits, totals = self.rates, self.totals
        if limits.max_tokens is not None:
            used = self._all_tokens() + totals.reserved_tokens
            if used + tokens > limits.max_tokens:
                return False
        if limits.max_cost is not None:
            spent = self.used_cost + totals.cost + totals.reserved_cost
            return spent + cost <= limits.max_cost
        return True

    def _all_tokens(self) -> int:
        return self.used_tokens + self.totals.input_tokens + self.totals.output_tokens

    def _check_budgets(self) -> None:
        limits = self.rates
        if (limits.max_tokens is not None and self._all_tokens() >= limits.max_tokens) or (
            limits.max_cost is not None and self.used_cost + self.totals.cost >= limits.max_cost
        ):
            self.spent = self._spent_words()

    def _spent_words(self) -> str:
        limits = self.rates
        words = []
        if limits.max_tokens is not None:
            words.append(f"{self._all_tokens():,} of {limits.max_tokens:,} tokens")
        if limits.max_cost is not None:
            words.append(f"{self.used_cost + self.totals.cost:.4g} of {limits.max_cost:g} in cost")
        return f"the budget is used up: {' and '.join(words)}, with no room for another request"

    def _allowed_at(self, reservation: _Reservation, now: float) -> float:
        at = self.backoff.allowed_at()
        if self._requests is not None:
            at = max(at, self._requests.allowed_at())
        if self._tokens is not None:
            at = max(at, self._tokens.allowed_at(reservation.paced, now))
        return at

    def _take(self, holder: Holder, reservation: _Reservation, now: float) -> None:
        self.backoff.take(now)
        if self._requests is not None:
            self._requests.take(now)
        if self._tokens is not None:
            self._tokens.take(reservation.paced, now)
        self._reservations[holder] = reservation
        self.totals.reserved_tokens += reservation.tokens
        self.totals.reserved_cost += reservation.cost

    def _release(self, reservation: _Reservation) -> None:
        self.totals.reserved_tokens -= reservation.tokens
        self.totals.reserved_cost -= reservation.cost


def _is_price(value: object) -> bool:
    return isinstance(value, dict)


def _is_amount(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= float(value) < math.inf  # type: ignore[arg-type]


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None
