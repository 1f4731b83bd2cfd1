"""Workers that say what none of ours says: what a plugin could do that has broken out of LuaJIT."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from luaopenai import LimitExceeded, Limits, LuaError, Plugin, PluginHost
from luaopenai.host import launch, wire

Load = Callable[..., Plugin]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="shown on POSIX systems")

BEGIN = """
import os, socket, struct, sys, threading, time
sys.path[:] = {path!r}
from luaopenai.host.channel import Channel
line = socket.socket(fileno={line})
channel = Channel(line)
channel.receive()
channel.send(b"ready")
"""

CALLED = """
channel.send(b"done", b"+run", b"[0, 0]")
channel.receive()
"""

REST = """
try:
    channel.receive()
finally:
    os._exit(0)
"""


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Loads a plugin whose worker does this in the place of a call, or of its loading."""
    with ExitStack() as stack:

        def load(deed: str, *, begin: str = BEGIN + CALLED, **options: Any) -> Plugin:
            monkeypatch.setattr(launch, "_START", begin + deed + REST)
            host = stack.enter_context(PluginHost(**options))
            return host.load_string("return { run = function() end }")

        yield load


def test_errors_of_a_worker_are_weighed_before_they_are_read(load: Load) -> None:
    plugin = load("channel.send(b'failed', b'[' + b'[],' * 10**6 + b'1]', b'[0, 0]')\n")
    with pytest.raises(LimitExceeded, match="memory_mb"):
        plugin.call("run")


def test_names_of_a_workers_functions_are_weighed_before_they_are_read(load: Load) -> None:
    deed = "channel.send(b'done', b'+f' + b'\\nf' * 10**6, b'[0, 0]')\n"
    with pytest.raises(LimitExceeded, match="memory_mb"):
        load(deed, begin=BEGIN, limits=Limits(memory_mb=32))


@pytest.mark.parametrize("names", [r"\xff", r"\n", "1", "a b", r"run\n", "r\u00fcn"])
def test_a_function_of_a_worker_has_a_name(load: Load, names: str) -> None:
    with pytest.raises(LuaError, match="sends nonsense"):
        load(f"channel.send(b'done', '+{names}'.encode('latin-1'), b'[0, 0]')\n", begin=BEGIN)


def test_a_worker_that_asks_before_it_is_answered_is_ended(load: Load) -> None:
    # What a question takes is free: asked without a pause, nothing would end the call.
    plugin = load("""
channel.send(b"cancel", b"1")
asked = struct.pack("<II", 2, 15)
asked += struct.pack("<II", 6, 1) + b"cancel1"
line.sendall(asked * 100)
""")
    with pytest.raises(LuaError, match="sends nonsense"):
        plugin.call("run")


def test_the_host_counts_what_a_worker_says(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luaopenai.host.process.GRACE_SECONDS", 0.1)
    said: list[str] = []
    plugin = load(
        """
while True:
    channel.send(b"perform", b"write", b"+" + bytes(1000))
    channel.receive()
""",
        limits=Limits(output_kb=10, seconds=0.3),
        output=lambda _, text: said.append(text),
    )
    with pytest.raises(LimitExceeded):
        plugin.call("run")
    assert len(said) == 10


# --- Starts ---


def test_a_worker_that_cannot_start_has_run_into_no_limit(load: Load) -> None:
    with pytest.raises(LuaError, match="cannot start: it ended with status 1"):
        load("", begin="import no_such_module_{line}  # {path!r}")


def test_a_host_that_has_closed_its_standard_streams_has_plugins() -> None:
    code = """
import os
os.close(0), os.close(1), os.close(2)
from luaopenai import PluginHost
with PluginHost() as host:
    plugin = host.load_string("return { run = function() return 7 end }")
    os._exit(plugin.call("run"))
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 7


def test_a_worker_tells_the_time_of_its_hosts_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "XYZ-5")
    with PluginHost() as host:
        plugin = host.load_string("return { run = function() return os.date('%H %Z', 0) end }")
        assert plugin.call("run") == "05 XYZ"


# --- How values are weighed ---


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ({f"{n:x}": 1 for n in range(1000)}, 100_000),
        ([f"{n:x}" for n in range(1000)], 30_000),
        ([{"a": 1}] * 1000, 150_000),
        (["\U0001f600"] * 1000, 50_000),
        ("\U0001f600" + "a" * 100_000, 400_000),
        ("\u4e2d" * 100_000, 200_000),
        (b"\xff" * 100_000, 100_000),
        ("a" * 100_000, 100_000),
    ],
)
def test_values_weigh_about_what_they_take(value: Any, size: int) -> None:
    assert size <= wire.weight(wire.encode([value], "value")) <= 8 * size
