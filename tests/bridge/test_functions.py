"""Python's functions in Lua's tasks: side by side, inside one another, and cut short."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from pathlib import Path
from typing import Any

import pytest

from luaopenai import LuaError, OpenAI, Runtime
from luaopenai.bridge.chain import Link, _chain, is_inside
from support.crowd_server import CrowdServer
from support.tasks import CHATTING
from support.waiting import eventually, waiting_threads

RUN = [sys.executable, "-m", "luaopenai", "run"]


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
    runtime: Runtime, crowd_client: OpenAI, crowd: CrowdServer
) -> None:
    ended: list[str] = []

    def ask(wait: Callable[[], object] | None = None) -> None:
        try:
            if wait is None:
                crowd_client.new_chat_session(model="wait-9000").send("a")
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
