"""AsyncOpenAI: the client for asyncio; and one OpenAI client in many threads."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from luaopenai import APIConnectionError, AsyncOpenAI, ChatSession, OpenAI, ResponsesChatSession
from luaopenai.client.aio import AsyncCall, AsyncChatSession, AsyncResponsesChatSession
from luaopenai.client.cancel import Call
from support.crowd_server import CrowdServer
from support.tasks import ticking
from support.waiting import GENEROUS, eventually, soon

HELLO = [{"role": "user", "content": "hello"}]


def run(crowd: CrowdServer, work: Callable[[AsyncOpenAI], Coroutine[Any, Any, Any]]) -> Any:
    """Run work with a client of the server, and see to it that nothing is left of it."""

    async def main() -> Any:
        async with AsyncOpenAI("sk-secret", crowd.url, max_retries=0, pool_size=50) as client:
            result = await asyncio.wait_for(work(client), GENEROUS)
            await soon(lambda: not calling_threads())
            return result

    result = asyncio.run(main())
    eventually(lambda: crowd.count.connections == 0)
    return result


def calling_threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name == "luaopenai-call"]


def text_of(response: Any) -> Any:
    return response.body["choices"][0]["message"]["content"]


# --- The same client ---


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (AsyncOpenAI, OpenAI),
        (AsyncChatSession, ChatSession),
        (AsyncResponsesChatSession, ResponsesChatSession),
    ],
)
def test_every_method_of_the_synchronous_class_is_there(ours: type, theirs: type) -> None:
    def public(one: type) -> set[str]:
        return {name for name, _ in inspect.getmembers(one, callable) if not name.startswith("_")}

    assert public(ours) == public(theirs)


def test_every_method_hands_its_arguments_on_and_returns_a_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    class Recorder:
        def __getattr__(self, name: str) -> Callable[..., Any]:
            return lambda *args, **opts: seen.append((name, args, opts))

    monkeypatch.setattr("luaopenai.client.aio.OpenAI", lambda _: Recorder())
    client = AsyncOpenAI("k")
    made = {"new_chat_session", "new_chat_completions_session", "new_responses_chat_session"}
    others = {"close", "with_options", "each", "parse", "wait_for"}
    names = [
        name
        for name, _ in inspect.getmembers(OpenAI, inspect.isfunction)
        if not name.startswith("_") and name not in made | others
    ]

    async def main() -> None:
        for name in names:
            parameters = inspect.signature(getattr(AsyncOpenAI, name)).parameters.values()
            plain = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD][1:]
            takes_more = any(p.kind is p.VAR_KEYWORD for p in parameters)
            more: dict[str, Any] = {"more": 1} if takes_more else {}
            call = getattr(client, name)(*plain, **more)
            assert type(call) is AsyncCall
            assert seen == [], "nothing is sent before it is awaited"
            await call
            if "stream_callback" in plain:
                plain.remove("stream_callback")
                more["stream_callback"] = "stream_callback"
            assert seen.pop() == (name, tuple(plain), more)

    asyncio.run(main())


def test_awaiting_gives_the_response(crowd: CrowdServer) -> None:
    async def work(client: AsyncOpenAI) -> Any:
        return await client.chat(HELLO, model="echo")

    response = run(crowd, work)
    assert (response.status, text_of(response)) == (200, "hello")


def test_iterating_over_a_chat_gives_its_chunks_and_then_the_response(crowd: CrowdServer) -> None:
    async def work(client: AsyncOpenAI) -> Any:
        call = client.chat(HELLO, model="drip-3-5")
        return [chunk["content"] async for chunk in call], call.result.status

    assert run(crowd, work) == (["hello0 ", "hello1 ", "hello2 "], 200)


def test_iterating_over_a_raw_call_gives_its_events(crowd: CrowdServer) -> None:
    async def work(client: AsyncOpenAI) -> Any:
        call = client.create_chat_completion(HELLO, model="drip-2-1")
        return [event["choices"][0]["delta"] async for event in call]

    assert run(crowd, work) == [{"content": "hello0 "}, {"content": "hello1 "}]


def test_a_session_streams_and_keeps_its_history(crowd: CrowdServer) -> None:
    async def work(client: AsyncOpenAI) -> Any:
        chat = client.new_chat_session(model="drip-2-1")
        pieces = [chunk["content"] async for chunk in chat.send("a")]
        again = await chat.send("b", model="wait-1")
        assert chat.last_message() == {"role": "assistant", "content": "b"}
        return pieces, again, [message["content"] for message in chat.messages]

    assert run(crowd, work) == (["a0 ", "a1 "], "b", ["a", "a0 a1 ", "b", "b"])


def test_a_responses_session_keeps_its_place(httpserver: HTTPServer, base_url: str) -> None:
    part = {"type": "output_text", "text": "hello"}
    output = [{"type": "message", "content": [part]}]
    answer = {"id": "r1", "object": "response", "output": output}
    httpserver.expect_request("/v1/responses").respond_with_json(answer)

    async def main() -> Any:
        async with AsyncOpenAI("k", base_url) as client:
            session = client.new_responses_chat_session()
            response = await session.send("hi")
            return str(response), session.current_response_id, len(session.response_history)

    assert asyncio.run(main()) == ("hello", "r1", 1)


def test_with_options_is_the_same_client_with_other_settings(crowd: CrowdServer) -> None:
    async def work(client: AsyncOpenAI) -> Any:
        hasty = client.with_options(timeout=0.5)
        assert text_of(await hasty.chat(HELLO, model="echo")) == "hello"
        with pytest.raises(APIConnectionError, match="no answer within"):
            await hasty.chat(HELLO, model="wait-9000")

    run(crowd, work)


def test_errors_are_the_same_and_name_the_callers_mistake(crowd: CrowdServer) -> None:
    async def work(client: AsyncOpenAI) -> Any:
        with pytest.raises(APIConnectionError, match="closed the connection"):
            await client.chat(HELLO, model="drop")
        with pytest.raises(APIConnectionError, match="closed the connection"):
            async for _ in client.chat(HELLO, model="drop"):
                pass
        with pytest.raises(ValueError, match="role"):
            await client.chat([{"content": "no role"}], model="echo")

    run(crowd, work)


def test_the_repr_tells_no_key() -> None:
    assert repr(AsyncOpenAI("sk-secret", "http://x/v1")) == "<AsyncOpenAI http://x/v1>"


# --- Side by side ---


def test_many_calls_wait_together_and_the_loop_goes_on(crowd: CrowdServer) -> None:
    async def work(client: AsyncOpenAI) -> Any:
        async def ask(said: str) -> Any:
            return text_of(await client.chat([{"role": "user", "content": said}], model="meet-50"))

        return await ticking(lambda: asyncio.gather(*(ask(f"c{n}") for n in range(50))))

    replies, ticks = run(crowd, work)
    assert replies == [f"c{n}" for n in range(50)]
    assert crowd.count.most == 50
    assert ticks > 0


def test_streams_arrive_side_by_side(crowd: CrowdServer) -> None:
    async def work(client: AsyncOpenAI) -> Any:
        order: list[str] = []

        async def read(name: str) -> None:
            async for _ in client.chat([{"role": "user", "content": name}], model="drip-5-30"):
                order.append(name)

        await asyncio.gather(*map(read, "abc"))
        return order

    order = run(crowd, work)
    assert sorted(order) == sorted("abc" * 5)
    # Two would be one after the other.
    assert sum(order[n] != order[n + 1] for n in range(len(order) - 1)) > 2


def test_one_client_may_be_used_from_many_threads(
    crowd: CrowdServer, connect: Callable[..., OpenAI]
) -> None:
    client = connect(crowd.url, pool_size=4)

    def converse(name: int) -> list[Any]:
        chat = client.new_chat_session(model="echo")
        return [chat.send(f"{name}.{turn}") for turn in range(10)]

    with ThreadPoolExecutor(20) as threads:
        said = list(threads.map(converse, range(20)))
    assert said == [[f"{name}.{turn}" for turn in range(10)] for name in range(20)]
    assert crowd.count.came == 200
    assert crowd.count.connections <= 20


# --- Cancel ---


@pytest.mark.parametrize("model", ["wait-9000", "drip-999-20"])
def test_cancelling_closes_the_connection(crowd: CrowdServer, model: str) -> None:
    async def work(client: AsyncOpenAI) -> None:
        stream = {"stream_callback": print} if model.startswith("drip") else {}
        call = asyncio.ensure_future(in_task(client.chat(HELLO, model=model, **stream)))
        await soon(lambda: crowd.count.now == 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await soon(lambda: crowd.count.now == 0)
        assert text_of(await client.chat(HELLO, model="echo")) == "hello"

    run(crowd, work)
    assert crowd.count.lost == 1


async def in_task(call: Any) -> Any:
    return await call


def test_a_time_limit_of_asyncio_closes_the_connection(crowd: CrowdServer) -> None:
    async def work(client: AsyncOpenAI) -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(in_task(client.chat(HELLO, model="wait-9000")), 0.1)
        await soon(lambda: crowd.count.now == 0)

    run(crowd, work)
    assert crowd.count.lost == 1


def test_cancelling_cuts_a_retrys_pause_short_and_sends_no_more(crowd: CrowdServer) -> None:
    async def work(client: AsyncOpenAI) -> None:
        patient = client.with_options(max_retries=3)
        call = asyncio.ensure_future(in_task(patient.chat(HELLO, model="busy-9000")))
        await soon(lambda: crowd.count.came == 1)
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await soon(lambda: not calling_threads())

    run(crowd, work)
    assert crowd.count.came == 1


def test_leaving_a_stream_in_its_midst_closes_the_connection(crowd: CrowdServer) -> None:
    async def work(client: AsyncOpenAI) -> None:
        async for chunk in client.chat(HELLO, model="drip-999-10"):
            assert chunk["content"] == "hello0 "
            break
        await soon(lambda: crowd.count.now == 0)

    run(crowd, work)
    assert crowd.count.lost == 1


def test_cancelling_while_a_stream_is_read_closes_the_connection(crowd: CrowdServer) -> None:
    async def work(client: AsyncOpenAI) -> None:
        async def read() -> None:
            async for _ in client.chat(HELLO, model="drip-999-10"):
                pass

        reading = asyncio.ensure_future(read())
        await soon(lambda: crowd.count.now == 1)
        await asyncio.sleep(0.05)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await soon(lambda: crowd.count.now == 0)

    run(crowd, work)
    assert crowd.count.lost == 1


def test_a_late_cancel_leaves_a_connection_alone_that_others_may_use(
    crowd: CrowdServer, connect: Callable[..., OpenAI]
) -> None:
    client = connect(crowd.url)
    call = Call()
    with call:
        client.chat(HELLO, model="echo")
        call.cancel()
    assert text_of(client.chat(HELLO, model="echo")) == "hello"
    assert crowd.count.opened == 1


def test_cancelling_some_harms_no_other_over_the_same_connections(crowd: CrowdServer) -> None:
    async def work(client: AsyncOpenAI) -> list[Any]:
        few = client.with_options(pool_size=3)

        async def ask(n: int) -> Any:
            message = [{"role": "user", "content": f"c{n}"}]
            return text_of(await few.chat(message, model=f"wait-{n % 7}"))

        outcomes: list[Any] = []
        for _ in range(10):
            calls = [asyncio.ensure_future(ask(n)) for n in range(20)]
            await asyncio.sleep(0.01)
            for call in calls[::2]:
                call.cancel()
            outcomes += (await asyncio.gather(*calls, return_exceptions=True))[1::2]
        return outcomes

    assert run(crowd, work) == [f"c{n}" for n in range(1, 20, 2)] * 10
