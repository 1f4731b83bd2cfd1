"""Callbacks for streams: they may take the chunk alone, or the chunk and its event."""

from __future__ import annotations

import asyncio
import collections
import functools
import json
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
from pytest_httpserver import HTTPServer

from luaopenai import AsyncOpenAI, OpenAI
from luaopenai.client.callbacks import two_arguments
from support import exactly

EVENT = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "Hi"}}]}
TEXT = {"type": "response.output_text.delta", "delta": "Hi"}
DONE = {"type": "response.completed", "response": {"id": "r1", "output": []}}
HELLO = [{"role": "user", "content": "Hello"}]


class Shower:
    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def one(self, chunk: object) -> None:
        self.seen.append((chunk,))

    def two(self, chunk: object, event: object) -> None:
        self.seen.append((chunk, event))

    def default(self, chunk: object, event: object = None) -> None:
        self.seen.append((chunk, event))

    def rest(self, *args: object) -> None:
        self.seen.append(args)

    def keywords(self, chunk: object, *, event: object = None, **_: object) -> None:
        self.seen.append((chunk,))

    def __call__(self, chunk: object) -> None:
        self.seen.append((chunk,))


@pytest.mark.parametrize(
    ("choose", "taken"),
    [
        (lambda shower: shower.one, 1),
        (lambda shower: shower, 1),
        (lambda shower: shower.keywords, 1),
        (lambda shower: lambda chunk, shower=shower: shower.one(chunk), 1),
        (lambda shower: lambda chunk: shower.one(chunk), 1),
        (lambda shower: functools.partial(shower.two, event="mine"), 1),
        (lambda shower: functools.partial(Shower.one, shower), 1),
        (lambda shower: shower.two, 2),
        (lambda shower: shower.default, 2),
        (lambda shower: shower.rest, 2),
        (lambda shower: functools.partial(Shower.two, shower), 2),
        (lambda shower: lambda chunk, event: shower.two(chunk, event), 2),
    ],
)
def test_a_callback_is_given_what_its_signature_takes(
    choose: Callable[[Shower], Any], taken: int
) -> None:
    shower = Shower()
    two_arguments(choose(shower))("chunk", "event")
    assert shower.seen in ([("chunk", "event")[:taken]], [("chunk", "mine")])


def test_a_mock_is_given_both() -> None:
    mock = Mock()
    two_arguments(mock)("chunk", "event")
    mock.assert_called_once_with("chunk", "event")


def test_built_in_functions_are_given_the_chunk_alone(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[object] = []
    queue: collections.deque[object] = collections.deque()
    for callback in (print, functools.partial(print, end="|"), seen.append, queue.append):
        two_arguments(callback)("chunk", "event")
    assert capsys.readouterr().out == "chunk\nchunk|"
    assert seen == [*queue] == ["chunk"]


def test_what_tells_no_signature_is_given_the_chunk_alone() -> None:
    class Silent:
        __signature__ = "none of that"

        def __call__(self, *args: object) -> object:
            return args

    assert two_arguments(Silent())("chunk", "event") == ("chunk",)
    assert two_arguments(str)("chunk", "event") == "chunk"


def test_an_error_of_the_callbacks_own_is_not_taken_for_a_wrong_signature() -> None:
    calls: list[object] = []

    def fails(chunk: object, event: object) -> None:
        calls.append(chunk)
        raise TypeError("mine")

    with pytest.raises(TypeError, match=exactly("mine")):
        two_arguments(fails)("chunk", "event")
    assert calls == ["chunk"]


@pytest.mark.parametrize("callback", [lambda: None, lambda a, b, c: None])
def test_a_function_of_no_or_three_arguments_is_refused(callback: Any) -> None:
    text = "stream_callback: expected a function of a chunk, or of a chunk and an event"
    with pytest.raises(TypeError, match=exactly(text)):
        two_arguments(callback)


# --- Where they are given ---


def answer(httpserver: HTTPServer) -> None:
    body = b"".join(b"data: %s\n\n" % json.dumps(one).encode() for one in (EVENT, TEXT, DONE))
    httpserver.expect_request("/v1/chat/completions").respond_with_data(body)
    httpserver.expect_request("/v1/responses").respond_with_data(body)


def test_every_method_with_chunks_takes_both_kinds(client: OpenAI, httpserver: HTTPServer) -> None:
    answer(httpserver)
    chat = client.new_chat_session(messages=HELLO)
    responses = client.new_responses_chat_session()
    asks: list[Callable[[Any], object]] = [
        lambda callback: client.chat(HELLO, callback),
        lambda callback: chat.send("Hello", callback),
        lambda callback: chat.generate_response(True, callback),
        lambda callback: responses.send("Hello", callback),
        lambda callback: responses.create_response("Hello", callback),
    ]
    for ask in asks:
        seen: list[str] = []
        ask(lambda chunk, seen=seen: seen.append(str(chunk)))
        ask(lambda chunk, event, seen=seen: seen.append(f"{chunk} {sorted(event)}"))
        assert seen[0] == "Hi"
        assert seen[1].startswith("Hi ['")


def test_a_callback_of_the_chunk_alone_ends_the_stream_by_false(
    client: OpenAI, httpserver: HTTPServer
) -> None:
    body = b"data: %s\n\n" % json.dumps(EVENT).encode()
    httpserver.expect_request("/v1/chat/completions").respond_with_data(body * 3)
    assert client.new_chat_session().send("Hello", lambda chunk: False) == "Hi"


def test_the_async_client_takes_a_callback_in_the_same_place(
    client: OpenAI, httpserver: HTTPServer
) -> None:
    answer(httpserver)

    async def main() -> None:
        async with AsyncOpenAI("k", client.base_url) as same:
            chat = same.new_chat_session()
            responses = same.new_responses_chat_session()
            for call in (
                same.chat(HELLO, seen.append),
                chat.send("Hello", seen.append),
                chat.generate_response(True, seen.append),
                responses.send("Hello", seen.append),
                responses.create_response("Hello", seen.append),
                same.create_chat_completion(HELLO, events.append),
                same.create_response("Hello", events.append),
                same.request("POST", "/responses", {}, {}, events.append),
            ):
                await call

    seen: list[Any] = []
    events: list[Any] = []
    asyncio.run(main())
    assert [str(chunk) for chunk in seen] == ["Hi"] * 5
    assert events == [EVENT, TEXT, DONE] * 3


def test_an_async_call_with_a_callback_is_not_iterated() -> None:
    async def main() -> None:
        async for _ in AsyncOpenAI("k").chat(HELLO, print):
            pass

    with pytest.raises(TypeError, match="is to be awaited, not iterated"):
        asyncio.run(main())
