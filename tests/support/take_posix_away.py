"""Takes away from the running Python what only POSIX systems have, as on Windows.

Not imported but executed, before anything else, in a process of its own; the processes that this
one starts with `-c` begin with it too.
"""

import _socket
import os
import select
import signal
import sys

_FILE = __file__
for _module in ("resource", "fcntl", "termios", "tty", "pty", "pwd", "grp", "readline"):
    sys.modules[_module] = None  # type: ignore[assignment]
for _owner, _names in {
    os: "fork forkpty set_blocking get_blocking sched_getaffinity getuid geteuid mkfifo setsid",
    select: "poll epoll kqueue devpoll",
    signal: "SIGPIPE SIGALRM SIGHUP setitimer pthread_sigmask sigwait",
    _socket: "AF_UNIX socketpair",
}.items():
    for _name in _names.split():
        if hasattr(_owner, _name):
            delattr(_owner, _name)

import subprocess  # noqa: E402 (must not see what is gone)

_start = subprocess.Popen.__init__


def _start_without_posix(self, args, *rest, pass_fds=(), **options):  # type: ignore[no-untyped-def]
    assert not pass_fds, "pass_fds not supported on Windows."
    if "-c" in args:
        at = args.index("-c") + 1
        prelude = f"__file__ = {_FILE!r}; exec(open(__file__).read())"
        args = [*args[:at], f"{prelude}\n{args[at]}", *args[at + 1 :]]
    _start(self, args, *rest, **options)


subprocess.Popen.__init__ = _start_without_posix  # type: ignore[method-assign]
