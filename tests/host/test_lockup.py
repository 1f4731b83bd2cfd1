"""What a worker has given up: shown from inside a process that has locked itself up."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

import pytest

from luaopenai.host.lockup import has_filter, missing_walls

INSIDE = """
import ctypes, json, mmap, os, resource, socket, sys, threading, time
from luaopenai.host.lockup import lock_up
libc = ctypes.CDLL(None)
begin, seen = threading.Event(), {}
def elsewhere():
    begin.wait()
    attempt("open in a thread begun before", lambda: os.open("/etc/passwd", os.O_RDONLY))
    attempt("signal in a thread begun before", lambda: os.kill(os.getppid(), 0))
def attempt(name, work):
    try:
        work()
        seen[name] = "done"
    except (OSError, ValueError, RuntimeError) as error:
        seen[name] = "refused"
def system(call, *arguments):
    if libc[call](*arguments) < 0:
        raise OSError
thread = threading.Thread(target=elsewhere)
thread.start()
lock_up(64)
os.close(0)
attempt("open", lambda: os.open("/etc/passwd", os.O_RDONLY))
attempt("socket", socket.socket)
attempt("socketpair", socket.socketpair)
attempt("pipe", os.pipe)
attempt("duplicate", lambda: os.dup(1))
attempt("raise a limit", lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (9, 9)))
attempt("fork", lambda: os._exit(0) if os.fork() == 0 else None)
attempt("execute", lambda: os.execv(sys.executable, [sys.executable, "-c", "print('{}')"]))
attempt("signal the host", lambda: os.kill(os.getppid(), 0))
attempt("signal a thread of the host", lambda: system("tgkill", os.getppid(), os.getppid(), 0))
attempt("trace the host", lambda: system("ptrace", 16, os.getppid(), 0, 0))
attempt("map memory as code", lambda: mmap.mmap(-1, 4096, prot=7))
attempt("delete", lambda: os.unlink("/nowhere"))
attempt("start a thread", lambda: threading.Thread(target=print).start())
attempt("map memory", lambda: mmap.mmap(-1, 4096))
attempt("tell the time", lambda: time.strftime("%c"))
begin.set()
thread.join()
print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def seen() -> Any:
    """What came of each attempt."""
    command = [sys.executable, "-c", INSIDE]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


POSIX = ["open", "socket", "socketpair", "pipe", "duplicate", "open in a thread begun before"]
FILTERED = [
    "execute",
    "signal the host",
    "signal a thread of the host",
    "trace the host",
    "map memory as code",
    "delete",
    "fork",
    "start a thread",
    "raise a limit",
    "signal in a thread begun before",
]


@pytest.mark.parametrize("name", POSIX)
def test_a_worker_can_open_nothing_even_in_the_place_of_what_it_closes(
    seen: Any, name: str
) -> None:
    assert seen[name] == "refused"


@pytest.mark.skipif(not has_filter(), reason="this system has no libseccomp")
@pytest.mark.parametrize("name", FILTERED)
def test_a_worker_can_make_no_system_call_that_reaches_out(seen: Any, name: str) -> None:
    assert seen[name] == "refused"


@pytest.mark.parametrize("name", ["map memory", "tell the time"])
def test_a_worker_can_go_on_with_its_work(seen: Any, name: str) -> None:
    assert seen[name] == "done"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere some are missing")
def test_linux_lacks_no_wall() -> None:
    assert missing_walls() == []


def test_a_locked_up_process_without_memory_ends_as_the_c_library_ends_it() -> None:
    code = "import os; from luaopenai.host.lockup import lock_up; lock_up(64); os.abort()"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == -signal.SIGABRT


WITHOUT_A_FILTER = """
import ctypes
from luaopenai.host import lockup
system = ctypes.CDLL(None)
lockup._seccomp = lambda: None
lockup.lock_up(64)
print(system.prctl(39, 0, 0, 0, 0), system.prctl(3, 0, 0, 0, 0))
"""


def test_without_a_filter_too_a_worker_gains_no_privileges_and_cannot_be_traced() -> None:
    command = [sys.executable, "-c", WITHOUT_A_FILTER]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    no_new_privileges, is_dumpable = done.stdout.split()
    assert (no_new_privileges, is_dumpable) == ("1", "0")
