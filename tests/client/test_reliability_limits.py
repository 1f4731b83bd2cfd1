"""How much of an answer is taken, and how long a whole call may last."""

from __future__ import annotations

import gzip
import threading
import tracemalloc
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from luaopenai import APIConnectionError, OpenAI
from support import API_KEY
from support.fault_server import (
    CHUNKED_STREAM,
    Connection,
    FaultServer,
    Script,
    answer,
    chunk,
    drip,
    in_turn,
    reset_at_once,
    say,
    say_then_stall,
)
from support.waiting import GENEROUS

StartServer = Callable[[Script], FaultServer]
Count = Callable[[], int]

MEGABYTE = 1 << 20
"""Seconds that no case comes near, unless it hangs."""


def failure_of(server: FaultServer, ask: Callable[[OpenAI], object], **options: Any) -> str:
    with OpenAI(API_KEY, server.url, **options) as client, pytest.raises(APIConnectionError) as e:
        ask(client)
    return str(e.value)


def ask_for_models(client: OpenAI) -> Any:
    return client.models().body


def ask_for_a_stream(client: OpenAI) -> Any:
    return client.request("GET", "/events", stream_callback=lambda event: None)


# --- The size of an answer ---


def compressed(megabytes: int, window: int) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, window)
    pieces = [squeeze.compress(bytes(MEGABYTE)) for _ in range(megabytes)]
    return b"".join(pieces) + squeeze.flush()


GZIP, DEFLATE = 31, 15
BOMBS = ("gzip", "deflate", "gzip, gzip")


@cache
def bomb(encoding: str) -> bytes:
    """A short body that is 64 MB; made where a test sends it, not wherever this is imported."""
    if encoding == "gzip, gzip":
        return gzip.compress(bomb("gzip"))
    return compressed(64, GZIP if encoding == "gzip" else DEFLATE)


def in_chunks(body: bytes, encoding: str) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head.encode() + chunk(body) + chunk(b"")


def with_length(body: bytes, encoding: str) -> bytes:
    return answer(body, f"Content-Encoding: {encoding}")


@pytest.mark.parametrize("framed", [in_chunks, with_length])
@pytest.mark.parametrize("encoding", BOMBS)
def test_a_body_that_explodes_is_given_up_near_the_limit(
    fault_server: StartServer,
    open_sockets: Count,
    framed: Callable[[bytes, str], bytes],
    encoding: str,
) -> None:
    server = fault_server(say(framed(bomb(encoding), encoding)))
    tracemalloc.start()
    failure = failure_of(server, ask_for_models, max_response_mb=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert failure == f"the answer is larger than max_response_mb = 2: {server.url}/models"
    assert peak < 20 * MEGABYTE
    assert (open_sockets(), len(server.requests)) == (0, 1)


def test_a_body_may_be_as_large_as_the_limit(fault_server: StartServer) -> None:
    server = fault_server(say(answer(b"x" * MEGABYTE)))
    with OpenAI(API_KEY, server.url, max_response_mb=1) as client:
        assert len(client.models().body) == MEGABYTE
    server = fault_server(say(answer(b"x" * (MEGABYTE + 1))))
    assert failure_of(server, ask_for_models, max_response_mb=1).startswith("the answer is larger")


def test_a_limit_may_be_given_for_a_request(fault_server: StartServer) -> None:
    server = fault_server(say(answer(b"x" * 2000)))
    failure = failure_of(server, lambda client: client.with_options(max_response_mb=1e-3).models())
    assert failure.startswith("the answer is larger than max_response_mb = 0.001: ")


def stream(*pieces: bytes) -> bytes:
    return CHUNKED_STREAM + b"".join(map(chunk, pieces)) + chunk(b"")


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"], ids=repr)
def test_a_stream_may_be_of_any_length_when_its_lines_are_within_the_limit(
    fault_server: StartServer, end: bytes
) -> None:
    event = b'data: {"text": "%s"}' % (b"x" * 500) + end + end
    events: list[object] = []
    with OpenAI(API_KEY, fault_server(say(stream(*[event] * 100))).url) as client:
        small = client.with_options(max_response_mb=1e-3)
        small.request("GET", "/events", stream_callback=events.append)
    assert len(events) == 100


def test_a_line_of_a_stream_has_the_limit(fault_server: StartServer) -> None:
    server = fault_server(say(stream(b"data: {}\n\n", *[b"x" * 100] * 20)))
    failure = failure_of(server, ask_for_a_stream, max_response_mb=1e-3)
    where = f"{server.url}/events"
    assert failure == f"a line of the stream is larger than max_response_mb = 0.001: {where}"


def test_a_stream_that_nobody_asked_for_has_the_limit_as_a_whole(
    fault_server: StartServer,
) -> None:
    server = fault_server(say(stream(*[b"data: {}\n\n"] * 200)))
    assert failure_of(server, ask_for_models, max_response_mb=1e-3).startswith("the answer is ")


# --- Refusals are not read at any length ---


def pour(sent: list[int], left: threading.Event) -> Script:
    """A script that refuses with a body of 50 MB, and notes how much of it could be sent."""

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(b"HTTP/1.1 503 No\r\nContent-Length: %d\r\n\r\n" % (50 * MEGABYTE))
        try:
            for _ in range(50):
                connection.send(bytes(MEGABYTE))
                sent.append(MEGABYTE)
        except OSError:
            left.set()

    return script


def test_a_long_refusal_is_not_read_to_its_end_before_the_next_attempt(
    fault_server: StartServer, open_sockets: Count, pauses: list[float]
) -> None:
    sent: list[int] = []
    left = threading.Event()
    server = fault_server(in_turn(pour(sent, left), say(answer(b'"fine"'))))
    with OpenAI(API_KEY, server.url) as client:
        assert client.models().body == "fine"
        assert open_sockets() == 1
    assert left.wait(GENEROUS)
    assert sum(sent) < 50 * MEGABYTE


def test_a_refusal_that_does_not_end_does_not_hold_up_the_next_attempt(
    fault_server: StartServer, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luaopenai.client.transport._DRAIN_SECONDS", 0.2)
    endless = say_then_stall(answer(b"{", status="503 No", length=9))
    server = fault_server(in_turn(endless, say(answer(b'"fine"'))))
    with OpenAI(API_KEY, server.url) as client:
        assert client.models().body == "fine"


# --- The time of a whole call ---

TOTAL = {"total": 0.2}


def say_then_drip(said: bytes, data: bytes) -> Script:
    def script(connection: Connection) -> None:
        say(said)(connection)
        for byte in data:
            connection.send(bytes([byte]))
            threading.Event().wait(0.005)

    return script


REFUSED = say(answer(b"{}", "Retry-After-Ms: 90", status="503 No"))
SLOW_BODY = say_then_drip(answer(length=10_000), b" " * 10_000)
ENDLESS: dict[str, tuple[float, Script]] = {
    "a silent server": (0.2, say_then_stall()),
    "a head in drops": (0.2, drip(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000, 0.005)),
    "a body in drops": (0.2, SLOW_BODY),
    "a chunked body in drops": (
        0.2,
        say_then_drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk(b"x") * 2000),
    ),
    "interim answers": (0.2, drip(b"HTTP/1.1 102 Processing\r\n\r\n" * 1000, 0.005)),
    # Time enough for the pauses between the attempts.
    "two refusals, then a body in drops": (1.2, in_turn(REFUSED, REFUSED, SLOW_BODY)),
    "a reset, then silence": (1.2, in_turn(reset_at_once, say_then_stall())),
}


@pytest.mark.parametrize(("total", "script"), ENDLESS.values(), ids=ENDLESS)
def test_a_total_time_out_ends_a_call_wherever_it_is(
    fault_server: StartServer, open_sockets: Count, total: float, script: Script
) -> None:
    server = fault_server(script)
    failure = failure_of(server, ask_for_models, timeout={"total": total, "read": GENEROUS})
    assert failure == f"timed out: not done within {total} s in all: {server.url}/models"
    assert open_sockets() == 0


def test_a_total_time_out_ends_a_stream_that_keeps_coming(fault_server: StartServer) -> None:
    server = fault_server(say_then_drip(CHUNKED_STREAM, chunk(b"data: {}\n\n") * 1000))
    failure = failure_of(server, ask_for_a_stream, timeout=TOTAL)
    assert failure == f"timed out: not done within 0.2 s in all: {server.url}/events"


def test_a_total_time_out_holds_while_a_proxy_opens_its_tunnel(fault_server: StartServer) -> None:
    between = fault_server(drip(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000, 0.005))
    client = OpenAI(
        API_KEY, "https://api.invalid/v1", proxy=between.url.removesuffix("/v1"), timeout=TOTAL
    )
    with pytest.raises(APIConnectionError, match=r"^timed out: not done within 0.2 s in all: "):
        client.models()


def test_a_pause_that_would_outlast_the_time_is_not_made(
    fault_server: StartServer, pauses: list[float]
) -> None:
    server = fault_server(say(answer(b"{}", "Retry-After: 7", status="503 No")))
    with OpenAI(API_KEY, server.url, timeout={"total": 6}) as client:
        assert client.models().status == 503
    assert (len(server.requests), pauses) == (1, [])


def test_the_time_of_one_call_is_none_of_the_next(fault_server: StartServer) -> None:
    def script(connection: Connection) -> None:
        while connection.read_request():
            threading.Event().wait(0.15)
            connection.send(answer(b'"fine"'))

    server = fault_server(script)
    with OpenAI(API_KEY, server.url, max_retries=0) as client:
        hasty, patient = client.with_options(timeout={"total": 2}), client
        assert [one.models().body for one in (hasty, patient, hasty)] == ["fine"] * 3
        threading.Event().wait(0.05)
        assert patient.models().body == "fine"
    assert server.connections == 1
