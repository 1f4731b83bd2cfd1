"""Which kept connection a request may use, and which answer on it is the request's own."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from luaopenai import APIConnectionError, APITimeoutError, OpenAI
from luaopenai.client import retries
from luaopenai.client.transport import Transport
from support import API_KEY
from support.fault_server import (
    CHUNKED_STREAM,
    Connection,
    FaultServer,
    Script,
    answer,
    chunk,
    in_turn,
    keep_alive,
    say,
)
from support.waiting import GENEROUS

StartServer = Callable[[Script], FaultServer]

CREATED = answer(b'{"id": "resp_1", "output": []}')
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
STREAM = CHUNKED_STREAM + chunk(b'data: {"type": "response.completed"}\n\n') + chunk(b"")


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock by which connections rest, in seconds; its last value holds."""
    readings = [1000.0]
    monkeypatch.setattr("luaopenai.client.connections.monotonic", lambda: readings[-1])
    return readings


def ask_for_a_stream(client: OpenAI) -> None:
    client.create_response("Hello", lambda event: None)


# --- Connections that the server is about to close ---


@pytest.mark.parametrize(("size", "packets"), [(10, 1), (100_000, 2)], ids=["short", "long"])
def test_a_requests_head_and_body_go_out_together_where_they_are_short(
    fault_server: StartServer, monkeypatch: pytest.MonkeyPatch, size: int, packets: int
) -> None:
    sent: list[bytes] = []
    send = socket.socket.sendall

    def note(self: socket.socket, data: bytes) -> None:
        sent.append(data)
        send(self, data)

    server = fault_server(keep_alive([answer()] * 2))
    with OpenAI(API_KEY, server.url, max_retries=0) as client:
        client.models()
        monkeypatch.setattr(socket.socket, "sendall", note)
        client.moderation("x" * size)
    ours = [data for data in sent if not data.startswith(b"HTTP")]
    assert len(ours) == packets
    assert b"".join(ours) == server.requests[-1]


def say_and_hang_up_on_the_next(said: bytes) -> Script:
    """As a server that closes after an answer, when the next request is on its way already."""

    def script(connection: Connection) -> None:
        say(said)(connection)
        connection.read_request()

    return script


def test_what_must_not_be_sent_twice_is_not_risked_on_the_connection_of_a_stream(
    fault_server: StartServer, now: list[float]
) -> None:
    server = fault_server(in_turn(say_and_hang_up_on_the_next(STREAM), say(CREATED)))
    with OpenAI(API_KEY, server.url, max_retries=0) as client:
        ask_for_a_stream(client)
        assert client.create_response("Hello").status == 200
    assert (server.connections, len(server.requests)) == (2, 2)


def test_what_may_be_sent_twice_uses_the_connection_of_a_stream(
    fault_server: StartServer, now: list[float]
) -> None:
    server = fault_server(keep_alive([STREAM, answer(b'"fine"')]))
    with OpenAI(API_KEY, server.url, max_retries=0) as client:
        ask_for_a_stream(client)
        assert client.models().body == "fine"
    assert server.connections == 1


def test_a_connection_that_outlives_its_stream_is_used_again(
    fault_server: StartServer, now: list[float]
) -> None:
    server = fault_server(keep_alive([STREAM, STREAM]))
    with OpenAI(API_KEY, server.url, max_retries=0) as client:
        ask_for_a_stream(client)
        now.append(now[-1] + retries.STREAM_REST)
        ask_for_a_stream(client)
    assert server.connections == 1


def test_streams_in_a_row_take_turns_on_two_connections(
    fault_server: StartServer, now: list[float]
) -> None:
    server = fault_server(keep_alive([STREAM] * 10))
    with OpenAI(API_KEY, server.url, max_retries=0) as client:
        for _ in range(10):
            ask_for_a_stream(client)
            now.append(now[-1] + 0.6 * retries.STREAM_REST)
    assert (server.connections, len(server.requests)) == (2, 10)


@pytest.mark.parametrize(("idle", "connections"), [(3.9, 1), (4.1, 2)])
def test_what_must_not_be_sent_twice_keeps_away_from_the_end_that_a_server_has_announced(
    fault_server: StartServer, now: list[float], idle: float, connections: int
) -> None:
    announcing = answer(b"{}", "Keep-Alive: timeout=5, max=100")
    server = fault_server(keep_alive([announcing, CREATED]))
    with OpenAI(API_KEY, server.url, max_retries=0) as client:
        client.models()
        now.append(now[-1] + idle)
        client.create_response("Hello")
    assert server.connections == connections


@pytest.mark.parametrize("said", ["max=100", "timeout=soon", "timeout", "", "timeout=-1"])
def test_an_announcement_without_a_time_says_nothing(
    fault_server: StartServer, now: list[float], said: str
) -> None:
    server = fault_server(keep_alive([answer(b"{}", f"Keep-Alive: {said}"), CREATED]))
    with OpenAI(API_KEY, server.url, max_retries=0) as client:
        client.models()
        now.append(now[-1] + 1e6)
        client.create_response("Hello")
    assert server.connections == 1


def test_a_connection_that_was_closed_before_is_replaced_whatever_is_sent(
    fault_server: StartServer, now: list[float]
) -> None:
    closed = threading.Event()

    def answer_once(connection: Connection) -> None:
        say(answer(b"{}"))(connection)
        connection.close()
        closed.set()

    server = fault_server(in_turn(answer_once, say(CREATED)))
    with OpenAI(API_KEY, server.url, max_retries=0) as client:
        client.models()
        assert closed.wait(GENEROUS)
        assert client.create_response("Hello").status == 200
    assert len(server.requests) == 2


# --- A kept connection is used as a new one is ---


def slowly(answers: list[bytes], seconds: float) -> Script:
    """Gives the first answer at once, and each other one after a while."""

    def script(connection: Connection) -> None:
        for number, one in enumerate(answers):
            connection.read_request()
            threading.Event().wait(seconds if number else 0)
            connection.send(one)

    return script


def test_an_answer_on_a_kept_connection_may_take_as_long_as_a_read(
    fault_server: StartServer,
) -> None:
    server = fault_server(slowly([answer(b"1"), answer(b"2")], 0.4))
    limits = {"connect": 0.1, "read": GENEROUS}
    with OpenAI(API_KEY, server.url, max_retries=0, timeout=limits) as client:
        assert [client.models().body for _ in range(2)] == [1, 2]
    assert server.connections == 1


def test_a_read_from_a_kept_connection_takes_no_longer_than_it_may(
    fault_server: StartServer,
) -> None:
    server = fault_server(slowly([answer(b"1"), answer(b"2")], 0.5))
    limits = {"connect": GENEROUS, "read": 0.1}
    with OpenAI(API_KEY, server.url, max_retries=0, timeout=limits) as client:
        client.models()
        with pytest.raises(APITimeoutError, match=r"no answer within 0\.1 s"):
            client.models()


def test_a_total_time_out_holds_on_a_kept_connection(fault_server: StartServer) -> None:
    third = answer(b"{}", "X: " + "x" * 200)
    is_late = threading.Event()

    def script(connection: Connection) -> None:
        for _ in range(2):
            connection.read_request()
            connection.send(answer(b"{}"))
        connection.read_request()
        for at in range(len(third)):
            connection.send(third[at : at + 1])
            threading.Event().wait(0.02)
            if at > 150:
                is_late.set()

    server = fault_server(script)
    with OpenAI(API_KEY, server.url, max_retries=0) as client:
        client.models()
        hurried = client.with_options(timeout={"total": 0.3})
        assert hurried.models().status == 200
        with pytest.raises(APITimeoutError, match="not done within 0"):
            hurried.models()
        assert not is_late.is_set()
    assert server.connections == 1


@pytest.mark.parametrize("chunked", [False, True])
def test_a_connection_whose_body_has_come_whole_is_kept_although_its_end_was_not_asked_for(
    fault_server: StartServer, chunked: bool
) -> None:
    whole = CHUNKED_HEAD + chunk(b"{}") + chunk(b"") if chunked else answer(b"{}")
    server = fault_server(keep_alive([whole] * 2))
    transport = Transport()
    for _ in range(2):
        response = transport.open("GET", f"{server.url}/models", {})
        assert response.read_piece() == b"{}"
        response.close()
    transport.close()
    assert server.connections == 1


@pytest.mark.parametrize("name", ["EPIPE", "ECONNRESET"])
def test_an_answer_that_comes_while_the_request_is_sent_is_read_from_a_kept_connection(
    fault_server: StartServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    send = socket.socket.sendall

    def fail(self: socket.socket, data: bytes) -> None:
        send(self, data)
        if data.startswith(b"POST"):
            raise OSError(getattr(errno, name), "told to fail")

    server = fault_server(keep_alive([answer(), answer(b'"too large"', status="413 No")]))
    with OpenAI(API_KEY, server.url, max_retries=0) as client:
        client.models()
        monkeypatch.setattr(socket.socket, "sendall", fail)
        assert client.moderation("x").body == "too large"
    assert server.connections == 1


def test_another_failure_to_send_ends_a_kept_connection(
    fault_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = socket.socket.sendall

    def fail(self: socket.socket, data: bytes) -> None:
        if data.startswith(b"POST"):
            raise OSError(errno.EHOSTUNREACH, "told to fail")
        send(self, data)

    server = fault_server(keep_alive([answer(b"{}")] * 2))
    with OpenAI(API_KEY, server.url, max_retries=0) as client:
        client.models()
        monkeypatch.setattr(socket.socket, "sendall", fail)
        with pytest.raises(APIConnectionError):
            client.moderation("x")
        client.models()
    assert server.connections == 2


# --- Interim answers ---

INTERIM = {
    "100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "102": b"HTTP/1.1 102 Processing\r\n\r\n",
    "103": b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n",
    "several": b"HTTP/1.1 100 Continue\r\n\r\n" + b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n" * 5,
    "unknown": b"HTTP/1.1 199 Whatever\r\n\r\n",
}


@pytest.mark.parametrize("interim", INTERIM.values(), ids=INTERIM)
def test_an_interim_answer_is_passed_over_and_the_connection_stays_in_step(
    fault_server: StartServer, interim: bytes
) -> None:
    said = [interim + answer(b'"first"'), answer(b'"second"'), interim + answer(b'"third"')]
    server = fault_server(keep_alive(said))
    with OpenAI(API_KEY, server.url, max_retries=0) as client:
        assert [client.models().body for _ in said] == ["first", "second", "third"]
    assert server.connections == 1


def test_interim_answers_without_end_are_a_failure(fault_server: StartServer) -> None:
    server = fault_server(say(INTERIM["102"] * 1000 + answer(b'"late"')))
    with (
        OpenAI(API_KEY, server.url, max_retries=0) as client,
        pytest.raises(APIConnectionError, match=r"^not an HTTP answer: "),
    ):
        client.models()


def test_after_a_switch_of_protocols_the_connection_is_not_used_again(
    fault_server: StartServer,
) -> None:
    switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"
    server = fault_server(in_turn(keep_alive([switch, CREATED]), say(answer(b'"fine"'))))
    with OpenAI(API_KEY, server.url, max_retries=0) as client:
        assert client.models().status == 101
        assert client.models().body == "fine"
    assert server.connections == 2


# --- Forks ---

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@pytest.fixture
def echo_server(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[FaultServer, str]]:
    """Answers with the path it was asked for; with the file of its certificate, over TLS."""
    context, bundle = None, tmp_path / "authority.pem"
    if request.param == "https":
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(bundle))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)

    def echo(connection: Connection) -> None:
        while request := connection.read_request():
            connection.send(answer(b'"%s"' % request.split(b" ")[1]))

    server = FaultServer(echo, context)
    yield server, str(bundle) if context else ""
    server.close()


FORKS = """
import os, sys
from luaopenai import OpenAI

client = OpenAI("key", sys.argv[1], max_retries=0, timeout=5, ca_bundle=sys.argv[2] or None)


def are_answers_its_own(who):
    paths = [f"/{who}/{number}" for number in range(100)]
    return all(client.request("GET", path).body == "/v1" + path for path in paths)


assert are_answers_its_own("before")
children = []
for who in range(3):
    child = os.fork()
    if not child:
        os._exit(0 if are_answers_its_own(who) else 1)
    children.append(child)
assert are_answers_its_own("parent")
for child in children:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert are_answers_its_own("after")
"""


def run(script: str, *args: str) -> None:
    """Run a script in a process of its own, which a failed assertion of its makes fail."""
    command = [sys.executable, "-c", script, *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@needs_fork
@pytest.mark.parametrize("echo_server", ["http", "https"], indirect=True)
def test_forked_processes_never_share_a_connection(echo_server: tuple[FaultServer, str]) -> None:
    server, bundle = echo_server
    run(FORKS, server.url, bundle)
    assert (server.connections, len(server.requests)) == (4, 600)


FORK_IN_A_STREAM = """
import os, sys
from luaopenai import APIConnectionError, APITimeoutError, OpenAI

client = OpenAI("key", sys.argv[1], max_retries=0, timeout=5)
children, statuses = [], []


def fork(event):
    if children:
        return
    children.append(os.fork())
    if children[0]:
        statuses.append(os.waitpid(children[0], 0)[1])
        # Only now may the stream go on.
        client.request("GET", "/go")


events = []
try:
    client.create_response("Hello", lambda event: (fork(event), events.append(event)))
except APIConnectionError as error:
    is_told = str(error).startswith("the answer belongs to the process before the fork: http://")
    os._exit(3 if is_told else 1)
assert len(events) == 2, events
assert os.waitstatus_to_exitcode(statuses[0]) == 3
"""


@needs_fork
def test_a_process_forked_in_a_stream_leaves_the_stream_to_its_parent(
    fault_server: StartServer,
) -> None:
    event = chunk(b'data: {"type": "response.output_text.delta"}\n\n')

    told_to_go = threading.Event()

    def script(connection: Connection) -> None:
        say(CHUNKED_STREAM + event)(connection)
        assert told_to_go.wait(GENEROUS)
        connection.send(event + chunk(b""))

    def go(connection: Connection) -> None:
        connection.read_request()
        told_to_go.set()
        connection.send(answer())

    run(FORK_IN_A_STREAM, fault_server(in_turn(script, go)).url)
