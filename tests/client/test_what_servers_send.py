"""What sessions of both languages make of what servers really send: they lose and raise nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer

from luaopenai import APIError, OpenAI, Runtime
from luaopenai.client.lenient import whole_characters

DONE = b"data: [DONE]\n\n"
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
COMPLETED = {"type": "response.completed", "response": {"id": "r", "output": []}}


class Outcome(NamedTuple):
    """What a turn came to; ``failure`` is "" for none, ``texts`` those of the chunks."""

    reply: Any
    failure: str
    body: Any
    texts: list[str]
    events: list[Any]
    history: list[Any]


Talk = Callable[..., Outcome]

LUA_TURN = """
  local url, kind, streams = ...
  local client = require("openai").new("key", { max_retries = 0, base_url = url })
  local session = client[kind](client)
  local texts, events = {}, {}
  local function callback(chunk, event)
    assert(tostring(chunk) == chunk.content)
    texts[#texts + 1], events[#events + 1] = chunk.content, event
  end
  local reply, failure, body = session:send("Hi", streams and callback or nil)
  if reply ~= nil then
    assert(failure == session.last_response, "the raw answer follows the reply")
    failure, body = nil, nil
  end
  local history = session.messages or session.response_history
  return { reply, failure or "", body, texts, events, history }
"""


def python_turn(url: str, kind: str, streams: bool) -> Outcome:
    texts: list[str] = []
    events: list[Any] = []

    def callback(chunk: Any, event: Any) -> None:
        assert str(chunk) == chunk["content"]
        texts.append(chunk["content"])
        events.append(event)

    with OpenAI("key", url, max_retries=0) as client:
        session = getattr(client, kind)()
        reply, failure, body = None, "", None
        try:
            reply = session.send("Hi", *([callback] if streams else []))
        except APIError as error:
            failure, body = str(error), error.body
        history = session.messages if kind == "new_chat_session" else session.response_history
        return Outcome(reply, failure, body, texts, events, history)


def lua_turn(url: str, kind: str, streams: bool) -> Outcome:
    found = Runtime(rocks=False).run_string(LUA_TURN, "turn", url, kind, streams)
    fields = found if isinstance(found, dict) else dict(enumerate(found, 1))
    lists = (fields.get(number) or [] for number in (4, 5, 6))
    return Outcome(fields.get(1), fields.get(2, ""), fields.get(3), *lists)


@pytest.fixture(params=[python_turn, lua_turn], ids=["python", "lua"])
def talk(request: pytest.FixtureRequest, httpserver: HTTPServer) -> Talk:
    """One turn with a server that answers with the body given."""

    def turn(
        body: object, *, streams: bool = False, responses: bool = False, status: int = 200
    ) -> Outcome:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = "new_responses_chat_session" if responses else "new_chat_session"
        content_type = "text/event-stream" if data.startswith(b"data:") else "application/json"
        path = "/v1/responses" if responses else "/v1/chat/completions"
        httpserver.clear_all_handlers()
        httpserver.expect_request(path).respond_with_data(data, status, content_type=content_type)
        outcome: Outcome = request.param(httpserver.url_for("/v1"), kind, streams)
        json.dumps(outcome.history, ensure_ascii=False, allow_nan=False).encode()
        return outcome

    return turn


def completion(message: bytes) -> bytes:
    return b'{"choices": [{"index": 0, "message": ' + message + b"}]}"


def chat_stream(*deltas: bytes) -> bytes:
    events = (b'data: {"choices": [{"index": 0, "delta": %s}]}\n\n' % delta for delta in deltas)
    return b"".join(events) + DONE


def text_stream(*texts: bytes) -> bytes:
    event = b'data: {"type": "response.output_text.delta", "delta": "%s"}\n\n'
    return (
        b"".join(event % text for text in texts) + b"data: %s\n\n" % json.dumps(COMPLETED).encode()
    )


# --- Characters ---

ODD = {
    "half of a pair": (rb"a\ud83d!", "a\ufffd!"),
    "the other half": (rb"a\uDE00!", "a\ufffd!"),
    "a half at the end": (rb"a\ud83d", "a\ufffd"),
    "halves in the wrong order": (rb"\ude00\ud83d", "\ufffd\ufffd"),
    "a pair": (rb"a\ud83d\ude00", "a😀"),
    "what looks like a half": (rb"a\\ud83d", "a\\ud83d"),
    "control characters": (b"a\x01\t\x0b\x1b\x7f!", "a\x01\t\x0b\x1b\x7f!"),
    "a NUL": (b"a\x00!", "a\x00!"),
    "what is not UTF-8": (b"a\xff\xc3!", "a\ufffd\ufffd!"),
}


@pytest.mark.parametrize(("sent", "text"), ODD.values(), ids=ODD)
def test_an_odd_text_is_a_reply(talk: Talk, sent: bytes, text: str) -> None:
    outcome = talk(completion(b'{"content": "%s"}' % sent))
    assert (outcome.reply, outcome.failure) == (text, "")
    assert outcome.history[-1] == {"role": "assistant", "content": text}


@pytest.mark.parametrize(("sent", "text"), ODD.values(), ids=ODD)
def test_an_odd_text_is_streamed(talk: Talk, sent: bytes, text: str) -> None:
    stream = chat_stream(b'{"content": "<"}', b'{"content": "%s"}' % sent, b'{"content": ">"}')
    outcome = talk(stream, streams=True)
    assert (outcome.reply, outcome.failure) == (f"<{text}>", "")
    assert outcome.texts == ["<", text, ">"]
    assert outcome.events[1]["choices"][0]["delta"] == {"content": text}
    assert outcome.history[-1] == {"role": "assistant", "content": f"<{text}>"}


@pytest.mark.parametrize(("sent", "text"), ODD.values(), ids=ODD)
def test_an_odd_text_is_a_response(talk: Talk, sent: bytes, text: str) -> None:
    body = b'{"id": "r", "output": [{"content": [{"type": "output_text", "text": "%s"}]}]}' % sent
    outcome = talk(body, responses=True)
    assert outcome.reply["output"][0]["content"][0]["text"] == text


@pytest.mark.parametrize(("sent", "text"), ODD.values(), ids=ODD)
def test_an_odd_text_is_streamed_by_the_responses_api(talk: Talk, sent: bytes, text: str) -> None:
    outcome = talk(text_stream(b"<", sent, b">"), streams=True, responses=True)
    assert (outcome.reply, outcome.failure) == (f"<{text}>", "")
    assert outcome.texts == ["<", text, ">"]


@pytest.mark.parametrize(("sent", "text"), ODD.values(), ids=ODD)
def test_an_odd_text_is_an_argument(talk: Talk, sent: bytes, text: str) -> None:
    call = b'{"id": "1", "type": "function", "function": {"name": "f", "arguments": "%s"}}' % sent
    whole = talk(completion(b'{"content": null, "tool_calls": [%s]}' % call))
    assert whole.reply["tool_calls"][0]["function"]["arguments"] == text
    assert whole.history[-1]["tool_calls"] == whole.reply["tool_calls"]


@pytest.mark.parametrize("sent", [b"\xe9", rb"\ud83d"], ids=repr)
def test_an_odd_text_may_be_of_an_error(talk: Talk, sent: bytes) -> None:
    outcome = talk(b'{"error": {"message": "caf%s"}}' % sent, status=400)
    assert outcome.failure == "Bad status: 400: caf\ufffd"
    assert outcome.body == {"error": {"message": "caf\ufffd"}}


def test_a_pair_that_is_cut_between_two_events_is_whole_in_the_first(talk: Talk) -> None:
    stream = chat_stream(rb'{"content": "a\ud83d"}', rb'{"content": "\ude00b"}')
    outcome = talk(stream, streams=True)
    assert (outcome.reply, outcome.texts) == ("a😀b", ["a😀", "b"])
    deltas = [event["choices"][0]["delta"] for event in outcome.events]
    assert deltas == [{"content": "a😀"}, {"content": "b"}]


def test_a_pair_of_the_responses_api_may_be_cut_too(talk: Talk) -> None:
    outcome = talk(text_stream(rb"a\ud83d", rb"\ude00b"), streams=True, responses=True)
    assert (outcome.reply, outcome.texts) == ("a😀b", ["a😀", "b"])


def test_a_pair_in_an_argument_may_be_cut_too(talk: Talk) -> None:
    piece = rb'{"tool_calls": [{"index": 0, "id": "1", "function": {"arguments": "%s"}}]}'
    outcome = talk(chat_stream(piece % rb"a\ud83d", piece % rb"\ude00b"), streams=True)
    assert outcome.reply["tool_calls"][0]["function"]["arguments"] == "a😀b"


def test_a_half_before_the_end_of_a_stream_is_given_there(talk: Talk) -> None:
    outcome = talk(chat_stream(rb'{"content": "a\ud83d"}', b"{}"), streams=True)
    assert (outcome.reply, outcome.texts) == ("a\ufffd", ["a\ufffd", ""])


# --- Numbers ---


@pytest.mark.parametrize(
    ("sent", "number"),
    [("Infinity", math.inf), ("-Infinity", -math.inf), ("1e999", math.inf), ("1" * 5000, math.inf)],
    ids=["Infinity", "-Infinity", "1e999", "5000 digits"],
)
def test_a_number_that_json_has_not_is_infinity(talk: Talk, sent: str, number: float) -> None:
    stream = b'data: {"choices": [{"index": 0, "delta": {"content": "x"}}], "n": %s}\n\n' + DONE
    outcome = talk(stream % sent.encode(), streams=True)
    assert (outcome.reply, outcome.events[0]["n"]) == ("x", number)
    body = b'{"choices": [{"message": {"content": "x"}}], "usage": {"cost": %s}}' % sent.encode()
    assert talk(body).reply == "x"


def test_not_a_number_is_one(talk: Talk) -> None:
    stream = b'data: {"choices": [{"index": 0, "delta": {"content": "x"}}], "n": NaN}\n\n' + DONE
    assert math.isnan(talk(stream, streams=True).events[0]["n"])


@pytest.mark.parametrize("sent", ["Infinity", "NaN", "1e999"])
def test_a_number_that_json_has_not_is_null_in_what_is_sent_again(talk: Talk, sent: str) -> None:
    call = json.dumps({**CALL, "cost": 0}).replace('"cost": 0', f'"cost": {sent}').encode()
    outcome = talk(completion(b'{"content": null, "tool_calls": [%s]}' % call))
    assert outcome.reply["tool_calls"] == [{**CALL, "cost": None}]
    assert outcome.history[-1]["tool_calls"] == [{**CALL, "cost": None}]
    outcome = talk(chat_stream(b'{"tool_calls": [%s]}' % call), streams=True)
    assert outcome.history[-1]["tool_calls"] == outcome.reply["tool_calls"]
    assert outcome.reply["tool_calls"][0]["function"] == CALL["function"]


# --- Contents ---


def test_a_content_that_was_not_sent_stays_absent(talk: Talk) -> None:
    message = {"role": "assistant", "tool_calls": [CALL]}
    assert talk(completion(json.dumps(message).encode())).history[-1] == message
    delta = json.dumps({"tool_calls": [{"index": 0, **CALL}]}).encode()
    assert talk(chat_stream(delta), streams=True).history[-1] == message


def test_a_content_that_is_null_stays_null(talk: Talk) -> None:
    message = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    assert talk(completion(json.dumps(message).encode())).history[-1] == message
    delta = json.dumps({"tool_calls": [{"index": 0, **CALL}]}).encode()
    stream = chat_stream(b'{"role": "assistant", "content": null}', delta)
    assert talk(stream, streams=True).history[-1] == message


# --- Events ---


def test_a_whole_object_is_an_event_after_a_broken_one(talk: Talk) -> None:
    events = b'data: {broken\ndata: {"choices": [{"index": 0, "delta": {"content": "x"}}]}\n\n'
    assert talk(events + DONE, streams=True).reply == "x"


def test_a_stream_without_texts_is_called_back_for(talk: Talk) -> None:
    stream = chat_stream(b'{"role": "assistant"}', b'{"content": "", "reasoning": "Hm"}')
    outcome = talk(stream, streams=True)
    assert (outcome.texts, outcome.reply) == (["", ""], "")


@pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])
def test_an_answer_that_is_no_stream_is_a_reply_to_who_asked_for_one(
    talk: Talk, responses: bool
) -> None:
    output = [{"content": [{"type": "output_text", "text": "Hello"}]}]
    body = {"id": "r", "output": output, "choices": [{"message": {"content": "Hello"}}]}
    outcome = talk(body, streams=True, responses=responses)
    assert (outcome.reply, outcome.failure, outcome.texts) == ("Hello", "", [])


# --- Failures ---


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])
@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"Service Unavailable", ": Service Unavailable"),
        (b'data: {"error": {"message": "Busy", "code": 7}}\n\n', ": Busy (7)"),
        (b'{"detail": [{"loc": ["body", 0], "msg": "Missing"}]}', ": body.0: Missing"),
        (b'{"detail": "Not Found"}', ": Not Found"),
        (b"<html>", ""),
    ],
    ids=repr,
)
def test_a_bad_status_comes_with_the_servers_words(
    talk: Talk, streams: bool, responses: bool, body: bytes, text: str
) -> None:
    outcome = talk(body, streams=streams, responses=responses, status=500)
    prefix = "Request failed with status" if responses else "Bad status"
    assert outcome.failure == f"{prefix}: 500{text}"


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])
def test_an_error_with_status_200_is_a_failure_with_the_servers_words(
    talk: Talk, streams: bool, responses: bool
) -> None:
    body = {"error": {"message": "Overloaded", "code": 529}}
    outcome = talk(body, streams=streams, responses=responses)
    what = "Response" if responses else "Request"
    assert (outcome.reply, outcome.failure) == (None, f"{what} failed: Overloaded (529)")


def test_a_refusal_is_a_failure_in_the_models_words(talk: Talk) -> None:
    body = {"choices": [{"message": {"content": None, "refusal": "I will not."}}]}
    outcome = talk(body)
    assert (outcome.reply, outcome.failure, outcome.body) == (None, "I will not.", body)
    assert len(outcome.history) == 1


def test_a_refusal_that_is_streamed_is_a_failure_with_the_text_so_far(talk: Talk) -> None:
    stream = chat_stream(
        b'{"content": "Well"}', b'{"refusal": "I will "}', b'{"refusal": "not."}', b"{}"
    )
    outcome = talk(stream, streams=True)
    assert (outcome.reply, outcome.failure, outcome.body) == (None, "I will not.", "Well")
    assert len(outcome.history) == 1


def test_a_refusal_of_the_responses_api_is_a_failure_in_the_models_words(talk: Talk) -> None:
    refusal = {"type": "refusal", "refusal": "I will not."}
    body = {"id": "r", "output": [{"type": "message", "content": [refusal]}]}
    outcome = talk(body, responses=True)
    assert (outcome.reply, outcome.failure, outcome.body) == (None, "I will not.", body)
    assert outcome.history == []


def test_a_refusal_that_the_responses_api_streams_is_a_failure(talk: Talk) -> None:
    deltas = [{"type": "response.refusal.delta", "delta": text} for text in ("I will ", "not.")]
    stream = b"".join(b"data: %s\n\n" % json.dumps(one).encode() for one in [*deltas, COMPLETED])
    outcome = talk(stream, streams=True, responses=True)
    assert (outcome.reply, outcome.failure, outcome.body) == (None, "I will not.", "")


def test_a_response_that_failed_is_a_failure(talk: Talk) -> None:
    body = {"id": "r", "output": [], "status": "failed", "error": {"message": "Broke"}}
    assert talk(body, responses=True).failure == "Response failed: Broke"


def test_a_responses_stream_without_its_end_mark_is_a_failure_with_the_text_so_far(
    talk: Talk,
) -> None:
    stream = b'data: {"type": "response.output_text.delta", "delta": "Hel"}\n\n'
    outcome = talk(stream, streams=True, responses=True)
    assert outcome.failure == "Stream failed: the answer was cut off"
    assert (outcome.reply, outcome.body, outcome.history) == (None, "Hel", [])


# --- Anything at all ---

PLAIN_LUA = """
  local status, pieces, kind, streams = ...
  local client = require("openai").new("key", { http_provider = "any" })
  package.loaded.any = {
    request = function(request)
      for _, piece in ipairs(pieces) do request.sink(piece) end
      return 1, status, {}
    end,
  }
  local session, texts = client[kind](client), {}
  local callback = streams and function(chunk) texts[#texts + 1] = chunk.content end or nil
  local reply, failure = session:send("Hi", callback)
  assert(reply ~= nil or type(failure) == "string")
  -- What came can be sent again.
  session:send("Hi", callback)
  return table.concat(texts)
"""
KINDS = st.sampled_from(["new_chat_session", "new_responses_chat_session"])
FRAGMENTS = st.sampled_from(
    [
        *(rb'{"choices":[{"index":0,"delta":{"content":"|"}}]}|\ud83d|\ude00|data: |[DONE]').split(
            b"|"
        ),
        *(
            b'"message":{"content":|"error":|"tool_calls":[{"index":0,|null|1e999|NaN|\xff|\x00'
        ).split(b"|"),
        *b'\n|\r|\n\n|{|}|[|]|"|:|,|"type":"response.output_text.delta"|"delta":|"id":"r"'.split(
            b"|"
        ),
    ]
)
BODIES = st.lists(FRAGMENTS | st.binary(max_size=4), max_size=25)


@pytest.fixture(scope="module")
def runtime() -> Runtime:
    return Runtime(rocks=False)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from([200, 500]), BODIES, KINDS, st.booleans())
def test_any_body_is_a_reply_or_a_failure(
    runtime: Runtime, status: int, pieces: list[bytes], kind: str, streams: bool
) -> None:
    runtime.run_string(PLAIN_LUA, "any", status, pieces, kind, streams)


TEXTS = st.lists(
    st.sampled_from(["a", "é", "😀", r"\ud83d", r"\ude00", "\x01", "\x00"]), max_size=6
)


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=5), st.data())
def test_the_text_of_a_stream_is_the_same_wherever_it_is_cut(
    runtime: Runtime, deltas: list[list[str]], data: st.DataObject
) -> None:
    stream = chat_stream(*(b'{"content": "%s"}' % "".join(parts).encode() for parts in deltas))
    written = "".join("".join(parts) for parts in deltas)
    expected = whole_characters(json.loads(f'"{written}"', strict=False))
    edges = data.draw(st.lists(st.integers(0, len(stream)), max_size=8).map(sorted))
    bounds = [0, *edges, len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(bounds)]
    found = runtime.run_string(PLAIN_LUA, "any", 200, pieces, "new_chat_session", True)
    assert found == expected * 2  # The code takes two turns.
