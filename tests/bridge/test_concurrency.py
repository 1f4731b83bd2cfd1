"""Lua's tasks from the outside: in a Python program, under `luaopenai run`, and what they leave."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar, copy_context
from pathlib import Path
from queue import Empty
from typing import Any

import pytest

from luaopenai import Limits, LuaError, OpenAI, PluginHost, Runtime
from luaopenai.bridge.chain import Link, _chain, is_inside
from luaopenai.bridge.threads import ThreadExecutor, _Queue
from luaopenai.bridge.work import Work
from luaopenai.client.cancel import Cancelled
from support.children import child
from support.crowd_server import CrowdServer
from support.waiting import GENEROUS, eventually, soon, waiting_threads

RUN = [sys.executable, "-m", "luaopenai", "run"]
CHATTING = """
local openai = require("openai")
local client = openai.new()
local function chat(model, said)
  return (assert(client:new_chat_session({ model = model }):send(said)))
end
local function stream(model)
  client:chat({ { role = "user", content = "s" } }, { model = model, stream = true }, print)
end
"""


@pytest.fixture
def client(crowd: CrowdServer, connect: Callable[..., OpenAI]) -> OpenAI:
    return connect(crowd.url, pool_size=10)


@pytest.fixture
def runtime(client: OpenAI) -> Runtime:
    return Runtime(client, rocks=False)


# --- What a script leaves behind ---


def test_after_a_gather_no_thread_is_left_and_no_connection_after_close(
    runtime: Runtime,
    client: OpenAI,
    crowd: CrowdServer,
    open_sockets: Callable[[], int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    code = (
        "local list = {} for n = 1, 40 do list[n] = function() return chat('meet-32', 'c') end end"
    )
    assert len(runtime.run_string(f"{CHATTING} {code} return openai.gather(list)")) == 40
    eventually(lambda: not waiting_threads())
    assert crowd.count.most == 32
    assert 1 <= open_sockets() <= 10, "no more are kept than the pool holds"
    assert caplog.messages == [], "which is no cause for a warning"
    client.close()
    assert open_sockets() == 0
    eventually(lambda: crowd.count.connections == 0)


def test_after_cancels_no_thread_and_no_connection_is_left(
    runtime: Runtime, crowd: CrowdServer, open_sockets: Callable[[], int]
) -> None:
    runtime.run_string(
        CHATTING
        + """
        local tasks = {}
        for n = 1, 5 do
          tasks[n] = openai.spawn(chat, "wait-9000", "c")
          tasks[n + 5] = openai.spawn(function()
            stream("drip-999-10")
          end)
        end
        openai.sleep(0.2)
        for _, task in ipairs(tasks) do task:cancel() end
        """
    )
    eventually(lambda: not waiting_threads())
    eventually(lambda: open_sockets() == 0)
    eventually(lambda: (crowd.count.now, crowd.count.connections) == (0, 0))


def test_after_a_failure_in_the_midst_no_thread_and_no_answer_is_left(
    runtime: Runtime, open_sockets: Callable[[], int]
) -> None:
    with pytest.raises(SystemExit) as caught:
        runtime.run_string(
            CHATTING
            + """
            openai.gather({
              function() chat("wait-9000", "a") end,
              function()
                stream("drip-999-10")
              end,
              function() openai.sleep(0.2) pcall(os.exit, 3) end,
            })
            """
        )
    assert caught.value.code == 3
    eventually(lambda: not waiting_threads())
    eventually(lambda: open_sockets() == 0)
    assert runtime.run_string(CHATTING + "return openai.gather({ function() return 7 end })") == [7]
    assert runtime.run_string(CHATTING + "return chat('wait-1', 'as before')") == "as before"


def test_a_result_that_comes_for_nobody_is_discarded() -> None:
    threads, gate, discarded = ThreadExecutor(), threading.Event(), list[object]()
    threads.submit(1, Work(lambda: gate.wait(5), discard=discarded.append))
    threads.cancel(1)
    gate.set()
    eventually(lambda: discarded == [True])
    threads.stop()
    eventually(lambda: not waiting_threads())


def test_a_callback_that_comes_from_cancelled_work_is_not_served() -> None:
    threads, ended = ThreadExecutor(), list[type[BaseException]]()

    def work() -> None:
        try:
            threads.call_back(list, list)
        except BaseException as error:
            ended.append(type(error))
            raise

    threads.submit(1, Work(work))
    eventually(lambda: not threads._pool.done._items.empty())
    threads.cancel(1)
    assert threads.next_done(5) is None
    eventually(lambda: ended == [Cancelled])
    threads.stop()
    eventually(lambda: not waiting_threads())


def test_all_threads_leave_also_one_that_is_not_in_the_list() -> None:
    # An interrupt may come between a thread's beginning and its entry.
    executor, gate = ThreadExecutor(), threading.Event()
    for ticket in range(3):
        executor.submit(ticket, Work(gate.wait))
    threads = list(executor._pool.threads)
    executor._pool.threads.pop()
    gate.set()
    executor.stop()
    for thread in threads:
        thread.join(GENEROUS)
    assert not any(thread.is_alive() for thread in threads)


def test_ended_tasks_are_collected(runtime: Runtime) -> None:
    grown = runtime.run_string(
        CHATTING
        + """
        local function some()
          for _ = 1, 200 do
            openai.gather({ function() return ("x"):rep(1000) end, function() openai.sleep(0) end })
          end
          collectgarbage() collectgarbage()
          return collectgarbage("count")
        end
        some()
        local before = some()
        return some() - before
        """
    )
    assert grown < 50, "kilobytes, of 400 tasks with 200 kilobytes in results"


def test_a_script_without_tasks_loads_nothing_for_them(crowd: CrowdServer) -> None:
    code = f"""
import sys, threading
from luaopenai import Runtime
runtime = Runtime(base_url={crowd.url!r}, api_key="k", rocks=False)
resume = runtime.run_string("return coroutine.resume")
print(runtime.run_string({CHATTING!r} + '''
    local resume, wrap = coroutine.resume, coroutine.wrap
    local reply = coroutine.wrap(function()
      openai.sleep(0.001)
      return chat("wait-1", "hello")
    end)()
    assert(resume == coroutine.resume and wrap == coroutine.wrap)
    return reply'''))
print("luaopenai.bridge.threads" in sys.modules, threading.active_count())
print(runtime.run_string('''
    local resume = coroutine.resume
    require("openai").gather({{}})
    return resume == coroutine.resume'''))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("hello\nFalse 1\nFalse\n", "")


# --- Errors ---


def test_an_error_in_a_task_names_its_line_and_shows_where_it_came_from(runtime: Runtime) -> None:
    code = CHATTING + "\nopenai.gather({ function()\nopenai.sleep(0)\nerror('deep') end })"
    line = CHATTING.count("\n") + 4
    with pytest.raises(LuaError) as caught:
        runtime.run_string(code, "script.lua")
    assert caught.value.message == f"script.lua:{line}: deep"
    assert (caught.value.chunk, caught.value.line) == ("script.lua", line)
    assert f"script.lua:{line}: in function <script.lua:{line - 2}>" in caught.value.traceback


def test_a_network_failure_in_a_task_keeps_its_cause(refusing_url: str) -> None:
    runtime = Runtime(base_url=refusing_url, api_key="k", rocks=False)
    code = """
        local client = require("openai").new(nil, { max_retries = 0 })
        require("openai").gather({ function() client:models() end })
    """
    with pytest.raises(LuaError, match="connection refused") as caught:
        runtime.run_string(code)
    assert type(caught.value.__cause__).__name__ == "APIConnectionError"


def test_our_socket_sleep_lets_the_others_go_on(runtime: Runtime) -> None:
    code = """
        local openai, socket = require("openai"), require("socket")
        local list, asleep = {}, 0
        for n = 1, 10 do
          list[n] = function()
            asleep = asleep + 1
            socket.sleep(0.05)
            return asleep
          end
        end
        return openai.gather(list)
    """
    assert runtime.run_string(code) == [10] * 10


def test_an_error_behind_a_tail_call_names_the_line_of_that_call(runtime: Runtime) -> None:
    code = """local openai = require("openai")
        openai.gather({
          function()
            return error("deep", 0)
          end,
        })
    """
    with pytest.raises(LuaError, match="deep") as caught:
        runtime.run_string(code, "script.lua")
    assert (caught.value.chunk, caught.value.line) == ("script.lua", 4)
    assert "script.lua:4: in function <script.lua:3>" in caught.value.traceback


def test_what_ends_one_threads_call_is_not_raised_in_another(runtime: Runtime) -> None:
    sleep = runtime.run_string("return require('openai').sleep")
    five = runtime.run_string("return function() return 5 end")

    async def main() -> None:
        for _ in range(30):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(runtime.call_async(sleep, 60), 0.005)
            assert five() == 5

    asyncio.run(main())


# --- Functions of the host program in tasks ---

GATHER = """
local openai = require("openai")
local list = {}
for n = 1, 3 do list[n] = function() return f(n) end end
return openai.gather(list)
"""


def with_f(runtime: Runtime, f: Callable[..., Any], code: str) -> Any:
    """What Lua code comes to that knows a Python function as ``f``."""
    return runtime.call(runtime.run_string(f"return function(f) {CHATTING} {code} end"), f)


def test_host_functions_of_several_tasks_run_side_by_side(runtime: Runtime) -> None:
    barrier = threading.Barrier(3)

    def together(n: int) -> tuple[int, str]:
        barrier.wait(10)
        return n, "of 3"

    assert with_f(runtime, together, GATHER) == [[1, "of 3"], [2, "of 3"], [3, "of 3"]]
    eventually(lambda: not waiting_threads())


def test_a_host_function_lets_chats_and_streams_of_other_tasks_go_on(runtime: Runtime) -> None:
    gate = threading.Event()
    code = """
        local said
        local results = openai.gather({
          function() return f() end,
          function() said = chat("wait-10", "hello") openai.sleep(0.01) f(said) end,
        })
        return results[1]
    """

    def wait_or_open(said: str | None = None) -> bool:
        if said is not None:
            gate.set()
        return gate.wait(10)

    assert with_f(runtime, wait_or_open, code) is True


def test_a_host_function_inside_a_scripts_own_coroutine_lets_the_others_go_on(
    runtime: Runtime,
) -> None:
    barrier = threading.Barrier(2)
    code = """
        local function generate()
          return coroutine.wrap(function() coroutine.yield(f()) end)
        end
        return openai.gather({ function() return generate()() end, f })
    """
    assert len(with_f(runtime, lambda: barrier.wait(10), code)) == 2


def test_outside_of_tasks_a_host_function_runs_where_lua_runs(runtime: Runtime) -> None:
    assert with_f(runtime, threading.get_ident, "return f()") == threading.get_ident()


def test_tasks_go_on_while_the_main_script_waits_for_a_host_function(runtime: Runtime) -> None:
    gate = threading.Event()

    def wait_or_open(opens: bool = False) -> bool:
        if opens:
            gate.set()
        return gate.wait(10)

    code = "openai.spawn(function() openai.sleep(0.01) f(true) end) return f()"
    assert with_f(runtime, wait_or_open, code) is True


@pytest.mark.parametrize(
    "where", ["return {pcall(f)}", "return openai.gather({function() return pcall(f) end})[1]"]
)
def test_a_host_function_fails_in_a_task_as_it_does_outside(runtime: Runtime, where: str) -> None:
    def fail() -> None:
        raise KeyError("x")

    assert with_f(runtime, fail, where) == [False, "KeyError: 'x'"]


@pytest.mark.parametrize("where", ["f()", "openai.gather({ f })"])
def test_what_a_host_function_has_raised_is_the_cause_of_the_error(
    runtime: Runtime, where: str
) -> None:
    failure = KeyError("x")

    def fail() -> None:
        raise failure

    with pytest.raises(LuaError, match="KeyError") as caught:
        with_f(runtime, fail, where)
    assert caught.value.__cause__ is failure


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("f(coroutine.create(print))", "TypeError: argument 1: Python has no Lua thread"),
        ("f()", "TypeError: result: Lua has no object"),
    ],
)
def test_what_cannot_cross_is_named_in_a_task_too(
    runtime: Runtime, code: str, message: str
) -> None:
    with pytest.raises(LuaError, match=message):
        with_f(runtime, lambda *_: object(), f"openai.gather({{ function() {code} end }})")


def test_a_host_function_may_call_lua_that_waits(runtime: Runtime, crowd: CrowdServer) -> None:
    code = """
        return openai.gather({
          function() return f(function() return chat("wait-100", "a") end) end,
          function() return f(function() return chat("wait-100", "b") end) end,
          function() return coroutine.wrap(function()
            return f(function() openai.sleep(0.001) return "c" end)
          end)() end,
        })
    """
    assert with_f(runtime, lambda g: g() + g(), code) == ["aa", "bb", "cc"]
    assert crowd.count.most == 2, "whoever waits in such a call lets the others go on"


def test_calls_between_host_functions_and_lua_may_lie_inside_one_another(runtime: Runtime) -> None:
    code = """
        local function down(n)
          return n == 0 and 0 or 1 + f(down, n - 1)
        end
        return openai.gather({ function() return down(30) end, function() return down(20) end })
    """
    assert with_f(runtime, lambda down, n: down(n), code) == [30, 20]


def test_lua_that_a_host_function_calls_in_a_task_fails_there(runtime: Runtime) -> None:
    seen: list[LuaError] = []

    def catch(function: Callable[[], object]) -> str:
        try:
            function()
        except LuaError as error:
            seen.append(error)
        return "caught"

    code = "return openai.gather({ function() return f(function() error('deep') end) end })"
    assert with_f(runtime, catch, code) == ["caught"]
    assert seen[0].message.endswith("deep")
    assert seen[0].line
    assert "in function <code:" in seen[0].traceback


def test_arguments_that_lua_cannot_take_raise_in_the_host_function(runtime: Runtime) -> None:
    def give(function: Callable[[object], object]) -> None:
        with pytest.raises(TypeError, match="argument 1: Lua has no object"):
            function(object())

    code = "return #openai.gather({ function() f(print) return 1 end })"
    assert with_f(runtime, give, code) == 1


def test_a_host_function_in_a_task_may_use_the_runtime(runtime: Runtime, tmp_path: Path) -> None:
    script = tmp_path / "script.lua"
    script.write_text("kept = ... return arg[1]")

    def use() -> list[Any]:
        with pytest.raises(LuaError, match="code:1: unexpected symbol"):
            runtime.compile("return return")
        runtime.execute_string("number = 5")
        return [
            runtime.run_string("return number + ...", "sum", 2),
            runtime.call(runtime.compile("return (...)"), [1, 2]),
            runtime.run_file(str(script), "an argument"),
            runtime.require("socket.url").keys() >= {"parse"},
        ]

    found = with_f(runtime, use, "return openai.gather({ f })[1]")
    assert found == [7, [1, 2], "an argument", True]


@pytest.mark.parametrize(
    "code",
    [
        "openai.gather({ function() pcall(f) end })",
        "openai.gather({ function() pcall(f, function() os.exit(3) end) end })",
    ],
)
def test_a_host_function_may_end_the_program_from_a_task(runtime: Runtime, code: str) -> None:
    def leave(function: Callable[[], object] | None = None) -> None:
        if function is None:
            raise SystemExit(3)
        function()

    with pytest.raises(SystemExit) as caught:
        with_f(runtime, leave, code)
    assert caught.value.code == 3
    eventually(lambda: not waiting_threads())


def test_cancelling_a_task_ends_what_its_host_function_waits_for(
    runtime: Runtime, client: OpenAI, crowd: CrowdServer
) -> None:
    ended: list[str] = []

    def ask(wait: Callable[[], object] | None = None) -> None:
        try:
            if wait is None:
                client.new_chat_session(model="wait-9000").send("a")
            else:
                wait()
        except BaseException as error:
            ended.append(type(error).__name__)
            raise

    code = """
        local asleep = false
        local tasks = {
          openai.spawn(f),
          openai.spawn(f, function() asleep = true openai.sleep(60) end),
          openai.spawn(f, function() chat("wait-9000", "b") end),
        }
        chat("meet-3", "c")
        while not asleep do openai.sleep(0.001) end
        for _, task in ipairs(tasks) do task:cancel() end
        return tasks[1].status .. tasks[2].status .. tasks[3].status
    """
    assert with_f(runtime, ask, code) == "cancelled" * 3
    eventually(lambda: len(ended) == 3)
    assert set(ended) == {"Cancelled"}
    eventually(lambda: crowd.count.now == 0)
    eventually(lambda: not waiting_threads())


def test_a_host_function_that_nobody_waits_for_any_more_cannot_reach_lua(runtime: Runtime) -> None:
    begun, gate, reached = threading.Event(), threading.Event(), list[int]()

    def linger(function: Callable[[], object]) -> None:
        begun.set()
        gate.wait(10)
        function()
        reached.append(1)

    code = """
        local task = openai.spawn(f, print)
        task:cancel()
    """
    with_f(runtime, linger, code)
    assert begun.wait(10)
    gate.set()
    eventually(lambda: not waiting_threads())
    assert reached == []


def test_lua_functions_outlive_the_coroutine_that_they_came_from() -> None:
    # A process of its own: where this fails, it ends with a crash.
    code = """
from luaopenai import Runtime
LUA = '''
    local keep, call = ...
    local openai = require("openai")
    local function use(n)
      local function f() return n end
      keep(f, { f = f })
      call(function() return f, { f } end)
    end
    for n = 1, 50 do
      openai.gather({ function() use(n) end })
      coroutine.wrap(use)(n)
      collectgarbage()
    end
'''
runtime, kept = Runtime(rocks=False), []
runtime.run_string(LUA, "code", lambda *values: kept.append(values), lambda f: kept.append(f()))
while kept:
    first, second = kept.pop()
    first()
    (second["f"] if type(second) is dict else second[0])()
    del first, second
    runtime.run_string("collectgarbage()")
print("well")
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "well\n"), done.stderr


def test_a_pause_beside_calls_ends_in_time() -> None:
    queue, ends = _Queue(), list[int]()

    def write_and_wait() -> None:
        for _ in range(20_000):
            queue.put(1)
            queue.get(None)
            try:
                queue.get(1e-6)
            except Empty:
                ends.append(1)

    # In a thread, since what this is about is a wait that never ends.
    thread = threading.Thread(target=write_and_wait, daemon=True)
    thread.start()
    thread.join(30)
    assert len(ends) == 20_000
    queue.put(2)
    queue.put(3)
    assert (queue.get(1), queue.get(1)) == (2, 3)
    threading.Timer(0.01, queue.put, [4]).start()
    assert queue.get(10) == 4


@pytest.mark.parametrize(
    "code",
    [
        "gather()",
        "openai.spawn(openai.sleep, 0.2) gather()",
        "openai.gather({ gather })",
    ],
)
def test_progress_is_told_in_order_by_one_call_at_a_time(runtime: Runtime, code: str) -> None:
    told, under_way = list[int](), threading.Lock()

    def tell(done: int, _: int) -> None:
        assert under_way.acquire(blocking=False)
        time.sleep(0.002)
        told.append(done)
        under_way.release()

    gather = """
        local socket = require("socket")
        local function gather()
          local list = {}
          for n = 1, 40 do list[n] = function() openai.sleep(n % 3 / 1000) return n end end
          openai.gather(list, { on_progress = f })
          local start = socket.gettime()
          openai.sleep(0.05)
          slept = socket.gettime() - start
        end
    """
    with_f(runtime, tell, gather + code)
    runtime.finish_tasks()
    assert told == list(range(1, 41))
    assert runtime.run_string("return slept") >= 0.049, "nothing wakes the gatherer later"


def test_finish_tasks_may_be_called_by_a_host_function_outside_of_tasks(runtime: Runtime) -> None:
    code = """
        local task = openai.spawn(openai.sleep, 0.05)
        f()
        return task.status
    """
    assert with_f(runtime, runtime.finish_tasks, code) == "done"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("f('finish')", "a task cannot wait for all tasks"),
        ("f('call', function() return task:wait() end)", "a task cannot wait for itself"),
        ("f('call')", "attempt to call a nil value"),
    ],
)
def test_what_a_host_function_cannot_have_of_its_own_task_is_an_error(
    runtime: Runtime, call: str, message: str
) -> None:
    def ask(what: str, function: Callable[[], object] | None = None) -> None:
        if what == "finish":
            runtime.finish_tasks()
        else:
            runtime.call(function)

    code = f"""
        local task
        task = openai.spawn(function() openai.sleep(0.001) {call} end)
        task:wait()
    """
    with pytest.raises(LuaError, match=message):
        with_f(runtime, ask, code)


def test_runtimes_that_wait_for_one_another_are_told(runtime: Runtime) -> None:
    other = Runtime(rocks=False)
    seven = runtime.run_string("return function() return 7 end")
    gather = other.run_string("return function(f) return require('openai').gather({ f })[1] end")
    assert gather(lambda: seven()) == 7, "one that is not running may be called"
    with pytest.raises(LuaError, match="waits, in another thread, for what calls it here"):
        with_f(runtime, lambda: gather(lambda: seven()), "return f()")


def test_where_no_thread_can_begin_there_is_an_error_and_the_others_go_on(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, left = threading.Thread.start, [0]

    def refuse(thread: threading.Thread) -> None:
        if left[0] == 0:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    code = "return openai.gather({ f, f, f, f })"
    with pytest.raises(LuaError, match="can't start new thread"):
        with_f(runtime, lambda: 1, code)
    left[0] = 2
    assert with_f(runtime, lambda: 1, code) == [1, 1, 1, 1]


def test_each_error_has_the_cause_that_belongs_to_it(runtime: Runtime) -> None:
    def fail(n: int) -> None:
        raise ValueError(f"number {n}")

    with pytest.raises(LuaError, match="number 1") as caught:
        with_f(runtime, fail, GATHER)
    assert str(caught.value.__cause__) == "number 1"


def test_what_a_failed_host_function_held_is_freed_at_once(runtime: Runtime) -> None:
    class Large:
        pass

    held: list[weakref.ref[Large]] = []

    def fail(function: Callable[[], object] | None = None) -> None:
        large = Large()
        held.append(weakref.ref(large))
        if function is not None:
            function()
        raise ValueError("no")

    code = """
        local function fail() error("no") end
        openai.gather({ function() pcall(f) pcall(f, fail) end })
        pcall(f) pcall(f, fail)
    """
    gc.disable()
    try:
        with_f(runtime, fail, code)
        assert [one() for one in held] == [None] * 4
    finally:
        gc.enable()


def test_host_functions_inside_one_another_see_each_others_context(runtime: Runtime) -> None:
    user: ContextVar[str] = ContextVar("user", default="nobody")

    def nest(function: Callable[[], object] | None = None) -> object:
        if function is None:
            return user.get()
        user.set("someone")
        return function()

    code = "return openai.gather({ function() return f(function() return f() end) end, f })"
    assert with_f(runtime, nest, code) == ["someone", "nobody"]


def test_no_more_than_a_hundred_tasks_go_on_inside_one_another(runtime: Runtime) -> None:
    code = """
        local count, inside, most = 0, 0, 0
        local function down(left)
          count, inside = count + 1, inside + 1
          most = math.max(most, inside)
          if left > 1 then openai.spawn(down, left - 1) end
          inside = inside - 1
        end
        openai.spawn(down, 1000)
        openai.sleep(0)
        return count, most
    """
    assert runtime.run_string(CHATTING + code) == (1000, 100)


def test_tasks_may_begin_inside_one_another_a_hundred_thousand_deep() -> None:
    code = """
        local openai = require("openai")
        local left = 1e5
        local function down()
          left = left - 1
          if left > 0 then openai.spawn(down) end
        end
        down()
        while left > 0 do openai.sleep(0) end
        print("well")
    """
    done = subprocess.run([*RUN, "-e", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "well\n"), done.stderr


def test_a_debug_hook_may_call_the_host_too(runtime: Runtime) -> None:
    code = """
        local seen = 0
        debug.sethook(function() seen = seen + f({ "a line" }) end, "l")
        local sum = 0
        for n = 1, 20 do
          sum = sum + f({ n })
        end
        debug.sethook()
        return sum, seen > 20
    """
    assert with_f(runtime, lambda values: len(values), code) == (20, True)


@pytest.mark.timeout(20)
def test_tasks_that_wait_for_one_another_through_the_host_are_an_error(runtime: Runtime) -> None:
    code = """
        outer = openai.spawn(function()
          openai.sleep(0.001)
          f(function() openai.spawn(function() outer:wait() end):wait() end)
        end)
        outer:wait()
    """
    with pytest.raises(LuaError, match="every task waits for another one"):
        with_f(runtime, lambda function: function(), code)
    runtime.run_string("outer:cancel()")
    runtime.finish_tasks()
    eventually(lambda: not waiting_threads())


def test_a_call_async_that_waits_for_itself_is_an_error(runtime: Runtime) -> None:
    lua = runtime.run_string("return function(f) return f() end")
    with pytest.raises(LuaError, match="waits, in another thread, for what calls it here"):
        asyncio.run(runtime.call_async(lua, lambda: asyncio.run(runtime.call_async(lua, int))))


def test_a_chain_of_calls_holds_those_that_are_under_way_only() -> None:
    with Link("first"):
        inner = copy_context()
        assert is_inside("first")
    assert not is_inside("first")
    assert not inner.run(is_inside, "first"), "nor where a copy of the context has lasted"

    def go_on() -> int:
        with Link("second"):
            return len(_chain.get())

    assert inner.run(go_on) == 1


def test_the_threads_of_a_runtime_that_nobody_has_any_more_leave() -> None:
    runtime = Runtime(rocks=False)
    code = "require('openai').spawn(require('openai').sleep, 60) require('openai').spawn(...)"
    runtime.run_string(code, "code", lambda: None)
    assert waiting_threads()
    del runtime
    # A thread that is still at work has it for a moment longer.
    eventually(lambda: gc.collect() >= 0 and not waiting_threads())


def test_host_functions_see_the_context_that_the_call_was_made_in(runtime: Runtime) -> None:
    user: ContextVar[str] = ContextVar("user", default="nobody")
    user.set("someone")
    assert with_f(runtime, lambda _: user.get(), GATHER) == ["someone"] * 3
    in_loop = runtime.run_string("return function(f) return f() end")
    assert asyncio.run(runtime.call_async(in_loop, user.get)) == "someone"


# --- Under `luaopenai run` ---


def run(code: str, crowd: CrowdServer, *options: str) -> subprocess.CompletedProcess[str]:
    command = [*RUN, "--base-url", crowd.url, *options, "-e", CHATTING + code]
    environment = {**os.environ, "OPENAI_API_KEY": "k"}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)


def test_a_script_ends_when_its_tasks_have_ended(crowd: CrowdServer) -> None:
    done = run(
        """
        openai.spawn(function()
          print(chat("wait-100", "first"))
          openai.spawn(function() print(chat("wait-50", "second")) end)
        end)
        print("the last line")
        """,
        crowd,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "the last line\nfirst\nsecond\n", "")


def test_a_task_that_failed_unseen_fails_the_script_at_its_end(crowd: CrowdServer) -> None:
    done = run(
        """
        openai.spawn(function() openai.sleep(0.01) error("unseen") end)
        openai.spawn(function() openai.sleep(0.05) print("goes on") end)
        local seen = openai.spawn(function() error("seen") end)
        print(pcall(seen.wait, seen))
        """,
        crowd,
    )
    assert done.returncode == 1
    assert done.stdout.endswith("seen\ngoes on\n")
    assert done.stderr.startswith("luaopenai: (command line):")
    assert "unseen" in done.stderr.splitlines()[0]


@pytest.mark.parametrize("where", ["os.exit(5)", "openai.spawn(os.exit, 5)"])
def test_os_exit_cancels_the_tasks(crowd: CrowdServer, where: str) -> None:
    code = "openai.spawn(chat, 'wait-900000', 'a') chat('meet-2', 'b')"
    done = run(f"{code} {where} print('went on')", crowd)
    assert (done.returncode, done.stdout, done.stderr) == (5, "", "")
    eventually(lambda: crowd.count.lost == 1)


def test_ctrl_c_cancels_the_tasks(crowd: CrowdServer) -> None:
    code = CHATTING + "openai.spawn(chat, 'wait-900000', 'a') io.write('here') io.flush()"
    with child(
        [*RUN, "--base-url", crowd.url, "-e", code],
        env={**os.environ, "OPENAI_API_KEY": "k"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        eventually(lambda: crowd.count.now == 1)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=GENEROUS) == ("here", "")
        assert process.returncode == 130
    eventually(lambda: crowd.count.lost == 1)


def test_an_interrupt_in_a_python_program_ends_the_tasks(
    runtime: Runtime, crowd: CrowdServer
) -> None:
    def interrupt() -> None:
        eventually(lambda: crowd.count.now == 2)
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=interrupt)
    presser.start()
    code = "local function f() return chat('wait-900000', 'a') end openai.gather({ f, f })"
    with pytest.raises(KeyboardInterrupt):
        runtime.run_string(CHATTING + code)
    presser.join()
    eventually(lambda: crowd.count.lost == 2)
    eventually(lambda: not waiting_threads())


def test_finish_tasks_runs_what_a_program_s_script_has_spawned(runtime: Runtime) -> None:
    runtime.run_string(CHATTING + "openai.spawn(function() said = chat('wait-30', 'later') end)")
    assert runtime.run_string("return said") is None
    runtime.finish_tasks()
    assert runtime.run_string("return said") == "later"


# --- Runtime.call_async ---


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


async def ticking(work: Callable[[], Any]) -> tuple[Any, int]:
    """What awaited work comes to, and how often the loop got its turn meanwhile."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    ticker = asyncio.ensure_future(tick())
    result = await work()
    ticker.cancel()
    return result, ticks


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


# --- Plugin.call_async ---

PLUGIN = CHATTING + "return { chat = chat, add = function(a, b) return a + b, 'sum' end }"


@pytest.fixture(params=["process", "thread"])
def host(request: pytest.FixtureRequest, client: OpenAI) -> Iterator[PluginHost]:
    with PluginHost(client, isolation=request.param) as host:
        yield host


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


def test_cancelling_a_plugin_in_a_process_ends_it_wherever_it_is(client: OpenAI) -> None:
    # Without a limit on its seconds, nothing else would.
    with PluginHost(client, limits=Limits(seconds=None)) as host:
        plugin = host.load_string(
            "return { spin = function() while true do end end, one = function() return 1 end }"
        )

        async def main() -> Any:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(plugin.call_async("spin"), 0.2)
            return await plugin.call_async("one")

        assert asyncio.run(main()) == 1
