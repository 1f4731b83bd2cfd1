"""Starts and ends plugins' processes; one that is forked off leaves its parent those it has."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress
from hmac import compare_digest
from weakref import WeakSet, finalize

from luaopenai.bridge.errors import LuaError
from luaopenai.host.channel import Channel
from luaopenai.host.worker import SECRET_BYTES

START_SECONDS = 30.0
"""How long a process may take until it is ready for its plugin."""

CONNECT_SECONDS = 1.0

_START = "import sys; sys.path[:] = {path!r}; from luaopenai.host.worker import main; main({line})"

_INHERITS = hasattr(os, "fork")
"""Whether this system lets a new process inherit a socket under its number, as POSIX does."""

_ENVIRONMENT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TZ", "TZDIR")
"""The variables that a Python may need to start, and to tell the time as its host does."""

_FIRST_FREE = 3
"""The file descriptors below are a process's standard streams."""


class WorkerProcess:
    """A worker and the line to it. It ends with its host: with ``close``, when nobody holds it any
    more, when its standard input ends, or when it finds that it has another parent.

    Raises ``OSError`` when the system has no process for it, ``LuaError`` when it does not connect.
    """

    def __init__(self) -> None:
        if _INHERITS:
            ours, theirs = map(_above_standard, socket.socketpair())
            with theirs:
                try:
                    self._process = _start_process(theirs.fileno())
                except BaseException:
                    ours.close()
                    raise
        else:
            self._process, ours = _start_and_connect()
        self.channel = Channel(ours)
        self._was_killed = False
        self._release = finalize(self, _release, self._process, self.channel, os.getpid())
        _living.add(self)

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Returns whether the process runs, was not killed, and belongs to this one."""
        is_ours = self._release.alive and not self._was_killed
        return is_ours and self._process.poll() is None

    def end(self) -> str:
        """Returns in a few words how a process that has hung up has ended."""
        try:
            status = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "it no longer answers"
        if status >= 0:
            return f"it ended with status {status}"
        try:
            return f"it was ended by {signal.Signals(-status).name}"
        except ValueError:
            return f"it was ended by signal {-status}"

    @property
    def status(self) -> int | None:
        """The exit status, negative for a signal; None as long as the process is there."""
        return self._process.poll()

    def kill(self) -> None:
        """Kills the process; its end of the line closes."""
        if self._release.alive:
            # The system may end it a little later, and a call may begin meanwhile.
            self._was_killed = True
            self._process.kill()

    def close(self) -> None:
        """Kills the process and forgets it."""
        self._release()


def _above_standard(line: socket.socket) -> socket.socket:
    """Moves a socket to a number above those of the standard streams.

    A host that has closed its streams, as daemons do, gets these for what it opens next.
    """
    held = []
    while line.fileno() < _FIRST_FREE:
        held.append(line)
        line = line.dup()
    for lower in held:
        lower.close()
    return line


_living: WeakSet[WorkerProcess] = WeakSet()


def _release(process: subprocess.Popen[bytes], channel: Channel, owner: int) -> None:
    channel.close()
    if os.getpid() == owner:
        _end(process)
        return
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.close()
    # It is not this process's child: there is nothing to wait for.
    process.returncode = 0


def _let_go() -> None:
    """Closes the lines to the parent's workers in a process that was forked off."""
    for worker in list(_living):
        worker.close()
    _living.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


def _start_process(line: int | None) -> subprocess.Popen[bytes]:
    """Starts a worker with the number of its socket; None if it is to connect by itself.

    It is in no group with its host: what Ctrl-C in a terminal ends is for the host to decide.
    """
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _START.format(path=sys.path, line=line)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=os.path.abspath(os.sep),
        env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        pass_fds=() if line is None else (line,),
        start_new_session=True,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )


def _start_and_connect() -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Starts a worker that connects to us over the loopback interface.

    Other programs on this machine could connect first: a secret, which only the worker's standard
    input tells, shows which connection is the worker's.
    """
    deadline = time.monotonic() + START_SECONDS
    secret = os.urandom(SECRET_BYTES)
    with socket.create_server(("127.0.0.1", 0)) as server:
        process = _start_process(None)
        try:
            assert process.stdin is not None
            process.stdin.write(struct.pack("<H", server.getsockname()[1]) + secret)
            process.stdin.flush()
            while time.monotonic() < deadline and process.poll() is None:
                server.settimeout(CONNECT_SECONDS)
                with suppress(TimeoutError, ConnectionError):
                    line, _ = server.accept()
                    if _knows(line, secret):
                        return process, line
                    line.close()
        except BaseException:
            _end(process)
            raise
    _end(process)
    raise LuaError("a plugin's process did not start")


def _knows(line: socket.socket, secret: bytes) -> bool:
    """Returns whether the other side sends the secret at once."""
    line.settimeout(CONNECT_SECONDS)
    said = b""
    with suppress(TimeoutError, ConnectionError):
        while len(said) < len(secret) and (piece := line.recv(len(secret) - len(said))):
            said += piece
    line.settimeout(None)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return compare_digest(said, secret)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.close()
    process.wait()
