"""What plugins' requests cost their host: each request and each token is booked, come what may."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer
from werkzeug import Response

from luaopenai import LimitExceeded, Limits, LuaError, OpenAI, Plugin, PluginHost
from luaopenai.host.broker import Broker, Totals
from luaopenai.host.faults import Stop
from luaopenai.host.setup import BASE_URL
from luaopenai.host.tokens import (
    LONGEST_ANSWER,
    TokenCount,
    asked_tokens,
    check_amounts,
    hold_to,
    reported_tokens,
    told_parts,
)
from support.crowd_server import CrowdServer
from support.fault_server import (
    CHUNKED_STREAM,
    Connection,
    FaultServer,
    Script,
    chunk,
    in_turn,
    say,
)
from support.fault_server import answer as fault

Load = Callable[..., Plugin]

SEND = """
local openai = require("openai")
local client = openai.new()
local function post(payload)
  return client:_request("POST", "/chat/completions", payload)
end
return { run = function(...) %s end, rest = function() return "alive" end }
"""


@pytest.fixture
def load(hosts: Callable[..., PluginHost]) -> Load:
    """Loads a plugin whose function ``run`` has this body, for a client and with limits."""

    def load(
        body: str, client: OpenAI, models: Any = None, functions: Any = None, **limits: Any
    ) -> Plugin:
        return hosts(client, functions, Limits(**limits), models).load_string(SEND % body)

    return load


def answer(
    server: HTTPServer, body: Any, status: int = 200, path: str = "chat/completions"
) -> None:
    whole = Response(json.dumps(body), status, content_type="application/json")
    server.expect_request(f"/v1/{path}").respond_with_response(whole)


def reply(text: str) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": text}}]}


# --- What a request lets a model write ---


@pytest.mark.parametrize(
    ("payload", "tokens"),
    [
        ({}, 0),
        ({"max_tokens": 10}, 10),
        ({"max_completion_tokens": 20, "max_tokens": 10}, 20),
        ({"max_output_tokens": 7.0}, 7),
        ({"max_tokens": 10, "n": 3}, 30),
        ({"max_tokens": 10, "best_of": 4, "n": 2}, 40),
        ({"max_tokens": 10**12}, LONGEST_ANSWER),
        ({"max_tokens": -5, "n": -1}, 0),
        ({"max_tokens": "10"}, 0),
        ({"max_tokens": True}, 0),
        ({"max_tokens": float("inf")}, 0),
        ({"max_tokens": [1]}, 0),
    ],
)
def test_a_payload_says_how_much_the_model_may_write(payload: Any, tokens: int) -> None:
    assert asked_tokens(payload) == tokens


@pytest.mark.parametrize("text", ["1e999", "NaN", '"10"', "true"])
def test_an_amount_that_is_no_finite_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"payload\.max_tokens: expected a number"):
        check_amounts({"max_tokens": json.loads(text)})


@pytest.mark.parametrize(("most", "held"), [(10, 10), (11, 11), (12, 11)])
def test_a_payload_is_held_to_what_is_left_to_the_token(most: int, held: int) -> None:
    payload = {"max_tokens": 11}
    hold_to(payload, most)
    assert payload == {"max_tokens": held}


@pytest.mark.parametrize(
    ("event", "tokens"),
    [
        ({"usage": {"total_tokens": 12}}, 12),
        ({"usage": {"prompt_tokens": 4, "completion_tokens": 5}}, 9),
        ({"response": {"usage": {"input_tokens": 4, "output_tokens": 6}}}, 10),
        ({"response": {"usage": {"total_tokens": 12}}}, 12),
        ({"usage": {"total_tokens": 0}}, 0),
        ({"usage": {"total_tokens": -3}}, None),
        ({"usage": {"prompt_tokens": -5, "completion_tokens": 7}}, 7),
        ({"usage": None, "response": {"usage": None}}, None),
        ({"usage": {"cost": 3}}, None),
        ({"usage": {"total_tokens": None, "prompt_tokens": "7"}}, None),
        ({"usage": [1]}, None),
        ({"response": "x"}, None),
        ([], None),
        (None, None),
    ],
)
def test_an_answer_says_what_it_has_cost(event: Any, tokens: int | None) -> None:
    assert reported_tokens(event) == tokens


@pytest.mark.parametrize(
    ("usage", "parts"),
    [
        ({"prompt_tokens": 4, "completion_tokens": 5}, (4, 5)),
        ({"input_tokens": 4, "output_tokens": 5, "total_tokens": 9}, (4, 5)),
        ({"prompt_tokens": 4, "completion_tokens": 5, "total_tokens": 12}, (4, 8)),
        ({"total_tokens": 12}, (0, 12)),
        ({"cost": 3}, None),
    ],
)
def test_tokens_of_a_total_that_are_no_question_are_the_answers(
    usage: Any, parts: tuple[int, int] | None
) -> None:
    assert told_parts(usage) == parts


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["usage", "response", "total_tokens", "max_tokens", "n"]), inner
        )
    ),
)


@given(json_values)
def test_no_answer_and_no_payload_has_a_count_that_is_odd(value: Any) -> None:
    told = reported_tokens(value)
    assert told is None or 0 <= told < 2**54
    if isinstance(value, dict):
        assert 0 <= asked_tokens(value) <= LONGEST_ANSWER * 128


def test_the_most_that_a_stream_tells_is_what_it_costs() -> None:
    count = TokenCount(400, 50)
    for tokens in (3, 10, 4):
        count.add_event({"usage": {"total_tokens": tokens}})
    assert count.total() == 10


def test_of_a_stream_that_is_cut_the_most_that_it_has_told_so_far_counts() -> None:
    count = TokenCount(400, 50)
    for tokens in (1000, 900):
        choices = [{"delta": {"content": "x"}}]
        count.add_event({"choices": choices, "usage": {"total_tokens": tokens}})
    assert count.total() == 1000


def test_without_the_servers_word_the_larger_of_what_was_asked_and_what_came_counts() -> None:
    few, many = TokenCount(400, 50), TokenCount(400, 50)
    for _ in range(10):
        few.add_event({})
    for _ in range(60):
        many.add_event({})
    assert (few.total(), many.total()) == (150, 160)
    many.add_event({"usage": {"total_tokens": 7}})
    assert many.total() == 7


# --- Tokens ---


def test_the_tokens_of_an_answer_that_is_cancelled_late_are_those_that_were_asked_for(
    load: Load, crowd: CrowdServer
) -> None:
    with OpenAI("sk-secret", crowd.url, max_retries=0) as client:
        plugin = load(
            """
            local tasks = {}
            for n = 1, 10 do
              tasks[n] = openai.spawn(post, { model = "wait-9000", max_tokens = 4500, messages = {
                { role = "user", content = "x" },
              } })
            end
            openai.sleep(0.3)
            for _, task in ipairs(tasks) do task:cancel() end
            """,
            client,
            tokens=None,
        )
        plugin.call("run")
        assert 45_000 <= plugin.usage.tokens <= 46_000


def test_a_whole_answer_without_usage_costs_an_estimate(
    load: Load, client: OpenAI, httpserver: HTTPServer
) -> None:
    answer(httpserver, reply("word " * 800))
    plugin = load("post({ model = 'm', messages = {} })", client)
    plugin.call("run")
    assert plugin.usage.tokens >= 1000


def test_an_answer_that_refuses_costs_no_tokens(
    load: Load, client: OpenAI, httpserver: HTTPServer
) -> None:
    answer(httpserver, {"error": {"message": "no " * 500}}, 400)
    plugin = load("return (post({ model = 'm', max_tokens = 4000 }))", client)
    assert plugin.call("run") == 400
    assert (plugin.usage.requests, plugin.usage.tokens) == (1, 0)


def test_a_stream_of_responses_costs_what_its_last_event_says(
    load: Load, client: OpenAI, httpserver: HTTPServer
) -> None:
    events = [
        {"type": "response.created", "response": {"id": "r", "usage": None}},
        {"type": "response.output_text.delta", "delta": "Hello"},
        {
            "type": "response.completed",
            "response": {"id": "r", "output": [], "usage": {"total_tokens": 321}},
        },
    ]
    whole = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    httpserver.expect_request("/v1/responses").respond_with_data(
        whole, content_type="text/event-stream"
    )
    plugin = load(
        "return client:new_responses_chat_session():send('Hi', function() end)", client, tokens=300
    )
    with pytest.raises(LimitExceeded, match="tokens: the limit is 300, used 321"):
        plugin.call("run")
    assert plugin.usage.tokens == 321


def test_a_stream_tells_its_tokens_whatever_the_plugin_asks_for(
    load: Load, client: OpenAI, httpserver: HTTPServer
) -> None:
    answer(httpserver, reply("fine"))
    load("post({ stream = true, stream_options = { include_usage = false } })", client).call("run")
    sent = json.loads(httpserver.log[-1][0].get_data())
    assert sent["stream_options"] == {"include_usage": True}


def test_the_last_event_of_a_stream_counts_without_a_line_break(
    load: Load, client: OpenAI, httpserver: HTTPServer
) -> None:
    events = Response('data: {"usage": {"total_tokens": 7}}', content_type="text/event-stream")
    httpserver.expect_request("/v1/chat/completions").respond_with_response(events)
    plugin = load("post({ stream = true, max_tokens = 500 })", client)
    plugin.call("run")
    assert plugin.usage.tokens == 7


def test_an_answer_that_never_came_costs_what_was_asked_for(load: Load, crowd: CrowdServer) -> None:
    times = {"connect": 5, "read": 0.1}
    with OpenAI("sk-secret", crowd.url, max_retries=0, timeout=times) as client:
        said = "messages = { { role = 'user', content = 'x' } }"
        plugin = load(f"post({{ model = 'wait-9000', max_tokens = 900, {said} }})", client)
        with pytest.raises(LuaError, match="cannot reach its server"):
            plugin.call("run")
        assert 900 <= plugin.usage.tokens < 1000


def test_a_request_that_found_no_server_costs_no_tokens(
    load: Load, connect: Callable[..., OpenAI], refusing_url: str
) -> None:
    plugin = load("post({ model = 'm', max_tokens = 900 })", connect(refusing_url))
    with pytest.raises(LuaError, match="cannot reach its server"):
        plugin.call("run")
    assert (plugin.usage.requests, plugin.usage.tokens) == (1, 0)


def test_tokens_that_are_told_in_the_midst_of_a_stream_are_not_all() -> None:
    told = {"choices": [{"delta": {"content": "x"}}], "usage": {"total_tokens": 11}}
    cut, whole = TokenCount(400, 50), TokenCount(400, 50)
    cut.add_event(told)
    whole.add_event(told)
    whole.end()
    assert (cut.total(), whole.total()) == (150, 11)
    cut.add_event({"choices": [{"finish_reason": "stop"}], "usage": {"total_tokens": 12}})
    assert cut.total() == 12


@pytest.mark.parametrize(
    "event",
    [
        {"choices": [{"delta": {"role": "assistant", "content": "word " * 80}}]},
        {"choices": [{"text": "word " * 80}]},
        {"choices": [{"delta": {"tool_calls": [{"function": {"arguments": "word " * 80}}]}}]},
        {"type": "response.output_text.delta", "delta": "word " * 80},
    ],
)
def test_an_event_with_much_text_counts_as_many_tokens(event: Any) -> None:
    count = TokenCount(0, 0)
    count.add_event(event)
    assert count.total() == 100


def test_a_refusal_that_tells_of_a_cost_has_that_cost(
    load: Load, client: OpenAI, httpserver: HTTPServer
) -> None:
    answer(httpserver, {"error": {"message": "no JSON"}, "usage": {"total_tokens": 321}}, 400)
    plugin = load("return (post({ model = 'm' }))", client)
    assert plugin.call("run") == 400
    assert plugin.usage.tokens == 321


def test_what_no_model_writes_costs_no_tokens(
    load: Load, client: OpenAI, httpserver: HTTPServer
) -> None:
    answer(httpserver, {"data": [{"id": f"m{n}"} for n in range(1000)]}, path="models")
    plugin = load("return (client:_request('GET', '/models'))", client)
    assert plugin.call("run") == 200
    assert plugin.usage.tokens == 0


def test_what_has_come_of_an_answer_that_is_cut_off_counts(
    load: Load, connect: Callable[..., OpenAI], fault_server: Callable[[Script], FaultServer]
) -> None:
    def cut(connection: Connection) -> None:
        connection.read_request()
        connection.send(fault(b"x" * 4000, length=5000))

    plugin = load("post({ model = 'm' })", connect(fault_server(cut).url, max_retries=0))
    with pytest.raises(LuaError, match="was cut off") as caught:
        plugin.call("run")
    assert 1000 <= plugin.usage.tokens < 1100
    # Where the server is, the host learns alone.
    assert "127.0.0.1" not in caught.value.message
    assert "127.0.0.1" in str(caught.value.__cause__)


@pytest.mark.parametrize(("requests", "tries"), [(20, 3), (2, 2)])
def test_tries_that_were_lost_cost_what_they_asked_for(
    load: Load,
    connect: Callable[..., OpenAI],
    fault_server: Callable[[Script], FaultServer],
    pauses: list[float],
    requests: int,
    tries: int,
) -> None:
    def lose(connection: Connection) -> None:
        connection.read_request()
        if connection.number < 3:
            connection.reset()
        else:
            connection.send(fault(b'{"usage": {"total_tokens": 11}}'))

    client = connect(fault_server(lose).url, max_retries=4)
    plugin = load("pcall(post, { model = 'm', max_tokens = 900 })", client, requests=requests)
    with suppress(LimitExceeded):
        plugin.call("run")
    assert plugin.usage.requests == tries
    assert 1800 <= plugin.usage.tokens < 1900


def test_a_kept_connection_that_was_lost_costs_no_tokens(
    load: Load, connect: Callable[..., OpenAI], fault_server: Callable[[Script], FaultServer]
) -> None:
    fine = fault(b'{"usage": {"total_tokens": 11}}')

    def end_before_the_second(connection: Connection) -> None:
        say(fine)(connection)
        connection.read_request()
        connection.reset()

    client = connect(fault_server(in_turn(end_before_the_second, say(fine))).url)
    plugin = load("for _ = 1, 2 do post({ model = 'm', max_tokens = 900 }) end", client)
    plugin.call("run")
    assert plugin.usage.tokens == 22


def test_no_plugin_asks_for_more_tokens_than_are_left(
    load: Load, client: OpenAI, httpserver: HTTPServer
) -> None:
    answer(httpserver, {"usage": {"total_tokens": 400}})
    plugin = load(
        "for _ = 1, 2 do post({ model = 'm', max_tokens = 131072, n = 3 }) end", client, tokens=1000
    )
    plugin.call("run")
    asked = [request.get_json()["max_tokens"] for request, _ in httpserver.log]
    assert asked == [333, 200]


@pytest.mark.parametrize("amount", ["9", True, [9]])
def test_an_amount_is_a_number(load: Load, client: OpenAI, amount: Any) -> None:
    plugin = load("post(...)", client)
    with pytest.raises(LuaError, match=r"payload\.max_tokens: expected a number"):
        plugin.call("run", {"model": "m", "max_tokens": amount})


def broker(client: OpenAI, **limits: Any) -> Broker:
    return Broker("plugin", client, {}, None, Limits(**limits), Totals(), print, None)


def test_answers_that_lie_unread_fill_the_host_together(
    client: OpenAI, httpserver: HTTPServer
) -> None:
    answer(httpserver, reply("x" * 900_000))
    asked = broker(client, memory_mb=4, tokens=None)
    place = "POST", f"{BASE_URL}/chat/completions", b"{}"
    for _ in range(6):
        asked.prepare_open(*place)().take_body()
    unread = [asked.prepare_open(*place)() for _ in range(4)]
    with pytest.raises(Stop, match="memory_mb"):
        asked.prepare_open(*place)()
    for response in unread:
        response.close()
    asked.end()
    asked.begin()
    assert asked.prepare_open(*place)().status == 200


def test_a_stream_without_an_event_does_not_fill_the_host(
    connect: Callable[..., OpenAI], fault_server: Callable[[Script], FaultServer]
) -> None:
    event = b'data: {"choices": [], "filler": "' + b"x" * 1000 + b'"}\n\n'

    def pour(connection: Connection) -> None:
        connection.read_request()
        connection.send(CHUNKED_STREAM)
        with suppress(OSError):
            for _ in range(100):
                connection.send(chunk(event * 110))
            for _ in range(100):
                connection.send(chunk(b"x" * 100_000))

    asked = broker(connect(fault_server(pour).url), memory_mb=2, tokens=None)
    stream = b'{"stream": true}'
    response = asked.prepare_open("POST", f"{BASE_URL}/chat/completions", stream)()
    came: list[int] = []
    with pytest.raises(Stop, match="memory_mb"):
        came.extend(map(len, iter(response.read_piece, None)))
    assert sum(came) > 10_000_000
    response.close()


# --- Requests ---


def test_each_try_of_a_request_is_charged(
    load: Load, connect: Callable[..., OpenAI], httpserver: HTTPServer
) -> None:
    busy = Response("{}", 503, {"Retry-After-Ms": "1"})
    httpserver.expect_request("/v1/chat/completions").respond_with_response(busy)
    client = connect(httpserver.url_for("/v1"), max_retries=2)
    plugin = load("for n = 1, 3 do post({ model = 'm' }) end", client, requests=9)
    plugin.call("run")
    assert plugin.usage.requests == len(httpserver.log) == 9


def test_no_try_of_a_request_is_sent_that_a_limit_forbids(
    load: Load, connect: Callable[..., OpenAI], httpserver: HTTPServer
) -> None:
    busy = Response("{}", 503, {"Retry-After-Ms": "1"})
    httpserver.expect_request("/v1/chat/completions").respond_with_response(busy)
    client = connect(httpserver.url_for("/v1"), max_retries=5)
    plugin = load("post({ model = 'm' })", client, requests=2)
    with pytest.raises(LimitExceeded) as caught:
        plugin.call("run")
    assert (caught.value.kind, caught.value.used) == ("requests", 3)
    assert plugin.usage.requests == len(httpserver.log) == 2
    assert plugin.call("rest") == "alive"


# --- Payloads ---


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The bodies that the host has looked through."""
    bodies: list[bytes] = []
    look_through = Broker._payload

    def note(self: Broker, method: str, path: str, body: bytes | None) -> Any:
        bodies.append(body or b"")
        return look_through(self, method, path, body)

    monkeypatch.setattr(Broker, "_payload", note)
    return bodies


@pytest.mark.parametrize("post", ["post", "openai.spawn(post, %s):wait"])
def test_a_payload_is_looked_through_only_when_its_request_may_be_sent(
    load: Load, client: OpenAI, parsed: list[bytes], post: str
) -> None:
    heavy = "'[' .. ('[],'):rep(1e6) .. '[]]'"
    call = post % heavy if "%s" in post else f"post({heavy})"
    plugin = load(f"{call}{'()' if '%s' in post else ''}", client, requests=0, memory_mb=256)
    with pytest.raises(LimitExceeded, match="requests: the limit is 0, used 1"):
        plugin.call("run")
    assert parsed == []


def test_a_payload_is_weighed_before_it_is_looked_through(
    load: Load, client: OpenAI, parsed: list[bytes]
) -> None:
    plugin = load("post('[' .. ('[],'):rep(1e6) .. '[]]')", client, memory_mb=32)
    with pytest.raises(LimitExceeded, match="memory_mb"):
        plugin.call("run")
    assert parsed == []


def test_the_time_that_a_payload_takes_is_the_plugins_own(
    load: Load, client: OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[None] = []

    def look_through(*_: Any) -> None:
        time.sleep(0.05)
        looks.append(None)
        if len(looks) > 30:
            pytest.fail("its time is free")
        raise ValueError("no payload")

    monkeypatch.setattr(Broker, "_payload", look_through)
    plugin = load("while true do pcall(post, '[]') end", client, seconds=0.3, requests=None)
    with pytest.raises(LimitExceeded, match=r"seconds: the limit is 0\.3"):
        plugin.call("run")
    assert plugin.call("rest") == "alive"


@pytest.mark.parametrize("take", ["host.take({})", "openai.spawn(host.take, {}):wait()"])
def test_the_time_that_arguments_of_host_functions_take_is_the_plugins_own(
    load: Load, client: OpenAI, monkeypatch: pytest.MonkeyPatch, take: str
) -> None:
    looks: list[None] = []

    def look_through(*_: Any) -> list[Any]:
        time.sleep(0.05)
        looks.append(None)
        assert len(looks) < 30
        return []

    monkeypatch.setattr(Broker, "values", look_through)
    functions = {"take": lambda *_: None}
    plugin = load(f"while true do {take} end", client, seconds=0.3, functions=functions)
    with pytest.raises(LimitExceeded, match=r"seconds: the limit is 0\.3"):
        plugin.call("run")


def test_a_whole_answer_ends_the_call_that_has_no_tokens_left_for_it(
    load: Load, client: OpenAI, httpserver: HTTPServer
) -> None:
    answer(httpserver, reply("dear") | {"usage": {"total_tokens": 100}})
    told: list[str] = []
    functions = {"tell": told.append}
    body = "pcall(post, { model = 'm' }) pcall(host.tell, 'went on')"
    plugin = load(body, client, functions=functions, tokens=50)
    with pytest.raises(LimitExceeded, match="tokens: the limit is 50, used 100"):
        plugin.call("run")
    assert told == []


@pytest.mark.parametrize(
    "field",
    ["Model", "MODEL", "\u017ftream", "Background", "Max_Tokens", "N"],
)
def test_a_field_that_is_guarded_is_refused_in_other_spellings(
    load: Load, client: OpenAI, httpserver: HTTPServer, field: str
) -> None:
    answer(httpserver, reply("cheap"))
    plugin = load("return post(...)", client, models={"cheap"})
    with pytest.raises(LuaError, match="a plugin writes it as"):
        plugin.call("run", {"model": "cheap", field: "dear"})
    assert not httpserver.log


def test_a_payload_is_needed_where_a_model_is_asked(load: Load, client: OpenAI) -> None:
    plugin = load("return post()", client, models={"cheap"})
    with pytest.raises(LuaError, match="a request's payload is a table with names"):
        plugin.call("run")


def test_an_answer_that_would_fill_the_host_is_stopped(
    load: Load, client: OpenAI, httpserver: HTTPServer
) -> None:
    answer(httpserver, reply("x" * 3_000_000))
    plugin = load("return (post({ model = 'm' }))", client, memory_mb=2)
    with pytest.raises(LimitExceeded, match="memory_mb"):
        plugin.call("run")
    assert plugin.usage.tokens > 0


def test_a_module_that_would_fill_the_host_is_not_read(tmp_path: Path, isolation: Any) -> None:
    (tmp_path / "plugin.lua").write_text("return { run = function() return require('huge') end }")
    with open(tmp_path / "huge.lua", "wb") as file:
        file.truncate(3 * 2**30)
    host = PluginHost(limits=Limits(memory_mb=8), isolation=isolation, modules=True)
    with host, pytest.raises(LimitExceeded, match="memory_mb"):
        host.load(tmp_path / "plugin.lua").call("run")
