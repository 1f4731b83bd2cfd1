"""What a Lua script makes of faults, and its say in how requests are sent."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from luaopenai import LuaError, OpenAI, Runtime
from support import API_KEY
from support.fault_server import (
    CHUNKED_STREAM,
    Connection,
    FaultServer,
    Script,
    answer,
    chunk,
    drip,
    in_turn,
    keep_alive,
    reset_at_once,
    say,
    say_then_stall,
)
from support.waiting import GENEROUS

StartServer = Callable[[Script], FaultServer]
Count = Callable[[], int]
RunLua = Callable[..., Any]

DONE = b"data: [DONE]\n\n"
REFUSAL = say(answer(b'{"error": "Not now"}', "Connection: close", status="503 No"))
FINE = say(answer(b'"fine"'))
HELLO = [{"role": "user", "content": "Hello"}]


def delta(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}}
    event = {"object": "chat.completion.chunk", "choices": [choice]}
    return b"data: %s\n\n" % json.dumps(event).encode()


def stream(*pieces: bytes) -> bytes:
    return CHUNKED_STREAM + b"".join(map(chunk, pieces)) + chunk(b"")


def lines_of(request: bytes) -> list[bytes]:
    return request.partition(b"\r\n\r\n")[0].split(b"\r\n")


@pytest.fixture
def lua() -> RunLua:
    """Runs Lua code with a client for a server; ``new`` makes others with the same key."""

    def run(code: str, server: FaultServer | str, *args: object) -> Any:
        url = server if isinstance(server, str) else server.url
        prelude = f"""
          local openai = require("openai")
          local function new(config)
            local client = openai.new("{API_KEY}", config)
            if not (config and config.base_url) then client.api_base = "{url}" end
            return client
          end
          local client = new()
        """
        return Runtime(rocks=False).run_string(prelude.replace("\n", " ") + code, "code", *args)

    return run


# --- Faults ---


@pytest.mark.parametrize("fault", [reset_at_once, REFUSAL], ids=["reset", "refused"])
def test_a_request_is_sent_again(
    lua: RunLua, fault_server: StartServer, pauses: list[float], fault: Script
) -> None:
    server = fault_server(in_turn(fault, FINE))
    assert lua("return client:models()", server)[:2] == (200, "fine")
    assert (len(server.requests), len(pauses)) == (2, 1)


def test_a_client_method_raises_a_string_when_the_network_fails(
    lua: RunLua, fault_server: StartServer, pauses: list[float]
) -> None:
    server = fault_server(reset_at_once)
    ok, failure = lua("return pcall(client.models, client)", server)
    assert (ok, failure) == (False, f"the server closed the connection: {server.url}/models")
    assert len(server.requests) == 3


def test_a_filter_of_the_scripts_own_takes_the_pieces_of_its_first_request(
    lua: RunLua, fault_server: StartServer
) -> None:
    code = """
      local pieces = {}
      local status, body = client:_request("GET", "/models", nil, nil, function(piece)
        pieces[#pieces + 1] = piece
        return piece
      end)
      return status, body, table.concat(pieces)
    """
    server = fault_server(say(CHUNKED_STREAM, chunk(b"one "), chunk(b"two"), chunk(b"")))
    assert lua(code, server) == (200, "one two", "one two")


SEND = """
  local session = client:new_chat_session()
  local texts = {}
  local reply, failure, body = session:send("Hello", function(chunk)
    texts[#texts + 1] = chunk.content
  end)
  return reply or "nil", failure, body or "nil", table.concat(texts), session.messages
"""

CUT = CHUNKED_STREAM + chunk(delta("Hel") + delta("lo"))
BROKEN_STREAMS: dict[str, tuple[Script, str, str]] = {
    "cut": (say(CUT), "the answer was cut off: URL", "Hello"),
    "cut in a character": (
        say(CHUNKED_STREAM + chunk(delta("Hel") + delta("lo\ud83d"))),
        "the answer was cut off: URL",
        "Hello\ufffd",
    ),
    "silent": (say_then_stall(CUT), "timed out: no answer within 0.5 s from URL", "Hello"),
    "error": (
        say(stream(delta("Hello"), b'data: {"error": {"message": "Broke", "code": "oops"}}\n\n')),
        "Stream failed: Broke (oops)",
        "Hello",
    ),
    "error before any text": (
        say(stream(b'data: {"error": "Broke"}\n\n')),
        "Stream failed: Broke",
        "",
    ),
}


@pytest.mark.parametrize(("script", "text", "so_far"), BROKEN_STREAMS.values(), ids=BROKEN_STREAMS)
def test_a_stream_that_fails_gives_nil_why_and_what_came_so_far(
    lua: RunLua,
    fault_server: StartServer,
    open_sockets: Count,
    script: Script,
    text: str,
    so_far: str,
) -> None:
    server = fault_server(script)
    seconds = 0.5 if text.startswith("timed out") else GENEROUS
    reply, failure, body, seen, messages = lua(f"client.config.timeout = {seconds} {SEND}", server)
    assert (reply, body, seen) == ("nil", so_far, so_far)
    assert failure == text.replace("URL", f"{server.url}/chat/completions")
    assert messages == HELLO
    assert len(server.requests) == 1


def test_a_whole_stream_is_no_failure(lua: RunLua, fault_server: StartServer) -> None:
    text = 'an "error" of mine'
    server = fault_server(say(stream(delta(text), DONE)))
    reply, failure, _, _, messages = lua(SEND, server)
    assert reply == text
    assert failure.endswith("data: [DONE]\n\n"), "the second result is the stream's raw text"
    assert messages == [*HELLO, {"role": "assistant", "content": text}]


def test_a_stream_of_the_responses_api_that_is_cut_gives_its_text_so_far(
    lua: RunLua, fault_server: StartServer
) -> None:
    event = b'data: {"type": "response.output_text.delta", "delta": "Hel"}\n\n'
    code = """
      local session = client:new_responses_chat_session()
      local text, failure, body = session:send("Hello", function() end)
      return text or "nil", failure, body, #session.response_history
    """
    server = fault_server(say(CHUNKED_STREAM + chunk(event)))
    assert lua(code, server) == (
        "nil",
        f"the answer was cut off: {server.url}/responses",
        "Hel",
        0,
    )


@pytest.mark.parametrize("callback", ["nil", "function() end"], ids=["plain", "stream"])
def test_a_session_keeps_its_history_through_a_failure_and_goes_on(
    lua: RunLua, fault_server: StartServer, callback: str
) -> None:
    reply = answer(b'{"choices": [{"message": {"content": "Hi!"}}]}')
    code = f"""
      client.config.max_retries = 0
      local session = client:new_chat_session()
      local nothing, failure = session:send("Hello", {callback})
      assert(nothing == nil and failure, "no failure")
      assert(#session.messages == 1)
      return (session:generate_response()), session.messages
    """
    server = fault_server(in_turn(reset_at_once, say(reply)))
    assert lua(code, server) == ("Hi!", [*HELLO, {"role": "assistant", "content": "Hi!"}])


# --- Callbacks ---


STOPPABLE = {
    "session": "client:new_chat_session():send('Hello', on_chunk)",
    "chat": "client:chat({{role = 'user', content = 'Hello'}}, {stream = true}, on_chunk)",
    "raw": "client:create_chat_completion({}, {stream = true}, on_chunk)",
    "request": "client:request('POST', '/chat/completions', {}, nil, on_chunk)",
}


@pytest.mark.parametrize("ask", STOPPABLE.values(), ids=STOPPABLE)
def test_a_callback_that_returns_false_ends_the_stream_and_its_connection(
    lua: RunLua, fault_server: StartServer, open_sockets: Count, ask: str
) -> None:
    left = threading.Event()

    def script(connection: Connection) -> None:
        say_then_stall(CHUNKED_STREAM + chunk(delta("a") + delta("b") + delta("c")))(connection)
        left.set()

    code = f"""
      local count = 0
      local function on_chunk()
        count = count + 1
        return count < 2
      end
      local first, second = {ask}
      return first, second, count
    """
    first, second, count = lua(code, fault_server(script))
    assert count == 2
    if "session" in ask:
        assert first == "ab"
    else:
        assert first == 200
        assert '"a"' in second
    assert left.wait(GENEROUS)
    assert open_sockets() == 0


@pytest.mark.parametrize("said", ["nil", "true", "0", "''"])
def test_no_other_value_ends_a_stream(lua: RunLua, fault_server: StartServer, said: str) -> None:
    server = fault_server(say(stream(delta("a"), delta("b"), DONE)))
    code = f"return (client:new_chat_session():send('Hello', function() return {said} end))"
    assert lua(code, server) == "ab"


@pytest.mark.parametrize("value", ["{}", "'mine'", "newproxy()", "nil", "function() end"])
@pytest.mark.parametrize("ask", STOPPABLE.values(), ids=STOPPABLE)
def test_an_error_in_a_callback_reaches_the_caller_as_the_same_value(
    lua: RunLua, fault_server: StartServer, open_sockets: Count, ask: str, value: str
) -> None:
    left = threading.Event()

    def script(connection: Connection) -> None:
        say_then_stall(CHUNKED_STREAM + chunk(delta("a")))(connection)
        left.set()

    code = f"""
      local mine = {value}
      local function on_chunk() error(mine, 0) end
      local ok, raised = pcall(function() return {ask} end)
      return ok, rawequal(raised, mine)
    """
    assert lua(code, fault_server(script)) == (False, True)
    assert left.wait(GENEROUS)
    assert open_sockets() == 0


def test_an_error_in_a_callback_is_no_failure_of_the_network_even_if_it_reads_like_one(
    lua: RunLua, fault_server: StartServer
) -> None:
    code = """
      client.config.max_retries = 0
      local session = client:new_chat_session()
      local _, failure = session:send("Hello")
      return pcall(session.send, session, "Hello", function() error(failure, 0) end)
    """
    server = fault_server(in_turn(reset_at_once, say(stream(delta("a"), DONE))))
    text = f"the server closed the connection: {server.url}/chat/completions"
    assert lua(code, server) == (False, text)


def test_an_error_in_a_callback_that_nobody_catches_names_its_line(
    lua: RunLua, fault_server: StartServer
) -> None:
    code = """
      client:new_chat_session():send("Hello", function()
        error("enough")
      end)
    """
    server = fault_server(say_then_stall(CHUNKED_STREAM + chunk(delta("a"))))
    with pytest.raises(LuaError, match=r"^code:3: enough$") as caught:
        lua(code, server)
    assert (caught.value.chunk, caught.value.line) == ("code", 3)


# --- Connections ---


def test_clients_share_connections_and_close_ends_them(
    lua: RunLua, fault_server: StartServer
) -> None:
    left = threading.Event()

    def script(connection: Connection) -> None:
        keep_alive([answer()] * 9)(connection)
        left.set()

    server = fault_server(script)
    code = """
      local count = ...
      client:models()
      new():models()
      local before = count()
      client:close()
      local after = count()
      client:models()
      return before, after
    """
    runtime_count: list[int] = []

    def count() -> int:
        runtime_count.append(left.wait(GENEROUS) if runtime_count else server.connections)
        return runtime_count[-1]

    assert lua(code, server, count) == (1, True)
    assert server.connections == 2


def test_a_runtime_that_goes_away_closes_its_connections(
    lua: RunLua, fault_server: StartServer
) -> None:
    left = threading.Event()

    def script(connection: Connection) -> None:
        say_then_stall(answer())(connection)
        left.set()

    lua("client:models()", fault_server(script))
    gc.collect()
    assert left.wait(GENEROUS)


def test_a_script_uses_the_connections_of_the_client_that_it_is_given(
    fault_server: StartServer,
) -> None:
    server = fault_server(keep_alive([answer()] * 2))
    with OpenAI(API_KEY, server.url) as client:
        client.models()
        Runtime(client, rocks=False).run_string('require("openai").new():models()')
    assert server.connections == 1


def test_a_script_asks_the_default_model_of_the_client_that_it_is_given(
    fault_server: StartServer,
) -> None:
    server = fault_server(keep_alive([answer()]))
    with OpenAI(API_KEY, server.url) as client:
        client.default_model = "llama3.2"
        code = 'return require("openai").new().default_model'
        assert Runtime(client, rocks=False).run_string(code) == "llama3.2"
        assert Runtime(client, rocks=False, default_model="q").run_string(code) == "q"


# --- Configuration ---


def test_headers_query_and_accounts_are_sent_with_every_request(
    lua: RunLua, fault_server: StartServer
) -> None:
    server = fault_server(keep_alive([answer()] * 2))
    code = """
      client = new({
        headers = { ["X-Mine"] = "1", authorization = "Bearer other" },
        query = { ["api-version"] = 2, a = "b c&d" },
        organization = "org-1",
        project = "proj-1",
      })
      client:models()
      client:request("GET", "/files?limit=2")
    """
    lua(code, server)
    targets = (b"/v1/models?", b"/v1/files?limit=2&")
    for request, target in zip(server.requests, targets, strict=True):
        assert request.startswith(b"GET " + target + b"a=b%20c%26d&api-version=2 HTTP")
        lines = lines_of(request)
        for line in (b"X-Mine: 1", b"OpenAI-Organization: org-1", b"OpenAI-Project: proj-1"):
            assert line in lines
        assert [line for line in lines if line.lower().startswith(b"authorization")] == [
            b"authorization: Bearer other"
        ]


def test_the_environment_may_name_the_accounts(
    lua: RunLua, fault_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-outside")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-outside")
    server = fault_server(keep_alive([answer()] * 2))
    lua('client:models() new({ project = "proj-1" }):models()', server)
    first, second = map(lines_of, server.requests)
    assert b"OpenAI-Organization: org-outside" in first
    assert b"OpenAI-Project: proj-outside" in first
    assert b"OpenAI-Organization: org-outside" in second
    assert b"OpenAI-Project: proj-1" in second


def test_a_base_url_may_be_given(lua: RunLua, fault_server: StartServer) -> None:
    server = fault_server(FINE)
    code = "return new({ base_url = ... }):models()"
    assert lua(code, "http://unused.invalid", server.url + "/")[:2] == (200, "fine")
    assert server.requests[0].startswith(b"GET /v1/models HTTP")


@pytest.mark.parametrize("timeout", ["0.05", "{ read = 0.05 }", "{ connect = 1, read = 0.05 }"])
def test_a_time_out_may_be_given(lua: RunLua, fault_server: StartServer, timeout: str) -> None:
    server = fault_server(say_then_stall())
    code = f"""
      client = new({{ timeout = {timeout}, max_retries = 0 }})
      return pcall(client.models, client)
    """
    text = f"timed out: no answer within 0.05 s from {server.url}/models"
    assert lua(code, server) == (False, text)
    assert len(server.requests) == 1


@pytest.mark.parametrize("retries", [0, 3])
def test_max_retries_may_be_given(
    lua: RunLua, fault_server: StartServer, pauses: list[float], retries: int
) -> None:
    server = fault_server(REFUSAL)
    assert lua(f"return (new({{ max_retries = {retries} }}):models())", server) == 503
    assert len(server.requests) == retries + 1


def test_a_proxy_may_be_given(lua: RunLua, fault_server: StartServer) -> None:
    between = fault_server(FINE)
    code = "return new({ proxy = ... }):models()"
    proxied = lua(code, "http://api.invalid/v1", between.url.removesuffix("/v1"))
    assert proxied[:2] == (200, "fine")
    assert between.requests[0].startswith(b"GET http://api.invalid/v1/models HTTP")


PATHS = {
    ("http://127.0.0.1:9", "@evil:1/x"): 'path: expected one that begins with /, got "@evil:1/x"',
    ("http://127.0.0.1:9", ""): 'path: expected one that begins with /, got ""',
    ("http:", "//evil/x"): 'path: "//evil/x" leads to another server than the base URL',
    ("http:/", "/evil/x"): 'path: "/evil/x" leads to another server than the base URL',
}


@pytest.mark.parametrize(("place", "text"), PATHS.items())
def test_the_key_goes_to_no_other_server_whatever_the_path(
    lua: RunLua, pauses: list[float], place: tuple[str, str], text: str
) -> None:
    api_base, path = place
    code = "return pcall(client.request, client, 'GET', ...)"
    assert lua(code, api_base, path) == (False, text)


@pytest.mark.parametrize("path", ["//evil/x", "/@evil:1/x", "/x?a=//evil/@b"])
def test_any_path_that_begins_with_a_slash_is_sent_to_the_client_s_own_server(
    lua: RunLua, fault_server: StartServer, path: str
) -> None:
    server = fault_server(FINE)
    address = server.url.removesuffix("/v1")
    assert lua("return client:request('GET', ...)", address, path)[:2] == (200, "fine")


@pytest.mark.parametrize("nothing", ["", ".", ".."])
def test_an_id_that_would_change_the_path_is_refused(
    lua: RunLua, refusing_url: str, nothing: str
) -> None:
    code = "return pcall(client.delete_file, client, ...)"
    text = f'file_id: expected an id, got "{nothing}"'
    assert lua(code, refusing_url, nothing) == (False, text)


SLOW = drip(answer(b"[" + b"1," * 500 + b"1]"), 0.005)


def test_a_total_time_out_may_be_given(lua: RunLua, fault_server: StartServer) -> None:
    server = fault_server(SLOW)
    code = """
      client = new({ timeout = { total = 0.1 } })
      return pcall(client.models, client)
    """
    text = f"timed out: not done within 0.1 s in all: {server.url}/models"
    assert lua(code, server) == (False, text)


def test_a_limit_on_answers_may_be_given(lua: RunLua, fault_server: StartServer) -> None:
    server = fault_server(say(answer(b"x" * 2000)))
    code = """
      client = new({ max_response_mb = 0.001 })
      return pcall(client.models, client)
    """
    text = f"the answer is larger than max_response_mb = 0.001: {server.url}/models"
    assert lua(code, server) == (False, text)


def test_a_session_whose_stream_has_a_line_beyond_the_limit_returns_the_failure(
    lua: RunLua, fault_server: StartServer
) -> None:
    server = fault_server(say(stream(delta("a"), delta("x" * 2000), DONE)))
    code = """
      return new({ max_response_mb = 0.001 }):new_chat_session():send("Hello", function() end)
    """
    reply, failure = lua(code, server)[:2]
    assert reply is None
    assert failure.startswith("a line of the stream is larger than max_response_mb = 0.001: ")


def test_a_pool_size_may_be_given(lua: RunLua, fault_server: StartServer) -> None:
    server = fault_server(keep_alive([answer()] * 9))
    code = """
      local small = { new({ pool_size = 1 }), new({ pool_size = 1 }) }
      for _ = 1, 2 do
        small[1]:models()
        small[2]:models()
        client:models()
      end
    """
    lua(code, server)
    assert (server.connections, len(server.requests)) == (2, 6)


WRONG = {
    "timeout = 0": "timeout: expected seconds above 0, at most 1e+09, got 0",
    "timeout = 'long'": "timeout: expected seconds above 0, at most 1e+09, got 'long'",
    "timeout = { write = 1 }": "timeout: expected connect, read and total, got 'write'",
    "max_retries = 1.5": "max_retries: expected a whole number from 0, got 1.5",
    "pool_size = 0": "pool_size: expected a whole number from 1, got 0",
    "timeout = { total = 0 }": "timeout: expected seconds above 0, at most 1e+09, got 0",
    "max_response_mb = 0": "max_response_mb: expected a number above 0, got 0",
    "proxy = 5": "proxy: expected a string, got 5",
    "ca_bundle = 'none.pem'": "ca_bundle: no such file: none.pem",
}


@pytest.mark.parametrize(("config", "text"), WRONG.items())
def test_a_setting_that_is_none_is_named(
    lua: RunLua, refusing_url: str, pauses: list[float], config: str, text: str
) -> None:
    code = f"client = new({{ {config} }}) return pcall(client.models, client)"
    assert lua(code, refusing_url) == (False, text)
    assert pauses == []


def test_options_for_a_request_go_over_the_clients_own_and_leave_it_alone(
    lua: RunLua, fault_server: StartServer
) -> None:
    server, other = fault_server(keep_alive([answer()] * 2)), fault_server(REFUSAL)
    code = """
      client = new({
        headers = { A = "1", B = "1" }, query = { q = "1" }, organization = "o",
      })
      local once = client:with_options({
        headers = { B = "2" }, query = { r = "2" }, project = "p", max_retries = 0, base_url = ...,
      })
      local status = once:models()
      client:models()
      return status, once.default_model == client.default_model
    """
    assert lua(code, server, other.url) == (503, True)
    assert len(other.requests) == 1
    assert other.requests[0].startswith(b"GET /v1/models?q=1&r=2 HTTP")
    expected = {b"A: 1", b"B: 2", b"OpenAI-Organization: o", b"OpenAI-Project: p"}
    assert expected <= set(lines_of(other.requests[0]))
    assert server.requests[0].startswith(b"GET /v1/models?q=1 HTTP")
    assert b"B: 1" in lines_of(server.requests[0])
    assert b"OpenAI-Project" not in server.requests[0]


def test_options_for_a_request_leave_a_base_that_the_script_has_set(
    lua: RunLua, fault_server: StartServer
) -> None:
    server = fault_server(FINE)
    code = """
      client = new({ base_url = "http://unused.invalid" })
      client.api_base = ...
      return (client:with_options({ project = "p" }):models())
    """
    assert lua(code, server, server.url) == 200


# --- The log ---


SECRET = "sk-secret-9f8e7d6c5b4a"


@pytest.mark.parametrize(("level", "lines"), [("info", 2), ("debug", 4), (None, 0), ("loud", 0)])
def test_openai_log_writes_of_each_request_to_standard_error_and_never_the_key(
    fault_server: StartServer, level: str | None, lines: int
) -> None:
    server = fault_server(keep_alive([answer(b"1", "X-Request-Id: req_1")] * 2))
    code = f"""
      local client = require("openai").new("{SECRET}", {{
        headers = {{ ["X-Key"] = "{SECRET}" }}, query = {{ key = "{SECRET}" }},
      }})
      client:models()
      client:embedding("text")
    """
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environment["OPENAI_BASE_URL"] = server.url
    environment |= {"OPENAI_LOG": level} if level else {}
    done = subprocess.run(
        [sys.executable, "-m", "luaopenai", "run", "--no-rocks", "-"],
        input=code,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert SECRET.encode() in server.requests[1]
    assert SECRET not in done.stderr
    said = done.stderr.splitlines()
    assert len(said) == lines
    if lines:
        assert said[0].startswith("luaopenai: GET /v1/models 200 ")
        assert said[0].endswith(" ms req_1 attempt 1")
        assert said[lines // 2].startswith("luaopenai: POST /v1/embeddings 200 ")
