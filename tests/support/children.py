"""Processes that tests start, and that end with them whatever happens."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def child(command: list[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Runs a command; kills it at the end of ``with``, if it is still there."""
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill()
