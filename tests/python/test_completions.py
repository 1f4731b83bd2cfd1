"""What a chat completion's answer means, decided without I/O."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from luaopenai import APIError
from luaopenai.client.completions import (
    assemble,
    check_status,
    error_text,
    find_message,
    history_message,
    is_plain,
    read_chunk,
)

CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def completion(message: object) -> dict[str, Any]:
    return {"object": "chat.completion", "choices": [{"index": 0, "message": message}]}


def event(**delta: Any) -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta}]}


# --- Statuses ---


def test_status_200_is_no_error() -> None:
    check_status(200, {"error": {"message": "not looked at"}})


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"error": {"message": "No key", "code": "invalid_api_key"}}, ": No key (invalid_api_key)"),
        ({"error": {"message": "Too long", "code": 400}}, ": Too long (400)"),
        ({"error": {"message": "Bad key", "code": None}}, ": Bad key"),
        ({"error": {"message": "Bad key", "code": True}}, ": Bad key"),
        ({"error": {"code": "quota"}}, " (quota)"),
        ({"error": {"message": {"en": "x"}}}, ""),
        ({"error": "model not found"}, ": model not found"),
        ({"error": None}, ""),
        ({"error": ["x"]}, ""),
        ({"detail": "x"}, ""),
        (["error"], ""),
        ("<html>502</html>", ""),
        (None, ""),
    ],
    ids=repr,
)
def test_an_error_tells_what_the_body_says(body: object, text: str) -> None:
    assert error_text(body) == text
    with pytest.raises(APIError) as caught:
        check_status(400, body)
    assert str(caught.value) == f"Bad status: 400{text}"
    assert (caught.value.status, caught.value.body) == (400, body)


# --- Replies ---


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": "Hello"},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}},
        {"role": "assistant", "content": "Let me see.", "tool_calls": [CALL]},
    ],
    ids=repr,
)
def test_a_reply_is_found(message: dict[str, Any]) -> None:
    assert find_message(200, completion(message)) == message


def test_the_first_choice_is_the_reply() -> None:
    body = {"choices": [{"message": {"content": "one"}}, {"message": {"content": "two"}}]}
    assert find_message(200, body) == {"content": "one"}


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({}, 'field "choices": expected type "table", got "nil"'),
        ({"choices": None}, 'field "choices": expected type "table", got "userdata"'),
        ({"choices": "x"}, 'field "choices": expected type "table", got "string"'),
        ({"choices": []}, 'field "choices": field 1: expected type "table", got "nil"'),
        ({"choices": [1]}, 'field "choices": field 1: expected type "table", got "number"'),
        (
            {"choices": [{}]},
            'field "choices": field 1: field "message": expected type "table", got "nil"',
        ),
        (
            completion("hi"),
            'field "choices": field 1: field "message": expected type "table", got "string"',
        ),
        (
            completion({"role": "assistant"}),
            'field "choices": field 1: field "message": field "content":'
            ' expected type "string", got "nil"',
        ),
        (
            completion({"content": None, "tool_calls": []}),
            'field "choices": field 1: field "message": field "content":'
            ' expected type "string", got "userdata"',
        ),
        (
            completion({"content": ["x"], "tool_calls": [CALL]}),
            'field "choices": field 1: field "message": field "content":'
            ' expected type "string", got "table"',
        ),
        (
            completion({"content": False}),
            'field "choices": field 1: field "message": field "content":'
            ' expected type "string", got "boolean"',
        ),
        ("<html>", 'expected type "table", got "string"'),
        (None, 'expected type "table", got "userdata"'),
    ],
    ids=repr,
)
def test_a_body_without_a_reply_is_an_error_worded_as_lua_suites_compare_it(
    body: object, fault: str
) -> None:
    with pytest.raises(APIError) as caught:
        find_message(200, body)
    assert str(caught.value) == f"Failed to parse response from server: {fault}"
    assert (caught.value.status, caught.value.body) == (200, body)


def test_a_plain_message_calls_nothing() -> None:
    assert is_plain({"content": "x"})
    assert is_plain({"content": "x", "tool_calls": [], "function_call": None})
    assert not is_plain({"content": "x", "tool_calls": [CALL]})
    assert not is_plain({"content": None, "function_call": {"name": "f"}})


# --- What joins the history ---


def test_the_history_keeps_role_and_content_alone() -> None:
    reply: dict[str, Any] = {
        "role": "assistant",
        "content": "x",
        "refusal": None,
        "annotations": [],
    }
    assert history_message(reply) == {"role": "assistant", "content": "x"}


def test_the_history_keeps_calls_and_their_null_content() -> None:
    reply = {"content": None, "tool_calls": [CALL], "function_call": {"name": "f"}, "audio": 1}
    assert history_message(reply) == {
        "role": "assistant",
        "content": None,
        "tool_calls": [CALL],
        "function_call": {"name": "f"},
    }


def test_the_history_does_not_keep_empty_calls() -> None:
    reply: dict[str, Any] = {"content": "x", "tool_calls": [], "function_call": None}
    assert history_message(reply) == {"role": "assistant", "content": "x"}


# --- Chunks ---


def test_a_chunk_is_its_text_and_index() -> None:
    chunk = read_chunk(event(content="Hel"))
    assert chunk == {"content": "Hel", "index": 0}
    assert str(chunk) == "Hel"


def test_a_chunk_of_another_choice_keeps_its_index() -> None:
    streamed = event(content="x")
    streamed["choices"][0]["index"] = 1
    assert read_chunk(streamed) == {"content": "x", "index": 1}


def test_a_chunk_of_tool_calls_has_an_empty_text() -> None:
    calls = [{"index": 0, "id": "call_1"}]
    assert read_chunk(event(content=None, tool_calls=calls)) == {
        "content": "",
        "index": 0,
        "tool_calls": calls,
    }


@pytest.mark.parametrize(
    "streamed",
    [
        event(role="assistant", content=None),
        event(),
        event(content=""),
        event(content=1),
        event(tool_calls=[]),
        event(tool_calls="f"),
        event(tool_calls=[None, "f"]),
        {**event(content="x"), "object": "chat.completion"},
        {**event(content="x"), "choices": []},
        {**event(content="x"), "choices": event(content="x")["choices"] * 2},
        {**event(content="x"), "choices": None},
        {**event(content="x"), "choices": [{"index": 0, "delta": None}]},
        {**event(content="x"), "choices": ["x"]},
        {"error": {"message": "x"}},
        [],
        None,
    ],
    ids=repr,
)
def test_an_event_that_brings_neither_text_nor_calls_is_no_chunk(streamed: object) -> None:
    assert read_chunk(streamed) is None


# --- Putting a stream together ---


def pieces(*tool_calls: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"content": "", "index": 0, "tool_calls": [one]} for one in tool_calls]


def test_texts_are_joined() -> None:
    assert assemble([{"content": "Hel"}, {"content": "lo"}]) == {
        "role": "assistant",
        "content": "Hello",
    }


def test_a_stream_without_chunks_is_an_empty_text() -> None:
    assert assemble([]) == {"role": "assistant", "content": ""}


def test_the_pieces_of_a_tool_call_are_joined_by_its_index() -> None:
    message = assemble(
        pieces(
            {"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": ""}},
            {"index": 0, "id": "a", "type": "function", "function": {"name": "f"}},
            {"index": 1, "function": {"arguments": '{"y"'}},
            {"index": 0, "function": {"arguments": "{}"}},
            {"index": 1, "function": {"arguments": ":2}"}},
        )
    )
    assert message == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": '{"y":2}'}},
        ],
    }


def test_several_calls_in_one_chunk_are_kept_apart() -> None:
    calls = [{"index": 0, "function": {"name": "f"}}, {"index": 1, "function": {"name": "g"}}]
    message = assemble([{"content": "", "tool_calls": calls}])
    assert [call["function"]["name"] for call in message["tool_calls"]] == ["f", "g"]


def test_whole_calls_without_an_index_are_calls_of_their_own() -> None:
    message = assemble(pieces(CALL, {**CALL, "id": "call_2", "index": None}))
    assert message["tool_calls"] == [CALL, {**CALL, "id": "call_2"}]


def test_a_text_beside_tool_calls_is_kept() -> None:
    message = assemble([{"content": "Let me see."}, *pieces(CALL)])
    assert (message["content"], message["tool_calls"]) == ("Let me see.", [CALL])


def test_what_is_no_text_in_a_call_is_left_out() -> None:
    message = assemble(
        pieces({"index": 0, "id": None, "function": {"arguments": None}}, {"function": "f"})
    )
    assert (
        message["tool_calls"]
        == [{"type": "function", "function": {"name": "", "arguments": ""}}] * 2
    )


def test_putting_together_leaves_the_chunks_as_they_were() -> None:
    chunks = pieces(
        {"index": 0, "function": {"name": "f"}}, {"index": 0, "function": {"name": "g"}}
    )
    before = copy.deepcopy(chunks)
    assemble(chunks)
    assert chunks == before
