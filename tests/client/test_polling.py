"""Waits by ``wait_for`` for what goes on in the background: their ends and their pauses."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from luaopenai import APITimeoutError, AsyncOpenAI, NotFoundError, OpenAI, PluginHost
from luaopenai.client import cancel, polling
from support import exactly

FOREVER = 3600


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Takes the place of the pauses, and keeps how long they would have been."""
    made: list[float] = []
    monkeypatch.setattr("luaopenai.client.openai.pause", made.append)
    return made


def serve(
    server: HTTPServer, bodies: Iterable[Any], path: str = "/v1/batches/b", **headers: str
) -> None:
    """Answers with one body after the other; the last stays."""
    left = list(bodies)

    def answer(_: Request) -> Response:
        body = left.pop(0) if len(left) > 1 else left[0]
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Response(json.dumps(body), content_type="application/json", headers=named)

    server.expect_request(path).respond_with_handler(answer)


def batches(*statuses: str) -> list[dict[str, str]]:
    return [{"id": "b", "status": status} for status in statuses]


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "expired", "succeeded"])
def test_it_returns_the_body_whose_status_does_not_change_any_more(
    client: OpenAI, httpserver: HTTPServer, pauses: list[float], status: str
) -> None:
    serve(httpserver, batches("validating", "in_progress", status))
    assert client.wait_for("retrieve_batch", "b") == {"id": "b", "status": status}
    assert len(httpserver.log) == 3


def test_the_caller_may_say_when_it_is_done_and_see_each_body(
    client: OpenAI, httpserver: HTTPServer, pauses: list[float]
) -> None:
    counts = [{"ready": number} for number in range(4)]
    serve(httpserver, counts, "/v1/vector_stores/vs/files/f")
    seen: list[Any] = []
    found = client.wait_for(
        "retrieve_vector_store_file",
        "vs",
        "f",
        done=lambda body: body["ready"] == 2,
        on_poll=seen.append,
    )
    assert found == {"ready": 2}
    assert seen == counts[:3]


def test_further_keywords_go_into_the_query(client: OpenAI, httpserver: HTTPServer) -> None:
    serve(httpserver, batches("completed"), "/v1/responses/r")
    client.wait_for("retrieve_response", "r", include=["x"])
    assert httpserver.log[0][0].args["include[]"] == "x"


def test_pauses_grow_by_half_up_to_thirty_seconds(
    client: OpenAI, httpserver: HTTPServer, pauses: list[float]
) -> None:
    serve(httpserver, batches(*["queued"] * 12, "completed"))
    client.wait_for("batch", "b")
    assert pauses[:3] == [1, 1.5, 2.25]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 30


def test_an_interval_is_the_first_pause_and_a_long_one_stays(
    client: OpenAI, httpserver: HTTPServer, pauses: list[float]
) -> None:
    serve(httpserver, batches("queued", "queued", "completed", "queued", "queued", "completed"))
    client.wait_for("batch", "b", interval=4)
    client.wait_for("batch", "b", interval=60)
    assert pauses == [4, 6, 60, 60]


@pytest.mark.parametrize(
    ("name", "value", "pause"),
    [
        ("openai_poll_after_ms", "2500", 2.5),
        ("Retry_After", "7", 7),
        ("Retry_After_Ms", "300", 0.3),
        ("Retry_After", "0", 1),
        ("Retry_After", "soon", 1),
        ("openai_poll_after_ms", "nan", 1),
    ],
)
def test_the_servers_own_pause_is_obeyed(
    client: OpenAI,
    httpserver: HTTPServer,
    pauses: list[float],
    name: str,
    value: str,
    pause: float,
) -> None:
    serve(httpserver, batches("queued", "completed"), **{name: value})
    client.wait_for("batch", "b")
    assert pauses == [pause]


def test_a_retry_after_may_be_a_date() -> None:
    date = formatdate(time.time() + 50, usegmt=True)
    assert 40 < polling.next_pause(1, None, {"retry-after": date}) <= 50


@given(
    st.integers(1, 10_000),
    st.none() | st.floats(0, 1e6),
    st.dictionaries(
        st.sampled_from(["openai-poll-after-ms", "retry-after", "retry-after-ms"]),
        st.text(max_size=5),
    ),
)
def test_whatever_headers_say_there_is_a_pause(
    polls: int, interval: float | None, headers: dict[str, str]
) -> None:
    assert polling.next_pause(polls, interval, headers) >= 0


def test_after_its_time_it_says_what_it_has_waited_for(
    client: OpenAI, httpserver: HTTPServer
) -> None:
    serve(httpserver, batches("in_progress"))
    text = "wait_for: retrieve_batch was not done within 0.5 s; its last status was in_progress"
    with pytest.raises(APITimeoutError, match=exactly(text)) as caught:
        client.wait_for("retrieve_batch", "b", timeout=0.5)
    assert caught.value.body == {"id": "b", "status": "in_progress"}
    assert len(httpserver.log) == 2  # at once, and at the end


def test_a_bad_status_is_its_error(client: OpenAI, httpserver: HTTPServer) -> None:
    gone = {"error": {"message": "gone"}}
    httpserver.expect_request("/v1/batches/b").respond_with_json(gone, 404)
    with pytest.raises(NotFoundError, match=exactly("Bad status: 404: gone")):
        client.wait_for("retrieve_batch", "b")


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("batsh", {}, 'wait_for: no endpoint is called "batsh"; did you mean batch?'),
        ("cancel_batch", {}, "wait_for: cancel_batch sends POST, which is not for polling"),
        ("batch", {"interval": -1}, "wait_for: interval is a number of seconds, from 0"),
        ("batch", {"timeout": "5"}, "wait_for: timeout is a number of seconds, from 0"),
        ("batch", {"timeout": float("nan")}, "wait_for: timeout is a number of seconds, from 0"),
    ],
)
def test_what_cannot_be_waited_for_is_refused_before_anything_is_sent(
    client: OpenAI, httpserver: HTTPServer, name: str, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValueError, match=exactly(text)):
        client.wait_for(name, "b", **options)
    assert not httpserver.log


def test_an_answer_without_a_status_needs_done(client: OpenAI, httpserver: HTTPServer) -> None:
    serve(httpserver, [{"id": "m"}], "/v1/models/m")
    text = "wait_for: the answer of retrieve_model has no status; done is to say when it is over"
    with pytest.raises(ValueError, match=exactly(text)):
        client.wait_for("retrieve_model", "m")


def test_a_pause_that_no_clock_can_hold_is_no_error(
    client: OpenAI, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(httpserver, batches("queued", "completed"), Retry_After="1e300")
    slept: list[float] = []
    monkeypatch.setattr("luaopenai.client.cancel.time.sleep", slept.append)
    client.wait_for("retrieve_batch", "b")
    assert slept == [1e9]


# --- Plugins ---

UNTIL_THERE_ARE = """
return { run = function(count)
  local polls = 0
  require("openai").new():wait_for("list_models", {
    interval = 0.001,
    done = function(body) return #body.data == count end,
    on_poll = function() polls = polls + 1 end,
  })
  return polls
end }
"""


@pytest.mark.parametrize("isolation", ["process", "thread"])
def test_a_plugin_may_wait_for_what_it_may_ask_whatever_pause_is_asked_for(
    client: OpenAI, httpserver: HTTPServer, isolation: Any
) -> None:
    pages = [{"data": [{"id": "m"}] * count} for count in range(3)]
    serve(httpserver, pages, "/v1/models", Retry_After="Sun, 06 Nov 1994 08:49:37 GMT")
    with PluginHost(client=client, isolation=isolation) as host:
        assert host.load_string(UNTIL_THERE_ARE).call("run", 2) == 3


# --- Being cancelled ---


def test_a_cancelled_call_ends_in_the_middle_of_a_pause(
    client: OpenAI, httpserver: HTTPServer
) -> None:
    serve(httpserver, batches("queued"))
    call = cancel.Call()
    with call, pytest.raises(cancel.Cancelled):
        client.wait_for("batch", "b", interval=FOREVER, on_poll=lambda _: call.cancel())


def test_an_asyncio_task_waits_and_ends_at_once_when_it_is_cancelled(
    httpserver: HTTPServer, base_url: str
) -> None:
    serve(httpserver, batches("queued", "completed", "queued"))

    async def wait() -> Any:
        async with AsyncOpenAI("key", base_url) as client:
            found = await client.wait_for("retrieve_batch", "b", interval=0.001)
            loop, polled = asyncio.get_running_loop(), asyncio.Event()
            waiting = asyncio.ensure_future(
                client.wait_for(
                    "retrieve_batch",
                    "b",
                    interval=FOREVER,
                    on_poll=lambda _: loop.call_soon_threadsafe(polled.set),
                )
            )
            await polled.wait()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            return found

    assert asyncio.run(wait())["status"] == "completed"
