"""Plugins: what a call, its values and a worker's start cost, in both isolations."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Literal

from benchmarks.calls import serving
from luaopenai import Limits, OpenAI, Plugin, PluginHost, Runtime

RUNS = 15
CALLS = 500
PAUSE = 0.3
VALUES = [f"value {number}" if number % 2 else number * 0.5 for number in range(1000)]
CODE = """return {
  nothing = function() end,
  take = function(values) return #values end,
  give = function() return kept end,
  keep = function(values) kept = values end,
}"""

CHATS = """
local client = require("openai").new()
local question = { { role = "user", content = "Say hello." } }
return {
  chats = function(count)
    for _ = 1, count do assert(client:chat(question) == 200) end
  end,
}"""

Isolation = Literal["process", "thread"]


def main() -> None:
    """Print the table."""
    print("| case | process | aim | thread | aim |\n| --- | --: | --: | --: | --: |")
    rows: list[tuple[str, Callable[[Isolation], float], float, str, str, str]] = [
        ("a call that does nothing", _nothing, 1e6, "µs", "≤ 150", "≤ 10"),
        ("1,000 values to a plugin", lambda i: _values(i, "take", VALUES), 1e3, "ms", "≤ 2", "≤ 2"),
        ("1,000 values from a plugin", lambda i: _values(i, "give"), 1e3, "ms", "≤ 2", "≤ 2"),
        ("a plugin's start", _start, 1e3, "ms", "≤ 150", ""),
        ("code of a model's", _code, 1e3, "ms", "≤ 60", "≤ 10"),
        ("code of a model's, after a pause", _spaced_code, 1e3, "ms", "≤ 60", "≤ 10"),
    ]
    for case, measure, scale, unit, aim, thread_aim in rows:
        process, thread = (measure(isolation) * scale for isolation in ("process", "thread"))
        print(f"| {case} | {process:.2f} {unit} | {aim} | {thread:.2f} {unit} | {thread_aim} |")
    process, thread = _chats()
    print(f"| a chat, to the same outside | {process:.2f} | ≤ 1.6 | {thread:.2f} |  |")


def _nothing(isolation: Isolation) -> float:
    with PluginHost(isolation=isolation) as host:
        return _time(_warm(host), "nothing")


def _values(isolation: Isolation, function: str, *args: object) -> float:
    with PluginHost(isolation=isolation) as host:
        plugin = _warm(host)
        plugin.call("keep", VALUES)
        return _time(plugin, function, *args, calls=20)


def _chats() -> tuple[float, float]:
    """Returns what a chat takes in a process and in a thread, to the same in a script outside;
    all in turn, the median ratios.
    """
    limits = Limits(requests=None, tokens=None)
    with (
        serving() as server,
        OpenAI("key", server.url("small")) as client,
        PluginHost(client, limits=limits, isolation="process") as far,
        PluginHost(client, limits=limits, isolation="thread") as near,
    ):
        chats: list[Callable[[int], object]] = [
            Runtime(client, rocks=False).run_string(CHATS)["chats"],
            partial(far.load_string(CHATS).call, "chats"),
            partial(near.load_string(CHATS).call, "chats"),
        ]
        ratios = []
        for _ in range(1 + RUNS):
            outside, *inside = (_seconds(chat, CALLS // 5) for chat in chats)
            ratios.append([seconds / outside for seconds in inside])
    # The first is made to warm up.
    process, thread = (median(column) for column in zip(*ratios[1:], strict=True))
    return process, thread


def _seconds(function: Callable[[int], object], argument: int) -> float:
    begun = time.perf_counter()
    function(argument)
    return time.perf_counter() - begun


def _warm(host: PluginHost) -> Plugin:
    plugin = host.load_string(CODE)
    for _ in range(CALLS):
        plugin.call("nothing")
    return plugin


def _time(plugin: Plugin, function: str, *args: object, calls: int = CALLS) -> float:
    """Returns the seconds for a call: the median of runs of many."""
    took = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        for _ in range(calls):
            plugin.call(function, *args)
        took.append((time.perf_counter() - begun) / calls)
    return median(took)


def _start(isolation: Isolation) -> float:
    """Returns the seconds from ``load_string`` to a plugin that is ready."""
    took = []
    for _ in range(RUNS):
        with PluginHost(isolation=isolation) as host:
            begun = time.perf_counter()
            host.load_string(CODE)
            took.append(time.perf_counter() - begun)
    return median(took)


def _code(isolation: Isolation, pause: float = 0.0) -> float:
    """Returns the seconds for a call of a code tool, with a pause before each."""
    took = []
    with PluginHost(isolation=isolation) as host:
        tool = host.code_tool()
        for _ in range(2 * RUNS + 1):
            time.sleep(pause)
            begun = time.perf_counter()
            tool.call({"code": "1 + 1"})
            took.append(time.perf_counter() - begun)
    return median(took)


def _spaced_code(isolation: Isolation) -> float:
    """The same at about the pace of a model, which thinks while the next process starts."""
    return _code(isolation, PAUSE)
