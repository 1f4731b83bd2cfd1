"""Start-up: how long the shortest programs take, against ``python -c pass``."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

RUNS = 31


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        hello = Path(folder, "hello.lua")
        hello.write_text('print("hello")\n')
        require = Path(folder, "require.lua")
        require.write_text('print(require("openai").VERSION)\n')
        command = str(Path(sys.executable).with_name("luaopenai"))
        cases = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "import luaopenai": [sys.executable, "-c", "import luaopenai"],
            "luaopenai run hello.lua": [command, "run", str(hello)],
            'the same with require("openai")': [command, "run", str(require)],
        }
        times = measure(list(cases.values()))
    base = median(times[0])
    print(f"| program | median | against python -c pass |\n|{'-' * 33}|--------|---|")
    for name, taken in zip(cases, times, strict=True):
        print(f"| {name:31} | {median(taken) * 1e3:4.1f} ms | {median(taken) / base:.2f} |")


def measure(commands: list[list[str]]) -> list[list[float]]:
    """Seconds of whole processes, the commands in turn, so that a noisy moment hits them all."""
    # As users have it: byte code is written at the first run and used from then on.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    times: list[list[float]] = [[] for _ in commands]
    for run in range(RUNS + 1):
        for command, taken in zip(commands, times, strict=True):
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
            if run:
                taken.append(time.perf_counter() - start)
    return times
