"""Garbage on the line between a host and a worker that its plugin has broken out of."""

from __future__ import annotations

import os
import random
import signal
import socket
import struct
import threading
from contextlib import suppress

from luaopenai import LimitExceeded, LuaError, Plugin
from luaopenai.host.channel import Channel, HungUpError, NonsenseError
from luaopenai.host.operations import OPERATIONS
from luaopenai.host.process import ProcessIsolation

_QUESTIONS = b"perform begin next_done cancel".split()
_OTHERS = b"done failed broken limit ready serve _begin __init__".split()
_NAMES = (*map(str.encode, OPERATIONS), b"perform", b"end", b"__init__", b"\xff")
_PARTS = (
    b"",
    b"-",
    b"+",
    b"+[1]",
    b"0",
    b"1",
    b"-1",
    b"nan",
    b"inf",
    b"1e999",
    b"9" * 5000,
    b"null",
    b"[0, 0]",
    b"[1e308, NaN]",
    b'["memory_mb", 1, 2]',
    b'["seconds", {}, []]',
    b'["m", "c", 1, "t", ""]',
    b'["m", null, null, "t", "[1]"]',
    b"echo",
    b"wait",
    b"+echo",
    b"+wait",
    b"+1",
    b"__class__",
    b"../x",
    b"x.y",
    b"+GET",
    b"+POST",
    b"+https://host.invalid/v1/models",
    b"+https://host.invalid/v1/chat/completions",
    b'+{"model":"m","messages":[]}',
    b'+{"model":"m","stream":true,"n":1e400,"messages":[]}',
    b'+[{"\\u0000b": 7}]',
    b'+[{"\\u0000p": [[[1], 2]]}]',
    b"[" * 20_000,
    b"\xff\x00\xfe",
)


def attack_line(plugin: Plugin, chance: random.Random) -> str:
    """Calls a plugin whose worker says anything at all; returns what came of it."""
    isolated = plugin._isolated
    if not isinstance(isolated, ProcessIsolation):
        return "no line"
    worker = isolated._worker
    if worker is None:
        plugin.call("rest")
        worker = isolated._worker
        assert worker is not None
    # It shall not notice that its line ends, and be gone before the call.
    os.kill(worker.pid, signal.SIGSTOP)
    ours, theirs = socket.socketpair()
    worker.channel.close()
    worker.channel = Channel(ours)
    talker = threading.Thread(target=_talk, args=(theirs, random.Random(chance.random())))
    talker.start()
    try:
        plugin.call("give_back", "x" * chance.choice([1, 100_000]))
        return "done"
    except LimitExceeded as error:
        return error.kind
    except LuaError:
        return "LuaError"
    finally:
        isolated.close()
        ours.close()
        talker.join()


def _talk(line: socket.socket, chance: random.Random) -> None:
    """Says what a broken worker may say, and listens to the answers."""
    channel = Channel(line)
    with line, suppress(HungUpError, NonsenseError, TimeoutError, OSError, struct.error):
        if chance.random() < 0.9:
            channel.receive()
        for _ in range(chance.choice([1, 5, 100])):
            how = chance.random()
            if how < 0.05:
                line.sendall(bytes(chance.choices(range(256), k=chance.randrange(1, 200))))
            elif how < 0.1:
                line.sendall(struct.pack("<II", chance.choice([0, 1, 2**31]), 2**28 - 1))
            elif how < 0.12:
                return
            else:
                count = chance.randrange(5)
                kind = chance.choice(_QUESTIONS if count else [*_QUESTIONS, *_OTHERS])
                channel.send(kind, *_begin(kind, chance), *_parts(chance, count))
                channel.receive()


def _begin(kind: bytes, chance: random.Random) -> list[bytes]:
    """Returns what makes of a message, more often than not, one that asks for an operation."""
    if chance.random() < 0.2 or kind not in (b"perform", b"begin"):
        return []
    name = chance.choice(_NAMES)
    return [name] if kind == b"perform" else [b"%d" % chance.randrange(5), name]


def _parts(chance: random.Random, count: int) -> list[bytes]:
    return [chance.choice(_PARTS) for _ in range(count)]
