"""Counts what this process has: descriptors and children, by ``/proc``."""

from __future__ import annotations

import os
from pathlib import Path

HAS_PROC = Path("/proc/self/fd").exists()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def children() -> set[str]:
    """This process's children, those that have ended but were not waited for among them."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text("utf-8", "replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            found.add(stat.parent.name)
    return found
