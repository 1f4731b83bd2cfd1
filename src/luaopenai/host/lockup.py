"""Takes from a worker, for good, what a plugin must never have if it breaks out of its Lua."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from typing import Any

_HEADROOM = 96 * 2**20
"""Bytes that Python and LuaJIT need beside a plugin's own memory."""

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38

_KEPT_CALLS = """
    brk clock_getres clock_gettime clock_nanosleep close exit exit_group fstat futex futex_waitv
    getcpu getpid getppid getrandom getrusage gettid gettimeofday lseek madvise membarrier mincore
    munmap nanosleep newfstatat poll ppoll pselect6 read readv recvfrom recvmsg restart_syscall
    rseq rt_sigaction rt_sigprocmask rt_sigreturn sched_getaffinity sched_yield select sendmsg
    sendto set_robust_list sigaltstack sysinfo time times uname write writev
    clock_gettime64 clock_nanosleep_time64 futex_time64 ppoll_time64 mremap
""".split()  # noqa: SIM905
"""The system calls that a worker goes on with: it computes, and it speaks on the line it has."""

_MAPPING_CALLS = "mmap mmap2 mprotect".split()  # noqa: SIM905
"""These too, but for memory that is to be run as code."""

_PROT_EXEC = 4


def lock_up(memory_mb: float | None) -> None:
    """Gives up files, sockets, processes and privileges, as far as the system has means for it.

    Args:
        memory_mb: what the plugin may use beside what the process has now; None for any amount.
    """
    # What these need of files is read now: none can be opened later.
    time.localtime()
    is_linux = sys.platform == "linux"
    system = ctypes.CDLL(None) if is_linux else None
    seccomp = _seccomp() if is_linux else None
    _limit_resources(memory_mb)
    if system is not None:
        # Nobody of the same user may look into this process, and no program gives it more rights.
        system.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        system.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if seccomp is not None:
        _filter_calls(seccomp)


def missing_walls() -> list[str]:
    """Returns what a plugin could still do on this system after it broke out of its Lua."""
    missing = []
    try:
        import resource  # noqa: F401 (only whether it is there)
    except ImportError:
        missing.append("opening files and sockets, and starting processes")
    if missing or sys.platform != "linux":
        missing.append("taking the system's memory in one operation")
    return missing


def has_filter() -> bool:
    """Returns whether this system can refuse single system calls to a worker."""
    return sys.platform == "linux" and _seccomp() is not None


def _limit_resources(memory_mb: float | None) -> None:
    try:
        import resource
    except ImportError:  # missing_walls tells of it
        return
    _lower(resource, resource.RLIMIT_CORE, 0)
    _lower(resource, resource.RLIMIT_FSIZE, 0)
    if memory_mb is not None and sys.platform == "linux":
        with open("/proc/self/statm", "rb", buffering=0) as file:
            pages = int(file.read().split()[0])
        held = pages * resource.getpagesize()
        _lower(resource, resource.RLIMIT_AS, held + int(memory_mb * 2**20) + _HEADROOM)
    if hasattr(resource, "RLIMIT_NPROC"):
        _lower(resource, resource.RLIMIT_NPROC, 0)
    # With any other number, what closes a descriptor could open another in its place.
    _lower(resource, resource.RLIMIT_NOFILE, 0)


def _lower(resource: Any, kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    least = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (least, least))


# --- seccomp, through the system's own libseccomp ---

_ERRNO_EPERM = 0x00050001
_ALLOW = 0x7FFF0000
_ATTRIBUTE_ALL_THREADS = 4
_EQUAL, _MASKED_EQUAL = 4, 7


class _Argument(ctypes.Structure):
    """libseccomp's ``scmp_arg_cmp``: what a call's argument must be for a rule to hold."""

    _fields_ = (
        ("number", ctypes.c_uint),
        ("comparison", ctypes.c_int),
        ("mask", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
    )


def _seccomp() -> Any:
    """Returns libseccomp, or None where there is none."""
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return None
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
    library.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Argument),
    ]
    library.seccomp_load.argtypes = [ctypes.c_void_p]
    library.seccomp_release.argtypes = [ctypes.c_void_p]
    return library


def _filter_calls(library: Any) -> None:
    """Has the system refuse all calls but those that a worker needs, to all its threads."""
    rules = library.seccomp_init(_ERRNO_EPERM)
    if not rules:
        return
    try:
        library.seccomp_attr_set(rules, _ATTRIBUTE_ALL_THREADS, 1)
        for name in _KEPT_CALLS:
            _allow(library, rules, name)
        not_code = _Argument(2, _MASKED_EQUAL, _PROT_EXEC, 0)
        for name in _MAPPING_CALLS:
            _allow(library, rules, name, not_code)
        # The C library ends a process without memory by a signal to itself.
        _allow(library, rules, "tgkill", _Argument(0, _EQUAL, os.getpid(), 0))
        library.seccomp_load(rules)
    finally:
        library.seccomp_release(rules)


def _allow(library: Any, rules: Any, name: str, *arguments: _Argument) -> None:
    number = library.seccomp_syscall_resolve_name(name.encode())
    # Each kind of processor lacks some.
    if number >= 0:
        array = (_Argument * len(arguments))(*arguments)
        library.seccomp_rule_add_array(rules, _ALLOW, number, len(arguments), array)
