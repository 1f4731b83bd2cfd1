"""Tools of Lua scripts as Python sees them: any call, any schema, and interrupts at any moment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from luaopenai import LuaError, OpenAI, Runtime
from luaopenai.client.tools import find_calls, find_response_calls
from support.tool_server import ToolServer

# --- What a call is, and what fits ---

LUA = r"""
local cjson = require("cjson")
local calls = require("openai.calls")
local openai = require("openai")
local json = require("openai.json")
types = require("tableshape").types

local function written(found)
  return json.encode(setmetatable(found, json.array_mt), "calls")
end

local function give_back(arguments)
  return arguments
end

return {
  in_message = function(text) return written(calls.find(json.decode(text))) end,
  in_response = function(text) return written(calls.find_in_response(json.decode(text))) end,
  schema = function(source)
    local kind = assert(loadstring("return " .. source))()
    return json.encode(openai.schema(kind, { strict = true }), "schema")
  end,
  say = function(text)
    local kind = types.shape({ a = types.any, b = types.string:is_optional() })
    local tool = openai.tool({ name = "f", parameters = kind, call = give_back })
    local ok, failure = pcall(tool, text)
    return ok and "" or failure
  end,
  accept = function(source, text)
    local kind = assert(loadstring("return " .. source))()
    for _, strict in ipairs({ true, false }) do
      openai.tool({ name = "f", parameters = kind, strict = strict, call = give_back })(text)
    end
  end,
}
"""


@pytest.fixture(scope="module")
def lua() -> Any:
    return Runtime(rocks=False).run_string(LUA)


SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "x", "é", 0.5])
WORDS = st.sampled_from(["f", "g", "c1", "{}", '{"a":1}', "", "é"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)


def _record(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A dict with any of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


FUNCTIONS = _record(name=WORDS | VALUES, arguments=WORDS | VALUES)
CALLS = _record(
    id=WORDS | VALUES,
    type=st.just("function") | st.sampled_from(["custom", ""]) | VALUES,
    function=FUNCTIONS | VALUES,
    custom=_record(name=WORDS, input=WORDS | VALUES) | VALUES,
)
MESSAGES = _record(
    content=VALUES,
    tool_calls=st.lists(CALLS | VALUES, max_size=3) | VALUES,
    function_call=FUNCTIONS | VALUES,
)
ITEMS = _record(
    type=st.just("function_call") | VALUES,
    call_id=WORDS | VALUES,
    name=WORDS | VALUES,
    arguments=WORDS | VALUES,
)
RESPONSES = _record(output=st.lists(ITEMS | VALUES, max_size=3) | VALUES)


def in_any_order(text: str) -> object:
    """A text, without the order of keys where it is the JSON of a table: Lua's have none."""
    return json.loads(text) if text[:1] in ("{", "[") else text


def fields_of(calls: list[dict[str, str]]) -> list[dict[str, object]]:
    return [{name: in_any_order(text) for name, text in call.items()} for call in calls]


def as_python_says(found: list[Any]) -> list[dict[str, object]]:
    return fields_of([{name: getattr(call, name) for name in call.__slots__} for call in found])


@settings(deadline=None)
@given(MESSAGES)
def test_any_message_has_the_same_calls_in_both_languages(lua: Any, message: Any) -> None:
    found = json.loads(lua["in_message"](json.dumps(message)))
    assert fields_of(found) == as_python_says(find_calls(message))


@settings(deadline=None)
@given(RESPONSES)
def test_any_response_has_the_same_calls_in_both_languages(lua: Any, response: Any) -> None:
    found = json.loads(lua["in_response"](json.dumps(response)))
    assert fields_of(found) == as_python_says(find_response_calls(response))


NAMES = st.sampled_from(["city", "unit", "a b", "é", "null", "1", 'quo"te'])
LEAVES = st.sampled_from(
    [
        "types.string",
        "types.number",
        "types.boolean",
        "types.integer",
        "types.range(-2, 7)",
        "types.range(0.5, 0.75)",
        'types.one_of({ "C", "F" })',
        "types.one_of({ 1, 2.5, -3 })",
        'types.literal("x")',
        "types.literal(true)",
        'types.string:describe("a city")',
        'types.number:tag("n")',
        'types.string / function(text) return text .. "!" end',
        'types.string + types.literal("never")',
    ]
)


def _lua(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _shape(fields: dict[str, tuple[str, str]], kind: str) -> str:
    shown = (f"[{_lua(name)}] = ({field}){after}" for name, (field, after) in fields.items())
    return f"types.{kind}({{ {', '.join(shown)} }})"


def _shapes(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    optional = st.sampled_from(["", ":is_optional()", ' + types["nil"]'])
    fields = st.dictionaries(NAMES, st.tuples(inner, optional), max_size=4)
    return st.builds(_shape, fields, st.sampled_from(["shape", "partial"]))


TYPES = _shapes(
    st.recursive(
        LEAVES,
        lambda inner: (
            st.builds("types.array_of({})".format, inner)
            | st.builds("types.array_of({}, {{ length = types.range(1, 2) }})".format, inner)
            | _shapes(inner)
        ),
        max_leaves=5,
    )
)


@st.composite
def instances(draw: st.DrawFn, schema: dict[str, Any]) -> Any:
    """A value that fits a schema of the kind that strict mode has."""
    if "anyOf" in schema:
        return draw(instances(draw(st.sampled_from(schema["anyOf"]))))
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return draw(st.sampled_from(schema["enum"]))
    kinds = schema["type"]
    kind = kinds if isinstance(kinds, str) else draw(st.sampled_from(kinds))
    if kind == "object":
        return {name: draw(instances(field)) for name, field in schema["properties"].items()}
    if kind == "array":
        least, most = schema.get("minItems", 0), schema.get("maxItems", 2)
        return [draw(instances(schema["items"])) for _ in range(draw(st.integers(least, most)))]
    least, most = schema.get("minimum"), schema.get("maximum")
    return draw(
        {
            # From 15 digits on, Lua writes numbers with an exponent, which types.integer refuses.
            "integer": st.integers(0 if least is None else least, 10**14 - 1),
            "number": st.floats(least, most, allow_nan=False, allow_infinity=False),
            "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
            "boolean": st.booleans(),
            "null": st.none(),
        }[kind]
    )


@settings(deadline=None)
@given(TYPES, st.data())
def test_a_type_accepts_what_its_strict_schema_admits(
    lua: Any, source: str, data: st.DataObject
) -> None:
    schema = json.loads(lua["schema"](source))
    value = data.draw(instances(schema))
    jsonschema.validate(value, schema, cls=jsonschema.Draft202012Validator)
    lua["accept"](source, json.dumps(value, ensure_ascii=data.draw(st.booleans())))


@settings(deadline=None)
@given(TYPES, VALUES | st.dictionaries(NAMES, VALUES))
@example("types.shape({ city = types.string })", {"city": "x\nstack traceback:"})
def test_arguments_that_do_not_fit_are_one_line_that_names_them(
    lua: Any, source: str, value: Any
) -> None:
    try:
        lua["accept"](source, json.dumps(value))
    except LuaError as error:
        text = str(error).removesuffix("\n" + error.traceback)
        assert text.startswith("arguments")
        assert "\n" not in text
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(value, json.loads(lua["schema"](source)))


@pytest.mark.parametrize("depth", [100, *range(950, 1010), 10_000])
def test_arguments_of_any_depth_are_taken_or_refused_in_one_line(lua: Any, depth: int) -> None:
    said = lua["say"](f'{{"a": {"[" * depth}{"]" * depth}, "b": null}}')
    assert said in ("", "arguments: nested too deeply", "arguments: not JSON: nested too deeply")


# --- Interrupts ---

SESSIONS = r"""
local openai = require("openai")
local step = ...
local client = openai.new()
local weather = openai.tool({
  name = "weather",
  call = function(arguments)
    step()
    if arguments.wait then openai.sleep(0.002) end
    step()
    return "4 in " .. arguments.city
  end,
})

-- Lets an interrupt hit before and after a method of a session.
local function watch(session, name)
  local method = session[name]
  session[name] = function(...)
    step()
    local results = { method(...) }
    step()
    return unpack(results)
  end
end

local session
return {
  begin = function(kind, is_watched)
    session = client[kind](client, { tools = { weather } })
    if is_watched then
      for _, name in ipairs({ "append_message", "generate_response", "create_response" }) do
        if session[name] then watch(session, name) end
      end
    end
  end,
  run = function(limit, is_streamed)
    return (session:run("How warm?", {
      limit = limit,
      on_call = function() step() end,
      on_result = step,
      stream_callback = is_streamed and function() step() end or nil,
    }))
  end,
  send = function() return (assert(session:send("Are you there?"))) end,
  answer_by_hand = function()
    local reply = assert(session:send("How warm?"))
    if reply.tool_calls then
      local id = reply.tool_calls[1].id
      return (assert(session:send({ role = "tool", tool_call_id = id, content = "by hand" })))
    end
    local id = reply.output[1].call_id
    local output = { type = "function_call_output", call_id = id, output = "by hand" }
    return tostring(assert(session:send({ output })))
  end,
}
"""

KINDS = ["new_chat_session", "new_responses_chat_session"]
CITIES = [{"city": city, "wait": city != "Rome"} for city in ("Oslo", "Rome", "Bonn")]


@pytest.fixture(scope="module")
def server() -> Iterator[ToolServer]:
    with ToolServer() as server:
        yield server


@pytest.fixture
def client(server: ToolServer) -> Iterator[OpenAI]:
    with OpenAI("key", server.base_url, max_retries=0) as client:
        yield client


class Interrupts:
    """Called from Lua at each step; raises at the one that is due."""

    def __init__(self) -> None:
        self.left = 0

    def __call__(self, *_: object) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", [1, 8])
@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("is_watched", [False, True])
def test_a_session_goes_on_after_an_interrupt_at_any_step_of_a_run(
    server: ToolServer, client: OpenAI, kind: str, limit: int, is_streamed: bool, is_watched: bool
) -> None:
    step = Interrupts()
    lua = Runtime(client, rocks=False).run_string(SESSIONS, "sessions", step)
    rounds = [
        {"calls": [["weather", city] for city in CITIES]},
        {"calls": [["weather", CITIES[1]]]},
    ]
    number, was_interrupted = 0, True
    while was_interrupted:
        number += 1
        server.script(*rounds, {"text": "It is 4."})
        lua["begin"](kind, is_watched)
        step.left = number
        try:
            assert lua["run"](limit, is_streamed) == "It is 4."
            was_interrupted = False
        except KeyboardInterrupt:
            pass
        step.left = 0
        assert lua["send"](), number
    assert number > 8


def test_results_that_came_before_an_interrupt_are_kept(server: ToolServer, client: OpenAI) -> None:
    step = Interrupts()
    lua = Runtime(client, rocks=False).run_string(SESSIONS, "sessions", step)
    for kind in KINDS:
        server.script({"calls": [["weather", city] for city in CITIES]})
        lua["begin"](kind, False)
        # Of each call: before it, in it twice, after it.
        step.left = 6
        with pytest.raises(KeyboardInterrupt):
            lua["run"](1, False)
        lua["send"]()
        items = server.requests[-1].get("messages") or server.requests[-1]["input"]
        found = [item.get("output") or item["content"] for item in items if is_answer(item)]
        not_run = "not run: the run was ended before"
        assert found == ["4 in Oslo", not_run, not_run]


@pytest.mark.parametrize("kind", KINDS)
def test_a_script_answers_calls_by_hand_after_an_interrupt(
    server: ToolServer, client: OpenAI, kind: str
) -> None:
    step = Interrupts()
    lua = Runtime(client, rocks=False).run_string(SESSIONS, "sessions", step)
    server.script({"calls": [["weather", CITIES[0]]]}, {"calls": [["weather", CITIES[0]]]})
    lua["begin"](kind, False)
    step.left = 1
    with pytest.raises(KeyboardInterrupt):
        lua["run"](1, False)
    assert lua["answer_by_hand"]() == "done"
    items = server.requests[-1].get("messages") or server.requests[-1]["input"]
    found = [item.get("output") or item["content"] for item in items if is_answer(item)]
    assert found[-1] == "by hand"


def is_answer(item: dict[str, Any]) -> bool:
    return item.get("role") == "tool" or item.get("type") == "function_call_output"
