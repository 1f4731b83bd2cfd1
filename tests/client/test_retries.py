"""When a request is sent again, and after which pause: the rules, without a network."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luaopenai.client import retries

HOST = "https://api.openai.com/v1"


def is_back_off(seconds: float | None, retry: int) -> bool:
    assert seconds is not None
    longest: float = min(retries.FIRST_PAUSE * 2.0 ** min(retry, 10), retries.LONGEST_PAUSE)
    return 0.75 * longest <= seconds <= longest


# --- Pauses ---


@given(st.integers(0, 5000))
def test_pauses_double_from_half_a_second_to_eight_less_up_to_a_quarter(retry: int) -> None:
    assert is_back_off(retries.pause(retry), retry)


def test_pauses_differ_so_that_clients_do_not_come_back_all_at_once() -> None:
    assert len({retries.pause(0) for _ in range(10)}) > 1


@given(st.floats(0, 120, exclude_min=True), st.integers(0, 9))
def test_retry_after_is_obeyed_in_seconds(seconds: float, retry: int) -> None:
    assert retries.pause(retry, {"retry-after": repr(seconds)}) == seconds


@given(st.floats(1e-9, 120_000))
def test_retry_after_ms_is_obeyed_before_retry_after(milliseconds: float) -> None:
    headers = {"retry-after-ms": repr(milliseconds), "retry-after": "7"}
    assert retries.pause(0, headers) == milliseconds / 1000


def test_a_retry_after_ms_that_is_no_number_leaves_the_word_to_retry_after() -> None:
    assert retries.pause(0, {"retry-after-ms": "soon", "retry-after": "7"}) == 7


@given(st.integers(3, 120))
def test_retry_after_may_be_a_date(seconds: int) -> None:
    date = formatdate(time.time() + seconds, usegmt=True)
    pause = retries.pause(0, {"retry-after": date})
    assert pause is not None
    assert seconds - 2 <= pause <= seconds


@pytest.mark.parametrize(
    "told",
    [
        "0",
        "0.0",
        "-1",
        "-1e999",
        "nan",
        "inf",
        "1e999",
        "tomorrow",
        "",
        "Wed, 21 Oct 2015 07:28:00 GMT",
        "Mon, 01 Jan 0001 00:00:00 GMT",
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "Fri, 31 Dec 99999 23:59:59 GMT",
        "Fri, 31 Dec 2027 25:61:61 GMT",
        "Fri, 31 Dec 2027 00:00:00 +999999999999",
    ],
)
def test_no_time_at_all_and_one_that_has_passed_leave_the_pause_to_the_back_off(told: str) -> None:
    assert is_back_off(retries.pause(1, {"retry-after": told}), 1)
    assert is_back_off(retries.pause(1, {"retry-after-ms": told}), 1)


FAR_DATES = ["Fri, 31 Dec 9999 23:59:59 GMT", "Fri, 31 Dec 9999 23:59:59 -2359"]


@pytest.mark.parametrize("told", ["120.1", "3600", "1e300", *FAR_DATES])
def test_more_than_two_minutes_are_not_waited_for(told: str) -> None:
    assert retries.pause(0, {"retry-after": told}) is None


def test_more_than_two_minutes_in_milliseconds_are_not_waited_for() -> None:
    assert retries.pause(0, {"retry-after-ms": "120001", "retry-after": "7"}) is None


DATE_LIKE = st.from_regex(
    r"[A-Z][a-z]{2}, \d{1,3} (Jan|Feb|Mar) \d{1,5} \d{1,3}:\d{1,3}(:\d{1,3})? (GMT|[+-]\d{4})",
    fullmatch=True,
)


@given(st.text() | DATE_LIKE, st.text())
def test_no_header_makes_a_pause_fail_or_outlast_two_minutes(after: str, after_ms: str) -> None:
    pause = retries.pause(0, {"retry-after": after, "retry-after-ms": after_ms})
    assert pause is None or 0 < pause <= 120


# --- Refusals ---


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529, 599])
def test_a_refusal_for_now_is_one(status: int) -> None:
    assert retries.is_refusal(status, {})


@pytest.mark.parametrize("status", [200, 201, 204, 301, 304, 400, 401, 403, 404, 410, 422])
def test_an_answer_for_good_is_no_refusal(status: int) -> None:
    assert not retries.is_refusal(status, {})


@pytest.mark.parametrize("status", [400, 404, 429, 500])
def test_x_should_retry_has_the_last_word_on_a_failure(status: int) -> None:
    assert retries.is_refusal(status, {"x-should-retry": "true"})
    assert not retries.is_refusal(status, {"x-should-retry": "false"})


@pytest.mark.parametrize("status", [200, 302])
def test_x_should_retry_does_not_make_a_refusal_of_a_success(status: int) -> None:
    assert not retries.is_refusal(status, {"x-should-retry": "true"})


def test_an_x_should_retry_that_is_neither_says_nothing() -> None:
    assert retries.is_refusal(429, {"x-should-retry": "maybe"})
    assert not retries.is_refusal(400, {"x-should-retry": "maybe"})


# --- What may be sent twice ---


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_a_method_that_http_calls_idempotent_is_repeatable(method: str) -> None:
    assert retries.is_repeatable(method, f"{HOST}/files/file-1")


@pytest.mark.parametrize(
    "path",
    [
        "/chat/completions",
        "/completions",
        "/embeddings",
        "/moderations?api-version=1",
        "/vector_stores/vs_1/search",
        "/responses/input_tokens",
    ],
)
def test_a_post_that_leaves_nothing_behind_is_repeatable(path: str) -> None:
    assert retries.is_repeatable("POST", HOST + path)


@pytest.mark.parametrize(
    "path",
    [
        "/responses",
        "/responses/r/cancel",
        "/files",
        "/images/generations",
        "/audio/transcriptions",
        "/vector_stores/vs_1/files",
        "/vector_stores/search",
        "/vector_stores/a/b/search",
        "/chat/completions/chatcmpl_1",
        "/batches?endpoint=/v1/chat/completions",
    ],
)
def test_a_post_that_makes_something_is_not_repeatable(path: str) -> None:
    assert not retries.is_repeatable("POST", HOST + path)


@pytest.mark.parametrize("method", ["PATCH", "CONNECT", "get"])
def test_no_other_method_is_repeatable(method: str) -> None:
    assert not retries.is_repeatable(method, f"{HOST}/chat/completions")


# --- Which connection ---


@given(st.floats(0, 1e6))
def test_a_connection_of_whose_end_nothing_is_known_may_carry_anything(idle: float) -> None:
    assert retries.is_surely_kept(idle, after_stream=False, announced=None)


@pytest.mark.parametrize(("idle", "is_kept"), [(0, False), (0.9, False), (1, True), (100, True)])
def test_a_connection_rests_for_a_second_after_a_stream(idle: float, is_kept: bool) -> None:
    assert retries.is_surely_kept(idle, after_stream=True, announced=None) == is_kept


@pytest.mark.parametrize(("idle", "is_kept"), [(0, True), (3.9, True), (4, False), (9, False)])
def test_a_second_before_its_announced_end_a_connection_carries_nothing_that_must_not_be_lost(
    idle: float, is_kept: bool
) -> None:
    assert retries.is_surely_kept(idle, after_stream=False, announced=5) == is_kept
