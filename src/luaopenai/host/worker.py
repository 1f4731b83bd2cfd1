"""The process that runs one plugin: it has a line to its host, and nothing else.

The host's end of the line is ``luaopenai.host.process``.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from luaopenai.bridge.errors import LuaError
from luaopenai.bridge.state import LuaStateError
from luaopenai.host import wire
from luaopenai.host.channel import Channel, HungUpError, TooLargeError
from luaopenai.host.engine import Engine
from luaopenai.host.faults import LimitExceeded, Stop
from luaopenai.host.lockup import lock_up
from luaopenai.host.rpc import RemoteServices, pack, pack_limit, unpack
from luaopenai.host.setup import read_setup

if TYPE_CHECKING:
    from luaopenai.host.limits import Limits

PANICKED, CRASHED, OUT_OF_MEMORY = 1, 76, 77
"""How the process ends: LuaJIT found no memory outside of a protected call, something failed that
must not, or Python found no memory."""
READY = b"ready"
PARENT_SECONDS = 1.0
"""How often a worker looks whether its host is still there."""
SECRET_BYTES = 32


def main(line: int | None) -> None:
    """Serves the host until it hangs up.

    Args:
        line: the file descriptor of the channel; None if standard input tells where to connect.
    """
    channel = Channel(_connect() if line is None else socket.socket(fileno=line))
    for has_lost_host in (_await_input_end, _await_other_parent):
        threading.Thread(target=_die_when, args=(has_lost_host,), daemon=True).start()
    status = CRASHED
    # Nothing here needs memory: there may be none.
    try:
        _serve(channel)
    except HungUpError:
        status = 0
    except (MemoryError, LuaStateError):
        status = OUT_OF_MEMORY
    finally:
        os._exit(status)


def _connect() -> socket.socket:
    """Connects to a host that could not hand a socket over, but sends a port and a secret."""
    (port,) = struct.unpack("<H", _read_input(2))
    secret = _read_input(SECRET_BYTES)
    line = socket.create_connection(("127.0.0.1", port))
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.sendall(secret)
    return line


def _read_input(size: int) -> bytes:
    """Reads so many bytes of standard input; ends the process if they do not come."""
    data = b""
    while len(data) < size:
        piece = os.read(0, size - len(data))
        if not piece:
            os._exit(CRASHED)
        data += piece
    return data


def _die_when(has_lost_host: Callable[[], object]) -> None:
    """Ends the process when a function returns."""
    has_lost_host()
    os._exit(0)


def _await_input_end() -> None:
    """Waits for the end of standard input, which the host holds open as long as it lives."""
    os.read(0, 1)


def _await_other_parent() -> None:
    """Waits until the host is gone, even if something else keeps our standard input open."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)


def _serve(channel: Channel) -> None:
    _, settings_text, source = channel.receive()
    settings = json.loads(settings_text)
    # A dataclass takes as long to import as all of JSON.
    limits = cast("Limits", SimpleNamespace(**settings["limits"]))
    setup = read_setup(settings["setup"])
    engine = Engine(
        RemoteServices(channel), limits, settings["name"], settings["default_model"], setup
    )
    lock_up(limits.memory_mb)
    channel.send(READY)
    _answer(channel, engine, lambda: _load(engine, source, settings["functions"]))
    while True:
        _, function, arguments = channel.receive()
        name, values = function.decode(), unpack(arguments)
        _answer(channel, engine, lambda name=name, values=values: engine.call(name, values))


def _load(engine: Engine, source: bytes, functions: list[str]) -> bytes:
    """Loads the plugin; returns its functions' names, and what it says of its tools behind NUL."""
    names = "\n".join(engine.load(source, functions)).encode()
    return names + b"\0" + (engine.offers() or b"")


def _answer(channel: Channel, engine: Engine, work: Any) -> None:
    before = engine.seconds
    try:
        parts = [b"done", pack(work())]
    except LuaError as error:
        value = (wire.encode((error.value,), "error") or b"").decode()
        shown = [error.message, error.chunk, error.line, error.traceback, value]
        # A process that is told to be broken is asked no more.
        parts = [b"broken" if engine.is_broken else b"failed", json.dumps(shown).encode()]
    except Stop as stop:
        parts = [b"limit", pack_limit(stop.exceeded)]
    except LimitExceeded as exceeded:
        parts = [b"limit", pack_limit(exceeded)]
    used = json.dumps([engine.seconds - before, engine.peak()]).encode()
    try:
        channel.send(*parts, used)
    except TooLargeError as error:
        shown = [f"its result is too large: {error}", None, None, "", ""]
        channel.send(b"failed", json.dumps(shown).encode(), used)
    if engine.is_broken:
        raise HungUpError
