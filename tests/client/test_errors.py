"""What the client raises: one family of errors, by status, with what the server said."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import urllib3

import luaopenai
from luaopenai import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    InternalServerError,
    LimitExceeded,
    LuaError,
    NotFoundError,
    OpenAIError,
    PermissionDeniedError,
    RateLimitError,
    Response,
    UnprocessableEntityError,
)
from luaopenai.client.completions import check_status
from luaopenai.client.deadlines import TotalTimeoutError
from luaopenai.client.errors import status_error
from luaopenai.client.failures import connection_error
from luaopenai.client.responses import check_response_status
from luaopenai.client.settings import Settings

BODY = {"error": {"message": "No key", "code": "invalid_api_key"}}
HEADERS = {"x-request-id": "req_7", "retry-after": "3"}
BY_STATUS = [
    (400, BadRequestError),
    (401, AuthenticationError),
    (403, PermissionDeniedError),
    (404, NotFoundError),
    (409, ConflictError),
    (422, UnprocessableEntityError),
    (429, RateLimitError),
    (500, InternalServerError),
    (503, InternalServerError),
    (599, InternalServerError),
    (302, APIStatusError),
    (402, APIStatusError),
    (418, APIStatusError),
]


@pytest.mark.parametrize(("status", "kind"), BY_STATUS)
def test_each_status_has_its_error(status: int, kind: type[APIStatusError]) -> None:
    for check in (check_status, check_response_status):
        with pytest.raises(APIStatusError) as caught:
            check(status, BODY, HEADERS)
        assert type(caught.value) is kind
        assert (caught.value.status, caught.value.body) == (status, BODY)


def test_all_of_them_have_one_base() -> None:
    kinds = [getattr(luaopenai, name) for name in luaopenai.__all__ if name.endswith("Error")]
    for other in (LuaError, luaopenai.BatchError, luaopenai.RowsFailedError):
        kinds.remove(other)
    assert len(kinds) == 15
    assert all(issubclass(kind, OpenAIError) for kind in kinds)
    assert issubclass(APIStatusError, APIError)
    assert issubclass(APITimeoutError, APIConnectionError)
    assert not issubclass(APIConnectionError, APIError)


def test_an_error_has_what_people_look_for() -> None:
    error = status_error("Bad status: 401: No key", 401, BODY, HEADERS)
    assert error.message == str(error) == "Bad status: 401: No key"
    assert error.status_code == error.status == 401
    assert (error.code, error.request_id) == ("invalid_api_key", "req_7")
    assert error.headers["retry-after"] == "3"


@pytest.mark.parametrize("body", [None, "<html>", [], {}, {"error": "x"}, {"error": {}}], ids=repr)
def test_a_body_that_gives_no_code_gives_none(body: object) -> None:
    error = status_error("Bad status: 500", 500, body)
    assert (error.code, error.request_id, error.headers) == (None, None, {})


def test_a_time_out_tells_whether_the_server_may_have_seen_the_request() -> None:
    for error, was_sent in (
        (urllib3.exceptions.ConnectTimeoutError(), False),
        (urllib3.exceptions.ReadTimeoutError(None, "", ""), True),  # type: ignore[arg-type]
        (TotalTimeoutError(urllib3.exceptions.ConnectTimeoutError()), False),
        (TotalTimeoutError(), True),
    ):
        found = connection_error(error, "http://x/v1", Settings(total_timeout=9))
        assert (type(found), found.was_sent) == (APITimeoutError, was_sent)


# --- Response.raise_for_status ---


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_a_success_raises_nothing_and_returns_itself(status: int) -> None:
    response = Response(status, {"ok": True}, {})
    assert response.raise_for_status() is response


@pytest.mark.parametrize(("status", "kind"), BY_STATUS)
def test_any_other_status_raises_with_the_words_of_a_session(
    status: int, kind: type[APIStatusError]
) -> None:
    with pytest.raises(kind) as caught:
        Response(status, BODY, HEADERS).raise_for_status()
    assert str(caught.value) == f"Bad status: {status}: No key (invalid_api_key)"
    assert caught.value.request_id == "req_7"


# --- Pickling ---

ERRORS = [
    OpenAIError("x"),
    APIError("Stream failed", status=200, body="so far"),
    *(status_error(f"Bad status: {status}", status, BODY, HEADERS) for status, _ in BY_STATUS),
    APIConnectionError("connection refused: http://x"),
    APITimeoutError("timed out"),
    luaopenai.ToolLoopError("no answer", [luaopenai.ToolCall("call_1", "weather", {}, error="x")]),
    luaopenai.AnswerError("no answer that fits", "{}"),
    LimitExceeded("seconds", 2.0, 2.5, "greeter"),
    LuaError("script.lua:3: oops", "script.lua", 3, "stack traceback:"),
]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: f"{type(error).__name__} {error}")
def test_errors_survive_pickling(error: Any, protocol: int) -> None:
    copied = pickle.loads(pickle.dumps(error, protocol))
    assert type(copied) is type(error)
    assert (str(copied), copied.args, vars(copied)) == (str(error), error.args, vars(error))
