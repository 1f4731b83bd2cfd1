"""Signatures: the schema that is made of one, and arguments checked and converted by it."""

from __future__ import annotations

import contextlib
import datetime
import enum
import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from luaopenai import Tool, tool
from luaopenai.client.signatures import read_docstring
from support import exactly


class Unit(enum.Enum):
    CELSIUS = "C"
    FAHRENHEIT = "F"


class Place(BaseModel):
    city: str
    title: str = "none"


class Tree(BaseModel):
    name: str
    parts: list[Tree] = []


class Point(TypedDict):
    x: float
    y: float


@dataclass
class Range:
    low: int
    high: int = 9


def properties(function: Callable[..., Any]) -> Any:
    parameters: Any = tool(function, name="f").parameters
    return parameters["properties"]


# --- Schemas ---


def test_a_signature_becomes_a_closed_object() -> None:
    def weather(city: str, days: int = 3) -> None: ...

    assert tool(weather).parameters == {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "default": 3}},
        "required": ["city"],
        "additionalProperties": False,
    }


def test_a_function_without_parameters_has_an_empty_object() -> None:
    made = tool(lambda: "now", name="now")
    assert made.parameters == {"type": "object", "properties": {}, "additionalProperties": False}
    assert made.call({}) == "now"
    with pytest.raises(ValueError, match=r"arguments\.x: Extra inputs are not permitted"):
        made.call({"x": 1})


def test_a_parameter_without_a_type_takes_anything() -> None:
    made = tool(lambda value: value, name="echo")
    assert made.parameters == {
        "type": "object",
        "properties": {"value": {}},
        "required": ["value"],
        "additionalProperties": False,
    }
    assert made.call({"value": [1, None]}) == [1, None]


def test_annotated_and_field_describe_and_bound_a_parameter() -> None:
    def f(
        a: Annotated[int, Field(ge=1, description="from one")],
        b: Annotated[str, "words of its own"],
        c: str = Field("x", min_length=1, description="some text"),
    ) -> Any:
        return a, b, c

    assert properties(f) == {
        "a": {"type": "integer", "minimum": 1, "description": "from one"},
        "b": {"type": "string", "description": "words of its own"},
        "c": {"type": "string", "minLength": 1, "default": "x", "description": "some text"},
    }
    assert tool(f).call({"a": 1, "b": ""}) == (1, "", "x")


def test_a_field_without_a_default_is_required_and_a_factory_makes_one() -> None:
    def f(a: int = Field(ge=1), b: list[int] = Field(default_factory=list)) -> Any:  # noqa: B008
        return a, b

    made = tool(f)
    assert made.parameters is not None
    assert made.parameters["required"] == ["a"]
    assert made.call({"a": 2}) == (2, [])


def test_the_docstring_describes_parameters_that_do_not_describe_themselves() -> None:
    def f(a: int, b: Annotated[int, Field(description="of its own")], c: Place) -> None:
        """Does it.

        Args:
            a: the first,
                in two lines.
            b: not this.
            c (Place): where.
            d: there is none.
        """

    found = properties(f)
    assert found["a"]["description"] == "the first, in two lines."
    assert found["b"]["description"] == "of its own"
    assert found["c"] == {"$ref": "#/$defs/Place", "description": "where."}


def test_a_field_called_title_stays_and_titles_that_only_repeat_names_go() -> None:
    def f(place: Place, title: str) -> None: ...

    parameters: Any = tool(f).parameters
    assert parameters["$defs"]["Place"]["properties"].keys() == {"city", "title"}
    assert '"title": ' not in repr(parameters["$defs"]["Place"]["properties"])
    assert parameters["properties"]["title"] == {"type": "string"}
    assert "title" not in parameters
    assert "title" not in parameters["$defs"]["Place"]


def test_a_default_that_is_no_json_is_left_out_in_silence() -> None:
    def f(output: Any = print) -> Any:
        return output

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert properties(f) == {"output": {}}
    assert tool(f).call({}) is print


def test_names_that_pydantic_keeps_for_itself_are_names_like_others() -> None:
    def f(self_: int, model_config: int, schema: int, _x: int, json: int, p0: int) -> Any:
        return self_, model_config, schema, _x, json, p0

    names = ("self_", "model_config", "schema", "_x", "json", "p0")
    assert list(properties(f)) == list(names)
    assert tool(f).call({name: at for at, name in enumerate(names)}) == (0, 1, 2, 3, 4, 5)


def test_types_that_are_known_only_where_the_function_is_made_are_found() -> None:
    class Local(BaseModel):
        x: int

    @tool
    def f(local: Local) -> int:
        return local.x

    @tool(name="g")
    def g(local: "list[Local]") -> int:  # noqa: UP037
        return local[0].x

    assert f.call({"local": {"x": 1}}) == 1
    assert g.call({"local": [{"x": 2}]}) == 2


# --- Arguments ---


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        (datetime.date, "2026-12-01", datetime.date(2026, 12, 1)),
        (Unit, "F", Unit.FAHRENHEIT),
        (Place, {"city": "Oslo"}, Place(city="Oslo")),
        (Range, {"low": 1}, Range(1, 9)),
        (Point, {"x": 1, "y": 2}, {"x": 1.0, "y": 2.0}),
        (tuple[int, str], [1, "a"], (1, "a")),
        (set[int], [1, 2, 1], {1, 2}),
        (bytes, "abc", b"abc"),
        (Decimal, "1.5", Decimal("1.5")),
        (UUID, "12345678123456781234567812345678", UUID("12345678123456781234567812345678")),
        (float, 4, 4.0),
        (int, 4.0, 4),
        (int | None, None, None),
        (Literal["C", "F"], "C", "C"),
    ],
    ids=repr,
)
def test_arguments_become_what_the_signature_says(kind: Any, given: Any, value: Any) -> None:
    def f(x: Any) -> Any:
        return x

    f.__annotations__["x"] = kind
    made = tool(f).call({"x": given})
    assert made == value
    assert type(made) is type(value)


def test_null_for_a_parameter_with_a_default_leaves_it_its_default() -> None:
    def f(a: str = "x", b: int | None = 5, place: Place | None = None) -> Any:
        return a, b, place

    assert tool(f).call({"a": None, "b": None}) == ("x", None, None)
    assert tool(f).call({"place": {"city": "Oslo", "title": None}})[2] == Place(city="Oslo")


def test_what_is_left_out_is_left_to_the_function() -> None:
    missing = object()

    def f(a: int, b: Any = missing) -> Any:
        return b

    assert tool(f).call({"a": 1}) is missing


def test_every_kind_of_parameter_gets_its_argument() -> None:
    def f(a: int, b: int = 2, /, c: int = 3, *, d: int, **more: Any) -> Any:
        return a, b, c, d, more

    made = tool(f)
    assert made.parameters is not None
    assert made.parameters["additionalProperties"] is True
    assert made.call({"a": 1, "d": 4}) == (1, 2, 3, 4, {})
    assert made.call({"a": 1, "b": 0, "c": 0, "d": 4, "e": 5}) == (1, 0, 0, 4, {"e": 5})


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({}, "arguments.place: Field required"),
        ({"place": {}}, "arguments.place.city: Field required"),
        (
            {"place": {"city": 5}, "days": [1, "x"]},
            "arguments.place.city: Input should be a valid string; arguments.days[1]: Input should"
            " be a valid integer, unable to parse string as an integer",
        ),
        ({"place": {"city": "x"}, "y": 1}, "arguments.y: Extra inputs are not permitted"),
        ({"place": {"city": "\ud800"}}, "arguments.place.city: the string is not valid UTF-8"),
        ({"place": object}, "arguments.place: JSON has no function"),
    ],
    ids=repr,
)
def test_arguments_that_do_not_fit_are_named_in_one_line(arguments: Any, line: str) -> None:
    def f(place: Place, days: list[int] = []) -> None: ...  # noqa: B006

    with pytest.raises(ValueError, match=exactly(line)) as raised:
        tool(f).call(arguments)
    assert raised.value.__cause__ is None


def test_no_more_than_five_faults_are_named() -> None:
    def f(days: list[int]) -> None: ...

    with pytest.raises(ValueError, match=r"; and 2 more$") as raised:
        tool(f).call({"days": list("abcdefg")})
    assert str(raised.value).count("Input should be") == 5


# --- What has no schema ---


class Station:
    def weather(self, city: str) -> str:
        """Tells it."""
        return city

    def __call__(self, city: str) -> str:
        """Tells it too.

        Args:
            city: where.
        """
        return city.upper()


def test_a_bound_method_is_a_tool() -> None:
    made = tool(Station().weather)
    assert (made.name, made.description) == ("weather", "Tells it.")
    assert made.call({"city": "Oslo"}) == "Oslo"


def test_what_is_called_may_be_an_object_a_partial_a_wrapper_or_a_class() -> None:
    made = tool(Station(), name="station")
    assert made.description == "Tells it too."
    assert made.call({"city": "Oslo"}) == "OSLO"
    made = tool(functools.partial(Station().weather, city="Rome"), name="rome")
    assert made.call({}) == "Rome"
    assert made.description == "Tells it."
    made = tool(functools.cache(Station().weather))
    assert made.call({"city": "Oslo"}) == "Oslo"
    assert tool(Range).call({"low": 1}) == Range(1)


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda *cities: 1, "f: *cities: models give arguments by name only"),
        (Station.weather, "f: a method becomes a tool once it is bound: tool(object.f)"),
    ],
)
def test_a_signature_that_models_cannot_call_is_an_error(
    function: Callable[..., Any], text: str
) -> None:
    with pytest.raises(TypeError, match=exactly(text)):
        tool(function, name="f")


def test_what_has_no_signature_is_an_error() -> None:
    with pytest.raises(TypeError, match=r"^f: no signature found"):
        tool(dict, name="f")


def test_a_type_without_a_schema_is_an_error() -> None:
    def f(x: Station) -> None: ...

    def g(x: Callable[[], int]) -> None: ...

    for function in (f, g):
        with pytest.raises(TypeError, match=r"^\w: no JSON schema for its signature: ") as raised:
            tool(function)
        assert "\n" not in str(raised.value)


def test_a_type_that_nobody_knows_is_an_error() -> None:
    def f(x: Any) -> None: ...

    f.__annotations__["x"] = "Nowhere"
    with pytest.raises(TypeError, match=exactly("f: the signature's type Nowhere cannot be found")):
        tool(f)


# --- Docstrings ---


@pytest.mark.parametrize(
    ("text", "told", "notes"),
    [
        (None, "", {}),
        ("", "", {}),
        ("One line.", "One line.", {}),
        ("Two\n    lines.\n\n    More.", "Two lines.", {}),
        ("\n    Below.\n    ", "Below.", {}),
        ("First.\n    Args:\n        a: one", "First.", {"a": "one"}),
        ("\n    Args:\n        a: one\n        *b: two\n", "", {"a": "one", "b": "two"}),
        (
            "Says.\n\n    Arguments:\n        a (int, optional): one: two\n\n        b:\n"
            "            below\n              and on\n\n    Returns:\n        c: three",
            "Says.",
            {"a": "one: two", "b": "below and on"},
        ),
        ("Says.\n\n    Args:\n    nothing: here", "Says.", {}),
        ("\n    Args:\n        a: one,\n            that is: two", "", {"a": "one, that is: two"}),
        ("\n    Args:\n        a: one\n            b: two\n", "", {"a": "one b: two"}),
    ],
    ids=repr,
)
def test_a_docstring_tells_what_a_function_does_and_takes(
    text: str | None, told: str, notes: dict[str, str]
) -> None:
    def f() -> None: ...

    f.__doc__ = text
    found, entries = read_docstring(f)
    entries.pop("", None)
    assert (found, entries) == (told, notes)


# --- What the schema admits, the check takes ---

NAMES = ["city", "unit", "title", "model_x", "_n", "x", "self_"]
KINDS: list[Any] = [
    str,
    int,
    float,
    bool,
    Any,
    list[str],
    dict[str, int],
    int | None,
    str | int | None,
    tuple[int, str],
    list[list[bool]],
    Literal["C", "F", 3],
    Unit,
    Place,
    Tree,
    Point,
    Range,
    list[Place] | None,
    Place | Range,
    Annotated[int, Field(ge=0, le=9)],
    Annotated[float, Field(gt=-1, lt=1)],
    Annotated[str, Field(min_length=1, max_length=3)],
    Annotated[str, Field(pattern="^[a-c]+$")],
    Annotated[list[int], Field(min_length=1, max_length=2)],
]
PLAIN = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | st.text()
).filter(lambda value: not isinstance(value, str) or value.isascii())
JSON = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abxy"), inner)
)


def values(schema: Any, root: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """Mostly what a schema admits, and sometimes anything."""
    return st.integers(0, 40).flatmap(lambda n: JSON if n == 9 else admitted(schema, root, depth))


def admitted(schema: Any, root: Any, depth: int) -> st.SearchStrategy[Any]:
    def inner(part: Any) -> st.SearchStrategy[Any]:
        return values(part, root, depth + 1)

    if "$ref" in schema:
        return inner(root["$defs"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        return st.one_of([inner(part) for part in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kind = schema.get("type")
    if isinstance(kind, list):
        return st.one_of([admitted({**schema, "type": one}, root, depth) for one in kind])
    if kind == "object":
        fields = schema.get("properties", {})
        if depth > 3:
            fields = {name: fields[name] for name in schema.get("required", ())}
        needed = {name: inner(fields[name]) for name in schema.get("required", ())}
        optional = {name: inner(part) for name, part in fields.items() if name not in needed}
        return st.fixed_dictionaries(needed, optional=optional)
    if kind == "array":
        items = [inner(part) for part in schema.get("prefixItems", ())]
        if items:
            return st.tuples(*items).map(list)
        part = inner(schema.get("items", {}))
        return st.lists(part, max_size=0 if depth > 3 else 2)
    if "pattern" in schema:
        return st.from_regex(schema["pattern"], fullmatch=True)
    plain = {
        "string": st.text("abcé"),
        "integer": st.integers(-5, 15) | st.sampled_from([2.0, -0.0]),
        "number": st.integers(-9, 9) | st.floats(-2, 2),
        "boolean": st.booleans(),
        "null": st.none(),
    }
    return plain.get(kind, JSON)


@st.composite
def functions(draw: st.DrawFn) -> Callable[..., Any]:
    """A function whose parameters have any names, types, kinds and defaults."""
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=4))
    has_default = draw(st.integers(0, len(names)))
    parts = [n if at < has_default else f"{n}=None" for at, n in enumerate(names)]
    has_star: bool = draw(st.booleans())
    if parts and has_star:
        parts.insert(draw(st.integers(0, len(parts) - 1)), "*")
    scope: dict[str, Any] = {}
    exec(f"def f({', '.join(parts)}): return {{{', '.join(f'{n!r}: {n}' for n in names)}}}", scope)
    function: Callable[..., Any] = scope["f"]
    function.__annotations__ = {name: draw(st.sampled_from(KINDS)) for name in names}
    return function


def may_be_strict(function: Callable[..., Any]) -> bool:
    try:
        tool(function, strict=True)
    except ValueError:
        return False
    return True


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_what_a_schema_admits_is_taken(data: st.DataObject) -> None:
    function = data.draw(functions())
    is_strict = data.draw(st.booleans()) and may_be_strict(function)
    made = tool(function, strict=is_strict)
    schema = made.definition["function"]["parameters"]
    jsonschema.Draft202012Validator.check_schema(schema)
    arguments = data.draw(values(schema, schema))
    if not jsonschema.Draft202012Validator(schema).is_valid(arguments):
        return
    assert made.call(arguments).keys() == function.__annotations__.keys()
    by_schema = Tool.from_handler(dict, name="f", parameters=made.parameters, strict=is_strict)
    assert by_schema.call(arguments).keys() <= arguments.keys()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_what_does_not_fit_is_one_line_that_says_where(data: st.DataObject) -> None:
    made = tool(data.draw(functions()))
    schema: Any = made.parameters
    arguments = data.draw(values(schema, schema))
    with contextlib.suppress(ValueError):
        made.call(arguments)
        return
    with pytest.raises(ValueError, match=r"^arguments[^\n]+\Z"):
        made.call(arguments)
