"""``luaopenai map`` as a whole: rows that ask nothing, rows that ask, rows that cost CPU.

Beside it, in the same run, what people write by hand: the official async client and a semaphore.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.concurrency import serving

ROWS = int(os.environ.get("LUAOPENAI_MAP_ROWS", 100_000))
CHATS = int(os.environ.get("LUAOPENAI_MAPCHATS", 20_000))
AT_ONCE = 200
WAIT = 0.25
CPU_ROWS = 600

_COMMAND = [sys.executable, "-m", "luaopenai", "map"]
NOTHING = "return function(row) return { id = row.id, size = #row.text } end"
CHAT = """
local client = require("openai").new("key")
return function(row)
  local messages = { { role = "user", content = row.text } }
  local status, body = client:chat(messages, { model = "slow" })
  assert(status == 200)
  return { id = row.id, said = body.choices[1].message.content }
end
"""
_WORK = """
return function(row)
  local found = 0
  for step = 1, 3e6 do found = (found * 31 + step + row.id) % 1000003 end
  return { id = row.id, found = found }
end
"""
_OFFICIAL = """
import asyncio, json, sys, time
from openai import AsyncOpenAI

url, source, target, limit = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])


async def main():
    client = AsyncOpenAI(api_key="key", base_url=url)
    places = asyncio.Semaphore(limit)

    async def ask(row):
        async with places:
            messages = [{"role": "user", "content": row["text"]}]
            done = await client.chat.completions.create(model="slow", messages=messages)
            return {"id": row["id"], "said": done.choices[0].message.content}

    with open(source) as file:
        rows = [json.loads(line) for line in file]
    results = await asyncio.gather(*(ask(row) for row in rows))
    with open(target, "w") as file:
        file.writelines(json.dumps(result) + "\\n" for result in results)


asyncio.run(main())
"""


def main() -> None:
    """Print a table."""
    print("| case | result | CPU | most memory | aim |\n| --- | --: | --: | --: | --: |")
    with tempfile.TemporaryDirectory() as folder, serving() as url:
        place = Path(folder)
        _time_nothing(place, ROWS, "≥ 20,000 rows a second")
        _time_nothing(place, 10 * ROWS, "≤ 300 MB")
        ideal = CHATS * WAIT / AT_ONCE
        for workers in (1, 2):
            options = ["--concurrency", str(AT_ONCE // workers), "--base-url", url]
            seconds, cpu, memory = timed_map(place, CHAT, CHATS, workers, options)
            case = f"{CHATS:,} chats of 250 ms, {AT_ONCE} at once, workers: {workers}"
            each = f"{cpu / CHATS * 1e3:.2f} ms a chat"
            _row(
                case,
                f"{seconds:.1f} s, {seconds / ideal:.2f} times the ideal",
                each,
                memory,
                "≤ 1.15 times",
            )
        if importlib.util.find_spec("openai") is not None:
            seconds, cpu, memory = _official(place, url)
            each = f"{cpu / CHATS * 1e3:.2f} ms a chat"
            case = "the same by `openai`'s async client and a semaphore"
            _row(case, f"{seconds:.1f} s, {seconds / ideal:.2f} times the ideal", each, memory, "")
        one, two = (timed_map(place, _WORK, CPU_ROWS, workers, [])[0] for workers in (1, 2))
        _row(
            f"{CPU_ROWS} rows of CPU, 2 workers to 1",
            f"{one / two:.2f} times",
            "",
            0,
            "≥ 1.7 times",
        )


def _time_nothing(place: Path, rows: int, aim: str) -> None:
    seconds, cpu, memory = timed_map(place, NOTHING, rows, 1, [])
    each = f"{cpu / rows * 1e6:.0f} µs a row"
    _row(
        f"{rows:,} rows that ask nothing", f"{rows / seconds:,.0f} rows a second", each, memory, aim
    )


def timed_map(
    place: Path, script: str, rows: int, workers: int, options: list[str]
) -> tuple[float, float, float]:
    """Returns the seconds, those of CPU, and the most bytes of one of the command's processes."""
    source, target = _write_rows(place, rows), place / "out.jsonl"
    (place / "f.lua").write_text(script)
    command = [*_COMMAND, str(place / "f.lua"), str(source), "-o", str(target), "--restart", "-q"]
    return _timed([*command, "--workers", str(workers), *options], target, rows)


def _official(place: Path, url: str) -> tuple[float, float, float]:
    source, target = _write_rows(place, CHATS), place / "official.jsonl"
    command = [sys.executable, "-c", _OFFICIAL, url, str(source), str(target), str(AT_ONCE)]
    return _timed(command, target, CHATS)


def _timed(command: list[str], target: Path, rows: int) -> tuple[float, float, float]:
    program = (
        "import resource, subprocess, sys; code = subprocess.call(sys.argv[1:]);"
        "u = resource.getrusage(resource.RUSAGE_CHILDREN);"
        "print(code, u.ru_utime + u.ru_stime, u.ru_maxrss)"
    )
    environment = dict(os.environ, NO_PROXY="127.0.0.1")
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program, *command],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=environment,
    )
    seconds = time.perf_counter() - start
    code, cpu, memory = re.findall(r"[\d.]+", done.stdout)
    with open(target) as file:
        assert int(code) == 0
        assert sum(1 for _ in file) == rows
    return seconds, float(cpu), float(memory) * 1024


def _write_rows(place: Path, rows: int) -> Path:
    path = place / f"rows-{rows}.jsonl"
    if not path.exists():
        with open(path, "w") as file:
            for number in range(rows):
                text = f"The customer {number} says that the parcel has not come yet. " * 2
                file.write(json.dumps({"id": number, "text": text}) + "\n")
    return path


def _row(case: str, result: str, cpu: str, memory: float, aim: str) -> None:
    shown = f"{memory / 1e6:.0f} MB" if memory else ""
    print(f"| {case} | {result} | {cpu} | {shown} | {aim} |", flush=True)


if __name__ == "__main__":
    main()
