"""Worker processes: rows run in them as tasks, and what becomes of rows whose worker ends."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from luaopenai.batch.exchange import Summary
from luaopenai.batch.job import Job
from luaopenai.batch.local import LocalExecutor
from luaopenai.batch.options import Options
from luaopenai.batch.pace import Rates
from support.crowd_server import CrowdServer


class Workspace:
    """A folder with a script, and jobs that run it in workers over values."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.executor: LocalExecutor | None = None
        self.results: dict[int, Any] = {}
        self.errors: dict[int, str] = {}
        self.left_out: set[int] = set()

    def run(
        self,
        script: str,
        values: Any,
        on_step: Any = None,
        rates: Rates | None = None,
        **options: Any,
    ) -> Summary:
        path = self.folder / "f.lua"
        path.write_text(script)
        given = Options(str(path), **{"workers": 1, "concurrency": 8, **options})

        def start(_: object) -> LocalExecutor:
            self.executor = LocalExecutor(given, rates or Rates())
            return self.executor

        job = Job(given, start, values)
        for finished in job.steps():
            for row, outcome in finished:
                self.note(row.number, outcome)
            if on_step is not None:
                on_step(job, self)
        assert job.summary is not None
        return job.summary

    def note(self, number: int, outcome: Any) -> None:
        assert number not in self.results.keys() | self.errors.keys() | self.left_out
        if outcome.text is not None:
            self.results[number] = json.loads(outcome.text)
        elif outcome.error is not None:
            self.errors[number] = outcome.error
        else:
            self.left_out.add(number)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def crowd() -> Iterator[CrowdServer]:
    with CrowdServer() as server:
        yield server


def test_a_function_is_given_each_row_and_its_number(workspace: Workspace) -> None:
    workspace.run(
        "return function(row, index) return { row.a, index } end", [{"a": "x"}, {"a": "y"}]
    )
    assert workspace.results == {0: ["x", 1], 1: ["y", 2]}


def test_a_table_with_map_is_set_up_once_with_the_arguments(workspace: Workspace) -> None:
    script = """
      local times, given = 0
      return {
        setup = function(args) times = times + 1 given = args end,
        map = function(row) return { times, given[1], (arg or {})[2] } end,
      }
    """
    workspace.run(script, range(3), args=("one", "two"))
    assert workspace.results == {number: [1, "one", "two"] for number in range(3)}


def test_nil_leaves_a_row_out(workspace: Workspace) -> None:
    workspace.run("return function(row) if row % 2 == 0 then return row end end", range(6))
    assert workspace.results == {0: 0, 2: 2, 4: 4}
    assert workspace.left_out == {1, 3, 5}


def test_values_cross_as_json_and_lose_nothing(workspace: Workspace) -> None:
    values: list[Any] = [
        None,
        True,
        1.5,
        'ä\u2028\t\n"',
        [],
        {},
        [1, [None]],
        {"a": {"b": [{}]}},
        "x" * 100_000,
    ]
    workspace.run("return function(row) return { v = row } end", values)
    assert [workspace.results[number]["v"] for number in range(len(values))] == values


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("error('it is wrong')", "it is wrong"),
        ("error('two\\nlines', 0)", "two lines"),
        ("local x = nil; return x.y", "attempt to index local 'x'"),
        ("error({ error = { message = 'no such model' } })", '"message":"no such model"'),
        ("error(setmetatable({}, { __tostring = function() return 'its text' end }))", "its text"),
        ("return nil, 'Bad status: 400', '{\"error\":1}'", 'Bad status: 400: {"error":1}'),
        ("return nil, 'only this'", "only this"),
        ("return print", "result: JSON has no function"),
        ("error(setmetatable({}, { __tostring = error }))", "an error that is no text"),
        ("error(setmetatable({}, { __metatable = 5 }))", "an error that is no text"),
        ("return nil, setmetatable({}, { __tostring = error })", "an error that is no text"),
        ("error('\\255\\254')", "\ufffd"),
        ("error()", "nil"),
    ],
)  # fmt: skip
def test_an_error_is_a_failure_in_one_line(workspace: Workspace, code: str, error: str) -> None:
    script = f"return function(row) if row == 1 then {code} end return row end"
    summary = workspace.run(script, range(3), attempts=1)
    assert workspace.results == {0: 0, 2: 2}
    assert error in workspace.errors[1]
    assert "\n" not in workspace.errors[1]
    assert summary.code == 3


def test_a_character_that_was_cut_is_replaced(workspace: Workspace) -> None:
    workspace.run("return function(row) return { cut = row:sub(1, 2) } end", ["aä", "ab"])
    assert workspace.results == {0: {"cut": "a\ufffd"}, 1: {"cut": "ab"}}


def test_as_many_rows_as_may_be_are_under_way_at_once(
    workspace: Workspace, crowd: CrowdServer
) -> None:
    script = f"""
      local client = require("openai").new("key", {{ base_url = "{crowd.url}" }})
      return function(row)
        local messages = {{ {{ role = "user", content = "hi" }} }}
        local status = client:chat(messages, {{ model = "meet-8" }})
        assert(status == 200)
        return row
      end
    """
    workspace.run(script, range(32))
    assert len(workspace.results) == 32
    assert crowd.count.most == 8


def test_rows_go_on_while_one_takes_long(workspace: Workspace, crowd: CrowdServer) -> None:
    script = f"""
      local client = require("openai").new("key", {{ base_url = "{crowd.url}" }})
      local others = 0
      return function(row)
        if row == 0 then
          while others < 50 do
            client:chat({{ {{ role = "user", content = "hi" }} }}, {{ model = "wait-5" }})
          end
        else
          others = others + 1
        end
        return row
      end
    """
    workspace.run(script, range(51), concurrency=2)
    assert len(workspace.results) == 51


def test_all_of_a_script_works_inside_a_row(workspace: Workspace, crowd: CrowdServer) -> None:
    script = f"""
      local openai = require("openai")
      local client = openai.new("key", {{ base_url = "{crowd.url}" }})
      local function ask(text)
        local chat = client:new_chat_session({{ model = "wait-1" }})
        return (assert(chat:send(text)))
      end
      return function(row)
        local task = openai.spawn(ask, "s" .. row)
        local both = openai.gather({{
          function() return ask("a" .. row) end,
          function() return ask("b" .. row) end,
        }})
        local streamed = {{}}
        local options = {{ model = "drip-3-1", stream = true }}
        client:chat({{ {{ role = "user", content = "c" }} }}, options, function(chunk)
          streamed[#streamed + 1] = chunk.content
        end)
        return {{ both[1], both[2], task:wait(), table.concat(streamed) }}
      end
    """
    workspace.run(script, range(20))
    assert workspace.results == {n: [f"a{n}", f"b{n}", f"s{n}", "c0 c1 c2 "] for n in range(20)}


def test_what_a_script_prints_does_not_disturb_the_line(
    workspace: Workspace, capfd: pytest.CaptureFixture[str]
) -> None:
    workspace.run(
        "return function(row) print('said ' .. row) io.write('more') return row end", [1, 2]
    )
    assert workspace.results == {0: 1, 1: 2}
    said = capfd.readouterr()
    assert "said 1" in said.err
    assert said.out == ""


def test_modules_beside_the_script_are_found(workspace: Workspace) -> None:
    (workspace.folder / "helper.lua").write_text("return { twice = function(x) return 2 * x end }")
    workspace.run("local h = require('helper') return function(row) return h.twice(row) end", [4])
    assert workspace.results == {0: 8}


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("return function(", "f.lua:1: "),
        ("", "it returned nil"),
        ("return {}", "a table without a function `map`"),
        ("return 5", "it returned number"),
        ("error('not today')", "f.lua:1: not today"),
        ("return { map = print, setup = function() error('no data') end }", "no data"),
        ("os.exit(3)", "a worker could not start: it ended with status 3"),
    ],
)
def test_a_script_that_cannot_begin_stops_the_run(
    workspace: Workspace, script: str, reason: str
) -> None:
    summary = workspace.run(script, range(100), workers=2)
    assert summary.code == 1
    assert reason in (summary.reason or "")
    assert workspace.results == workspace.errors == {}


def test_a_row_that_ends_three_workers_has_failed_and_all_others_are_done(
    workspace: Workspace,
) -> None:
    script = """
      return function(row)
        if row % 100 == 50 then
          require("ffi").cdef("int raise(int)")
          require("ffi").C.raise(9)
        end
        return row
      end
    """
    workspace.run(script, range(300), workers=2)
    assert set(workspace.errors) == {50, 150, 250}
    assert "ended 3 workers; of the last: it was ended by SIGKILL" in workspace.errors[50]
    assert workspace.results == {number: number for number in range(300) if number % 100 != 50}


def test_rows_under_way_beside_one_that_ends_its_worker_do_not_fail_with_it(
    workspace: Workspace, crowd: CrowdServer
) -> None:
    script = f"""
      local client = require("openai").new("key", {{ base_url = "{crowd.url}" }})
      return function(row)
        client:chat({{ {{ role = "user", content = "hi" }} }}, {{ model = "wait-20" }})
        if row == 5 then
          os.exit(7)
        end
        return row
      end
    """
    workspace.run(script, range(40))
    assert set(workspace.errors) == {5}
    assert len(workspace.results) == 39


def test_a_killed_workers_rows_are_done_again_each_once_in_the_results(
    workspace: Workspace, crowd: CrowdServer
) -> None:
    script = f"""
      local client = require("openai").new("key", {{ base_url = "{crowd.url}" }})
      return function(row)
        client:chat({{ {{ role = "user", content = "hi" }} }}, {{ model = "wait-20" }})
        return row
      end
    """
    chance = random.Random(14)
    kills, last = 0, 0.0

    def kill(_job: Job, workspace: Workspace) -> None:
        nonlocal kills, last
        is_due = time.monotonic() > last + 0.25 and len(workspace.results) > kills * 30
        if kills < 8 and is_due and workspace.executor is not None:
            kills, last = kills + 1, time.monotonic()
            os.kill(chance.choice(workspace.executor.pids), signal.SIGKILL)

    workspace.run(script, range(600), kill, workers=2)
    assert kills >= 3
    assert workspace.errors == {}
    assert workspace.results == {number: number for number in range(600)}


def test_workers_that_only_end_stop_the_run(workspace: Workspace) -> None:
    script = "return function(row) os.exit(1) end"
    summary = workspace.run(script, range(4), concurrency=1)
    # Each row is given its three workers.
    assert summary.code == 3
    assert len(workspace.errors) == 4


def test_workers_end_with_their_job(workspace: Workspace) -> None:
    pids: list[int] = []

    def note(_job: Job, workspace: Workspace) -> None:
        assert workspace.executor is not None
        pids.extend(workspace.executor.pids)

    workspace.run("return function(row) return row end", range(10), note, workers=2)
    for pid in set(pids):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_stop_drops_rows_that_take_too_long_and_keeps_those_that_do_not(
    workspace: Workspace,
) -> None:
    script = """
      local openai = require("openai")
      return function(row)
        openai.sleep(row < 4 and 0.3 or 60)
        return row
      end
    """

    def stop(job: Job, workspace: Workspace) -> None:
        if job.counts.under_way:
            job.stop("enough", 130, 1.5)

    summary = workspace.run(script, range(100), stop, concurrency=8)
    assert summary.code == 130
    assert set(workspace.results) <= {0, 1, 2, 3}
    assert workspace.errors == {}


def test_large_rows_pass(workspace: Workspace) -> None:
    values = ["x" * 10_000_000, "y" * 10_000_000, "z"]
    workspace.run("return function(row) return { n = #row, row = row } end", values, workers=2)
    assert [workspace.results[number]["n"] for number in range(3)] == [10_000_000, 10_000_000, 1]


# Behind walls.


def test_in_the_sandbox_a_script_runs_as_a_plugin(workspace: Workspace) -> None:
    script = """
      local given
      return {
        setup = function(args) given = args[1] end,
        map = function(row, index) return { row.a, index, given, io.open == nil } end,
      }
    """
    workspace.run(script, [{"a": 1}, {"a": 2}], sandbox=True, args=("x",), concurrency=2)
    assert workspace.results == {0: [1, 1, "x", True], 1: [2, 2, "x", True]}


def test_in_the_sandbox_results_are_what_json_can_carry(workspace: Workspace) -> None:
    script = "return function(row) return { row == 1 and 0 / 0 or 'a\\255' } end"
    workspace.run(script, range(2), sandbox=True, attempts=1)
    assert workspace.results == {0: ["a\ufffd"]}
    assert "JSON has no nan" in workspace.errors[1]


def test_in_the_sandbox_limits_are_for_each_row(workspace: Workspace) -> None:
    script = "return function(row) while row == 1 do end return row end"
    workspace.run(
        script, range(4), sandbox=True, limits={"seconds": 0.3}, attempts=1, concurrency=2
    )
    assert workspace.results == {0: 0, 2: 2, 3: 3}
    assert "seconds: the limit is 0.3" in workspace.errors[1]


def test_in_the_sandbox_a_script_that_cannot_begin_stops_the_run(workspace: Workspace) -> None:
    summary = workspace.run("\nreturn function(", range(4), sandbox=True)
    assert summary.code == 1
    assert "script:3" in (summary.reason or "") or "script:2" in (summary.reason or "")
