"""Nothing that only POSIX has is needed: processes work that have lost it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from support.openai_server import OpenAIServer

PRELUDE = Path(__file__).parents[1] / "support" / "take_posix_away.py"
SOURCE = Path(__file__).parents[2] / "src"
COMMAND = "import sys; from luaopenai.cli import main; main()"


@pytest.fixture(scope="module")
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


def run(code: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run code in a Python that has lost what only POSIX has."""
    prelude = f"__file__ = {str(PRELUDE)!r}; exec(open(__file__).read())"
    return subprocess.run(
        [sys.executable, "-c", f"{prelude}\n{code}", *args],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


def output(code: str, *args: str) -> str:
    done = run(code, *args)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_what_only_posix_has_is_gone_here_and_in_processes_started_from_here() -> None:
    look = """
import os, select, signal, socket
for owner, name in (os, "fork"), (os, "set_blocking"), (select, "poll"), (signal, "SIGPIPE"):
    assert not hasattr(owner, name), name
assert not hasattr(socket, "AF_UNIX")
try:
    import resource
except ImportError:
    print("gone", flush=True)
"""
    again = f"import subprocess, sys; subprocess.run([sys.executable, '-I', '-c', {look!r}])"
    assert output(f"{look}\n{again}") == "gone\ngone\n"


def test_every_module_of_the_package_can_be_imported() -> None:
    files = (SOURCE / "luaopenai").rglob("*.py")
    modules = [".".join(file.relative_to(SOURCE).with_suffix("").parts) for file in files]
    # Dask is left out: its psutil has a file for each system, and knows that this one is Linux.
    names = [module for module in modules if not re.search(r"__main__$|\.dask\b|\.dask_", module)]
    assert len(names) > 40
    output(f"for name in {names!r}: __import__(name)")


def test_a_script_runs_with_its_arguments_and_its_exit_status(tmp_path: Path) -> None:
    script = tmp_path / "script.lua"
    script.write_text("print('got', ...) io.stdout:write('end\\n') os.exit(3)")
    done = run(COMMAND, "run", str(script), "a", "b")
    assert (done.returncode, done.stdout, done.stderr) == (3, "got\ta\tb\nend\n", "")


def test_a_script_holds_a_chat_and_streams(server: OpenAIServer, tmp_path: Path) -> None:
    script = tmp_path / "chat.lua"
    script.write_text(
        """
        local chat = require("openai").new("key"):new_chat_session()
        print(type(assert(chat:send("one"))))
        local pieces = 0
        assert(chat:send("two", function(chunk) pieces = pieces + #chunk.content end))
        print(pieces > 0, #chat.messages)
        """
    )
    address = f"{server.address}/v1"
    assert output(COMMAND, "run", "--base-url", address, str(script)) == "string\ntrue\t4\n"


def test_python_holds_chats_side_by_side(server: OpenAIServer) -> None:
    code = """
import asyncio, sys
from luaopenai import AsyncOpenAI
async def main():
    async with AsyncOpenAI("key", sys.argv[1]) as client:
        chats = [client.new_chat_session() for _ in range(3)]
        print(len(await asyncio.gather(*(chat.send("Hello") for chat in chats))))
asyncio.run(main())
"""
    assert output(code, f"{server.address}/v1") == "3\n"


PLUGIN = """
import sys, warnings
from luaopenai import LuaError, OpenAI, PluginHost
CODE = '''
local openai = require("openai")
return {
  ask = function() return type(assert(openai.new():new_chat_session():send("Hi"))) end,
  double = function(n) return host.double(n) end,
  tasks = function()
    local got = openai.gather({
      function() openai.sleep(0.01) return host.double(1) end,
      function() return host.double(2) end,
    })
    return #got
  end,
  fail = function() error("no") end,
}
'''
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    hosts = [
        PluginHost(OpenAI("key", sys.argv[1]), {"double": lambda n: 2 * n}, isolation=sys.argv[2])
        for _ in range(2)
    ]
for warning in caught:
    print(warning.category.__name__, warning.message)
with hosts[0] as host:
    plugin = host.load_string(CODE)
    print(plugin.call("double", 21), plugin.call("ask"), plugin.call("tasks"))
    try:
        plugin.call("fail")
    except LuaError as error:
        print(error.message.endswith("no"))
"""


def test_a_plugin_works_in_a_thread_and_needs_no_warning(server: OpenAIServer) -> None:
    assert output(PLUGIN, f"{server.address}/v1", "thread") == "42 string 2\nTrue\n"


def test_a_plugin_works_in_a_process_and_one_warning_says_what_is_weaker(
    server: OpenAIServer,
) -> None:
    assert output(PLUGIN, f"{server.address}/v1", "process") == (
        "RuntimeWarning this system cannot keep a plugin's process from opening files and sockets,"
        " and starting processes, or from taking the system's memory in one operation;"
        " see docs/plugins.md\n"
        "42 string 2\nTrue\n"
    )


def test_a_plugin_in_one_endless_operation_is_killed_and_the_next_call_works() -> None:
    code = """
import warnings
warnings.simplefilter("ignore")
from luaopenai import LimitExceeded, Limits, PluginHost
CODE = '''
return {
  explode = function() return (("a"):rep(40)):find(("a*"):rep(40) .. "b") end,
  add = function(a, b) return a + b end,
}
'''
with PluginHost(limits=Limits(seconds=0.2)) as host:
    plugin = host.load_string(CODE)
    try:
        plugin.call("explode")
    except LimitExceeded as error:
        print(error.kind)
    print(plugin.call("add", 1, 2))
"""
    assert output(code) == "seconds\n3\n"


def test_a_worker_ends_when_its_host_is_gone() -> None:
    code = """
import os, subprocess, warnings
warnings.simplefilter("ignore")
from luaopenai import PluginHost
host = PluginHost(limits=None)
plugin = host.load_string("return { f = function() end }")
print(plugin._isolated._worker.pid, flush=True)
os._exit(0)
"""
    status = Path(f"/proc/{int(output(code))}/stat")
    if not Path("/proc/self/stat").exists():
        pytest.skip("the end of a stranger's process is seen in /proc")
    for _ in range(600):
        # A process in state Z has ended, and waits for someone to ask for its status.
        with suppress(FileNotFoundError, ProcessLookupError):
            if status.read_text().rpartition(")")[2].split()[0] != "Z":
                time.sleep(0.05)
                continue
        return
    pytest.fail("the worker goes on")


def test_a_connection_without_the_secret_is_not_taken_for_the_worker() -> None:
    code = """
import socket, warnings
warnings.simplefilter("ignore")
from luaopenai import PluginHost
from luaopenai.host import launch
launch.CONNECT_SECONDS = 0.2
create_server = socket.create_server
intruders = []
def listen(address):
    server = create_server(address)
    for said in (b"", b"x" * 32, b"x" * 64):
        intruders.append(socket.create_connection(server.getsockname()))
        intruders[-1].sendall(said)
    return server
socket.create_server = listen
with PluginHost() as host:
    plugin = host.load_string("return { add = function(a, b) return a + b end }")
    print(plugin.call("add", 1, 2), len(intruders))
"""
    assert output(code) == "3 3\n"
