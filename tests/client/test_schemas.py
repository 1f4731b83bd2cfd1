"""Strict schemas, and whether a value fits a schema."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from luaopenai.client.schemas import admits_null, fault, strict_schema, without_nulls

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
NULL = {"type": "null"}


def object_of(required: list[str] | None = None, **fields: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": fields,
        "required": list(fields) if required is None else required,
    }


def closed(**fields: Any) -> dict[str, Any]:
    return {**object_of(**fields), "additionalProperties": False}


def test_strict_closes_every_object() -> None:
    schema = object_of(a={"type": "array", "items": CITY}, b={"anyOf": [CITY, NULL]})
    city = {**CITY, "additionalProperties": False}
    made = strict_schema(schema)
    assert made == closed(a={"type": "array", "items": city}, b={"anyOf": [city, NULL]})


def test_strict_requires_all_keys_and_makes_the_optional_ones_nullable() -> None:
    schema = object_of([], city={"type": "string"}, unit={"type": "string", "enum": ["C", "F"]})
    assert strict_schema(schema) == closed(
        city={"type": ["string", "null"]},
        unit={"type": ["string", "null"], "enum": ["C", "F", None]},
    )


def test_strict_keeps_the_descriptions_of_optional_fields() -> None:
    schema = object_of([], city={"const": "Oslo", "description": "where"})
    made = strict_schema(schema)["properties"]["city"]
    assert made == {"description": "where", "anyOf": [{"const": "Oslo"}, NULL]}


def test_strict_leaves_what_may_be_null_already() -> None:
    for field in ({"type": ["string", "null"]}, {"anyOf": [{"type": "string"}, NULL]}):
        assert strict_schema(object_of([], a=field))["properties"]["a"] == field


def test_strict_adds_null_to_the_options_of_an_optional_field() -> None:
    field = {"anyOf": [{"type": "string"}, {"type": "number"}]}
    made = strict_schema(object_of([], a=field))["properties"]["a"]
    assert made == {"anyOf": [{"type": "string"}, {"type": "number"}, NULL]}


def test_strict_goes_into_definitions_and_keeps_references() -> None:
    schema = {**object_of([], a={"$ref": "#/$defs/City"}), "$defs": {"City": CITY}}
    made = strict_schema(schema)
    assert made["$defs"]["City"]["additionalProperties"] is False
    assert made["properties"]["a"] == {"anyOf": [{"$ref": "#/$defs/City"}, NULL]}


def test_strict_writes_a_reference_out_that_has_something_beside_it() -> None:
    field = {"$ref": "#/$defs/City", "description": "where"}
    made = strict_schema({**object_of(a=field), "$defs": {"City": CITY}})["properties"]["a"]
    assert made == {**CITY, "additionalProperties": False, "description": "where"}


def test_strict_takes_defaults_out() -> None:
    made = strict_schema(object_of(a={"type": "string", "default": "C"}))
    assert made == closed(a={"type": "string"})


def test_strict_writes_one_of_as_any_of() -> None:
    assert strict_schema({"oneOf": [{"type": "string"}]}) == {"anyOf": [{"type": "string"}]}


def test_strict_takes_a_single_all_of_apart() -> None:
    made = strict_schema(object_of(a={"allOf": [CITY], "description": "where"}))
    assert made["properties"]["a"]["properties"] == CITY["properties"]
    assert made["properties"]["a"]["description"] == "where"


def test_strict_leaves_the_schema_itself_alone() -> None:
    schema = {**object_of([], a={"type": "string", "default": 1}, b=CITY), "$defs": {"City": CITY}}
    before = deepcopy(schema)
    strict_schema(schema)
    assert schema == before


@pytest.mark.parametrize(
    ("schema", "line"),
    [
        ({}, "schema: strict mode needs a type"),
        (object_of(a={}), "schema.a: strict mode needs a type"),
        (
            object_of(a={"type": "array"}),
            "schema.a: strict mode needs the type of an array's items",
        ),
        (object_of(a={"type": "object"}), "schema.a: strict mode has no object with free keys"),
        (
            {"type": "object", "properties": {}, "additionalProperties": {"type": "string"}},
            "schema: strict mode has no object with free keys",
        ),
        (
            {"type": "array", "items": {"allOf": [CITY, CITY]}},
            "schema.items: strict mode has no allOf",
        ),
        (object_of(a="string"), "schema.a: expected a JSON schema, got 'string'"),
    ],
)
def test_what_strict_mode_cannot_say_is_named(schema: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match=r"strict mode|expected a JSON schema") as caught:
        strict_schema(schema)
    assert str(caught.value) == line


@pytest.mark.parametrize(
    ("value", "schema", "line"),
    [
        ({}, CITY, 'arguments.city: expected type "string", got "nil"'),
        ({"city": 4}, CITY, 'arguments.city: expected type "string", got "number"'),
        ({"city": None}, CITY, 'arguments.city: expected type "string", got "null"'),
        ([], CITY, 'arguments: expected type "object", got "array"'),
        ({"a": {}}, object_of(a=CITY), 'arguments.a.city: expected type "string", got "nil"'),
        ({"a": 1, "b": 2}, closed(a={}), "arguments.b: unexpected"),
        ({}, object_of(a={}), "arguments.a: it is missing"),
        ({"a": 1.5}, object_of(a={"type": "integer"}), None),
        (
            {"a": "K"},
            object_of(a={"enum": ["C", "F"]}),
            'arguments.a: expected one of "C", "F", got "K"',
        ),
        ({"a": True}, object_of(a={"const": 1}), "arguments.a: expected 1, got true"),
        ({"a": [1, "x"]}, object_of(a={"items": {"type": "number"}}), None),
        ({"a": -1}, object_of(a={"minimum": 0}), "arguments.a: expected at least 0, got -1"),
        ({"a": 5}, object_of(a={"maximum": 4}), "arguments.a: expected at most 4, got 5"),
        (
            {"a": 0},
            object_of(a={"exclusiveMinimum": 0}),
            "arguments.a: expected more than 0, got 0",
        ),
        (
            {"a": 4},
            object_of(a={"exclusiveMaximum": 4}),
            "arguments.a: expected less than 4, got 4",
        ),
        ({"a": 5}, object_of(a={"multipleOf": 2}), "arguments.a: expected a multiple of 2, got 5"),
        ({"a": ""}, object_of(a={"minLength": 1}), None),
        ({"a": "ab"}, object_of(a={"maxLength": 1}), None),
        ({"a": [1]}, object_of(a={"minItems": 2}), None),
        (
            {"a": [1, 2]},
            object_of(a={"maxItems": 1}),
            "arguments.a: expected at most 1 items, got 2",
        ),
        ({"a": "x"}, object_of(a={"pattern": "^[0-9]+$"}), None),
        ({"a": "x"}, object_of(a={"type": ["number", "null"]}), None),
        ({"a": {"b": 1}}, {"additionalProperties": {"additionalProperties": False}}, None),
        ({"a": 1}, {"allOf": [CITY]}, None),
        ({"a": 1}, {"anyOf": [CITY, NULL]}, None),
        ({"a": 1}, {"oneOf": [CITY, NULL]}, None),
        ({"a": 1}, {"$ref": "#/$defs/City", "$defs": {"City": CITY}}, None),
    ],
)
def test_a_value_that_does_not_fit_is_named_in_one_line(
    value: Any, schema: dict[str, Any], line: str | None
) -> None:
    found = fault(value, schema, "arguments")
    assert found.startswith("arguments")
    assert "\n" not in found
    assert line is None or found == line


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        ({"city": "Oslo", "more": 1}, CITY),
        ({"a": 2.0}, object_of(a={"type": "integer"})),
        ({"a": 4}, object_of(a={"multipleOf": 2, "minimum": 4, "maximum": 4})),
        ({"a": None}, object_of(a={"type": ["number", "null"]})),
        ({"a": "x"}, object_of(a={"pattern": "("})),
        ({"a": 1}, object_of(a=True)),
        (None, {"anyOf": [CITY, NULL]}),
        ({"next": {"next": None}}, object_of(next={"anyOf": [{"$ref": "#"}, NULL]})),
        ({"a": 1}, {"$ref": "#/elsewhere"}),
        ({"a": 1}, {"$ref": "https://example.com/schema"}),
        (1, {"$ref": "#"}),
    ],
)
def test_a_value_that_fits_has_no_fault(value: Any, schema: dict[str, Any]) -> None:
    assert fault(value, schema) == ""


def test_of_several_options_the_one_that_fails_furthest_inside_is_told() -> None:
    options = {"anyOf": [NULL, object_of(a=CITY)]}
    assert fault({"a": {}}, options) == 'a.city: expected type "string", got "nil"'


def test_null_fits_what_names_it() -> None:
    for schema in (NULL, {}, True, {"type": ["string", "null"]}, {"enum": [None]}):
        assert admits_null(schema, {})
    for other in ({"type": "string"}, False, {"anyOf": [{"type": "string"}]}, {"const": 0}):
        assert not admits_null(other, {})


def test_a_null_for_an_optional_field_is_left_out() -> None:
    schema = object_of(["a"], a=CITY, unit={"type": "string"})
    value = {"a": {"city": "Oslo"}, "unit": None}
    assert without_nulls(value, schema) == {"a": {"city": "Oslo"}}
    assert value["unit"] is None


def test_a_null_stays_where_the_schema_takes_it_or_asks_for_it() -> None:
    schema = object_of(["a"], a={"type": "string"}, b={"type": ["string", "null"]})
    value = {"a": None, "b": None, "unknown": None}
    assert without_nulls(value, schema) == value


def test_nulls_are_left_out_inside_lists_options_and_references() -> None:
    inner = object_of([], unit={"type": "string"})
    for schema in (
        object_of(a={"type": "array", "items": inner}),
        object_of(a={"type": "array", "items": {"anyOf": [NULL, inner]}}),
        {**object_of(a={"items": {"$ref": "#/$defs/Inner"}}), "$defs": {"Inner": inner}},
        object_of(a={"items": {"allOf": [inner]}}),
    ):
        assert without_nulls({"a": [{"unit": None}]}, schema) == {"a": [{}]}


def test_a_value_of_another_type_passes_through() -> None:
    assert without_nulls([1, None], CITY) == [1, None]
    assert without_nulls("x", True) == "x"  # type: ignore[arg-type]
