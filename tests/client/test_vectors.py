"""What stands in Python and in Lua alike: the cases that busted runs too, and any others."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luaopenai import LuaError, Runtime
from luaopenai.client.completions import find_message, is_plain, read_chunk
from luaopenai.client.errors import APIConnectionError, APIError
from luaopenai.client.messages import ROLES, check_input, check_message, check_messages
from luaopenai.client.responses import find_response, output_text, read_event
from luaopenai.client.sse import Decoder
from luaopenai.client.streams import EventReader
from luaopenai.client.tools import (
    answer,
    find_calls,
    find_response_calls,
    function_declaration,
    response_definition,
    tool_name,
)
from luaopenai.host import wire
from support import exactly

VECTORS = Path(__file__).parents[1] / "vectors"


def vectors(name: str) -> list[dict[str, Any]]:
    """The cases that the Lua specs read too."""
    cases: list[dict[str, Any]] = json.loads((VECTORS / f"{name}.json").read_text("utf-8"))
    return cases


def events_in(pieces: list[bytes]) -> list[Any]:
    found: list[Any] = []
    reader = EventReader(found.append)
    for piece in pieces:
        reader.feed(piece)
    reader.close()
    return found


@pytest.mark.parametrize("case", vectors("sse"), ids=lambda case: case["what"])
def test_a_stream_is_cut_into_events(case: dict[str, Any]) -> None:
    assert events_in([unquote_to_bytes(piece) for piece in case["pieces"]]) == case["events"]


@pytest.mark.parametrize("case", vectors("chunks"), ids=lambda case: json.dumps(case["event"]))
def test_a_chunk_is_read(case: dict[str, Any]) -> None:
    chunk = read_chunk(case["event"])
    assert chunk == case["chunk"]
    assert getattr(chunk, "is_content_empty", False) == case.get("is_content_empty", False)


@pytest.mark.parametrize("case", vectors("calls"), ids=lambda case: json.dumps(case)[:80])
def test_a_replys_calls_are_found_and_answered(case: dict[str, Any]) -> None:
    is_chat = "message" in case
    found = find_calls(case["message"]) if is_chat else find_response_calls(case["response"])
    fields = ("id", "name", "text", "kind")
    assert [{name: getattr(call, name) for name in fields} for call in found] == case["calls"]
    assert [answer(call, "ok") for call in found] == case["answers"]


@pytest.mark.parametrize("case", vectors("tools"), ids=lambda case: json.dumps(case["tool"])[:80])
def test_a_tool_is_written_as_the_api_takes_it(case: dict[str, Any]) -> None:
    assert response_definition(case["tool"]) == case["response"]
    assert function_declaration(case["tool"]) == case["function"]
    assert tool_name(case["tool"]) == case["name"]


CHECKS: dict[str, Callable[[Any], None]] = {
    "message": lambda value: check_message(value, "message", 1),
    "messages": lambda value: check_messages(value, 1),
    "input": lambda value: check_input(value, 1),
}


@pytest.mark.parametrize("case", vectors("messages"), ids=json.dumps)
def test_messages_and_input_are_taken_or_refused(case: dict[str, Any]) -> None:
    check = CHECKS[case["checks"]]
    if "fails" in case:
        with pytest.raises(ValueError, match=exactly(case["fails"])):
            check(case["value"])
    else:
        check(case["value"])


def read_answer(kind: str, body: Any) -> Any:
    if kind == "chat":
        message = find_message(200, body)
        return message["content"] if is_plain(message) else message
    if kind == "responses":
        return output_text(find_response(200, body))
    what, text = read_event(body)
    return text if what == "text" else None


@pytest.mark.parametrize("case", vectors("answers"), ids=json.dumps)
def test_an_answer_means_a_reply_or_a_failure(case: dict[str, Any]) -> None:
    if "fails" in case:
        with pytest.raises(APIError, match=exactly(case["fails"])):
            read_answer(case["of"], case["body"])
    else:
        expected = case["message"] if "message" in case else case["text"]
        assert read_answer(case["of"], case["body"]) == expected


@pytest.mark.parametrize("case", vectors("wire"), ids=lambda case: case["text"])
def test_the_wire_carries_values(case: dict[str, Any]) -> None:
    values = wire.decode(case["text"].encode())
    assert wire.decode(wire.encode(values, "x")) == values
    if "values" in case:
        assert values == case["values"]
    elif "bytes" in case:
        assert values == [unquote_to_bytes(case["bytes"])]
    else:
        assert values == [{key: value for key, value in case["pairs"]}]  # noqa: C416


ENDLESS = """
local filter = require("openai.sse").create_stream_filter(function() end)
for _, piece in ipairs(...) do filter(piece) end
"""


@pytest.mark.parametrize(
    "pieces",
    [[b'data: {"s": "', *[b"x" * 50] * 20], [b"data: {\n", *[b"data: 1,\n"] * 200]],
    ids=["in a line", "in many lines"],
)
def test_an_event_that_does_not_end_is_given_up_in_both_languages(
    monkeypatch: pytest.MonkeyPatch, pieces: list[bytes]
) -> None:
    monkeypatch.setattr("luaopenai.client.sse.LONGEST_EVENT", 500)
    with pytest.raises(LuaError, match="an event of the stream is larger than 500 bytes"):
        Runtime(rocks=False).run_string(ENDLESS, "endless", pieces)
    decoder = Decoder(lambda _: False, 500)
    with pytest.raises(APIConnectionError, match="an event of the stream is larger than 500 bytes"):
        decoder.feed(b"".join(pieces))


# --- What is in no case ---

LUA = r"""
local json = require("cjson.instance").raising()
json.decode_array_with_array_mt(true)
json.encode_exact_numbers(true)
json.encode_invalid_numbers(true)
local openai = require("openai")
local what, value = ...

if what == "events" then
  local events = setmetatable({}, json.array_mt)
  local filter = require("openai.sse").create_stream_filter(function(event)
    events[#events + 1] = event
  end)
  for _, piece in ipairs(value) do filter(piece) end
  filter(nil)
  return json.encode(events)
end

value = json.decode(value)
if what == "chunk" then
  return json.encode({ require("openai.chat_completions").parse_completion_chunk(value[1]) })
end
local client = openai.new("key")
function client._request() return 200, {} end
local checks = {
  message = function() openai.ChatSession(client):append_message(value[1]) end,
  messages = function() client:create_chat_completion(value[1]) end,
  input = function() openai.ResponsesChatSession(client):create_response(value[1]) end,
}
local ok, failure = pcall(checks[what])
return ok and "" or failure
"""


@pytest.fixture(scope="module")
def runtime() -> Runtime:
    return Runtime(rocks=False)


FRAGMENTS = st.sampled_from(
    [
        *rb'data: {"s": "a"}|data: {"s": "\ud83d"}|data: {"s": "\ude00"}|data: |data|"s"'.split(
            b"|"
        ),
        *rb"{|}|[|]|:|1|1.5|null|, |\u00e9|\ud83d|\ude00|\x|[DONE]|event: x|: x|  ".split(b"|"),
        *(
            b"\n",
            b"\r",
            b"\r\n",
            b"\n\n",
            b"\xef\xbb\xbf",
            b"\xc3",
            b"\xa9",
            b"\x00",
            b"\x01",
            b'"',
        ),
    ]
)


@settings(deadline=None)
@given(st.lists(FRAGMENTS, max_size=30), st.data())
def test_any_stream_has_the_same_events_in_both_languages(
    runtime: Runtime, fragments: list[bytes], data: st.DataObject
) -> None:
    body = b"".join(fragments)
    edges = data.draw(st.lists(st.integers(0, len(body)), max_size=6).map(sorted))
    pieces = [body[start:end] for start, end in pairwise([0, *edges, len(body)])]
    found = runtime.run_string(LUA, "both", "events", pieces)
    assert json.loads(found) == events_in(pieces) == events_in([body])


SCALARS = (
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "text", "x", "é", 0.5])
)
NAMES = st.sampled_from(
    [
        *("role", "content", "type", "text", "image_url", "url", "name", "tool_call_id", "output"),
        *("tool_calls", "function_call", "delta", "index", "object", "choices", "finish_reason"),
        *("reasoning", "refusal", "call_id"),
    ]
)
VALUES = st.recursive(
    SCALARS | st.sampled_from([*ROLES, "text", "image_url", "message", "function_call_output"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(ROLES) | VALUES,
        "content": st.just("x") | VALUES,
        "type": SCALARS | st.sampled_from(["message", "function_call_output"]),
        "name": SCALARS,
        "tool_call_id": SCALARS,
        "tool_calls": VALUES,
        "function_call": VALUES,
        "call_id": SCALARS,
        "output": VALUES,
    },
)


def python_says(kind: str, value: Any) -> str:
    try:
        CHECKS[kind](value)
    except ValueError as error:
        return str(error)
    return ""


@settings(deadline=None)
@given(MESSAGES | VALUES)
def test_any_value_is_taken_or_refused_alike_in_both_languages(
    runtime: Runtime, value: Any
) -> None:
    said = {}
    for kind, checked in (("message", value), ("messages", [value]), ("input", [value])):
        text = json.dumps([checked]).encode()
        said[kind] = runtime.run_string(LUA, "both", kind, text), python_says(kind, checked)
    assert all(lua == python for lua, python in said.values()), said


EVENTS = st.fixed_dictionaries(
    {
        "choices": VALUES
        | st.lists(
            st.fixed_dictionaries(
                {"delta": VALUES | st.dictionaries(NAMES, VALUES, max_size=4)},
                optional={"index": SCALARS, "finish_reason": SCALARS},
            ),
            min_size=1,
            max_size=2,
        )
    },
    optional={"object": SCALARS | st.just("chat.completion.chunk")},
)


@settings(deadline=None)
@given(EVENTS | VALUES)
def test_any_event_is_the_same_chunk_in_both_languages(runtime: Runtime, event: Any) -> None:
    found = json.loads(runtime.run_string(LUA, "both", "chunk", json.dumps([event]).encode()))
    chunk = read_chunk(event)
    assert (found or [None]) == [chunk]
