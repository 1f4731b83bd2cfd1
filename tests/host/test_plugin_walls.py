"""What was once found to get through the plugins' walls, or to fall over them by itself."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from luaopenai import LimitExceeded, Limits, LuaError, Plugin, PluginHost
from luaopenai.host.engine import Engine

LIMITS = Limits(seconds=0.5, memory_mb=16)

Load = Callable[..., Plugin]


@pytest.fixture
def load(hosts: Callable[..., PluginHost]) -> Load:
    """Loads a plugin whose function ``run`` has this body; ``rest`` tells that it lives."""

    def load(body: str, limits: Limits = LIMITS, **options: Any) -> Plugin:
        host = hosts(limits=limits, output=lambda *_: None, **options)
        rest = "rest = function() return 'alive' end"
        return host.load_string(f"return {{ run = function(...) {body} end, {rest} }}")

    return load


def in_a_child(code: str, body: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs Python code with ``body``, a plugin's, in a process that it may take down."""
    return subprocess.run(
        [sys.executable, "-c", code, body],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


# --- Between calls ---


def test_a_call_is_not_held_to_the_deadline_of_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passed = 0.0
    clock = time.monotonic
    monkeypatch.setattr("luaopenai.host.clock.time.monotonic", lambda: clock() + passed)
    with PluginHost(limits=Limits(seconds=1), isolation="thread") as host:
        plugin = host.load_string("return { run = function(n) for _ = 1, n do end end }")
        # So many instructions that the next look at the clock would fall between calls.
        for count in range(8000, 10_100, 10):
            plugin.call("run", count)
            passed += 10


def test_a_plugin_that_has_rested_for_longer_than_its_seconds_goes_on(load: Load) -> None:
    plugin = load("n = (n or 0) + 1 return n", Limits(seconds=0.1))
    for number in range(1, 10):
        assert plugin.call("run") == number
        time.sleep(0.11)


# --- Stacks ---

HOST_IN_A_THREAD = """
import sys
from luaopenai import Limits, PluginHost
with PluginHost(limits=Limits(seconds=5, memory_mb=64), isolation="thread") as host:
    plugin = host.load_string("return { run = function(...) " + sys.argv[1] + " end }")
    try:
        print("returned", plugin.call("run"))
    except Exception as error:
        print(type(error).__name__)
print("alive")
"""

DEEP = {
    "os.time": """
        local function deep(n)
          local function time()
            return os.time(setmetatable({}, { __index = function() return deep(n + 1) end }))
          end
          if n % 2500 == 0 then return coroutine.wrap(time)() end
          return time()
        end
        return (pcall(deep, 1))""",
    "string.format": """
        local function deep(n)
          return ("%s"):format(setmetatable({}, { __tostring = function()
            return setmetatable({}, { __tostring = function()
              if n % 1500 == 0 then return coroutine.wrap(deep)(n + 1) end
              return deep(n + 1)
            end })
          end }))
        end
        return (pcall(deep, 1))""",
}


@pytest.mark.parametrize("function", DEEP)
def test_no_function_that_calls_back_takes_the_stack_of_the_host(function: str) -> None:
    ended = in_a_child(HOST_IN_A_THREAD, DEEP[function])
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith("alive\n")


def test_a_stack_that_is_full_where_python_is_called_is_an_error_like_any_other(load: Load) -> None:
    body = """
      calls = (calls or 0) + 1
      local ltn12 = require("ltn12")
      local function down()
        ltn12.pump.all(function()
          require("openai").sleep(0)
          return down()
        end, ltn12.sink.null())
      end
      if calls == 1 then down() end
      return calls
    """
    plugin = load(body, Limits(seconds=5))
    with pytest.raises(LuaError, match="stack overflow"):
        plugin.call("run")
    assert plugin.call("run") == 2, "it goes on with what it had"


def test_os_time_reads_a_tables_own_fields(load: Load) -> None:
    plugin = load("""
      local date = { year = 2001, month = 2, day = 3, hour = 4, min = 5, sec = 6, isdst = false }
      local inherited = setmetatable({}, { __index = date })
      local shown = os.date("%Y-%m-%d %H:%M:%S", os.time(date))
      return shown, (pcall(os.time, inherited)), os.time() > 1e9
    """)
    assert plugin.call("run") == ("2001-02-03 04:05:06", False, True)


def test_format_wants_a_string_of_tostring(load: Load) -> None:
    plugin = load("""
      local good = setmetatable({}, { __tostring = function() return "shown" end })
      local bad = setmetatable({}, { __tostring = function() return {} end })
      return ("%s"):format(good), select(2, pcall(string.format, "%s", bad))
    """)
    shown, message = plugin.call("run")
    assert shown == "shown"
    assert message.endswith("'__tostring' must return a string")


# --- Operations that look at nothing ---


@pytest.mark.parametrize("position", ["0/0", "-(0/0)", "'nan'", "1e300", "-1", "3"])
def test_a_position_that_is_none_is_refused_at_once(load: Load, position: str) -> None:
    plugin = load(f"return pcall(table.insert, {{ 1 }}, {position}, 1)")
    ok, message = plugin.call("run")
    assert ok is False
    assert "out of bounds" in message or "number expected" in message


# --- Modules ---


@pytest.mark.parametrize("isolation", ["process", "thread"])
def test_modules_of_the_hosts_lua_path_stay_outside(tmp_path: Path, isolation: str) -> None:
    for name in ("mime", "cjson", "tableshape"):
        (tmp_path / f"{name}.lua").write_text(
            "return { request = function() return nil, io.open('/etc/passwd'):read() end }"
        )
    host = HOST_IN_A_THREAD.replace('"thread"', f'"{isolation}"')
    ended = in_a_child(
        host,
        """
        for _, name in ipairs({ "mime", "cjson", "tableshape" }) do
          assert(not require(name).request, name)
        end
        local openai = require("openai")
        local _, message = pcall(function()
          return openai.new("k", { http_provider = "mime" }):models()
        end)
        return message
        """,
        LUA_PATH=f"{tmp_path}/?.lua;;",
    )
    assert ended.stdout.startswith("returned")
    assert "root:" not in ended.stdout


# --- Large strings, in the host's own process ---

MEASURED = """
import resource, sys, time
from luaopenai import Limits, PluginHost
with PluginHost(limits=Limits(seconds=1, memory_mb=16), isolation="thread") as host:
    rest = "rest = function() return 'alive' end"
    plugin = host.load_string("return { run = function(...) " + sys.argv[1] + " end, " + rest + "}")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(2):
        try:
            print("returned", plugin.call("run"))
        except Exception as error:
            print(type(error).__name__, getattr(error, "kind", error))
        print(plugin.call("rest"))
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""

LARGE = {
    "doubling": "local s = 'x' while true do s = s .. s end",
    "doubling under pcall": """
        while true do pcall(function() local s = 'x' while true do s = s .. s end end) end""",
    "temporaries of 4 MB": "local s = ('x'):rep(2^22) for i = 1, 1e9 do local t = s .. i end",
    "lower": "local s = ('X'):rep(2^22) while true do s:lower() end",
    "gsub that amplifies": "return (('x'):rep(1e6):gsub('.', ('y'):rep(1e6)))",
    "concat that amplifies": """
        local t, s = {}, ('x'):rep(1e6)
        for i = 1, 5000 do t[i] = s end
        return #table.concat(t)""",
    "format that amplifies": "local s = 'x' while true do s = ('%s%s%s%s'):format(s, s, s, s) end",
    "coroutines that double": """
        local function double() local s = 'x' while true do s = s .. s end end
        while true do coroutine.wrap(pcall)(double) end""",
}


def test_large_strings_that_fit_are_no_ones_affair(load: Load) -> None:
    plugin = load(
        """
      local s, sum = ("x"):rep(2 ^ 19), 0
      for i = 1, 200 do sum = sum + #(s .. i) end
      return sum
    """,
        Limits(seconds=30, memory_mb=16),
    )
    assert plugin.call("run") == 200 * 2**19 + 492


@pytest.mark.parametrize("name", LARGE)
def test_large_strings_take_neither_the_hosts_memory_nor_its_time(name: str) -> None:
    ended = in_a_child(MEASURED, LARGE[name])
    assert ended.returncode == 0, (ended.stdout, ended.stderr)
    *outcomes, megabytes = ended.stdout.splitlines()
    for outcome, rest in (outcomes[:2], outcomes[2:]):
        assert outcome in ("LimitExceeded seconds", "LimitExceeded memory_mb")
        assert rest == "alive"
    assert int(megabytes) < 150


@pytest.mark.parametrize("isolation", ["thread"], indirect=True)
def test_an_interrupt_at_the_end_of_a_call_leaves_no_limits_behind(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = load("while true do end", Limits(seconds=0.1))
    disarm, interrupts = Engine.disarm, iter([False, True])

    def interrupted(self: Engine) -> None:
        # The first is at the beginning of the call, the second when a limit has ended it.
        if next(interrupts, False):
            raise KeyboardInterrupt
        disarm(self)

    monkeypatch.setattr(Engine, "disarm", interrupted)
    with pytest.raises(KeyboardInterrupt):
        plugin.call("run")
    assert plugin.call("rest") == "alive"


@pytest.mark.parametrize("isolation", ["thread"], indirect=True)
def test_lua_itself_keeps_nothing_dangerous_behind_the_plugins_environment(load: Load) -> None:
    engine = load("return 1")._isolated._engine  # type: ignore[union-attr]
    assert engine is not None
    found = engine._state.lua.globals()
    names = (
        "collectgarbage debug dofile gcinfo getfenv io jit load loadfile loadstring module "
        "newproxy os setfenv"
    )
    assert {name: found[name.encode()] for name in names.split()} == dict.fromkeys(names.split())
    assert found[b"getmetatable"](b"text") == b"the methods of strings are closed"


def test_a_plugin_has_no_say_in_how_garbage_is_collected(load: Load) -> None:
    body = """
      local said = {}
      for _, option in ipairs({ "stop", "restart", "collect", "step", "setpause", "setstepmul" }) do
        said[#said + 1] = collectgarbage(option, 1)
      end
      return said
    """
    assert load(body).call("run") == [0] * 6


def test_a_call_that_is_stopped_deep_inside_others_leaves_the_next_one_all_room(load: Load) -> None:
    body = """
      local depth, is_endless = ...
      local function down(left)
        if left == 0 then while is_endless do end return "done" end
        return (("x"):gsub("x", function() return down(left - 1) end))
      end
      return down(depth)
    """
    plugin = load(body, Limits(seconds=0.2))
    for _ in range(2):
        with pytest.raises(LimitExceeded, match="seconds"):
            plugin.call("run", 55, True)
        assert plugin.call("run", 55, False) == "done"


# --- What Python holds for a plugin ---

FILTERS = r"""
  local create = require("openai.sse").create_stream_filter
  local filters, count, keep, size, pieces, form = {}, ...
  for number = 1, count do
    filters[number % keep + 1] = create(print)
    for piece = 1, pieces do
      -- No two are alike: Lua would keep but one of them.
      filters[number % keep + 1](form:format(number .. "-" .. piece .. ("x"):rep(size)))
    end
  end
  held = filters
  return "done"
"""
CUT = 'data: {"choices":[{"delta":{"content":"%s\\ud83d"}}]}\n\n'
"""An event that waits for half of a character."""


@pytest.mark.parametrize(
    ("count", "keep", "size", "pieces", "form"),
    [
        (1, 1, 2**20, 100, "%s"),
        (100, 100, 2**20, 1, "%s"),
        (1, 1, 2, 500_000, "%s"),
        (200, 200, 2**18, 1, CUT),
        (10, 10, 2**16, 60, CUT),
        (20_000, 20_000, 1, 1, CUT),
    ],
    ids=["one event", "many filters", "small pieces", "large", "many events", "many readers"],
)
def test_what_stream_filters_hold_counts_as_the_plugins_memory(
    load: Load, count: int, keep: int, size: int, pieces: int, form: str
) -> None:
    plugin = load(FILTERS, Limits(seconds=20, memory_mb=8))
    with pytest.raises(LimitExceeded, match="memory_mb"):
        plugin.call("run", count, keep, size, pieces, form)
    assert plugin.call("rest") == "alive"
    assert plugin.call("run", 1, 1, 2**20, 1, form) == "done"


@pytest.mark.parametrize("form", ["%s", CUT], ids=["begun", "cut"])
def test_what_stream_filters_hold_bit_by_bit_over_many_calls_counts_too(
    load: Load, form: str
) -> None:
    body = """
      held = held or require("openai.sse").create_stream_filter(print)
      for _ = 1, 3 do
        count = (count or 0) + 1
        held((...):format(count .. ("x"):rep(2^20)))
      end
    """
    plugin = load(body, Limits(seconds=20, memory_mb=16))

    def keep_on() -> None:
        for _ in range(10):
            plugin.call("run", form)

    with pytest.raises(LimitExceeded, match="memory_mb"):
        keep_on()
    assert plugin.usage.peak_memory_mb > 9
    assert plugin.call("rest") == "alive"


@pytest.mark.parametrize("form", ["%s", CUT], ids=["begun", "cut"])
def test_what_a_stream_filter_held_is_given_back_when_nobody_has_it(load: Load, form: str) -> None:
    plugin = load(FILTERS, Limits(seconds=20, memory_mb=16))
    assert plugin.call("run", 50, 2, 2**18, 4, form) == "done"


def test_an_event_that_is_whole_is_not_held(load: Load) -> None:
    body = """
      local events = 0
      local filter = require("openai.sse").create_stream_filter(function() events = events + 1 end)
      local piece = 'data: {"text": "' .. ("x"):rep(2^20) .. '"}\\n\\n'
      for _ = 1, 40 do filter(piece) end
      return events
    """
    assert load(body, Limits(seconds=20, memory_mb=16)).call("run") == 40
