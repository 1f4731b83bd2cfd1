"""The processes of plugins, as nobody but a test wants to reach them: to end one, or to speak for
one.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from luaopenai import Plugin
from luaopenai.host.channel import Channel
from luaopenai.host.launch import WorkerProcess


def worker_of(plugin: Plugin) -> WorkerProcess:
    """The process that a plugin has now."""
    worker: WorkerProcess | None = plugin._isolated._worker  # type: ignore[union-attr]
    assert worker is not None
    return worker


@contextmanager
def in_place_of_its_worker(plugin: Plugin) -> Iterator[Channel]:
    """Gives the worker's end of a plugin's line: the host hears what is sent there."""
    worker = worker_of(plugin)
    # It shall not notice that its line ends, and be gone before the call.
    os.kill(worker.pid, signal.SIGSTOP)
    ours, theirs = socket.socketpair()
    worker.channel.close()
    worker.channel = Channel(ours)
    with ours, theirs:
        yield Channel(theirs)
