"""What a chat completion's answer means, decided without I/O."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from luaopenai import APIError
from luaopenai.client.calls import ToolCalls
from luaopenai.client.completions import (
    assemble,
    check_status,
    find_message,
    history_message,
    is_plain,
    read_chunk,
)
from luaopenai.client.server_errors import error_text

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
        ({"choices": None}, 'field "choices": expected type "table", got "null"'),
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
            ' expected type "string", got "null"',
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
        (None, 'expected type "table", got "null"'),
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


def test_a_refusal_is_the_failure_and_its_words_the_message() -> None:
    for content in ({}, {"content": None}, {"content": ""}):
        body = completion({"role": "assistant", "refusal": "I will not.", **content})
        with pytest.raises(APIError, match=r"^I will not\.$") as caught:
            find_message(200, body)
        assert caught.value.body == body


def test_a_refusal_beside_a_call_is_none() -> None:
    message = {"content": None, "refusal": "I will not.", "tool_calls": [CALL]}
    assert find_message(200, completion(message)) == message


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"error": {"message": "Overloaded", "code": 529}}, ": Overloaded (529)"),
        ({"error": "no such model", "choices": []}, ": no such model"),
        ({"detail": "Not found"}, ": Not found"),
        ([{"error": {"message": "Bad key"}}], ": Bad key"),
        ('event: error\ndata: {"error": {"message": "Busy"}}\n\n', ": Busy"),
    ],
    ids=repr,
)
def test_an_error_with_status_200_is_told_in_the_servers_words(body: object, text: str) -> None:
    with pytest.raises(APIError) as caught:
        find_message(200, body)
    assert str(caught.value) == f"Request failed{text}"


def test_numbers_that_json_has_not_are_none_in_a_reply() -> None:
    body = completion({"tool_calls": [{**CALL, "cost": [float("inf"), float("nan"), 1]}]})
    before = copy.deepcopy(body)
    assert find_message(200, body)["tool_calls"] == [{**CALL, "cost": [None, None, 1]}]
    assert str(body) == str(before)


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
    calls: dict[str, Any]
    for calls in {"tool_calls": [CALL]}, {"function_call": {"name": "f"}}:
        reply = {"content": None, **calls, "audio": 1}
        assert history_message(reply) == {"role": "assistant", "content": None, **calls}


def test_of_calls_told_twice_the_history_keeps_those_that_are_answered() -> None:
    reply = {"content": None, "tool_calls": [CALL], "function_call": {"name": "f"}}
    assert history_message(reply) == {"role": "assistant", "content": None, "tool_calls": [CALL]}


@pytest.mark.parametrize(
    ("calls", "kept"),
    [
        ({"tool_calls": [{**CALL, "id": 5}]}, {"tool_calls": [{**CALL, "id": "5"}]}),
        ({"tool_calls": [{"type": "function"}]}, {"tool_calls": [{"type": "function", "id": ""}]}),
        ({"tool_calls": ["f", CALL]}, {"tool_calls": [CALL]}),
        ({"tool_calls": ["f"]}, {}),
        ({"function_call": {"name": 5}}, {"function_call": {"name": "5"}}),
    ],
)
def test_the_history_keeps_calls_that_an_answer_can_refer_to(
    calls: dict[str, Any], kept: dict[str, Any]
) -> None:
    assert history_message(calls) == {"role": "assistant", **kept}


def test_a_content_that_the_server_did_not_send_stays_absent_from_the_history() -> None:
    assert history_message({"role": "assistant", "tool_calls": [CALL]}) == {
        "role": "assistant",
        "tool_calls": [CALL],
    }


@pytest.mark.parametrize("calls", [{"tool_calls": {"a": 1}}, {"function_call": "auto"}], ids=repr)
def test_what_is_no_call_does_not_keep_a_text_from_being_one(calls: dict[str, Any]) -> None:
    reply = find_message(200, completion({"content": "x", **calls}))
    assert is_plain(reply)
    assert history_message(reply) == {"role": "assistant", "content": "x"}


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
    "delta",
    [
        {"role": "assistant", "content": None},
        {},
        {"content": ""},
        {"content": 1},
        {"tool_calls": []},
        {"tool_calls": "f"},
        {"tool_calls": [None, "f"]},
        {"content": None, "reasoning": None, "reasoning_content": ""},
    ],
    ids=repr,
)
def test_a_chunk_of_an_event_that_brings_nothing_is_an_empty_text(delta: dict[str, Any]) -> None:
    assert read_chunk(event(**delta)) == {"content": "", "index": 0}


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_a_chunk_has_the_reasoning_under_either_name(field: str) -> None:
    assert read_chunk(event(**{"content": None, field: "Hm"})) == {
        "content": "",
        "index": 0,
        "reasoning": "Hm",
    }


def test_a_chunk_has_the_reason_for_the_end() -> None:
    streamed = event()
    streamed["choices"][0]["finish_reason"] = "length"
    assert read_chunk(streamed) == {"content": "", "index": 0, "finish_reason": "length"}


@pytest.mark.parametrize("index", [None, "0", True, [0], float("inf"), 10**400], ids=type)
def test_the_index_of_a_chunk_is_a_number_that_both_languages_have(index: object) -> None:
    streamed = event(content="x")
    streamed["choices"][0]["index"] = index
    assert read_chunk(streamed) == {"content": "x", "index": 0}


def test_an_event_without_an_object_is_a_chunk() -> None:
    assert read_chunk({"choices": event(content="x")["choices"]}) == {"content": "x", "index": 0}


@pytest.mark.parametrize(
    "streamed",
    [
        {**event(content="x"), "object": "chat.completion"},
        {**event(content="x"), "object": ["chat.completion.chunk"]},
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
def test_an_event_without_exactly_one_choice_and_its_delta_is_no_chunk(streamed: object) -> None:
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


def calls_of(*tool_calls: dict[str, Any]) -> list[tuple[str | None, str, str]]:
    """Id, name and arguments of each call that pieces make."""
    calls = assemble(pieces(*tool_calls))["tool_calls"]
    return [(call.get("id"), *call["function"].values()) for call in calls]


def test_calls_with_ids_of_their_own_are_kept_apart_though_they_share_an_index() -> None:
    first = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{1"}}
    second = {"index": 0, "id": "b", "function": {"name": "f", "arguments": "{2"}}
    rest = {"index": 0, "function": {"arguments": "}"}}
    assert calls_of(first, rest, second, rest) == [("a", "f", "{1}"), ("b", "f", "{2}")]


def test_an_id_in_every_piece_is_one_call_whose_name_may_come_again() -> None:
    head = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}}
    rest = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "}"}}
    assert calls_of(head, rest) == [("a", "f", "{}")]


def test_pieces_that_are_mixed_find_their_call_by_its_id() -> None:
    def piece(name: str, arguments: str) -> dict[str, Any]:
        return {"index": 0, "id": name, "function": {"arguments": arguments}}

    assert calls_of(piece("a", "1"), piece("b", "2"), piece("a", "3")) == [
        ("a", "", "13"),
        ("b", "", "2"),
    ]


def test_an_id_that_comes_late_is_that_of_the_call_at_its_index() -> None:
    assert calls_of(
        {"index": 0, "function": {"name": "f"}},
        {"index": 0, "id": "a", "function": {"arguments": "{}"}},
    ) == [("a", "f", "{}")]


def test_an_empty_id_is_none() -> None:
    head = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}}
    assert calls_of(head, {"index": 0, "id": "", "function": {"arguments": "}"}}) == [
        ("a", "f", "{}")
    ]


def test_a_piece_without_index_id_and_name_goes_on_with_the_newest_call() -> None:
    rest = {"function": {"arguments": "}"}}
    assert calls_of(
        {"function": {"name": "f", "arguments": "{"}},
        rest,
        {"function": {"name": "g", "arguments": "{"}},
        rest,
    ) == [(None, "f", "{}"), (None, "g", "{}")]


def test_a_call_keeps_what_else_its_pieces_bring() -> None:
    signature = {"google": {"thought_signature": "x"}}
    head = {"index": 0, "id": "a", "function": {"name": "f"}, "extra_content": signature}
    call = assemble(pieces(head))["tool_calls"][0]
    assert call["extra_content"] == signature
    assert "index" not in call


def test_the_pieces_of_a_function_call_are_joined() -> None:
    deltas = [{"name": "f", "arguments": ""}, {"arguments": "{"}, {"arguments": "}"}]
    chunks = [read_chunk(event(content=None, function_call=delta)) for delta in deltas]
    assert assemble(filter(None, chunks)) == {
        "role": "assistant",
        "content": None,
        "function_call": {"name": "f", "arguments": "{}"},
    }


@pytest.mark.parametrize("sent", [None, ""])
def test_a_message_that_calls_has_null_for_a_content_that_came_without_a_text(sent: object) -> None:
    chunks = [read_chunk(event(content=sent)), read_chunk(event(tool_calls=[CALL]))]
    assert assemble(filter(None, chunks))["content"] is None


def test_a_message_that_calls_has_no_content_where_none_came() -> None:
    chunks = [read_chunk(event(role="assistant")), read_chunk(event(tool_calls=[CALL]))]
    assert assemble(filter(None, chunks)) == {"role": "assistant", "tool_calls": [CALL]}


def test_a_text_beside_tool_calls_is_kept() -> None:
    message = assemble([{"content": "Let me see."}, *pieces(CALL)])
    assert (message["content"], message["tool_calls"]) == ("Let me see.", [CALL])


def test_what_is_no_text_in_a_call_is_left_out() -> None:
    message = assemble(
        pieces({"index": 0, "id": None, "function": {"arguments": None}}, {"function": "f"})
    )
    assert message["tool_calls"] == [
        {"type": "function", "function": {"name": "", "arguments": ""}}
    ]


def test_putting_together_leaves_the_chunks_as_they_were() -> None:
    chunks = pieces(
        {"index": 0, "function": {"name": "f"}}, {"index": 0, "function": {"name": "g"}}
    )
    before = copy.deepcopy(chunks)
    assemble(chunks)
    assert chunks == before


# --- Streams without end ---


def test_calls_in_very_many_pieces_are_put_together() -> None:
    calls = ToolCalls()
    for number in range(20_000):
        calls.add({"index": number, "id": str(number), "function": {"name": "f"}})
    for _ in range(200_000):
        calls.add({"index": 0, "function": {"arguments": "abcd"}})
    first, *others = calls.whole()
    assert first["function"]["arguments"] == "abcd" * 200_000
    assert [call["id"] for call in others] == [str(number) for number in range(1, 20_000)]
