"""Answers whose body is read ahead, as tasks do: what comes out, and what is waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from luaopenai import APIConnectionError
from luaopenai.client.transport import RawResponse, Transport
from support.fault_server import Connection, FaultServer, Script, answer, chunk

StartServer = Callable[[Script], FaultServer]
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def opened(server: FaultServer) -> RawResponse:
    """An answer of that server, read ahead."""
    found = Transport().open("GET", f"{server.url}/models", {})
    found.read_ahead()
    return found


@pytest.mark.parametrize("body", [b"{}", b""])
def test_a_body_that_has_come_whole_is_at_hand_to_its_end(
    fault_server: StartServer, body: bytes
) -> None:
    def script(connection: Connection) -> None:
        while connection.read_request():
            connection.send(answer(body))

    found = opened(fault_server(script))
    pieces = []
    while found.is_at_hand:
        pieces.append(found.read_piece())
    assert (b"".join(pieces), pieces[-1]) == (body, b"")


def test_of_a_stream_only_what_has_come_is_at_hand(fault_server: StartServer) -> None:
    taken = threading.Event()

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(STREAM + chunk(b"data: 1\n\n"))
        taken.wait(30)
        connection.send(chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")

    found = opened(fault_server(script))
    assert found.read_piece() == b"data: 1\n\n"
    assert not found.is_at_hand
    taken.set()
    assert found.read() == b"data: [DONE]\n\n"


def test_a_body_that_is_cut_off_fails_where_it_ends(fault_server: StartServer) -> None:
    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")

    found = opened(fault_server(script))
    with pytest.raises(APIConnectionError, match="the answer was cut off"):
        found.read_piece()
