"""When a request is sent again, and after which pause: the rules, without a network."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luaopenai.client import retries

HOST = "https://api.openai.com/v1"


def is_back_off(seconds: float, retry: int) -> bool:
    longest: float = min(retries.FIRST_PAUSE * 2.0 ** min(retry, 10), retries.LONGEST_PAUSE)
    return 0.75 * longest <= seconds <= longest


# --- Pauses ---


@given(st.integers(0, 5000))
def test_pauses_double_from_half_a_second_to_eight_less_up_to_a_quarter(retry: int) -> None:
    assert is_back_off(retries.pause(retry), retry)


def test_pauses_differ_so_that_clients_do_not_come_back_all_at_once() -> None:
    assert len({retries.pause(0) for _ in range(10)}) > 1


@given(st.floats(0, retries.LONGEST_RETRY_AFTER), st.integers(0, 9))
def test_retry_after_is_obeyed_in_seconds(seconds: float, retry: int) -> None:
    assert retries.pause(retry, {"retry-after": repr(seconds)}) == seconds


@given(st.floats(0, retries.LONGEST_RETRY_AFTER * 1000))
def test_retry_after_ms_is_obeyed_before_retry_after(milliseconds: float) -> None:
    headers = {"retry-after-ms": repr(milliseconds), "retry-after": "7"}
    assert retries.pause(0, headers) == milliseconds / 1000


def test_a_retry_after_ms_that_is_no_number_leaves_the_word_to_retry_after() -> None:
    assert retries.pause(0, {"retry-after-ms": "soon", "retry-after": "7"}) == 7


@given(st.integers(2, 60))
def test_retry_after_may_be_a_date(seconds: int) -> None:
    date = formatdate(time.time() + seconds, usegmt=True)
    assert seconds - 2 <= retries.pause(0, {"retry-after": date}) <= seconds


def test_a_date_that_has_passed_asks_for_no_pause() -> None:
    assert retries.pause(0, {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0


@pytest.mark.parametrize(
    "told",
    [
        "60.1",
        "-1",
        "nan",
        "inf",
        "1e999",
        "tomorrow",
        "",
        formatdate(time.time() + 3600, usegmt=True),
    ],
)
def test_what_is_too_long_or_no_time_at_all_falls_back_to_the_back_off(told: str) -> None:
    assert is_back_off(retries.pause(1, {"retry-after": told}), 1)
    assert is_back_off(retries.pause(1, {"retry-after-ms": told.replace("60", "60000")}), 1)


DATE_LIKE = st.from_regex(
    r"[A-Z][a-z]{2}, \d{1,3} (Jan|Feb|Mar) \d{1,5} \d{1,3}:\d{1,3}(:\d{1,3})? (GMT|[+-]\d{4})",
    fullmatch=True,
)


@given(st.text() | DATE_LIKE, st.text())
def test_no_header_makes_a_pause_fail_or_outlast_a_minute(after: str, after_ms: str) -> None:
    pause = retries.pause(0, {"retry-after": after, "retry-after-ms": after_ms})
    assert 0 <= pause <= retries.LONGEST_RETRY_AFTER


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
    "path", ["/chat/completions", "/completions", "/embeddings", "/moderations?api-version=1"]
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
        "/batches?endpoint=/v1/chat/completions",
    ],
)
def test_a_post_that_makes_something_is_not_repeatable(path: str) -> None:
    assert not retries.is_repeatable("POST", HOST + path)


@pytest.mark.parametrize("method", ["PATCH", "CONNECT", "get"])
def test_no_other_method_is_repeatable(method: str) -> None:
    assert not retries.is_repeatable(method, f"{HOST}/chat/completions")
