"""Many waits at once inside a plugin: `gather`, `spawn` and `sleep` behind the walls."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from luaopenai import LimitExceeded, Limits, LuaError, OpenAI, Plugin, PluginHost
from luaopenai.host.broker import Broker, Totals
from luaopenai.host.channel import Channel
from luaopenai.host.operations import MOST_AT_ONCE
from luaopenai.host.rpc import Dispatcher
from support.crowd_server import CrowdServer
from support.waiting import GENEROUS, eventually, soon, waiting_threads
from support.workers import in_place_of_its_worker, worker_of

TASKS = """
local openai = require("openai")
local client = openai.new()
local function chat(model, said)
  return (assert(client:new_chat_session({ model = model }):send(said)))
end
local function repeated(times, make)
  local list = {}
  for n = 1, times do list[n] = function() return make(n) end end
  return list
end
"""

Load = Callable[..., Plugin]


@pytest.fixture
def load(
    crowd: CrowdServer, connect: Callable[..., OpenAI], hosts: Callable[..., PluginHost]
) -> Load:
    """Loads a plugin whose function ``run`` has this body; ``rest`` tells that it lives."""
    client = connect(crowd.url, "sk-secret")

    def load(body: str, limits: Limits | None = None, **functions: Any) -> Plugin:
        host = hosts(client, functions, limits or Limits(requests=None), output=lambda *_: None)
        rest = "rest = function() return 'alive' end"
        return host.load_string(f"{TASKS} return {{ run = function(...) {body} end, {rest} }}")

    return load


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
        while host.now() == 0 do openai.sleep(0.001) end
        task:cancel()
        while host.now() > 0 do openai.sleep(0.001) end
        return task.status
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
        await soon(lambda: crowd.count.now == 3)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        return await asyncio.wait_for(plugin.call_async("rest"), GENEROUS)

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


CALLS_ITSELF = """
import sys
from luaopenai import PluginHost
plugins = {}
functions = {
    "ask": lambda: plugins["two"].call("go"),
    "back": lambda: plugins["one"].call("rest"),
}
ask = "openai.gather({ function() return host.ask() end })[1]"
back = "openai.gather({ function() return select(2, pcall(host.back)) end })[1]"
with PluginHost(functions=functions, isolation=sys.argv[1]) as host:
    code = "local openai = require('openai') return { %s = function() return %s end, rest = print }"
    plugins["one"] = host.load_string(code % ("run", ask), "one")
    plugins["two"] = host.load_string(code % ("go", back), "two")
    print(plugins["one"].call("run"))
    print(plugins["one"].call("rest"))
"""


def test_a_plugin_that_calls_itself_is_refused_however_far_the_way(isolation: Any) -> None:
    # In a process of its own: a plugin that did wait for itself would do so for ever.
    command = [sys.executable, "-c", CALLS_ITSELF, isolation]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert "plugin one is in this call already" in done.stdout, done.stderr
    assert done.stdout.endswith("\nNone\n")


@pytest.mark.parametrize("what", ["plugin", "host"])
def test_a_host_function_of_a_task_may_close_the_plugin(isolation: Any, what: str) -> None:
    closing: dict[str, Any] = {}
    functions = {"close": lambda: closing[what].close()}
    with PluginHost(functions=functions, isolation=isolation) as host:
        code = "return { run = function() openai.gather({ host.close }) return 1 end }"
        plugin = host.load_string(TASKS + code)
        closing.update(plugin=plugin, host=host)
        with suppress(LuaError):
            assert plugin.call("run") == 1
        with pytest.raises(LuaError, match="is closed"):
            plugin.call("run")


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
          function() for _ = 1, 40 do openai.sleep(0.01) end end,
        })
        openai.sleep(0.05)
        """,
        Limits(seconds=0.3),
        slow=lambda: time.sleep(0.6),
    )
    plugin.call("run")
    assert plugin.usage.seconds >= 0.05


@pytest.mark.parametrize(
    ("then", "limits"),
    [
        ("", Limits(seconds=None, memory_mb=16)),
        (":cancel()", Limits(seconds=0.5, memory_mb=16)),
    ],
)
def test_errands_that_nobody_waits_for_cannot_fill_the_host(
    load: Load, crowd: CrowdServer, then: str, limits: Limits
) -> None:
    body = f"while true do openai.spawn(host.wait, ('x'):rep(1e5)){then} end"
    plugin = load(body, limits, wait=lambda _: time.sleep(0.2))
    with pytest.raises(LimitExceeded) as caught:
        plugin.call("run")
    assert caught.value.kind in ("memory_mb", "seconds")
    leaves_nothing(crowd)
    assert plugin.call("rest") == "alive"


def test_errands_that_are_done_weigh_nothing_any_more(load: Load) -> None:
    code = "for _ = 1, 1000 do openai.gather({ host.nothing }) end"
    plugin = load(code, Limits(seconds=20, memory_mb=2), nothing=lambda: None)
    plugin.call("run")


def test_results_that_nobody_takes_cannot_fill_the_host(load: Load, crowd: CrowdServer) -> None:
    calls = 0

    def large() -> str:
        nonlocal calls
        calls += 1
        return "x" * 100_000

    plugin = load(
        "for _ = 1, 200 do openai.spawn(host.large) end while true do end",
        Limits(seconds=0.3),
        large=large,
    )
    with pytest.raises(LimitExceeded, match="seconds"):
        plugin.call("run")
    assert calls <= MOST_AT_ONCE
    leaves_nothing(crowd)


def test_all_results_are_taken_however_large_they_are_together(load: Load) -> None:
    plugin = load(
        """
        local function measure() return #host.large() end
        local sizes, sum = openai.gather(repeated(200, measure), { limit = 200 }), 0
        for _, size in ipairs(sizes) do sum = sum + size end
        return sum
        """,
        Limits(memory_mb=16),
        large=lambda: "x" * 400_000,
    )
    assert plugin.call("run") == 200 * 400_000


@pytest.mark.parametrize(
    ("model", "stream", "kind"),
    [("wait-9000", "false", None), ("drip-900-1", "true", "tokens")],
)
def test_what_a_task_has_broken_off_costs_an_estimate(
    load: Load, model: str, stream: str, kind: str | None
) -> None:
    plugin = load(
        f"""
        local tasks = {{}}
        for n = 1, 4 do
          tasks[n] = openai.spawn(function()
            client:create_chat_completion(
              {{ {{ role = "user", content = ("x"):rep(400) }} }},
              {{ model = "{model}", stream = {stream} }},
              function() end
            )
          end)
        end
        openai.sleep(0.3)
        for _, task in ipairs(tasks) do task:cancel() end
        """,
        Limits(tokens=500 if kind else 10_000, requests=None),
    )
    if kind is None:
        plugin.call("run")
        assert plugin.usage.tokens >= 400
    else:
        with pytest.raises(LimitExceeded) as caught:
            plugin.call("run")
        assert caught.value.kind == kind


def test_a_cancelled_stream_tells_its_task_that_it_was_cancelled(load: Load) -> None:
    plugin = load(
        """
        local message
        local task = openai.spawn(function()
          local question = { { role = "user", content = "s" } }
          local opts = { model = "drip-900-10", stream = true }
          message = select(2, pcall(client.chat, client, question, opts, function() end))
        end)
        openai.sleep(0.1)
        task:cancel()
        return message
        """
    )
    assert plugin.call("run") == "the task was cancelled"


def test_where_no_thread_can_begin_a_plugin_gets_an_error(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = load("return openai.gather({ host.one, host.one })", one=lambda: 1)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(LuaError, match="can't start new thread"):
            plugin.call("run")
    assert plugin.call("run") == [1, 1]


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


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        ("return 1", ["call", "done"]),
        ("return chat('wait-1', 'hello')", ["call", "perform", "ok", "done"]),
        (
            "return openai.gather({ function() return chat('wait-1', 'hello') end })[1]",
            ["call", "begin", "ok", "next_done", "ok", "done"],
        ),
    ],
)
def test_a_chat_crosses_the_line_in_few_messages(
    crowd: CrowdServer, monkeypatch: pytest.MonkeyPatch, body: str, messages: list[str]
) -> None:
    crossed = []
    send, receive = Channel.send, Channel.receive

    def note_sent(self: Channel, *parts: bytes, deadline: float | None = None) -> None:
        crossed.append(parts[0].decode())
        send(self, *parts, deadline=deadline)

    def note_received(self: Channel, deadline: float | None = None) -> list[bytes]:
        parts = receive(self, deadline)
        crossed.append(parts[0].decode())
        return parts

    with OpenAI("sk-secret", crowd.url) as client, PluginHost(client) as host:
        plugin = host.load_string(TASKS + f"return {{ run = function() {body} end }}")
        monkeypatch.setattr(Channel, "send", note_sent)
        monkeypatch.setattr(Channel, "receive", note_received)
        assert plugin.call("run") in (1, "hello")
    assert crossed == messages


HOST = [b"7", b"host", b"+same", b"-"]
"""A call of a function of the host, under the ticket 7."""


def dispatcher() -> Dispatcher:
    broker = Broker("plugin", None, {"same": lambda x: x}, None, Limits(), Totals(), print, None)
    return Dispatcher(broker.operations)


def test_a_worker_that_waits_for_nothing_is_answered_at_once() -> None:
    assert dispatcher().serve(b"next_done", [b""]) == [b"ok"]


def test_a_worker_cannot_use_a_ticket_twice_at_once() -> None:
    line = dispatcher()
    assert line.serve(b"begin", HOST) == [b"ok"]
    assert line.serve(b"begin", HOST)[0] == b"error"
    assert line.serve(b"next_done", [b""])[:2] == [b"ok", b"7"]
    assert line.serve(b"begin", HOST) == [b"ok"]
    line._operations.end()


@pytest.mark.parametrize(
    ("name", "argument"), [(b"close", b"+1"), (b"write", b"+x"), (b"module", b"+m")]
)
def test_a_worker_cannot_begin_what_takes_no_ticket(name: bytes, argument: bytes) -> None:
    line = dispatcher()
    refusal = name + b" takes no ticket"
    assert line.serve(b"begin", [b"7", name, argument]) == [b"error", refusal]
    assert line.serve(b"next_done", [b""]) == [b"ok"]


@pytest.mark.parametrize("timeout", [b"x", b"null", b"[" * 10_000])
def test_a_workers_odd_times_are_errors(timeout: bytes) -> None:
    line = dispatcher()
    assert line.serve(b"begin", HOST) == [b"ok"]
    assert line.serve(b"next_done", [timeout])[0] == b"error"
    line._operations.end()


@pytest.mark.parametrize(
    "message",
    [
        [b"done"],
        [b"done", b"-", b"[NaN, 0]"],
        [b"done", b"-", b"[0, -1]"],
        [b"done", b"-", b'["a", "b"]'],
        [b"done", b"-", b"[" * 100_000],
        [b"limit", b'["seconds", null, null]', b"[0, 0]"],
        [b"limit", b'["zzz", 1, 1]', b"[0, 0]"],
        [b"failed", b'["too", "few"]', b"[0, 0]"],
        [b"failed", b'["\\ud800", null, 1, "", ""]', b"[0, 0]"],
        [b"limit", b'["seconds", 1, 1' + b" " * 2000 + b"]", b"[0, 0]"],
        [b"done", b"-", b"[0, 0" + b" " * 2000 + b"]"],
        [],
        [b""] * 1000,
        [b"failed", json.dumps(["m", None, None, "t", f'["{400_000 * "x"}"]']).encode(), b"[0, 0]"],
        [b"what is this"],
    ],
)
def test_a_worker_that_sends_nonsense_fails_the_call_and_is_replaced(message: list[bytes]) -> None:
    with PluginHost() as host:
        plugin = host.load_string("return { run = function() return 1 end }")
        with in_place_of_its_worker(plugin) as line:
            # A large one is not all sent before it is read.
            talker = threading.Thread(target=line.send, args=message)
            talker.start()
            with pytest.raises(LuaError, match="sends nonsense"):
                plugin.call("run")
            talker.join()
        assert plugin.call("run") == 1
        assert math.isfinite(plugin.usage.seconds)


def test_a_worker_that_says_it_is_broken_is_replaced() -> None:
    with PluginHost() as host:
        plugin = host.load_string("return { run = function() return 1 end }")
        worker = worker_of(plugin)
        with in_place_of_its_worker(plugin) as line:
            line.send(b"broken", b'["odd", null, null, "", ""]', b"[0, 0]")
            with pytest.raises(LuaError, match="odd"):
                plugin.call("run")
            assert not worker.is_alive(), "however long the system takes to end it"
            assert plugin.call("run") == 1


def test_a_worker_cannot_have_an_answer_read_twice_at_once(crowd: CrowdServer) -> None:
    with OpenAI("sk-secret", crowd.url) as client:
        broker = Broker("plugin", client, {}, None, Limits(), Totals(), print, None)
        line = Dispatcher(broker.operations)
        payload = (
            b'+{"model":"drip-3-100","stream":true,"messages":[{"role":"user","content":"s"}]}'
        )
        place = [b"+POST", b"+https://host.invalid/v1/chat/completions", payload]
        read = [b"read", b"+1"]
        assert line.serve(b"perform", [b"open", *place])[0] == b"ok"
        assert line.serve(b"begin", [b"1", *read]) == [b"ok"]
        assert line.serve(b"begin", [b"2", *read])[0] == b"error"
        assert line.serve(b"perform", read)[0] == b"error"
        assert line.serve(b"next_done", [b""])[1:3] == [b"1", b"ok"]
        assert line.serve(b"perform", read)[0] == b"ok"
        assert line.serve(b"begin", [b"3", *read]) == [b"ok"]
        assert line.serve(b"cancel", [b"3"]) == [b"ok"]
        assert line.serve(b"begin", [b"3", *HOST[1:]]) == [b"ok"]
        assert line.serve(b"next_done", [b""])[1] == b"3"
        assert line.serve(b"perform", read)[0] == b"error", "what was cancelled does not come back"
        broker.end()
    leaves_nothing(crowd)


# --- The command ---


def test_a_sandboxed_script_ends_when_its_tasks_have_ended(tmp_path: Path) -> None:
    script = tmp_path / "script.lua"
    script.write_text(
        """
        local openai = require("openai")
        openai.spawn(function() openai.sleep(0.05) print("last") end)
        openai.gather({
          function() openai.sleep(0.02) print("second") end,
          function() openai.sleep(0.01) print("first") end,
        })
        """
    )
    command = [sys.executable, "-m", "luaopenai", "run", "--sandbox", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "first\nsecond\nlast\n"), done.stderr
