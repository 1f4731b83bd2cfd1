"""``luaopenai map``: the command, its rates and budgets, failures, Ctrl-C; and it keeps keys."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import time
from itertools import pairwise
from pathlib import Path

import pytest

from support.map_workspace import CHAT, KEY, MAP, MapWorkspace
from support.pace_server import PaceServer
from support.terminal import CTRL_C, Terminal, piped
from support.waiting import eventually

ONE_CHAT = 15
"""Tokens that the server tells of each chat."""


@pytest.fixture
def workspace(tmp_path: Path) -> MapWorkspace:
    return MapWorkspace(tmp_path, CHAT)


def test_each_row_is_asked_once_and_written_in_the_order_of_the_input(
    workspace: MapWorkspace,
) -> None:
    workspace.numbered(200)
    with PaceServer(0.01) as server:
        done = workspace.run("--workers", "2", url=server.url)
    assert done.returncode == 0, done.stderr
    assert workspace.results() == [{"id": n, "said": f"text {n}"} for n in range(200)]
    assert set(server.asked.values()) == {1}
    assert "200 done" in done.stderr
    assert "200 requests, 3,000 tokens" in done.stderr
    assert done.stdout == ""


def test_arguments_of_the_script_come_behind_two_dashes(tmp_path: Path) -> None:
    workspace = MapWorkspace(tmp_path, "local a = ... return function() return { a, arg[2] } end")
    workspace.numbered(1)
    assert workspace.run("--workers", "1", "--", "--rpm", "two").returncode == 0
    assert workspace.results() == [{"result": ["--rpm", "two"]}]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "the following arguments are required"),
        (["f.lua"], "the following arguments are required"),
        (["f.lua", "in.jsonl"], "an output is missing: -o OUTPUT"),
        (["f.lua", "in.jsonl", "-o", "o.jsonl", "--rpm", "0"], "expected a number above 0"),
        (
            ["f.lua", "in.jsonl", "-o", "o.jsonl", "--workers", "x"],
            "expected a whole number from 1",
        ),
        (["f.lua", "in.jsonl", "-o", "o.jsonl", "--max-cost", "1"], "--max-cost needs --prices"),
        (["f.lua", "in.jsonl", "-o", "o.jsonl", "--max-seconds", "1"], "goes with --sandbox"),
        (
            ["f.lua", "in.jsonl", "-o", "o.jsonl", "--max-failures", "many"],
            "max-failures is a number",
        ),
        (["f.lua", "in.jsonl", "-o", "o.jsonl", "--api-key-env", "NO_SUCH"], "has no NO_SUCH"),
        (["f.lua", "in.jsonl", "-o", "o.jsonl", "--base-url", "x"], "--base-url"),
        (["f.lua", "in.jsonl", "-o", "o.jsonl", "--prices", "no.json"], "no.json cannot be read"),
        (["f.lua", "in.jsonl", "-o", "o.jsonl", "--faster"], "--faster"),
        (["f.lua", "in.jsonl", "-o", "o.jsonl"], "in.jsonl"),
    ],
)
def test_a_wrong_command_is_told_in_one_line(
    options: list[str], words: str, tmp_path: Path
) -> None:
    (tmp_path / "f.lua").write_text("return print")
    done = subprocess.run([*MAP, *options], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.startswith("luaopenai map: ")
    assert done.stderr.count("\n") == 1


def test_help_names_every_option_of_the_text(tmp_path: Path) -> None:
    done = subprocess.run([*MAP, "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 100
    for name in ("--rpm", "--max-cost", "--dry-run", "--sandbox", "--retry-failed", "130"):
        assert name in done.stdout


# Rates and budgets.


def test_no_minute_sees_more_requests_than_the_rate_of_all_workers(workspace: MapWorkspace) -> None:
    workspace.numbered(60)
    with PaceServer() as server:
        assert workspace.run("--rpm", "1200", "--workers", "2", url=server.url).returncode == 0
    assert sum(server.asked.values()) == 60
    # The rate in any second, and the two that a tenth of a second may bring together.
    assert server.most_within(1.0) <= 20 + 2


def test_a_rate_of_tokens_holds_requests_back(workspace: MapWorkspace) -> None:
    workspace.numbered(60)
    with PaceServer() as server:
        done = workspace.run("--tpm", str(ONE_CHAT * 600), "--workers", "1", url=server.url)
    assert done.returncode == 0, done.stderr
    # What a twentieth of a minute may bring together, and ten a second.
    assert server.most_within(1.0) <= 30 + 10 + 3


def test_a_refusal_with_retry_after_stops_every_row_for_that_time(workspace: MapWorkspace) -> None:
    workspace.numbered(100)
    with PaceServer(0.02, refused=1, retry_after="1") as server:
        done = workspace.run("--workers", "2", "--concurrency", "4", url=server.url)
    assert done.returncode == 0, done.stderr
    assert len(workspace.results()) == 100
    pauses = [after - before for before, after in pairwise(server.times)]
    assert max(pauses) > 0.7


def test_a_server_that_takes_few_a_second_gets_few_and_no_row_fails(
    workspace: MapWorkspace,
) -> None:
    workspace.numbered(60)
    with PaceServer(per_second=20, retry_after="1") as server:
        done = workspace.run("--workers", "2", "--concurrency", "20", url=server.url)
    assert done.returncode == 0, done.stderr
    assert len(workspace.results()) == 60
    # Those that were on their way at the first refusal, and a few that feel their way.
    assert server.statuses[429] <= 60


def test_a_budget_of_tokens_stops_the_run_before_it_is_exceeded_and_a_higher_one_goes_on(
    workspace: MapWorkspace,
) -> None:
    workspace.numbered(50)
    with PaceServer(0.01) as server:
        done = workspace.run("--max-tokens-total", "300", "--workers", "2", url=server.url)
        assert done.returncode == 1
        assert "the budget is used up" in done.stderr
        assert "the same command goes on" in done.stderr
        first = sum(server.said.values())
        assert 0 < first * ONE_CHAT <= 300
        assert f"{first * ONE_CHAT} tokens" in done.stderr
        again = workspace.run("--max-tokens-total", "300", "--workers", "2", url=server.url)
        assert again.returncode == 1
        assert sum(server.said.values()) <= 300 / ONE_CHAT
        last = workspace.run("--max-tokens-total", "2000", "--workers", "2", url=server.url)
    assert last.returncode == 0, last.stderr
    assert [row["id"] for row in workspace.results()] == list(range(50))
    assert max(server.said.values()) == 1


@pytest.mark.parametrize("options", [[], ["--sandbox"]])
def test_what_a_script_makes_of_a_budgets_end_is_no_result(
    tmp_path: Path, options: list[str]
) -> None:
    script = """
      local openai = require("openai")
      local client = openai.new()
      return function(row)
        local said
        openai.gather({ function()
          local chat = client:new_chat_session({ model = "small", max_tokens = 5 })
          said = chat:send(row.text)
        end })
        return { id = row.id, said = said or "no answer" }
      end
    """
    workspace = MapWorkspace(tmp_path, script)
    workspace.numbered(20)
    with PaceServer() as server:
        more = [*options, "--workers", "1", "--concurrency", "6"]
        done = workspace.run("--max-tokens-total", "150", *more, url=server.url)
        assert "the budget is used up" in done.stderr
        workspace.run(*more, url=server.url)
    assert [row["said"] for row in workspace.results()] == [f"text {row}" for row in range(20)]


def test_a_budget_of_cost_stops_the_run(workspace: MapWorkspace) -> None:
    workspace.numbered(50)
    prices = workspace.folder / "prices.json"
    prices.write_text(json.dumps({"small": {"input": 1000, "output": 2000}}))
    with PaceServer() as server:
        options = ["--max-cost", "0.5", "--prices", str(prices), "--workers", "1"]
        done = workspace.run(*options, url=server.url)
    # One chat costs 0.01 + 0.01; the guess before it, of its bytes, is about twice that.
    assert done.returncode == 1
    assert "of 0.5 in cost" in done.stderr
    assert 10 <= sum(server.said.values()) <= 25


def test_a_model_without_a_price_stops_a_run_with_a_budget(workspace: MapWorkspace) -> None:
    workspace.numbered(5)
    prices = workspace.folder / "prices.json"
    prices.write_text(json.dumps({"large": {"input": 1, "output": 1}}))
    with PaceServer() as server:
        done = workspace.run("--max-cost", "1", "--prices", str(prices), url=server.url)
    assert done.returncode == 1
    assert "there is no price for the model 'small'" in done.stderr
    assert not server.asked


def test_a_dry_run_does_a_few_rows_and_tells_what_all_would_take(workspace: MapWorkspace) -> None:
    workspace.numbered(1000)
    with PaceServer() as server:
        done = workspace.run("--dry-run", "10", "--workers", "1", url=server.url)
    assert done.returncode == 0, done.stderr
    assert sum(server.asked.values()) == 10
    assert "all 1,000 rows would take about" in done.stderr
    assert "1,000 requests, 10,000 tokens in and 5,000 out" in done.stderr
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == list(range(10))
    assert os.listdir(workspace.folder).count("out.jsonl") == 0


# What goes wrong.


def test_a_wrong_key_stops_the_run_after_twenty_rows(workspace: MapWorkspace) -> None:
    workspace.numbered(1000)
    with PaceServer(key="another") as server:
        done = workspace.run("--concurrency", "4", "--workers", "1", url=server.url)
    assert done.returncode == 3
    assert "the first 20 rows all failed alike" in done.stderr
    assert "Incorrect API key" in done.stderr
    assert len(server.asked) < 60


def test_a_dead_server_stops_the_run(workspace: MapWorkspace) -> None:
    workspace.numbered(1000)
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    done = workspace.run("--workers", "1", url=url)
    assert done.returncode == 3
    assert "the first 20 rows all failed alike: connection refused" in done.stderr


def test_a_script_that_is_no_lua_is_told_with_its_line(workspace: MapWorkspace) -> None:
    workspace.script.write_text("return function(row)\nreturn return\nend")
    workspace.numbered(10)
    done = workspace.run()
    assert done.returncode == 1
    assert "f.lua:2: unexpected symbol near 'return'" in done.stderr


def test_a_script_that_is_not_there_is_told(workspace: MapWorkspace) -> None:
    workspace.numbered(10)
    workspace.script.unlink()
    done = workspace.run()
    assert done.returncode == 1
    assert "f.lua cannot be read" in done.stderr


def test_failed_rows_are_written_with_their_errors_and_tried_again_when_asked(
    workspace: MapWorkspace,
) -> None:
    workspace.numbered(30)
    working = workspace.script.read_text()
    workspace.script.write_text(
        working.replace("local messages", "assert(row.id % 10 > 0, 'ten')\n local messages")
    )
    with PaceServer() as server:
        done = workspace.run(url=server.url)
        assert done.returncode == 3
        assert [one["row"]["id"] for one in workspace.failures()] == [0, 10, 20]
        assert "ten" in workspace.failures()[0]["error"]
        workspace.script.write_text(working)
        again = workspace.run("--retry-failed", "--keep", url=server.url)
    assert again.returncode == 0, again.stderr
    assert len(workspace.results()) == 30
    assert max(server.said.values()) == 1


def test_no_key_is_in_a_command_line_a_journal_or_what_is_said(workspace: MapWorkspace) -> None:
    workspace.numbered(400)
    shown = "print(os.getenv('OPENAI_API_KEY') and 'has it')"
    fails = "if row.id % 9 == 0 then error('my key is ' .. os.getenv('OPENAI_API_KEY')) end"
    workspace.script.write_text(
        f"{shown}\n" + CHAT.replace("local messages", f"{fails}\nlocal messages")
    )
    lines = []
    with PaceServer(0.1) as server, workspace.start("--workers", "2", url=server.url) as process:
        eventually(lambda: len(server.asked) > 20, 30)
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                lines.append(entry.read_bytes())
            except OSError:
                continue
        said = b"".join(process.communicate(timeout=60))
    mine = [
        line for line in lines if str(workspace.script).encode() in line or b"batch.worker" in line
    ]
    assert len(mine) >= 3
    assert process.returncode == 3
    written = [path.read_bytes() for path in workspace.folder.iterdir() if path != workspace.script]
    for text in [said, *lines, *written]:
        assert KEY.encode() not in text
    assert "my key is ***" in workspace.failures()[0]["error"]
    assert b"has it" in said


# Stops.


def test_the_first_ctrl_c_lets_rows_under_way_finish_and_the_same_command_goes_on(
    workspace: MapWorkspace,
) -> None:
    workspace.numbered(100)
    with PaceServer(0.4) as server:
        options = ["--workers", "2", "--concurrency", "5"]
        with workspace.start(*options, url=server.url) as process:
            eventually(lambda: len(server.asked) >= 20, 30)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
        assert process.returncode == 130
        assert b"interrupted" in said
        assert not workspace.output.exists()
        begun = len(server.asked)
        assert begun < 100
        assert workspace.run(*options, url=server.url).returncode == 0
    assert [row["id"] for row in workspace.results()] == list(range(100))
    assert set(server.asked.values()) == {1}


def test_ctrl_c_lets_rows_under_way_finish_though_nobody_reads_what_is_said(
    workspace: MapWorkspace,
) -> None:
    workspace.numbered(100)
    options = ["--workers", "2", "--concurrency", "5"]
    reader, writer = os.pipe()
    with PaceServer(0.4) as server:
        command = workspace.command(*options, url=server.url)
        with piped(command, env=workspace.environment(), stderr=writer) as process:
            os.close(writer)
            eventually(lambda: len(server.asked) >= 20, 30)
            os.close(reader)
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
        assert workspace.run(*options, url=server.url).returncode == 0
    assert set(server.asked.values()) == {1}


def test_closed_streams_are_no_reason_not_to_run(tmp_path: Path) -> None:
    workspace = MapWorkspace(tmp_path)
    workspace.numbered(10)
    command = f"{shlex.join(workspace.command())} 0<&- 1>&- 2>&-"
    assert (
        subprocess.run(["sh", "-c", command], env=workspace.environment(), timeout=60).returncode
        == 0
    )
    assert len(workspace.results()) == 10


def test_a_dry_run_shows_results_in_utf_8_to_whoever_reads_them(tmp_path: Path) -> None:
    workspace = MapWorkspace(
        tmp_path, "return function(row) return { ('x'):rep(9999) .. 'ä☃' } end"
    )
    workspace.numbered(100)
    env = workspace.environment({"PYTHONIOENCODING": "latin-1"})
    with piped(workspace.command("--dry-run", "100"), env=env) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read() if process.stderr else b""
        assert process.wait(30) == 0
    assert line.decode().endswith('xä☃"]\n')
    assert b"Traceback" not in said


def test_a_second_ctrl_c_ends_the_command_at_once(workspace: MapWorkspace) -> None:
    workspace.numbered(100)
    with PaceServer(60.0) as server, workspace.start("--workers", "2", url=server.url) as process:
        eventually(lambda: len(server.asked) >= 10, 30)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert process.poll() is None
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 130
        assert time.monotonic() - begun < 4


def test_on_a_terminal_ctrl_c_is_told_and_a_bar_is_drawn(workspace: MapWorkspace) -> None:
    workspace.numbered(100)
    with PaceServer(0.4) as server:
        command = workspace.command("--workers", "1", "--concurrency", "5", url=server.url)
        command = ["env", f"OPENAI_API_KEY={KEY}", "NO_PROXY=127.0.0.1", *command]
        with Terminal(command) as terminal:
            terminal.read_until("10/100")
            terminal.type(CTRL_C)
            terminal.read_until("rows under way get 5 s to finish")
            terminal.read_until("the same command goes on")
            assert terminal.wait() == 130


def test_a_killed_command_goes_on_and_asks_no_finished_row_again(workspace: MapWorkspace) -> None:
    workspace.numbered(300)
    options = ["--workers", "2", "--concurrency", "4"]
    with PaceServer(0.02) as server:
        with workspace.start(*options, url=server.url) as process:
            eventually(lambda: len(server.said) >= 150, 30)
            process.kill()
            process.communicate(timeout=30)
        time.sleep(0.5)
        assert workspace.run(*options, url=server.url).returncode == 0
    assert [row["id"] for row in workspace.results()] == list(range(300))
