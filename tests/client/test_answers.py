"""Typed answers: the format that is asked for, and what is made of an answer."""

from __future__ import annotations

from typing import Any

import pytest

from luaopenai.client.answers import AnswerFormat, ask_again, no_fit, why_cut

CITY = {
    "title": "A city",
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
}


def test_a_format_is_asked_for_as_each_api_takes_it() -> None:
    made = AnswerFormat(CITY)
    schema = {**CITY, "additionalProperties": False}
    named = {"name": "A_city", "schema": schema, "strict": True}
    assert made.parameters("chat") == {
        "response_format": {"type": "json_schema", "json_schema": named}
    }
    assert made.parameters("responses") == {"text": {"format": {"type": "json_schema", **named}}}


def test_a_format_without_a_title_is_called_answer() -> None:
    assert AnswerFormat({"type": "string"}).name == "answer"
    assert AnswerFormat({"type": "string"}, "tags").name == "tags"


@pytest.mark.parametrize(
    "schema", [{"type": "string"}, {"anyOf": [CITY, {"type": "null"}]}, {"enum": [1, 2]}]
)
def test_what_is_no_object_is_sent_inside_one(schema: dict[str, Any]) -> None:
    made = AnswerFormat(schema)
    assert made.schema["type"] == "object"
    assert made.schema["required"] == ["value"]
    assert made.read('{"value": 1}') == 1


def test_definitions_stay_outermost() -> None:
    made = AnswerFormat({"type": "array", "items": {"$ref": "#/$defs/C"}, "$defs": {"C": CITY}})
    assert made.schema["properties"]["value"]["items"] == {"$ref": "#/$defs/C"}
    assert made.schema["$defs"]["C"]["additionalProperties"] is False


def test_an_answer_is_decoded_with_or_without_a_fence() -> None:
    made = AnswerFormat(CITY)
    for text in ('{"name": "Oslo"}', '```json\n{"name": "Oslo"}\n```', '\n```\n{"name":"Oslo"}```'):
        assert made.read(text) == {"name": "Oslo"}


def test_an_object_with_a_field_called_value_is_not_taken_apart() -> None:
    schema = {"type": "object", "properties": {"value": {"type": "number"}}, "required": ["value"]}
    assert AnswerFormat(schema).read('{"value": 1}') == {"value": 1}


def test_a_model_that_leaves_the_wrapping_out_is_understood() -> None:
    assert AnswerFormat({"type": "array", "items": CITY}).read("[]") == []


def test_an_answer_that_is_no_json_is_told_in_a_line() -> None:
    with pytest.raises(ValueError, match=r"^not JSON: Expecting value at character 1$"):
        AnswerFormat(CITY).read("Oslo")
    with pytest.raises(ValueError, match=r"^not JSON: nested too deeply$"):
        AnswerFormat(CITY).read("[" * 100_000)


def test_a_schema_that_strict_mode_cannot_say_is_refused() -> None:
    with pytest.raises(ValueError, match="free keys"):
        AnswerFormat({"type": "object"})


def test_a_model_is_told_what_does_not_fit() -> None:
    assert "does not fit: name: it is missing." in ask_again("name: it is missing")


def test_the_end_of_all_attempts_says_how_many_there_were() -> None:
    assert no_fit(2, "x") == "no answer that fits after 2 attempts: x"
    assert no_fit(1, "x") == "no answer that fits after 1 attempt: x"


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"choices": [{"finish_reason": "length"}]}, "max_tokens"),
        ({"choices": [{"finish_reason": "content_filter"}]}, "content filter"),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            "max_output_tokens",
        ),
        ({"status": "incomplete"}, "max_output_tokens"),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            "content filter",
        ),
    ],
)
def test_an_answer_that_was_cut_says_why(body: dict[str, Any], word: str) -> None:
    assert word in why_cut(body)
    assert why_cut(body).startswith("the answer was cut off")


@pytest.mark.parametrize(
    "body", [{"choices": [{"finish_reason": "stop"}]}, {"status": "completed"}, {}, "text", None]
)
def test_a_whole_answer_was_not_cut(body: object) -> None:
    assert why_cut(body) == ""


@pytest.mark.parametrize("text", ["```json" + "\n" * 300_000 + "x", "```\n" + " " * 300_000 + "x"])
def test_a_fence_that_is_not_closed_costs_no_more_than_it_is_long(text: str) -> None:
    # A pattern that looks at a character twice would take hours: the test's time would be over.
    with pytest.raises(ValueError, match=r"^not JSON: "):
        AnswerFormat({"type": "object", "properties": {}}).read(text)
