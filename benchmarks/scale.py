"""``luaopenai map`` on Dask beside its own processes: what each row costs whom.

The scheduler and its workers are processes of this machine: more workers than cores show overhead,
not speed. ``LUAOPENAI_SCALE_ROWS`` names the largest number of rows.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.concurrency import serving
from benchmarks.maps import CHAT, NOTHING, WAIT, timed_map

MOST = int(os.environ.get("LUAOPENAI_SCALE_ROWS", 1_000_000))
SIZES = [rows for rows in (10_000, 100_000, 1_000_000) if rows <= MOST]
WORKERS = (1, 2, 4)
CHATS = 10_000
AT_ONCE = 200
ROUNDS = 2
"""The least counts: other programs run too."""

_DASK = [sys.executable, "-m", "dask"]
_QUIET = ["--host", "127.0.0.1", "--no-dashboard", "--dashboard-address", "127.0.0.1:0"]


class Cluster:
    """A scheduler and its workers, and the time of the processor that they have used."""

    def __init__(self, address: str, workers: int) -> None:
        from distributed import Client

        self.address = address
        self._client: Any = Client(address, set_as_default=False)
        self._client.wait_for_workers(workers)

    def used(self) -> tuple[float, float]:
        """Returns the seconds of the scheduler and of the workers."""
        scheduler = self._client.run_on_scheduler(time.process_time)
        return scheduler, sum(self._client.run(time.process_time).values())

    def close(self) -> None:
        self._client.close()


def main() -> None:
    """Print the tables."""
    print(f"{os.cpu_count()} cores; times of the processor are for each row")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        _print_head("rows that ask nothing")
        for workers in WORKERS:
            with cluster(place, workers) as dask:
                timed_map(place, NOTHING, 5000, workers, ["--dask", dask.address])
                for rows in SIZES:
                    _compare(place, NOTHING, rows, workers, [], dask)
        _print_head(f"chats of {WAIT * 1000:.0f} ms, {AT_ONCE} at once")
        with serving() as url:
            for workers in WORKERS:
                options = ["--concurrency", str(AT_ONCE // workers), "--base-url", url]
                with cluster(place, workers) as dask:
                    timed_map(place, CHAT, 500, workers, [*options, "--dask", dask.address])
                    for limit in ([], ["--rpm", "600000"]):
                        _compare(place, CHAT, CHATS, workers, [*options, *limit], dask)


def _print_head(what: str) -> None:
    columns = ["workers", "processes", "Dask", "ratio", "CPU: processes", "Dask", "ratio"]
    columns += ["of that the command", "the scheduler", "the workers", "journal"]
    print(f"\n| {what} | {' | '.join(columns)} |\n| {'--: | ' * (len(columns) + 1)}", flush=True)


def _compare(
    place: Path, script: str, rows: int, workers: int, options: list[str], dask: Cluster
) -> None:
    """Print a line of a table."""
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(timed_map(place, script, rows, workers, options)[:2])
        before = dask.used()
        on_dask = [*options, "--dask", dask.address]
        seconds, cpu, _ = timed_map(place, script, rows, workers, on_dask)
        after = dask.used()
        theirs.append((seconds, cpu, after[0] - before[0], after[1] - before[1]))
    least = [min(column) for column in zip(*ours, strict=True)]
    seconds, *costs = [min(column) for column in zip(*theirs, strict=True)]
    cells = [
        f"{rows:,}{' with `--rpm`' if '--rpm' in options else ''}",
        workers,
        f"{least[0]:.1f} s",
        f"{seconds:.1f} s",
        f"{seconds / least[0]:.2f}",
        *(f"{cost / rows * 1e6:.0f} µs" for cost in (least[1], sum(costs))),
        f"{sum(costs) / least[1]:.2f}",
        *(f"{cost / rows * 1e6:.0f} µs" for cost in costs),
        f"{(place / 'out.jsonl.journal').stat().st_size / rows:.0f} B",
    ]
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


@contextmanager
def cluster(place: Path, workers: int) -> Iterator[Cluster]:
    """Starts a cluster, and ends it."""
    file = place / "scheduler.json"
    file.unlink(missing_ok=True)
    scheduler = ["scheduler", "--port", "0", "--scheduler-file", str(file), *_QUIET]
    options = ["--nworkers", str(workers), "--nthreads", "1", "--memory-limit", "0"]
    with _family([*_DASK, *scheduler]):
        while not (file.exists() and file.read_text().endswith("}")):
            time.sleep(0.02)
        address = json.loads(file.read_text())["address"]
        with _family([*_DASK, "worker", address, *options, *_QUIET]):
            found = Cluster(address, workers)
            try:
                yield found
            finally:
                found.close()


@contextmanager
def _family(command: list[str]) -> Iterator[None]:
    """Runs a command; ends it, and what it has started."""
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
