"""Tools that plugins offer, and tools inside of plugins."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from luaopenai import (
    AsyncOpenAI,
    LimitExceeded,
    Limits,
    LuaError,
    OpenAI,
    Plugin,
    PluginHost,
    Tool,
)
from luaopenai.host import launch
from support.tool_server import ToolServer
from support.waiting import GENEROUS, soon
from support.workers import worker_of

Hosts = Callable[..., PluginHost]

WEATHER = """
local openai = require("openai")
local types = require("tableshape").types
local asked = 0
return {
  tools = {
    openai.tool({
      name = "weather",
      description = "Tells the weather in a city.",
      parameters = types.shape({
        city = types.string:describe("the city's name"),
        unit = types.one_of({ "C", "F" }):is_optional(),
      }),
      call = function(arguments)
        asked = asked + 1
        return { city = arguments.city, unit = arguments.unit, asked = asked }
      end,
    }),
  },
}
"""

ODD = """
local openai = require("openai")
local function tool(name, call)
  return openai.tool({ name = name, call = call })
end
return {
  tools = {
    tool("ok", function(arguments) return arguments end),
    tool("nothing", function() end),
    tool("several", function() return 1, 2 end),
    tool("reason", function() return nil, "there is none" end),
    tool("table_reason", function() return nil, { code = 7 } end),
    tool("fail", function()
      error("boom")
    end),
    tool("fail_with_table", function() error({ code = 7 }) end),
    tool("loop", function() while true do pcall(function() while true do end end) end end),
    tool("eat", function() local t = {} for i = 1, 1e9 do t[i] = { i } end end),
    tool("flood", function() while true do print(("x"):rep(100)) end end),
    tool("give_function", function() return print end),
    tool("give_cycle", function() local t = {} t.t = t return t end),
    tool("give_bytes", function() return "\\255" end),
    tool("die", function() return host.die() end),
  },
}
"""


MAKE = """
local function t(name)
  return require("openai").tool({ name = name, call = print })
end
"""


def run_of(code: str, parameters: str = "nil", name: str = "run") -> str:
    """A plugin with one tool, which does this."""
    return f"""
return require("openai").tool({{ name = "{name}", parameters = {parameters},
  call = function(arguments) {code} end }})
"""


def only(plugin: Plugin) -> Tool:
    (tool,) = plugin.tools
    return tool


def by_name(plugin: Plugin) -> dict[str, Tool]:
    return {tool.name: tool for tool in plugin.tools}


# --- What is offered ---


def test_a_plugin_offers_its_tools_with_names_descriptions_and_schemas(hosts: Hosts) -> None:
    plugin = hosts().load_string(WEATHER)
    assert plugin.exports == []
    assert only(plugin).definition == {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Tells the weather in a city.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "the city's name"},
                    "unit": {"type": "string", "enum": ["C", "F"]},
                },
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }


@pytest.mark.parametrize(
    ("code", "names", "exports"),
    [
        ("return { tools = { t('a'), t('b') } }", ["a", "b"], []),
        ("return { tools = { t('b'), t('a') }, z = t('z'), c = t('c') }", ["b", "a", "c", "z"], []),
        ("return { run = print, one = t('one') }", ["one"], ["run"]),
        ("return t('alone')", ["alone"], []),
        ("run = print one = t('one')", ["one"], ["run"]),
        ("tools = { t('a') }", ["a"], []),
        ("tools = { 1 } run = print", [], ["run"]),
        ("local a = t('a') return { tools = { a }, a = a, again = a }", ["a"], []),
        ("return { tools = {}, run = print }", [], ["run"]),
        ("return { tools = print }", [], ["tools"]),
        ("return { tools = t('a') }", ["a"], []),
        ("return { [1] = t('a'), run = print }", [], ["run"]),
    ],
)
def test_tools_are_found_where_a_plugin_has_them(
    hosts: Hosts, code: str, names: list[str], exports: list[str]
) -> None:
    plugin = hosts().load_string(MAKE + code)
    assert [tool.name for tool in plugin.tools] == names
    assert plugin.exports == exports


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (
            "return { tools = { t('a'), 1 } }",
            r"tools\[2\]: expected a tool of openai.tool, got a num",
        ),
        (
            "return { tools = { { type = 'function', ['function'] = { name = 'a' } } } }",
            r"tools\[1\]: expected a tool of openai.tool, got a table",
        ),
        ("return { tools = { t('a'), t('a') } }", "two tools of the plugin are named a"),
        ("return { tools = { t('a') }, b = t('a') }", "two tools of the plugin are named a"),
        ("return {}", "no table of functions"),
        ("return { tools = {} }", "no table of functions"),
        ("local a = t('a') a['function'].name = 'ü' return a", "offers what is no tool|nonsense"),
        ("local a = t('a') a['function'].name = nil return a", "offers what is no tool|nonsense"),
        ("local a = t('a') a['function'].strict = 1 return a", "offers what is no tool|nonsense"),
        ("local a = t('a') a['function'].description = {} return a", "no tool|nonsense"),
        ("local a = t('a') a['function'].description = '\\255' return a", "no tool|nonsense"),
        ("local a = t('a') a['function'].parameters = 1 return a", "no tool|nonsense"),
        ("local a = t('a') a['function'].parameters = { x = 0/0 } return a", "no tool|nonsense"),
        ("local a = t('a') a['function'].parameters = { [1.5] = 1 } return a", "no tool|nonsense"),
        ("local a = t('a') a['function'].parameters = { x = print } return a", "no plain data"),
        (
            "local a, p = t('a'), {} p.p = p a['function'].parameters = p return a",
            "nested too deeply",
        ),
        ("return require('openai').tool({ name = 'a b', call = print })", "name: expected"),
    ],
)
def test_what_is_no_tool_is_refused_at_the_start(hosts: Hosts, code: str, text: str) -> None:
    host = hosts()
    with pytest.raises(LuaError, match=text):
        host.load_string(MAKE + code)
    assert host.plugins == []
    assert only(host.load_string(WEATHER)).name == "weather"


def test_declarations_that_would_fill_the_host_are_a_limit(hosts: Hosts) -> None:
    code = """
local tool = require("openai").tool({ name = "a", call = print })
local list, shared = {}, { 1 }
for index = 1, 2e5 do list[index] = shared end
tool["function"].parameters = { list = list }
return tool
"""
    with pytest.raises(LimitExceeded, match="memory_mb"):
        hosts(limits=Limits(memory_mb=12, seconds=10)).load_string(code)


def test_a_strict_tool_is_declared_as_strict_mode_wants_it(hosts: Hosts) -> None:
    code = """
local types = require("tableshape").types
return require("openai").tool({
  name = "run",
  strict = true,
  parameters = types.shape({ a = types.integer:is_optional() }),
  call = function(arguments) return arguments.a == nil end,
})
"""
    tool = only(hosts().load_string(code))
    function = tool.definition["function"]
    assert function["strict"] is True
    assert function["parameters"]["required"] == ["a"]
    assert {"type": "null"} in function["parameters"]["properties"]["a"].get("anyOf", []) or (
        "null" in function["parameters"]["properties"]["a"]["type"]
    )
    assert tool.call({"a": None}) is True


def test_the_tools_of_a_plugin_stay_the_same_objects(hosts: Hosts) -> None:
    plugin = hosts().load_string(WEATHER)
    assert plugin.tools[0] is plugin.tools[0]
    plugin.tools.clear()
    assert len(plugin.tools) == 1


# --- All plugins together ---


def test_the_tools_of_all_plugins_are_offered_together(hosts: Hosts) -> None:
    host = hosts()
    assert host.tools() == []
    one = host.load_string(run_of("return 1", name="a"), "one")
    host.load_string("return { run = print }", "none")
    two = host.load_string(run_of("return 2", name="b"), "two")
    assert host.tools() == [only(one), only(two)]
    one.close()
    assert [tool.name for tool in host.tools()] == ["b"]


def test_names_that_clash_get_their_plugins_in_front(hosts: Hosts) -> None:
    host = hosts()
    host.load_string(run_of("return 1", name="search"), "files")
    host.load_string(run_of("return 2", name="search"), "the web.page")
    host.load_string(run_of("return 3", name="search"), "über")
    host.load_string(run_of("return 4", name="files_search"), "more")
    tools = host.tools()
    names = ["files_search_2", "the_web_page_search", "_ber_search", "files_search"]
    assert [tool.name for tool in tools] == names
    assert [tool.definition["function"]["name"] for tool in tools] == names
    assert [tool.call({}) for tool in tools] == [1, 2, 3, 4]


def test_names_stay_as_short_as_the_api_wants_them_and_apart(hosts: Hosts) -> None:
    host = hosts()
    for number in range(3):
        host.load_string(run_of(f"return {number}", name="x" * 60), "same")
    tools = host.tools()
    assert [len(tool.name) for tool in tools] == [64] * 3
    assert len({tool.name for tool in tools}) == 3
    assert [tool.call({}) for tool in tools] == [0, 1, 2]


# --- Calls ---


def test_a_call_runs_in_the_plugin_which_checks_its_arguments(hosts: Hosts) -> None:
    tool = only(hosts().load_string(WEATHER))
    assert tool.call({"city": "Oslo"}) == {"city": "Oslo", "asked": 1}
    assert tool.call({"city": "Oslo", "unit": None}) == {"city": "Oslo", "asked": 2}
    with pytest.raises(
        ValueError, match=r'^arguments\.city: expected type "string", got "number"$'
    ):
        tool.call({"city": 1})
    assert tool.call({"city": "Rom", "unit": "C"}) == {"city": "Rom", "unit": "C", "asked": 3}


def test_a_call_by_a_json_schema_is_checked_in_the_plugin_too(hosts: Hosts) -> None:
    schema = "{ type = 'object', properties = { a = { type = 'integer', minimum = 3 } } }"
    tool = only(hosts().load_string(run_of("return arguments.a", schema)))
    assert tool.call({"a": 3}) == 3
    assert tool.call({}) is None
    with pytest.raises(ValueError, match=r"^arguments\.a"):
        tool.call({"a": 2})


def test_a_schema_of_a_plugins_is_not_followed_in_the_host(hosts: Hosts) -> None:
    """Patterns and references can be made to take any time, which no limit of the plugin's ends."""
    code = """
local tool = require("openai").tool({ name = "run", call = function() return "ran" end })
local nested = { type = "string", pattern = "^(a+)+$" }
tool["function"].strict = true
tool["function"].parameters = {
  type = "object",
  properties = { a = nested, b = { ["$ref"] = "#/$defs/d0", description = "x" } },
  ["$defs"] = {},
}
for number = 0, 90 do
  local ref = { ["$ref"] = "#/$defs/d" .. number + 1, description = "x" }
  tool["function"].parameters["$defs"]["d" .. number] = { anyOf = { ref, ref, ref } }
end
return tool
"""
    tool = only(hosts().load_string(code))
    assert tool.definition["function"]["strict"] is True
    assert tool.call({"a": "a" * 60 + "!"}) == "ran"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ok", {"text": "ü\0", "list": [1, [], {}], "none": None}),
        ("nothing", None),
        ("several", 1),
        ("give_bytes", b"\xff"),
    ],
)
def test_a_call_returns_the_first_value(hosts: Hosts, name: str, value: Any) -> None:
    tool = by_name(hosts().load_string(ODD))[name]
    arguments = {"text": "ü\0", "list": [1, [], {}], "none": None}
    assert tool.call(arguments if name == "ok" else {}) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("reason", "there is none"),
        ("table_reason", "{'code': 7}"),
        ("fail", "plugin:14: boom"),
        ("fail_with_table", "{code = 7}"),
        ("give_function", "a function is no plain data"),
        ("give_cycle", "does the table contain itself"),
    ],
)
def test_a_call_that_fails_says_why(hosts: Hosts, name: str, text: str) -> None:
    tool = by_name(hosts().load_string(ODD))[name]
    with pytest.raises(LuaError) as caught:
        tool.call({})
    assert text in str(caught.value)
    assert "traceback" not in str(caught.value)


def test_the_error_of_a_call_tells_the_program_all_that_a_plugins_does(hosts: Hosts) -> None:
    failure = KeyError("no")

    def fail() -> None:
        raise failure

    tool = only(hosts(functions={"fail": fail}).load_string(run_of("host.fail()"), "mine"))
    with pytest.raises(LuaError) as caught:
        tool.call({})
    assert caught.value.plugin == "mine"
    assert caught.value.line == 3
    assert caught.value.__cause__ is failure
    assert "mine:3:" in caught.value.traceback


@pytest.mark.parametrize(
    ("name", "kind"), [("loop", "seconds"), ("eat", "memory_mb"), ("flood", "output_kb")]
)
def test_a_limit_ends_a_call_and_the_next_works(hosts: Hosts, name: str, kind: str) -> None:
    limits = Limits(seconds=0.3, memory_mb=8, output_kb=4)
    tools = by_name(hosts(limits=limits, output=lambda *_: None).load_string(ODD))
    with pytest.raises(LimitExceeded) as caught:
        tools[name].call({})
    assert caught.value.kind == kind or (name, caught.value.kind) == ("eat", "seconds")
    assert tools["ok"].call({"a": 1}) == {"a": 1}


@pytest.mark.parametrize(
    "body",
    [
        "return ('x'):rep(5000)",
        "return { ('x'):rep(5000) }",
        "error(('x'):rep(5000))",
        "return nil, ('x'):rep(5000)",
        "return { [('x'):rep(5000)] = '\\255' }",
    ],
)
def test_an_answer_longer_than_its_limit_does_not_reach_the_model(hosts: Hosts, body: str) -> None:
    tool = only(hosts(limits=Limits(answer_kb=4)).load_string(run_of(body), "mine"))
    with pytest.raises(
        LimitExceeded, match=r"^plugin mine: answer_kb: the limit is 4, used 4\.\d+$"
    ):
        tool.call({})


def test_arguments_that_do_not_fit_are_refused_in_a_line_within_that_limit(hosts: Hosts) -> None:
    tools = by_name(hosts(limits=Limits(answer_kb=0.001)).load_string(ODD))
    with pytest.raises(LimitExceeded, match="answer_kb"):
        tools["ok"].call({"a": "x"})


@pytest.mark.parametrize("limit", [4, None])
def test_an_answer_within_its_limit_is_whole(hosts: Hosts, limit: float | None) -> None:
    body = f"return ('x'):rep({4000 if limit else 400_000})"
    tool = only(hosts(limits=Limits(answer_kb=limit)).load_string(run_of(body)))
    assert set(tool.call({})) == {"x"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="ends a process by its number")
def test_a_call_whose_worker_dies_fails_and_the_next_works() -> None:
    plugins: list[Plugin] = []

    def die() -> None:
        os.kill(worker_of(plugins[0]).pid, 9)

    with PluginHost(functions={"die": die}) as host:
        plugins.append(host.load_string(ODD))
        tools = by_name(plugins[0])
        with pytest.raises(LuaError, match="has lost its process: it was ended by SIGKILL"):
            tools["die"].call({})
        assert tools["ok"].call({"a": 1}) == {"a": 1}
        assert by_name(plugins[0])["ok"] is tools["ok"]


def test_calls_of_one_plugin_wait_for_one_another_and_those_of_two_do_not(hosts: Hosts) -> None:
    both = threading.Barrier(2)
    host = hosts(functions={"meet": lambda: both.wait(GENEROUS) >= 0})
    for number in range(2):
        host.load_string(run_of("return host.meet()", name=f"t{number}"))
    alone = only(host.load_string(run_of("n = (n or 0) + 1 return n", name="alone")))
    with ThreadPoolExecutor(4) as threads:
        met = [threads.submit(tool.call, {}) for tool in host.tools()[:2]]
        assert [call.result(GENEROUS) for call in met] == [True, True]
        counted = [threads.submit(alone.call, {}) for _ in range(20)]
        assert sorted(call.result(GENEROUS) for call in counted) == list(range(1, 21))


def test_a_call_that_is_cancelled_ends_in_a_process() -> None:
    begun = threading.Event()
    with PluginHost(functions={"begin": begun.set}, limits=Limits(seconds=2 * GENEROUS)) as host:
        tool = only(host.load_string(run_of("host.begin() while arguments.loop do end return 1")))

        async def main() -> Any:
            call = asyncio.ensure_future(tool.call_async({"loop": True}))
            await soon(begun.is_set)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            return await tool.call_async({})

        assert asyncio.run(main()) == 1


def test_a_tool_of_a_closed_plugin_says_so(hosts: Hosts) -> None:
    plugin = hosts().load_string(WEATHER, "weather")
    tool = only(plugin)
    plugin.close()
    with pytest.raises(LuaError, match="plugin weather is closed"):
        tool.call({"city": "Oslo"})


def test_a_tool_called_from_inside_its_plugin_says_so(hosts: Hosts) -> None:
    tools: list[Tool] = []
    host = hosts(functions={"again": lambda: tools[0].call({})})
    tools.append(only(host.load_string(run_of("return host.again()"))))
    with pytest.raises(LuaError, match="is in this call already"):
        tools[0].call({})


@pytest.mark.parametrize("arguments", [{"a": "\ud800"}, {"a": float("nan")}, {"a": {1, 2}}])
def test_arguments_that_json_cannot_carry_are_refused(hosts: Hosts, arguments: Any) -> None:
    tool = by_name(hosts().load_string(ODD))["ok"]
    with pytest.raises((ValueError, TypeError, LuaError)):
        tool.call(arguments)
    assert tool.call({"a": 1}) == {"a": 1}


# --- Files that change ---


def write(path: Path, code: str) -> None:
    """Writes a file so that it has another stamp than before."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(code)
    os.utime(path, ns=(before + 10**9, before + 10**9))


def test_a_reload_changes_what_a_plugin_offers(hosts: Hosts, tmp_path: Path) -> None:
    file = tmp_path / "one.lua"
    write(file, run_of("return 1", name="first"))
    plugin = hosts().load(file)
    old = only(plugin)
    write(file, run_of("return 2", name="second"))
    plugin.reload()
    assert only(plugin).name == "second"
    assert only(plugin).call({}) == 2
    with pytest.raises(LuaError, match="has no tool 'first' any more; it has second"):
        old.call({})


def test_a_reload_that_fails_leaves_the_tools_as_they_were(hosts: Hosts, tmp_path: Path) -> None:
    file = tmp_path / "one.lua"
    write(file, run_of("return 1"))
    plugin = hosts().load(file)
    write(file, "return { tools = { 1 } }")
    with pytest.raises(LuaError, match="expected a tool"):
        plugin.reload()
    assert only(plugin).call({}) == 1


def test_tools_of_a_watched_folder_follow_its_files(hosts: Hosts, tmp_path: Path) -> None:
    write(tmp_path / "one.lua", run_of("return 1", name="one"))
    host = hosts()
    host.load_folder(tmp_path, watch=True)
    (one,) = host.tools()
    write(tmp_path / "one.lua", run_of("return 10", name="one"))
    assert one.call({}) == 10
    write(tmp_path / "two.lua", run_of("return 2", name="two"))
    host.refresh()
    assert [tool.call({}) for tool in host.tools()] == [10, 2]
    (tmp_path / "one.lua").unlink()
    host.refresh()
    assert [tool.name for tool in host.tools()] == ["two"]


# --- Runs of a session ---


def answers(server: ToolServer) -> list[str]:
    """The texts by which the last request answers calls."""
    messages = server.requests[-1]["messages"]
    return [message["content"] for message in messages if message["role"] == "tool"]


def test_a_session_runs_the_tools_of_plugins(hosts: Hosts, tool_server: ToolServer) -> None:
    host = hosts()
    host.load_string(WEATHER)
    tool_server.script({"calls": [["weather", {"city": "Oslo"}]]}, {"text": "Cold."})
    chat = OpenAI("key", tool_server.base_url).new_chat_session()
    run = chat.run("How is Oslo?", tools=host.tools())
    assert run.text == "Cold."
    assert json.loads(answers(tool_server)[0]) == {"city": "Oslo", "asked": 1}
    assert tool_server.requests[0]["tools"] == [tool.definition for tool in host.tools()]


def test_arguments_that_a_plugin_refuses_end_no_run(hosts: Hosts, tool_server: ToolServer) -> None:
    host = hosts()
    host.load_string(WEATHER)
    tool_server.script({"calls": [["weather", {}]]}, {"text": "Where?"})
    chat = OpenAI("key", tool_server.base_url).new_chat_session(tools=host.tools())
    run = chat.run("How is it?", raise_errors=True)
    assert run.text == "Where?"
    assert answers(tool_server) == ['arguments.city: expected type "string", got "nil"']
    assert run.calls[0].error == 'arguments.city: expected type "string", got "nil"'


def test_limits_errors_and_dead_workers_are_the_models_to_hear_and_the_session_goes_on(
    tool_server: ToolServer,
) -> None:
    plugins: list[Plugin] = []

    def die() -> None:
        os.kill(worker_of(plugins[0]).pid, 9)

    limits = Limits(seconds=0.3, memory_mb=16, output_kb=4)
    with PluginHost(functions={"die": die}, limits=limits, output=lambda *_: None) as host:
        plugins.append(host.load_string(ODD, "odd"))
        names = ["ok", "loop", "flood", "fail", "reason", "give_function", "give_bytes", "die"]
        tool_server.script({"calls": [[name, {}] for name in names]}, {"text": "So it is."})
        chat = OpenAI("key", tool_server.base_url).new_chat_session(tools=host.tools())
        assert chat.run("Go.").text == "So it is."
        said = dict(zip(names, answers(tool_server), strict=True))
        assert said["ok"] == "{}"
        assert said["loop"].startswith("error: plugin odd: seconds: the limit is 0.3")
        assert said["flood"].startswith("error: plugin odd: output_kb: the limit is 4")
        assert said["fail"] == "error: boom"
        assert said["reason"] == "error: there is none"
        assert "a function is no plain data" in said["give_function"]
        assert said["give_bytes"].startswith("error: ")
        assert said["die"] == "error: plugin odd has lost its process: it was ended by SIGKILL"
        tool_server.script({"calls": [["ok", {"a": 1}]]}, {"text": "Still."})
        assert chat.run("Again.").text == "Still."
        assert answers(tool_server)[-1] == '{"a":1}'


def test_an_async_session_runs_the_tools_of_plugins_and_code(
    hosts: Hosts, tool_server: ToolServer
) -> None:
    host = hosts()
    host.load_string(WEATHER)
    tools = [*host.tools(), host.code_tool()]
    calls = [["weather", {"city": "Oslo"}], ["run_lua", {"code": "6 * 7"}]]
    tool_server.script({"calls": calls}, {"text": "Done."})

    async def main() -> str:
        async with AsyncOpenAI("key", tool_server.base_url) as client:
            run = await client.new_chat_session().run("Go.", tools=tools)
        return run.text

    assert asyncio.run(main()) == "Done."
    weather, code = map(json.loads, answers(tool_server))
    assert weather["city"] == "Oslo"
    assert code == {"result": 42, "output": "", "error": None}


def test_a_responses_session_runs_code(hosts: Hosts, tool_server: ToolServer) -> None:
    code = {"code": "error('no')"}
    tool_server.script({"calls": [["run_lua", code]]}, {"text": "Done."})
    chat = OpenAI("key", tool_server.base_url).new_responses_chat_session()
    assert chat.run("Go.", tools=[hosts().code_tool()]).text == "Done."
    (output,) = (
        item
        for item in tool_server.requests[-1]["input"]
        if item.get("type") == "function_call_output"
    )
    assert json.loads(output["output"])["error"] == "line 1: no"


# --- Tools inside of plugins ---

INSIDE = """
local openai = require("openai")
local types = require("tableshape").types
local client = openai.new()
local weather = openai.tool({
  name = "weather", parameters = types.shape({ city = types.string }), strict = %s,
  call = function(arguments) return host.look(arguments.city) end,
})
return {
  run = function(kind)
    local make = kind == "chat" and client.new_chat_session or client.new_responses_chat_session
    local reply, calls = make(client, { tools = { weather } }):run("How is Oslo?")
    return reply, calls
  end,
}
"""


@pytest.fixture(params=["true", "false"])
def inside(request: pytest.FixtureRequest, hosts: Hosts, tool_server: ToolServer) -> Plugin:
    """A plugin that runs tools itself, strict ones and others."""
    host = hosts(
        OpenAI("key", tool_server.base_url),
        functions={"look": lambda city: f"cold in {city}"},
        limits=Limits(requests=3),
    )
    return host.load_string(INSIDE % request.param)


@pytest.mark.parametrize("kind", ["chat", "responses"])
def test_a_plugin_runs_tools_of_its_own(inside: Plugin, tool_server: ToolServer, kind: str) -> None:
    oslo, rome = ["weather", {"city": "Oslo"}], ["weather", {"city": "Rome"}]
    tool_server.script({"calls": [oslo, rome, ["weather", {}]]}, {"text": "Cold."})
    reply, calls = inside.call("run", kind)
    assert reply == "Cold."
    assert [call.get("result") for call in calls] == ["cold in Oslo", "cold in Rome", None]
    assert calls[2]["error"] == 'arguments.city: expected type "string", got "nil"'


# --- Workers that say what none of ours says ---


@pytest.mark.skipif(not hasattr(os, "fork"), reason="shown on POSIX systems")
@pytest.mark.parametrize(
    "offers",
    [
        '{"a":1}',
        "[1]",
        "[[1]]",
        "[[{}]]",
        '[[{"name":"a","more":1}]]',
        '[[{"name":"a b"}]]',
        '[[{"name":"a","description":"\\ud800"}]]',
        '[[{"name":"a","parameters":{"\\ud800":1}}]]',
        '[[{"name":"a","parameters":{"x":NaN}}]]',
        '[[{"name":"a"},{"name":"a"}]]',
        '[[{"name":"a","parameters":' + '{"x":' * 200 + "1" + "}" * 200 + "}]]",
        "[" * 5000,
        "nothing",
    ],
)
def test_a_worker_that_offers_nonsense_is_ended(
    monkeypatch: pytest.MonkeyPatch, offers: str
) -> None:
    deed = f"channel.send(b'done', b'+run' + bytes(1) + {offers.encode()!r}, b'[0, 0]')\n"
    code = (BEGIN + deed + REST).replace("{", "{{").replace("}", "}}")
    for name in ("path!r", "line"):
        code = code.replace("{{" + name + "}}", "{" + name + "}")
    with PluginHost() as host, monkeypatch.context() as patch:
        patch.setattr(launch, "_START", code)
        with pytest.raises(LuaError, match="sends nonsense"):
            host.load_string("return { run = function() end }")


BEGIN = """
import os, socket, sys
sys.path[:] = {path!r}
from luaopenai.host.channel import Channel
channel = Channel(socket.socket(fileno={line}))
channel.receive()
channel.send(b"ready")
"""

REST = """
try:
    channel.receive()
finally:
    os._exit(0)
"""
