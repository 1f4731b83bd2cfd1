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
"""The better one counts: other programs run too."""

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
    print(f"{os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        print("\n| rows that ask nothing | workers | processes | Dask | ratio | CPU of the command"
              " | scheduler | workers | journal |")  # fmt: skip
        print("| --: | --: | --: | --: | --: | --: | --: | --: | --: |")
        for workers in WORKERS:
            with cluster(place, workers) as dask:
                timed_map(place, NOTHING, 5000, workers, ["--dask", dask.address])
                for rows in SIZES:
                    _compare(place, NOTHING, rows, workers, [], dask)
        print(f"\n| chats of {WAIT * 1000:.0f} ms, {AT_ONCE} at once | workers | processes | Dask"
              " | ratio | CPU of the command | scheduler | workers | journal |")  # fmt: skip
        print("| --: | --: | --: | --: | --: | --: | --: | --: | --: |")
        with serving() as url:
            for limit in ([], ["--rpm", "600000"]):
                for workers in WORKERS:
                    options = ["--concurrency", str(AT_ONCE // workers), "--base-url", url, *limit]
                    with cluster(place, workers) as dask:
                        timed_map(place, CHAT, 500, workers, [*options, "--dask", dask.address])
                        _compare(place, CHAT, CHATS, workers, options, dask)


def _compare(
    place: Path, script: str, rows: int, workers: int, options: list[str], dask: Cluster
) -> None:
    """Print a line of a table: microseconds of the processor are for each row."""
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(timed_map(place, script, rows, workers, options)[0])
        before = dask.used()
        seconds, cpu, _ = timed_map(
            place, script, rows, workers, [*options, "--dask", dask.address]
        )
        after = dask.used()
        theirs.append((seconds, cpu, after[0] - before[0], after[1] - before[1]))
    seconds, *costs = min(theirs)
    journal = (place / "out.jsonl.journal").stat().st_size / rows
    limited = " (`--rpm`)" if "--rpm" in options else ""
    each = " | ".join(f"{cost / rows * 1e6:.0f} µs" for cost in costs)
    print(
        f"| {rows:,}{limited} | {workers} | {min(ours):.1f} s | {seconds:.1f} s"
        f" | {seconds / min(ours):.2f} | {each} | {journal:.0f} B |",
        flush=True,
    )


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
