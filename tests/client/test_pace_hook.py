"""What decides when requests may be sent hears the end of each that it let go."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from luaopenai import APIConnectionError, OpenAI
from luaopenai.client.doors import open_response
from luaopenai.client.transport import set_pace
from support import API_KEY
from support.fault_server import (
    CHUNKED_STREAM,
    FaultServer,
    Script,
    answer,
    chunk,
    reset_at_once,
    say,
    say_then_stall,
)

StartServer = Callable[[Script], FaultServer]


class Notes:
    """Lets each request go after a pause, and notes what it hears of it."""

    def __init__(self) -> None:
        self.pause = 0.0
        self.ends: list[int | None] = []
        self.pieces: list[bytes] = []

    def before(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Any:
        time.sleep(self.pause)
        return "its turn"

    def after(
        self, sent: Any, status: int | None, headers: Mapping[str, str], failure: Exception | None
    ) -> Callable[[bytes], object]:
        assert sent == "its turn"
        self.ends.append(status)
        return self.pieces.append


@pytest.fixture
def notes() -> Iterator[Notes]:
    found = Notes()
    set_pace(found)
    yield found
    set_pace(None)


def test_to_wait_for_ones_turn_takes_nothing_of_the_time_limit(
    notes: Notes, fault_server: StartServer
) -> None:
    notes.pause = 2.5
    server = fault_server(say(answer()))
    with OpenAI(API_KEY, server.url, timeout={"total": 2.0}) as client:
        assert client.models().status == 200
    assert notes.ends == [200]


def test_a_request_that_is_not_sent_after_all_gives_its_turn_back(
    notes: Notes, fault_server: StartServer
) -> None:
    server = fault_server(say(answer()))

    def refuse(_: object) -> None:
        raise RuntimeError("no limit leaves room")

    with (
        OpenAI(API_KEY, server.url) as client,
        pytest.raises(RuntimeError, match="no limit leaves room"),
    ):
        open_response(client, "GET", "/models", None, refuse)
    assert notes.ends == [None]


def test_a_request_that_is_interrupted_gives_its_turn_back(
    notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("luaopenai.client.connections.Connection.connect", interrupt)
    with OpenAI(API_KEY, "http://127.0.0.1:1/v1") as client, pytest.raises(KeyboardInterrupt):
        client.models()
    assert notes.ends == [None]


def test_a_request_that_finds_no_server_gives_its_turn_back(
    notes: Notes, fault_server: StartServer
) -> None:
    server = fault_server(reset_at_once)
    with (
        OpenAI(API_KEY, server.url, max_retries=0) as client,
        pytest.raises(APIConnectionError),
    ):
        client.models()
    assert notes.ends == [None]


def test_an_answer_that_is_read_to_its_end_ends_once(
    notes: Notes, fault_server: StartServer
) -> None:
    server = fault_server(say(answer(b'{"data":[]}')))
    with OpenAI(API_KEY, server.url) as client:
        response = open_response(client, "GET", "/models", None, lambda _: None)
        response.read()
        response.close()
    assert notes.pieces == [b'{"data":[]}', b""]


def test_an_answer_that_is_broken_off_ends_too(notes: Notes, fault_server: StartServer) -> None:
    server = fault_server(say_then_stall(CHUNKED_STREAM + chunk(b"data: 1\n\n")))
    with OpenAI(API_KEY, server.url) as client:
        response = open_response(client, "POST", "/chat/completions", b"{}", lambda _: None)
        assert response.read_piece() == b"data: 1\n\n"
        response.close()
    assert notes.pieces == [b"data: 1\n\n", b""]
