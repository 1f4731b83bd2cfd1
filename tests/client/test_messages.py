"""What a message and a function declaration must look like, and what is said of a bad one."""

from __future__ import annotations

from typing import Any

import pytest

from luaopenai.client.messages import ROLES, check_function, check_message, check_messages
from support import exactly


def test_the_roles_are_those_of_the_api() -> None:
    assert set(ROLES) == {"system", "developer", "user", "assistant", "function", "tool"}


@pytest.mark.parametrize(
    "message",
    [
        *({"role": role, "content": "x"} for role in ("system", "developer", "user", "assistant")),
        {"role": "function", "name": "f", "content": "x"},
        {"role": "tool", "tool_call_id": "call_1", "content": "x"},
        {"role": "user", "name": "ann", "content": ""},
        {"role": "assistant"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1"}]},
        {"role": "user", "content": []},
        {"role": "user", "content": [{"type": "text", "text": "x"}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": "data:,"}]},
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]},
        {"role": "user", "content": ({"type": "text", "text": "x"},)},
        {"role": "user", "content": "x", "anything": "else"},
    ],
    ids=repr,
)
def test_a_good_message_passes(message: dict[str, Any]) -> None:
    check_message(message)


ROLE_LIST = "system, developer, user, assistant, function, tool"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("hi", "message: expected a table with role and content, got a string"),
        (None, "message: expected a table with role and content, got nothing"),
        (["hi"], "message: expected a table with role and content, got a list"),
        ({}, f"message.role: expected one of {ROLE_LIST}; got nothing"),
        ({"role": "bot"}, f'message.role: expected one of {ROLE_LIST}; got "bot"'),
        ({"role": 1}, f"message.role: expected one of {ROLE_LIST}; got a number"),
        ({"role": ["user"]}, f"message.role: expected one of {ROLE_LIST}; got a list"),
        ({"role": "function"}, 'message.name: required when role is "function"'),
        ({"role": "tool"}, 'message.tool_call_id: required when role is "tool"'),
        ({"role": "user", "name": 1}, "message.name: expected a string, got a number"),
        (
            {"role": "tool", "tool_call_id": 1},
            "message.tool_call_id: expected a string, got a number",
        ),
        (
            {"role": "assistant", "function_call": "f"},
            "message.function_call: expected a table, got a string",
        ),
        (
            {"role": "assistant", "tool_calls": {}},
            "message.tool_calls: expected a list, got a table",
        ),
        (
            {"role": "user", "content": 1},
            "message.content: expected a string, null or a list of parts, got a number",
        ),
        (
            {"role": "user", "content": True},
            "message.content: expected a string, null or a list of parts, got a boolean",
        ),
        (
            {"role": "user", "content": b"\xff"},
            "message.content: expected a string, null or a list of parts,"
            " got a string that is not UTF-8",
        ),
        (
            {"role": "user", "content": {"type": "text"}},
            "message.content: expected a string, null or a list of parts, got a table",
        ),
        (
            {"role": "user", "content": ["x"]},
            "message.content[0]: expected a table with type, got a string",
        ),
        (
            {"role": "user", "content": [{}]},
            "message.content[0].type: expected a string, got nothing",
        ),
        (
            {"role": "user", "content": [{"type": "text"}]},
            "message.content[0].text: expected a string, got nothing",
        ),
        (
            {"role": "user", "content": [{"type": "image_url"}]},
            "message.content[0].image_url: expected a URL or a table with url",
        ),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {}}]},
            "message.content[0].image_url: expected a URL or a table with url",
        ),
    ],
    ids=repr,
)
def test_a_bad_message_is_refused_by_its_field(message: object, text: str) -> None:
    with pytest.raises(ValueError, match=exactly(text)):
        check_message(message)


def test_the_bad_part_is_named_by_its_number_from_the_callers_base() -> None:
    parts = [{"type": "text", "text": "fine"}, {"type": "text", "text": 2}]
    message = {"role": "user", "content": parts}
    with pytest.raises(ValueError, match=r"^message\.content\[1\]\.text: "):
        check_message(message)
    with pytest.raises(ValueError, match=r"^message\.content\[2\]\.text: "):
        check_message(message, base=1)


def test_the_bad_message_is_named_by_its_number_from_the_callers_base() -> None:
    messages = [{"role": "user"}, {"role": "nobody"}]
    with pytest.raises(ValueError, match=r'^messages\[1\]\.role: .*; got "nobody"$'):
        check_messages(messages)
    with pytest.raises(ValueError, match=r"^messages\[2\]\.role: "):
        check_messages(messages, base=1)


@pytest.mark.parametrize("messages", [[], ({"role": "user"},), [{"role": "user"}] * 2], ids=repr)
def test_messages_are_a_list_or_tuple_of_any_length(messages: object) -> None:
    check_messages(messages)


def test_messages_that_are_no_list_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^messages: expected a list of messages, got a table$"):
        check_messages({"role": "user", "content": "x"})


@pytest.mark.parametrize(
    "function",
    [
        {"name": "f"},
        {"name": "f", "description": "does it", "parameters": {"type": "object"}},
        {"name": "f", "description": None, "parameters": None},
    ],
    ids=repr,
)
def test_a_good_function_passes(function: dict[str, Any]) -> None:
    check_function(function)


@pytest.mark.parametrize(
    ("function", "text"),
    [
        ("f", "function: expected a table with name, got a string"),
        ({}, "function.name: expected a string, got nothing"),
        ({"name": 1}, "function.name: expected a string, got a number"),
        (
            {"name": "f", "strict": True},
            "function.strict: expected only name, description, parameters",
        ),
        ({"name": "f", "description": 1}, "function.description: expected a string, got a number"),
        ({"name": "f", "parameters": []}, "function.parameters: expected a table, got a list"),
    ],
    ids=repr,
)
def test_a_bad_function_is_refused_by_its_field(function: object, text: str) -> None:
    with pytest.raises(ValueError, match=exactly(text)):
        check_function(function)
