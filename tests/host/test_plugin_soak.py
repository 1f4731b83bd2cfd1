"""Plugins that fail, loop, eat memory and die at random: the host answers all, and leaks nothing.

A short form runs by itself; ``LUAOPENAI_SOAK=full`` makes it 10,000 calls.
"""

from __future__ import annotations

import gc
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from luaopenai import LimitExceeded, Limits, LuaError, Plugin, PluginHost
from luaopenai.host.process import ProcessIsolation
from support.leaks import children, descriptors

FULL = os.environ.get("LUAOPENAI_SOAK") == "full"
CALLS = 10_000 if FULL else 250
SEED = 20_240_601

PLUGIN = """
local kept = {}
return {
  answer = function(number) return number end,
  fail = function() error({ code = 7 }) end,
  overflow = function() local function f() return 1 + f() end return f() end,
  loop = function() while true do pcall(function() while true do end end) end end,
  pattern = function() return (("a"):rep(40)):find(("a?"):rep(40) .. ("a"):rep(40)) end,
  eat = function() local t = {} for i = 1, 1e9 do t[i] = { i } end end,
  double = function() local s = "x" while true do s = s .. s end end,
  keep = function() for i = 1, 5000 do kept[#kept + 1] = ("x"):rep(50) .. i end end,
  flood = function() while true do print(("x"):rep(100)) end end,
  call = function() return host.double(21) end,
  refuse = function() return host.refuse() end,
}
"""

# How often each happens, and what may come of it.
DEEDS: dict[str, tuple[int, set[str]]] = {
    "answer": (400, {"ok"}),
    "call": (200, {"ok"}),
    "fail": (120, {"LuaError"}),
    "refuse": (80, {"LuaError"}),
    "overflow": (40, {"LuaError", "seconds"}),
    "keep": (60, {"ok", "memory_mb", "seconds"}),
    "flood": (30, {"output_kb"}),
    "loop": (15, {"seconds"}),
    "eat": (25, {"memory_mb", "seconds"}),
    "pattern": (5, {"seconds"}),
    "double": (15, {"memory_mb"}),
    "die": (10, {"ok", "LuaError"}),
}


def refuse() -> None:
    raise RuntimeError("no")


def kill(plugin: Plugin) -> None:
    """Kill the plugin's worker, as the system may at any time."""
    isolated = plugin._isolated
    assert isinstance(isolated, ProcessIsolation)
    if isolated._worker is not None:
        isolated._worker.kill()


def outcome(plugin: Plugin, deed: str, number: int) -> str:
    if deed == "die":
        kill(plugin)
        deed = "call"
    try:
        result = plugin.call(deed, number)
    except LimitExceeded as error:
        return error.kind
    except LuaError:
        return "LuaError"
    if deed in ("answer", "call"):
        assert result == (number if deed == "answer" else 42)
    return "ok"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts by /proc")
def test_the_host_answers_every_call_and_leaks_neither_processes_nor_descriptors() -> None:
    gc.collect()
    files, processes = descriptors(), children()
    chance = random.Random(SEED)
    counts: Counter[str] = Counter()
    begun = time.monotonic()
    limits = Limits(seconds=0.2, memory_mb=8, output_kb=4)
    functions: dict[str, Callable[..., object]] = {"double": lambda n: 2 * n, "refuse": refuse}
    names, weights = list(DEEDS), [often for often, _ in DEEDS.values()]
    with PluginHost(functions=functions, limits=limits, output=lambda *_: None) as host:
        plugins = [host.load_string(PLUGIN, f"p{number}") for number in range(3)]
        for number in range(CALLS):
            # Each happens at least once.
            deed = names[number] if number < len(names) else chance.choices(names, weights)[0]
            result = outcome(chance.choice(plugins), deed, number)
            assert result in DEEDS[deed][1], (deed, result)
            counts[f"{deed}: {result}"] += 1
            if number % 100 == 99:
                assert len(children() - processes) <= len(plugins)
        for plugin in plugins:
            assert plugin.call("answer", 1) == 1
    gc.collect()
    # What tests before have left may be gone too by now.
    assert descriptors() <= files
    assert children() <= processes
    print(f"\n{CALLS} calls in {time.monotonic() - begun:.0f} s: {dict(counts)}")
