"""What the client makes of each fault: outcome, attempts, time, and connections left open."""

from __future__ import annotations

import gc
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from luaopenai import APIConnectionError, APIError, OpenAI
from luaopenai.client.failures import public_url
from luaopenai.client.settings import read_settings
from luaopenai.client.transport import Transport
from support import API_KEY, exactly
from support.fault_server import (
    CHUNKED_STREAM,
    Connection,
    FaultServer,
    Script,
    answer,
    chunk,
    drip,
    in_turn,
    keep_alive,
    reset_at_once,
    say,
    say_then_stall,
)
from support.proxy import proxy
from support.socks_server import SocksServer
from support.waiting import GENEROUS

StartServer = Callable[[Script], FaultServer]
Count = Callable[[], int]
Ask = Callable[[OpenAI], Any]

HELLO = [{"role": "user", "content": "Hello"}]
READ_TIMEOUT = 0.5
"""Seconds after which a client gives up a server that has said something and then nothing more."""


def delta(text: str) -> bytes:
    event = {
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": {"content": text}}],
    }
    return b"data: %s\n\n" % json.dumps(event).encode()


DONE = b"data: [DONE]\n\n"
REPLY = answer(b'{"choices": [{"message": {"role": "assistant", "content": "Hi!"}}]}')
UNFRAMED_STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


def stream(*pieces: bytes) -> bytes:
    """A whole event stream, a chunk for each piece."""
    return CHUNKED_STREAM + b"".join(map(chunk, pieces)) + chunk(b"")


def refuse(status: int = 503, *headers: str) -> Script:
    body = b'{"error": {"message": "Not now"}}'
    # A server that closes without a word would be a second fault.
    return say(answer(body, "Connection: close", *headers, status=f"{status} No"))


def say_slowly(*pieces: bytes) -> Script:
    def script(connection: Connection) -> None:
        connection.read_request()
        for piece in pieces:
            connection.send(piece)
            threading.Event().wait(0.02)

    return script


def say_then_reset(*pieces: bytes) -> Script:
    def script(connection: Connection) -> None:
        say(*pieces)(connection)
        # Else the reset overtakes what was said.
        threading.Event().wait(0.02)
        connection.reset()

    return script


def failure_of(ask: Ask, url: str, **options: Any) -> str:
    """What a client says when it fails."""
    with OpenAI(API_KEY, url, **options) as client, pytest.raises(APIConnectionError) as caught:
        ask(client)
    return str(caught.value)


def ask_for_models(client: OpenAI) -> Any:
    return client.models().body


def ask_for_a_chat(client: OpenAI) -> Any:
    return client.new_chat_session().send("Hello")


def ask_for_a_response(client: OpenAI) -> Any:
    return client.create_response("Hello").body


def ask_for_a_stream(client: OpenAI) -> Any:
    return client.new_chat_session().send("Hello", lambda chunk, event: None)


# --- One fault, and what comes of it ---


class Case(NamedTuple):
    """A fault.

    Attributes:
        script: what the server does.
        ask: what the client asks.
        outcome: what it gets: a value, or how its error begins.
        attempts: how many requests the server is sent.
        kept: how many connections are kept for the next request.
        timeout: how many seconds the client waits for more.
    """

    script: Script
    ask: Ask
    outcome: Any
    attempts: int
    kept: int = 0
    timeout: float = GENEROUS


CLOSED = APIConnectionError("the server closed the connection: ")
CUT = APIConnectionError("the answer was cut off: ")
NOT_HTTP = APIConnectionError("not an HTTP answer: ")
SILENT = APIConnectionError("timed out: no answer within ")
FINE = say(answer(b'"fine"'))
HALF_A_HEAD = b"HTTP/1.1 200 OK\r\nContent-"
MEGABYTE = "x" * (1 << 20)
LONG_EVENT = delta(MEGABYTE)

CASES = {
    "reset, then well": Case(in_turn(reset_at_once, FINE), ask_for_models, "fine", 2, 1),
    "closed, then well": Case(in_turn(say(), say(), FINE), ask_for_models, "fine", 3, 1),
    "reset each time": Case(reset_at_once, ask_for_models, CLOSED, 3),
    "reset of a chat": Case(in_turn(reset_at_once, say(REPLY)), ask_for_a_chat, "Hi!", 2, 1),
    "reset of what must not be sent twice": Case(reset_at_once, ask_for_a_response, CLOSED, 1),
    "reset in the head": Case(say_then_reset(HALF_A_HEAD), ask_for_models, CLOSED, 3),
    "reset in the head of what must not be sent twice": Case(
        say_then_reset(HALF_A_HEAD), ask_for_a_response, CLOSED, 1
    ),
    "closed in the head, then well": Case(
        in_turn(say(HALF_A_HEAD), FINE), ask_for_models, "fine", 2, 1
    ),
    "closed in the head of what must not be sent twice": Case(
        say(HALF_A_HEAD), ask_for_a_response, CUT, 1
    ),
    "closed after a whole line of the head": Case(
        say(b"HTTP/1.1 200 OK\r\n"), ask_for_a_response, CUT, 1
    ),
    "reset in the body": Case(say_then_reset(answer(b"[1, ", length=9)), ask_for_models, CLOSED, 1),
    "body cut short": Case(say(answer(b"[1, ", length=9)), ask_for_models, CUT, 1),
    "body longer than it says": Case(
        say(answer(b"[1, 2]garbage", length=6)), ask_for_models, [1, 2], 1, 1
    ),
    "body shorter than it says, in silence": Case(
        say_then_stall(answer(b"[1, ", length=9)), ask_for_models, SILENT, 1, timeout=READ_TIMEOUT
    ),
    "a length said twice, in silence after it": Case(
        say_then_stall(answer(b"[1]", "Content-Length: 3")), ask_for_models, [1], 1, 1
    ),
    "a length said twice in a line, in silence after it": Case(
        say_then_stall(b"HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\n[1]"),
        ask_for_models,
        [1],
        1,
        1,
    ),
    "a body cut short of a length said twice in a line": Case(
        say(b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n[1]"), ask_for_models, CUT, 1
    ),
    "two lengths": Case(
        say_then_stall(answer(b"[1, 2]", "Content-Length: 3")), ask_for_a_response, NOT_HTTP, 1
    ),
    "a length that is no number": Case(
        say(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n[1]"), ask_for_models, [1], 1
    ),
    "503, then well": Case(in_turn(refuse(), FINE), ask_for_models, "fine", 2, 1),
    "503, then 429, then well": Case(
        in_turn(refuse(), refuse(429), FINE), ask_for_models, "fine", 3, 1
    ),
    "503 for what must not be sent twice, which it was not": Case(
        in_turn(refuse(), FINE), ask_for_a_response, "fine", 2, 1
    ),
    "a storm of 503": Case(refuse(), ask_for_models, {"error": {"message": "Not now"}}, 3),
    "a storm of 503 in a session": Case(
        refuse(), ask_for_a_chat, APIError("Bad status: 503: Not now", status=503, body=None), 3
    ),
    "a storm of 503 for a stream": Case(
        refuse(), ask_for_a_stream, APIError("Bad status: 503: Not now", status=503, body=None), 3
    ),
    "500, and told not to try again": Case(
        refuse(500, "X-Should-Retry: false"), ask_for_models, {"error": {"message": "Not now"}}, 1
    ),
    "400, and told to try again": Case(
        in_turn(refuse(400, "X-Should-Retry: true"), FINE), ask_for_models, "fine", 2, 1
    ),
    "400": Case(refuse(400), ask_for_models, {"error": {"message": "Not now"}}, 1),
    "a refusal cut short, then well": Case(
        in_turn(say(answer(b"{", status="503 No", length=9)), FINE), ask_for_models, "fine", 2, 1
    ),
    "silence": Case(say_then_stall(), ask_for_models, SILENT, 3, timeout=0.1),
    "silence, then well": Case(
        in_turn(say_then_stall(), FINE), ask_for_models, "fine", 2, 1, timeout=READ_TIMEOUT
    ),
    "silence for what must not be sent twice": Case(
        say_then_stall(), ask_for_a_response, SILENT, 1, timeout=0.1
    ),
    "silence in the head": Case(
        say_then_stall(HALF_A_HEAD), ask_for_models, SILENT, 3, timeout=0.1
    ),
    "a slow drip": Case(drip(answer(b"[1, 2]"), 0.002), ask_for_models, [1, 2], 1, 1),
    "a line of a megabyte in the head": Case(
        say(b"HTTP/1.1 200 OK\r\nX: " + MEGABYTE.encode() + b"\r\n\r\n"),
        ask_for_a_response,
        NOT_HTTP,
        1,
    ),
    "a line of a megabyte in a stream": Case(
        say(stream(LONG_EVENT, DONE)), ask_for_a_stream, MEGABYTE, 1, 1
    ),
    "a line of a megabyte in a thousand chunks": Case(
        say(stream(*[LONG_EVENT[at : at + 1049] for at in range(0, len(LONG_EVENT), 1049)], DONE)),
        ask_for_a_stream,
        MEGABYTE,
        1,
        1,
    ),
    "a body that is not UTF-8": Case(say(answer(b"caf\xe9")), ask_for_models, "caf\ufffd", 1, 1),
    "an event that is not UTF-8": Case(
        say(stream(delta("a"), delta("?").replace(b"?", b"\xe9"), delta("b"), DONE)),
        ask_for_a_stream,
        "a\ufffdb",
        1,
        1,
    ),
    "an event that is not JSON": Case(
        say(stream(delta("a"), b"data: {oops}\n\n", b"data: {\n\n", delta("b"), DONE)),
        ask_for_a_stream,
        "ab",
        1,
        1,
    ),
    "a stream cut between chunks": Case(
        say(CHUNKED_STREAM + chunk(delta("a"))), ask_for_a_stream, CUT, 1
    ),
    "a stream cut in a chunk": Case(
        say(CHUNKED_STREAM + b"ff\r\n" + delta("a")), ask_for_a_stream, CUT, 1
    ),
    "a stream reset": Case(
        say_then_reset(CHUNKED_STREAM + chunk(delta("a"))), ask_for_a_stream, CLOSED, 1
    ),
    "a stream that goes silent": Case(
        say_then_stall(CHUNKED_STREAM + chunk(delta("a"))),
        ask_for_a_stream,
        SILENT,
        1,
        timeout=READ_TIMEOUT,
    ),
    "a stream without framing, cut": Case(
        say(UNFRAMED_STREAM + delta("a")), ask_for_a_stream, CUT, 1
    ),
    "a stream without framing, whole": Case(
        say(UNFRAMED_STREAM + delta("a") + DONE), ask_for_a_stream, "a", 1
    ),
    "a compressed body that is broken": Case(
        say_then_stall(answer(b"not gzip", "Content-Encoding: gzip", length=99)),
        ask_for_models,
        APIConnectionError("the answer's compression is broken: "),
        1,
    ),
    "a stream without framing, its end in two pieces": Case(
        say_slowly(UNFRAMED_STREAM + delta("a") + b'data: {"finish_reason"', b': "stop"}\n\n'),
        ask_for_a_stream,
        "a",
        1,
    ),
    "a stream without framing, its end long before its last byte": Case(
        say(UNFRAMED_STREAM + delta("a") + DONE, b": " + MEGABYTE.encode() + b"\n"),
        ask_for_a_stream,
        "a",
        1,
    ),
    "a stream refused, then well": Case(
        in_turn(refuse(429), say(stream(delta("a"), DONE))), ask_for_a_stream, "a", 2, 1
    ),
    "a stream with an error in it": Case(
        say(stream(delta("a"), b'data: {"error": {"message": "Broke", "code": 500}}\n\n')),
        ask_for_a_stream,
        APIError("Stream failed: Broke (500)", status=200, body="a"),
        1,
        1,
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_fault_has_its_outcome(
    fault_server: StartServer, open_sockets: Count, pauses: list[float], case: Case
) -> None:
    server = fault_server(case.script)
    client = OpenAI(API_KEY, server.url, timeout=case.timeout)
    if isinstance(case.outcome, Exception):
        with pytest.raises(type(case.outcome)) as caught:
            case.ask(client)
        assert str(caught.value).startswith(str(case.outcome))
        assert "\n" not in str(caught.value)
    else:
        assert case.ask(client) == case.outcome
    assert len(server.requests) == case.attempts
    assert len(set(server.requests)) == 1
    assert len(pauses) == case.attempts - 1
    assert open_sockets() == case.kept
    client.close()
    assert open_sockets() == 0


def test_a_refused_connection_is_tried_again(
    refusing_url: str, open_sockets: Count, pauses: list[float]
) -> None:
    for ask in (ask_for_models, ask_for_a_response):
        assert failure_of(ask, refusing_url).startswith(f"connection refused: {refusing_url}/")
    assert len(pauses) == 4
    assert open_sockets() == 0


def test_an_unknown_host_is_not_asked_for_again(pauses: list[float]) -> None:
    assert failure_of(ask_for_models, "http://nobody.invalid/v1").startswith("unknown host: ")
    assert pauses == []


def test_a_connection_that_does_not_come_about_is_given_up_in_time(pauses: list[float]) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}/v1"
        started = time.monotonic()
        failure = failure_of(ask_for_a_response, url, timeout={"connect": 0.1})
        assert failure.startswith("timed out: no connection within 0.1 s to ")
        assert time.monotonic() - started >= 0.3
        for one in waiting:
            one.close()
    assert len(pauses) == 2


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_max_retries_is_how_often_a_request_is_sent_again(
    fault_server: StartServer, pauses: list[float], retries: int
) -> None:
    server = fault_server(refuse())
    with OpenAI(API_KEY, server.url, max_retries=retries) as client:
        assert client.models().status == 503
    assert len(server.requests) == retries + 1


# --- Pauses ---


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("Retry-After: 7", 7),
        ("Retry-After: 120", 120),
        ("Retry-After-Ms: 250", 0.25),
        ("retry-after: 2.5", 2.5),
    ],
)
def test_the_pause_that_a_server_asks_for_is_made(
    fault_server: StartServer, pauses: list[float], header: str, seconds: float
) -> None:
    server = fault_server(in_turn(refuse(429, header), FINE))
    with OpenAI(API_KEY, server.url) as client:
        assert client.models().body == "fine"
    assert pauses == [seconds]


def test_the_pause_may_end_at_a_date(fault_server: StartServer, pauses: list[float]) -> None:
    date = formatdate(time.time() + 20, usegmt=True)
    server = fault_server(in_turn(refuse(429, f"Retry-After: {date}"), FINE))
    with OpenAI(API_KEY, server.url) as client:
        client.models()
    assert 15 < pauses[0] <= 20


@pytest.mark.parametrize("told", ["0", "soon", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_pauses_grow_when_the_server_names_none_that_is_to_come(
    fault_server: StartServer, pauses: list[float], told: str
) -> None:
    server = fault_server(refuse(503, f"Retry-After: {told}"))
    with OpenAI(API_KEY, server.url, max_retries=3) as client:
        client.models()
    assert [0.375 <= pauses[0] <= 0.5, 0.75 <= pauses[1] <= 1, 1.5 <= pauses[2] <= 2] == [True] * 3


def test_a_refusal_for_longer_than_is_waited_for_is_returned_as_it_is(
    fault_server: StartServer, pauses: list[float]
) -> None:
    server = fault_server(refuse(429, "Retry-After: 3600"))
    with OpenAI(API_KEY, server.url) as client:
        status, body, headers = client.models()
    assert (status, body, headers["retry-after"]) == (
        429,
        {"error": {"message": "Not now"}},
        "3600",
    )
    assert (len(server.requests), pauses) == (1, [])


def test_a_pause_is_really_made(fault_server: StartServer) -> None:
    server = fault_server(in_turn(refuse(429, "Retry-After-Ms: 120"), FINE))
    with OpenAI(API_KEY, server.url) as client:
        started = time.monotonic()
        client.models()
    assert time.monotonic() - started >= 0.12


def test_the_connection_of_a_refusal_serves_the_next_attempt(
    fault_server: StartServer, pauses: list[float]
) -> None:
    server = fault_server(keep_alive([answer(b"{}", status="503 No"), answer(b'"fine"')]))
    with OpenAI(API_KEY, server.url) as client:
        assert client.models().body == "fine"
    assert (server.connections, len(server.requests)) == (1, 2)


# --- Kept connections ---


def hang_up_on_the_second_request(connection: Connection) -> None:
    say(answer(b'"first"'))(connection)
    connection.read_request()
    connection.reset()


def test_a_kept_connection_lost_costs_no_retry(
    fault_server: StartServer, open_sockets: Count, pauses: list[float]
) -> None:
    server = fault_server(in_turn(hang_up_on_the_second_request, FINE))
    with OpenAI(API_KEY, server.url, max_retries=0) as client:
        assert client.models().body == "first"
        assert client.models().body == "fine"
        assert open_sockets() == 1
    assert (server.connections, len(server.requests), pauses) == (2, 3, [])


def test_a_kept_connection_lost_does_not_send_twice_what_must_not_be(
    fault_server: StartServer,
) -> None:
    server = fault_server(in_turn(hang_up_on_the_second_request, FINE))
    with OpenAI(API_KEY, server.url) as client:
        client.models()
        with pytest.raises(APIConnectionError, match=r"^the server closed the connection: "):
            client.create_response("Hello")
    assert (server.connections, len(server.requests)) == (1, 2)


@pytest.mark.parametrize("farewell", [(), ("Connection: close",)], ids=["unannounced", "announced"])
def test_only_a_kept_connection_is_replaced_for_free(
    fault_server: StartServer, pauses: list[float], farewell: tuple[str, ...]
) -> None:
    closed = threading.Event()

    def answer_once(connection: Connection) -> None:
        say(answer(b'"first"', *farewell))(connection)
        connection.close()
        closed.set()

    server = fault_server(in_turn(answer_once, reset_at_once))
    with OpenAI(API_KEY, server.url, max_retries=0) as client:
        client.models()
        assert closed.wait(GENEROUS)
        with pytest.raises(APIConnectionError, match=r"^the server closed the connection: "):
            client.models()
    assert len(server.requests) == 2


def test_a_lost_connection_does_not_use_up_the_retries(
    fault_server: StartServer, pauses: list[float]
) -> None:
    server = fault_server(in_turn(hang_up_on_the_second_request, reset_at_once, refuse(), FINE))
    with OpenAI(API_KEY, server.url) as client:
        client.models()
        assert client.models().body == "fine"
    assert (len(server.requests), len(pauses)) == (5, 2)


def test_no_more_connections_are_kept_than_the_pool_is_large(
    fault_server: StartServer, open_sockets: Count
) -> None:
    together = threading.Barrier(4)

    def script(connection: Connection) -> None:
        connection.read_request()
        together.wait(GENEROUS)
        connection.send(answer())
        connection.stall()

    server = fault_server(script)
    with OpenAI(API_KEY, server.url, pool_size=2) as client:
        threads = [threading.Thread(target=client.models) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert open_sockets() == 2
    assert open_sockets() == 0


def test_a_closed_client_opens_anew(fault_server: StartServer, open_sockets: Count) -> None:
    server = fault_server(FINE)
    client = OpenAI(API_KEY, server.url)
    for _ in range(2):
        assert client.models().body == "fine"
        client.close()
    assert open_sockets() == 0


def test_a_failure_that_is_remembered_does_not_keep_connections_from_being_closed(
    fault_server: StartServer, open_sockets: Count
) -> None:
    server = fault_server(in_turn(reset_at_once, say_then_stall(answer())))
    client = OpenAI(API_KEY, server.url, max_retries=0)
    with pytest.raises(APIConnectionError) as caught:
        client.models()
    client.models()
    client.close()
    assert open_sockets() == 0
    assert caught.value.__traceback__


def test_a_collected_client_closes_its_connections(
    fault_server: StartServer, open_sockets: Count
) -> None:
    left = threading.Event()

    def script(connection: Connection) -> None:
        say_then_stall(answer())(connection)
        left.set()

    client = OpenAI(API_KEY, fault_server(script).url)
    client.models()
    assert open_sockets() == 1
    del client
    assert open_sockets() == 0
    assert left.wait(GENEROUS)


@pytest.mark.parametrize(
    "fault",
    [reset_at_once, say(answer(b"{", length=9)), say_then_stall()],
    ids=["reset", "cut", "silent"],
)
def test_failures_do_not_keep_a_client_from_being_collected(
    fault_server: StartServer, open_sockets: Count, pauses: list[float], fault: Script
) -> None:
    gc.disable()
    try:
        server = fault_server(in_turn(fault, say_then_stall(answer(b"1"))))
        client = OpenAI(API_KEY, server.url, timeout=READ_TIMEOUT, max_retries=0)
        with pytest.raises(APIConnectionError):
            client.models()
        assert client.models().body == 1
        assert open_sockets() == 1
        del client
        assert open_sockets() == 0
    finally:
        gc.enable()


# --- Streams ---


def test_a_callback_that_returns_false_ends_the_stream_and_its_connection(
    fault_server: StartServer, open_sockets: Count
) -> None:
    begun = CHUNKED_STREAM + chunk(delta("a") + delta("b") + delta("c"))
    left = threading.Event()

    def script(connection: Connection) -> None:
        say_then_stall(begun)(connection)
        left.set()

    texts: list[str] = []

    def on_chunk(chunk: Any, event: Any) -> bool:
        texts.append(str(chunk))
        return len(texts) < 2

    with OpenAI(API_KEY, fault_server(script).url) as client:
        session = client.new_chat_session()
        assert session.send("Hello", on_chunk) == "ab"
        assert open_sockets() == 0
    assert left.wait(GENEROUS)
    assert texts == ["a", "b"]
    assert session.messages == [*HELLO, {"role": "assistant", "content": "ab"}]


@pytest.mark.parametrize("said", [None, True, 0, "", []])
def test_no_other_value_ends_a_stream(fault_server: StartServer, said: object) -> None:
    server = fault_server(say(stream(delta("a"), delta("b"), DONE)))
    with OpenAI(API_KEY, server.url) as client:
        assert client.new_chat_session().send("Hello", lambda chunk, event: said) == "ab"


def test_an_error_in_a_callback_is_raised_as_it_is_and_ends_the_connection(
    fault_server: StartServer, open_sockets: Count
) -> None:
    server = fault_server(say_then_stall(CHUNKED_STREAM + chunk(delta("a"))))
    mine = RuntimeError("enough")

    def on_chunk(chunk: Any, event: Any) -> None:
        raise mine

    with OpenAI(API_KEY, server.url) as client:
        session = client.new_chat_session()
        with pytest.raises(RuntimeError) as caught:
            session.send("Hello", on_chunk)
        assert caught.value is mine
        assert open_sockets() == 0
    assert (session.messages, len(server.requests)) == (HELLO, 1)


def test_a_stream_is_never_begun_again(fault_server: StartServer, pauses: list[float]) -> None:
    server = fault_server(
        in_turn(say_then_reset(CHUNKED_STREAM + chunk(delta("a"))), say(stream(delta("b"), DONE)))
    )
    texts: list[str] = []
    failure_of(
        lambda client: client.chat(HELLO, lambda chunk, event: texts.append(str(chunk))), server.url
    )
    assert (texts, len(server.requests), pauses) == (["a"], 1, [])


# --- Histories ---

SESSION_FAULTS = {
    "reset": (reset_at_once, None),
    "refused": (refuse(), None),
    "cut": (say(answer(b"{", length=9)), None),
    "no reply": (say(answer(b"{}")), None),
    "silent": (say_then_stall(), None),
    "stream cut": (say(CHUNKED_STREAM + chunk(delta("a"))), lambda chunk, event: None),
    "stream with an error": (
        say(stream(delta("a"), b'data: {"error": "Broke"}\n\n')),
        lambda chunk, event: None,
    ),
}


@pytest.mark.parametrize(("script", "callback"), SESSION_FAULTS.values(), ids=SESSION_FAULTS)
def test_a_session_keeps_its_history_through_a_failure_and_goes_on(
    fault_server: StartServer, script: Script, callback: Any
) -> None:
    server = fault_server(in_turn(script, say(REPLY)))
    with OpenAI(API_KEY, server.url, max_retries=0, timeout=READ_TIMEOUT) as client:
        session = client.new_chat_session()
        with pytest.raises((APIConnectionError, APIError)):
            session.send("Hello", callback)
        assert session.messages == HELLO
        assert session.generate_response() == "Hi!"
    assert session.messages == [*HELLO, {"role": "assistant", "content": "Hi!"}]


def test_a_responses_session_continues_from_what_it_had(fault_server: StartServer) -> None:
    created = answer(b'{"id": "resp_1", "output": []}')
    server = fault_server(in_turn(say(created), reset_at_once, say(created)))
    with OpenAI(API_KEY, server.url, max_retries=0) as client:
        session = client.new_responses_chat_session()
        session.send("Hello")
        client.close()
        with pytest.raises(APIConnectionError):
            session.send("Again")
        assert (session.current_response_id, len(session.response_history)) == ("resp_1", 1)
        session.send("Again")
    assert b'"previous_response_id":"resp_1"' in server.requests[2]


# --- TLS ---


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def tls_server(authority: trustme.CA) -> Iterator[Callable[[Script], FaultServer]]:
    """Starts servers that speak TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    servers: list[FaultServer] = []

    def start(script: Script) -> FaultServer:
        servers.append(FaultServer(script, context))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def test_an_untrusted_certificate_is_refused_once(
    tls_server: StartServer, open_sockets: Count, pauses: list[float]
) -> None:
    server = tls_server(FINE)
    failure = failure_of(ask_for_models, server.url)
    assert failure.startswith("TLS failed: certificate not trusted, ")
    assert (server.connections, server.requests, pauses) == (1, [], [])


def test_a_bundle_names_whom_to_trust(tls_server: StartServer, bundle: str) -> None:
    with OpenAI(API_KEY, tls_server(FINE).url, ca_bundle=bundle) as client:
        assert client.models().body == "fine"


def test_verify_false_trusts_anybody(
    tls_server: StartServer, recwarn: pytest.WarningsRecorder
) -> None:
    with OpenAI(API_KEY, tls_server(FINE).url, verify=False) as client:
        assert client.models().body == "fine"


def test_trust_for_one_request_is_not_trust_for_the_next(
    tls_server: StartServer, bundle: str
) -> None:
    server = tls_server(keep_alive([answer()] * 3))
    with OpenAI(API_KEY, server.url, max_retries=0) as client:
        assert client.with_options(ca_bundle=bundle).models().status == 200
        with pytest.raises(APIConnectionError, match=r"^TLS failed: "):
            client.models()


def test_a_kept_tls_connection_lost_costs_no_retry(
    tls_server: StartServer, bundle: str, pauses: list[float]
) -> None:
    server = tls_server(in_turn(hang_up_on_the_second_request, FINE))
    with OpenAI(API_KEY, server.url, max_retries=0, ca_bundle=bundle) as client:
        assert [client.models().body for _ in range(2)] == ["first", "fine"]
    assert server.connections == 2


def test_a_handshake_that_is_cut_is_tried_again(
    fault_server: StartServer, pauses: list[float]
) -> None:
    server = fault_server(lambda connection: None)
    failure_of(ask_for_models, server.url.replace("http:", "https:"))
    assert server.connections == 3


# --- Proxies ---


def head_of(request: bytes) -> bytes:
    return request.partition(b"\r\n\r\n")[0]


def test_a_proxy_forwards_plain_requests(fault_server: StartServer, open_sockets: Count) -> None:
    server, between = fault_server(FINE), fault_server(proxy())
    with OpenAI(API_KEY, server.url, proxy=between.url.removesuffix("/v1")) as client:
        assert client.models().body == "fine"
    assert between.requests[0].startswith(b"GET " + server.url.encode() + b"/models HTTP/1.1\r\n")
    assert server.requests[0].startswith(b"GET /v1/models HTTP/1.1\r\n")
    assert open_sockets() == 0


def test_tls_that_fails_on_a_kept_connection_is_what_failed(
    tls_server: StartServer, bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: ssl.SSLSocket, data: bytes) -> None:
        raise ssl.SSLError(1, "[SSL: BAD_RECORD] told to fail")

    server = tls_server(keep_alive([answer(b"{}")] * 2))
    with OpenAI(API_KEY, server.url, ca_bundle=bundle, max_retries=0) as client:
        client.models()
        monkeypatch.setattr(ssl.SSLSocket, "sendall", fail)
        with pytest.raises(APIConnectionError, match=r"^TLS failed: "):
            client.models()


def test_tls_that_fails_in_a_body_is_what_failed(
    tls_server: StartServer, bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: ssl.SSLSocket, *_: object) -> int:
        raise ssl.SSLError(1, "[SSL: BAD_RECORD] told to fail")

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(answer(b"{}", length=100))
        connection.stall()

    server = tls_server(script)
    transport = Transport(read_settings({"ca_bundle": bundle, "max_retries": 0}))
    response = transport.open("GET", f"{server.url}/models", {})
    assert response.read_piece() == b"{}"
    monkeypatch.setattr(ssl.SSLSocket, "recv_into", fail)
    with pytest.raises(APIConnectionError, match=r"^TLS failed: "):
        response.read_piece()


def test_what_tls_holds_back_is_no_answer_to_the_next_request(
    tls_server: StartServer, bundle: str
) -> None:
    def answer_twice(connection: Connection) -> None:
        for own in (b"1", b"2"):
            connection.read_request()
            head, blank, body = answer(own).partition(b"\r\n\r\n")
            connection.send(head + blank)
            connection.send(body + answer(b'"nobody asked"'))

    server = tls_server(in_turn(answer_twice, keep_alive([answer(b"2")])))
    with OpenAI(API_KEY, server.url, ca_bundle=bundle, max_retries=0) as client:
        assert [client.models().body for _ in range(2)] == [1, 2]
    assert server.connections == 2


def test_a_kept_connection_to_a_proxy_names_whole_urls_and_who_asks(
    fault_server: StartServer,
) -> None:
    between = fault_server(keep_alive([answer(b"1"), answer(b"2")]))
    address = between.url.removesuffix("/v1").replace("//", "//ann:secret@")
    with OpenAI(API_KEY, "http://api.invalid/v1", proxy=address) as client:
        assert [client.models().body for _ in range(2)] == [1, 2]
    assert between.connections == 1
    for request in between.requests:
        assert request.startswith(b"GET http://api.invalid/v1/models HTTP/1.1\r\n")
        assert b"proxy-authorization: basic " in head_of(request).lower()


def test_a_proxy_tunnels_tls_without_seeing_the_key(
    tls_server: StartServer, fault_server: StartServer, bundle: str
) -> None:
    server, between = tls_server(FINE), fault_server(proxy("ann:secret"))
    address = between.url.removesuffix("/v1").replace("//", "//ann:secret@")
    with OpenAI(API_KEY, server.url, proxy=address, ca_bundle=bundle) as client:
        assert client.models().body == "fine"
    assert between.requests[0].startswith(b"CONNECT 127.0.0.1:")
    assert API_KEY.encode() not in between.requests[0]
    assert b"proxy-authorization" not in head_of(server.requests[0]).lower()


def test_a_proxy_that_is_spoken_to_over_tls_tunnels_tls(
    tls_server: StartServer, bundle: str
) -> None:
    server, between = tls_server(FINE), tls_server(proxy())
    address = between.url.removesuffix("/v1")
    with OpenAI(API_KEY, server.url, proxy=address, ca_bundle=bundle) as client:
        assert [client.models().body for _ in range(2)] == ["fine", "fine"]


@pytest.mark.parametrize("is_tls", [False, True])
def test_a_socks_proxy_passes_requests_on(
    is_tls: bool, fault_server: StartServer, tls_server: StartServer, bundle: str
) -> None:
    server = (tls_server if is_tls else fault_server)(FINE)
    with (
        SocksServer() as between,
        OpenAI(API_KEY, server.url, proxy=between.url, ca_bundle=bundle) as client,
    ):
        assert [client.models().status for _ in range(3)] == [200, 200, 200]
    assert len(between.targets) == server.connections
    assert len(server.requests) == 3


def test_the_environments_proxy_is_for_tls_too(
    tls_server: StartServer,
    fault_server: StartServer,
    bundle: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, between = tls_server(FINE), fault_server(proxy())
    monkeypatch.setenv("HTTPS_PROXY", between.url.removesuffix("/v1"))
    with OpenAI(API_KEY, server.url, ca_bundle=bundle) as client:
        assert client.models().body == "fine"
    assert between.connections == 1
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with OpenAI(API_KEY, server.url, ca_bundle=bundle) as client:
        assert client.models().body == "fine"
    assert between.connections == 1


def test_a_proxy_that_refuses_is_named_without_its_password(
    fault_server: StartServer, pauses: list[float]
) -> None:
    between = fault_server(proxy("ann:secret"))
    address = between.url.removesuffix("/v1").replace("//", "//bob:hidden@")
    failure = failure_of(ask_for_models, "https://api.invalid/v1", proxy=address)
    assert failure == "proxy failed: https://api.invalid/v1/models"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there_is_what_failed(
    refusing_url: str, pauses: list[float], scheme: str
) -> None:
    address = refusing_url.removesuffix("/v1")
    failure = failure_of(ask_for_a_response, f"{scheme}://api.invalid/v1", proxy=address)
    assert failure == f"proxy failed: {scheme}://api.invalid/v1/responses"
    assert len(pauses) == 2


# --- Settings of a client, and of a request ---


def test_headers_query_and_accounts_are_sent_with_every_request(fault_server: StartServer) -> None:
    server = fault_server(keep_alive([answer()] * 2))
    with OpenAI(
        API_KEY,
        server.url,
        headers={"X-Mine": "1"},
        query={"api-version": "2", "a": "b c&d"},
        organization="org-1",
        project="proj-1",
    ) as client:
        client.models()
        client.request("GET", "/files?limit=2")
    for request, target in zip(
        server.requests, (b"/v1/models?", b"/v1/files?limit=2&"), strict=True
    ):
        assert request.startswith(b"GET " + target + b"a=b%20c%26d&api-version=2 HTTP")
        for line in (b"X-Mine: 1", b"OpenAI-Organization: org-1", b"OpenAI-Project: proj-1"):
            assert line in head_of(request).split(b"\r\n")


def test_the_environment_may_name_the_accounts(
    fault_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-outside")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-outside")
    server = fault_server(FINE)
    with OpenAI(API_KEY, server.url, project="proj-1") as client:
        client.models()
    lines = head_of(server.requests[0]).split(b"\r\n")
    assert b"OpenAI-Organization: org-outside" in lines
    assert b"OpenAI-Project: proj-1" in lines


def test_options_for_a_request_go_over_the_clients_own_and_leave_it_alone(
    fault_server: StartServer, pauses: list[float]
) -> None:
    server, other = fault_server(keep_alive([answer()] * 2)), fault_server(refuse())
    with OpenAI(
        API_KEY, server.url, headers={"A": "1", "B": "1"}, query={"q": "1"}, organization="o"
    ) as client:
        once = client.with_options(
            headers={"B": "2"},
            query={"r": "2"},
            project="p",
            max_retries=0,
            base_url=other.url + "/",
        )
        assert once.models().status == 503
        client.models()
    assert len(other.requests) == 1
    assert other.requests[0].startswith(b"GET /v1/models?q=1&r=2 HTTP")
    lines = head_of(other.requests[0]).split(b"\r\n")
    assert {b"A: 1", b"B: 2", b"OpenAI-Organization: o", b"OpenAI-Project: p"} <= set(lines)
    assert server.requests[0].startswith(b"GET /v1/models?q=1 HTTP")
    assert b"B: 1" in head_of(server.requests[0]).split(b"\r\n")
    assert b"OpenAI-Project" not in server.requests[0]


def test_options_for_a_request_use_the_clients_connections(
    fault_server: StartServer, open_sockets: Count
) -> None:
    server = fault_server(keep_alive([answer()] * 3))
    with OpenAI(API_KEY, server.url) as client:
        for _ in range(3):
            client.with_options(timeout=5).models()
    assert server.connections == 1
    assert open_sockets() == 0


def test_a_time_out_may_be_given_for_a_request(
    fault_server: StartServer, pauses: list[float]
) -> None:
    failure = failure_of(
        lambda client: client.with_options(timeout=0.05).models(),
        fault_server(say_then_stall()).url,
    )
    assert failure.startswith("timed out: no answer within 0.05 s from ")


PATHS = {
    "@evil:1/x": 'path: expected one that begins with /, got "@evil:1/x"',
    "": 'path: expected one that begins with /, got ""',
    ".evil/x": 'path: expected one that begins with /, got ".evil/x"',
    "//evil/x": 'path: "//evil/x" leads to another server than the base URL',
}


@pytest.mark.parametrize(("path", "text"), PATHS.items())
def test_the_key_goes_to_no_other_server_whatever_the_path(
    fault_server: StartServer, path: str, text: str
) -> None:
    server = fault_server(FINE)
    base_url = "http:" if path.startswith("//") else server.url.removesuffix("/v1")
    path = path.replace("evil", server.url.removesuffix("/v1").partition("//")[2])
    text = text.replace("evil", server.url.removesuffix("/v1").partition("//")[2])
    with (
        OpenAI(API_KEY, base_url, max_retries=0) as client,
        pytest.raises(ValueError, match=exactly(text)),
    ):
        client.request("GET", path)
    assert server.requests == []


@pytest.mark.parametrize("path", ["//evil/x", "/@evil:1/x", "/../x", "/x?a=//evil/@b", "/\\evil"])
def test_any_path_that_begins_with_a_slash_is_sent_to_the_client_s_own_server(
    fault_server: StartServer, path: str
) -> None:
    server = fault_server(FINE)
    with OpenAI(API_KEY, server.url.removesuffix("/v1"), max_retries=0) as client:
        assert client.request("GET", path).body == "fine"


@pytest.mark.parametrize("nothing", ["", ".", ".."])
def test_an_id_that_would_change_the_path_is_refused(refusing_url: str, nothing: str) -> None:
    client = OpenAI(API_KEY, refusing_url, max_retries=0)
    with pytest.raises(ValueError, match=exactly(f'file_id: expected an id, got "{nothing}"')):
        client.delete_file(nothing)


@pytest.mark.parametrize("name", ["A B", "A:", "", "é", "A\r\nB"])
def test_a_header_name_that_is_none_is_refused_before_anything_is_sent(
    refusing_url: str, pauses: list[float], name: str
) -> None:
    client = OpenAI(API_KEY, refusing_url, headers={name: "1"})
    with pytest.raises(ValueError, match=r"^header .*: no header can have such a name$"):
        client.models()
    assert pauses == []


# --- The log ---

SECRET = "sk-secret-9f8e7d6c5b4a"


def test_the_log_has_a_line_for_each_attempt(
    fault_server: StartServer, caplog: pytest.LogCaptureFixture, pauses: list[float]
) -> None:
    caplog.set_level("INFO", "luaopenai")
    scripts = (reset_at_once, refuse(429), say(answer(b"1", "X-Request-Id: req_1")))
    with OpenAI(API_KEY, fault_server(in_turn(*scripts)).url) as client:
        client.models()
    lines = [record.getMessage() for record in caplog.records]
    assert [re.sub(r"\d+ ms", "N ms", line) for line in lines] == [
        "GET /v1/models ProtocolError N ms - attempt 1",
        "GET /v1/models 429 N ms - attempt 2",
        "GET /v1/models 200 N ms req_1 attempt 3",
    ]


def test_without_a_listener_nothing_is_logged(
    fault_server: StartServer, caplog: pytest.LogCaptureFixture
) -> None:
    with OpenAI(API_KEY, fault_server(FINE).url) as client:
        client.models()
    assert caplog.text == ""


def test_the_log_shows_no_key_wherever_it_stands(
    fault_server: StartServer, caplog: pytest.LogCaptureFixture, pauses: list[float]
) -> None:
    caplog.set_level("DEBUG", "luaopenai")
    echo = (f"Location: /v1/models?key={SECRET}", f"Set-Cookie: key={SECRET}")
    server = fault_server(in_turn(reset_at_once, say(answer(b"1", *echo, status="302 Found"))))
    address = server.url.replace("//", f"//ann:{SECRET}@")
    with OpenAI(SECRET, address, headers={"X-Key": SECRET}, query={"key": SECRET}) as client:
        client.models()
    assert "answered" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("kind", "event"),
    [
        ("new_chat_session", {"choices": [{"index": 0, "delta": {"content": "Hel"}}]}),
        ("new_responses_chat_session", {"type": "response.output_text.delta", "delta": "Hel"}),
    ],
    ids=["chat", "responses"],
)
def test_a_session_whose_stream_is_cut_off_tells_what_text_came(
    fault_server: StartServer, kind: str, event: dict[str, Any]
) -> None:
    data = b"data: %s\n\n" % json.dumps(event).encode()
    server = fault_server(say(CHUNKED_STREAM + chunk(data)))
    with OpenAI(API_KEY, server.url) as client:
        session = getattr(client, kind)()
        with pytest.raises(APIConnectionError, match=r"^the answer was cut off: ") as caught:
            session.send("Hi", lambda chunk, event: None)
    assert caught.value.body == "Hel"


def test_what_urllib3_logs_of_our_requests_shows_no_key(
    fault_server: StartServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    strange = answer(b"1").replace(b"\r\n\r\n", b"\r\nno header\r\n\r\n")
    address = fault_server(in_turn(FINE, say(strange))).url.replace("//", f"//ann:{SECRET}@")
    for proxied in (None, fault_server(proxy()).url.removesuffix("/v1")):
        client = OpenAI(SECRET, address, query={"key": SECRET}, proxy=proxied, max_retries=0)
        client.models()
    assert '"GET /v1/models HTTP/1.1" 200' in caplog.text
    assert SECRET not in caplog.text


def test_what_urllib3_logs_of_others_requests_is_left_alone(
    fault_server: StartServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    urllib3.request("GET", fault_server(FINE).url + "/models?theirs=1")
    assert "/v1/models?theirs=1" in caplog.text


# --- Passwords in URLs ---

STRANGE_URLS = [
    "http://ann:{}@127.0.0.1:9/v1",
    "http://ann:{}/x@127.0.0.1:9/v1",
    "http://ann:{}?x@127.0.0.1:9/v1",
    "http://ann:{}?x/y@127.0.0.1:9/v1",
    "http://ann:{}#x@127.0.0.1:9/v1",
    "http://ann:12/{}@127.0.0.1:9/v1",
    "http://ann:{}://x@127.0.0.1:9/v1",
    "http://ann:{}@[::1/v1",
    "ann:{}@127.0.0.1:9/v1",
    "ann:{}://x@127.0.0.1:9/v1",
    "//ann:{}@127.0.0.1:9/v1",
    "http://127.0.0.1:9/v1?mail=a@b&key={}",
    "http://127.0.0.1:9/v1#{}",
]


@pytest.mark.parametrize("url", STRANGE_URLS)
def test_no_password_of_a_base_url_is_ever_shown(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    shown = []

    def ask() -> None:
        client = OpenAI(API_KEY, url.format(SECRET), max_retries=0)
        shown.append(repr(client))
        client.models()

    with pytest.raises((ValueError, APIConnectionError)) as caught:
        ask()
    for text in (*shown, str(caught.value), caplog.text):
        assert SECRET not in text


@pytest.mark.parametrize("url", STRANGE_URLS)
def test_no_password_of_a_proxy_is_ever_shown(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    proxied = url.format(SECRET).removesuffix("/v1")
    client = OpenAI(API_KEY, "http://api.invalid/v1", proxy=proxied, max_retries=0)
    with pytest.raises((ValueError, APIConnectionError)) as caught:
        client.models()
    assert SECRET not in str(caught.value) + caplog.text


@given(st.text(), st.text())
def test_whatever_a_password_holds_it_is_not_shown(before: str, after: str) -> None:
    assert SECRET not in public_url(f"http://ann:{before}{SECRET}{after}@127.0.0.1:9/v1")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://api.openai.com/v1/models", "https://api.openai.com/v1/models"),
        ("https://ann:secret@api.openai.com/v1?key=1", "https://api.openai.com/v1"),
        ("localhost:1234/v1", "localhost:1234/v1"),
        ("https://api.openai.com/v1/users/@me", "https://***@me"),
    ],
)
def test_what_holds_no_credentials_of_a_url_is_shown(url: str, shown: str) -> None:
    assert public_url(url) == shown
