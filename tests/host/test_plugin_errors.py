"""What a host learns of a plugin that fails: where, why, and with what."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from luaopenai import LimitExceeded, Limits, LuaError, OpenAI, Plugin, PluginHost

Fail = Callable[..., LuaError]


@pytest.fixture
def fail(hosts: Callable[..., PluginHost]) -> Fail:
    """Calls ``run`` of a plugin, and returns the error that this raises."""

    def fail(code: str, **options: Any) -> LuaError:
        return failure(hosts(**options).load_string(code, "notes"))

    return fail


def failure(plugin: Plugin) -> LuaError:
    with pytest.raises(LuaError) as caught:
        plugin.call("run")
    return caught.value


# Each fails in line 5.
PLACES = {
    "an error": """return { run = function()
        local x = 1


        error("no luck")
        end }""",
    "an error that was made elsewhere": """
        return { run = function()
        local ok, message = pcall(error, "no luck", 0)

        error(message, 0)
        end }""",
    "a call at the end of a function": """

        return {
        run = function()
          return error("no luck", 0)
        end }""",
    "a builtin": """


        return { run = function()
          return 1, ("x"):rep({})
        end }""",
    "a module of ours": """
        local client = require("openai").new()
        return { run = function()

          local status = client:chat("no luck")
        end }""",
    "a host function": """


        return { run = function()
          local x = host.fail()
        end }""",
    "a host function, called at the end": """
        local x = 1
        return {
        run = function()
          return host.fail()
        end }""",
    "a result that cannot cross, by the function": """



        return { run = function() return print end }""",
    "a stack that is full, by the function": """



        local function f() local x = f() return x end
        return { run = f }""",
    "a sort": """
        return { run = function()
          table.sort({ 1, 2, 3 }, function()

            error("no luck")
          end)
        end }""",
    "a coroutine": """
        return { run = function()
          local f = coroutine.wrap(function()

            error("no luck")
          end)
          f()
        end }""",
    "a task": """local openai = require("openai")
        return { run = function()
          local task = openai.spawn(function()
            openai.sleep(0)
            error("no luck")
          end)
          task:wait()
        end }""",
    "a task that nobody waits for": """local openai = require("openai")
        return { run = function()
          openai.spawn(function()
            openai.sleep(0)
            error({})
          end)
        end }""",
    "a task that ends with a call": """local openai = require("openai")
        return { run = function()
          openai.gather({ function()

            return error("no luck", 0)
          end })
        end }""",
}


@pytest.mark.parametrize("place", PLACES)
def test_an_error_names_the_line_of_the_plugin(fail: Fail, place: str) -> None:
    def function() -> None:
        raise ValueError("no luck")

    error = fail(PLACES[place], functions={"fail": function})
    assert (error.plugin, error.chunk, error.line) == ("notes", "notes", 5)


def test_a_chat_that_fails_in_assert_names_the_line(
    fail: Fail, connect: Callable[..., OpenAI], refusing_url: str
) -> None:
    code = """return { run = function()
        local chat = require("openai").new():new_chat_session()
        return assert(chat:send("Hi"))
        end }"""
    error = fail(code, client=connect(refusing_url))
    assert (error.message, error.line) == ("the host cannot reach its server", 3)
    assert error.traceback == "stack traceback:\n\tnotes:3: in function <notes:1>"
    assert type(error.__cause__).__name__ == "APIConnectionError"


def test_an_error_in_a_streams_callback_names_its_line(
    fail: Fail, httpserver: HTTPServer, client: OpenAI
) -> None:
    event = {
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": {"content": "a"}}],
    }
    body = f"data: {json.dumps(event)}\n\n"
    httpserver.expect_request("/v1/chat/completions").respond_with_handler(
        lambda _: Response(body, content_type="text/event-stream")
    )
    code = """return { run = function()
        local chat = require("openai").new():new_chat_session()
        chat:send("Hi", function(chunk)
          error(chunk.content)
        end)
        end }"""
    error = fail(code, client=client)
    assert (error.message, error.line) == ("notes:4: a", 4)


@pytest.mark.parametrize("code", ["local x = 1\nlocal y = = 2\n", "\nerror('at once')"])
def test_a_file_that_cannot_be_loaded_is_named_with_its_line(hosts: Any, code: str) -> None:
    with pytest.raises(LuaError) as caught:
        hosts().load_string(code, "notes")
    assert (caught.value.plugin, caught.value.chunk, caught.value.line) == ("notes", "notes", 2)


def test_a_module_that_is_not_lua_is_named_with_its_line(hosts: Any, tmp_path: Path) -> None:
    (tmp_path / "helper.lua").write_text("\n\nlocal = 1\n")
    (tmp_path / "notes.lua").write_text("return { run = function() require('helper') end }")
    error = failure(hosts(modules=True).load(tmp_path / "notes.lua"))
    assert (error.plugin, error.chunk, error.line) == ("notes", "helper", 3)


def test_the_text_of_an_error_names_the_plugin_and_its_message_does_not(fail: Fail) -> None:
    error = fail("return { run = function() error('no luck', 0) end }")
    assert str(error) == "plugin notes: no luck"
    assert error.message == "no luck"


def test_a_traceback_reads_as_if_our_files_were_written_in_c(fail: Fail) -> None:
    code = """
        local function inner()
          host.fail()
        end
        return { run = function()
          table.sort({ 1, 2 }, function() inner() end)
        end }"""
    error = fail(code, functions={"fail": lambda: 1 / 0})
    assert error.traceback.split("\n\t") == [
        "stack traceback:",
        "[C]: in function 'fail'",
        "notes:3: in function 'inner'",
        "notes:6: in function <notes:6>",
        "[C]: in function 'sort'",
        "notes:6: in function <notes:5>",
    ]


def test_the_traceback_of_a_deep_stack_shows_its_two_ends(fail: Fail) -> None:
    code = """
        local function f(n) if n == 0 then error("deep") end local x = f(n - 1) return x end
        return { run = function() local x = f(5000) end }"""
    lines = fail(code).traceback.split("\n\t")
    assert lines[1:3] == ["[C]: in function 'error'", "notes:2: in function 'f'"]
    assert lines[13] == "..."
    assert lines[-2:] == ["notes:2: in function 'f'", "notes:3: in function <notes:3>"]
    assert len(lines) == 24


def test_a_plugins_own_traceback_shows_none_of_our_files(hosts: Any) -> None:
    code = """return { run = function()
        local function fail() host.fail() end
        return debug.traceback("here"), select(2, xpcall(fail, debug.traceback))
        end }"""
    plugin = hosts(functions={"fail": lambda: 1 / 0}).load_string(code, "notes")
    for text in plugin.call("run"):
        assert "\n\tnotes:" in text
        assert "openai" not in text


# --- Causes ---


class TroubleError(Exception):
    pass


TROUBLE = TroubleError("it broke")


def raise_trouble() -> None:
    raise TROUBLE


@pytest.mark.parametrize(
    "code",
    [
        "host.fail()",
        "return host.fail()",
        "local ok, message = pcall(host.fail) error(message, 0)",
        "local ok, message = pcall(host.fail) error('on the way: ' .. message)",
        "assert(pcall(host.fail))",
        "coroutine.wrap(host.fail)()",
        "require('openai').spawn(function() host.fail() end)",
        "require('openai').gather({ host.fail })",
    ],
)
def test_the_cause_is_the_exception_of_the_hosts_function(fail: Fail, code: str) -> None:
    error = fail(f"return {{ run = function() {code} end }}", functions={"fail": raise_trouble})
    assert error.message.endswith("host.fail: TroubleError: it broke")
    assert error.__cause__ is TROUBLE


def test_an_exception_that_the_plugin_caught_is_no_cause_of_another_error(fail: Fail) -> None:
    code = "return { run = function() pcall(host.fail) error('something else') end }"
    assert fail(code, functions={"fail": raise_trouble}).__cause__ is None


def test_an_exception_is_no_cause_in_later_calls(hosts: Any) -> None:
    code = """return {
        catch = function() return select(2, pcall(host.fail)) end,
        run = function() error("host.fail: TroubleError: it broke", 0) end,
    }"""
    plugin = hosts(functions={"fail": raise_trouble}).load_string(code)
    assert plugin.call("catch") == "host.fail: TroubleError: it broke"
    assert failure(plugin).__cause__ is None


def test_a_file_that_fails_by_a_hosts_function_has_its_exception_as_cause(hosts: Any) -> None:
    with pytest.raises(LuaError) as caught:
        hosts(functions={"fail": raise_trouble}).load_string("host.fail()")
    assert caught.value.__cause__ is TROUBLE


def test_causes_lead_through_several_plugins(hosts: Any) -> None:
    inner = hosts(functions={"fail": raise_trouble}).load_string(
        "return { run = function() host.fail() end }", "inner"
    )
    outer = hosts(functions={"inner": lambda: inner.call("run")}).load_string(
        "return { run = function() host.inner() end }", "outer"
    )
    error = failure(outer)
    assert isinstance(error.__cause__, LuaError)
    assert (error.plugin, error.__cause__.plugin) == ("outer", "inner")
    assert error.__cause__.__cause__ is TROUBLE


# --- Values ---


@pytest.mark.parametrize(
    ("raised", "value"),
    [
        ("{ code = 7 }", {"code": 7}),
        ("{ list = { 1, 'two', { 3 } } }", {"list": [1, "two", [3]]}),
        ("{ 1, 2 }", [1, 2]),
        (r"{ bytes = '\255' }", {"bytes": b"\xff"}),
        ("{ [5] = require('cjson').null }", {5: None}),
        ("12, 0", 12),
        ("false", False),
        ("'text', 0", None),
        ("nil", None),
        ("{ f = print }", None),
        ("setmetatable({ 1 }, { __index = error, __pairs = error })", [1]),
        ("(function() local t = {} t.t = t return t end)()", None),
        ("{ ('x'):rep(1e6) }", None),
    ],
)
def test_an_error_value_that_is_plain_data_reaches_python(
    fail: Fail, raised: str, value: Any
) -> None:
    error = fail(f"return {{ run = function() error({raised}) end }}")
    assert (error.value, type(error.value)) == (value, type(value))
    assert error.message


def test_the_message_of_a_table_shows_its_fields(fail: Fail) -> None:
    assert fail("return { run = function() error({ code = 7 }) end }").message == "{code = 7}"


def test_the_value_of_a_tasks_error_reaches_python(fail: Fail) -> None:
    code = "require('openai').spawn(function() error({ code = 7 }) end)"
    assert fail(f"return {{ run = function() {code} end }}").value == {"code": 7}


# --- Pickles ---


def test_an_error_can_be_pickled(fail: Fail) -> None:
    error = fail("return { run = function()\nerror({ code = 7 }) end }")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is LuaError
    assert str(copy) == str(error) == "plugin notes: {code = 7}"
    assert vars(copy) == vars(error)
    assert (copy.plugin, copy.line, copy.value) == ("notes", 2, {"code": 7})
    assert copy.traceback


def test_a_limit_can_be_pickled() -> None:
    exceeded = LimitExceeded("seconds", 2.0, 2.5, "notes")
    copy = pickle.loads(pickle.dumps(exceeded))
    assert type(copy) is LimitExceeded
    assert (str(copy), vars(copy)) == (str(exceeded), vars(exceeded))


# --- Memory ---


@pytest.mark.parametrize(
    "raised",
    [
        "error('not enough memory', 0)",
        "error('not enough memory')",
        "return error('not enough memory', 0)",
        "assert(false, 'not enough memory')",
        "coroutine.wrap(function() error('not enough memory', 0) end)()",
        "coroutine.wrap(function() return assert(false, 'not enough memory') end)()",
        "require('openai').spawn(function() error('not enough memory', 0) end)",
        "host.fail()",
    ],
)
def test_who_says_that_memory_is_out_exceeds_no_limit(fail: Fail, raised: str) -> None:
    def function() -> None:
        raise ValueError("not enough memory")

    code = f"return {{ run = function() {raised} end }}"
    assert "not enough memory" in fail(code, functions={"fail": function}).message


GROW = "local s = ('x'):rep(1e6) while true do s = s .. s end"


@pytest.mark.parametrize(
    "grow",
    [
        GROW,
        f"coroutine.wrap(function() {GROW} end)()",
        f"require('openai').spawn(function() {GROW} end)",
        f"require('openai').gather({{ function() {GROW} end }})",
        f"table.sort({{ 2, 1 }}, function() {GROW} end)",
    ],
)
def test_memory_that_is_out_is_a_limit(hosts: Callable[..., PluginHost], grow: str) -> None:
    host = hosts(limits=Limits(memory_mb=16, seconds=30))
    plugin = host.load_string(f"return {{ run = function() {grow} end, rest = print }}")
    with pytest.raises(LimitExceeded) as caught:
        plugin.call("run")
    assert (caught.value.kind, caught.value.limit) == ("memory_mb", 16)
    plugin.call("rest")
