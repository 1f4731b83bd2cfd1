"""Streams that the caller pulls, as ``for chunk in client.chat(..., stream=True)`` does."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from luaopenai import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    AsyncOpenAI,
    AsyncReplyStream,
    AsyncStream,
    AuthenticationError,
    InternalServerError,
    OpenAI,
    RateLimitError,
    ReplyStream,
    Response,
    Stream,
)
from luaopenai.client.completions import Chunk
from luaopenai.client.responses import TextChunk
from support import exactly
from support.crowd_server import CrowdServer
from support.fault_server import FaultServer, Script, chunk, keep_alive, say, say_then_stall
from support.waiting import GENEROUS, eventually

StartServer = Callable[[Script], FaultServer]
Connect = Callable[..., OpenAI]
HELLO = [{"role": "user", "content": "Hello"}]
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Request-Id: req_7\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


def delta(**fields: Any) -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": fields}]}


def sse(*events: object) -> bytes:
    return b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events)


def whole(*events: object) -> bytes:
    """A stream with its head, as a server that keeps the connection sends it."""
    return HEAD + chunk(sse(*events)) + chunk(b"data: [DONE]\n\n") + chunk(b"")


def respond(
    server: HTTPServer, body: bytes, status: int = 200, kind: str = "text/event-stream"
) -> None:
    server.expect_request("/v1/chat/completions").respond_with_data(body, status, content_type=kind)
    server.expect_request("/v1/responses").respond_with_data(body, status, content_type=kind)
    server.expect_request("/v1/completions").respond_with_data(body, status, content_type=kind)


HEL_LO = (delta(role="assistant"), delta(content="Hel"), delta(content="lo"))
CREATED = {"type": "response.created", "response": {"id": "r1"}}
ANSWER = {
    "id": "r1",
    "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hello"}]}],
}
HEL_LO_RESPONSE = (
    CREATED,
    {"type": "response.output_text.delta", "delta": "Hel"},
    {"type": "response.output_text.delta", "delta": "lo"},
    {"type": "response.completed", "response": ANSWER},
)


# --- Client methods ---


def test_a_chat_gives_its_chunks(client: OpenAI, httpserver: HTTPServer) -> None:
    respond(httpserver, sse(*HEL_LO))
    stream: Stream[Chunk] = client.chat(HELLO, stream=True)
    texts = [str(chunk) for chunk in stream]
    assert "".join(texts) == "Hello"
    assert json.loads(httpserver.log[0][0].get_data())["stream"] is True


def test_the_other_methods_give_every_event(client: OpenAI, httpserver: HTTPServer) -> None:
    respond(httpserver, sse(*HEL_LO, {"usage": {}}))
    streams: list[Stream[dict[str, Any]]] = [
        client.create_chat_completion(HELLO, stream=True),
        client.create_response("Hello", stream=True),
        client.completion("Hello", stream=True),
        client.request("POST", "/responses", {"input": "Hello", "stream": True}, stream=True),
    ]
    for stream in streams:
        assert [*stream] == [*HEL_LO, {"usage": {}}]


def test_stream_false_is_no_stream(client: OpenAI, httpserver: HTTPServer) -> None:
    respond(httpserver, b'{"ok": true}', kind="application/json")
    assert client.chat(HELLO, stream=False).body == {"ok": True}
    assert client.request("POST", "/responses", {}, stream=False).body == {"ok": True}


def test_with_a_callback_the_response_is_returned(client: OpenAI, httpserver: HTTPServer) -> None:
    respond(httpserver, sse(*HEL_LO))
    seen: list[Any] = []
    response: Response = client.chat(HELLO, seen.append, stream=True)
    assert response.status == 200
    assert "".join(map(str, seen)) == "Hello"


def test_status_and_headers_are_there_at_once_and_the_text_as_it_comes(
    connect: Connect, fault_server: StartServer
) -> None:
    first, second = sse(delta(content="Hel")), sse(delta(content="lo"))
    go_on = threading.Event()

    def script(connection: Any) -> None:
        connection.read_request()
        connection.send(HEAD)
        go_on.wait(GENEROUS)
        connection.send(chunk(first))
        connection.send(chunk(second) + chunk(b""))

    stream = connect(fault_server(script).url).create_chat_completion(HELLO, stream=True)
    assert (stream.response.status, stream.response.body) == (200, "")
    assert stream.response.headers["x-request-id"] == "req_7"
    go_on.set()
    next(stream)
    assert stream.response.body.startswith(first.decode())
    assert [*stream] == [delta(content="lo")]
    assert stream.response.body == (first + second).decode()


def test_a_stream_at_its_end_stays_there(client: OpenAI, httpserver: HTTPServer) -> None:
    respond(httpserver, sse(*HEL_LO))
    stream = client.chat(HELLO, stream=True)
    assert [*stream] != [*stream] == []


def test_a_stream_may_be_read_on_after_a_break(client: OpenAI, httpserver: HTTPServer) -> None:
    respond(httpserver, sse(*HEL_LO))
    stream = client.create_chat_completion(HELLO, stream=True)
    for event in stream:
        assert event == HEL_LO[0]
        break
    assert [*stream] == [*HEL_LO[1:]]


# --- Failures ---


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.chat(HELLO, stream=True),
        lambda client: client.create_response("Hello", stream=True),
        lambda client: client.request("POST", "/responses", {}, stream=True),
    ],
    ids=["chat", "create_response", "request"],
)
def test_a_refusal_raises_where_the_call_is_made(
    client: OpenAI, httpserver: HTTPServer, ask: Callable[[OpenAI], object]
) -> None:
    body = {"error": {"message": "No key", "code": "invalid_api_key"}}
    respond(httpserver, json.dumps(body).encode(), 401, "application/json")
    with pytest.raises(AuthenticationError) as caught:
        ask(client)
    assert str(caught.value) == "Bad status: 401: No key (invalid_api_key)"
    assert caught.value.body == body


def test_a_network_that_fails_raises_where_the_call_is_made(
    connect: Connect, refusing_url: str
) -> None:
    with pytest.raises(APIConnectionError, match=r"^connection refused: "):
        connect(refusing_url).chat(HELLO, stream=True)


def test_a_bad_message_is_refused_before_anything_is_sent(
    connect: Connect, refusing_url: str
) -> None:
    with pytest.raises(ValueError, match=r"^messages\[0\]\.role: "):
        connect(refusing_url).chat([{"role": "robot"}], stream=True)


def test_a_cut_stream_gives_what_came_and_raises(
    connect: Connect, fault_server: StartServer
) -> None:
    stream = connect(fault_server(say(HEAD + chunk(sse(*HEL_LO)))).url).chat(HELLO, stream=True)
    seen: list[Any] = []
    with pytest.raises(APIConnectionError, match=r"^the (answer was cut off|server closed)"):
        seen.extend(stream)
    assert "".join(map(str, seen)) == "Hello"
    assert [*stream] == []


def test_silence_ends_with_the_read_time_out(connect: Connect, fault_server: StartServer) -> None:
    url = fault_server(say_then_stall(HEAD + chunk(sse(*HEL_LO)))).url
    stream = connect(url, timeout={"read": 0.5}).chat(HELLO, stream=True)
    with pytest.raises(APITimeoutError, match=r"^timed out: no answer within 0\.5 s"):
        read_all(stream)


def test_an_error_event_raises_when_all_text_has_been_given(
    client: OpenAI, httpserver: HTTPServer
) -> None:
    failed = {"error": {"message": "Overloaded", "code": "busy"}}
    respond(httpserver, sse(delta(content="Hel"), failed, delta(content="lo")))
    seen: list[Any] = []
    with pytest.raises(APIError, match=exactly("Stream failed: Overloaded (busy)")) as caught:
        seen.extend(client.chat(HELLO, stream=True))
    assert "".join(map(str, seen)) == "Hello"
    assert (caught.value.status, caught.value.body, caught.value.code) == (200, failed, "busy")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error": {"message": "Overloaded"}}', "Stream failed: Overloaded"),
        (
            b'{"choices": [{"message": {"content": "Hello"}}]}',
            "Failed to parse response from server: expected a stream of events",
        ),
        (b"<html>", "Failed to parse response from server: expected a stream of events"),
    ],
)
@pytest.mark.parametrize("method", ["chat", "create_response"])
def test_an_answer_that_is_no_stream_is_never_an_empty_one(
    client: OpenAI, httpserver: HTTPServer, method: str, body: bytes, text: str
) -> None:
    respond(httpserver, body, kind="application/json")
    stream = getattr(client, method)(HELLO, stream=True)
    with pytest.raises(APIError, match=exactly(text)) as caught:
        read_all(stream)
    assert caught.value.body == body.decode()


def test_a_stream_without_events_is_an_empty_one(client: OpenAI, httpserver: HTTPServer) -> None:
    respond(httpserver, b"data: [DONE]\n\n")
    assert [*client.chat(HELLO, stream=True)] == []


# --- Connections ---


def read_all(stream: Stream[Any]) -> None:
    for _ in stream:
        pass


def test_a_stream_that_was_read_leaves_its_connection_to_the_next_request(
    connect: Connect, fault_server: StartServer
) -> None:
    server = fault_server(keep_alive([whole(*HEL_LO)] * 3))
    client = connect(server.url)
    for _ in range(3):
        read_all(client.chat(HELLO, stream=True))
    assert server.connections == 1


def leave_by_break(stream: Stream[Any]) -> None:
    for _ in stream:
        break


def leave_by_error(stream: Stream[Any]) -> None:
    with contextlib.suppress(KeyError):
        for _ in stream:
            raise KeyError


def leave_by_with(stream: Stream[Any]) -> None:
    with stream as same:
        assert same is stream
        next(stream)
    assert [*stream] == []


def leave_by_close(stream: Stream[Any]) -> None:
    next(stream)
    stream.close()
    stream.close()
    assert next(stream, None) is None


def leave_unread(stream: Stream[Any]) -> None:
    pass


LEAVE = [leave_by_break, leave_by_error, leave_by_with, leave_by_close, leave_unread]


@pytest.mark.parametrize("leave", LEAVE)
@pytest.mark.parametrize("kind", ["chat", "events", "session"])
def test_a_stream_that_is_left_closes_its_connection(
    connect: Connect,
    crowd: CrowdServer,
    open_sockets: Callable[[], int],
    leave: Callable[[Stream[Any]], None],
    kind: str,
) -> None:
    client = connect(crowd.url)
    model = "drip-999-10"
    if kind == "chat":
        leave(client.chat(HELLO, stream=True, model=model))
    elif kind == "events":
        leave(client.create_chat_completion(HELLO, stream=True, model=model))
    else:
        leave(client.new_chat_session().send("Hello", stream=True, model=model))
    gc.collect()
    assert open_sockets() == 0
    eventually(lambda: crowd.count.lost == 1)


def test_streams_may_be_read_in_turns_without_threads(connect: Connect, crowd: CrowdServer) -> None:
    before = threading.active_count()
    client = connect(crowd.url)
    streams = [client.chat(HELLO, model="drip-3-1", stream=True) for _ in range(3)]
    turns = [[str(piece) for piece in pieces] for pieces in zip(*streams, strict=True)]
    assert turns == [[f"Hello{n} "] * 3 for n in range(3)]
    assert threading.active_count() == before


# --- Sessions ---


def test_a_sessions_reply_joins_the_history_at_the_end(
    client: OpenAI, httpserver: HTTPServer
) -> None:
    respond(httpserver, sse(*HEL_LO))
    session = client.new_chat_session()
    stream: ReplyStream[Chunk, str | dict[str, Any]] = session.send("Hello", stream=True)
    assert session.messages == HELLO
    assert "".join(map(str, stream)) == "Hello"
    assert stream.reply == "Hello"
    assert session.messages == [*HELLO, {"role": "assistant", "content": "Hello"}]
    assert stream.response.status == 200


def test_a_streamed_reply_that_calls_is_whole(client: OpenAI, httpserver: HTTPServer) -> None:
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
    rest = {"index": 0, "function": {"arguments": "{}"}}
    respond(httpserver, sse(delta(tool_calls=[call]), delta(tool_calls=[rest])))
    session = client.new_chat_session()
    stream = session.send("Hello", stream=True)
    read_all(stream)
    assert isinstance(stream.reply, dict)
    assert stream.reply["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}
    last = session.last_message()
    assert last is not None
    assert last["tool_calls"] == stream.reply["tool_calls"]


def test_a_session_can_be_made_to_stream_always(client: OpenAI, httpserver: HTTPServer) -> None:
    respond(httpserver, sse(*HEL_LO))
    session = client.new_chat_session(messages=HELLO)
    stream = session.generate_response(False, stream=True)
    read_all(stream)
    assert stream.reply == "Hello"
    assert session.messages == HELLO


@pytest.mark.parametrize("leave", LEAVE)
def test_a_reply_that_was_left_joins_no_history(
    connect: Connect, crowd: CrowdServer, leave: Callable[[Stream[Any]], None]
) -> None:
    session = connect(crowd.url).new_chat_session(model="drip-999-1")
    stream = session.send("Hello", stream=True)
    leave(stream)
    stream.close()
    with pytest.raises(RuntimeError, match="the stream was not read to its end"):
        _ = stream.reply
    assert session.messages == HELLO


def test_a_reply_that_was_cut_joins_no_history(connect: Connect, fault_server: StartServer) -> None:
    session = connect(fault_server(say(HEAD + chunk(sse(*HEL_LO)))).url).new_chat_session()
    stream = session.send("Hello", stream=True)
    with pytest.raises(APIConnectionError):
        read_all(stream)
    assert [*stream] == []
    assert session.messages == HELLO


def test_an_interrupt_amid_a_reply_leaves_the_history_alone(
    client: OpenAI, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    respond(httpserver, sse(*HEL_LO))
    session = client.new_chat_session()
    stream = session.send("Hello", stream=True)
    monkeypatch.setattr("luaopenai.client.iterators.read_chunk", interrupt)
    with pytest.raises(KeyboardInterrupt):
        next(stream)
    assert [*stream] == []
    assert session.messages == HELLO


def test_a_refused_reply_raises_at_once_and_keeps_the_users_message(
    client: OpenAI, httpserver: HTTPServer
) -> None:
    respond(httpserver, b'{"error": {"message": "Slow down"}}', 429, "application/json")
    session = client.new_chat_session()
    with pytest.raises(RateLimitError, match=exactly("Bad status: 429: Slow down")):
        session.send("Hello", stream=True)
    assert session.messages == HELLO


def test_a_responses_session_keeps_the_response_at_the_end(
    client: OpenAI, httpserver: HTTPServer
) -> None:
    respond(httpserver, sse(*HEL_LO_RESPONSE))
    session = client.new_responses_chat_session()
    stream: ReplyStream[TextChunk, str] = session.send("Hello", stream=True)
    assert next(stream) == {"content": "Hel"}
    assert (session.current_response_id, session.response_history) == (None, [])
    assert [str(piece) for piece in stream] == ["lo"]
    assert stream.reply == "Hello"
    assert (session.current_response_id, session.response_history) == ("r1", [ANSWER])


def test_a_responses_session_that_is_left_stays_where_it_was(
    client: OpenAI, httpserver: HTTPServer
) -> None:
    respond(httpserver, sse(*HEL_LO_RESPONSE))
    session = client.new_responses_chat_session(previous_response_id="r0")
    for _ in session.send("Hello", stream=True):
        break
    assert (session.current_response_id, session.response_history) == ("r0", [])


def test_a_responses_stream_that_fails_raises_and_keeps_nothing(
    client: OpenAI, httpserver: HTTPServer
) -> None:
    failed = {"type": "response.failed", "response": {"error": {"message": "no", "code": "bad"}}}
    respond(httpserver, sse(HEL_LO_RESPONSE[1], failed))
    session = client.new_responses_chat_session()
    with pytest.raises(APIError, match=exactly("Response failed: no (bad)")) as caught:
        read_all(session.send("Hello", stream=True))
    assert caught.value.body == failed
    assert session.response_history == []


def test_a_refused_response_raises_at_once(client: OpenAI, httpserver: HTTPServer) -> None:
    respond(httpserver, b"oops", 500, "text/plain")
    with pytest.raises(InternalServerError):
        client.new_responses_chat_session().send("Hello", stream=True)


# --- asyncio ---


def run(url: str, work: Callable[[AsyncOpenAI], Coroutine[Any, Any, Any]]) -> Any:
    """Run work with a client, and see to it that no thread is left of it."""

    async def main() -> Any:
        async with AsyncOpenAI("k", url, max_retries=0) as client:
            return await asyncio.wait_for(work(client), 20)

    result = asyncio.run(main())
    gc.collect()
    eventually(lambda: "luaopenai-call" not in [one.name for one in threading.enumerate()])
    return result


def test_an_async_chat_gives_its_chunks(crowd: CrowdServer) -> None:
    async def work(client: AsyncOpenAI) -> Any:
        stream: AsyncStream[Chunk] = await client.chat(HELLO, model="drip-3-5", stream=True)
        assert stream.response.status == 200
        texts = [str(piece) async for piece in stream]
        assert stream.response.body.count("data: {") >= 3
        assert [piece async for piece in stream] == []
        return texts

    assert run(crowd.url, work) == ["Hello0 ", "Hello1 ", "Hello2 "]


def test_async_methods_give_every_event(client: OpenAI, httpserver: HTTPServer) -> None:
    respond(httpserver, sse(*HEL_LO))

    async def work(client: AsyncOpenAI) -> None:
        streams: list[AsyncStream[dict[str, Any]]] = [
            await client.create_chat_completion(HELLO, stream=True),
            await client.create_response("Hello", stream=True),
            await client.completion("Hello", stream=True),
            await client.request("POST", "/responses", {"stream": True}, stream=True),
        ]
        for stream in streams:
            assert [event async for event in stream] == [*HEL_LO]

    run(client.base_url, work)


def test_a_stream_that_is_not_awaited_is_iterated_all_the_same(crowd: CrowdServer) -> None:
    async def work(client: AsyncOpenAI) -> Any:
        call = client.chat(HELLO, model="drip-2-1", stream=True)
        return [str(piece) async for piece in call]

    assert run(crowd.url, work) == ["Hello0 ", "Hello1 "]


def test_async_failures_are_the_same(
    client: OpenAI, httpserver: HTTPServer, fault_server: StartServer
) -> None:
    respond(httpserver, b'{"error": {"message": "No key"}}', 401, "application/json")
    cut = fault_server(say(HEAD + chunk(sse(*HEL_LO))))

    async def refused(client: AsyncOpenAI) -> None:
        with pytest.raises(AuthenticationError, match=exactly("Bad status: 401: No key")):
            await client.chat(HELLO, stream=True)

    async def broken(client: AsyncOpenAI) -> None:
        stream = await client.chat(HELLO, stream=True)
        seen: list[str] = []

        async def read() -> None:
            async for piece in stream:
                seen.append(str(piece))

        with pytest.raises(APIConnectionError):
            await read()
        assert "".join(seen) == "Hello"
        assert [piece async for piece in stream] == []

    run(client.base_url, refused)
    run(cut.url, broken)


def test_an_async_sessions_reply_joins_the_history_at_the_end(crowd: CrowdServer) -> None:
    async def work(client: AsyncOpenAI) -> None:
        chat = client.new_chat_session(model="drip-2-1")
        stream: AsyncReplyStream[Chunk, str | dict[str, Any]] = await chat.send("a", stream=True)
        await anext(stream)
        await asyncio.sleep(0.1)
        assert len(chat.messages) == 1, "the thread may be further than the reader"
        async for _ in stream:
            pass
        assert stream.reply == "a0 a1 "
        assert chat.last_message() == {"role": "assistant", "content": "a0 a1 "}

    run(crowd.url, work)


def test_an_async_responses_session_streams(client: OpenAI, httpserver: HTTPServer) -> None:
    respond(httpserver, sse(*HEL_LO_RESPONSE))

    async def work(client: AsyncOpenAI) -> None:
        session = client.new_responses_chat_session()
        stream: AsyncReplyStream[TextChunk, str] = await session.send("Hello", stream=True)
        assert [str(piece) async for piece in stream] == ["Hel", "lo"]
        assert (stream.reply, session.current_response_id) == ("Hello", "r1")

    run(client.base_url, work)


async def async_leave_by_break(stream: AsyncStream[Any]) -> None:
    async for _ in stream:
        break


async def async_leave_by_with(stream: AsyncStream[Any]) -> None:
    async with stream as same:
        assert same is stream
        await anext(stream)
    assert [piece async for piece in stream] == []


async def async_leave_by_close(stream: AsyncStream[Any]) -> None:
    await anext(stream)
    await stream.close()
    await stream.close()
    assert [piece async for piece in stream] == []


async def async_leave_unread(stream: AsyncStream[Any]) -> None:
    pass


async def async_leave_by_cancel(stream: AsyncStream[Any]) -> None:
    async def read() -> None:
        async for _ in stream:
            pass

    reading = asyncio.ensure_future(read())
    await asyncio.sleep(0.05)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def async_leave_by_another_task(stream: AsyncStream[Any]) -> None:
    async def read() -> list[Any]:
        return [piece async for piece in stream]

    reading = asyncio.ensure_future(read())
    await asyncio.sleep(0.05)
    await stream.close()
    assert len(await reading) > 0


@pytest.mark.parametrize(
    "leave",
    [
        async_leave_by_break,
        async_leave_by_with,
        async_leave_by_close,
        async_leave_unread,
        async_leave_by_cancel,
        async_leave_by_another_task,
    ],
)
def test_an_async_reply_that_is_left_closes_its_connection_and_joins_no_history(
    crowd: CrowdServer, leave: Callable[[AsyncStream[Any]], Coroutine[Any, Any, None]]
) -> None:
    async def work(client: AsyncOpenAI) -> None:
        chat = client.new_chat_session(model="drip-999-10")
        await leave(await chat.send("a", stream=True))
        gc.collect()
        while crowd.count.now:
            await asyncio.sleep(0.005)
        assert len(chat.messages) == 1

    run(crowd.url, work)
    assert crowd.count.lost == 1


def test_many_async_streams_arrive_side_by_side(crowd: CrowdServer) -> None:
    async def work(client: AsyncOpenAI) -> Any:
        async def read(name: str) -> list[str]:
            message = [{"role": "user", "content": name}]
            async with await client.chat(message, model="drip-5-20", stream=True) as stream:
                return [str(piece) async for piece in stream]

        return await asyncio.gather(*(read(str(n)) for n in range(20)))

    assert run(crowd.url, work) == [[f"{n}{i} " for i in range(5)] for n in range(20)]


# --- Protocols ---


def test_they_are_iterators() -> None:
    assert issubclass(Stream, Iterator)
    assert issubclass(AsyncStream, AsyncIterator)
