"""Ctrl-C and closed pipes, also while Lua runs and Python's own signal handlers have to wait.

Where Lua waits for input or for another program, the handlers run before it can go on: see
``lua/luaopenai/waits.lua``. Everywhere else a thread ends the process: Python's C-level handler
writes each signal's number to a pipe at once, whatever the main thread does, and the thread reads
it there.
"""

from __future__ import annotations

import _thread
import os

_STDOUT = 1
_PATIENCE = 0.5
"""Seconds that output may take to be written when the process ends."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from types import FrameType
else:
    # The public module makes enumerations of what is in this one, which takes milliseconds.
    import _signal as signal


def end_on_interrupt() -> None:
    """Has Ctrl-C end the process with 130 from now on, unless its parent had SIGINT ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
        if hasattr(signal, "siginterrupt"):
            # Else a wait in C ends with half of an answer, and a C rock goes on with that.
            signal.siginterrupt(signal.SIGINT, False)


def raise_on_interrupt() -> None:
    """Has Ctrl-C raise ``KeyboardInterrupt`` again from now on, and end waits in C."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def watch_signals() -> None:
    """Has Ctrl-C end the process while Lua runs, too, and a closed standard output with 141."""
    end_on_interrupt()
    read, writer = _open_wakeup()
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, _note)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    _thread.start_new_thread(_watch, (read,))


def _open_wakeup() -> tuple[Callable[[int], bytes], int]:
    """Returns a reader of signals' numbers, and the descriptor that Python writes them to."""
    if hasattr(os, "set_blocking"):
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        return lambda size: os.read(reader, size), writer
    import socket  # on Windows, only newer Pythons can keep a pipe from blocking

    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    return ours.recv, theirs.detach()


def quit_now(code: int) -> None:
    """Ends the process at once, from any thread, with the output buffers written."""
    try:
        _write_buffers()
    finally:
        os._exit(code)


def _end(_signal: int, _frame: FrameType | None) -> None:
    quit_now(130)


def _note(_signal: int, _frame: FrameType | None) -> None:
    """Takes a signal, so that Python's C-level handler tells the watching thread of it."""


def _write_buffers() -> None:
    """Writes Lua's output, which is in C's buffers."""
    import ctypes
    import threading

    library = ctypes.CDLL("ucrtbase" if os.name == "nt" else None)
    is_written = threading.Event()

    def flush() -> None:
        # First this one: the next waits for whatever file the main thread is reading from.
        library.fflush(_standard_output(library))
        is_written.set()
        library.fflush(None)

    thread = threading.Thread(target=flush, daemon=True)
    thread.start()
    is_written.wait(_PATIENCE)
    thread.join(_PATIENCE / 10)


def _standard_output(library: object) -> object:
    """Returns C's ``stdout``; None, which stands for all files, where it has another name."""
    from ctypes import c_void_p

    for name in ("stdout", "__stdoutp"):
        try:
            return c_void_p.in_dll(library, name)  # type: ignore[arg-type]
        except ValueError:
            continue
    return None


def _watch(read: Callable[[int], bytes]) -> None:
    while number := read(1):
        if number[0] == signal.SIGINT and signal.getsignal(signal.SIGINT) is _end:
            quit_now(130)
        if number[0] == getattr(signal, "SIGPIPE", -1) and _is_broken(_STDOUT):
            os._exit(141)


def _is_broken(file: int) -> bool:
    """Returns whether nobody reads the other end of a pipe; a closed socket raises SIGPIPE too."""
    import select

    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(file, select.POLLOUT)
    return any(events & select.POLLERR for _, events in poll.poll(0))
