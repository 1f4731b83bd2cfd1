"""What calls of tools mean, and what their answers say."""

from __future__ import annotations

from typing import Any

import pytest

from luaopenai.client.tools import (
    ArgumentsError,
    Call,
    answer,
    chat_definition,
    check_name,
    find_calls,
    find_response_calls,
    function_declaration,
    later_choice,
    missing_outputs,
    one_line,
    read_arguments,
    refused,
    response_definition,
    result_text,
    too_many_rounds,
    tool_failed,
    tool_name,
    unanswered,
    unknown_tool,
)


def tool_call(id: str, name: str = "add", arguments: str = "{}") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def asks(*ids: str) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [tool_call(id) for id in ids]}


def answers(id: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": "1"}


def test_the_calls_of_a_message_come_in_its_order() -> None:
    assert find_calls(asks("a", "b")) == [
        Call("a", "add", "{}", "tool"),
        Call("b", "add", "{}", "tool"),
    ]


def test_a_message_without_calls_has_none() -> None:
    assert find_calls({"role": "assistant", "content": "hello"}) == []
    assert find_calls({"role": "assistant", "content": "", "tool_calls": None}) == []
    assert find_calls({"role": "assistant", "content": "", "function_call": None}) == []


def test_a_legacy_function_call_is_a_call_without_an_id() -> None:
    message = {"role": "assistant", "function_call": {"name": "add", "arguments": "[]"}}
    assert find_calls(message) == [Call("", "add", "[]", "function")]


def test_arguments_that_a_server_sends_decoded_are_encoded_again() -> None:
    call = {"id": "a", "function": {"name": "add", "arguments": {"a": "ä"}}}
    assert find_calls({"tool_calls": [call]}) == [Call("a", "add", '{"a": "ä"}', "tool")]


def test_a_call_of_another_type_than_function_is_a_call_too() -> None:
    call = {"id": "a", "type": "custom", "custom": {"name": "run", "input": "ls"}}
    assert find_calls({"tool_calls": [call]}) == [Call("a", "run", "ls", "tool")]


def test_calls_are_found_in_the_output_of_a_response() -> None:
    call = {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "add", "arguments": "{}"}
    response = {"output": [{"type": "reasoning"}, call, {"type": "message"}]}
    assert find_response_calls(response) == [Call("a", "add", "{}", "response")]
    assert find_response_calls({"output": {}}) == []
    assert find_response_calls(None) == []


def test_each_kind_of_call_is_answered_in_its_own_form() -> None:
    assert answer(Call("a", "add", "", "tool"), "3") == {
        "role": "tool",
        "tool_call_id": "a",
        "content": "3",
    }
    assert answer(Call("", "add", "", "function"), "3") == {
        "role": "function",
        "name": "add",
        "content": "3",
    }
    assert answer(Call("a", "add", "", "response"), "3") == {
        "type": "function_call_output",
        "call_id": "a",
        "output": "3",
    }


def test_calls_that_no_answer_follows_are_unanswered() -> None:
    assert [call.id for call in unanswered([asks("a", "b", "c"), answers("b")])] == ["a", "c"]
    assert unanswered([asks("a"), answers("a")]) == []


def test_one_answer_is_for_one_of_two_calls_with_the_same_id() -> None:
    assert [call.id for call in unanswered([asks("", ""), answers("")])] == [""]


def test_a_function_call_is_answered_by_a_message_with_its_name() -> None:
    ask = {"role": "assistant", "function_call": {"name": "add", "arguments": ""}}
    assert len(unanswered([ask])) == 1
    assert unanswered([ask, {"role": "function", "name": "add", "content": ""}]) == []


def test_only_the_last_message_with_calls_can_be_unanswered() -> None:
    assert unanswered([]) == []
    assert unanswered([answers("a")]) == []
    assert unanswered([{**asks("a"), "role": "user"}]) == []
    assert unanswered([asks("a"), {"role": "user", "content": "hi"}]) == []


def test_pending_outputs_that_an_input_holds_are_not_sent_twice() -> None:
    pending = [answer(Call(id, "add", "", "response"), "1") for id in "ab"]
    assert missing_outputs(pending, [pending[0]]) == [pending[1]]
    assert missing_outputs(pending, "text") == pending


def test_no_arguments_at_all_are_an_empty_object() -> None:
    assert read_arguments("") == read_arguments(" \n") == read_arguments("{}") == {}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"a": 1', "arguments: not JSON: Expecting ',' delimiter at character 8"),
        ("hello", "arguments: not JSON: Expecting value at character 1"),
        ('{"a": NaN}', "arguments: not JSON: JSON has no NaN"),
        ('{"a":' * 100_000, "arguments: not JSON: nested too deeply"),
        ("[1]", 'arguments: expected type "object", got "array"'),
        ("null", 'arguments: expected type "object", got "null"'),
        ("1", 'arguments: expected type "object", got "number"'),
    ],
)
def test_arguments_that_are_no_object_are_told_in_one_line(text: str, line: str) -> None:
    with pytest.raises(ArgumentsError) as caught:
        read_arguments(text)
    assert str(caught.value) == line


def test_a_result_is_sent_as_it_is_when_it_is_text_and_else_as_json() -> None:
    assert result_text("4 °C") == "4 °C"
    assert result_text({"celsius": 4, "at": "Zürich"}) == '{"celsius":4,"at":"Zürich"}'
    assert result_text(None) == "null"
    assert result_text([]) == "[]"


def test_a_result_that_json_cannot_carry_is_named() -> None:
    with pytest.raises(ValueError, match=r"^result\.a: JSON has no object$"):
        result_text({"a": object()})


def test_an_unknown_tool_is_answered_with_the_names_of_those_there_are() -> None:
    assert unknown_tool("x", ["b", "a"]) == "there is no tool 'x'; the tools are: a, b"
    assert unknown_tool("x", []) == "there is no tool 'x'; there are none"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("boom", "boom"),
        ("/home/me/tools.lua:12: boom", "boom"),
        ("tools.lua:12: no such city: Oslo", "no such city: Oslo"),
        ('[string "weather"]:3: boom', "boom"),
        ("C:\\Users\\me\\x.lua:3: boom", "boom"),
        ("boom\nstack traceback:\n\t[C]: in function 'error'", "boom"),
        ('bad\nTraceback (most recent call last):\n  File "x.py", line 3', "bad"),
        ("first\n  second\r\n\tthird", "first second third"),
        ("cannot open /var/data/cities.txt", "cannot open cities.txt"),
        ("cannot open C:\\data\\in\\cities.txt", "cannot open cities.txt"),
        ("see https://example.com/a/b/c for 1/2/3", "see https://example.com/a/b/c for 1/2/3"),
        ("12:30: too late", "12:30: too late"),
    ],
)
def test_an_errors_text_becomes_one_line_without_positions_and_folders(
    text: str, line: str
) -> None:
    assert one_line(text) == line


@pytest.mark.parametrize("piece", [" ", "\n", "/a", "a/", "@/", '[string "', '"]', "x:", "a:1: "])
def test_a_long_text_of_an_error_costs_no_more_than_it_is_long(piece: str) -> None:
    # A pattern that looks at a character twice would take minutes: the test's time would be over.
    assert "\n" not in one_line("x" + piece * 300_000 + "x")


def test_the_answer_to_a_call_that_failed_says_why() -> None:
    assert tool_failed("tools.lua:3: boom") == "error: boom"
    assert tool_failed("") == "error: the tool failed"


def test_the_answer_to_a_refused_call_gives_the_reason() -> None:
    assert refused("not on\nSundays") == "refused: not on Sundays"
    assert refused(None) == refused("") == "refused: this call is not allowed"


def test_a_run_without_an_answer_says_how_many_rounds_it_took() -> None:
    assert too_many_rounds(10) == "no answer after 10 rounds of tool calls"
    assert too_many_rounds(1) == "no answer after 1 round of tool calls"


@pytest.mark.parametrize(
    ("choice", "later"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", None),
        (None, None),
        ({"type": "function", "function": {"name": "add"}}, None),
        ({"name": "add"}, None),
    ],
)
def test_a_choice_that_forces_a_call_counts_for_the_first_round(
    choice: object, later: object
) -> None:
    assert later_choice(choice) == later


def test_a_choice_among_allowed_tools_stays_when_it_forces_none() -> None:
    for mode, stays in (("auto", True), ("required", False)):
        for choice in (
            {"type": "allowed_tools", "mode": mode, "tools": []},
            {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": []}},
        ):
            assert later_choice(choice) == (choice if stays else None)


def test_a_definition_is_written_as_each_api_takes_it() -> None:
    nested = {"type": "function", "function": {"name": "add", "parameters": {}, "strict": True}}
    flat = {"type": "function", "name": "add", "parameters": {}, "strict": True}
    for definition in (nested, flat):
        assert chat_definition(definition) == nested
        assert response_definition(definition) == flat
        assert tool_name(definition) == "add"
    assert function_declaration(nested) == {"name": "add", "parameters": {}}


def test_a_tool_that_does_not_ask_to_be_strict_says_so_to_the_responses_api() -> None:
    definition = {"type": "function", "function": {"name": "add"}}
    assert response_definition(definition)["strict"] is False


def test_tools_that_are_no_functions_stay_as_they_are() -> None:
    search = {"type": "web_search"}
    assert chat_definition(search) is response_definition(search) is search
    assert tool_name(search) == ""


@pytest.mark.parametrize("name", ["", "a b", "a.b", "ä", "a" * 65, None, 3, "a\n"])
def test_names_that_the_api_refuses_are_refused(name: object) -> None:
    with pytest.raises(ValueError, match=r"^tool\.name: expected a string of up to 64"):
        check_name(name, "tool.name")


def test_names_that_the_api_takes_are_taken() -> None:
    check_name("get_weather-2")
    check_name("a" * 64)
