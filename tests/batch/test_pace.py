"""When a job's requests may be sent: rates, budgets, refusals; with a clock of our own."""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luaopenai.batch.pace import (
    MINUTE,
    SLACK,
    Need,
    Pace,
    Price,
    Rates,
    find_price,
    read_duration,
    read_prices,
)

PRICES = {"small": Price(1.0, 2.0)}
ONE = Need("small", 10, 5)


def grants(pace: Pace, wishes: list[tuple[float, Need]], seconds: float) -> list[float]:
    """Asks at the times of the wishes, and returns the times of the permits."""
    found: list[float] = []
    now, number = 0.0, 0
    coming = sorted(wishes, key=lambda one: one[0])
    while now <= seconds:
        while coming and coming[0][0] <= now:
            number += 1
            pace.ask((1, number), coming.pop(0)[1])
        granted, at = pace.due(now)
        for holder in granted:
            found.append(now)
            pace.settle(holder, "small", 1, 10, 5, now)
        if granted:
            continue
        later = [at] if at is not None else []
        later += [coming[0][0]] if coming else []
        if not later:
            break
        now = max(now + 1e-6, min(later))
    return found


def most_within(times: list[float], seconds: float) -> int:
    most, first = 0, 0
    for last, at in enumerate(times):
        while at - times[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


@given(
    st.one_of(st.integers(1, 5000), st.floats(0.5, 5000)),
    st.lists(st.floats(0, 150), min_size=1, max_size=400),
)
def test_no_minute_has_more_permits_than_the_rate(rate: float, times: list[float]) -> None:
    found = grants(Pace(Rates(rpm=rate), 0.0), [(at, ONE) for at in times], 400)
    a_hair = 1e-6  # The sums of floats are not exact.
    assert most_within(found, MINUTE + SLACK - a_hair) <= max(1, math.ceil(rate))


def test_a_rate_is_nearly_reached() -> None:
    found = grants(Pace(Rates(rpm=600), 0.0), [(0.0, ONE)] * 2000, 60)
    assert len(found) > 0.97 * 600


def test_a_high_rate_is_nearly_reached_too() -> None:
    found = grants(Pace(Rates(rpm=60_000), 0.0), [(0.0, ONE)] * 12_000, 10)
    assert len(found) > 0.97 * 10_000


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(0, 400)), min_size=1, max_size=200))
def test_no_minute_has_more_tokens_than_the_rate_and_one_request(
    sizes: list[tuple[int, int]],
) -> None:
    pace = Pace(Rates(tpm=3000), 0.0)
    now, sent = 0.0, []
    for number, (read, written) in enumerate(sizes):
        pace.ask((1, number), Need("small", read, written))
        granted, at = pace.due(now)
        while not granted:
            assert at is not None
            now = at
            granted, at = pace.due(now + 1e-6)
        pace.settle((1, number), "small", 1, read, written, now)
        sent.append((now, read + written))
    for begin, _ in sent:
        within = [size for at, size in sent if begin <= at < begin + MINUTE]
        assert sum(within) <= 3000 + max(within)


def test_a_question_takes_tokens_of_the_rate_before_its_answer_is_there() -> None:
    pace = Pace(Rates(tpm=6000), 0.0)
    for number in (1, 2):
        pace.ask((1, number), Need("small", 300, 1))
    granted, at = pace.due(0.0)
    assert granted == [(1, 1)]
    assert at is not None


def test_permits_come_in_the_order_in_which_they_were_asked_for() -> None:
    pace = Pace(Rates(rpm=60), 0.0)
    for number in range(5):
        pace.ask((number % 2, number), ONE)
    order: list[int] = []
    now = 0.0
    while len(order) < 5:
        granted, at = pace.due(now)
        order += [number for _, number in granted]
        now = at if at is not None else now
    assert order == [0, 1, 2, 3, 4]


@given(
    st.integers(0, 3000),
    st.integers(1, 40),
    st.lists(st.integers(1, 100), min_size=1, max_size=60),
)
def test_a_budget_of_tokens_is_never_exceeded_where_requests_say_their_most(
    budget: int, at_once: int, answers: list[int]
) -> None:
    pace = Pace(Rates(max_tokens=budget), 0.0)
    under_way: list[int] = []
    for number in range(len(answers)):
        pace.ask((1, number), Need("small", 10, 100))
    done = False
    while not done:
        granted, _ = pace.due(0.0)
        under_way += [number for _, number in granted]
        done = not under_way
        for number in under_way[:at_once]:
            pace.settle((1, number), "small", 1, 10, answers[number], 0.0)
        under_way = under_way[at_once:]
    totals = pace.totals
    assert totals.input_tokens + totals.output_tokens <= budget
    if totals.requests < len(answers):
        assert pace.spent is not None
        assert "the budget is used up" in pace.spent


@pytest.mark.parametrize(("budget", "sent"), [(44, 2), (45, 3), (46, 3)])
def test_a_request_is_sent_if_the_budget_has_room_for_all_that_it_may_use(
    budget: int, sent: int
) -> None:
    pace = Pace(Rates(max_tokens=budget), 0.0)
    assert len(grants(pace, [(0.0, ONE)] * 10, 10)) == sent


def test_a_budget_counts_what_former_runs_have_used() -> None:
    pace = Pace(Rates(max_tokens=1000), 0.0, used_tokens=990)
    pace.ask((1, 1), ONE)
    assert pace.due(0.0) == ([], None)
    assert pace.spent is not None
    assert "990 of 1,000 tokens" in pace.spent


def test_a_budget_of_cost_counts_what_former_runs_have_cost() -> None:
    cost = PRICES["small"].of(10, 5)
    pace = Pace(Rates(max_cost=3.5 * cost, prices=PRICES), 0.0, used_cost=2 * cost)
    assert len(grants(pace, [(0.0, ONE)] * 10, 10)) == 1


def test_a_budget_of_cost_stops_before_it_is_exceeded() -> None:
    cost = PRICES["small"].of(10, 5)
    pace = Pace(Rates(max_cost=3.5 * cost, prices=PRICES), 0.0)
    assert len(grants(pace, [(0.0, ONE)] * 10, 10)) == 3
    assert pace.totals.cost == pytest.approx(3 * cost)
    assert pace.spent is not None


def test_a_budget_that_is_reached_stops_the_run_while_others_are_under_way() -> None:
    pace = Pace(Rates(max_tokens=30), 0.0)
    for number in (1, 2):
        pace.ask((1, number), ONE)
    assert len(pace.due(0.0)[0]) == 2
    pace.settle((1, 1), "small", 1, 10, 20, 0.0)
    assert pace.spent is not None


def test_nothing_smaller_is_sent_once_the_budget_is_used_up() -> None:
    pace = Pace(Rates(max_tokens=30), 0.0)
    pace.ask((1, 1), Need("small", 10, 50))
    assert pace.due(0.0)[0] == []
    pace.withdraw((1, 1))
    pace.ask((1, 2), ONE)
    assert pace.due(0.0) == ([], None)


def test_what_an_answer_did_not_use_is_there_for_the_next() -> None:
    most = PRICES["small"].of(10, 100)
    pace = Pace(Rates(max_cost=1.5 * most, prices=PRICES), 0.0)
    for number in range(10):
        pace.ask((1, number), Need("small", 10, 100))
        assert pace.due(0.0)[0] == [(1, number)]
        pace.settle((1, number), "small", 1, 0, 0, 0.0)


def test_a_model_without_a_price_is_named() -> None:
    pace = Pace(Rates(max_cost=1.0, prices=PRICES), 0.0)
    pace.ask((1, 1), Need("large", 1, 1))
    pace.due(0.0)
    assert pace.spent == "there is no price for the model 'large'"


def test_a_lost_worker_gives_back_what_was_reserved_and_its_requests_count() -> None:
    pace = Pace(Rates(max_tokens=1000), 0.0)
    pace.ask((1, 1), Need("small", 10, 100))
    pace.ask((2, 1), Need("small", 10, 100))
    assert len(pace.due(0.0)[0]) == 2
    pace.ask((1, 2), ONE)
    pace.lose(1, 0.0)
    assert pace.totals.reserved_tokens == 110
    assert pace.totals.input_tokens + pace.totals.output_tokens == 110
    assert pace.due(1.0) == ([], None)


def test_what_is_withdrawn_takes_nothing() -> None:
    pace = Pace(Rates(max_tokens=1000), 0.0)
    pace.ask((1, 1), ONE)
    pace.ask((1, 2), ONE)
    pace.withdraw((1, 2))
    assert pace.due(0.0)[0] == [(1, 1)]
    pace.withdraw((1, 1))
    assert pace.totals.reserved_tokens == 0
    assert pace.totals.requests == 0


def test_a_run_without_limits_needs_no_permits_until_a_server_refuses() -> None:
    pace = Pace(Rates(), 0.0)
    assert not pace.is_limited
    pace.report(200, {}, 1.0)
    assert not pace.is_limited
    pace.report(429, {}, 1.0)
    assert pace.is_limited


@pytest.mark.parametrize("header", [{"retry-after": "20"}, {"retry-after-ms": "20000"}])
def test_retry_after_holds_all_requests(header: dict[str, str]) -> None:
    pace = Pace(Rates(), 0.0)
    pace.report(429, header, 1.0)
    pace.ask((1, 1), ONE)
    pace.ask((2, 1), ONE)
    granted, at = pace.due(2.0)
    assert (granted, at) == ([], 21.0)
    assert pace.due(21.0)[0]


def test_a_refusal_halves_the_rate_and_it_comes_back() -> None:
    pace = Pace(Rates(), 0.0)
    for tenth in range(50):
        pace.settle(None, "", 10, 0, 0, tenth / 10)
    pace.report(429, {}, 5.0)
    pace.report(429, {}, 5.1)
    assert pace.backoff.rate(5.5) == pytest.approx(50, rel=0.1)
    assert pace.backoff.rate(10.5) == pytest.approx(100, rel=0.1)


def test_refusals_without_a_time_are_waited_for_longer_each_time() -> None:
    pace = Pace(Rates(), 0.0)
    holds = []
    now = 0.0
    for _ in range(4):
        pace.report(429, {}, now)
        holds.append(pace.backoff.hold_until - now)
        now = pace.backoff.hold_until + 2
    assert holds == [0.5, 1.0, 2.0, 4.0]


def test_a_longer_time_that_a_server_tells_meanwhile_holds_too() -> None:
    pace = Pace(Rates(), 0.0)
    pace.report(429, {"retry-after": "5"}, 0.0)
    pace.report(429, {"retry-after": "20"}, 1.0)
    assert pace.backoff.hold_until == 21.0


def test_after_a_success_the_next_refusal_is_waited_for_as_the_first() -> None:
    pace = Pace(Rates(), 0.0)
    pace.report(429, {}, 0.0)
    pace.report(429, {}, 10.0)
    pace.report(200, {}, 20.0)
    pace.report(429, {}, 30.0)
    assert pace.backoff.hold_until == 30.5


@pytest.mark.parametrize(("headers", "until"), [({}, -math.inf), ({"retry-after": "20"}, 21.0)])
def test_an_overloaded_server_holds_requests_where_it_tells_a_time(
    headers: dict[str, str], until: float
) -> None:
    pace = Pace(Rates(), 0.0)
    pace.report(503, headers, 1.0)
    assert pace.backoff.hold_until == until


def test_a_server_that_has_nothing_left_is_waited_for() -> None:
    pace = Pace(Rates(), 0.0)
    told = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}
    pace.report(200, told, 1.0)
    pace.ask((1, 1), ONE)
    assert pace.due(1.0) == ([], 361.0)


def test_what_a_server_has_left_is_spread_over_the_time_that_is_left() -> None:
    pace = Pace(Rates(), 0.0)
    told = {
        "x-ratelimit-remaining-requests": "5",
        "x-ratelimit-limit-requests": "100",
        "x-ratelimit-reset-requests": "10s",
    }
    pace.report(200, told, 0.0)
    assert len(grants(pace, [(0.0, ONE)] * 20, 9.9)) == 5


_HEADERS = st.sampled_from(
    ["retry-after", "retry-after-ms"]
    + [
        f"x-ratelimit-{what}-{kind}"
        for what in ("limit", "remaining", "reset")
        for kind in ("requests", "tokens")
    ]
)


def test_a_server_holds_a_run_for_ten_minutes_at_most() -> None:
    pace = Pace(Rates(), 0.0)
    pace.report(429, {"retry-after": "3600"}, 0.0)
    assert pace.backoff.hold_until == 600.0


# The first text of a machine makes Hypothesis write a table of all characters.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(_HEADERS, st.text() | st.floats().map(str)), st.integers(100, 599))
def test_no_header_makes_a_run_wait_longer_than_ten_minutes(
    headers: dict[str, str], status: int
) -> None:
    pace = Pace(Rates(), 0.0)
    pace.report(status, headers, 0.0)
    assert pace.backoff.allowed_at() <= 600


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("6m0s", 360), ("120ms", 0.12), ("1s", 1), ("1h2m3.5s", 3723.5), ("7.66", 7.66),
     ("soon", None), ("1s and more", None), ("", None), (None, None)],
)  # fmt: skip
def test_durations_are_read(text: str | None, seconds: float | None) -> None:
    assert read_duration(text) == seconds


def test_prices_are_read_and_found_by_the_beginning_of_a_name() -> None:
    prices = read_prices({"gpt-5.4": {"input": 1, "output": 8}})
    assert find_price(prices, "gpt-5.4-2026-01-01") == Price(1.0, 8.0)
    assert find_price(prices, "gpt-5") is None
    assert Price(1.0, 8.0).of(1_000_000, 500_000) == 5.0


@pytest.mark.parametrize(
    "wrong", [[], {}, {"m": 1}, {"m": {"input": 1}}, {"m": {"input": -1, "output": 1}}]
)
def test_prices_that_are_none_are_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        read_prices(wrong)
