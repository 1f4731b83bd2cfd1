"""A scheduler of Dask's and its workers, as processes that tests may kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from support.waiting import eventually

_DASK = [sys.executable, "-m", "dask"]
_QUIET = ["--no-dashboard", "--dashboard-address", "127.0.0.1:0"]


class Cluster:
    """The cluster; ``scheduler`` is its process, ``address`` where that is."""

    def __init__(self, folder: Path, scheduler: subprocess.Popen[Any], workers: int) -> None:
        self._workers = workers
        self._file = folder / "scheduler.json"
        self.scheduler = scheduler
        # The file appears before it is whole.
        eventually(lambda: self._file.exists() and self._file.read_text().endswith("}"))
        self.address: str = json.loads(self._file.read_text())["address"]

    @property
    def worker_command(self) -> list[str]:
        """What starts the workers, each with a nanny."""
        options = [
            "--nworkers",
            str(self._workers),
            "--nthreads",
            "1",
            "--memory-limit",
            "0",
            "--host",
        ]
        return [*_DASK, "worker", self.address, *options, "127.0.0.1", *_QUIET]


@contextmanager
def dask_cluster(folder: Path, workers: int = 2) -> Iterator[Cluster]:
    """Starts a cluster in a folder, and ends it."""
    folder.mkdir(exist_ok=True)
    file = ["--scheduler-file", str(folder / "scheduler.json"), "--host", "127.0.0.1"]
    with (
        _family([*_DASK, "scheduler", "--port", "0", *file, *_QUIET], folder) as scheduler,
        _family((cluster := Cluster(folder, scheduler, workers)).worker_command, folder),
    ):
        yield cluster


@contextmanager
def _family(command: list[str], folder: Path) -> Iterator[subprocess.Popen[Any]]:
    """Runs a command; kills it and what it has started at the end of ``with``."""
    environment = {**os.environ, "DASK_LOGGING__DISTRIBUTED": "critical"}
    with (
        open(folder / "log", "ab") as log,
        subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
