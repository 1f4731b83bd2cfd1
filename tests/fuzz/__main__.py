"""Runs batches of attacks, each in a process of its own, and says which did not hold.

``python -m fuzz [--seconds 60] [--seed N] [--count 40]``: two batches a seed, one for each
isolation. Ends with status 1 at the first that fell, and says how to run it again.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).parents[1]
SECONDS_EACH = 30
"""An attack takes two seconds at most; on a busy machine, more."""


def run_batch(isolation: str, seed: int, count: int) -> tuple[bool, str]:
    """Runs a batch; returns whether all held, and what the process has said."""
    command = [sys.executable, "-m", "fuzz.batch", isolation, str(seed), str(count)]
    try:
        done = subprocess.run(
            command,
            cwd=FOLDER,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=60 + SECONDS_EACH * count,
        )
    except subprocess.TimeoutExpired as error:
        said = error.stdout or b""
        return False, f"it hangs after: {said[-500:]!r}"
    return done.returncode == 0, (
        done.stdout
        if done.returncode == 0
        else f"{done.stdout[-2000:]}{done.stderr[-6000:]}\nended with status {done.returncode}"
    )


def main() -> int:
    """Runs batches until the time is over."""
    parser = argparse.ArgumentParser(prog="make fuzz", description="Attack the plugins' walls.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--count", type=int, default=40, help="attacks in a batch")
    options = parser.parse_args()
    end, seed = time.monotonic() + options.seconds, options.seed
    while time.monotonic() < end:
        for isolation in ("process", "thread"):
            held, said = run_batch(isolation, seed, options.count)
            last = said.strip().rpartition("\n")[2]
            print(f"seed {seed}, {isolation}: {last if held else 'FELL'}", flush=True)
            if not held:
                again = f"python -m fuzz.batch {isolation} {seed} {options.count}"
                print(f"{said}\nagain, in tests: {again}")
                return 1
        seed += 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
