"""Code that models write leaves nothing behind: neither for the next call, nor in the host."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache
from typing import Any

import pytest

from luaopenai import Limits, OpenAI, PluginHost
from luaopenai.host import engine
from support.crowd_server import CrowdServer
from support.leaks import HAS_PROC, children, descriptors
from support.waiting import GENEROUS, eventually

pytestmark = pytest.mark.skipif(not HAS_PROC, reason="counts by /proc")

LIMITS = Limits(seconds=1, memory_mb=8, output_kb=4)

# What one call does, and what the next would see of it.
TRACES = {
    "a global": ("x = 1", "x", None),
    "a field of _G": ("rawset(_G, 'x', 1)", "rawget(_G, 'x')", None),
    "the metatable of _G": ("setmetatable(_G, { __index = function() return 1 end })", "x", None),
    "a library": ("string.upper = function() return 'mine' end", "string.upper('a')", "A"),
    "a field of a library": ("string.mine = 1", "string.mine", None),
    "the methods of strings": (
        "pcall(function() getmetatable('').__index.mine = 1 end) string.mine = 1",
        "(pcall(function() return ('').mine() end))",
        False,
    ),
    "the index of strings": (
        "local m = ('').gsub m = nil rawset(string, 'len', function() return -1 end)",
        "('abc'):len()",
        3,
    ),
    "a module": (
        "require('cjson').encode = function() return 'mine' end",
        "require('cjson').encode({1})",
        "[1]",
    ),
    "a module's setting": (
        "require('cjson').encode_number_precision(3)",
        "require('cjson').encode({ 1.23456 })",
        "[1.23456]",
    ),
    "a module's null": (
        "local m = getmetatable(require('cjson').array_mt) require('cjson').array_mt.mine = 1",
        "require('cjson').array_mt.mine",
        None,
    ),
    "a class": (
        "require('openai').OpenAI.__base.mine = 1 require('openai').mine = 1",
        "require('openai').mine or require('openai').OpenAI.__base.mine",
        None,
    ),
    "package.loaded": (
        "pcall(require, 'mine') package = { loaded = { mine = 1 } }",
        "package",
        None,
    ),
    "require itself": ("require = function() return 1 end", "type(require('cjson'))", "table"),
    "the random numbers": (
        "math.randomseed(1) for _ = 1, 10 do math.random() end",
        "math.random()",
        "fresh",
    ),
    "a function's upvalue": (
        "local n = 0 function count() n = n + 1 return n end count()",
        "count and count()",
        None,
    ),
    "a host function's place": ("host.name = function() return 'mine' end", "host.name()", "host"),
    "a new host function": ("host.mine = print", "host.mine", None),
    "a task that goes on": (
        "require('openai').spawn(function() require('openai').sleep(0.01) x = 1 end)",
        "require('openai').sleep(0.05) return x",
        None,
    ),
    "a coroutine": ("co = coroutine.create(function() coroutine.yield() end)", "co", None),
    "an error in the midst": ("x = 1 error('no')", "x", None),
    "a limit in the midst": ("x = 1 while true do end", "x", None),
    "a full memory": ("x = {} for i = 1, 1e7 do x[i] = { i } end", "x", None),
    "a full output": ("x = 1 while true do print('x') end", "x", None),
    "output without a line's end": ("io.write('half')", "1", 1),
    "a handler of errors": (
        "xpcall(function() error({}) end, function(e) x = e return e end)",
        "debug.traceback() ~= nil and x",
        None,
    ),
    "many nested calls": (
        "local function f(n) if n > 0 then "
        "return ('a'):gsub('a', function() return f(n - 1) end) end end "
        "pcall(f, 100) error('no')",
        "(('a'):gsub('a', function() return 'b' end))",
        "b",
    ),
}


class Shared:
    """A code tool for many tests, because each new one starts processes of its own.

    Attributes:
        host: the tool's.
        tool: the tool.
        is_held: whether a call waits, as ``host.wait()`` does.
        go_on: ends that.
    """

    def __init__(self, isolation: Any) -> None:
        self.is_held, self.go_on = threading.Event(), threading.Event()
        functions = {"name": lambda: "host", "wait": self.wait}
        self.host = PluginHost(isolation=isolation, functions=functions, limits=LIMITS)
        self.tool = self.host.code_tool()

    def wait(self) -> None:
        self.is_held.set()
        assert self.go_on.wait(GENEROUS)


@pytest.fixture(scope="module")
def share() -> Iterator[Callable[[Any], Shared]]:
    """Finds the one tool of an isolation."""
    with ExitStack() as hosts:

        @cache
        def find(isolation: Any) -> Shared:
            made = Shared(isolation)
            hosts.callback(made.host.close)
            return made

        yield find


@pytest.fixture
def shared(share: Callable[[Any], Shared], isolation: Any) -> Shared:
    """A code tool of either isolation."""
    found = share(isolation)
    found.is_held.clear()
    found.go_on.clear()
    return found


@pytest.mark.parametrize("trace", TRACES)
def test_a_call_sees_nothing_of_the_one_before(shared: Shared, trace: str) -> None:
    deed, look, expected = TRACES[trace]
    tool = shared.tool
    fresh = tool.call({"code": look})
    tool.call({"code": deed})
    seen = tool.call({"code": look})
    assert seen == fresh
    assert seen["error"] is None
    assert seen["output"] == ""
    if expected != "fresh":
        assert seen["result"] == expected


@pytest.mark.parametrize("trace", TRACES)
def test_a_call_sees_nothing_of_one_beside_it(shared: Shared, trace: str) -> None:
    deed, look, _ = TRACES[trace]
    tool = shared.tool
    fresh = tool.call({"code": look})
    with ThreadPoolExecutor(1) as threads:
        code = f"pcall(function() {deed} end) host.wait()"
        beside = threads.submit(tool.call, {"code": code})
        try:
            eventually(lambda: shared.is_held.is_set() or beside.done())
            assert tool.call({"code": look}) == fresh
        finally:
            shared.go_on.set()
        beside.result(GENEROUS)


def test_a_stream_that_one_call_leaves_open_is_closed_and_no_other_can_read_it(
    hosts: Callable[..., PluginHost], crowd_client: OpenAI, crowd: CrowdServer
) -> None:
    tool = hosts(crowd_client, limits=LIMITS).code_tool()
    code = """
local chat = require("openai").new():new_chat_session({ model = "drip-1000-5" })
chat:send("hello", { stream_callback = function() error("enough") end })
"""
    assert "enough" in tool.call({"code": code})["error"]
    eventually(lambda: crowd.count.now == 0)
    assert tool.call({"code": "1"})["result"] == 1


def test_a_process_runs_the_code_of_one_call_only() -> None:
    with PluginHost() as host:
        tool = host.code_tool()
        code_tool = tool.function.__self__  # type: ignore[attr-defined]
        used = []
        for _ in range(4):
            used.append(code_tool._spares[0].isolated._worker.pid)
            assert tool.call({"code": "x"})["result"] is None
        assert len(set(used)) == 4


# --- What the host keeps ---


@pytest.mark.parametrize("keep", [False, True])
def test_many_calls_leave_neither_processes_nor_descriptors(keep: bool) -> None:
    gc.collect()
    files, processes = descriptors(), children()
    codes = ["1", "error('no')", "while true do end", "('x'):rep(1e9)", "x x", "print(1)"]
    limits = Limits(seconds=0.1, memory_mb=8)
    with PluginHost(limits=limits) as host:
        tool = host.code_tool(keep=keep)
        for number in range(30):
            tool.call({"code": codes[number % len(codes)]})
            assert len(children() - processes) <= 2
    assert descriptors() <= files
    assert children() <= processes


def test_many_calls_at_once_leave_two_processes_in_reserve() -> None:
    gc.collect()
    files, processes = descriptors(), children()
    with PluginHost(limits=Limits(seconds=GENEROUS)) as host:
        tool = host.code_tool()
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(tool.call, [{"code": "1"}] * 24))
        assert len(children() - processes) == 2
    assert descriptors() <= files
    assert children() <= processes


def test_calls_that_come_seldom_have_one_process_in_reserve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("luaopenai.host.code.BUSY_SECONDS", 0)
    processes = children()
    with PluginHost() as host:
        tool = host.code_tool()
        assert len(children() - processes) == 1
        for _ in range(3):
            tool.call({"code": "1"})
            assert len(children() - processes) == 1


def test_states_of_this_process_share_what_is_compiled() -> None:
    with PluginHost(isolation="thread") as host:
        tool = host.code_tool()
        tool.call({"code": "1"})
        known = dict(engine._compiled)
        assert len(known) > 10
        assert tool.call({"code": "require('tableshape').types.number(1)"})["result"] is True
        assert engine._compiled == known


def test_a_tool_that_nobody_holds_leaves_nothing_open() -> None:
    gc.collect()
    files, processes = descriptors(), children()
    with PluginHost() as host:
        for keep in (False, True):
            tool = host.code_tool(keep=keep)
            assert tool.call({"code": "1"})["result"] == 1
            del tool
        gc.collect()
        assert descriptors() <= files
        assert children() <= processes


def test_a_host_that_is_dropped_leaves_no_reserve() -> None:
    gc.collect()
    files, processes = descriptors(), children()
    PluginHost().code_tool().call({"code": "1"})
    gc.collect()
    assert descriptors() <= files
    assert children() <= processes


def test_a_tool_is_closed_while_many_call_it() -> None:
    gc.collect()
    files, processes = descriptors(), children()
    with PluginHost(limits=Limits(seconds=GENEROUS)) as host:
        tool = host.code_tool()
        begun = threading.Barrier(5)

        def call(_: int) -> list[object]:
            begun.wait(GENEROUS)
            return [tool.call({"code": "1"})["error"] for _ in range(20)]

        with ThreadPoolExecutor(4) as threads:
            answers = threads.map(call, range(4))
            begun.wait(GENEROUS)
            host.close()
            errors = {error for found in answers for error in found}
    assert errors <= {None, "the code is closed"}
    assert "the code is closed" in errors
    assert descriptors() <= files
    assert children() <= processes


def test_a_reserve_that_has_died_is_replaced() -> None:
    with PluginHost() as host:
        tool = host.code_tool()
        assert tool.call({"code": "1"})["result"] == 1
        worker = tool.function.__self__._spares[0].isolated._worker  # type: ignore[attr-defined]
        os.kill(worker.pid, 9)
        eventually(lambda: not worker.is_alive())
        assert tool.call({"code": "2"})["result"] == 2


@pytest.mark.parametrize("keep", [False, True])
def test_a_forked_child_runs_code_in_processes_of_its_own(isolation: Any, keep: bool) -> None:
    with PluginHost(isolation=isolation) as host:
        tool = host.code_tool(keep=keep)
        assert tool.call({"code": "1"})["result"] == 1
        pid = os.fork()
        if pid == 0:
            signal.alarm(int(GENEROUS))
            ok = tool.call({"code": "2"})["result"] == 2
            host.close()
            os._exit(0 if ok else 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert tool.call({"code": "3"})["result"] == 3


def test_a_fork_while_another_thread_takes_a_state_leaves_the_child_free_to_call(
    isolation: Any,
) -> None:
    with PluginHost(isolation=isolation) as host:
        tool = host.code_tool()
        with tool.function.__self__._lock:  # type: ignore[attr-defined]
            pid = os.fork()
            if pid == 0:
                signal.alarm(int(GENEROUS))
                os._exit(0 if tool.call({"code": "2"})["result"] == 2 else 1)
            assert os.waitpid(pid, 0)[1] == 0


def test_a_fork_during_a_call_leaves_the_child_free_to_call(isolation: Any) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        assert go_on.wait(GENEROUS)

    with PluginHost(isolation=isolation, functions={"wait": wait}) as host:
        tool = host.code_tool(keep=True)
        with ThreadPoolExecutor(1) as threads:
            call = threads.submit(tool.call, {"code": "host.wait() return 1"})
            try:
                assert begun.wait(GENEROUS)
                pid = os.fork()
                if pid == 0:
                    signal.alarm(int(GENEROUS))
                    os._exit(0 if tool.call({"code": "2"})["result"] == 2 else 1)
                assert os.waitpid(pid, 0)[1] == 0
            finally:
                go_on.set()
            assert call.result(GENEROUS)["result"] == 1
