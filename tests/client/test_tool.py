"""Tools: what models are told of a function, and what a call of it takes and gives."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from luaopenai import Tool, tool
from support import exactly
from support.tool_server import ToolServer

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "unit": {"type": "string", "enum": ["C", "F"]},
    },
    "required": ["city"],
}
STRICT = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "unit": {"type": ["string", "null"], "enum": ["C", "F", None]},
    },
    "required": ["city", "unit"],
    "additionalProperties": False,
}


def weather(city: str, unit: str = "C") -> tuple[str, str]:
    """Tells the weather in a city."""
    return city, unit


async def weather_later(city: str) -> str:
    return city


# --- What models are told ---


def test_a_definition_is_what_chat_completions_take() -> None:
    made = Tool(weather, name="weather", description="Tells the weather", parameters=SCHEMA)
    assert made.definition == {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Tells the weather",
            "parameters": SCHEMA,
        },
    }
    assert made.function_definition == made.definition["function"]
    assert made.response_definition == {
        "type": "function",
        "name": "weather",
        "description": "Tells the weather",
        "parameters": SCHEMA,
        "strict": False,
    }


def test_a_strict_definition_has_the_strict_schema() -> None:
    made = Tool(weather, name="weather", parameters=SCHEMA, strict=True)
    told = {"name": "weather", "parameters": STRICT}
    assert made.definition["function"] == {**told, "strict": True}
    assert made.response_definition == {"type": "function", **told, "strict": True}
    assert made.function_definition == told
    assert made.parameters == SCHEMA


def test_a_definition_leaves_out_what_was_not_given() -> None:
    made = Tool(weather, name="weather")
    assert made.definition == {"type": "function", "function": {"name": "weather"}}


def test_strict_without_parameters_takes_none() -> None:
    made = Tool(lambda: 1, name="one", strict=True)
    assert made.definition["function"]["parameters"] == {
        "type": "object",
        "properties": {},
        "required": [],
        "additionalProperties": False,
    }


def test_changing_a_definition_leaves_the_tool_alone() -> None:
    made = Tool(weather, name="weather", parameters=SCHEMA)
    made.definition["function"]["name"] = "other"
    made.response_definition["name"] = "other"
    assert made.definition["function"]["name"] == "weather"
    assert made.response_definition["name"] == "weather"


def test_the_official_client_takes_definitions(tool_server: ToolServer) -> None:
    official = pytest.importorskip("openai")
    made = Tool(weather, name="weather", parameters=SCHEMA, strict=True)
    tool_server.script({"calls": [["weather", {"city": "Oslo", "unit": None}]]}, {"text": "Hi."})
    with official.OpenAI(api_key="k", base_url=tool_server.base_url, max_retries=0) as client:
        reply = client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "Hi"}], tools=[made.definition]
        )
        call = reply.choices[0].message.tool_calls[0].function
        client.responses.create(model="m", input="Hi", tools=[made.response_definition])
    assert made.call(json.loads(call.arguments)) == ("Oslo", "C")
    assert tool_server.requests[0]["tools"] == [made.definition]
    assert tool_server.requests[1]["tools"] == [made.response_definition]


# --- Calls ---


def test_a_function_is_given_its_arguments_by_name() -> None:
    made = Tool(weather, name="weather", parameters=SCHEMA)
    assert made.call({"city": "Oslo"}) == ("Oslo", "C")
    assert made.call({"city": "Oslo", "unit": "F"}) == ("Oslo", "F")


def test_a_handler_is_given_its_arguments_as_one_dict() -> None:
    made = Tool.from_handler(lambda arguments: arguments, name="echo", parameters=SCHEMA)
    assert made.call({"city": "Oslo"}) == {"city": "Oslo"}
    with pytest.raises(ValueError, match=r"arguments\.city: expected type"):
        made.call({})


def test_a_handler_has_all_that_a_tool_has() -> None:
    made = Tool.from_handler(
        repr, name="echo", description="Says it again", parameters=SCHEMA, strict=True
    )
    assert (made.name, made.description, made.parameters, made.strict) == (
        "echo",
        "Says it again",
        SCHEMA,
        True,
    )


def test_null_for_an_optional_field_counts_as_left_out() -> None:
    made = Tool.from_handler(lambda arguments: arguments, name="echo", parameters=SCHEMA)
    assert made.call({"city": "Oslo", "unit": None}) == {"city": "Oslo"}


def test_any_arguments_pass_without_parameters() -> None:
    made = Tool.from_handler(lambda arguments: arguments, name="echo")
    assert made.call({"any": None}) == {"any": None}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({}, 'arguments.city: expected type "string", got "nil"'),
        ({"city": "Oslo", "unit": "K"}, 'arguments.unit: expected one of "C", "F", got "K"'),
        ([1], "arguments: expected an object, got list"),
        ("Oslo", "arguments: expected an object, got str"),
    ],
    ids=repr,
)
def test_arguments_that_do_not_fit_are_named(arguments: Any, line: str) -> None:
    made = Tool(weather, name="weather", parameters=SCHEMA)
    with pytest.raises(ValueError, match=exactly(line)):
        made.call(arguments)


def test_a_tool_is_still_a_function() -> None:
    made = tool(weather)
    assert made("Oslo", unit="F") == ("Oslo", "F")
    assert made.__doc__ == weather.__doc__
    assert made.__name__ == "weather"
    assert inspect.signature(made) == inspect.signature(weather)
    assert repr(made) == "<Tool weather>"


def test_a_coroutine_function_is_awaited_by_call_async() -> None:
    made = tool(weather_later)
    assert made.is_async
    assert asyncio.run(made.call_async({"city": "Oslo"})) == "Oslo"
    with pytest.raises(
        TypeError, match=exactly("weather_later is a coroutine function: use call_async")
    ):
        made.call({"city": "Oslo"})


def test_call_async_runs_any_other_function_too() -> None:
    made = tool(weather)
    assert not made.is_async
    assert asyncio.run(made.call_async({"city": "Oslo"})) == ("Oslo", "C")
    with pytest.raises(ValueError, match=r"arguments\.city: Field required"):
        asyncio.run(made.call_async({}))


def test_coroutine_functions_are_known_through_what_wraps_them() -> None:
    class Callable_:  # noqa: N801
        async def __call__(self, city: str) -> str:
            return city

    wrapped = functools.wraps(weather_later)(lambda city: weather_later(city))
    for function in (functools.partial(weather_later), Callable_(), wrapped):
        made = tool(function, name="weather")
        assert made.is_async
        assert asyncio.run(made.call_async({"city": "Oslo"})) == "Oslo"


# --- Making one ---


def test_a_decorator_makes_a_tool_with_or_without_options() -> None:
    @tool
    def plain(city: str) -> str:
        """Says the city."""
        return city

    @tool(name="other", description="Says it", strict=True)
    def named(city: str = "Oslo") -> str:
        return city

    assert (plain.name, plain.description, plain.strict) == ("plain", "Says the city.", False)
    assert (named.name, named.description, named.strict) == ("other", "Says it", True)
    assert named.definition["function"]["parameters"]["required"] == ["city"]
    assert named.call({"city": None}) == "Oslo"


def test_a_function_takes_a_schema_of_the_callers_own() -> None:
    made = tool(weather, parameters=SCHEMA)
    assert made.parameters is SCHEMA
    assert made.description == "Tells the weather in a city."
    assert made.call({"city": "Oslo"}) == ("Oslo", "C")


def test_without_pydantic_a_schema_works_and_a_signature_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pydantic", None)
    assert tool(weather, parameters=SCHEMA).call({"city": "Oslo"}) == ("Oslo", "C")
    text = "weather: a schema made from a signature needs pydantic 2: "
    with pytest.raises(ImportError, match=exactly(text + "pip install 'luaopenai[pydantic]'")):
        tool(weather)


def test_an_older_pydantic_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydantic", type(sys)("pydantic"))
    with pytest.raises(ImportError, match="needs pydantic 2"):
        tool(weather)


@pytest.mark.parametrize("parameters", [{"city": "string"}, {"type": "string"}])
def test_a_schema_of_no_object_is_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="parameters: expected the JSON schema of an object"):
        tool(weather, parameters=parameters)


def bad(**options: Any) -> Callable[[], object]:
    return lambda: Tool(**{"function": weather, "name": "weather", **options})


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (bad(name=""), ValueError, "name: expected a string of up to 64 letters"),
        (bad(name="a b"), ValueError, "name: expected a string of up to 64 letters"),
        (bad(name="x" * 65), ValueError, "name: expected a string of up to 64 letters"),
        (bad(name=None), ValueError, "name: expected a string of up to 64 letters"),
        (bad(function=1), TypeError, "function: expected a function, got int"),
        (bad(description=1), TypeError, "description: expected a string, got int"),
        (bad(parameters=[]), TypeError, "parameters: expected a dict, got list"),
        (
            bad(parameters={"type": "object"}, strict=True),
            ValueError,
            "weather: parameters: strict mode has no object with free keys",
        ),
        (lambda: tool(lambda: 1), ValueError, "name: expected a string of up to 64 letters"),
        (
            lambda: tool(functools.partial(weather)),
            ValueError,
            "name: needed, because what is to be called has none",
        ),
        (lambda: tool(tool(weather)), TypeError, "tool: expected a function, got Tool"),
        (lambda: tool("weather"), TypeError, "tool: expected a function, got str"),  # type: ignore[call-overload]
        (lambda: tool(name="weather")("x"), TypeError, "tool: expected a function, got str"),  # type: ignore[arg-type]
    ],
)
def test_a_tool_that_cannot_be_made_names_what_is_wrong(
    make: Callable[[], object], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=f"^{text}"):
        make()


def test_the_package_loads_neither_pydantic_nor_json_for_its_names() -> None:
    program = (
        "import sys, luaopenai; names = {'pydantic', 'json', 'typing'} & set(sys.modules);"
        "luaopenai.Tool, luaopenai.Run, luaopenai.ToolCall, luaopenai.ToolLoopError;"
        "print(sorted(names), 'pydantic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": ":".join(filter(None, sys.path))},
        check=True,
    )
    assert done.stdout == "[] False\n"
