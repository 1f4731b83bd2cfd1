"""Ctrl-C and closed pipes while Lua runs, when Python's own signal handlers have to wait.

Python's C-level handler writes each signal's number to a pipe at once, whatever the main thread
does; a thread reads it there and ends the process.
"""

from __future__ import annotations

import _thread
import os
import select
import signal

_STDOUT = 1

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


def watch_signals() -> None:
    """From now on, Ctrl-C ends the process with 130, and a closed standard output with 141."""
    read, writer = _open_wakeup()
    # Else a wait in Python ends with a traceback, before the thread below is there.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _note)
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, _note)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    _thread.start_new_thread(_watch, (read,))


def _open_wakeup() -> tuple[Callable[[int], bytes], int]:
    """What reads the numbers of signals, and the descriptor that Python writes them to."""
    if hasattr(os, "set_blocking"):
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        return lambda size: os.read(reader, size), writer
    import socket  # on Windows, only newer Pythons can keep a pipe from blocking

    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    return ours.recv, theirs.detach()


def quit_now(code: int) -> None:
    """Leave the process at once, from any thread, with the output buffers written."""
    import ctypes
    import threading

    # Lua's output is in C's buffers. Writing them can block where the main thread holds one.
    library = ctypes.CDLL("ucrtbase" if os.name == "nt" else None)
    flush = threading.Thread(target=library.fflush, args=(None,), daemon=True)
    flush.start()
    flush.join(0.5)
    os._exit(code)


def _note(_signal: int, _frame: FrameType | None) -> None:
    """Take a signal, so that Python's C-level handler tells the watching thread of it."""


def _watch(read: Callable[[int], bytes]) -> None:
    while number := read(1):
        if number[0] == signal.SIGINT:
            quit_now(130)
        if number[0] == getattr(signal, "SIGPIPE", -1) and _is_broken(_STDOUT):
            os._exit(141)


def _is_broken(file: int) -> bool:
    """Whether nobody reads the other end of a pipe; a closed socket raises SIGPIPE too."""
    poll = select.poll()
    poll.register(file, select.POLLOUT)
    return any(events & select.POLLERR for _, events in poll.poll(0))
