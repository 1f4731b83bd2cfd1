"""The embedded model behind a real llama.cpp server, asked by Lua scripts and by Python."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from luaopenai import APIError, ChatSession, OpenAI, ResponseObject, Runtime
from luaopenai.local import LocalServer

pytestmark = pytest.mark.model

QUESTION = "What is the capital of France? Answer in one sentence."

WEATHER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 20},
        "celsius": {"type": "integer", "minimum": -50, "maximum": 50},
        "sky": {"enum": ["clear", "cloudy"]},
    },
    "required": ["city", "celsius", "sky"],
    "additionalProperties": False,
}

FORMAT = {"type": "json_schema", "json_schema": {"name": "weather", "schema": WEATHER}}

# llama.cpp offers tools only to models whose chat template knows them, which this one's does not.
TOOL = {"type": "function", "function": {"name": "weather", "parameters": WEATHER}}

CALL = {
    "type": "object",
    "properties": {"name": {"const": "weather"}, "arguments": WEATHER},
    "required": ["name", "arguments"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def python(model_server: LocalServer) -> Iterator[OpenAI]:
    with OpenAI(None, model_server.base_url) as client:
        yield client


@pytest.fixture(scope="module")
def lua(python: OpenAI) -> Runtime:
    runtime = Runtime(python)
    runtime.execute_string('client = require("openai").new()')
    return runtime


def assert_fits(weather: Any) -> None:
    assert set(weather) == {"city", "celsius", "sky"}
    assert isinstance(weather["city"], str)
    assert len(weather["city"]) <= 20
    assert weather["celsius"] in range(-50, 51)
    assert weather["sky"] in ("clear", "cloudy")


# --- Chat ---


def test_chat_returns_status_body_and_headers(lua: Runtime) -> None:
    status, body, headers = lua.run_string(
        "return client:chat({ { role = 'user', content = ... } }, { max_tokens = 20 })",
        "chat",
        QUESTION,
    )
    assert status == 200
    assert body["choices"][0]["message"]["content"]
    assert body["usage"]["completion_tokens"] <= 20
    assert headers["server"] == "llama.cpp"


def test_a_lua_session_holds_a_conversation_in_streams(lua: Runtime) -> None:
    replies, joined, messages = lua.run_string(
        """
        local chat = client:new_chat_session({ temperature = 0 })
        local replies, joined = {}, {}
        for number, question in ipairs({ ..., "And of Italy?" }) do
          local texts = {}
          replies[number] = assert(chat:send(question, {
            max_tokens = 20,
            stream_callback = function(chunk) texts[#texts + 1] = chunk.content end,
          }))
          joined[number] = table.concat(texts)
        end
        return replies, joined, chat.messages
        """,
        "session",
        QUESTION,
    )
    assert all(replies)
    assert joined == replies
    assert [message["role"] for message in messages] == ["user", "assistant"] * 2
    assert [message["content"] for message in messages[1::2]] == replies


def send_in_a_stream(chat: ChatSession, question: str) -> tuple[object, str]:
    """The reply, and the texts of its chunks."""
    texts: list[str] = []
    reply = chat.send(question, lambda chunk, _: texts.append(str(chunk)), max_tokens=20)
    return reply, "".join(texts)


def test_a_python_session_holds_a_conversation_in_streams(python: OpenAI) -> None:
    chat = python.new_chat_session(temperature=0)
    for question in (QUESTION, "And of Italy?"):
        reply, streamed = send_in_a_stream(chat, question)
        assert reply == streamed != ""
    assert [message["role"] for message in chat.messages] == ["user", "assistant"] * 2


def test_a_refusal_carries_llama_cpps_own_words_and_numeric_code(lua: Runtime) -> None:
    _, failure, body = lua.run_string(
        """
        local chat = client:new_chat_session({ response_format = { type = "no such type" } })
        return chat:send("Hi")
        """
    )
    assert failure == f"Bad status: 400: {body['error']['message']} (400)"


# --- Structured output and tools ---


def test_structured_output_keeps_to_its_schema_in_lua(lua: Runtime) -> None:
    lua.run_string("format = ...", "format", FORMAT)
    weather = lua.run_string(
        """
        local chat = client:new_chat_session({ response_format = format, temperature = 0 })
        return require("cjson").decode((assert(chat:send("What is the weather in Rome?"))))
        """
    )
    assert_fits(weather)


TYPED = """
    local types = require("tableshape").types
    local weather = types.shape({
      city = types.string:length(1, 20),
      celsius = types.number,
      days = types.array_of(types.one_of({ "clear", "cloudy" }), { length = types.range(1, 3) }),
      wind = types.one_of({ "weak", "strong" }):is_optional(),
      station = types.shape({ is_open = types.boolean }),
    })
    local openai = require("openai")
    local ask, is_response = ...
    for _, is_streamed in ipairs({ false, true }) do
      local opts = { temperature = 0, attempts = 1 }
      -- llama.cpp passes over text.format of the Responses API, and takes the name that chats have.
      local format = { name = "weather", schema = openai.schema(weather, { strict = true }) }
      opts.response_format = is_response and { type = "json_schema", json_schema = format } or nil
      opts.stream_callback = is_streamed and function() end or nil
      local made, text = assert(ask("The weather in Rome?", weather, opts))
      assert(weather(made))
      assert(text:find('"wind"', 1, true), text)
    end
"""


@pytest.mark.parametrize(
    "session", ["new_chat_session", "new_responses_chat_session", "a client alone"]
)
def test_a_typed_answer_fits_its_type_in_lua(lua: Runtime, session: str) -> None:
    ask = lua.run_string(
        """
        local name = ...
        return function(message, ...)
          if client[name] then return client[name](client):parse(message, ...) end
          return client:parse({ { role = "user", content = message } }, ...)
        end
        """,
        "ask",
        session,
    )
    lua.run_string(TYPED, "typed", ask, session == "new_responses_chat_session")


def test_a_typed_answer_that_is_cut_off_is_said_to_be_in_lua(lua: Runtime) -> None:
    value, failure = lua.run_string(
        """
        local types = require("tableshape").types
        local poem = types.shape({ lines = types.array_of(types.string, { length = 50 }) })
        local value, failure = client:new_chat_session():parse("A poem?", poem, { max_tokens = 8 })
        return value, failure
        """
    )
    assert (value, failure) == (None, "the answer was cut off: it reached max_tokens")


def test_a_run_with_a_tool_is_answered_in_lua(lua: Runtime) -> None:
    reply = lua.run_string(
        """
        local tool = require("openai").tool({ name = "now", call = function() return "noon" end })
        local session = client:new_chat_session({ tools = { tool } })
        return (assert(session:run("What time is it?", { max_tokens = 20 })))
        """
    )
    assert reply


def test_structured_output_keeps_to_its_schema_in_python(python: OpenAI) -> None:
    reply = python.new_chat_session(response_format=FORMAT).send("What is the weather in Rome?")
    assert isinstance(reply, str)
    assert_fits(json.loads(reply))


def test_structured_output_works_in_a_stream(python: OpenAI) -> None:
    texts: list[str] = []
    chat = python.new_chat_session(response_format=FORMAT)
    chat.send("What is the weather in Rome?", lambda chunk, _: texts.append(chunk["content"]))
    assert_fits(json.loads("".join(texts)))


def test_a_request_with_tools_is_accepted(python: OpenAI, lua: Runtime) -> None:
    asked = python.new_chat_session(tools=[TOOL], tool_choice="auto").send(QUESTION, max_tokens=10)
    assert asked
    lua.run_string("tool = ...", "tool", TOOL)
    reply, _ = lua.run_string(
        """
        local chat = client:new_chat_session({ tools = { tool } })
        return chat:send("What is the weather in Rome?", { max_tokens = 10 }), #chat.messages
        """
    )
    assert reply


def test_a_tools_arguments_can_be_had_through_a_schema_and_its_answer_sent_back(
    lua: Runtime,
) -> None:
    call_format = {"type": "json_schema", "json_schema": {"name": "call", "schema": CALL}}
    call, reply, roles = lua.run_string(
        """
        local cjson = require("cjson")
        local format, tool = ...
        local chat = client:new_chat_session({ tools = { tool }, temperature = 0 })
        local text = assert(chat:send("What is the weather in Rome?", { response_format = format }))
        local call = cjson.decode(text)
        chat.messages[2] = { role = "assistant", content = cjson.null, tool_calls = { {
          id = "call_1",
          type = "function",
          ["function"] = { name = call.name, arguments = cjson.encode(call.arguments) },
        } } }
        chat:append_message({ role = "tool", tool_call_id = "call_1", content = '{"celsius":19}' })
        local reply = assert(chat:generate_response(true, { max_tokens = 20 }))
        local roles = {}
        for number, message in ipairs(chat.messages) do roles[number] = message.role end
        return call, reply, roles
        """,
        "call",
        call_format,
        TOOL,
    )
    assert call["name"] == "weather"
    assert_fits(call["arguments"])
    assert reply
    assert roles == ["user", "assistant", "tool", "assistant"]


# --- Responses ---


def test_a_response_has_its_text_in_lua(lua: Runtime) -> None:
    text, shown, status = lua.run_string(
        """
        local session = client:new_responses_chat_session({ instructions = "Be brief." })
        local response = assert(session:send(..., { max_output_tokens = 20 }))
        return response:get_output_text(), tostring(response), response.status
        """,
        "response",
        QUESTION,
    )
    assert text == shown != ""
    assert status in ("completed", "incomplete")


def test_a_response_has_its_text_in_python(python: OpenAI) -> None:
    response = python.new_responses_chat_session().send(QUESTION, max_output_tokens=20)
    assert isinstance(response, ResponseObject)
    assert response.get_output_text() == str(response) != ""


def test_a_response_is_streamed_in_lua_and_kept(lua: Runtime) -> None:
    text, joined, kept, is_current = lua.run_string(
        """
        local session = client:new_responses_chat_session()
        local texts = {}
        local text = assert(session:send(..., {
          max_output_tokens = 20,
          stream_callback = function(chunk) texts[#texts + 1] = chunk.content end,
        }))
        local kept = session.response_history[1]
        local is_current = kept.id == session.current_response_id
        return text, table.concat(texts), kept:get_output_text(), is_current
        """,
        "stream",
        QUESTION,
    )
    assert text == joined == kept != ""
    assert is_current


def test_a_response_is_streamed_in_python_and_kept(python: OpenAI) -> None:
    session = python.new_responses_chat_session()
    texts: list[str] = []
    text = session.send(QUESTION, lambda chunk, _: texts.append(str(chunk)), max_output_tokens=20)
    assert text == "".join(texts) == str(session.response_history[0]) != ""


def test_a_responses_text_keeps_to_its_schema(python: OpenAI) -> None:
    session = python.new_responses_chat_session()
    # llama.cpp passes over the API's own name for this, text.format, and takes that of chats.
    response = session.send("The weather in Rome?", response_format=FORMAT, max_output_tokens=100)
    assert_fits(json.loads(str(response)))


def test_what_llama_cpp_cannot_do_comes_back_as_a_failure(python: OpenAI, lua: Runtime) -> None:
    reply, failure, body = lua.run_string(
        """
        local session = client:new_responses_chat_session({ previous_response_id = "resp_1" })
        return session:send("Go on.")
        """
    )
    assert reply is None
    assert failure == f"Request failed with status: 400: {body['error']['message']} (400)"
    assert "previous_response_id" in failure
    with pytest.raises(APIError, match=r"^Request failed with status: 400: .*previous_response_id"):
        python.new_responses_chat_session(previous_response_id="resp_1").send("Go on.")


# --- Embeddings and any other endpoint ---


def test_embeddings_are_the_same_numbers_in_lua_and_in_python(python: OpenAI, lua: Runtime) -> None:
    input = ["a cat", "a kitten"]
    in_lua = lua.run_string("return select(2, client:embedding(...)).data", "embed", input)
    in_python = python.embedding(input).body["data"]
    assert len(in_lua) == len(in_python) == 2
    for ours, theirs in zip(in_lua, in_python, strict=True):
        assert len(ours["embedding"]) == 576
        assert ours["embedding"] == pytest.approx(theirs["embedding"], abs=1e-5)


def test_any_other_endpoint_is_reached(python: OpenAI, lua: Runtime) -> None:
    payload = {"content": "Hello world"}
    tokens = python.request("POST", "/../tokenize", payload).body["tokens"]
    assert len(tokens) >= 2
    status, body = lua.run_string(
        'local s, b = client:request("POST", "/../tokenize", ...) return s, b', "tokenize", payload
    )
    assert (status, body) == (200, {"tokens": tokens})


class Weather(BaseModel):
    city: str = Field(max_length=20)
    celsius: int = Field(ge=-50, le=50)
    sky: Literal["clear", "cloudy"]


def test_a_typed_answer_follows_a_type_in_python(python: OpenAI) -> None:
    messages = [{"role": "user", "content": "Make up the weather in Paris."}]
    made = python.parse(messages, Weather, attempts=1, max_tokens=100)
    assert_fits(made.model_dump())
