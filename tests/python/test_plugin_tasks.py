"""Many waits at once inside a plugin: `gather`, `spawn` and `sleep` behind the walls."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from contextvars import ContextVar
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from luaopenai import LimitExceeded, Limits, LuaError, OpenAI, Plugin, PluginHost
from luaopenai.host.broker import Broker, Totals
from luaopenai.host.errands import MOST_AT_ONCE
from luaopenai.host.process import _Desk
from support.crowd_server import CrowdServer
from support.waiting import eventually, waiting_threads

TASKS = """
local openai = require("openai")
local client = openai.new()
local function chat(model, said)
  return assert(client:new_chat_session({ model = model }):send(said))
end
local function repeated(times, make)
  local list = {}
  for n = 1, times do list[n] = function() return make(n) end end
  return list
end
"""

Load = Callable[..., Plugin]


@pytest.fixture(params=["process", "thread"])
def isolation(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def load(isolation: Any, crowd: CrowdServer) -> Iterator[Load]:
    """Loads a plugin whose function ``run`` has this body; ``rest`` tells that it lives."""
    with ExitStack() as stack:
        client = stack.enter_context(OpenAI("sk-secret", crowd.url, max_retries=0))

        def load(body: str, limits: Limits | None = None, **functions: Any) -> Plugin:
            host = PluginHost(
                client,
                functions,
                limits or Limits(requests=None),
                isolation=isolation,
                output=lambda *_: None,
            )
            stack.enter_context(host)
            rest = "rest = function() return 'alive' end"
            return host.load_string(f"{TASKS} return {{ run = function(...) {body} end, {rest} }}")

        yield load


def leaves_nothing(crowd: CrowdServer) -> None:
    """After a call there is no thread of ours and no chat under way, at once or very soon."""
    assert waiting_threads() == []
    eventually(lambda: crowd.count.now == 0)


# --- What goes on side by side ---


def test_chats_of_a_plugins_tasks_wait_together(load: Load, crowd: CrowdServer) -> None:
    plugin = load(
        "return openai.gather(repeated(8, function(n) return chat('wait-150', n .. '') end))"
    )
    assert plugin.call("run") == [str(n) for n in range(1, 9)]
    assert crowd.count.most == 8
    assert plugin.usage.requests == 8
    leaves_nothing(crowd)


def test_streams_of_a_plugins_tasks_arrive_side_by_side(load: Load) -> None:
    plugin = load(
        """
        local order, running = {}, 0
        local function stream(n)
          running = running + 1
          local text = client:new_chat_session({ model = "drip-10-10" }):send("s", function(chunk)
            assert(running == 3, "all have begun")
            order[#order + 1] = n
          end)
          return #assert(text) > 0
        end
        local ended = openai.gather(repeated(3, stream))
        return #order, ended
        """
    )
    assert plugin.call("run") == (30, [True, True, True])


def test_host_functions_of_a_plugins_tasks_run_side_by_side(load: Load, crowd: CrowdServer) -> None:
    barrier = threading.Barrier(3)

    def together(n: int) -> tuple[int, str]:
        barrier.wait(10)
        return n, "of 3"

    plugin = load("return openai.gather(repeated(3, host.together))", together=together)
    assert plugin.call("run") == [[1, "of 3"], [2, "of 3"], [3, "of 3"]]
    leaves_nothing(crowd)


def test_outside_of_tasks_a_host_function_runs_in_the_thread_of_the_call(load: Load) -> None:
    plugin = load("return host.ident()", ident=lambda: str(threading.get_ident()))
    assert plugin.call("run") == str(threading.get_ident())


def test_a_plugins_own_coroutines_may_wait_inside_of_tasks_by_the_hundred(load: Load) -> None:
    plugin = load(
        """
        return #openai.gather(repeated(200, function(n)
          local generate = coroutine.wrap(function()
            openai.sleep(0.02)
            coroutine.yield(host.same(n))
          end)
          return generate()
        end), { limit = 200 })
        """,
        same=lambda n: n,
    )
    assert plugin.call("run") == 200


def test_no_more_than_so_many_errands_are_done_at_once_and_all_are_done(load: Load) -> None:
    under_way, most, lock, gate = 0, 0, threading.Lock(), threading.Event()

    def count() -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        if most == MOST_AT_ONCE:
            gate.set()
        assert gate.wait(10), "as many as may be are there at once"
        with lock:
            under_way -= 1

    body = "openai.gather(repeated(100, function() host.count() return 1 end), { limit = 100 })"
    assert load(f"return #{body}", count=count).call("run") == 100
    assert most == MOST_AT_ONCE


def test_host_functions_see_the_context_of_the_call(load: Load) -> None:
    user: ContextVar[str] = ContextVar("user", default="nobody")
    user.set("someone")
    plugin = load("return openai.gather({ host.user })[1], host.user()", user=user.get)
    assert plugin.call("run") == ("someone", "someone")
    assert asyncio.run(plugin.call_async("run")) == ("someone", "someone")


# --- How a call ends ---


def test_a_call_lasts_until_its_tasks_have_ended(load: Load) -> None:
    noted: list[str] = []
    plugin = load(
        """
        openai.spawn(function()
          openai.sleep(0.02)
          host.note(chat("wait-20", "first"))
          openai.spawn(function() host.note("second") end)
        end)
        return "result"
        """,
        note=noted.append,
    )
    assert plugin.call("run") == "result"
    assert noted == ["first", "second"]


def test_loading_lasts_until_the_files_tasks_have_ended(isolation: Any) -> None:
    noted: list[str] = []
    code = f"{TASKS} openai.spawn(function() openai.sleep(0.01) host.note('at load') end)"
    with PluginHost(functions={"note": noted.append}, isolation=isolation) as host:
        host.load_string(f"{code} return {{ run = print }}")
    assert noted == ["at load"]


def test_an_error_of_a_task_that_nobody_has_waited_for_fails_the_call(load: Load) -> None:
    plugin = load("openai.spawn(function()\nopenai.sleep(0.01)\nerror('unseen') end) return 1")
    line = TASKS.count("\n") + 3
    with pytest.raises(LuaError, match="unseen") as caught:
        plugin.call("run")
    assert (caught.value.plugin, caught.value.line) == ("plugin", line)
    assert plugin.call("rest") == "alive"


def test_a_call_that_fails_ends_its_tasks(load: Load, crowd: CrowdServer) -> None:
    noted: list[int] = []
    plugin = load(
        """
        if ... then return #openai.gather({ function() return chat("wait-1", "x") end }) end
        openai.spawn(chat, "wait-9000", "a")
        openai.spawn(function() openai.sleep(60) host.note(1) end)
        openai.sleep(0.1)
        error("enough")
        """,
        note=noted.append,
    )
    for _ in range(2):
        with pytest.raises(LuaError, match="enough"):
            plugin.call("run")
        leaves_nothing(crowd)
    assert plugin.call("run", True) == 1
    assert noted == []


def test_tasks_of_a_call_that_has_failed_do_no_harm_in_the_next(load: Load) -> None:
    plugin = load(
        """
        if ... then
          kept = openai.spawn(openai.sleep, 60)
          error("enough")
        end
        kept:cancel()
        local ok, message = pcall(kept.wait, kept)
        return kept.status, ok, message, openai.gather({ function() return "well" end })
        """
    )
    with pytest.raises(LuaError, match="enough"):
        plugin.call("run", True)
    assert plugin.call("run") == ("cancelled", False, "the task was cancelled", ["well"])


def test_a_call_waits_for_its_host_functions_whatever_ends_it(
    load: Load, crowd: CrowdServer
) -> None:
    ended: list[bool] = []
    begun = threading.Event()

    def slow() -> None:
        begun.set()
        time.sleep(0.2)
        ended.append(True)

    plugin = load(
        "openai.spawn(host.slow) while not host.begun() do end error('enough')",
        slow=slow,
        begun=begun.is_set,
    )
    with pytest.raises(LuaError, match="enough"):
        plugin.call("run")
    assert ended == [True]
    leaves_nothing(crowd)


def test_a_task_that_is_cancelled_closes_its_connection(load: Load, crowd: CrowdServer) -> None:
    plugin = load(
        """
        local task = openai.spawn(chat, "wait-9000", "a")
        openai.sleep(0.1)
        task:cancel()
        for _ = 1, 100 do
          if host.now() == 0 then return task.status end
          openai.sleep(0.01)
        end
        """,
        now=lambda: crowd.count.now,
    )
    assert plugin.call("run") == "cancelled"
    assert crowd.count.came == 1
    leaves_nothing(crowd)


def test_cancelling_a_call_ends_all_of_its_tasks(load: Load, crowd: CrowdServer) -> None:
    plugin = load(
        """
        openai.gather(repeated(3, function()
          while true do pcall(chat, "wait-9000", "a") end
        end))
        """
    )

    async def main() -> Any:
        call = asyncio.ensure_future(plugin.call_async("run"))
        limit = time.monotonic() + 5
        while crowd.count.now < 3:
            assert time.monotonic() < limit
            await asyncio.sleep(0.005)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        return await asyncio.wait_for(plugin.call_async("rest"), 5)

    assert asyncio.run(main()) == "alive"
    eventually(lambda: waiting_threads() == [])
    eventually(lambda: crowd.count.now == 0)
    assert crowd.count.came == 3


# --- Errors ---


def test_a_host_functions_exception_is_a_string_in_a_task(load: Load) -> None:
    def fail() -> None:
        raise KeyError("x")

    plugin = load("return openai.gather({ function() return pcall(host.fail) end })", fail=fail)
    assert plugin.call("run") == [[False, "host.fail: KeyError: 'x'"]]


def test_gather_settles_and_raises_as_it_does_elsewhere(load: Load) -> None:
    plugin = load(
        """
        local settled = openai.gather({
          function() error("one", 0) end,
          function() return chat("drop", "two") end,
          function() return 3 end,
        }, { settle = true })
        openai.gather({ function() openai.sleep(0.01) error({ code = 7 }) end })
        """
    )
    with pytest.raises(LuaError, match=r"\{code = 7\}"):
        plugin.call("run")
    assert plugin.call("rest") == "alive"


def test_a_plugin_that_calls_itself_from_a_task_is_refused(load: Load) -> None:
    plugins: list[Plugin] = []
    plugin = load(
        "return openai.gather({ function() return pcall(host.again) end })[1][2]",
        again=lambda: plugins[0].call("rest"),
    )
    plugins.append(plugin)
    assert "is in this call already" in plugin.call("run")


# --- Limits ---


def test_the_limit_on_requests_holds_for_all_tasks_together(load: Load, crowd: CrowdServer) -> None:
    plugin = load(
        "openai.gather(repeated(9, function() pcall(chat, 'wait-50', 'a') end))", Limits(requests=5)
    )
    with pytest.raises(LimitExceeded) as caught:
        plugin.call("run")
    assert (caught.value.kind, caught.value.limit) == ("requests", 5)
    assert crowd.count.came <= 5
    assert plugin.usage.requests == 5
    leaves_nothing(crowd)
    assert plugin.call("rest") == "alive"


def test_the_tokens_of_all_tasks_are_counted(
    httpserver: HTTPServer, client: OpenAI, isolation: Any
) -> None:
    body = {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}}],
        "usage": {"total_tokens": 10},
    }
    httpserver.expect_request("/v1/chat/completions").respond_with_json(body)
    run = "openai.gather(repeated(..., function() return chat('m', 'a') end))"
    with PluginHost(client, limits=Limits(tokens=100), isolation=isolation) as host:
        plugin = host.load_string(f"{TASKS} return {{ run = function(...) {run} end }}")
        plugin.call("run", 10)
        assert plugin.usage.tokens == 100
        with pytest.raises(LimitExceeded, match="tokens"):
            plugin.call("run", 11)


IN_TASKS = ["%s", "openai.gather({ function() %s end })", "openai.spawn(function() %s end)"]


@pytest.mark.parametrize(
    "body",
    [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "coroutine.wrap(function() while true do end end)()",
        "while true do openai.spawn(function() end) end",
        "while true do openai.spawn(openai.sleep, 60):cancel() end",
    ],
)
@pytest.mark.parametrize("where", IN_TASKS)
def test_what_runs_without_end_is_stopped_whatever_else_is_under_way(
    load: Load, crowd: CrowdServer, where: str, body: str
) -> None:
    others = "openai.spawn(chat, 'wait-9000', 'a') openai.spawn(openai.sleep, 60)"
    plugin = load(f"{others} {where % body}", Limits(seconds=0.2))
    with pytest.raises(LimitExceeded) as caught:
        plugin.call("run")
    assert caught.value.kind == "seconds"
    leaves_nothing(crowd)
    assert plugin.call("rest") == "alive"


@pytest.mark.parametrize(
    "body",
    [
        "openai.sleep(60)",
        "openai.sleep(math.huge)",
        "pcall(openai.sleep, 60)",
        "while true do openai.sleep(0) end",
        "while true do pcall(openai.sleep, 0.01) end",
    ],
)
@pytest.mark.parametrize("where", IN_TASKS)
def test_what_sleeps_without_end_is_stopped(load: Load, where: str, body: str) -> None:
    plugin = load(where % body, Limits(seconds=0.2))
    with pytest.raises(LimitExceeded) as caught:
        plugin.call("run")
    assert caught.value.kind == "seconds"
    assert plugin.call("rest") == "alive"


def test_a_pause_is_the_plugins_own_time_but_beside_the_hosts_work_it_is_free(load: Load) -> None:
    plugin = load(
        """
        openai.gather({
          function() host.slow() end,
          function() for _ = 1, 20 do openai.sleep(0.01) end end,
        })
        openai.sleep(0.05)
        """,
        Limits(seconds=0.15),
        slow=lambda: time.sleep(0.4),
    )
    plugin.call("run")
    assert plugin.usage.seconds >= 0.05


def test_errands_that_nobody_waits_for_cannot_fill_the_host(load: Load, crowd: CrowdServer) -> None:
    gate = threading.Event()
    plugin = load(
        """
        while true do
          openai.spawn(host.wait, ("x"):rep(1e5)):cancel()
        end
        """,
        Limits(seconds=None, memory_mb=16),
        wait=lambda _: gate.wait(0.5),
    )
    with pytest.raises(LimitExceeded) as caught:
        plugin.call("run")
    assert caught.value.kind == "memory_mb"
    leaves_nothing(crowd)
    assert plugin.call("rest") == "alive"


def test_tasks_may_begin_inside_one_another_as_deep_as_memory_lasts(load: Load) -> None:
    plugin = load(
        """
        local function down(n)
          return n == 0 and 0 or 1 + openai.spawn(down, n - 1):wait()
        end
        return down(...)
        """
    )
    assert plugin.call("run", 1000) == 1000
    with pytest.raises(LimitExceeded) as caught:
        plugin.call("run", -1)
    assert caught.value.kind in ("seconds", "memory_mb")
    assert plugin.call("rest") == "alive"


def test_a_wait_for_a_task_at_the_deepest_place_fails_and_harms_no_other(load: Load) -> None:
    plugin = load(
        """
        local tasks = {}
        local function down(n)
          if n == 0 then
            tasks[1] = openai.spawn(function() openai.sleep(0.01) return host.same("late") end)
            return tostring(select(2, pcall(tasks[1].wait, tasks[1])))
          end
          return (("x"):gsub("x", function() return down(n - 1) end))
        end
        return down(60), openai.spawn(down, 58):wait(), tasks[1]:wait()
        """,
        same=lambda text: text,
    )
    deep, less_deep, late = plugin.call("run")
    assert "too many calls inside one another" in deep
    assert (less_deep, late) == ("late", "late")


# --- The line between host and worker ---


def desk() -> _Desk:
    broker = Broker("plugin", None, {"same": lambda x: x}, None, Limits(), Totals(), print, None)
    return _Desk(broker)


def test_a_worker_that_waits_for_nothing_is_answered_at_once() -> None:
    assert desk().serve(b"next_done", [b"null"]) == [b"ok"]


def test_a_worker_cannot_have_an_answer_read_twice_at_once(crowd: CrowdServer) -> None:
    with OpenAI("sk-secret", crowd.url) as client:
        broker = Broker("plugin", client, {}, None, Limits(), Totals(), print, None)
        line = _Desk(broker)
        payload = (
            b'+{"model":"drip-3-100","stream":true,"messages":[{"role":"user","content":"s"}]}'
        )
        place = [b"POST", b"https://host.invalid/v1/chat/completions", payload]
        assert line.serve(b"open", place)[0] == b"ok"
        assert line.serve(b"begin_read", [b"1", b"1"]) == [b"ok"]
        assert line.serve(b"begin_read", [b"2", b"1"])[0] == b"error"
        assert line.serve(b"read", [b"1"])[0] == b"error"
        assert line.serve(b"next_done", [b"null"])[1:3] == [b"1", b"text"]
        assert line.serve(b"read", [b"1"])[0] == b"ok"
        broker.end()
    leaves_nothing(crowd)
