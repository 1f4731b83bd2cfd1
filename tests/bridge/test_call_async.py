"""`Runtime.call_async`: Lua that asyncio waits for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from luaopenai import LuaError, Runtime
from support.crowd_server import CrowdServer
from support.tasks import CHATTING, ticking
from support.waiting import GENEROUS, eventually, soon, waiting_threads


def test_call_async_returns_results_and_raises_errors_as_call_does(runtime: Runtime) -> None:
    function = runtime.run_string("return function(a, b) if b then return b, a end error(a, 0) end")

    async def main() -> tuple[Any, Any]:
        with pytest.raises(LuaError, match=r"^wrong$"):
            await runtime.call_async(function, "wrong")
        return await runtime.call_async(function, 1, {"two": 2}), runtime.call(function, 1, 2)

    assert asyncio.run(main()) == (({"two": 2}, 1), (2, 1))


def test_call_async_leaves_the_event_loop_free_and_gathers(runtime: Runtime) -> None:
    function = runtime.run_string(
        CHATTING
        + """
        return function(names)
          local list = {}
          for n, name in ipairs(names) do
            list[n] = function() return chat("meet-20", name) end
          end
          return openai.gather(list)
        end
        """
    )
    names = [f"n{number}" for number in range(20)]
    result, ticks = asyncio.run(ticking(lambda: runtime.call_async(function, names)))
    assert result == names
    assert ticks > 0


def test_calls_of_call_async_follow_one_another_in_their_order(runtime: Runtime) -> None:
    function = runtime.run_string(
        """
        local inside = 0
        return function(n)
          inside = inside + 1
          require("openai").sleep(0.01)
          inside = inside - 1
          return inside, n
        end
        """
    )

    async def main() -> list[Any]:
        return await asyncio.gather(*(runtime.call_async(function, n) for n in range(8)))

    assert asyncio.run(main()) == [(0, n) for n in range(8)]


@pytest.mark.parametrize(
    "code",
    [
        "chat('wait-9000', 'a')",
        "openai.gather({ function() chat('wait-9000', 'a') end })",
        "openai.gather({ function() while true do pcall(chat, 'wait-9000', 'a') end end })",
        "while true do pcall(chat, 'wait-9000', 'a') end",
        "stream('drip-999-9000')",
        "openai.gather({ function() stream('drip-999-9000') end })",
    ],
)
def test_cancelling_call_async_closes_the_connections_and_ends_the_call(
    runtime: Runtime, crowd: CrowdServer, code: str
) -> None:
    body = f"pcall(function() {code} end) went_on = true"
    function = runtime.run_string(f"{CHATTING} return function() {body} end")
    after = runtime.run_string(
        f"{CHATTING} return function() "
        "return openai.gather({ function() return chat('wait-1', 'after') end }) end"
    )

    async def main() -> Any:
        call = asyncio.ensure_future(runtime.call_async(function))
        await soon(lambda: crowd.count.now == 1)
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await soon(lambda: crowd.count.now == 0)
        assert crowd.count.came == 1
        return await asyncio.wait_for(runtime.call_async(after), GENEROUS)

    assert asyncio.run(main()) == ["after"]
    assert runtime.run_string("return went_on") is None
    eventually(lambda: not waiting_threads())


@pytest.mark.parametrize(
    "code",
    [
        "openai.sleep(60)",
        "openai.gather({ function() openai.sleep(60) end, function() openai.sleep(70) end })",
    ],
)
def test_cancelling_call_async_ends_a_sleep(runtime: Runtime, code: str) -> None:
    function = runtime.run_string(f"{CHATTING} return function() {code} end")

    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(runtime.call_async(function), 0.1)

    asyncio.run(main())
    eventually(lambda: not waiting_threads())


def test_cancelling_a_call_that_waits_its_turn_harms_no_other(
    runtime: Runtime, crowd: CrowdServer
) -> None:
    function = runtime.run_string(
        f"{CHATTING} calls = 0 return function(said) calls = calls + 1 "
        "return openai.gather({ function() return chat('wait-200', said) end }) end"
    )

    async def main() -> Any:
        first = asyncio.ensure_future(runtime.call_async(function, "first"))
        await soon(lambda: crowd.count.now == 1)
        second = asyncio.ensure_future(runtime.call_async(function, "second"))
        await asyncio.sleep(0.05)
        second.cancel()
        return await first

    assert asyncio.run(main()) == ["first"]
    eventually(lambda: not waiting_threads())
    assert runtime.run_string("return calls") == 1
