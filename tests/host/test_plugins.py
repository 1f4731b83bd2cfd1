"""Plugins as their hosts see them: loading, values, limits, requests, threads."""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from luaopenai import Gemini, LimitExceeded, Limits, LuaError, OpenAI, Plugin, PluginHost, Runtime
from support.waiting import GENEROUS

Load = Callable[..., Plugin]

ECHO = "return { echo = function(...) return ... end }"
ASK = """
local client = require("openai").new()
return {
  ask = function(count)
    for _ = 1, count or 1 do client:chat({ { role = "user", content = "Hi" } }) end
  end,
  stream = function(keep)
    local texts = {}
    client:new_chat_session():send("Hi", function(chunk)
      texts[#texts + 1] = chunk.content
      return keep
    end)
    return table.concat(texts)
  end,
}
"""


@pytest.fixture
def load(hosts: Callable[..., PluginHost]) -> Load:
    """Loads code into a host of its own."""

    def load(code: str | bytes, **options: Any) -> Plugin:
        return hosts(**options).load_string(code)

    return load


def body(function: str) -> str:
    """A plugin with one function, ``run``."""
    return f"return {{ run = function(...) {function} end }}"


def usage(tokens: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": "Hello"}
    choice = {"index": 0, "message": message}
    return {"choices": [choice], "usage": {"total_tokens": tokens}}


def stream(*contents: str, tokens: int | None = None) -> bytes:
    events: list[dict[str, Any]] = [
        {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": text}}]}
        for text in contents
    ]
    if tokens is not None:
        events.append({"choices": [], "usage": {"total_tokens": tokens}})
    text = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    return (text + "data: [DONE]\n\n").encode()


def serve_chats(server: HTTPServer, *, tokens: int = 10) -> None:
    def answer(request: Request) -> Response:
        if request.get_json().get("stream"):
            whole = stream("Hel", "lo", tokens=tokens)
            return Response(whole, content_type="text/event-stream")
        return Response(json.dumps(usage(tokens)), content_type="application/json")

    server.expect_request("/v1/chat/completions", method="POST").respond_with_handler(answer)


# --- Loading ---


def test_a_plugins_functions_are_those_of_the_table_that_it_returns(load: Load) -> None:
    plugin = load("return { b = function() end, a = function() end, version = 3 }")
    assert plugin.exports == ["a", "b"]


def test_a_plugin_that_returns_nothing_has_the_functions_that_it_defines(load: Load) -> None:
    plugin = load("function on_load() return 'defined' end local function hidden() end")
    assert plugin.exports == ["on_load"]
    assert plugin.call("on_load") == "defined"


def test_names_that_are_no_names_are_not_exported(load: Load) -> None:
    plugin = load(r'return { ["a\nb"] = print, ["\255"] = print, [1] = print, good = print }')
    assert plugin.exports == ["good"]


def test_a_plugin_is_called_as_its_file(hosts: Any, tmp_path: Path) -> None:
    (tmp_path / "summarise.lua").write_text(ECHO)
    plugin = hosts().load(tmp_path / "summarise.lua")
    assert (plugin.name, plugin.exports) == ("summarise", ["echo"])


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("return {", "broken:1: unexpected symbol near '<eof>'"),
        (b"\x1bLJ\x02", "plugin broken is bytecode; expected Lua text"),
        ("\n\nerror('at once')", "broken:3: at once"),
        ("return 3", "the plugin returned a number; expected a table of functions"),
        ("return {}", "the plugin returned no table of functions, and defines none"),
        ("local x = 1", "the plugin returned no table of functions, and defines none"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_fails_with_one_clear_line(
    hosts: Any, code: str | bytes, message: str
) -> None:
    with pytest.raises(LuaError) as caught:
        hosts().load_string(code, name="broken")
    assert caught.value.message == message
    assert caught.value.plugin == "broken"


def test_a_file_that_is_not_there_fails_with_its_name(hosts: Any, tmp_path: Path) -> None:
    with pytest.raises(LuaError, match=r"^plugin gone cannot be read: .*gone\.lua: No such file"):
        hosts().load(tmp_path / "gone.lua")


def test_a_function_that_is_not_exported_cannot_be_called(load: Load) -> None:
    with pytest.raises(LuaError, match="plugin plugin has no function 'gone'; it has echo"):
        load(ECHO).call("gone")


def test_an_unknown_isolation_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 'process' or 'thread', got 'fibre'"):
        PluginHost(isolation="fibre")  # type: ignore[arg-type]


def test_a_limit_is_a_number_from_0() -> None:
    with pytest.raises(ValueError, match="Limits: tokens: expected a number from 0, got -1"):
        Limits(tokens=-1)


# --- Values ---


@pytest.mark.parametrize(
    "value",
    [
        True,
        0,
        -(2**53),
        10**15,
        2.5,
        math.inf,
        "",
        'grüße\n\t"\\',
        "with\0nul",
        "\0b",
        b"\xff\xfe\x00",
        [],
        {},
        [1, [2, {"a": []}]],
        {"a": None, "b": [None, 1]},
        {1: "one", 5: "five"},
        {0: "zero"},
        {-1: "minus one", 1.5: "between"},
        {b"\xff": 1},
        [b"\x00\xff", "text"],
    ],
)
def test_values_come_back_as_they_went(load: Load, value: Any) -> None:
    result = load(ECHO).call("echo", value)
    assert result == value
    assert type(result) is type(value)


def test_several_results_come_as_a_tuple_with_none_for_nil(load: Load) -> None:
    plugin = load("return { run = function() return 1, nil, 'x', nil end, none = function() end }")
    assert plugin.call("run") == (1, None, "x", None)
    assert plugin.call("none") is None


def test_subclasses_of_plain_types_go_as_plain_values(load: Load) -> None:
    class Colour(IntEnum):
        RED = 7

    class Name(str):
        pass

    assert load(ECHO).call("echo", [Colour.RED, Name("x")]) == [7, "x"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({1}, "argument 1: set is no plain data"),
        ({"a": [object()]}, r"argument 1\['a'\]\[0\]: object is no plain data"),
        (2**53 + 1, "argument 1: 9007199254740993 is too large"),
        ({True: 1}, r"argument 1\[True\]: a key is a string or a number"),
        ({"\0p": 1}, "a key starts with NUL"),
        ("\ud800", "argument 1: the string is not valid Unicode"),
        ({"\udc00": 1}, r"argument 1\['\\udc00'\]: the string is not valid Unicode"),
    ],
)
def test_arguments_that_are_not_plain_are_refused_by_name(
    load: Load, value: Any, message: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        load(ECHO).call("echo", value)


def nested(depth: int, innermost: Any) -> Any:
    return nested(depth - 1, [innermost]) if depth else innermost


@pytest.mark.parametrize("innermost", [1, {0: 1}], ids=["plain", "marked"])
def test_values_may_be_nested_a_hundred_deep(load: Load, innermost: Any) -> None:
    value = nested(100, innermost)
    assert load(ECHO).call("echo", value) == value


@pytest.mark.parametrize("innermost", [1, {0: 1}], ids=["plain", "marked"])
def test_arguments_that_are_nested_deeper_than_anyone_means_are_refused(
    load: Load, innermost: Any
) -> None:
    plugin = load(body("return 'never'"))
    with pytest.raises(ValueError, match=r"argument 1.*: nested too deeply"):
        plugin.call("run", nested(140, innermost))


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("{ a = { print } }", r'result\[1\]\["a"\]\[1\]: a function is no plain data'),
        ("coroutine.create(print)", "a thread is no plain data"),
        ("{ 1, a = 2 }", "the table mixes list items and named fields"),
        ("{ [true] = 1 }", "a key is a boolean"),
        ("(function() local t = {} t.t = t return t end)()", "nested too deeply"),
        (r'{ ["\0p"] = 5 }', "a key starts with NUL"),
    ],
)
def test_results_that_are_not_plain_are_refused_by_name(
    load: Load, result: str, message: str
) -> None:
    with pytest.raises(LuaError, match=message):
        load(body(f"return {result}")).call("run")


# --- Models ---


@pytest.mark.parametrize(
    "form", ["client:chat({ message })", "client:new_chat_session():send('Hi')"]
)
def test_the_clients_default_model_is_asked_where_a_plugin_names_none(
    load: Load, httpserver: HTTPServer, client: OpenAI, form: str
) -> None:
    serve_chats(httpserver)
    client.default_model = "llama3.2"
    code = (
        "local message = { role = 'user', content = 'Hi' } local client = require('openai').new()"
    )
    load(body(f"{code} {form} return client.default_model"), client=client).call("run")
    request, _ = httpserver.log[0]
    assert request.get_json()["model"] == "llama3.2"


def test_without_a_client_a_plugin_sees_the_usual_default_model(load: Load) -> None:
    code = "return require('openai').new().default_model"
    assert load(body(code)).call("run") == "gpt-5.4"


# --- Host functions, output, errors ---


def test_a_host_function_takes_and_returns_values(load: Load) -> None:
    def lookup(key: str, options: dict[str, Any]) -> tuple[str, Any]:
        return key.upper(), options["list"]

    plugin = load(
        body("return host.lookup('x', { list = { 1, 2 } })"), functions={"lookup": lookup}
    )
    assert plugin.call("run") == ("X", [1, 2])


def test_what_a_host_function_raises_is_a_string_in_lua(load: Load) -> None:
    def lookup() -> None:
        raise KeyError("gone")

    code = body("local ok, e = pcall(host.lookup) return ok, type(e), e")
    plugin = load(code, functions={"lookup": lookup})
    assert plugin.call("run") == (False, "string", "host.lookup: KeyError: 'gone'")


def test_what_a_host_function_returns_must_be_plain(load: Load) -> None:
    plugin = load(body("return pcall(host.lookup)"), functions={"lookup": object})
    assert plugin.call("run")[1] == "host.lookup: TypeError: result 1: object is no plain data"


def test_a_host_function_has_a_name_that_lua_can_say() -> None:
    with pytest.raises(ValueError, match="functions: 'a b' is no name"):
        PluginHost(functions={"a b": print})


def test_a_host_function_cannot_call_the_plugin_that_called_it(load: Load) -> None:
    plugins: list[Plugin] = []
    plugin = load(
        "return { run = function() return pcall(host.again) end, echo = print }",
        functions={"again": lambda: plugins[0].call("echo")},
    )
    plugins.append(plugin)
    ok, message = plugin.call("run")
    assert not ok
    assert "plugin plugin is in this call already" in message


def test_a_host_function_may_call_another_plugin(hosts: Any) -> None:
    others: list[Plugin] = []
    host = hosts(functions={"other": lambda text: others[0].call("echo", text)})
    plugin = host.load_string(body("return host.other('over there')"))
    others.append(host.load_string(ECHO))
    assert plugin.call("run") == "over there"


def test_output_goes_to_the_hosts_callback(load: Load) -> None:
    said: list[tuple[str, str]] = []
    plugin = load(
        body("print('a', 1, nil) io.write('b', 2)"),
        output=lambda name, text: said.append((name, text)),
    )
    plugin.call("run")
    assert said == [("plugin", "a\t1\tnil\n"), ("plugin", "b2")]


def test_output_goes_to_a_logger(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "luaopenai.plugins"):
        load(body("print('hello')")).call("run")
    assert caplog.messages == ["plugin: hello"]


def test_an_error_tells_plugin_line_and_traceback(load: Load) -> None:
    code = (
        "local function inner()\n  error('no luck')\nend\nreturn { run = function() inner() end }"
    )
    with pytest.raises(LuaError) as caught:
        load(code).call("run")
    error = caught.value
    assert (error.plugin, error.chunk, error.line) == ("plugin", "plugin", 2)
    assert error.message == "plugin:2: no luck"
    assert "in function 'inner'" in error.traceback


def test_an_error_that_is_a_table_is_shown_by_its_fields(load: Load) -> None:
    with pytest.raises(LuaError, match=r'^plugin plugin: \{code = 7, what = "x"\}$'):
        load(body("error({ code = 7, what = 'x' })")).call("run")


def test_a_handler_of_xpcall_can_tell_where_the_error_came_from(load: Load) -> None:
    code = """
    local function culprit() error("here") end
    return { run = function() return xpcall(culprit, debug.traceback) end }
    """
    ok, text = load(code).call("run")
    assert not ok
    assert "plugin:2: here" in text
    assert "in function 'culprit'" in text or "plugin:2: in function" in text


def test_a_plugin_that_failed_works_again(load: Load) -> None:
    plugin = load(
        "local n = 0 return { run = function(bad) n = n + 1 if bad then error() end return n end }"
    )
    with pytest.raises(LuaError):
        plugin.call("run", True)
    assert plugin.call("run", False) == 2


# --- Modules ---


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A plugin's folder, with modules, links out of it, and a file beside it."""
    (tmp_path / "secret.lua").write_text("return 'secret'")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "far.lua").write_text("return 'secret'")
    home = tmp_path / "plugins"
    (home / "deep").mkdir(parents=True)
    (home / "deep" / "init.lua").write_text("counter = (counter or 0) + 1 return { name = ... }")
    (home / "deep" / "leaf.lua").write_text("return 'leaf'")
    (home / "code.lua").write_bytes(b"\x1bLJ\x02")
    (home / "link.lua").symlink_to(tmp_path / "secret.lua")
    (home / "far").symlink_to(tmp_path / "elsewhere")
    (home / "main.lua").write_text("return { get = function(name) return require(name) end }")
    return home


def test_a_plugin_may_require_files_below_its_folder_where_the_host_allows_it(
    hosts: Any, folder: Path
) -> None:
    plugin = hosts(modules=True).load(folder / "main.lua")
    assert plugin.call("get", "deep") == {"name": "deep"}
    assert plugin.call("get", "deep.leaf") == "leaf"


def test_a_plugin_may_not_require_files_otherwise(hosts: Any, folder: Path) -> None:
    with pytest.raises(LuaError, match=r"module 'deep\.leaf' is not for plugins"):
        hosts().load(folder / "main.lua").call("get", "deep.leaf")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("link", "module 'link' lies outside the plugin's folder"),
        ("far.far", r"module 'far\.far' lies outside the plugin's folder"),
        ("...secret", "is not a name of a plugin's module"),
        ("../secret", "is not a name of a plugin's module"),
        ("/etc/passwd", "is not a name of a plugin's module"),
        ("a\0b", "is not a name of a plugin's module"),
        ("", "is not a name of a plugin's module"),
        ("gone", "module 'gone' not found"),
        ("code", "cannot load|wrong mode"),
        ("ffi", "module 'ffi' not found"),
        ("luaopenai.sandbox", "not found"),
        ("socket.http", "not found"),
    ],
)
def test_a_plugin_requires_nothing_else(hosts: Any, folder: Path, name: str, message: str) -> None:
    with pytest.raises(LuaError, match=message):
        hosts(modules=True).load(folder / "main.lua").call("get", name)


# --- Requests ---


def test_a_plugin_asks_the_model_with_the_hosts_key(
    load: Load, client: OpenAI, httpserver: HTTPServer
) -> None:
    serve_chats(httpserver)
    plugin = load(ASK, client=client)
    plugin.call("ask", 2)
    assert plugin.call("stream", True) == "Hello"
    for request, _ in httpserver.log:
        assert request.headers["Authorization"] == "Bearer sk-test-0123456789"
    assert (plugin.usage.requests, plugin.usage.tokens) == (3, 30)


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (stream("a\ud83d", "\ude00b"), "a😀b"),
        (stream("a\ud83d"), "a\ufffd"),
        (b'data: {"choices": [{"delta": {"content": "\xff"}}], "n": 1e999}\n\n', "\ufffd"),
        (b'{"choices": [{"message": {"content": "\\ud83d\xff"}}]}', "\ufffd\ufffd"),
        (b'{"detail": [{"loc": ["body"], "msg": "No"}]}', "Request failed: body: No"),
        (b'data: {"choices": [{"delta": {"refusal": "No."}}]}\n\ndata: [DONE]\n\n', "No."),
    ],
    ids=["a cut pair", "a half", "odd bytes", "an odd body", "an error", "a refusal"],
)
def test_a_plugin_loses_nothing_of_what_servers_send(
    load: Load, client: OpenAI, httpserver: HTTPServer, answer: bytes, result: str
) -> None:
    kind = "text/event-stream" if answer.startswith(b"data:") else "application/json"
    expected = httpserver.expect_request("/v1/chat/completions")
    expected.respond_with_data(answer, content_type=kind)
    code = """
      local session = require("openai").new():new_chat_session()
      local reply, failure = session:send("Hi", function() end)
      return reply or failure
    """
    assert load(body(code), client=client).call("run") == result


def test_a_host_without_a_client_has_no_model(load: Load) -> None:
    with pytest.raises(LuaError, match="this plugin's host has no client"):
        load(ASK).call("ask")


def test_a_plugin_asks_only_the_models_that_it_may(
    load: Load, client: OpenAI, httpserver: HTTPServer
) -> None:
    serve_chats(httpserver)
    code = """return { ask = function(model)
      local messages = { { role = "user", content = "Hi" } }
      return (require("openai").new():chat(messages, { model = model }))
    end }"""
    plugin = load(code, client=client, models={"small", "tiny"})
    assert plugin.call("ask", "small") == 200
    for model in ("large", ["small"], None):
        with pytest.raises(LuaError, match=r"is not for this plugin|unhashable"):
            plugin.call("ask", model)
    assert len(httpserver.log) == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/files"),
        ("DELETE", "/responses/r1"),
        ("POST", "/images/generations"),
        ("POST", "/chat/completions/../../files"),
        ("POST", "//evil.example/v1"),
    ],
)
def test_a_plugin_reaches_only_the_endpoints_that_it_needs(
    load: Load, client: OpenAI, httpserver: HTTPServer, method: str, path: str
) -> None:
    plugin = load(body("return require('openai').new():request(...)"), client=client)
    with pytest.raises(LuaError, match="is not for plugins"):
        plugin.call("run", method, path, {"a": 1})
    assert not httpserver.log


PAGES = {
    "": {"data": [{"id": "m 1&b=2"}, {"id": "m2"}], "has_more": True, "last_id": "m 2&a=b"},
    "after=m%202%26a%3Db": {"data": [{"id": "m3"}], "has_more": False},
    "after=m2&limit=1": {"data": [{"id": "m3"}], "has_more": False},
}


@pytest.mark.parametrize(
    ("call", "ids"),
    [
        ("for model in client:each('list_models') do ids[#ids + 1] = model.id end", 3),
        ("local _, page = client:list_models({ after = 'm2', limit = 1 }) ids = page.data", 1),
    ],
)
def test_a_plugin_asks_for_a_lists_pages(
    load: Load, client: OpenAI, httpserver: HTTPServer, call: str, ids: int
) -> None:
    def answer(request: Request) -> Response:
        page = PAGES[request.query_string.decode()]
        return Response(json.dumps(page), content_type="application/json")

    httpserver.expect_request("/v1/models").respond_with_handler(answer)
    code = f"local client, ids = require('openai').new(), {{}} {call} return #ids"
    assert load(body(code), client=client).call("run") == ids


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("key=x", "'key' is not for plugins; a query may have after, limit, order"),
        ("key=", "'key' is not for plugins; a query may have after, limit, order"),
        ("After=x", "'After' is not for plugins; a query may have after, limit, order"),
        ("after=" + "x" * 5000, "a plugin's query is at most 4096 bytes long"),
    ],
)
def test_a_plugins_query_has_nothing_but_what_pages_take(
    load: Load, client: OpenAI, httpserver: HTTPServer, query: str, text: str
) -> None:
    plugin = load(body("return require('openai').new():request('GET', ...)"), client=client)
    with pytest.raises(LuaError) as caught:
        plugin.call("run", f"/models?{query}")
    assert caught.value.message == f"GET /models: {text}"
    assert not httpserver.log


@pytest.mark.parametrize("query", ["limit=1", "key=x"])
def test_a_plugins_query_is_not_sent_where_there_are_no_pages(
    load: Load, client: OpenAI, httpserver: HTTPServer, query: str
) -> None:
    httpserver.expect_request("/v1/embeddings").respond_with_json({"data": []})
    code = "return (require('openai').new():request('POST', ..., { input = 'x' }))"
    assert load(body(code), client=client).call("run", f"/embeddings?{query}") == 200
    assert not httpserver.log[0][0].query_string


@pytest.mark.parametrize("query", ["limit=1;x=2", "limit=1#x", "limit=1%26x%3D2", "limit=1+x"])
def test_a_plugins_query_is_written_by_its_host(
    load: Load, client: OpenAI, httpserver: HTTPServer, query: str
) -> None:
    httpserver.expect_request("/v1/models").respond_with_json({"data": []})
    plugin = load(body("return (require('openai').new():request('GET', ...))"), client=client)
    assert plugin.call("run", f"/models?{query}") == 200
    assert list(httpserver.log[0][0].args) == ["limit"]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ("client:file('a b')", "GET /files/a%20b is not for plugins"),
        ("client:batches({ limit = 5 })", "GET /batches is not for plugins"),
        ("client:file()", "file_id is required"),
        ("client:embedding()", "input must be provided"),
    ],
)
def test_a_plugins_client_has_every_method_and_its_errors(
    load: Load, client: OpenAI, httpserver: HTTPServer, call: str, text: str
) -> None:
    plugin = load(body(f"local client = require('openai').new() return {call}"), client=client)
    with pytest.raises(LuaError) as caught:
        plugin.call("run")
    assert caught.value.message == text
    assert not httpserver.log


def test_a_misspelt_setting_of_a_plugin_writes_nowhere(
    load: Load, client: OpenAI, capfd: pytest.CaptureFixture[str]
) -> None:
    plugin = load(body("return require('openai').new('k', { time_out = 5 }).config.time_out"))
    assert plugin.call("run") == 5
    assert capfd.readouterr().err == ""


def test_the_requests_of_a_call_are_limited(
    load: Load, client: OpenAI, httpserver: HTTPServer
) -> None:
    serve_chats(httpserver)
    plugin = load(ASK, client=client, limits=Limits(requests=2))
    for _ in range(2):
        with pytest.raises(LimitExceeded) as caught:
            plugin.call("ask", 3)
        assert (caught.value.kind, caught.value.limit, caught.value.used) == ("requests", 2, 3)
    assert plugin.usage.requests == len(httpserver.log) == 4


def test_no_pcall_holds_on_to_a_call_that_used_up_its_requests(
    load: Load, client: OpenAI, httpserver: HTTPServer
) -> None:
    serve_chats(httpserver)
    code = ASK.replace(
        "return {\n",
        "return {\n  hold = function() while true do pcall(client.chat, client, {}) end end,\n",
    )
    with pytest.raises(LimitExceeded, match="requests"):
        load(code, client=client, limits=Limits(requests=2)).call("hold")


@pytest.mark.parametrize("function", ["ask", "stream"])
def test_the_tokens_of_a_call_are_limited(
    load: Load, client: OpenAI, httpserver: HTTPServer, function: str
) -> None:
    serve_chats(httpserver, tokens=101)
    plugin = load(ASK, client=client, limits=Limits(tokens=100))
    with pytest.raises(LimitExceeded) as caught:
        plugin.call(function, 1)
    assert (caught.value.kind, caught.value.used) == ("tokens", 101)
    assert plugin.usage.tokens == 101


def test_no_request_is_sent_when_all_tokens_are_used(
    load: Load, client: OpenAI, httpserver: HTTPServer
) -> None:
    serve_chats(httpserver, tokens=50)
    plugin = load(ASK, client=client, limits=Limits(tokens=100))
    with pytest.raises(LimitExceeded, match="tokens"):
        plugin.call("ask", 3)
    assert len(httpserver.log) == plugin.usage.requests == 2


@pytest.mark.parametrize(
    ("limits", "kind"),
    [({"total_requests": 3}, "total_requests"), ({"total_tokens": 30}, "total_tokens")],
)
def test_the_totals_of_a_host_are_limited_over_all_its_plugins(
    hosts: Any, client: OpenAI, httpserver: HTTPServer, limits: dict[str, int], kind: str
) -> None:
    serve_chats(httpserver)
    host = hosts(client=client, limits=Limits(**limits))
    first, second = host.load_string(ASK, "first"), host.load_string(ASK, "second")
    first.call("ask", 2)
    second.call("ask", 1)
    for plugin in (first, second):
        with pytest.raises(LimitExceeded, match=kind):
            plugin.call("ask", 1)
    assert len(httpserver.log) == 3


def test_a_stream_that_is_broken_off_costs_an_estimate(
    load: Load, client: OpenAI, httpserver: HTTPServer
) -> None:
    over = threading.Event()

    def answer(_: Request) -> Response:
        def pieces() -> Iterator[bytes]:
            yield stream("Hel").removesuffix(b"data: [DONE]\n\n")
            over.wait(GENEROUS)
            yield stream("lo", tokens=1000)

        return Response(pieces(), content_type="text/event-stream")

    httpserver.expect_request("/v1/chat/completions").respond_with_handler(answer)
    plugin = load(ASK, client=client)
    assert plugin.call("stream", False) == "Hel"
    over.set()
    assert 1 <= plugin.usage.tokens < 1000


def test_an_answer_that_is_not_read_costs_what_it_says(
    load: Load, client: OpenAI, httpserver: HTTPServer
) -> None:
    serve_chats(httpserver, tokens=77)
    code = "require('ltn12').pump.all = function() return 1 end " + ASK
    plugin = load(code, client=client)
    plugin.call("ask")
    assert plugin.usage.tokens == 77


def test_a_stream_cannot_be_read_after_its_call(
    load: Load, client: OpenAI, httpserver: HTTPServer
) -> None:
    serve_chats(httpserver)
    code = """
    local ltn12 = require("ltn12")
    local kept
    return {
      begin = function()
        ltn12.pump.all = function(source) kept = source return 1 end
        local messages = { { role = "user", content = "Hi" } }
        require("openai").new():create_chat_completion(messages, { stream = true }, print)
      end,
      go_on = function() return kept() end,
    }"""
    plugin = load(code, client=client)
    plugin.call("begin")
    assert plugin.usage.tokens > 0
    piece, message = plugin.call("go_on")
    assert piece is None
    assert message


def test_a_plugin_cannot_leave_work_in_the_background(load: Load, client: OpenAI) -> None:
    plugin = load(
        body("require('openai').new():create_response('x', { background = true })"), client=client
    )
    with pytest.raises(LuaError, match="in the background"):
        plugin.call("run")


# --- Limits ---


def test_a_call_that_takes_too_long_is_stopped_and_the_next_one_works(load: Load) -> None:
    code = "return { run = function(loop) while loop do end return 'done' end }"
    plugin = load(code, limits=Limits(seconds=0.2))
    with pytest.raises(LimitExceeded) as caught:
        plugin.call("run", True)
    assert (caught.value.kind, caught.value.plugin) == ("seconds", "plugin")
    assert plugin.call("run", False) == "done"
    assert plugin.usage.seconds >= 0.2


def test_time_in_host_functions_is_free(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luaopenai.host.process.GRACE_SECONDS", 0.1)
    plugin = load(
        body("host.wait() return 1"),
        functions={"wait": lambda: time.sleep(0.6)},
        limits=Limits(seconds=0.3),
    )
    assert plugin.call("run") == 1, "a worker too is given more than its grace"
    assert plugin.usage.seconds < 0.3


def test_a_call_that_takes_too_much_memory_is_stopped_and_the_next_one_works(load: Load) -> None:
    code = """
    return {
      run = function() local t = {} for i = 1, 1e9 do t[i] = {} end end,
      rest = function() return 'done' end,
    }"""
    plugin = load(code, limits=Limits(memory_mb=8))
    with pytest.raises(LimitExceeded) as caught:
        plugin.call("run")
    assert caught.value.kind == "memory_mb"
    assert plugin.call("rest") == "done"
    assert plugin.usage.peak_memory_mb >= 8


def test_a_plugin_that_keeps_too_much_memory_starts_anew(load: Load) -> None:
    code = """
    kept = {}
    return { run = function()
      for _ = 1, 40000 do kept[#kept + 1] = ("x"):rep(100) .. #kept end
      return #kept
    end }"""
    plugin = load(code, limits=Limits(memory_mb=9))
    assert plugin.call("run") == 40000
    with pytest.raises(LimitExceeded, match="memory_mb"):
        plugin.call("run")
    assert plugin.call("run") == 40000


def test_the_most_memory_that_a_call_had_is_told(load: Load) -> None:
    plugin = load(body("do local t = {} for i = 1, 100000 do t[i] = {} end end"))
    plugin.call("run")
    assert plugin.usage.peak_memory_mb > 3


def test_output_is_limited_for_each_call(load: Load) -> None:
    said: list[str] = []
    plugin = load(
        body("for i = 1, ... do print(('x'):rep(1023)) end"),
        output=lambda _, text: said.append(text),
        limits=Limits(output_kb=2),
    )
    plugin.call("run", 2)
    with pytest.raises(LimitExceeded, match="output_kb"):
        plugin.call("run", 3)
    assert len(said) == 4


def test_none_is_no_limit(load: Load) -> None:
    none = Limits(None, None, None, None, None)
    plugin = load(body("print(('x'):rep(3e5)) error('not enough memory')"), limits=none)
    with pytest.raises(LuaError, match="not enough memory"):
        plugin.call("run")


# --- Isolation, threads, ends ---


def test_two_plugins_do_not_see_each_other(hosts: Any) -> None:
    host = hosts()
    spoiler = host.load_string("""
      shared = 1
      string.upper = function() return "spoilt" end
      require("cjson").encode = nil
      require("openai").new = nil
      function run() end
    """)
    other = host.load_string(
        body("""
      return shared == nil and string.upper("a") .. ("a"):upper(),
        type(require("cjson").encode) .. type(require("openai").new)
    """)
    )
    spoiler.call("run")
    assert other.call("run") == ("AA", "functiontable")


def test_globals_and_upvalues_last_from_call_to_call(load: Load) -> None:
    plugin = load("local n = 0 return { run = function() n = n + 1 total = n return total end }")
    assert [plugin.call("run") for _ in range(3)] == [1, 2, 3]


def test_calls_from_several_threads_wait_for_one_another(load: Load) -> None:
    plugin = load("local n = 0 return { run = function() n = n + 1 return n end }")
    found: list[int] = []

    def work() -> None:
        found.extend(plugin.call("run") for _ in range(50))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(1, 201))


def test_a_closed_plugin_says_so(hosts: Any) -> None:
    host = hosts()
    plugin = host.load_string(ECHO)
    host.close()
    with pytest.raises(LuaError, match="plugin plugin is closed"):
        plugin.call("echo")


def test_closing_ends_a_call_in_another_thread() -> None:
    host = PluginHost(limits=Limits(seconds=None))
    plugin = host.load_string(body("while true do end"))
    threading.Timer(0.2, host.close).start()
    with pytest.raises(LuaError, match="is closed"):
        plugin.call("run")


def test_a_host_function_may_close_the_host(isolation: Any) -> None:
    hosts: list[PluginHost] = []
    host = PluginHost(functions={"bye": lambda: hosts[0].close()}, isolation=isolation)
    hosts.append(host)
    plugin = host.load_string(body("pcall(host.bye) return 1"))
    if isolation == "process":
        with pytest.raises(LuaError, match="is closed"):
            plugin.call("run")
    else:
        assert plugin.call("run") == 1
    with pytest.raises(LuaError, match="is closed"):
        plugin.call("run")


def test_an_interrupt_ends_a_call(load: Load) -> None:
    code = """return { run = function(loop)
      while loop do pcall(function() while true do end end) end
      return 1
    end }"""
    plugin = load(code, limits=Limits(seconds=None))

    def interrupted() -> None:
        # In here, since the call may begin later than the interrupt comes.
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        plugin.call("run", True)

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert plugin.call("run", False) == 1


def test_an_exit_in_a_host_function_is_the_hosts(load: Load) -> None:
    def leave() -> None:
        raise SystemExit(3)

    plugin = load(
        """return {
          run = function() while true do pcall(host.leave) end end,
          rest = function() return 1 end,
        }""",
        functions={"leave": leave},
    )
    with pytest.raises(SystemExit):
        plugin.call("run")
    assert plugin.call("rest") == 1


def test_a_host_with_many_open_files_can_talk_to_its_plugins() -> None:
    resource = pytest.importorskip("resource")
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 1200:
        pytest.skip("too few files can be open")
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        with PluginHost() as host:
            assert host.load_string(ECHO).call("echo", 1) == 1
    finally:
        for file in files:
            os.close(file)


# --- The host's client ---


def test_a_plugin_asks_the_model_that_its_hosts_client_asks(load: Load) -> None:
    code = body("return require('openai').new().default_model")
    with OpenAI("k", default_model="mine") as client:
        assert load(code, client=client).call("run") == "mine"


def test_a_runtimes_scripts_ask_the_model_that_its_client_asks() -> None:
    code = "return require('openai').new().default_model"
    with OpenAI("k", default_model="mine") as client:
        assert Runtime(client).run_string(code) == "mine"
        assert Runtime(client, default_model="another").run_string(code) == "another"


def test_a_plugin_finds_the_client_of_the_company_whose_client_its_host_has(load: Load) -> None:
    code = body("""
      local gemini = require('openai.compat.gemini')
      return gemini.new().default_model, (pcall(require, 'openai.compat.openrouter'))
    """)
    with Gemini("k", default_model="mine") as client:
        assert load(code, client=client).call("run") == ("mine", False)


# --- luaopenai run --sandbox ---


SANDBOX = [sys.executable, "-m", "luaopenai", "run", "--sandbox"]


def run_sandboxed(code: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "script.lua").write_text(code)
    command = [*SANDBOX, *options, "script.lua"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


def test_a_script_in_the_sandbox_speaks_and_reaches_nothing_else(tmp_path: Path) -> None:
    code = """
      print('hello', os.execute, io.open)
      io.write('!')
      io.stdout:write('a', 1):write('b')
      io.stdout:setvbuf('no')
      io.stdout:flush()
      io.flush()
    """
    done = run_sandboxed(code, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\tnil\tnil\n!a1b", "")


def test_a_script_in_the_sandbox_gets_its_arguments(tmp_path: Path) -> None:
    code = "print(arg[0], arg[1], #arg, select('#', ...), (...), arg[3]:byte(1, -1))"
    (tmp_path / "script.lua").write_text(code)
    command: list[str | bytes] = [*SANDBOX, "./script.lua", "one", "--two", b"\xff"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60)
    assert (done.stdout, done.stderr) == (b"./script.lua\tone\t3\t3\tone\t255\n", b"")


def test_a_script_in_the_sandbox_sees_the_variables_that_it_may_see_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CITY", "Bergen")
    monkeypatch.setenv("OTHER", "secret")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-host-0123456789")
    code = """
      print(os.getenv('CITY'), os.getenv('COUNTRY'), os.getenv('OTHER'))
      print(os.getenv('OPENAI_API_KEY'), pcall(os.getenv))
    """
    done = run_sandboxed(code, tmp_path, "--allow-env", "CITY", "--allow-env=COUNTRY")
    refusal = "bad argument #1 to 'getenv' (string expected, got nil)"
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout == f"Bergen\tnil\tnil\nnil\tfalse\t{refusal}\n"


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "MY_KEY", "HEADER"])
def test_a_variable_that_holds_the_key_is_never_shown_to_a_script_in_the_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-host-0123456789")
    monkeypatch.setenv("HEADER", "Bearer sk-host-0123456789")
    options = ["--api-key-env", "MY_KEY", "--allow-env", name]
    done = run_sandboxed("print('ran')", tmp_path, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"--allow-env {name}: this holds the key" in done.stderr
    assert "sk-host" not in done.stderr


def test_a_script_in_the_sandbox_asks_the_model_that_the_command_line_names(
    tmp_path: Path,
) -> None:
    code = "print(require('openai').new(os.getenv('OPENAI_API_KEY')).default_model)"
    assert run_sandboxed(code, tmp_path, "--model", "mine").stdout == "mine\n"


def test_a_script_in_the_sandbox_finds_a_companys_client_when_the_host_speaks_to_its_server(
    tmp_path: Path, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", httpserver.url_for("/"))
    monkeypatch.setenv("GEMINI_API_KEY", "gm-host-0123456789")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-host-0123456789")
    httpserver.expect_request("/v1beta/openai/chat/completions").respond_with_json(
        {"choices": [{"message": {"role": "assistant", "content": "Oslo"}}]}
    )
    code = """
      local gemini = require('openai.compat.gemini')
      print(gemini.new(os.getenv('GEMINI_API_KEY')):new_chat_session():send('Hi'))
    """
    url = "http://generativelanguage.googleapis.com/v1beta/openai"
    done = run_sandboxed(code, tmp_path, "--base-url", url)
    assert (done.stdout.partition("\t")[0].strip(), done.stderr) == ("Oslo", "")
    request = httpserver.log[0][0]
    assert request.headers["Authorization"] == "Bearer gm-host-0123456789"
    assert json.loads(request.get_data())["model"] == "gemini-2.5-flash"


def test_a_companys_client_is_refused_in_words_when_the_host_speaks_to_another_server(
    tmp_path: Path,
) -> None:
    done = run_sandboxed("require('openai.compat.gemini')", tmp_path)
    assert done.stderr.splitlines()[0] == (
        "luaopenai: script.lua:1: module 'openai.compat.gemini' is there when the host's client "
        "speaks to that company's server"
    )


def test_a_script_in_the_sandbox_that_fails_shows_its_line(tmp_path: Path) -> None:
    done = run_sandboxed("\nerror('no luck')", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("luaopenai: script.lua:2: no luck\nstack traceback:")


@pytest.mark.parametrize(
    ("option", "value", "code"),
    [
        ("--max-seconds", "0.2", "while true do end"),
        ("--max-memory-mb", "4", "local t = {} for i = 1, 1e9 do t[i] = {} end"),
        ("--max-output-kb", "1", "while true do print('x') end"),
    ],
)
def test_a_script_in_the_sandbox_keeps_to_its_limits(
    tmp_path: Path, option: str, value: str, code: str
) -> None:
    done = run_sandboxed(code, tmp_path, option, value)
    assert done.returncode == 1
    kind = option.removeprefix("--max-").replace("-", "_")
    assert f"luaopenai: stopped: plugin script.lua: {kind}: the limit is {value}" in done.stderr


@pytest.mark.parametrize("value", ["", "-1", "x", "\u00b2", "1e5"])
def test_a_limit_on_the_command_line_is_a_number(tmp_path: Path, value: str) -> None:
    done = run_sandboxed("", tmp_path, "--max-seconds", value)
    assert done.returncode == 2
    assert "--max-seconds takes a number" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": "gpt-4.1"}, "models: expected a collection of names, got a string"),
        ({"limits": {"seconds": 1}}, "limits: expected Limits, got {'seconds': 1}"),
        ({"output": "x"}, "output: expected a function, got 'x'"),
        ({"functions": {"x": 5}}, "functions: x: expected a function, got 5"),
    ],
)
def test_a_host_names_the_argument_that_is_wrong(options: Any, message: str) -> None:
    with pytest.raises(TypeError, match=f"^{message}$"):
        PluginHost(**options)


def test_an_output_function_that_fails_is_named(hosts: Callable[..., PluginHost]) -> None:
    def fail(*_: str) -> None:
        raise ZeroDivisionError("no")

    plugin = hosts(output=fail).load_string("return { run = function() print('x') end }")
    with pytest.raises(LuaError, match="the host's output: ZeroDivisionError: no"):
        plugin.call("run")


def test_what_a_host_function_has_raised_is_in_the_hosts_log(
    hosts: Callable[..., PluginHost], caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise KeyError("gone")

    plugin = hosts(functions={"fail": fail}).load_string("return { run = host.fail }", "p")
    with caplog.at_level(logging.DEBUG, "luaopenai.plugins"), pytest.raises(LuaError):
        plugin.call("run")
    assert caplog.messages == ["p: host.fail failed"]
    assert caplog.records[0].exc_info


def test_a_message_does_not_name_a_line_of_ours(hosts: Callable[..., PluginHost]) -> None:
    plugin = hosts().load_string("return { run = function() return assert(nil, 'mine') end }")
    with pytest.raises(LuaError) as caught:
        plugin.call("run")
    assert caught.value.message == "mine"
