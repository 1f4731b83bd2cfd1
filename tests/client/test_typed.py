"""Typed answers: a model's text becomes a value of a type, or is sent back with what is wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from luaopenai import (
    AnswerError,
    APIError,
    ChatSession,
    InternalServerError,
    OpenAI,
    ResponsesChatSession,
    ToolLoopError,
    tool,
)
from luaopenai.client.answers import ATTEMPTS
from support import exactly
from support.tool_server import ToolServer

Session = ChatSession | ResponsesChatSession
Opener = Callable[..., Session]
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "unit": {"enum": ["C", "F"]}},
    "required": ["name"],
}


class City(BaseModel):
    """A city, as an atlas has it."""

    name: str
    people: int | None = None
    unit: Literal["C", "F"] = "C"
    tags: list[str] = Field(default_factory=list, description="what it is known for")


class Place(TypedDict):
    name: str


@dataclass
class Reading:
    celsius: float


@pytest.fixture(params=["chat", "responses"])
def open_session(request: pytest.FixtureRequest, tool_client: OpenAI) -> Opener:
    """Opens a session of either kind."""
    if request.param == "chat":
        return tool_client.new_chat_session
    return tool_client.new_responses_chat_session


def asked(payload: dict[str, Any]) -> Any:
    """The format that a request asks for."""
    if "response_format" in payload:
        return payload["response_format"]["json_schema"]
    return payload["text"]["format"]


def said(payload: dict[str, Any]) -> Any:
    given = payload.get("messages") or payload["input"]
    return given if isinstance(given, str) else given[-1]["content"]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (City, '{"name": "Oslo", "people": null, "unit": "F", "tags": []}', None),
        (Place, '{"name": "Oslo"}', {"name": "Oslo"}),
        (Reading, '{"celsius": 4}', Reading(4.0)),
        (SCHEMA, '{"name": "Oslo", "unit": null}', {"name": "Oslo"}),
        (list[int], '{"value": [1, 2]}', [1, 2]),
        ({"type": "array", "items": {"type": "integer"}}, '{"value": [1, 2]}', [1, 2]),
        (Place, '```json\n{"name": "Oslo"}\n```', {"name": "Oslo"}),
    ],
    ids=repr,
)
@pytest.mark.parametrize("callback", [None, print], ids=["whole", "streamed"])
def test_an_answer_becomes_a_value_of_the_type(
    open_session: Opener,
    tool_server: ToolServer,
    kind: Any,
    text: str,
    value: Any,
    callback: Any,
) -> None:
    tool_server.script({"text": text})
    made = open_session().parse("Which city?", kind, stream_callback=callback)
    assert made == (value or City(name="Oslo", unit="F"))
    assert type(made) is type(value or City(name="Oslo"))
    assert said(tool_server.requests[0]) == "Which city?"


def test_a_request_asks_for_the_strict_schema(
    open_session: Opener, tool_server: ToolServer
) -> None:
    tool_server.script({"text": '{"name": "Oslo"}'})
    assert open_session().parse("Which city?", City) == City(name="Oslo")
    form = asked(tool_server.requests[0])
    assert (form["name"], form["strict"]) == ("City", True)
    assert form["schema"] == {
        "type": "object",
        "description": "A city, as an atlas has it.",
        "additionalProperties": False,
        "required": ["name", "people", "unit", "tags"],
        "properties": {
            "name": {"type": "string"},
            "people": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "unit": {"type": ["string", "null"], "enum": ["C", "F", None]},
            "tags": {
                "type": ["array", "null"],
                "items": {"type": "string"},
                "description": "what it is known for",
            },
        },
    }


def test_a_responses_request_keeps_its_other_settings_of_text(
    tool_client: OpenAI, tool_server: ToolServer
) -> None:
    tool_server.script({"text": '{"name": "Oslo"}'})
    session = tool_client.new_responses_chat_session(text={"verbosity": "low"})
    session.parse("Which city?", Place)
    assert tool_server.requests[0]["text"].keys() == {"verbosity", "format"}
    session.send("And now in words")
    assert tool_server.requests[1]["text"] == {"verbosity": "low"}


@pytest.mark.parametrize(
    ("kind", "text", "line"),
    [
        (City, '{"name": 5}', "answer.name: Input should be a valid string"),
        (SCHEMA, "{}", 'answer.name: expected type "string", got "nil"'),
        (SCHEMA, "Oslo", "not JSON: Expecting value at character 1"),
    ],
    ids=["model", "schema", "text"],
)
def test_an_answer_that_does_not_fit_is_sent_back_with_what_is_wrong(
    open_session: Opener, tool_server: ToolServer, kind: Any, text: str, line: str
) -> None:
    tool_server.script({"text": text}, {"text": '{"name": "Oslo"}'})
    session = open_session()
    assert session.parse("Which city?", kind) in ({"name": "Oslo"}, City(name="Oslo"))
    assert said(tool_server.requests[1]) == (
        f"That answer does not fit: {line}. Answer again, with JSON that fits the schema alone."
    )
    assert asked(tool_server.requests[1]) == asked(tool_server.requests[0])
    session.send("Thanks")
    assert "response_format" not in tool_server.requests[2]
    assert "text" not in tool_server.requests[2]


@pytest.mark.parametrize("attempts", [1, ATTEMPTS])
def test_answers_that_never_fit_are_an_error_after_the_attempts(
    open_session: Opener, tool_server: ToolServer, attempts: int
) -> None:
    tool_server.script(*[{"text": "{}"}] * 5)
    times = "1 attempt" if attempts == 1 else "2 attempts"
    line = f"no answer that fits after {times}: answer.name: Field required"
    session = open_session()
    options = {} if attempts == ATTEMPTS else {"attempts": attempts}
    with pytest.raises(AnswerError, match=exactly(line)) as raised:
        session.parse("Which city?", Place, **options)
    assert raised.value.text == "{}"
    assert len(tool_server.requests) == attempts
    session.send("Never mind")


@pytest.mark.parametrize("callback", [None, print], ids=["whole", "streamed"])
def test_an_answer_that_was_cut_short_is_said_to_be(
    open_session: Opener, tool_server: ToolServer, callback: Any
) -> None:
    tool_server.script({"text": '{"name": "Os', "finish_reason": "length"})
    session = open_session()
    with pytest.raises(AnswerError, match="the answer was cut off: it reached max_") as raised:
        session.parse("Which city?", City, stream_callback=callback)
    assert raised.value.text == '{"name": "Os'
    assert len(tool_server.requests) == 1


def test_an_answer_that_fits_counts_even_where_it_was_cut(
    open_session: Opener, tool_server: ToolServer
) -> None:
    tool_server.script({"text": '{"name": "Oslo"}', "finish_reason": "length"})
    assert open_session().parse("Which city?", City) == City(name="Oslo")


def test_a_callback_that_ends_the_stream_ends_the_attempts(
    open_session: Opener, tool_server: ToolServer
) -> None:
    tool_server.script({"text": '{"name": "Oslo"}'})
    with pytest.raises(AnswerError, match="the callback has ended its stream"):
        open_session().parse("Which?", City, stream_callback=lambda piece: not str(piece))
    assert len(tool_server.requests) == 1


@pytest.mark.parametrize("callback", [None, print], ids=["whole", "streamed"])
def test_a_refusal_is_the_models_words(
    open_session: Opener, tool_server: ToolServer, callback: Any
) -> None:
    tool_server.script({"refusal": "I would rather not."})
    with pytest.raises(APIError, match=exactly("I would rather not.")):
        open_session().parse("Which city?", City, stream_callback=callback)


def test_tools_are_run_on_the_way_to_an_answer(
    open_session: Opener, tool_server: ToolServer
) -> None:
    @tool
    def population(city: str) -> int:
        return 700_000

    tool_server.script(
        {"calls": [["population", {"city": "Oslo"}]]},
        {"text": '{"name": "Oslo", "people": 700000}'},
    )
    seen: list[Any] = []
    session = open_session(tools=[population])
    made = session.parse("Which city?", City, on_result=seen.append)
    assert made.people == 700_000
    assert [call.result for call in seen] == [700_000]


def test_max_steps_holds_for_all_attempts_together(
    open_session: Opener, tool_server: ToolServer
) -> None:
    call = {"calls": [["nothing", {}]]}
    tool_server.script(call, {"text": "{}"}, call, {"text": "{}"})
    with pytest.raises(ToolLoopError):
        open_session().parse("Which city?", City, max_steps=1)


def test_a_second_attempt_goes_on_from_the_first(
    tool_client: OpenAI, tool_server: ToolServer
) -> None:
    tool_server.script({"text": "{}"}, {"text": '{"name": "Oslo"}'})
    session = tool_client.new_responses_chat_session()
    session.parse("Which?", Place, previous_response_id="resp_0", tool_choice="required")
    sent = [(one["previous_response_id"], one.get("tool_choice")) for one in tool_server.requests]
    assert sent == [("resp_0", "required"), ("resp_1", None)]


def test_the_history_as_it_stands_may_ask(tool_client: OpenAI, tool_server: ToolServer) -> None:
    tool_server.script({"text": '{"name": "Oslo"}'})
    session = tool_client.new_chat_session(messages=[{"role": "user", "content": "Which city?"}])
    assert session.parse(None, Place) == {"name": "Oslo"}
    assert [one["role"] for one in session.messages] == ["user", "assistant"]


def test_a_server_that_fails_is_the_runs_error(
    open_session: Opener, tool_server: ToolServer
) -> None:
    tool_server.script({"status": 500})
    with pytest.raises(InternalServerError):
        open_session().parse("Which city?", City)


def test_the_client_parses_without_a_session(tool_client: OpenAI, tool_server: ToolServer) -> None:
    tool_server.script({"text": "{}"}, {"text": '{"name": "Oslo"}'})
    messages = [{"role": "user", "content": "Which city?"}]
    assert tool_client.parse(messages, Place, model="other") == {"name": "Oslo"}
    assert len(messages) == 1
    assert [one["model"] for one in tool_server.requests] == ["other"] * 2


def test_the_client_names_messages_that_are_none(tool_client: OpenAI) -> None:
    messages: Any = "Which city?"
    with pytest.raises(ValueError, match="messages: expected a list of messages"):
        tool_client.parse(messages, Place)


@pytest.mark.parametrize(
    ("kind", "options", "error", "text"),
    [
        (City, {"attempts": 0}, ValueError, "attempts: expected a whole number from 1, got 0"),
        (City, {"attempts": True}, ValueError, "attempts: expected a whole number from 1"),
        (dict[str, int], {}, ValueError, "schema: strict mode has no object with free keys"),
        ({"type": "object"}, {}, ValueError, "schema: strict mode has no object with free keys"),
        (Any, {}, ValueError, "schema: strict mode needs a type"),
        (print, {}, TypeError, "no JSON schema for <built-in function print>"),
    ],
    ids=repr,
)
def test_a_type_that_cannot_be_asked_for_is_an_error_before_anything_is_sent(
    open_session: Opener,
    tool_server: ToolServer,
    kind: Any,
    options: dict[str, Any],
    error: type[Exception],
    text: str,
) -> None:
    session = open_session()
    with pytest.raises(error, match=f"^{text}"):
        session.parse("Which city?", kind, **options)
    assert tool_server.requests == []
    assert getattr(session, "messages", []) == []


def test_without_pydantic_a_schema_works_and_a_type_says_what_to_install(
    tool_client: OpenAI, tool_server: ToolServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pydantic", None)
    tool_server.script({"text": '{"name": "Oslo"}'})
    session = tool_client.new_chat_session()
    assert session.parse("Which city?", SCHEMA) == {"name": "Oslo"}
    text = "a typed answer of a Python type needs pydantic 2: pip install 'luaopenai[pydantic]'"
    with pytest.raises(ImportError, match=exactly(text)):
        session.parse("Which city?", City)
