"""Makes the names of files safe from a power cut."""

from __future__ import annotations

import os


def sync_folder(path: str) -> None:
    """Makes the names in a file's folder safe, where the system has that."""
    if os.name != "posix":
        return
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
