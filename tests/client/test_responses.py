"""The Responses API in Python: what its answers and events mean, and the session over it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from luaopenai import (
    APIConnectionError,
    APIError,
    BadRequestError,
    OpenAI,
    ResponseObject,
    ResponsesChatSession,
)
from luaopenai.client.messages import check_input
from luaopenai.client.responses import find_response, output_images, output_text, read_event
from support import exactly

Event = dict[str, Any]


def message(*texts: str) -> dict[str, Any]:
    parts = [{"type": "output_text", "text": text, "annotations": []} for text in texts]
    return {"type": "message", "role": "assistant", "content": parts}


def answer(name: str, *output: dict[str, Any]) -> dict[str, Any]:
    return {"id": name, "object": "response", "status": "completed", "output": list(output)}


def delta(text: str) -> Event:
    return {"type": "response.output_text.delta", "delta": text}


def stream(*events: Event) -> bytes:
    return b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events)


def completed(name: str, text: str) -> Event:
    return {"type": "response.completed", "response": answer(name, message(text))}


def ignore(*_: object) -> None:
    pass


# --- What may be sent ---


@pytest.mark.parametrize(
    "input",
    [
        "Hello",
        "",
        [],
        [{"role": "user", "content": "Hello"}],
        ({"type": "message", "role": "developer", "content": "Be brief."},),
        [{"role": "user", "content": [{"type": "input_text", "text": "Hello"}]}],
        [{"type": "function_call_output", "call_id": "call_1", "output": "42"}],
        [{"type": "function_call_output", "call_id": "call_1", "output": [{"type": "input_text"}]}],
        [{"type": "reasoning", "id": "rs_1"}, {"type": "item_reference", "id": "msg_1"}],
    ],
    ids=repr,
)
def test_good_input_passes(input: Any) -> None:
    check_input(input)


@pytest.mark.parametrize(
    ("input", "text"),
    [
        (None, "input must be provided"),
        (5, "input: expected a string or a list, got a number"),
        (b"\xff", "input: expected a string or a list, got a string that is not UTF-8"),
        ({"role": "user"}, "input: expected a string or a list, got a table"),
        (["Hello"], "input[0]: expected a table with role and content, got a string"),
        ([{"type": 1}], "input[0].type: expected a string, got a number"),
        (
            [{"role": "user"}, {"type": "message", "content": "Hello"}],
            "input[1].role: expected one of system, developer, user, assistant, function, tool;"
            " got nothing",
        ),
        (
            [{"type": "function_call_output", "output": "42"}],
            "input[0].call_id: expected a string, got nothing",
        ),
        (
            [{"type": "function_call_output", "call_id": "call_1", "output": {"sum": 42}}],
            "input[0].output: expected a string or a list, got a table",
        ),
    ],
    ids=repr,
)
def test_bad_input_is_refused_by_its_place(input: Any, text: str) -> None:
    with pytest.raises(ValueError, match=exactly(text)):
        check_input(input)


# --- What an answer means ---


def test_the_text_is_that_of_all_output_text_parts() -> None:
    refusal = {"type": "message", "content": [{"type": "refusal", "refusal": "no", "text": "x"}]}
    reasoning = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
    found = output_text(answer("r", reasoning, message("Hello, ", "world"), refusal, message("!")))
    assert found == "Hello, world!"


@pytest.mark.parametrize(
    "strange",
    [
        None,
        "text",
        {},
        {"output": None},
        {"output": ["text", None]},
        {"output": [{"content": "text"}]},
        {"output": [{"content": [{"type": "output_text", "text": None}, "text"]}]},
    ],
    ids=repr,
)
def test_a_strange_response_has_no_text_and_no_images(strange: object) -> None:
    assert output_text(strange) == ""
    assert output_images(strange) == []


def test_images_are_the_results_of_generation_calls() -> None:
    calls = [{"type": "image_generation_call", "result": result} for result in ("QUJD", None)]
    assert output_images(answer("r", *calls, message("There."))) == [{"b64_json": "QUJD"}]


def test_a_response_object_is_a_dict_that_knows_its_text_and_images() -> None:
    image = {"type": "image_generation_call", "result": "QUJD"}
    response = ResponseObject(answer("r", message("Hello"), image))
    assert response["id"] == "r"
    assert str(response) == response.get_output_text() == "Hello"
    assert response.get_images() == [{"b64_json": "QUJD"}]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("<html>", 'expected type "table", got "string"'),
        (None, 'expected type "table", got "null"'),
        ({}, 'field "id": expected type "string", got "nil"'),
        ({"id": None, "output": []}, 'field "id": expected type "string", got "null"'),
        ({"id": "r"}, 'field "output": expected type "table", got "nil"'),
        ({"id": "r", "output": "text"}, 'field "output": expected type "table", got "string"'),
    ],
    ids=repr,
)
def test_a_body_that_is_no_response_is_an_error_that_names_the_field(
    body: object, reason: str
) -> None:
    with pytest.raises(APIError) as caught:
        find_response(200, body)
    assert str(caught.value) == f"Failed to parse response: {reason}"
    assert (caught.value.status, caught.value.body) == (200, body)


@pytest.mark.parametrize(
    ("event", "meaning"),
    [
        (delta("Hel"), ("text", "Hel")),
        (completed("r", "Hello"), ("done", None)),
        ({"type": "response.incomplete", "response": answer("r")}, ("done", None)),
        (
            {"type": "response.failed", "response": {"error": {"message": "no", "code": "bad"}}},
            ("failed", "Response failed: no (bad)"),
        ),
        ({"type": "response.failed"}, ("failed", "Response failed")),
        ({"type": "error", "message": "no", "code": None}, ("failed", "Response failed: no")),
        ({"type": "error", "error": {"message": "no"}}, ("failed", "Response failed: no")),
        ({"error": {"message": "no", "code": 500}}, ("failed", "Response failed: no (500)")),
        ({"type": "response.created", "response": {"error": None}}, ("", None)),
        ({"type": "response.completed"}, ("", None)),
        ({"type": "response.output_text.delta", "delta": None}, ("", None)),
        ({}, ("", None)),
        ("text", ("", None)),
    ],
    ids=repr,
)
def test_an_event_brings_text_the_end_a_failure_or_nothing(
    event: object, meaning: tuple[str, Any]
) -> None:
    assert read_event(event) == meaning


# --- The session ---


@pytest.fixture
def session(client: OpenAI) -> ResponsesChatSession:
    return client.new_responses_chat_session(model="m")


def respond(server: HTTPServer, *bodies: object, status: int = 200) -> None:
    """Answer one request after the other; bytes are a stream."""
    for body in bodies:
        expected = server.expect_ordered_request("/v1/responses", method="POST")
        if isinstance(body, bytes):
            expected.respond_with_data(body, status, content_type="text/event-stream")
        else:
            expected.respond_with_json(body, status)


def payloads(server: HTTPServer) -> list[Any]:
    return [json.loads(request.get_data()) for request, _ in server.log]


def test_a_session_continues_from_the_response_before(
    session: ResponsesChatSession, httpserver: HTTPServer
) -> None:
    respond(httpserver, answer("r1", message("one")), answer("r2", message("two")))
    assert [str(session.send("first")), str(session.send("second"))] == ["one", "two"]
    assert payloads(httpserver) == [
        {"model": "m", "input": "first"},
        {"model": "m", "input": "second", "previous_response_id": "r1"},
    ]
    assert [response["id"] for response in session.response_history] == ["r1", "r2"]
    assert session.current_response_id == "r2"


def test_a_session_sends_its_options_and_those_of_the_call(
    client: OpenAI, httpserver: HTTPServer
) -> None:
    tools = [{"type": "web_search"}]
    session = client.new_responses_chat_session(
        model="m", instructions="Be brief.", tools=tools, previous_response_id="r0"
    )
    respond(httpserver, answer("r1"), answer("r2"))
    session.send("first", model="other", max_output_tokens=5, previous_response_id=None)
    session.send("second")
    common = {"instructions": "Be brief.", "tools": tools}
    assert payloads(httpserver) == [
        {"model": "other", "input": "first", "max_output_tokens": 5, **common},
        {"model": "m", "input": "second", "previous_response_id": "r1", **common},
    ]


def test_a_function_call_is_answered_with_its_output(
    session: ResponsesChatSession, httpserver: HTTPServer
) -> None:
    call = {"type": "function_call", "call_id": "call_1", "name": "add", "arguments": "{}"}
    respond(httpserver, answer("r1", call), answer("r2", message("3")))
    asked = session.send("Add 1 and 2")
    assert isinstance(asked, ResponseObject)
    assert asked["output"] == [call]
    output = [{"type": "function_call_output", "call_id": "call_1", "output": "3"}]
    assert str(session.send(output)) == "3"
    assert payloads(httpserver)[1]["input"] == output


def test_a_stream_hands_over_chunks_and_events_and_returns_the_text(
    session: ResponsesChatSession, httpserver: HTTPServer
) -> None:
    events = [{"type": "response.created"}, delta("Hel"), delta("lo"), completed("r1", "Hello")]
    respond(httpserver, stream(*events))
    seen: list[object] = []
    reply = session.send("Hi", lambda chunk, event: seen.append((chunk, str(chunk), event)))
    assert reply == "Hello"
    assert seen == [({"content": text}, text, delta(text)) for text in ("Hel", "lo")]
    assert payloads(httpserver) == [{"model": "m", "input": "Hi", "stream": True}]
    assert session.current_response_id == "r1"
    assert [str(response) for response in session.response_history] == ["Hello"]


def test_a_stream_that_ends_in_a_failure_is_an_error_with_its_event(
    session: ResponsesChatSession, httpserver: HTTPServer
) -> None:
    failed = {"type": "response.failed", "response": {"error": {"message": "no", "code": "bad"}}}
    respond(httpserver, stream(delta("Hel"), failed))
    with pytest.raises(APIError) as caught:
        session.send("Hi", ignore)
    assert str(caught.value) == "Response failed: no (bad)"
    assert caught.value.body == failed
    assert (session.current_response_id, session.response_history) == (None, [])


@pytest.mark.parametrize("callback", [None, ignore], ids=["plain", "stream"])
def test_a_refusal_is_an_error_with_status_and_body(
    session: ResponsesChatSession,
    httpserver: HTTPServer,
    callback: Callable[..., None] | None,
) -> None:
    body = {"error": {"message": "Unknown id", "code": 400}}
    respond(httpserver, body, status=400)
    with pytest.raises(BadRequestError) as caught:
        session.send("Hi", callback)
    assert str(caught.value) == "Request failed with status: 400: Unknown id (400)"
    assert (caught.value.status, caught.value.body) == (400, body)


def test_bad_input_is_refused_before_anything_is_sent(
    connect: Callable[..., OpenAI], refusing_url: str
) -> None:
    session = connect(refusing_url).new_responses_chat_session()
    with pytest.raises(ValueError, match=r"^input\[0\]\.role: "):
        session.send([{"role": "robot", "content": "Hi"}])


def test_a_failure_of_the_network_leaves_the_session_as_it_was(
    connect: Callable[..., OpenAI], refusing_url: str
) -> None:
    session = connect(refusing_url).new_responses_chat_session(previous_response_id="r0")
    with pytest.raises(APIConnectionError, match=r"^connection refused: "):
        session.send("Hi")
    assert (session.current_response_id, session.response_history) == ("r0", [])


# --- What a session sends and keeps ---


def test_a_conversation_is_continued_in_place_of_the_response_before(
    client: OpenAI, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/v1/responses").respond_with_json(answer("resp_1", message("Hi")))
    session = client.new_responses_chat_session(conversation="conv_1", previous_response_id="r")
    for _ in range(2):
        session.send("Hello")
    assert payloads(httpserver) == 2 * [
        {"model": "gpt-5.4", "input": "Hello", "conversation": "conv_1"}
    ]
    assert session.current_response_id == "resp_1"


def test_any_option_is_sent_with_every_request(client: OpenAI, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/v1/responses").respond_with_json(answer("resp_1", message("Hi")))
    session = client.new_responses_chat_session(temperature=0.5, a_new_one={"deep": True})
    session.send("Hello", temperature=1)
    assert payloads(httpserver) == [
        {"model": "gpt-5.4", "input": "Hello", "temperature": 1, "a_new_one": {"deep": True}}
    ]


def test_the_last_response_is_kept_raw(client: OpenAI, httpserver: HTTPServer) -> None:
    whole, raw = answer("resp_1", message("Hi")), stream(delta("Hi"), completed("resp_2", "Hi"))
    httpserver.expect_ordered_request("/v1/responses").respond_with_json(whole)
    for _ in range(2):
        httpserver.expect_ordered_request("/v1/responses").respond_with_data(raw)
    session = client.new_responses_chat_session()
    assert session.last_response is None
    session.send("Hello")
    assert session.last_response == whole
    session.send("Hello", ignore)
    assert session.last_response == raw.decode()
    session.last_response = None
    with session.send("Hello", stream=True) as pieces:
        assert [str(piece) for piece in pieces] == ["Hi"]
    assert session.last_response == raw.decode()
