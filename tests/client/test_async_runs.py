"""Runs and typed answers for asyncio: tools that are coroutines, and tasks that are cancelled."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from pydantic import BaseModel

from luaopenai import (
    APIError,
    AsyncOpenAI,
    InternalServerError,
    Run,
    Tool,
    ToolCall,
    ToolLoopError,
    tool,
)
from luaopenai.client import tools as core
from luaopenai.client.aio import AsyncChatSession, AsyncResponsesChatSession
from support import API_KEY, exactly
from support.tasks import ticking
from support.tool_server import ToolServer
from support.waiting import GENEROUS, soon, waiting_threads

Session = AsyncChatSession | AsyncResponsesChatSession
Work = Callable[[Session], Coroutine[Any, Any, Any]]
OSLO = ["weather", {"city": "Oslo"}]
ROME = ["weather", {"city": "Rome"}]


@tool
async def weather(city: str) -> dict[str, Any]:
    """Tells the weather in a city."""
    return {"city": city}


def handler(work: Callable[[dict[str, Any]], Any], name: str = "weather") -> Tool:
    return Tool.from_handler(work, name=name)


def fail(error: BaseException) -> Callable[..., Any]:
    async def raise_it(*_: object) -> Any:
        raise error

    return raise_it


@pytest.fixture(params=["chat", "responses"])
def with_session(
    request: pytest.FixtureRequest, tool_server: ToolServer
) -> Callable[..., Callable[[Work], Any]]:
    """Runs work with a session of either kind, and sees to it that no thread is left of it."""

    def with_options(**opts: Any) -> Callable[[Work], Any]:
        async def main(work: Work) -> Any:
            async with AsyncOpenAI(API_KEY, tool_server.base_url, max_retries=0) as client:
                is_chat = request.param == "chat"
                opens = client.new_chat_session if is_chat else client.new_responses_chat_session
                result = await asyncio.wait_for(work(opens(**opts)), GENEROUS)
                await soon(lambda: not waiting_threads())
                return result

        return lambda work: asyncio.run(main(work))

    return with_options


def answers(payload: dict[str, Any]) -> list[str]:
    """The answers to calls that a request carries, in their order."""
    if "messages" in payload:
        return [one["content"] for one in payload["messages"] if one["role"] == "tool"]
    given = payload["input"]
    items = given if isinstance(given, list) else []
    return [one["output"] for one in items if one.get("type") == "function_call_output"]


def held(session: Session) -> list[str]:
    """The answers to calls that a session has, sent or not."""
    if isinstance(session, AsyncChatSession):
        return answers({"messages": session.messages})
    return [item["output"] for item in session.pending_outputs]


Opener = Callable[..., Callable[[Work], Any]]


@pytest.mark.parametrize("callback", [None, print], ids=["whole", "streamed"])
def test_coroutine_functions_are_awaited(
    with_session: Opener, tool_server: ToolServer, callback: Any
) -> None:
    tool_server.script({"calls": [OSLO, ROME]}, {"text": "Cold."})

    async def work(session: Session) -> Run:
        run = await session.run("How warm is it?", callback)
        assert await session.send("And now?")
        return run

    run = with_session(tools=[weather])(work)
    assert str(run) == "Cold."
    assert [call.result for call in run.calls] == [{"city": "Oslo"}, {"city": "Rome"}]
    assert answers(tool_server.requests[1]) == ['{"city":"Oslo"}', '{"city":"Rome"}']
    assert run.calls[0].seconds > 0


def test_coroutines_of_a_round_run_side_by_side_and_keep_their_order(
    with_session: Opener, tool_server: ToolServer
) -> None:
    rome_is_done = []

    async def run_late(arguments: dict[str, Any]) -> str:
        if arguments["city"] == "Rome":
            rome_is_done.append(True)
        await soon(lambda: rome_is_done)
        return str(arguments["city"])

    tool_server.script({"calls": [OSLO, ROME]})
    run = with_session(tools=[handler(run_late)])(lambda session: session.run("Hi"))
    assert [call.result for call in run.calls] == ["Oslo", "Rome"]


@pytest.mark.parametrize("limit", [1, 2])
def test_no_more_coroutines_run_at_once_than_the_limit(
    with_session: Opener, tool_server: ToolServer, limit: int
) -> None:
    running, most = 0, 0

    async def count(_: object) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _turn in range(5):
            await asyncio.sleep(0)
        running -= 1

    tool_server.script({"calls": [OSLO] * 5})
    with_session(tools=[handler(count)])(lambda session: session.run("Hi", limit=limit))
    assert most == limit


def test_a_call_that_is_done_makes_room_for_the_next(
    with_session: Opener, tool_server: ToolServer
) -> None:
    begun: list[str] = []

    async def wait_for_three(arguments: dict[str, Any]) -> None:
        begun.append(arguments["city"])
        if arguments["city"] == "Rome":
            await soon(lambda: len(begun) == 3)

    tool_server.script({"calls": [ROME, OSLO, OSLO]})
    tools = [handler(wait_for_three)]
    run = with_session(tools=tools)(lambda session: session.run("Hi", limit=2))
    assert [call.error for call in run.calls] == [None] * 3


def test_other_functions_run_in_threads_side_by_side_with_the_callers_context(
    with_session: Opener, tool_server: ToolServer
) -> None:
    pair = threading.Barrier(2)
    user = contextvars.ContextVar("user", default="nobody")

    def block(_: object) -> str:
        pair.wait(GENEROUS)
        return user.get()

    async def work(session: Session) -> tuple[Run, int]:
        user.set("me")
        return await ticking(lambda: session.run("Hi"))

    tool_server.script({"calls": [OSLO, ROME], "seconds": 0.1})
    run, ticks = with_session(tools=[handler(block)])(work)
    assert [call.result for call in run.calls] == ["me", "me"]
    assert ticks > 1


def test_what_a_function_returns_is_awaited_where_it_can_be(
    with_session: Opener, tool_server: ToolServer
) -> None:
    later: Callable[[Any], Awaitable[Any]] = lambda arguments: weather(**arguments)  # noqa: E731
    tool_server.script({"calls": [OSLO]})
    run = with_session(tools=[handler(later)])(lambda session: session.run("Hi"))
    assert run.calls[0].result == {"city": "Oslo"}


@pytest.mark.parametrize("is_async", [False, True])
def test_callbacks_may_be_coroutine_functions(
    with_session: Opener, tool_server: ToolServer, is_async: bool
) -> None:
    seen: list[Any] = []

    def on_call(call: ToolCall) -> Any:
        return "too far" if call.arguments == {"city": "Oslo"} else None

    async def on_call_later(call: ToolCall) -> Any:
        return on_call(call)

    async def on_result_later(call: ToolCall) -> None:
        seen.append(call)

    callbacks: tuple[Any, Any] = (on_call, seen.append)
    if is_async:
        callbacks = (on_call_later, on_result_later)
    tool_server.script({"calls": [OSLO, ROME]})
    run = with_session(tools=[weather])(
        lambda session: session.run("Hi", on_call=callbacks[0], on_result=callbacks[1])
    )
    assert [call.error for call in run.calls] == ["refused: too far", None]
    assert seen == run.calls


def test_a_tool_whose_own_task_is_cancelled_has_failed(
    with_session: Opener, tool_server: ToolServer
) -> None:
    tool_server.script({"calls": [OSLO, ROME]}, {"text": "Sorry."})
    cancelled = fail(asyncio.CancelledError())
    run = with_session(tools=[handler(cancelled)])(lambda session: session.run("Hi"))
    assert run.text == "Sorry."
    assert [call.error for call in run.calls] == ["cancelled"] * 2


def test_calls_that_have_no_answer_are_run_first(
    with_session: Opener, tool_server: ToolServer
) -> None:
    async def work(session: Session) -> Run:
        await session.send("Hi")
        return await session.run()

    tool_server.script({"calls": [OSLO]}, {"text": "Cold."})
    assert with_session(tools=[weather])(work).text == "Cold."


BROKEN: list[tuple[str, dict[str, Any], type[Exception]]] = [
    ("a tool raises", {"raise_errors": True, "tool": fail(OSError("broken"))}, OSError),
    ("on_call raises", {"on_call": fail(OSError("broken"))}, OSError),
    ("on_result raises", {"on_result": fail(OSError("broken"))}, OSError),
    ("the server fails", {"script": {"status": 500}}, InternalServerError),
    ("the model refuses", {"script": {"refusal": "No."}}, APIError),
    ("max_steps is reached", {"script": {"calls": [OSLO]}, "max_steps": 1}, ToolLoopError),
]


@pytest.mark.parametrize("limit", [1, 8])
@pytest.mark.parametrize(("options", "kind"), [c[1:] for c in BROKEN], ids=[c[0] for c in BROKEN])
@pytest.mark.parametrize("callback", [None, print], ids=["whole", "streamed"])
def test_whatever_ends_a_run_the_next_send_works(
    with_session: Opener,
    tool_server: ToolServer,
    options: dict[str, Any],
    kind: type[Exception],
    limit: int,
    callback: Any,
) -> None:
    options = {"tool": lambda _: "ran", "script": {"text": "x"}, "limit": limit, **options}
    script = {"calls": [OSLO, ROME, OSLO]}, options.pop("script"), {"text": "Fine."}
    tools = [handler(options.pop("tool"))]

    async def work(session: Session) -> None:
        with pytest.raises(kind):
            await session.run("Hi", callback, **options)
        await session.send("Go on")
        assert answers(tool_server.requests[-1])
        await session.send("And on")

    tool_server.script(*script)
    with_session(tools=tools)(work)


def test_what_runs_beside_a_tool_that_ends_the_run_is_waited_for(
    with_session: Opener, tool_server: ToolServer
) -> None:
    async def run_on(arguments: dict[str, Any]) -> str:
        if arguments["city"] == "Oslo":
            raise OSError("broken")
        for _turn in range(5):
            await asyncio.sleep(0)
        return "ran"

    async def work(session: Session) -> list[str]:
        with pytest.raises(OSError, match="broken"):
            await session.run("Hi", raise_errors=True)
        return held(session)

    tool_server.script({"calls": [OSLO, ROME]})
    assert with_session(tools=[handler(run_on)])(work) == ["error: broken", "ran"]


@pytest.mark.parametrize("limit", [1, 8])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_cancelled_run_leaves_a_history_that_can_go_on(
    with_session: Opener, tool_server: ToolServer, limit: int, is_async: bool
) -> None:
    begun, ended, let_go = [], [], threading.Event()

    async def wait(_: object) -> None:
        begun.append(True)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    def block(_: object) -> None:
        begun.append(True)
        let_go.wait(GENEROUS)
        ended.append(True)

    async def work(session: Session) -> None:
        task = asyncio.ensure_future(session.run("Hi", limit=limit))
        await soon(lambda: len(begun) == min(limit, 2))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(ended) == (len(begun) if is_async else 0)
        assert held(session) == [core.not_run()] * 2
        let_go.set()
        await soon(lambda: len(ended) == len(begun))
        await session.send("Go on")
        assert answers(tool_server.requests[-1]) == [core.not_run()] * 2

    tool_server.script({"calls": [OSLO, ROME]})
    with_session(tools=[handler(wait if is_async else block)])(work)


def test_a_run_that_is_cancelled_in_a_request_keeps_no_answer_that_comes_late(
    with_session: Opener, tool_server: ToolServer
) -> None:
    async def work(session: Session) -> None:
        asked = threading.Event()
        chat: Any = session.session.client
        send = chat._request

        def send_and_wait(*args: Any) -> Any:
            response = send(*args)
            asked.set()
            let_go.wait(GENEROUS)
            return response

        let_go = threading.Event()
        chat._request = send_and_wait
        task = asyncio.ensure_future(session.run("Hi"))
        await soon(asked.is_set)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        let_go.set()
        await soon(lambda: not waiting_threads())
        chat._request = send
        await session.send("Go on")

    tool_server.script({"calls": [OSLO, ROME]})
    with_session(tools=[weather])(work)


class City(BaseModel):
    name: str


def test_an_answer_becomes_a_value_of_the_type(
    with_session: Opener, tool_server: ToolServer
) -> None:
    tool_server.script({"calls": [OSLO]}, {"text": "{}"}, {"text": '{"name": "Oslo"}'})
    made = with_session(tools=[weather])(lambda session: session.parse("Which city?", City))
    assert made == City(name="Oslo")
    assert len(tool_server.requests) == 3


def test_the_client_parses_without_a_session(tool_server: ToolServer) -> None:
    async def main() -> City:
        async with AsyncOpenAI(API_KEY, tool_server.base_url) as client:
            return await client.parse([{"role": "user", "content": "Which?"}], City, attempts=1)

    tool_server.script({"text": '{"name": "Oslo"}'})
    assert asyncio.run(main()) == City(name="Oslo")


def test_the_client_names_messages_that_are_none() -> None:
    messages: Any = "Which city?"
    with pytest.raises(ValueError, match="messages: expected a list of messages"):
        asyncio.run(AsyncOpenAI(API_KEY).parse(messages, City))


def test_a_stream_is_not_given(with_session: Opener, tool_server: ToolServer) -> None:
    text = "stream: what is run gives no stream; use stream_callback, which is given the pieces of"
    with pytest.raises(TypeError, match=exactly(text + " every round's reply")):
        with_session()(lambda session: session.run("Hi", stream=True))
    assert tool_server.requests == []
