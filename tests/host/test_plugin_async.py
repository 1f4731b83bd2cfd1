"""`Plugin.call_async`: plugins that asyncio waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from luaopenai import Limits, OpenAI, PluginHost
from support.crowd_server import CrowdServer
from support.tasks import CHATTING, ticking
from support.waiting import GENEROUS, eventually, soon, waiting_threads

PLUGIN = CHATTING + "return { chat = chat, add = function(a, b) return a + b, 'sum' end }"


@pytest.fixture
def host(hosts: Callable[..., PluginHost], crowd_client: OpenAI) -> PluginHost:
    return hosts(crowd_client)


def test_a_plugins_call_async_leaves_the_event_loop_free(host: PluginHost) -> None:
    plugin = host.load_string(PLUGIN)
    assert asyncio.run(plugin.call_async("add", 1, 2)) == (3, "sum")
    result, ticks = asyncio.run(ticking(lambda: plugin.call_async("chat", "wait-150", "hello")))
    assert result == "hello"
    assert ticks > 0


def test_a_plugins_calls_follow_one_another_and_two_plugins_run_side_by_side(
    host: PluginHost, crowd: CrowdServer
) -> None:
    one, two = host.load_string(PLUGIN, "one"), host.load_string(PLUGIN, "two")

    async def main() -> list[Any]:
        calls = [
            plugin.call_async("chat", "wait-100", f"c{n}") for plugin in (one, two) for n in (1, 2)
        ]
        return await asyncio.gather(*calls)

    assert asyncio.run(main()) == ["c1", "c2", "c1", "c2"]
    assert crowd.count.most == 2


def test_cancelling_a_plugins_call_closes_its_connection_and_ends_it(
    host: PluginHost, crowd: CrowdServer
) -> None:
    plugin = host.load_string(
        PLUGIN.replace(
            "chat = chat",
            "chat = chat, keep = function() while true do pcall(chat, 'wait-9000', 'a') end end",
        )
    )

    async def main() -> Any:
        call = asyncio.ensure_future(plugin.call_async("keep"))
        await soon(lambda: crowd.count.now == 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await soon(lambda: crowd.count.now == 0)
        return await asyncio.wait_for(plugin.call_async("chat", "wait-1", "again"), GENEROUS)

    assert asyncio.run(main()) == "again"
    assert crowd.count.came == 2
    eventually(lambda: not waiting_threads())


def test_cancelling_a_plugin_in_a_process_ends_it_wherever_it_is(crowd_client: OpenAI) -> None:
    # Without a limit on its seconds, nothing else would.
    with PluginHost(crowd_client, limits=Limits(seconds=None)) as host:
        plugin = host.load_string(
            "return { spin = function() while true do end end, one = function() return 1 end }"
        )

        async def main() -> Any:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(plugin.call_async("spin"), 0.2)
            return await plugin.call_async("one")

        assert asyncio.run(main()) == 1
