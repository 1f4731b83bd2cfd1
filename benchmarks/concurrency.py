"""Many chats at once in one script: how long they take together, and what each costs.

The cost of a single call outside of tasks is measured against an earlier checkout, where
``LUAOPENAI_BEFORE`` names one: the two take turns, a process each.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.crowd import EVENTS
from luaopenai import Limits, OpenAI, PluginHost, Runtime

_SCRIPT = str(Path(__file__).with_suffix(".lua"))
_COMMAND = [sys.executable, "-m", "luaopenai", "run", _SCRIPT]
_TURNS = 12
_ROUNDS = 3

_TASKS = """
local openai = require("openai")
local function copies(f, times)
  local list = {}
  for index = 1, times do list[index] = f end
  return list
end
"""
_HOST = f"""{_TASKS}
local function one_by_one(f, times) for _ = 1, times do f() end end
return {{
  gather = function(f, times) openai.gather(copies(f, times), {{ limit = times }}) end,
  in_a_task = function(f, times) openai.gather({{ function() one_by_one(f, times) end }}) end,
  outside = one_by_one,
}}
"""
_PLUGIN = f"""{_TASKS}
local client = openai.new()
local question = {{ {{ role = "user", content = "Hi" }} }}
local function chat() assert(client:chat(question, {{ model = "slow" }}) == 200) end
return {{ chats = function(times) openai.gather(copies(chat, times)) end }}
"""
_OFFICIAL = """
import asyncio, sys, time
from openai import AsyncOpenAI

url, count, limit = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
question = [{"role": "user", "content": "Hi"}]


async def main():
    client = AsyncOpenAI(api_key="key", base_url=url)
    places = asyncio.Semaphore(limit)

    async def chat():
        async with places:
            await client.chat.completions.create(model="brisk", messages=question)

    await asyncio.gather(*(chat() for _ in range(limit)))
    start = time.perf_counter()
    await asyncio.gather(*(chat() for _ in range(count)))
    print(count / (time.perf_counter() - start))


asyncio.run(main())
"""


def main() -> None:
    """Print a table."""
    print("| case | result | aim |\n| --- | --: | --: |")
    with serving() as url:
        for count, limit, aim in ((200, 200, 1.0), (1000, 100, 4.0)):
            seconds, memory = _run("chats", url, count, limit)
            one_by_one = f"one after another: {count / 4:.0f} s"
            _row(
                f"{count:,} chats of 250 ms, limit {limit} ({one_by_one})",
                f"{seconds:.2f} s",
                f"≤ {aim} s",
            )
            _row("memory for each that waits", f"{memory / 1e3:.0f} KB", "≤ 200 KB")
        ours, theirs = compare_rates(url)
        _row("chats of 100 ms a second, limit 400", f"{ours:,.0f}", "≥ 2,000")
        if theirs:
            _row("the same by `openai`'s async client", f"{theirs:,.0f}", "")
        seconds, middle, slowest, events = _run("streams", url, 100)
        assert events == 100 * EVENTS
        _row(f"100 streams of {EVENTS} events, one every 5 ms", f"{seconds:.2f} s", "≤ 2.5 s")
        _row("an event's arrival to its callback, median", f"{middle * 1e3:.1f} ms", "≤ 50 ms")
        _row("the same, 99th percentile", f"{slowest * 1e3:.1f} ms", "")
        together, in_a_task, outside = time_host_functions()
        _row("200 functions of the host, 250 ms each", f"{together:.2f} s", "")
        _row("one that does nothing, in a task", f"{in_a_task * 1e6:.0f} µs", "")
        _row("the same outside of tasks", f"{outside * 1e6:.1f} µs", "")
        for isolation in ("process", "thread"):
            seconds = time_plugin(url, isolation)
            _row(f"32 chats of 250 ms in a plugin, {isolation}", f"{seconds:.2f} s", "")
        before = os.environ.get("LUAOPENAI_BEFORE")
        if before:
            ratio = compare_single(url, Path(before))
            _row("a single call outside of tasks, to before", f"{ratio:.3f}", "≤ 1.03")


def compare_single(url: str, before: Path) -> float:
    """Returns the seconds of a call now to those in another checkout, the median of pairs."""
    ratios = []
    for turn in range(_TURNS):
        sides = (None, before) if turn % 2 else (before, None)
        seconds = {side: median(_run("single", url, 15, 60, checkout=side)) for side in sides}
        ratios.append(seconds[None] / seconds[before])
    return median(ratios)


def compare_rates(url: str) -> tuple[float, float | None]:
    """Chats a second of ours and, where it is installed, of ``openai``; the best of rounds."""
    is_there = importlib.util.find_spec("openai") is not None
    ours, theirs = [], []
    for _ in range(_ROUNDS):
        ours += _run("rate", url, 4000, 400)
        if is_there:
            command = [sys.executable, "-c", _OFFICIAL, url, "2000", "400"]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            theirs.append(float(done.stdout))
    return max(ours), max(theirs, default=None)


def time_host_functions() -> tuple[float, float, float]:
    """Returns the seconds of 200 functions together that sleep, and of one that does nothing, both
    ways.
    """
    lua = Runtime(rocks=False).run_string(_HOST)
    lua["gather"](_nothing, 200)
    return (
        _timed(lua["gather"], lambda: time.sleep(0.25), 200),
        _timed(lua["in_a_task"], _nothing, 5000) / 5000,
        _timed(lua["outside"], _nothing, 50_000) / 50_000,
    )


def time_plugin(url: str, isolation: Any) -> float:
    """Returns the seconds of as many chats as a plugin can have under way."""
    with (
        OpenAI("key", url) as client,
        PluginHost(client, limits=Limits(requests=None), isolation=isolation) as host,
    ):
        plugin = host.load_string(_PLUGIN)
        plugin.call("chats", 1)
        return _timed(plugin.call, "chats", 32)


def _nothing() -> None:
    pass


def _timed(function: Any, *args: object) -> float:
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


@contextmanager
def serving() -> Iterator[str]:
    """Returns the server, in another process; its base URL."""
    command = [sys.executable, "-m", "benchmarks.crowd"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.terminate()


def _run(case: str, url: str, *numbers: int, checkout: Path | None = None) -> list[float]:
    environment = dict(os.environ, NO_PROXY="127.0.0.1")
    if checkout is not None:
        environment["PYTHONPATH"] = str(checkout / "src")
    command = [*_COMMAND, case, url, *map(str, numbers)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return [float(number) for number in done.stdout.split()]


def _row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
