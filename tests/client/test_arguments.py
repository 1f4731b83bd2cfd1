"""Wrong arguments: one line that names the argument, and never shows a key in the wrong place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from luaopenai import AsyncOpenAI, ChatSession, OpenAI, PluginHost, ResponsesChatSession, Runtime
from support import exactly

HELLO = [{"role": "user", "content": "Hello"}]
SECRET = "sk-secret"


def expected_client(kind: str) -> str:
    return f"client: expected an OpenAI client, got {kind}"


WRONG: list[tuple[Callable[[Any], object], str]] = [
    (lambda _: ChatSession(SECRET), expected_client("str")),  # type: ignore[arg-type]
    (lambda _: ChatSession(None), expected_client("NoneType")),  # type: ignore[arg-type]
    (lambda _: ChatSession(OpenAI), expected_client("the class OpenAI")),  # type: ignore[arg-type]
    (lambda _: ChatSession(AsyncOpenAI(SECRET)), expected_client("AsyncOpenAI")),  # type: ignore[arg-type]
    (lambda _: ResponsesChatSession([]), expected_client("list")),  # type: ignore[arg-type]
    (lambda _: Runtime(SECRET), expected_client("str")),  # type: ignore[arg-type]
    (lambda _: Runtime(client=""), expected_client("str")),  # type: ignore[arg-type]
    (lambda _: Runtime(AsyncOpenAI(SECRET)), expected_client("AsyncOpenAI")),  # type: ignore[arg-type]
    (lambda _: PluginHost(client=SECRET), expected_client("str")),  # type: ignore[arg-type]
    (
        lambda client: client.new_chat_session(functions={"name": "f"}),
        "functions: expected a list, got dict",
    ),
    (lambda client: client.new_chat_session(tools="f"), "tools: expected a list, got str"),
    (lambda client: client.new_chat_session(tools=5), "tools: expected a list, got int"),
    (lambda client: client.new_chat_session(messages="Hi"), "messages: expected a list, got str"),
    (
        lambda client: client.new_responses_chat_session(tools={}),
        "tools: expected a list, got dict",
    ),
    (
        lambda client: client.new_responses_chat_session(previous_response_id=5),
        "previous_response_id: expected a string, got int",
    ),
    (lambda _: OpenAI(5), "api_key: expected a string, got int"),  # type: ignore[arg-type]
    (lambda _: OpenAI("k", 5), "base_url: expected a string, got int"),  # type: ignore[arg-type]
    (lambda _: OpenAI(organization=12), "organization: expected a string, got int"),  # type: ignore[arg-type]
    (lambda _: OpenAI(headers="x"), "headers: expected a dict, got str"),  # type: ignore[arg-type]
    (lambda _: OpenAI(headers={"X": 5}), "headers: X: expected a string, got int"),  # type: ignore[dict-item]
    (lambda _: OpenAI(query="a=b"), "query: expected a dict, got str"),  # type: ignore[arg-type]
    (
        lambda client: client.with_options(headers={5: "x"}),
        "headers: expected names that are strings, got int",
    ),
    (
        lambda client: client.request("GET", 5),
        "path: expected a string, got int",
    ),
    *(
        (ask, "stream_callback: expected a function, got int")
        for ask in (
            lambda client: client.chat(HELLO, 5),
            lambda client: client.chat(HELLO, stream_callback=0),
            lambda client: client.create_chat_completion(HELLO, 5),
            lambda client: client.create_response("Hello", 5),
            lambda client: client.request("GET", "/models", stream_callback=5),
            lambda client: client.new_chat_session(messages=HELLO).send("Hello", 5),
            lambda client: client.new_chat_session().generate_response(True, 5),
            lambda client: client.new_responses_chat_session().send("Hello", 5),
        )
    ),
]


@pytest.mark.parametrize(("ask", "text"), WRONG, ids=[text for _, text in WRONG])
def test_what_is_of_a_wrong_type_is_named(
    connect: Callable[..., OpenAI],
    refusing_url: str,
    ask: Callable[[OpenAI], object],
    text: str,
) -> None:
    with pytest.raises(TypeError, match=exactly(text)):
        ask(connect(refusing_url))


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (lambda client: client.chat("hi"), "messages: expected a list of messages, got a string"),
        (
            lambda client: client.chat("hi", stream=True),
            "messages: expected a list of messages, got a string",
        ),
        (
            lambda client: client.new_chat_session().send(5),
            "message: expected a table with role and content, got a number",
        ),
        (
            lambda client: client.new_responses_chat_session().send(5),
            "input: expected a string or a list, got a number",
        ),
        (
            lambda client: client.new_chat_session(functions=["f"]),
            "functions[0]: expected a table with name, got a string",
        ),
        (
            lambda _: OpenAI(timeout="x"),  # type: ignore[arg-type]
            "timeout: expected seconds above 0, at most 1e+09, got 'x'",
        ),
        (
            lambda _: OpenAI(timeout=(1.0,)),  # type: ignore[arg-type]
            "timeout: expected seconds to connect and to read, got (1.0,)",
        ),
    ],
)
def test_what_has_a_wrong_value_is_named(
    connect: Callable[..., OpenAI], refusing_url: str, ask: Callable[[Any], object], text: str
) -> None:
    with pytest.raises(ValueError, match=exactly(text)):
        ask(connect(refusing_url))


def test_a_wrong_callback_leaves_the_history_alone(client: OpenAI) -> None:
    session = client.new_chat_session()
    with pytest.raises(TypeError):
        session.send("Hello", 5)  # type: ignore[call-overload]
    assert session.messages == []


def test_a_session_takes_whatever_speaks_as_a_client_does() -> None:
    class Double:
        def chat(self, messages: object, **_: object) -> tuple[int, Any, dict[str, str]]:
            raise NotImplementedError

    session = ChatSession(Double(), messages=iter(HELLO), tools=({"type": "x"},))  # type: ignore[arg-type]
    assert (session.messages, session.tools) == (HELLO, [{"type": "x"}])
