"""Tools inside a plugin: `openai.tool`, `run` and `parse` behind walls, on the plugin's budgets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from luaopenai import LimitExceeded, Limits, OpenAI, Plugin, PluginHost
from support.tool_server import ToolServer

PLUGIN = """
local openai = require("openai")
local types = require("tableshape").types
local client = openai.new()

local behave = {
  add = function(arguments) return arguments.a + arguments.b end,
  together = function(arguments)
    openai.sleep(0.001)
    return host.note(arguments.a) or "noted"
  end,
  fail = function() error("/tmp/x.lua:1: broke", 0) end,
  spin = function() while true do end end,
  fill = function()
    local list = {}
    while true do list[#list + 1] = ("x"):rep(1e5) end
  end,
  bytes = function() return string.char(255) end,
  write = function() for _ = 1, 1e6 do print(("x"):rep(1e4)) end end,
}

local sessions = {}

return {
  run = function(kind, what, opts)
    local tool = openai.tool({
      name = "work",
      parameters = types.shape({ a = types.number, b = types.number:is_optional() }),
      call = behave[what],
    })
    sessions[kind] = client[kind](client, { tools = { tool } })
    local reply, calls = sessions[kind]:run("Do it", opts)
    return reply, calls
  end,
  send = function(kind) return tostring(assert(sessions[kind]:send("Are you there?"))) end,
  parse = function(kind)
    local person = types.shape({ name = types.string, age = types.integer:is_optional() })
    local made = client[kind](client):parse("Who?", person)
    local any = { type = "object", properties = {} }
    return made, (client:parse({ { role = "user", content = "Who?" } }, any))
  end,
  strict = function()
    return openai.schema(types.shape({ a = types.number:is_optional() }), { strict = true })
  end,
  spec = function()
    local _, failure = pcall(openai.tool, { name = "a b", call = print })
    return failure
  end,
}
"""

KINDS = ["new_chat_session", "new_responses_chat_session"]
NOT_RUN = "not run: the run was ended before"

Load = Callable[..., Plugin]


@pytest.fixture
def server() -> Iterator[ToolServer]:
    with ToolServer() as server:
        yield server


@pytest.fixture
def load(server: ToolServer, hosts: Callable[..., PluginHost]) -> Iterator[Load]:
    with OpenAI("key", server.base_url, max_retries=0) as client:

        def load(limits: Limits | None = None, **functions: Any) -> Plugin:
            host = hosts(client, functions, limits or Limits(), output=lambda *_: None)
            return host.load_string(PLUGIN)

        yield load


def calls(*arguments: Any) -> dict[str, Any]:
    return {"calls": [["work", given] for given in arguments]}


def answers(request: dict[str, Any]) -> list[str]:
    items = request.get("messages") or request["input"]
    return [
        item.get("output") or item["content"]
        for item in items
        if item.get("role") == "tool" or item.get("type") == "function_call_output"
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_plugin_runs_its_tools(load: Load, server: ToolServer, kind: str) -> None:
    server.script(calls({"a": 2, "b": 3}), calls({"a": "x"}, {"a": 1, "b": None}), {"text": "5"})
    reply, made = load().call("run", kind, "add")
    assert reply == "5"
    assert [call.get("result") for call in made] == [5, None, None]
    assert made[1]["error"] == 'arguments.a: expected type "number", got "string"'
    assert made[2]["arguments"] == {"a": 1}
    assert answers(server.requests[1]) == ["5"]
    assert "attempt to perform arithmetic on field 'b'" in answers(server.requests[2])[-1]


def test_calls_of_a_plugins_round_run_side_by_side(load: Load, server: ToolServer) -> None:
    noted: list[int] = []

    def note(number: int) -> str:
        noted.append(number)
        return f"note {number}"

    server.script(calls(*({"a": number} for number in range(5))))
    assert load(note=note).call("run", KINDS[0], "together")[0] == "done"
    assert sorted(noted) == list(range(5))
    assert answers(server.requests[1]) == [f"note {number}" for number in range(5)]


def test_a_plugin_streams_and_refuses_in_a_run(load: Load, server: ToolServer) -> None:
    server.script(calls({}), calls({"a": 1}), calls({"a": 1}))
    assert load().call("run", KINDS[0], "fail", {"max_steps": 2}) == (
        None,
        "no answer after 2 rounds of tool calls",
    )
    assert answers(server.requests[2]) == [
        'arguments.a: expected type "number", got "nil"',
        "error: broke",
    ]


def test_a_plugins_result_that_is_no_text_is_a_failed_call(load: Load, server: ToolServer) -> None:
    server.script(calls({"a": 1}))
    load().call("run", KINDS[0], "bytes")
    assert answers(server.requests[1]) == ["error: result: a string is not valid UTF-8"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", ["spin", "fill", "write"])
def test_a_session_goes_on_after_a_limit_has_stopped_a_run(
    load: Load, server: ToolServer, isolation: str, kind: str, what: str
) -> None:
    plugin = load(Limits(seconds=0.4, memory_mb=60, output_kb=10))
    server.script(calls({"a": 1}, {"a": 2}))
    with pytest.raises(LimitExceeded):
        plugin.call("run", kind, what)
    assert plugin.call("send", kind) == "done"
    assert answers(server.requests[-1]) == [NOT_RUN, NOT_RUN]


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_counts_on_the_plugins_budget(load: Load, server: ToolServer, kind: str) -> None:
    plugin = load(Limits(requests=2))
    server.script(calls({"a": 1, "b": 1}), calls({"a": 1, "b": 1}))
    with pytest.raises(LimitExceeded, match="requests"):
        plugin.call("run", kind, "add")
    assert len(server.requests) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_plugin_asks_for_typed_answers(load: Load, server: ToolServer, kind: str) -> None:
    server.script(
        {"text": '{"name":5}'}, {"text": '```json\n{"name":"Ada","age":null}\n```'}, {"text": "{}"}
    )
    assert load().call("parse", kind) == ({"name": "Ada"}, {})


def test_a_plugin_makes_schemas_and_is_told_what_is_wrong(load: Load) -> None:
    plugin = load()
    assert plugin.call("strict")["properties"] == {"a": {"type": ["number", "null"]}}
    assert "tool: name: expected a string of up to 64" in plugin.call("spec")
