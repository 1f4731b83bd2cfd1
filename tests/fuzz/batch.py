"""A batch of attacks in a process of its own, which they may take down.

``python -m fuzz.batch ISOLATION SEED COUNT`` prints each attack before it begins, and what came of
all; its status is not 0 when a wall did not hold.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import math
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from fuzz.line import attack_line
from fuzz.server import misbehave
from luaopenai import LimitExceeded, Limits, LuaError, OpenAI, Plugin, PluginHost
from support.fault_server import FaultServer

ATTACKS = Path(__file__).with_name("attacks.lua").read_text("utf-8")
LIMITS = Limits(seconds=0.3, memory_mb=8, output_kb=None, requests=30, tokens=None)
MOST_SECONDS = 60
"""How long an attack may take until it counts as one that hangs."""
MOST_WORK = 8.0
"""Seconds of this process's own that an attack may take, the machine being slow or not."""
MOST_MEMORY = 700 << 20
"""Bytes that this process may take: arguments and results of many calls, and four hosts."""
MOST_DESCRIPTORS = 400
LONGEST_TEXT = {"process": 200_000, "thread": 500}
"""What one pattern looks through takes a worker's time only, but all of a host's."""

_REFUSALS = "is no plain data", "nested too deeply", "mixes list items and named fields"
"""What Python's values may be that Lua does not give back."""

Isolation = Literal["process", "thread"]


class FellError(Exception):
    """A wall that did not hold."""


class Batch:
    """Attacks that one seed chooses.

    Args:
        isolation: of the plugin that attacks.
        seed: of all that is chosen.
        client: what the plugin's requests are sent with.
    """

    def __init__(self, isolation: Isolation, seed: int, client: OpenAI) -> None:
        self.outcomes: Counter[str] = Counter()
        self._isolation: Isolation = isolation
        self._chance = random.Random(seed)
        self._client = client
        self._host: PluginHost | None = None
        self._plugin: Plugin | None = None

    def attack(self, number: int) -> None:
        """Makes one attack; raises ``FellError`` when something did not hold."""
        chance = self._chance
        names = ["call_anything", "nest", "fill_memory", "values", "line", "close"]
        kind = chance.choices(names, [8, 8, 8, 3, 2, 1])[0]
        print(number, kind, flush=True)
        begun = time.process_time()
        faulthandler.dump_traceback_later(MOST_SECONDS, exit=True)
        plugin = self._ready()
        if kind == "values":
            outcome = self._exchange_values(plugin)
        elif kind == "line":
            outcome = attack_line(plugin, chance)
        elif kind == "close":
            outcome = self._close_during(plugin)
        else:
            arguments = [chance.randrange(1, 2**31 - 1), LONGEST_TEXT[self._isolation]]
            if kind == "call_anything":
                arguments.append(chance.choice([1, 5, 50]))
            outcome = self._call(plugin, kind, *arguments)
        self.outcomes[f"{kind}: {outcome}"] += 1
        self._check(time.process_time() - begun)
        faulthandler.cancel_dump_traceback_later()

    def close(self) -> None:
        """Ends the plugin and its host."""
        if self._host is not None:
            self._host.close()
        self._host = self._plugin = None

    def _ready(self) -> Plugin:
        """Returns the plugin of the last attack, or another one."""
        if self._plugin is None or self._plugin.closed or self._chance.random() < 0.3:
            self.close()
            self._host = PluginHost(
                self._client,
                self._functions(),
                LIMITS,
                isolation=self._isolation,
                output=lambda *_: None,
            )
            self._plugin = self._host.load_string(ATTACKS, "attacker")
        return self._plugin

    def _functions(self) -> dict[str, Callable[..., Any]]:
        def fail(text: object = "") -> None:
            raise RuntimeError(str(text) * 100)

        def call_again() -> None:
            assert self._plugin is not None
            self._plugin.call("rest")

        return {
            "big": lambda n=0: "b" * min(int(n), 5_000_000),
            "list": lambda n=0: [{"a": i} for i in range(min(int(n), 50_000))],
            "deep": lambda n=0: [] if n < 1 else [[[[]]]],
            "echo": lambda *values: values,
            "take": lambda *values: len(values),
            "wait": lambda: time.sleep(self._chance.random() / 50),
            "fail": fail,
            "call_again": call_again,
        }

    def _call(self, plugin: Plugin, name: str, *arguments: object) -> str:
        """Returns what came of a call, which may be cancelled meanwhile."""
        patience = self._chance.expovariate(10) if self._chance.random() < 0.15 else None
        try:
            if patience is None:
                plugin.call(name, *arguments)
            else:
                asyncio.run(asyncio.wait_for(plugin.call_async(name, *arguments), patience))
        except LimitExceeded as error:
            return error.kind
        except LuaError:
            return "LuaError"
        except (TimeoutError, asyncio.TimeoutError):
            return "cancelled"
        return "done"

    def _exchange_values(self, plugin: Plugin) -> str:
        values = [random_value(self._chance, 0) for _ in range(self._chance.randrange(1, 4))]
        name = self._chance.choice(["give_back", "pass_on", "fail_with"])
        try:
            found = plugin.call(name, *values)
        except (TypeError, ValueError):
            return "refused"
        except LimitExceeded as error:
            return error.kind
        except LuaError as error:
            if name != "fail_with" and not any(why in error.message for why in _REFUSALS):
                raise FellError(f"{name} of {values!r:.500}: {error}") from error
            return "LuaError"
        expected = values[0] if len(values) == 1 else tuple(values)
        if not same(found, expected):
            raise FellError(f"{name} of {expected!r:.500} gave {found!r:.500}")
        return "done"

    def _close_during(self, plugin: Plugin) -> str:
        """Has another thread close the plugin while it is called."""
        timer = threading.Timer(self._chance.random() / 5, plugin.close)
        timer.start()
        seed = self._chance.randrange(1, 2**31 - 1)
        outcome = self._call(plugin, "nest", seed, LONGEST_TEXT[self._isolation])
        timer.join()
        return outcome

    def _check(self, worked: float) -> None:
        """Raises ``FellError`` unless the plugin answers, and the host is as it was."""
        plugin = self._plugin
        assert plugin is not None
        if not plugin.closed and plugin.call("rest") != "alive":
            raise FellError("the plugin does not answer")
        if worked > MOST_WORK:
            raise FellError(f"it took {worked:.1f} s of the host's own time")
        if memory() > MOST_MEMORY:
            raise FellError(f"the host takes {memory() >> 20} MB")
        if descriptors() > MOST_DESCRIPTORS:
            raise FellError(f"the host has {descriptors()} files open")


def random_value(chance: random.Random, depth: int) -> Any:
    """Returns a value of any kind that crosses, and sometimes one that does not."""
    kind = chance.randrange(10 if depth < 4 else 6)
    if kind == 0:
        return chance.choice([None, True, False])
    if kind == 1:
        return chance.choice([0, -1, 2**53, -(2**53), 2**53 + 1, chance.randrange(-(10**6), 10**6)])
    if kind == 2:
        return chance.choice([0.5, -0.25, 1e300, 5e-324, math.inf, -math.inf, math.nan])
    if kind == 3:
        return chance.choice(["", "ä", "\0", "\0b", "x" * chance.randrange(200_000), "\ud800"])
    if kind == 4:
        return chance.choice([b"\xff", b"\x00\xfe", bytes(chance.choices(range(256), k=300))])
    if kind == 5:
        return chance.choice(["text", 7, [], {}, object(), {1}])
    if kind == 6:
        value: Any = []
        for _ in range(chance.choice([3, 50, 127, 130, 2000])):
            value = [value]
        return value
    count = chance.randrange(5)
    if kind == 7:
        keys = [random_value(chance, 9) for _ in range(count)]
        return {key: 1 for key in keys if isinstance(key, str | bytes | int | float)}
    if kind == 8:
        return {f"k{n}": random_value(chance, depth + 1) for n in range(count)}
    return [random_value(chance, depth + 1) for _ in range(count)]


def same(found: Any, expected: Any) -> bool:
    """Returns whether a value came back: numbers as they are worth, NaN as NaN, bytes as bytes."""
    if isinstance(expected, float) and math.isnan(expected):
        return isinstance(found, float) and math.isnan(found)
    if isinstance(expected, list | tuple) and isinstance(found, list | tuple):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, dict) and isinstance(found, dict | list):
        if not expected or isinstance(found, list):
            # An empty table is a list in Lua, and one with the keys 1 to n is one, too.
            return not expected or set(expected) == set(range(1, len(found) + 1))
        return found.keys() == expected.keys() and all(
            same(found[key], item) for key, item in expected.items()
        )
    if isinstance(expected, bytes) and isinstance(found, str):
        return found.encode() == expected
    return bool(found == expected)


def memory() -> int:
    """Returns the bytes that this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    """Returns how many files and sockets this process has open."""
    return len(os.listdir("/proc/self/fd"))


def main(isolation: Isolation, seed: int, count: int) -> int:
    """Makes the attacks of a seed; returns the process's status."""
    before = descriptors()
    server = FaultServer(lambda connection: misbehave(connection, random.Random(seed)))
    client = OpenAI("sk-fuzz", server.url, timeout=0.5, max_retries=1)
    batch = Batch(isolation, seed, client)
    try:
        for number in range(count):
            batch.attack(number)
            server.requests.clear()
    except Exception as error:
        print(f"fell: {type(error).__name__}: {error}", flush=True)
        raise
    finally:
        faulthandler.cancel_dump_traceback_later()
        batch.close()
        client.close()
        server.close()
    gc.collect()
    left = descriptors() - before
    print(f"outcomes: {dict(batch.outcomes)}", flush=True)
    if left > 0:
        print(f"fell: {left} descriptors are left open", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    kind, chosen, often = sys.argv[1:]
    assert kind in ("process", "thread")
    sys.exit(main(kind, int(chosen), int(often)))  # type: ignore[arg-type]
