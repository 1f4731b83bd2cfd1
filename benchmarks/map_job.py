"""What a job costs for each row beside its workers: reading, the journal, and writing the output.

``python -m benchmarks.map_job [ROWS]``: rows that are answered by themselves, at once, in this
process. Prints microseconds for each row and the most memory that was held.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from luaopenai.batch.exchange import DONE, Chunk, Event, Outcome, Row
from luaopenai.batch.job import Job
from luaopenai.batch.options import Options

ROWS = 1_000_000
CASES: dict[str, dict[str, Any]] = {
    "JSON Lines": {},
    "with --key": {"key": "id"},
    "with --dedupe": {"dedupe": True},
    "CSV in": {"input": "csv"},
    "CSV out": {"output": "csv"},
    "Parquet out": {"output": "parquet"},
}


class Echo:
    """An executor whose rows are their own results."""

    capacity = 2048
    chunk_rows = 256

    def __init__(self) -> None:
        self._waiting: list[Row] = []

    def submit(self, chunk: Chunk) -> None:
        self._waiting += chunk.rows

    def outcomes(self, timeout: float) -> list[Event]:
        rows, self._waiting = self._waiting, []
        return [Outcome(row.number, DONE, row.text) for row in rows]

    def finish(self) -> None:
        pass

    def close(self, seconds: float) -> None:
        pass


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    if len(sys.argv) > 2:
        measure(sys.argv[2], rows)
        return
    print("| case | rows | µs a row | CPU µs a row | again, all finished | most memory |")
    print("| --- | --: | --: | --: | --: | --: |")
    for name in CASES:
        # Each in a process of its own, for its memory.
        command = [sys.executable, "-m", "benchmarks.map_job", str(rows), name]
        subprocess.run(command, check=True)


def measure(name: str, rows: int) -> None:
    """Print a line of the table."""
    case = dict(CASES[name])
    form, output = case.pop("input", "jsonl"), case.pop("output", "jsonl")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, f"rows.{form}")
        with source.open("w") as file:
            file.write("id,text\n" if form == "csv" else "")
            for number in range(rows):
                text = f"ticket {number}: the printer on the second floor is on fire again"
                line = f"{number},{text}" if form == "csv" else f'{{"id":{number},"text":"{text}"}}'
                file.write(line + "\n")
        target = str(Path(folder, f"out.{output}"))
        options = Options("", (str(source),), target, **case)
        wall, cpu = run(options)
        again, _ = run(options)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        cells = [name, f"{rows}", *(f"{each / rows * 1e6:.1f}" for each in (wall, cpu, again))]
        print(f"| {' | '.join(cells)} | {memory:.0f} MB |", flush=True)


def run(options: Options) -> tuple[float, float]:
    """Do a job; returns the seconds that it took, and those of the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    assert Job(options, lambda _: Echo()).run().code == 0
    return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main()
