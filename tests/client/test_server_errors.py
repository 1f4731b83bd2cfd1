"""A server's own words about an error, found in whatever its body is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luaopenai.client.server_errors import error_text, reported_error

MISSING = {"loc": ["body", "messages", 0, "role"], "msg": "Field required", "type": "missing"}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"detail": "Not Found"}, ": Not Found"),
        ({"detail": [MISSING]}, ": body.messages.0.role: Field required"),
        (
            {"detail": [MISSING, {"msg": "Too long"}, "and so on", 5, {"loc": []}]},
            ": body.messages.0.role: Field required; Too long; and so on",
        ),
        ({"detail": {"message": "No", "code": 7}}, ": No (7)"),
        ({"detail": {"error": "No"}}, ": No"),
        ({"detail": 5}, ""),
        ({"object": "error", "message": "No model", "code": 404}, ": No model (404)"),
        ([{"error": {"message": "Bad key", "code": 400}}], ": Bad key (400)"),
        ({"error": {"message": "No", "code": 400.0}}, ": No (400)"),
        ([], ""),
    ],
    ids=repr,
)
def test_the_words_are_found_in_json(body: object, text: str) -> None:
    assert error_text(body) == text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("Service Unavailable", ": Service Unavailable"),
        ("  upstream\nis  down\r\n", ": upstream is down"),
        ("x" * 201, ": " + "x" * 200 + "…"),
        ("<!DOCTYPE html><p>502</p>", ""),
        ("  <html>", ""),
        ("", ""),
        ("caf\ufffd", ""),
        ("\x00\x01", ""),
        (b"gone fishing", ": gone fishing"),
        (b"\x89PNG\xff", ""),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_the_words_may_be_a_short_plain_text(body: object, text: str) -> None:
    assert error_text(body) == text


@pytest.mark.parametrize(
    "body",
    [
        'data: {"error": {"message": "Busy", "code": 3}}\n\ndata: [DONE]\n\n',
        'event: error\ndata: {"choices": []}\n\ndata: {"message": "Busy", "code": 3}\n\n',
        'data: {"error":\ndata: {"message": "Busy", "code": 3}}',
        ': hello\r\n\r\ndata: {"error": {"message": "Busy", "code": 3}}\r\n\r\n',
    ],
    ids=repr,
)
def test_the_words_may_come_as_an_event(body: str) -> None:
    assert error_text(body) == ": Busy (3)"


def test_the_words_may_be_an_event_of_plain_text() -> None:
    assert error_text("event: error\ndata: Busy\n\n") == ": Busy"


@pytest.mark.parametrize(
    "body", [{}, {"error": None}, {"message": "Hi"}, "Busy", "<html>", None, [], [1], {"error": {}}]
)
def test_an_answer_that_reports_no_error_has_none(body: object) -> None:
    assert reported_error(body) == ""


@given(st.binary())
def test_any_body_has_some_words_or_none(body: bytes) -> None:
    assert isinstance(error_text(body), str)
    assert isinstance(reported_error(body.decode("utf-8", "replace")), str)


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "detail", "message", "code", "loc", "msg"]), inner
        )
    ),
)


@given(VALUES)
def test_any_json_has_some_words_or_none(body: object) -> None:
    assert isinstance(error_text(body), str)
    assert isinstance(reported_error(body), str)
