"""Start-up: what whole processes take that do little."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from statistics import median

from benchmarks.calls import Server
from benchmarks.peers import LUAOPENAI, NATIVE, OFFICIAL, OUR_PYTHON, OURS, Peer
from benchmarks.report import Row

RUNS = 15

_LUA_CLIENT = 'local client = require("openai").new("key") client.api_base = "URL" '
_LUA_CHAT = _LUA_CLIENT + 'assert(client:chat({ { role = "user", content = "Hi" } }) == 200)'
_OUR_CLIENT = 'from luaopenai import OpenAI; client = OpenAI("key", "URL"); '
_CLIENT = 'from openai import OpenAI; client = OpenAI(api_key="key", base_url="URL"); '
_MESSAGES = '[{"role": "user", "content": "Hi"}]'

PROGRAMS = {
    "start-up, a client made": {
        OURS: _LUA_CLIENT,
        NATIVE: _LUA_CLIENT,
        OUR_PYTHON: _OUR_CLIENT,
        OFFICIAL: _CLIENT,
    },
    "start-up, and a first chat": {
        OURS: _LUA_CHAT,
        NATIVE: _LUA_CHAT,
        OUR_PYTHON: _OUR_CLIENT + f"assert client.chat({_MESSAGES}).status == 200",
        OFFICIAL: _CLIENT
        + f'assert client.chat.completions.create(model="gpt-4.1", messages={_MESSAGES})',
    },
}


def measure(peers: Mapping[str, Peer], server: Server) -> list[Row]:
    """Rows of whole processes that only start, or also send a first request."""
    rows = []
    for text, code in PROGRAMS.items():
        commands = {
            name: [*peer.evaluate, code[name].replace("URL", server.url("small"))]
            for name, peer in peers.items()
        }
        medians = _medians(commands, server.environment)
        rows.append(Row(text, "ms", medians, official_aim="≤ 0.25"))
    return rows


def compare_with_python(server: Server) -> str:
    """Returns how long a script of one line takes, in terms of a Python that does nothing."""
    commands = {
        "script": [LUAOPENAI, "run", "-e", 'print("hello")'],
        "python": [sys.executable, "-c", "pass"],
    }
    took = _medians(commands, server.environment)
    return (
        f"`luaopenai run` of a script that prints a line takes {took['script']:.1f} ms, "
        f"`python -c pass` {took['python']:.1f} ms: {took['script'] / took['python']:.2f} times "
        "that (aim: ≤ 2.0)."
    )


def _medians(commands: Mapping[str, list[str]], environment: Mapping[str, str]) -> dict[str, float]:
    """Milliseconds of whole processes, in turn, so that a noisy moment hits them all."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    # The first run is made to fill caches.
    for run in range(1 + RUNS):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
            if run:
                times[name].append((time.perf_counter() - start) * 1e3)
    return {name: median(taken) for name, taken in times.items()}
