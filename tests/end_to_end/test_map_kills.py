"""`luaopenai map` and its workers, killed at random moments, against a server that counts.

10 kills by default; ``LUAOPENAI_SOAK=full`` makes it 50.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers import LUAOPENAI
from support.children import child
from support.journal import numbers_in
from support.pace_server import PaceServer

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")

FULL = os.environ.get("LUAOPENAI_SOAK") == "full"
KILLS = 50 if FULL else 10
ROWS = 30 * KILLS
SCRIPT = """
local client = require("openai").new()
return function(row)
  local status, answer = client:chat({ { role = "user", content = "row " .. row.id } })
  assert(status == 200, status)
  return { id = row.id, said = answer.choices[1].message.content ~= nil }
end
"""


class Command:
    """The command in a folder, and what it has done."""

    def __init__(self, folder: Path, server: PaceServer) -> None:
        self.folder = folder
        self.output = folder / "out.jsonl"
        (folder / "f.lua").write_text(SCRIPT)
        rows = folder / "rows.jsonl"
        rows.write_text("".join(f'{{"id": {number}}}\n' for number in range(ROWS)))
        options = ["--workers", "2", "--concurrency", "4", "--quiet", "--base-url", server.url]
        self.line = [LUAOPENAI, "map", *options, "f.lua", "rows.jsonl", "-o", "out.jsonl"]
        self.environment = {**os.environ, "OPENAI_API_KEY": "sk-test"}

    def start(self) -> Any:
        return child(self.line, cwd=self.folder, env=self.environment)

    def kept(self) -> set[int]:
        """Returns the rows that are in the journal."""
        return numbers_in(f"{self.output}.journal")

    def check_output(self) -> None:
        lines = [json.loads(line) for line in self.output.read_text().splitlines()]
        assert lines == [{"id": number, "said": True} for number in range(ROWS)]


def wait_for(server: PaceServer, process: subprocess.Popen[Any], count: int) -> None:
    """Waits until so many more requests have come, or the command has ended."""
    end = server.asked.total() + count
    while process.poll() is None and server.asked.total() < end:
        time.sleep(0.005)


def rows_of(asked: Counter[str]) -> set[int]:
    return {int(message.split()[1]) for message in asked}


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_killed_command_asks_no_kept_row_again(tmp_path: Path) -> None:
    chance = random.Random(14)
    with PaceServer(0.03) as server:
        command = Command(tmp_path, server)
        total: Counter[str] = Counter()
        for _ in range(KILLS):
            kept = command.kept()
            server.asked.clear()
            with command.start() as process:
                wait_for(server, process, chance.randrange(1, 40))
                time.sleep(chance.uniform(0, 0.6))
                process.kill()
            # Its workers end with it; none may ask while the next command does.
            time.sleep(0.2)
            assert kept.isdisjoint(rows_of(server.asked))
            assert kept <= command.kept()
            total += server.asked
        kept = command.kept()
        assert kept
        server.asked.clear()
        with command.start() as process:
            assert process.wait(60) == 0
        assert kept.isdisjoint(rows_of(server.asked))
        total += server.asked
        assert rows_of(total) == set(range(ROWS))
        # Within one run no row is asked twice, so that each kill costs what was under way.
        assert max(total.values()) <= KILLS + 1
    command.check_output()


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_killed_worker_costs_only_what_it_had_under_way(tmp_path: Path) -> None:
    chance = random.Random(15)
    with PaceServer(0.1) as server:
        command = Command(tmp_path, server)
        killed = 0
        with command.start() as process:
            while killed < KILLS // 2 and process.poll() is None:
                # A row that ends three workers has failed: each kill meets other rows.
                wait_for(server, process, chance.randrange(40, 60))
                if workers := children_of(process.pid):
                    os.kill(chance.choice(workers), signal.SIGKILL)
                    killed += 1
            assert process.wait(60) == 0
        assert killed
        # Four rows are under way in a worker, and outcomes go out together within 50 ms.
        assert server.asked.total() <= ROWS + killed * 8
        assert rows_of(server.asked) == set(range(ROWS))
    command.check_output()


def children_of(pid: int) -> list[int]:
    listing = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    pairs = [line.split() for line in listing.stdout.splitlines()]
    return [int(child_pid) for child_pid, parent in pairs if int(parent) == pid]
