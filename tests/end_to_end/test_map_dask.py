"""`luaopenai map --dask`, its workers and its scheduler, killed at random moments.

2 kills of each by default; ``LUAOPENAI_SOAK=full`` makes it 50.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from support.dask_processes import Cluster, dask_cluster
from support.journal import numbers_in
from support.map_workspace import CHAT, MapWorkspace
from support.pace_server import PaceServer
from support.terminal import piped
from support.waiting import eventually

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")

FULL = os.environ.get("LUAOPENAI_SOAK") == "full"
KILLS = 50 if FULL else 2
ROWS = 150
"""For each kill."""
UNDER_WAY = 8
"""In two workers, with four rows each."""
ENOUGH = 60 + ROWS * KILLS * 0.05
"""Seconds that a command may take for all rows, of 0.05 each: many times what it needs."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with dask_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def workspace(tmp_path: Path) -> MapWorkspace:
    workspace = MapWorkspace(tmp_path, CHAT)
    workspace.numbered(ROWS * KILLS)
    return workspace


def command(workspace: MapWorkspace, cluster: Cluster, server: PaceServer) -> list[str]:
    options = ["--dask", cluster.address, "--concurrency", "4", "--quiet"]
    return workspace.command(*options, url=server.url)


@pytest.mark.parametrize("address", ["nowhere", "tcp://nowhere", "http://127.0.0.1:1"])
def test_a_command_with_an_address_that_is_none_ends(tmp_path: Path, address: str) -> None:
    workspace = MapWorkspace(tmp_path)
    workspace.numbered(1)
    done = workspace.run("--dask", address)
    assert done.returncode == 1
    assert f"no scheduler of Dask's answers at {address}: " in done.stderr


def kept(workspace: MapWorkspace) -> set[str]:
    """Returns the texts of the rows that are in the journal."""
    return {f"text {number}" for number in numbers_in(f"{workspace.output}.journal")}


def check_output(workspace: MapWorkspace) -> None:
    count = ROWS * KILLS
    assert workspace.results() == [{"id": n, "said": f"text {n}"} for n in range(count)]


def wait_for(server: PaceServer, process: subprocess.Popen[Any], count: int) -> None:
    """Waits until so many more requests have come, or the command has ended."""
    end = server.asked.total() + count
    while process.poll() is None and server.asked.total() < end:
        time.sleep(0.005)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_killed_command_ends_in_the_workers_and_asks_no_kept_row_again(
    workspace: MapWorkspace, cluster: Cluster
) -> None:
    chance = random.Random(14)
    with PaceServer(0.05) as server:
        line = command(workspace, cluster, server)
        for _ in range(KILLS):
            before = kept(workspace)
            server.asked.clear()
            with piped(line, env=workspace.environment()) as process:
                wait_for(server, process, chance.randrange(40, 80))
                time.sleep(chance.uniform(0.3, 0.6))
                process.kill()
            asked = server.asked.total()
            eventually(lambda: is_quiet(server))
            # What had begun, and what had come to the workers before they heard of the end.
            assert server.asked.total() <= asked + 2 * UNDER_WAY
            assert before.isdisjoint(server.asked)
            assert max(server.asked.values()) == 1
            assert before <= kept(workspace)
        before = kept(workspace)
        assert before
        server.asked.clear()
        with piped(line, env=workspace.environment()) as process:
            assert process.wait(ENOUGH) == 0
        assert before.isdisjoint(server.asked)
    check_output(workspace)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_killed_workers_cost_only_what_they_had_under_way(
    workspace: MapWorkspace, cluster: Cluster
) -> None:
    chance = random.Random(15)
    with (
        PaceServer(0.05) as server,
        distributed.Client(cluster.address, set_as_default=False) as client,
    ):
        killed = 0
        line = command(workspace, cluster, server)
        with piped(line, env=workspace.environment()) as process:
            while killed < KILLS and process.poll() is None:
                wait_for(server, process, chance.randrange(30, 50))
                if pids := list(client.run(os.getpid, on_error="ignore").values()):
                    os.kill(chance.choice(pids), signal.SIGKILL)
                    killed += 1
            assert process.wait(ENOUGH) == 0
        assert killed == KILLS
        # What was finished goes out together within 0.1 s.
        assert server.asked.total() <= ROWS * KILLS + killed * 2 * UNDER_WAY
    check_output(workspace)


@pytest.mark.timeout(900)
def test_a_killed_scheduler_is_told_and_the_same_command_goes_on_with_another(
    workspace: MapWorkspace, cluster: Cluster, tmp_path: Path
) -> None:
    with PaceServer(0.05) as server:
        with dask_cluster(tmp_path / "first", workers=1) as first:
            line = command(workspace, first, server)
            with piped(line, env=workspace.environment()) as process:
                wait_for(server, process, 60)
                first.scheduler.kill()
                _, stderr = process.communicate(timeout=60)
            assert process.returncode == 1
            told = f"the connection to Dask's scheduler at {first.address} is lost"
            assert told in stderr.decode()
            assert "the same command goes on" in stderr.decode()
            assert b"Traceback" not in stderr
        before = kept(workspace)
        assert before
        server.asked.clear()
        with piped(command(workspace, cluster, server), env=workspace.environment()) as process:
            assert process.wait(ENOUGH) == 0
        assert before.isdisjoint(server.asked)
    check_output(workspace)


def is_quiet(server: PaceServer) -> bool:
    before = server.asked.total()
    time.sleep(0.2)
    return server.asked.total() == before


def test_a_cluster_of_this_machine_is_started_and_prints_what_scripts_print_for_people(
    tmp_path: Path,
) -> None:
    workspace = MapWorkspace(tmp_path, "return function(row) print('seen') return row.id end")
    workspace.numbered(20)
    with socket.socket() as taken:
        # Where Dask's own dashboard would be.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            taken.bind(("127.0.0.1", 8787))
            taken.listen()
        done = workspace.run("--dask", "local", "--workers", "1", "--dry-run", "5")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "0\n1\n2\n3\n4\n"
    assert "seen" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_of_this_machine_goes_with_workers_of_this_machine_alone(
    tmp_path: Path,
) -> None:
    done = MapWorkspace(tmp_path).run("--dask", "tcp://127.0.0.1:1", "--local")
    assert done.returncode == 2
    assert "--local runs a model on this machine" in done.stderr
