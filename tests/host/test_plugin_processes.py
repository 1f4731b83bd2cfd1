"""The processes of plugins: how they begin, how they end, and whose they are after a fork."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from luaopenai import LimitExceeded, Limits, LuaError, Plugin, PluginHost
from luaopenai.host import channel, process
from luaopenai.host.channel import Channel, NonsenseError, TooLargeError
from support.children import child
from support.waiting import eventually
from support.workers import worker_of

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="shown on POSIX systems")

COUNT = "local n = 0 return { run = function(...) n = n + 1 return n, ... end }"


@pytest.fixture
def host() -> Iterator[PluginHost]:
    with PluginHost(output=lambda *_: None) as host:
        yield host


def is_there(pid: int) -> bool:
    """Whether a process that is no child of ours goes on."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


# --- Beginnings ---


def test_a_worker_can_say_which_endpoint_was_meant(host: PluginHost) -> None:
    code = "for _ in require('openai').new():each('list_bathes') do end"
    plugin = host.load_string(f"return {{ run = function() {code} end }}")
    with pytest.raises(LuaError, match="did you mean list_batches"):
        plugin.call("run")


class Impostor:
    """Stands for a worker that says it is done before it has said that it is ready."""

    def __init__(self) -> None:
        ours, self._theirs = socket.socketpair()
        self.channel = Channel(ours)
        for message in ([b"almost"], [b"done", b"-", b"[0, 0]"]):
            Channel(self._theirs).send(*message)

    def close(self) -> None:
        self.channel.close()
        self._theirs.close()


def test_a_process_that_is_not_ready_first_is_no_worker(
    host: PluginHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "WorkerProcess", Impostor)
    with pytest.raises(LuaError, match="sends nonsense"):
        host.load_string(COUNT)


# --- Ends ---


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_ended_between_calls_is_replaced(host: PluginHost, number: int) -> None:
    plugin = host.load_string(COUNT)
    assert plugin.call("run") == 1
    worker = worker_of(plugin)
    os.kill(worker.pid, number)
    eventually(lambda: not worker.is_alive())
    assert plugin.call("run") == 1


@pytest.mark.timeout(30)
def test_a_cancel_ends_a_call_in_a_process_wherever_it_is() -> None:
    begun = threading.Event()
    code = """return {
        run = function() host.begin() while true do end end,
        rest = function() return "alive" end,
    }"""

    async def main(plugin: Plugin) -> object:
        call = asyncio.ensure_future(plugin.call_async("run"))
        await asyncio.to_thread(begun.wait)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        return await plugin.call_async("rest")

    # Without a limit on its seconds, nothing else would.
    with PluginHost(functions={"begin": begun.set}, limits=Limits(seconds=None)) as host:
        assert asyncio.run(main(host.load_string(code))) == "alive"


def test_a_process_that_a_late_cancel_has_killed_is_not_asked_again(
    host: PluginHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = host.load_string(COUNT)
    assert plugin.call("run") == 1
    worker = worker_of(plugin)
    with monkeypatch.context() as patch:
        # The system may take its time with a signal: until then the process seems to be there.
        patch.setattr(worker._process, "kill", lambda: None)
        worker.kill()
        assert not worker.is_alive()
    assert plugin.call("run") == 1
    assert worker_of(plugin) is not worker


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV"])
def test_a_process_that_a_signal_ends_during_a_call_is_no_matter_of_memory(
    name: str,
) -> None:
    end: list[Callable[[], None]] = []
    with PluginHost(functions={"die": lambda: end[0]()}) as other:
        plugin = other.load_string(
            "return { run = function(f) if f then host.die() end return 1 end }"
        )
        end.append(lambda: os.kill(worker_of(plugin).pid, getattr(signal, name)))
        with pytest.raises(LuaError, match=f"has lost its process: it was ended by {name}"):
            plugin.call("run", True)
        assert plugin.call("run", False) == 1


def test_ctrl_c_in_the_terminal_leaves_the_processes_to_their_host(host: PluginHost) -> None:
    plugin = host.load_string(COUNT)
    assert os.getpgid(worker_of(plugin).pid) != os.getpgid(0)


def test_a_file_that_never_ends_has_its_seconds_on_a_restart_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    explosion = "(('a'):rep(40)):find(('a?'):rep(40) .. ('a'):rep(40))"
    code = f"if host.explode() then {explosion} end return {{ run = function() return 1 end }}"
    explodes = False
    with PluginHost(functions={"explode": lambda: explodes}, limits=Limits(seconds=0.2)) as host:
        plugin = host.load_string(code)
        worker_of(plugin).kill()
        eventually(lambda: not worker_of(plugin).is_alive())
        explodes = True
        # The time that a process has for its start is of no help.
        monkeypatch.setattr(process, "START_SECONDS", 1e6)
        with pytest.raises(LimitExceeded, match="seconds"):
            plugin.call("run")


def test_a_process_that_does_not_come_to_its_start_is_an_error(
    host: PluginHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "START_SECONDS", 0.0)
    with pytest.raises(LuaError, match="has a process that does not come to its start"):
        host.load_string(COUNT)


def test_a_system_without_processes_is_an_error(
    host: PluginHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    before = open_descriptors()
    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(LuaError, match="can have no process: Resource temporarily unavailable"):
        host.load_string(COUNT)
    assert open_descriptors() == before


# --- Descriptors ---


def test_a_host_that_is_dropped_leaves_nothing_open() -> None:
    before = open_descriptors()
    host: PluginHost | None = PluginHost()
    assert host is not None
    pid = worker_of(host.load_string(COUNT)).pid
    host = None
    gc.collect()
    eventually(lambda: not is_there(pid))
    # Fewer, where something of an earlier test was collected only now.
    assert open_descriptors() <= before


def test_a_file_that_fails_leaves_nothing_open() -> None:
    with PluginHost(limits=Limits(seconds=0.2)) as host:
        before = open_descriptors()
        for code in ("error('no')", "while true do end", "not lua"):
            with pytest.raises((LuaError, LimitExceeded)):
                host.load_string(code)
        assert open_descriptors() == before


# --- Messages ---


@pytest.fixture
def small_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "LARGEST", 10_000)


@pytest.mark.usefixtures("small_messages")
def test_arguments_that_are_too_large_are_refused_and_the_plugin_goes_on(host: PluginHost) -> None:
    plugin = host.load_string(COUNT)
    with pytest.raises(LuaError, match="cannot be given its arguments"):
        plugin.call("run", "x" * 20_000)
    assert plugin.call("run") == 1


@pytest.mark.usefixtures("small_messages")
def test_a_result_of_the_hosts_that_is_too_large_is_an_error_in_the_plugin() -> None:
    with PluginHost(functions={"big": lambda: "x" * 20_000}) as host:
        plugin = host.load_string("return { run = function() return pcall(host.big) end }")
        ok, message = plugin.call("run")
    assert ok is False
    assert "are too much" in message


@pytest.mark.usefixtures("small_messages")
def test_a_worker_that_says_too_much_is_ended_at_once(host: PluginHost) -> None:
    plugin = host.load_string("return { run = function() return ('x'):rep(20000) end }")
    pid = worker_of(plugin).pid
    with pytest.raises(LuaError, match="has a process that sends nonsense"):
        plugin.call("run")
    assert not is_there(pid)


def test_a_message_that_is_too_large_is_not_begun() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with pytest.raises(TooLargeError, match="256 MB are too much, at most 256 can cross"):
            Channel(ours).send(bytes(2**28 + 1))
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(1)


@pytest.mark.parametrize(("count", "size"), [(0, 0), (3, 4), (1000, 4000)])
def test_a_message_whose_parts_cannot_be_is_nonsense(count: int, size: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(struct.pack("<II", count, size) + bytes(size))
        with pytest.raises(NonsenseError):
            Channel(ours).receive(time.monotonic() + 10)


def test_a_message_that_announces_too_much_is_nonsense() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"\x01\x00\x00\x00\xff\xff\xff\xff")
        with pytest.raises(NonsenseError):
            Channel(ours).receive()


# --- Forks ---


def in_a_fork(work: Callable[[], Any]) -> Any:
    """What work comes to in a process that is forked off here."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            result = work()
        except BaseException as error:
            result = repr(error)
        with os.fdopen(writer, "wb") as file:
            file.write(pickle.dumps(result))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        result = pickle.loads(file.read())
    os.waitpid(pid, 0)
    return result


@pytest.mark.parametrize("isolation", ["process", "thread"])
def test_parent_and_child_get_each_their_own_results(isolation: Any) -> None:
    with PluginHost(isolation=isolation) as host:
        plugin = host.load_string("return { run = function(x) return x end }")
        plugin.call("run", 0)

        def ask(who: str) -> list[str]:
            return [str(plugin.call("run", f"{who}-{n}")) for n in range(300)]

        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writer, json.dumps(ask("child")).encode())
            os._exit(0)
        os.close(writer)
        assert ask("parent") == [f"parent-{n}" for n in range(300)]
        with os.fdopen(reader, "rb") as file:
            assert json.loads(file.read()) == [f"child-{n}" for n in range(300)]
        os.waitpid(child, 0)


def test_a_child_keeps_no_copy_of_the_lines_to_its_parents_processes(host: PluginHost) -> None:
    worker = worker_of(host.load_string(COUNT))  # which something in the child may hold, too
    line = worker.channel._sock.fileno()
    number = os.fork()
    if number == 0:
        try:
            os.fstat(line)
        except OSError:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]) == 0
    os.fstat(line)


def test_a_child_does_not_end_its_parents_process(host: PluginHost) -> None:
    plugin = host.load_string(COUNT)
    assert plugin.call("run") == 1

    def call_and_close() -> Any:
        counted = plugin.call("run"), plugin.call("run")
        host.close()
        return counted

    assert in_a_fork(call_and_close) == (1, 2)
    assert plugin.call("run") == 2


@pytest.mark.parametrize("isolation", ["process", "thread"])
def test_a_fork_during_a_call_leaves_the_child_free_to_call(isolation: Any) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        go_on.wait(30)

    code = "return { run = function(f) if f then host.wait() end return 'done' end }"
    with PluginHost(functions={"wait": wait}, isolation=isolation) as host:
        plugin = host.load_string(code)
        results: list[Any] = []
        thread = threading.Thread(target=lambda: results.append(plugin.call("run", True)))
        thread.start()
        begun.wait(30)
        try:
            assert in_a_fork(lambda: plugin.call("run", False)) == "done"
        finally:
            go_on.set()
            thread.join()
        assert results == ["done"]


def test_a_function_of_the_host_may_fork() -> None:
    def fork() -> int:
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        return 7

    with PluginHost(functions={"fork": fork}) as host:
        plugin = host.load_string("return { run = function() return host.fork() end }")
        assert [plugin.call("run") for _ in range(3)] == [7, 7, 7]


HOLDS_ON = """
import os, sys, time
from luaopenai import PluginHost
host = PluginHost()
plugin = host.load_string("return { run = function() end }")
print(plugin._isolated._worker.pid, flush=True)
keeper = os.fork() if sys.argv[1] == "python" else None
if keeper is None:
    # A fork that nothing in Python is told of.
    import ctypes
    keeper = ctypes.CDLL(None).fork()
if keeper == 0:
    time.sleep(60)
    os._exit(0)
print(keeper, flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("fork", ["python", "c"])
def test_a_process_ends_with_its_host_whoever_else_holds_its_line(fork: str) -> None:
    command = [sys.executable, "-c", HOLDS_ON, fork]
    with child(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        worker, keeper = int(running.stdout.readline()), int(running.stdout.readline())
        try:
            running.wait(30)
            eventually(lambda: not is_there(worker))
            assert is_there(keeper)
        finally:
            os.kill(keeper, signal.SIGKILL)


# --- Names ---


def test_a_file_name_that_is_not_utf_8_is_a_name_all_the_same(
    host: PluginHost, tmp_path: Path
) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.lua"))
    path.write_text("return { run = function(f) if f then error('no') end return 1 end }")
    plugin = host.load(path)
    assert (plugin.name, plugin.call("run")) == ("caf\ufffd", 1)
    with pytest.raises(LuaError, match="plugin caf\ufffd: caf\ufffd:1: no"):
        plugin.call("run", True)


def test_a_process_begins_without_what_only_its_host_needs_to_send() -> None:
    code = "import sys, luaopenai.host.worker; print({'urllib3', 'ssl'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"
