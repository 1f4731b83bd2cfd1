"""Runs: what a model calls is called, and the history is one that a server takes, come what may."""

from __future__ import annotations

import contextvars
import inspect
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel

from luaopenai import (
    APIConnectionError,
    APIError,
    ChatSession,
    InternalServerError,
    OpenAI,
    ResponsesChatSession,
    Run,
    Tool,
    ToolCall,
    ToolLoopError,
    tool,
)
from luaopenai.client import tools as core
from luaopenai.client.cancel import Call, Cancelled
from support import exactly
from support.tool_server import ToolServer
from support.waiting import GENEROUS, eventually, waiting_threads

Session = ChatSession | ResponsesChatSession
Opener = Callable[..., Session]
Runner = Callable[..., Run]
OSLO = ["weather", {"city": "Oslo"}]
ROME = ["weather", {"city": "Rome"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


@tool
def weather(city: str) -> dict[str, Any]:
    """Tells the weather in a city."""
    return {"city": city, "celsius": 4}


def handler(work: Callable[[dict[str, Any]], Any], name: str = "weather") -> Tool:
    """A tool that does this with its arguments, whatever they are."""
    return Tool.from_handler(work, name=name)


def fail(error: BaseException) -> Callable[..., Any]:
    def raise_it(*_: object) -> Any:
        raise error

    return raise_it


@pytest.fixture(params=["chat", "responses"])
def open_session(request: pytest.FixtureRequest, tool_client: OpenAI) -> Opener:
    """Opens a session of either kind."""
    if request.param == "chat":
        return tool_client.new_chat_session
    return tool_client.new_responses_chat_session


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def begin(request: pytest.FixtureRequest) -> Callable[[Session], Runner]:
    """Gives a session's ``run``, with a callback or without."""
    return lambda session: partial(session.run, stream_callback=print if request.param else None)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    eventually(lambda: "luaopenai-tool" not in waiting_threads())


def answers(payload: dict[str, Any]) -> list[str]:
    """The answers to calls that a request carries, in their order."""
    if "messages" in payload:
        roles = ("tool", "function")
        return [one["content"] for one in payload["messages"] if one["role"] in roles]
    given = payload["input"]
    items = given if isinstance(given, list) else []
    return [one["output"] for one in items if one.get("type") == "function_call_output"]


def said(payload: dict[str, Any]) -> Any:
    """What the user says last in a request."""
    given = payload.get("messages") or payload["input"]
    return given if isinstance(given, str) else given[-1]["content"]


def held(session: Session) -> list[str]:
    """The answers to calls that a session has, sent or not."""
    if isinstance(session, ChatSession):
        return answers({"messages": session.messages})
    return [item["output"] for item in session.pending_outputs]


# --- A run ---


def test_a_run_calls_what_the_model_calls_until_it_answers(
    open_session: Opener, begin: Callable[[Session], Runner], tool_server: ToolServer
) -> None:
    tool_server.script({"calls": [OSLO, ROME]}, {"calls": [OSLO]}, {"text": "Cold."})
    session = open_session(tools=[weather])
    run = begin(session)("How warm is it?")
    assert run.text == str(run) == "Cold."
    assert [(call.name, call.arguments, call.error) for call in run.calls] == [
        ("weather", {"city": city}, None) for city in ("Oslo", "Rome", "Oslo")
    ]
    assert run.calls[1].result == {"city": "Rome", "celsius": 4}
    assert run.calls[0].id.startswith("call_")
    oslo, rome = '{"city":"Oslo","celsius":4}', '{"city":"Rome","celsius":4}'
    assert answers(tool_server.requests[1]) == [oslo, rome]
    assert answers(tool_server.requests[2])[-1] == oslo
    assert session.send("And now?")
    assert said(tool_server.requests[3]) == "And now?"


def test_a_run_without_calls_is_the_answer(open_session: Opener, tool_server: ToolServer) -> None:
    tool_server.script({"text": "Hello."})
    assert open_session(tools=[weather]).run("Hi") == Run("Hello.", [])


def test_each_piece_of_every_round_reaches_the_callback(
    open_session: Opener, tool_server: ToolServer
) -> None:
    tool_server.script({"text": "Wait. ", "calls": [OSLO]}, {"text": "Cold."})
    pieces: list[str] = []
    run = open_session(tools=[weather]).run("Hi", lambda piece: pieces.append(str(piece)))
    assert "".join(pieces) == "Wait. Cold."
    assert run.text == "Cold."


def test_chat_completions_are_sent_nested_definitions(
    tool_client: OpenAI, tool_server: ToolServer
) -> None:
    plain = {"type": "function", "function": {"name": "plain"}}
    tool_client.new_chat_session(tools=[weather, plain]).run("Hi")
    assert tool_server.requests[0]["tools"] == [weather.definition, plain]


def test_the_responses_api_is_sent_flat_definitions(
    tool_client: OpenAI, tool_server: ToolServer
) -> None:
    plain = {"type": "web_search"}
    tool_client.new_responses_chat_session(tools=[weather, plain]).run("Hi")
    assert tool_server.requests[0]["tools"] == [weather.response_definition, plain]


def test_a_custom_tools_call_is_answered_too(tool_client: OpenAI, tool_server: ToolServer) -> None:
    tool_server.script({"calls": [OSLO], "custom": ["sql", "select 1"]}, {"text": "So be it."})
    session = tool_client.new_responses_chat_session(
        tools=[weather, {"type": "custom", "name": "sql"}]
    )
    run = session.run("Hi")
    assert run.text == "So be it."
    assert run.calls[1].error == "there is no tool 'sql'; the tools are: weather"
    assert tool_server.requests[1]["input"][1]["type"] == "custom_tool_call_output"


def test_a_send_after_a_custom_tools_call_works(
    tool_client: OpenAI, tool_server: ToolServer
) -> None:
    tool_server.script({"custom": ["sql", "select 1"]}, {"text": "So be it."})
    session = tool_client.new_responses_chat_session(tools=[{"type": "custom", "name": "sql"}])
    session.send("Hi")
    output = {"type": "custom_tool_call_output", "call_id": "custom_2", "output": "1"}
    assert str(session.run([output])) == "So be it."
    assert tool_server.requests[1]["input"] == [output]


def test_send_and_the_client_take_tools_too(
    open_session: Opener, tool_client: OpenAI, tool_server: ToolServer
) -> None:
    open_session(tools=[weather]).send("Hi")
    tool_client.chat([{"role": "user", "content": "Hi"}], tools=[weather])
    tool_client.create_response("Hi", tools=[weather])
    names = [core.tool_name(one["tools"][0]) for one in tool_server.requests]
    assert names == ["weather"] * 3


def test_tools_of_a_run_go_before_those_of_the_session(
    open_session: Opener, tool_server: ToolServer
) -> None:
    tool_server.script({"calls": [["other", {}]]}, {"calls": [OSLO]})
    run = open_session(tools=[weather]).run("Hi", tools=[handler(lambda _: "here", "other")])
    assert [call.error for call in run.calls] == [
        None,
        "there is no tool 'weather'; the tools are: other",
    ]


def test_legacy_functions_are_run(tool_client: OpenAI, tool_server: ToolServer) -> None:
    tool_server.script({"function": OSLO}, {"text": "Cold."})
    session = tool_client.new_chat_session(functions=[weather], function_call={"name": "weather"})
    assert session.run("Hi").text == "Cold."
    first, second = tool_server.requests
    assert first["functions"] == [weather.function_definition]
    assert first["function_call"] == {"name": "weather"}
    assert "function_call" not in second
    assert session.messages[2] == {
        "role": "function",
        "name": "weather",
        "content": '{"city":"Oslo","celsius":4}',
    }


def test_legacy_functions_are_run_from_streams_too(
    tool_client: OpenAI, tool_server: ToolServer
) -> None:
    tool_server.script({"function": OSLO}, {"text": "Cold."})
    session = tool_client.new_chat_session(functions=[weather])
    assert session.run("Hi", print).calls[0].result == {"city": "Oslo", "celsius": 4}


# --- What a call is answered ---


@dataclass
class Reading:
    celsius: int


class Place(BaseModel):
    city: str


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("as it is", "as it is"),
        (None, "null"),
        ({"é": [1, 2.5, True]}, '{"é":[1,2.5,true]}'),
        (Reading(4), '{"celsius":4}'),
        ([Place(city="Oslo")], '[{"city":"Oslo"}]'),
    ],
    ids=repr,
)
def test_a_result_is_sent_as_text_or_json(
    open_session: Opener, tool_server: ToolServer, result: Any, text: str
) -> None:
    tool_server.script({"calls": [OSLO]})
    call = open_session(tools=[handler(lambda _: result)]).run("Hi").calls[0]
    assert (call.result, call.error) == (result, None)
    assert answers(tool_server.requests[1]) == [text]


def test_a_dataclass_is_sent_without_pydantic_too(
    tool_client: OpenAI, tool_server: ToolServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pydantic_core", None)
    tool_server.script({"calls": [OSLO]})
    tool_client.new_chat_session(tools=[handler(lambda _: Reading(4))]).run("Hi")
    assert answers(tool_server.requests[1]) == ['{"celsius":4}']


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (["nothing", {}], "there is no tool 'nothing'; the tools are: weather"),
        (
            ["weather", '{"city": '],
            "arguments: not JSON: Expecting value at character 10",
        ),
        (["weather", "[1]"], 'arguments: expected type "object", got "array"'),
        (["weather", {}], 'arguments.city: expected type "string", got "nil"'),
        (["weather", {"city": 5}], 'arguments.city: expected type "string", got "integer"'),
    ],
    ids=repr,
)
def test_a_call_that_cannot_be_run_is_told_why(
    open_session: Opener, tool_server: ToolServer, call: list[Any], error: str
) -> None:
    never = Tool(fail(AssertionError("was run")), name="weather", parameters=SCHEMA)
    tool_server.script({"calls": [call]}, {"text": "Sorry."})
    error = error.replace('"integer"', '"number"')
    seen: list[ToolCall] = []
    run = open_session(tools=[never]).run("Hi", on_result=seen.append, raise_errors=True)
    assert run.text == "Sorry."
    assert [one.error for one in run.calls] == [error]
    assert seen == run.calls
    assert answers(tool_server.requests[1]) == [error]


def test_an_error_whose_text_cannot_be_made_is_told_by_its_kind(
    open_session: Opener, tool_server: ToolServer
) -> None:
    class OddError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    tool_server.script({"calls": [OSLO]}, {"text": "sorry"})
    made = open_session(tools=[handler(fail(OddError()))]).run("Weather?")
    assert made.text == "sorry"
    assert made.calls[0].error == "OddError"


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (ValueError("no such city"), "no such city"),
        (KeyError("Oslo"), "KeyError: 'Oslo'"),
        (AssertionError(), "AssertionError"),
        (
            OSError(2, "No such file", "/home/me/secret/x.db"),
            "[Errno 2] No such file: 'x.db'",
        ),
    ],
    ids=repr,
)
def test_what_a_tool_raises_is_told_in_a_line(
    open_session: Opener, tool_server: ToolServer, failure: Exception, error: str
) -> None:
    tool_server.script({"calls": [OSLO]})
    call = open_session(tools=[handler(fail(failure))]).run("Hi").calls[0]
    assert (call.result, call.error) == (None, error)
    assert answers(tool_server.requests[1]) == [f"error: {error}"]


@pytest.mark.parametrize("raise_errors", [False, True])
def test_a_check_that_breaks_is_a_tool_that_raises(
    open_session: Opener, tool_server: ToolServer, raise_errors: bool
) -> None:
    @tool(name="weather")
    def broken(city: Annotated[str, AfterValidator({}.__getitem__)]) -> str:
        return city

    tool_server.script({"calls": [OSLO]}, {"text": "Sorry."})
    session = open_session(tools=[broken])
    if raise_errors:
        with pytest.raises(KeyError, match="Oslo"):
            session.run("Hi", raise_errors=True)
    else:
        assert session.run("Hi").calls[0].error == "KeyError: 'Oslo'"
    assert held(session) == ["error: KeyError: 'Oslo'"] or not raise_errors


def test_a_result_that_json_cannot_carry_is_an_error(
    open_session: Opener, tool_server: ToolServer
) -> None:
    tool_server.script({"calls": [OSLO]})
    run = open_session(tools=[handler(lambda _: {"celsius": float("nan")})]).run("Hi")
    assert run.calls[0].error == "result.celsius: JSON has no nan"


def test_a_coroutine_that_a_function_returns_is_an_error(
    open_session: Opener, tool_server: ToolServer
) -> None:
    async def later() -> str:
        return "x"

    tool_server.script({"calls": [OSLO]})
    run = open_session(tools=[handler(lambda _: later())]).run("Hi")
    assert "AsyncOpenAI" in str(run.calls[0].error)


@pytest.mark.parametrize(
    ("verdict", "error"),
    [
        (False, "refused: this call is not allowed"),
        ((False, "not today"), "refused: not today"),
        ((False, None), "refused: this call is not allowed"),
        ("too far", "refused: too far"),
        ("", "refused: this call is not allowed"),
        (None, None),
        (True, None),
        ((True, "fine"), None),
        (0, None),
    ],
    ids=repr,
)
def test_on_call_may_refuse_a_call(
    open_session: Opener, tool_server: ToolServer, verdict: object, error: str | None
) -> None:
    tool_server.script({"calls": [OSLO, ROME]})
    asked: list[Any] = []

    def on_call(call: ToolCall) -> object:
        assert (call.result, call.error) == (None, None)
        asked.append(call.arguments)
        return verdict if call.arguments == {"city": "Oslo"} else None

    run = open_session(tools=[weather]).run("Hi", on_call=on_call)
    assert [call.error for call in run.calls] == [error, None]
    assert asked == [{"city": "Oslo"}, {"city": "Rome"}]


def test_on_result_is_given_each_call_with_its_answer(
    open_session: Opener, tool_server: ToolServer
) -> None:
    tool_server.script({"calls": [OSLO, ["nothing", {}], ROME]})
    seen: list[ToolCall] = []
    run = open_session(tools=[weather]).run("Hi", on_result=seen.append, limit=1)
    assert seen == run.calls
    assert [call.error is None for call in seen] == [True, False, True]


# --- Side by side ---


def test_the_calls_of_a_round_run_side_by_side_and_keep_their_order(
    open_session: Opener, tool_server: ToolServer
) -> None:
    rome_is_done = threading.Event()

    def work(arguments: dict[str, Any]) -> str:
        if arguments["city"] == "Rome":
            rome_is_done.set()
        assert rome_is_done.wait(GENEROUS)
        return str(arguments["city"])

    tool_server.script({"calls": [OSLO, ROME]})
    run = open_session(tools=[handler(work)]).run("Hi")
    assert [call.result for call in run.calls] == ["Oslo", "Rome"]
    assert answers(tool_server.requests[1]) == ["Oslo", "Rome"]
    assert run.calls[0].seconds > 0


def test_no_more_calls_run_at_once_than_the_limit(
    tool_client: OpenAI, tool_server: ToolServer
) -> None:
    pair = threading.Barrier(2)
    begun: list[ToolCall] = []
    ended: list[ToolCall] = []
    most = 0

    def on_call(call: ToolCall) -> None:
        nonlocal most
        begun.append(call)
        most = max(most, len(begun) - len(ended))

    tool_server.script({"calls": [OSLO] * 6})
    session = tool_client.new_chat_session(tools=[handler(lambda _: pair.wait(GENEROUS))])
    run = session.run("Hi", limit=2, on_call=on_call, on_result=ended.append)
    assert [call.error for call in run.calls] == [None] * 6
    assert most == 2


def test_a_call_that_is_done_makes_room_for_the_next(
    tool_client: OpenAI, tool_server: ToolServer
) -> None:
    begun: list[str] = []

    def wait_for_three(arguments: dict[str, Any]) -> None:
        begun.append(arguments["city"])
        if arguments["city"] == "Rome":
            eventually(lambda: len(begun) == 3)

    tool_server.script({"calls": [ROME, OSLO, OSLO]})
    session = tool_client.new_chat_session(tools=[handler(wait_for_three)])
    assert [call.error for call in session.run("Hi", limit=2).calls] == [None] * 3


@pytest.mark.parametrize(("calls", "limit"), [(2, 1), (1, 8)])
def test_one_call_at_a_time_runs_in_the_callers_thread(
    tool_client: OpenAI, tool_server: ToolServer, calls: int, limit: int
) -> None:
    threads: list[threading.Thread] = []
    tool_server.script({"calls": [OSLO] * calls})
    note = handler(lambda _: threads.append(threading.current_thread()))
    tool_client.new_chat_session(tools=[note]).run("Hi", limit=limit)
    assert threads == [threading.current_thread()] * calls


def test_calls_in_threads_see_the_callers_context(
    tool_client: OpenAI, tool_server: ToolServer
) -> None:
    user = contextvars.ContextVar("user", default="nobody")
    user.set("me")
    tool_server.script({"calls": [OSLO, ROME]})
    run = tool_client.new_chat_session(tools=[handler(lambda _: user.get())]).run("Hi")
    assert [call.result for call in run.calls] == ["me", "me"]


def test_callbacks_are_called_in_the_callers_thread(
    tool_client: OpenAI, tool_server: ToolServer
) -> None:
    threads: list[threading.Thread] = []
    tool_server.script({"calls": [OSLO, ROME]})

    def note(_: ToolCall) -> None:
        threads.append(threading.current_thread())

    tool_client.new_chat_session(tools=[weather]).run("Hi", on_call=note, on_result=note)
    assert threads == [threading.current_thread()] * 4


# --- When it ends ---


def test_more_rounds_than_max_steps_are_an_error(
    open_session: Opener, begin: Callable[[Session], Runner], tool_server: ToolServer
) -> None:
    tool_server.script(*[{"calls": [OSLO]}] * 3)
    session = open_session(tools=[weather])
    text = exactly("no answer after 2 rounds of tool calls")
    with pytest.raises(ToolLoopError, match=text) as raised:
        begin(session)("Hi", max_steps=2)
    assert [call.error for call in raised.value.calls] == [None, None, core.not_run()]
    assert [call.arguments for call in raised.value.calls] == [{"city": "Oslo"}] * 3
    assert session.send("Go on")
    assert answers(tool_server.requests[-1])[-1] == core.not_run()


def test_as_many_rounds_as_max_steps_are_none(
    open_session: Opener, tool_server: ToolServer
) -> None:
    tool_server.script(*[{"calls": [OSLO]}] * 2, {"text": "Cold."})
    assert open_session(tools=[weather]).run("Hi", max_steps=2).text == "Cold."


def test_the_defaults_are_those_of_both_languages() -> None:
    for kind in (ChatSession, ResponsesChatSession):
        parameters = inspect.signature(kind.run).parameters
        assert parameters["max_steps"].default == core.MAX_STEPS
        assert parameters["limit"].default == core.LIMIT


@pytest.mark.parametrize(
    ("choice", "later"),
    [("required", None), ("auto", "auto"), ("none", "none"), ({"type": "function"}, None)],
)
@pytest.mark.parametrize("of_session", [False, True])
def test_a_tool_choice_that_forces_a_call_counts_for_the_first_request(
    open_session: Opener, tool_server: ToolServer, choice: Any, later: Any, of_session: bool
) -> None:
    opts = {"tool_choice": choice}
    session = open_session(tools=[weather], **(opts if of_session else {}))
    for _ in range(2):
        tool_server.script({"calls": [OSLO]}, {"calls": [OSLO]})
        session.run("Hi", **({} if of_session else opts))
        sent = [request.get("tool_choice") for request in tool_server.requests]
        assert sent == [choice, later, later]


def test_a_callback_that_ends_a_stream_ends_the_run(
    open_session: Opener, tool_server: ToolServer
) -> None:
    tool_server.script({"text": "Wait for it", "calls": [OSLO]}, {"text": "And on."})
    session = open_session(tools=[handler(fail(AssertionError("was run")))])
    run = session.run("Hi", lambda piece: not str(piece))
    assert run.text == "Wait "
    assert run.calls == []
    assert session.send("Go on")


def test_a_callback_that_ends_a_stream_amid_a_call_leaves_the_call_out(
    tool_client: OpenAI, tool_server: ToolServer
) -> None:
    tool_server.script({"text": "Wait.", "calls": [OSLO]}, {"text": "And on."})
    session = tool_client.new_chat_session(tools=[handler(fail(AssertionError("was run")))])
    assert session.run("Hi", lambda piece: "tool_calls" not in piece) == Run("Wait.", [])
    assert session.last_message() == {"role": "assistant", "content": "Wait."}
    assert session.send("Go on")


def test_a_callback_that_ends_a_later_stream_leaves_the_history_whole(
    open_session: Opener, tool_server: ToolServer
) -> None:
    tool_server.script({"calls": [OSLO]}, {"text": "Cold, very"})
    session = open_session(tools=[weather])
    run = session.run("Hi", lambda piece: not str(piece))
    assert run.text == "Cold,"
    assert len(run.calls) == 1
    assert session.send("Go on")


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"max_steps": 0}, ValueError, "max_steps: expected a whole number from 1, got 0"),
        ({"limit": True}, ValueError, "limit: expected a whole number from 1, got True"),
        ({"limit": 1.5}, ValueError, "limit: expected a whole number from 1, got 1.5"),
        ({"on_call": 1}, TypeError, "on_call: expected a function, got int"),
        ({"on_result": 1}, TypeError, "on_result: expected a function, got int"),
        ({"stream_callback": 1}, TypeError, "stream_callback: expected a function, got int"),
        (
            {"stream": True},
            TypeError,
            "stream: what is run gives no stream; use stream_callback, which is given the pieces of"
            " every round's reply",
        ),
        (
            {"tools": [len]},
            TypeError,
            "tools[0]: expected a Tool or a definition, got builtin_function_or_method",
        ),
        (
            {"tools": [handler(str), handler(repr)]},
            ValueError,
            "tools: two are called weather",
        ),
    ],
    ids=repr,
)
def test_wrong_options_are_named_before_anything_is_sent(
    open_session: Opener,
    tool_server: ToolServer,
    options: dict[str, Any],
    kind: type[Exception],
    text: str,
) -> None:
    session = open_session()
    with pytest.raises(kind, match=exactly(text)):
        session.run("Hi", **options)
    assert tool_server.requests == []
    assert getattr(session, "messages", []) == []


def test_a_coroutine_function_is_refused_before_anything_is_sent(
    open_session: Opener, tool_server: ToolServer
) -> None:
    async def later(_: object) -> None: ...

    text = "tools: weather is a coroutine function: AsyncOpenAI's sessions run it"
    with pytest.raises(TypeError, match=exactly(text)):
        open_session(tools=[handler(later)]).run("Hi")
    assert tool_server.requests == []


def test_a_sessions_own_stream_option_does_not_count(
    open_session: Opener, tool_server: ToolServer
) -> None:
    assert open_session(stream=True).run("Hi").text == "done"


@pytest.mark.parametrize("message", [5, {"role": "wizard"}, [{"role": "wizard"}]], ids=repr)
def test_a_bad_message_leaves_the_session_alone(
    open_session: Opener, tool_server: ToolServer, message: Any
) -> None:
    session = open_session(tools=[weather])
    tool_server.script({"calls": [OSLO]})
    session.send("Hi")
    before = repr(vars(session))
    with pytest.raises(ValueError, match="expected"):
        session.run(message)
    assert repr(vars(session)) == before


# --- Going on from the history as it stands ---


def test_calls_that_have_no_answer_are_run_first(
    open_session: Opener, begin: Callable[[Session], Runner], tool_server: ToolServer
) -> None:
    tool_server.script({"calls": [OSLO, ROME]}, {"text": "Cold."})
    session = open_session(tools=[weather])
    session.send("Hi")
    run = begin(session)()
    assert run.text == "Cold."
    assert [call.arguments["city"] for call in run.calls] == ["Oslo", "Rome"]
    assert len(tool_server.requests) == 2


def test_a_message_goes_after_answers_to_calls_that_were_not_run(
    open_session: Opener, tool_server: ToolServer
) -> None:
    tool_server.script({"calls": [OSLO, ROME]}, {"text": "Fine."})
    session = open_session(tools=[handler(fail(AssertionError("was run")))])
    session.send("Hi")
    run = session.run("Never mind")
    assert run == Run("Fine.", [])
    assert answers(tool_server.requests[1]) == [core.not_run()] * 2
    assert said(tool_server.requests[1]) == "Never mind"


def test_calls_of_another_response_than_the_one_gone_on_from_are_left_alone(
    tool_client: OpenAI, tool_server: ToolServer
) -> None:
    tool_server.script({"calls": [OSLO]}, {"text": "Fine."})
    session = tool_client.new_responses_chat_session(
        tools=[handler(fail(AssertionError("was run")))]
    )
    session.send("Hi")
    assert session.run(previous_response_id="resp_0") == Run("Fine.", [])
    assert session.pending_outputs == []


def test_an_answer_of_the_callers_own_counts(tool_client: OpenAI, tool_server: ToolServer) -> None:
    tool_server.script({"calls": [OSLO, ROME]}, {"text": "Fine."})
    session = tool_client.new_chat_session(tools=[weather])
    reply: Any = session.send("Hi")
    name = reply["tool_calls"][1]["id"]
    session.run({"role": "tool", "tool_call_id": name, "content": "mine"})
    assert answers(tool_server.requests[1]) == ["mine", core.not_run()]


def test_an_output_of_the_callers_own_counts(tool_client: OpenAI, tool_server: ToolServer) -> None:
    tool_server.script({"calls": [OSLO, ROME]}, {"text": "Fine."})
    session = tool_client.new_responses_chat_session(tools=[weather])
    reply: Any = session.send("Hi")
    name = reply["output"][1]["call_id"]
    session.run([{"type": "function_call_output", "call_id": name, "output": "mine"}])
    assert answers(tool_server.requests[1]) == [core.not_run(), "mine"]


def test_a_broken_run_is_gone_on_with(open_session: Opener, tool_server: ToolServer) -> None:
    tool_server.script({"calls": [OSLO]}, {"status": 500}, {"text": "Cold."})
    session = open_session(tools=[weather])
    with pytest.raises(InternalServerError):
        session.run("Hi")
    assert session.run().text == "Cold."
    assert answers(tool_server.requests[2]) == ['{"city":"Oslo","celsius":4}']


# --- What ends a run in the midst, and what the next request carries then ---

BROKEN: list[tuple[str, dict[str, Any], type[BaseException]]] = [
    ("a tool raises", {"raise_errors": True, "tool": fail(OSError("broken"))}, OSError),
    ("a result cannot be sent", {"raise_errors": True, "tool": lambda _: object}, ValueError),
    ("on_call raises", {"on_call": fail(OSError("broken"))}, OSError),
    ("on_result raises", {"on_result": fail(OSError("broken"))}, OSError),
    ("on_call is interrupted", {"on_call": fail(KeyboardInterrupt())}, KeyboardInterrupt),
    ("on_result is interrupted", {"on_result": fail(KeyboardInterrupt())}, KeyboardInterrupt),
    ("a tool is interrupted", {"tool": fail(KeyboardInterrupt())}, KeyboardInterrupt),
    ("a tool ends the program", {"tool": fail(SystemExit())}, SystemExit),
    ("a tool is cancelled", {"tool": fail(Cancelled())}, Cancelled),
    ("the server fails", {"script": {"status": 500}}, InternalServerError),
    ("the server hangs up", {"script": {"cut": True}}, APIConnectionError),
    ("the server sends nonsense", {"script": {"body": {"x": 1}}}, APIError),
    ("the model refuses", {"script": {"refusal": "No."}}, APIError),
    ("max_steps is reached", {"script": {"calls": [OSLO]}, "max_steps": 1}, ToolLoopError),
]


@pytest.mark.parametrize("limit", [1, 8])
@pytest.mark.parametrize(("options", "kind"), [c[1:] for c in BROKEN], ids=[c[0] for c in BROKEN])
def test_whatever_ends_a_run_the_next_send_works(
    open_session: Opener,
    begin: Callable[[Session], Runner],
    tool_server: ToolServer,
    options: dict[str, Any],
    kind: type[BaseException],
    limit: int,
) -> None:
    options = {"tool": lambda _: "ran", "script": {"text": "x"}, "limit": limit, **options}
    broken = {"calls": [OSLO, ROME, OSLO]}
    tool_server.script(broken, options.pop("script"), {"text": "Fine."})
    session = open_session(tools=[handler(options.pop("tool"))])
    with pytest.raises(kind):
        begin(session)("Hi", **options)
    assert all(held(session))
    session.send("Go on")
    first = tool_server.requests[-1]
    assert said(first) == "Go on"
    assert len(answers(first)) >= 1 + 2 * (options.get("max_steps") != 1)
    assert not getattr(session, "pending_outputs", [])
    # And on, from an answer that came whole.
    session.send("And on")


FUNCTION = {"name": "weather", "arguments": "{}"}
CALL = {"id": "call", "type": "function", "function": FUNCTION}


@pytest.mark.parametrize(
    "calls",
    [
        {"tool_calls": [CALL], "function_call": FUNCTION},
        {"tool_calls": [CALL, CALL]},
        {"tool_calls": [{**CALL, "id": 5}]},
        {"tool_calls": [{"type": "function", "function": FUNCTION}]},
        {"tool_calls": ["weather", CALL]},
        {"tool_calls": ["weather"]},
        {"function_call": {"name": 5, "arguments": "{}"}},
    ],
    ids=repr,
)
def test_odd_calls_leave_a_history_that_a_server_takes(
    tool_client: OpenAI, tool_server: ToolServer, calls: dict[str, Any]
) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": None, **calls}}
    tool_server.script({"body": {"object": "chat.completion", "choices": [choice]}})
    session = tool_client.new_chat_session(tools=[handler(lambda _: "4")])
    session.run("How warm?")
    assert session.send("And now?") == "done"


@pytest.mark.parametrize("result", ["caf\udce9.txt", {"caf\udce9.txt": 1}], ids=repr)
def test_half_characters_in_a_result_are_replaced(
    open_session: Opener, tool_server: ToolServer, result: Any
) -> None:
    tool_server.script({"calls": [OSLO]})
    session = open_session(tools=[handler(lambda _: result)])
    assert session.run("Which file?").text == "done"
    assert "caf\ufffd.txt" in str(tool_server.requests[-1])
    assert session.send("And now?")


def test_half_characters_in_an_error_are_replaced(
    open_session: Opener, tool_server: ToolServer
) -> None:
    tool_server.script({"calls": [OSLO]})
    session = open_session(tools=[handler(fail(OSError("no caf\udce9.txt")))])
    assert session.run("Which file?").text == "done"
    assert "error: no caf\ufffd.txt" in str(tool_server.requests[-1])


@pytest.mark.parametrize("limit", [1, 8])
def test_what_was_done_before_a_break_stands_in_the_history(
    open_session: Opener, tool_server: ToolServer, limit: int
) -> None:
    tool_server.script({"calls": [OSLO, ROME, OSLO]})

    def on_call(call: ToolCall) -> None:
        if call.arguments == {"city": "Rome"}:
            raise OSError("broken")

    session = open_session(tools=[weather])
    with pytest.raises(OSError, match="broken"):
        session.run("Hi", on_call=on_call, limit=limit)
    ran = '{"city":"Oslo","celsius":4}'
    assert held(session) == [ran, core.not_run(), core.not_run()]


def test_what_runs_beside_a_tool_that_ends_the_run_is_waited_for(
    open_session: Opener, tool_server: ToolServer
) -> None:
    failing, ended = threading.Event(), threading.Event()

    def work(arguments: dict[str, Any]) -> str:
        if arguments["city"] == "Oslo":
            failing.set()
            raise OSError("broken")
        failing.wait(GENEROUS)
        ended.set()
        return "ran"

    tool_server.script({"calls": [OSLO, ROME]})
    session = open_session(tools=[handler(work)])
    with pytest.raises(OSError, match="broken"):
        session.run("Hi", raise_errors=True)
    assert ended.is_set()
    assert held(session) == ["error: broken", "ran"]


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to threads")
def test_ctrl_c_does_not_wait_for_tools(open_session: Opener, tool_server: ToolServer) -> None:
    let_go = threading.Event()
    main = threading.main_thread().ident
    assert main is not None

    def work(arguments: dict[str, Any]) -> str:
        if arguments["city"] == "Rome":
            signal.pthread_kill(main, signal.SIGINT)
        let_go.wait(GENEROUS)
        return "late"

    tool_server.script({"calls": [OSLO, ROME]})
    session = open_session(tools=[handler(work)])
    try:
        with pytest.raises(KeyboardInterrupt):
            session.run("Hi")
        assert held(session) == [core.not_run()] * 2
    finally:
        let_go.set()
    eventually(lambda: "luaopenai-tool" not in waiting_threads())
    assert held(session) == [core.not_run()] * 2
    session.send("Go on")


def test_ctrl_c_ends_requests_that_tools_wait_for(
    tool_client: OpenAI, tool_server: ToolServer
) -> None:
    asked = threading.Barrier(2)

    def work(arguments: dict[str, Any]) -> Any:
        asked.wait(GENEROUS)
        if arguments["city"] == "Rome":
            raise KeyboardInterrupt
        return tool_client.chat([{"role": "user", "content": "Hi"}])

    tool_server.script({"calls": [OSLO, ROME]}, {"seconds": 2 * GENEROUS})
    with pytest.raises(KeyboardInterrupt):
        tool_client.new_chat_session(tools=[handler(work)]).run("Hi")
    eventually(lambda: "luaopenai-tool" not in waiting_threads())


def test_a_cancelled_run_waits_no_longer(open_session: Opener, tool_server: ToolServer) -> None:
    let_go, both = threading.Event(), threading.Barrier(3)

    def work(_: object) -> None:
        both.wait(GENEROUS)
        let_go.wait(GENEROUS)

    tool_server.script({"calls": [OSLO, ROME]})
    session = open_session(tools=[handler(work)])
    call, ended = Call(), []

    def run() -> None:
        with call:
            try:
                session.run("Hi")
            except Cancelled as error:
                ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        both.wait(GENEROUS)
        call.cancel()
        thread.join(GENEROUS)
        assert len(ended) == 1
        assert held(session) == [core.not_run()] * 2
    finally:
        let_go.set()


def test_a_callback_of_a_stream_that_raises_leaves_the_history_whole(
    open_session: Opener, tool_server: ToolServer
) -> None:
    tool_server.script({"calls": [OSLO]}, {"text": "Cold."}, {"text": "Fine."})
    session = open_session(tools=[weather])

    def on_piece(piece: Any) -> None:
        if str(piece):
            raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        session.run("Hi", on_piece)
    session.send("Go on")
    assert answers(tool_server.requests[-1]) == ['{"city":"Oslo","celsius":4}']


# --- Outputs that are pending ---


@pytest.fixture
def break_run(tool_client: OpenAI, tool_server: ToolServer) -> Callable[..., ResponsesChatSession]:
    """Gives a session whose run the server has ended, so that an output was not taken."""

    def begin(*replies: dict[str, Any]) -> ResponsesChatSession:
        tool_server.script({"calls": [OSLO]}, {"status": 500}, *replies)
        session = tool_client.new_responses_chat_session(tools=[weather])
        with pytest.raises(InternalServerError):
            session.run("Hi")
        assert [item["type"] for item in session.pending_outputs] == ["function_call_output"]
        return session

    return begin


Breaker = Callable[..., ResponsesChatSession]


def test_an_output_is_pending_until_a_request_has_carried_it(
    break_run: Breaker, tool_server: ToolServer
) -> None:
    broken = break_run({"status": 500})
    with pytest.raises(InternalServerError):
        broken.send("Go on")
    assert len(broken.pending_outputs) == 1
    broken.send("Go on")
    assert broken.pending_outputs == []
    broken.send("And on")
    assert [len(answers(one)) for one in tool_server.requests] == [0, 1, 1, 1, 0]
    assert said(tool_server.requests[3]) == "Go on"


def test_a_stream_that_is_pulled_carries_pending_outputs(
    break_run: Breaker, tool_server: ToolServer
) -> None:
    broken = break_run()
    with broken.send("Go on", stream=True) as stream:
        assert len(broken.pending_outputs) == 1
        assert "".join(map(str, stream)) == "done"
    assert broken.pending_outputs == []
    assert len(answers(tool_server.requests[-1])) == 1


def test_a_request_that_continues_from_elsewhere_leaves_outputs_pending(
    break_run: Breaker, tool_server: ToolServer
) -> None:
    broken = break_run()
    broken.send("Go on", previous_response_id="resp_0")
    broken.send("Go on")
    assert [answers(one) for one in tool_server.requests[-2:]] == [[], []]
    assert len(broken.pending_outputs) == 1


def test_an_output_that_is_in_the_input_is_not_sent_twice(
    break_run: Breaker, tool_server: ToolServer
) -> None:
    broken = break_run()
    broken.send([{**broken.pending_outputs[0], "output": "mine"}])
    assert answers(tool_server.requests[-1]) == ["mine"]
    assert broken.pending_outputs == []


def test_outputs_of_another_response_are_forgotten_for_those_of_a_newer_one(
    break_run: Breaker, tool_server: ToolServer
) -> None:
    broken = break_run({"calls": [ROME]}, {"status": 500})
    with pytest.raises(InternalServerError):
        broken.run("Hi", previous_response_id="resp_0")
    assert held(broken) == ['{"city":"Rome","celsius":4}']
    broken.send("Go on")
    assert answers(tool_server.requests[-1]) == ['{"city":"Rome","celsius":4}']


def test_outputs_that_a_caller_adds_are_sent_too(
    tool_client: OpenAI, tool_server: ToolServer
) -> None:
    tool_server.script({"calls": [OSLO]})
    session = tool_client.new_responses_chat_session()
    reply: Any = session.send("Hi")
    name = reply["output"][0]["call_id"]
    session.pending_outputs.append(
        {"type": "function_call_output", "call_id": name, "output": "mine"}
    )
    session.send("Go on")
    assert answers(tool_server.requests[-1]) == ["mine"]


def test_a_conversation_carries_pending_outputs(
    tool_client: OpenAI, tool_server: ToolServer
) -> None:
    tool_server.script({"calls": [OSLO]}, {"status": 500}, {"text": "x"}, {"text": "Fine."})
    session = tool_client.new_responses_chat_session(tools=[weather], conversation="conv_1")
    with pytest.raises(InternalServerError):
        session.run("Hi")
    session.send("Elsewhere", conversation="conv_2")
    session.send("Go on")
    assert [len(answers(one)) for one in tool_server.requests] == [0, 1, 0, 1]
    assert session.pending_outputs == []


def test_what_the_user_says_is_sent_once(tool_client: OpenAI, tool_server: ToolServer) -> None:
    tool_server.script({"calls": [OSLO]}, {"text": "Cold."})
    tool_client.new_responses_chat_session(tools=[weather]).run("Hi")
    first, second = (request["input"] for request in tool_server.requests)
    assert first == "Hi"
    assert [item["type"] for item in second] == ["function_call_output"]


def test_the_response_to_begin_from_counts_for_the_first_request(
    tool_client: OpenAI, tool_server: ToolServer
) -> None:
    tool_server.script({"calls": [OSLO]}, {"text": "Cold."})
    session = tool_client.new_responses_chat_session(tools=[weather])
    assert session.run("Hi", previous_response_id="resp_0").text == "Cold."
    sent = [one["previous_response_id"] for one in tool_server.requests]
    assert sent == ["resp_0", "resp_1"]
