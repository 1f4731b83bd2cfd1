"""Code that models write, as a tool: what it answers, what it may call, how it is described."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache, partial
from typing import Any

import pytest

from luaopenai import Limits, OpenAI, PluginHost
from luaopenai.client.tool import Tool
from support.crowd_server import CrowdServer
from support.waiting import GENEROUS, eventually, soon

Make = Callable[..., Tool]


@pytest.fixture(scope="module")
def share() -> Iterator[Callable[[Any], Tool]]:
    """Finds the one code tool of an isolation: each new one starts processes of its own."""
    with ExitStack() as hosts:

        @cache
        def find(isolation: Any) -> Tool:
            return hosts.enter_context(PluginHost(isolation=isolation)).code_tool()

        yield find


@pytest.fixture
def plain(share: Callable[[Any], Tool], isolation: Any) -> Tool:
    """A code tool of either isolation without functions, which many tests call."""
    return share(isolation)


@pytest.fixture
def make(hosts: Callable[..., PluginHost]) -> Make:
    """Makes a code tool of a host of its own."""

    def make(*, functions: Any = None, limits: Limits | None = None, **options: Any) -> Tool:
        return hosts(functions=functions, limits=limits).code_tool(**options)

    return make


def run(tool: Tool, code: str) -> dict[str, Any]:
    answer: dict[str, Any] = tool.call({"code": code})
    assert list(answer) == ["result", "output", "error"]
    json.dumps(answer, allow_nan=False).encode()
    return answer


def result(tool: Tool, code: str) -> Any:
    answer = run(tool, code)
    assert answer["error"] is None
    return answer["result"]


def error(tool: Tool, code: str) -> str:
    answer = run(tool, code)
    assert answer["result"] is None
    text = answer["error"]
    assert isinstance(text, str)
    return text


# --- Results ---


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("1 + 1", 2),
        ("return 1 + 1", 2),
        ("local a = 2\nlocal b = 3\nreturn a * b", 6),
        ("'a', 2", ["a", 2]),
        ("nil, 2", [None, 2]),
        ("local a = 1", None),
        ("", None),
        ("-- nothing", None),
        ("1 -- a comment", 1),
        ("nil", None),
        ("{ 1, 2, { a = true } }", [1, 2, {"a": True}]),
        ("{ [1.5] = 'x', [3] = 'y' }", {"1.5": "x", "3": "y"}),
        ("{}", {}),
        ("'\\195\\188'", "ü"),
        ("'\\255a'", "\ufffda"),
        ("{ ['\\255'] = '\\255' }", {"\ufffd": "\ufffd"}),
        ("0 / 0, 1 / 0, -1 / 0, 0.5", ["nan", "inf", "-inf", 0.5]),
        ("'a\\0b'", "a\0b"),
        ("require('cjson').decode('[null]')", [None]),
        ("coroutine.wrap(function() return 7 end)()", 7),
        ("('').dump", None),
        ("getmetatable('')", None),
        ("local t = require('openai').spawn(function() return 5 end) return t:wait()", 5),
    ],
)
def test_a_call_answers_with_what_the_code_returns(plain: Tool, code: str, value: Any) -> None:
    assert result(plain, code) == value


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("return print", "result[1]: a function is no plain data"),
        ("{ coroutine.create(print) }", "a thread is no plain data"),
        ("{ 1, a = 2 }", "mixes list items and named fields"),
        ("{ [{}] = 1 }", "a key is a table"),
        ("local t = {} t.t = t return t", "nested too deeply; does the table contain itself?"),
        ("local t = {} for _ = 1, 1e5 do t = { t } end return t", "nested too deeply"),
        (
            "('x'):rep(16000)",
            "the result is too large: 16002 characters as JSON, at most 16000; return less of it",
        ),
        ("'x' .. ('\\\\'):rep(9000)", "the result is too large"),
    ],
)
def test_a_result_that_no_answer_can_have_is_an_error(plain: Tool, code: str, text: str) -> None:
    assert text in error(plain, code)


def test_a_result_may_come_to_what_the_host_says(make: Make) -> None:
    tool = make(answer_kb=0.1)
    assert result(tool, "('x'):rep(98)") == "x" * 98
    assert "at most 100;" in error(tool, "('x'):rep(99)")


def test_a_result_that_only_a_broken_worker_sends_is_an_error(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    tool = make()
    monkeypatch.setattr("luaopenai.host.plugin.Plugin.call", lambda *_: deep)
    assert error(tool, "1") == "the result is nested too deeply"


def test_a_result_that_would_fill_the_host_is_a_limit(make: Make) -> None:
    tool = make(limits=Limits(memory_mb=8))
    assert error(tool, "local t = {} for i = 1, 3e5 do t[i] = {} end return t") == (
        "stopped: memory_mb: the limit is 8"
    )


# --- Output ---


def test_what_the_code_prints_is_in_the_answer_and_goes_nowhere_else(hosts: Any) -> None:
    said: list[object] = []
    tool = hosts(output=lambda *args: said.append(args)).code_tool()
    assert run(tool, "print('a', 1) io.write('b') return 2") == {
        "result": 2,
        "output": "a\t1\nb",
        "error": None,
    }
    assert run(tool, "print('c') error('no')")["output"] == "c\n"
    assert run(tool, "1")["output"] == ""
    assert not said


def test_output_beyond_what_is_shown_is_counted(make: Make) -> None:
    tool = make(answer_kb=0.01)
    assert run(tool, "print('123456789')")["output"] == "123456789\n"
    assert run(tool, "print('1234567890')")["output"] == "1234567890… 1 characters more"
    assert (
        run(tool, "print('1234') print('56789abc')")["output"] == "1234\n56789… 4 characters more"
    )


def test_output_that_is_not_utf_8_is_shown_as_far_as_it_can_be(plain: Tool) -> None:
    assert run(plain, "io.write('a\\255b')")["output"] == "a\ufffdb"


def test_code_that_prints_for_ever_is_stopped_and_its_output_begins_the_answer(make: Make) -> None:
    tool = make(limits=Limits(output_kb=4), answer_kb=1)
    answer = run(tool, "while true do print('again') end")
    assert answer["error"] == "stopped: output_kb: the limit is 4"
    assert answer["output"].startswith("again\nagain\n")
    assert len(answer["output"]) < 1100


# --- Errors ---


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("local a\nlocal b = a.c", "line 2: attempt to index local 'a' (a nil value)"),
        ("1 +", "line 1: unexpected symbol near '1'"),
        ("local a = 1\nlocal b = = 2", "line 2: unexpected symbol near '='"),
        ("error('no')", "line 1: no"),
        ("\n\nerror('no', 0)", "line 3: no"),
        ("\nerror({ code = 7 })", "line 2: {code = 7}"),
        ("error()", "line 1: nil"),
        ("local function f()\nerror('deep')\nend\nf()", "line 2: deep"),
        ("assert(nil, 'asserted')", "line 1: asserted"),
        ("coroutine.wrap(function()\nerror('inside')\nend)()", "line 2: inside"),
        ("local function f() return f() + 1 end f()", "line 1: stack overflow"),
        ("\x1bLJ", "attempt to load chunk with wrong mode"),
        ("load('x x', '=other')() ", "line 1: attempt to call a nil value"),
        ("assert(load('error(1)', '=other'))()", "other:1: 1"),
        ("ffi.cdef('')", "line 1: attempt to index global 'ffi' (a nil value)"),
        ("require('ffi')", "line 1: module 'ffi' is not for plugins"),
        ("goto nowhere", "line 1: undefined label 'nowhere'"),
    ],
)
def test_an_error_carries_the_line(plain: Tool, code: str, text: str) -> None:
    assert error(plain, code) == text


def test_the_text_of_an_error_is_shown_as_far_as_a_model_needs_it(plain: Tool) -> None:
    text = error(plain, "error(('x'):rep(1e6))")
    assert text == "line 1: " + "x" * 1992 + "…"


def test_an_error_that_sounds_like_one_of_the_plugins_is_no_longer_than_others(plain: Tool) -> None:
    text = error(plain, 'error("plugin run_lua " .. ("é"):rep(10000), 0)')
    assert text == f"the code {'é' * 1991}…"


def test_code_of_odd_characters_is_an_error_of_lua(plain: Tool) -> None:
    assert "line 1: unexpected symbol" in error(plain, "\ud800")


@pytest.mark.parametrize("arguments", [{}, {"code": 1}, {"code": None}, {"code": "1", "more": 1}])
def test_arguments_that_are_no_code_are_refused(plain: Tool, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"code|more"):
        plain.call(arguments)


# --- The host's functions ---


def test_code_calls_the_hosts_functions(make: Make) -> None:
    def boom() -> None:
        raise KeyError("no such thing")

    tool = make(functions={"double": lambda n: 2 * n, "boom": boom})
    assert result(tool, "host.double(21)") == 42
    assert error(tool, "\nhost.boom()") == "line 2: host.boom: KeyError: 'no such thing'"
    assert result(tool, "(pcall(host.boom))") is False


def test_functions_of_several_tasks_run_side_by_side(make: Make) -> None:
    both = threading.Barrier(2)
    tool = make(functions={"meet": lambda: both.wait(GENEROUS) >= 0})
    code = "return require('openai').gather({ host.meet, host.meet })"
    assert result(tool, code) == [True, True]


def test_a_host_function_may_run_code_but_not_in_the_state_that_calls_it(hosts: Any) -> None:
    tools: list[Tool] = []

    def nested() -> Any:
        return tools[0].call({"code": "20 + 2"})

    host = hosts(functions={"nested": nested})
    tools.append(host.code_tool())
    assert result(tools[0], "host.nested().result") == 22
    tools[0] = host.code_tool(keep=True)
    assert result(tools[0], "host.nested().error") == "the code is in this call already"


# --- Limits, and workers that die ---


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("while true do end", "seconds: the limit is 0.3"),
        ("while true do pcall(function() while true do end end) end", "seconds: the limit is 0.3"),
        ("local t = {} while true do t[#t + 1] = {} end", "memory_mb: the limit is 8"),
        ("local s = 'x' while true do s = s .. s end", "memory_mb: the limit is 8"),
        ("('x'):rep(1e9)", "memory_mb: the limit is 8"),
        ("require('openai').sleep(60)", "seconds: the limit is 0.3"),
    ],
)
@pytest.mark.parametrize("keep", [False, True])
def test_a_limit_is_the_answer_and_the_next_call_works(
    make: Make, code: str, text: str, keep: bool
) -> None:
    tool = make(limits=Limits(seconds=0.3, memory_mb=8), keep=keep)
    assert error(tool, code).startswith(f"stopped: {text}")
    assert result(tool, "1 + 1") == 2


def test_requests_and_tokens_are_those_of_each_call(
    hosts: Any, crowd_client: OpenAI, crowd: CrowdServer
) -> None:
    tool = hosts(crowd_client, limits=Limits(requests=1)).code_tool()
    chat = "require('openai').new():new_chat_session({ model = 'wait-1' }):send('hello')"
    assert result(tool, f"({chat})") == "hello"
    assert error(tool, f"local a = {chat} return {chat}") == "stopped: requests: the limit is 1"
    assert result(tool, f"({chat})") == "hello"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="ends a process by its number")
def test_a_worker_in_reserve_that_dies_as_its_call_begins_is_replaced() -> None:
    with PluginHost() as host:
        tool = host.code_tool()
        code_tool = tool.function.__self__  # type: ignore[attr-defined]
        state = code_tool._spares[0]
        pid = state.isolated._worker.pid
        os.kill(pid, signal.SIGSTOP)
        with ThreadPoolExecutor(1) as pool:
            called = pool.submit(run, tool, "1 + 1")
            eventually(state.calling.locked)
            os.kill(pid, signal.SIGKILL)
            assert called.result(timeout=30)["result"] == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="ends a process by its number")
@pytest.mark.parametrize("keep", [False, True])
def test_a_worker_that_dies_is_the_answer_and_the_next_call_works(keep: bool) -> None:
    tools: list[Tool] = []
    killed: list[Any] = []

    def die() -> None:
        (code_tool,) = {tools[0].function.__self__}  # type: ignore[attr-defined]
        for plugin in list(code_tool._plugins):
            worker = plugin._isolated._worker
            if worker is not None:
                os.kill(worker.pid, 9)
                killed.append(worker)

    with PluginHost(functions={"die": die}) as host:
        tools.append(host.code_tool(keep=keep))
        for _ in range(3):
            lost = "; what earlier calls had kept is gone" if keep else ""
            run(tools[0], "x = 1")
            assert error(tools[0], "host.die()") == (
                f"the code has lost its process: it was ended by SIGKILL{lost}"
            )
            # Those in reserve too: one that is ending might take the next call with it.
            eventually(lambda: not any(worker.is_alive() for worker in killed))
            assert result(tools[0], "x") is None


@pytest.mark.parametrize("keep", [False, True])
def test_a_system_without_processes_is_the_answer(
    monkeypatch: pytest.MonkeyPatch, keep: bool
) -> None:
    def refuse() -> None:
        raise OSError(11, "Resource temporarily unavailable")

    with PluginHost() as host, monkeypatch.context() as patch:
        patch.setattr("luaopenai.host.process.WorkerProcess", refuse)
        tool = host.code_tool(keep=keep)
        text = "the code can have no process: Resource temporarily unavailable"
        assert error(tool, "1") == text
        patch.undo()
        assert result(tool, "1") == 1


# --- Several at once ---


@pytest.mark.parametrize("keep", [False, True])
def test_calls_from_many_threads_get_each_their_own_answer(make: Make, keep: bool) -> None:
    tool = make(functions={"name": lambda n: f"<{n}>"}, limits=Limits(seconds=20), keep=keep)

    def call(number: int) -> dict[str, Any]:
        return run(tool, f"print({number}) n = host.name({number}) return n")

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(call, range(24)))
    assert answers == [{"result": f"<{n}>", "output": f"{n}\n", "error": None} for n in range(24)]


def test_calls_run_side_by_side(make: Make) -> None:
    both = threading.Barrier(2)
    tool = make(functions={"meet": lambda: both.wait(GENEROUS) >= 0})
    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(partial(result, tool), ["host.meet()"] * 2)) == [True, True]


def test_calls_that_are_awaited_run_side_by_side(make: Make) -> None:
    both = threading.Barrier(2)
    tool = make(functions={"meet": lambda: both.wait(GENEROUS) >= 0})

    async def main() -> Any:
        calls = [tool.call_async({"code": "host.meet()"}) for _ in range(2)]
        return await asyncio.gather(*calls)

    assert [answer["result"] for answer in asyncio.run(main())] == [True, True]


def test_a_call_that_is_cancelled_ends_and_the_next_works() -> None:
    begun = threading.Event()
    with PluginHost(functions={"begin": begun.set}, limits=Limits(seconds=2 * GENEROUS)) as host:
        tool = host.code_tool()

        async def main() -> Any:
            code = "host.begin() while true do end"
            call = asyncio.ensure_future(tool.call_async({"code": code}))
            await soon(begun.is_set)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            return await tool.call_async({"code": "1 + 1"})

        assert asyncio.run(main())["result"] == 2


# --- Kept state ---


def test_with_keep_globals_last_from_call_to_call(make: Make) -> None:
    tool = make(keep=True)
    assert result(tool, "function twice(n) return 2 * n end x = 5") is None
    assert "no" in error(tool, "error('no')")
    assert result(tool, "twice(x)") == 10


def test_what_was_kept_and_is_lost_is_told_once(make: Make) -> None:
    tool = make(keep=True, limits=Limits(memory_mb=4))
    run(tool, "x = 5")
    text = error(tool, "x = {} for i = 1, 1e7 do x[i] = { i } end")
    assert text == "stopped: memory_mb: the limit is 4; what earlier calls had kept is gone"
    assert result(tool, "x") is None
    assert error(tool, "error('no')") == "line 1: no"


def test_two_tools_share_nothing(hosts: Any) -> None:
    host = hosts()
    one, other = host.code_tool("one", keep=True), host.code_tool("other", keep=True)
    run(one, "x = 1")
    assert result(other, "x") is None
    assert result(one, "x") == 1


# --- The end ---


@pytest.mark.parametrize("keep", [False, True])
def test_a_closed_host_answers_that_it_is_closed(hosts: Any, keep: bool) -> None:
    host = hosts()
    tool = host.code_tool(keep=keep)
    run(tool, "1")
    host.close()
    assert error(tool, "1") == "the code is closed"


@pytest.mark.parametrize("keep", [False, True])
def test_closing_the_host_ends_code_that_runs_in_a_process(keep: bool) -> None:
    begun = threading.Event()
    with PluginHost(functions={"begin": begun.set}, limits=Limits(seconds=GENEROUS)) as host:
        tool = host.code_tool(keep=keep)
        with ThreadPoolExecutor(1) as threads:
            answer = threads.submit(error, tool, "host.begin() while true do end")
            assert begun.wait(GENEROUS)
            host.close()
            assert answer.result(GENEROUS) == "the code is closed"


# --- What a model is told ---


def lookup(title: str, limit: int = 3, *rest: str, loud: bool = False) -> dict[str, int]:
    """Looks a title up.

    Not told.
    """
    return {}


LIMIT = object()


class Secret:
    """A client with a key."""

    def __call__(self, name, key="sk-" + "x" * 60, client=LIMIT):  # type: ignore[no-untyped-def]
        return name


def description(**options: Any) -> tuple[str, str]:
    with PluginHost(isolation="thread", **options) as host:
        tool = host.code_tool()
    assert tool.description is not None
    assert tool.parameters is not None
    return tool.description, tool.parameters["properties"]["code"]["description"]


def test_a_model_is_told_of_the_hosts_functions() -> None:
    functions = {
        "lookup": lookup,
        "max": max,
        "part": partial(lookup, "x"),
        "secret": Secret(),
        "short": lambda a, b=None: a,
    }
    about, _ = description(functions=functions)
    assert about.splitlines()[1:] == [
        "The code can call these functions, with arguments by position:",
        "host.lookup(title: str, limit: int = 3, ...) -> dict[str, int]: Looks a title up.",
        "host.max(...): " + (max.__doc__ or "").strip().splitlines()[0],
        "host.part(limit: int = 3, ...) -> dict[str, int]: Looks a title up.",
        "host.secret(name, key=..., client=...)",
        "host.short(a, b=None)",
    ]


def test_a_model_is_told_of_limits_and_of_what_lasts() -> None:
    about, _ = description(limits=Limits(seconds=1.5, memory_mb=32))
    assert "A call may take 1.5 seconds and 32 MB of memory." in about
    assert "Each call begins anew" in about
    assert "openai" not in about
    about, _ = description(limits=Limits(seconds=None, memory_mb=None), client=OpenAI("key"))
    assert "A call may take" not in about
    assert 'require("openai")' in about
    with PluginHost(isolation="thread") as host:
        assert "Globals last" in (host.code_tool(keep=True).description or "")


def test_many_functions_are_told_of_where_the_api_has_room_for_them() -> None:
    functions = {f"function_{number}": lookup for number in range(30)}
    about, code = description(functions=functions)
    assert len(about) <= 1024
    assert "host." not in about
    assert code.count("\nhost.function_") == 30


def test_the_first_line_of_a_docstring_is_cut_where_it_is_long() -> None:
    def told() -> None:
        pass

    told.__doc__ = "x" * 300
    about, _ = description(functions={"told": told})
    assert about.endswith("host.told() -> None: " + "x" * 200 + "…")


def test_a_tool_has_the_hosts_words_and_name(hosts: Any) -> None:
    tool = hosts().code_tool("calculate", description="Calculates.", strict=True)
    function = tool.definition["function"]
    assert function["name"] == "calculate"
    assert function["description"] == "Calculates."
    assert function["strict"] is True
    assert function["parameters"]["required"] == ["code"]
    assert function["parameters"]["additionalProperties"] is False


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "ü"])
def test_a_name_that_the_api_does_not_take_is_refused(hosts: Any, name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        hosts().code_tool(name)


@pytest.mark.parametrize("size", [0, -1, float("nan"), "16", True])
def test_the_size_of_an_answer_is_a_number_above_zero(hosts: Any, size: Any) -> None:
    with pytest.raises(ValueError, match="answer_kb"):
        hosts().code_tool(answer_kb=size)
