"""Jobs on a cluster of Dask's: its workers have the script, the key and the rows, and may be lost.

One cluster serves all tests here; workers that are killed are Dask's to replace.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

distributed = pytest.importorskip("distributed")

import luaopenai.dask  # noqa: E402
from luaopenai.batch import dask_cluster, dask_executor, dask_link, frames  # noqa: E402
from luaopenai.batch.dask_executor import SLACK, DaskExecutor  # noqa: E402
from luaopenai.batch.dask_worker import JobHere, Rows, _ChunkHere  # noqa: E402
from luaopenai.batch.exchange import Chunk, Dropped, Row  # noqa: E402
from luaopenai.batch.options import BatchError, Options  # noqa: E402
from luaopenai.batch.pace import Rates  # noqa: E402
from luaopenai.batch.ranges import range_of  # noqa: E402
from support.pace_server import PaceServer  # noqa: E402
from support.waiting import eventually  # noqa: E402

KEY = "sk-secret-of-the-jobs-0123456789"
CHAT = """
local client = require("openai").new(assert(os.getenv("OPENAI_API_KEY")))
return function(row)
  local messages = { { role = "user", content = "row " .. row } }
  local status, body = client:chat(messages, { model = "small", max_tokens = 5 })
  if status ~= 200 then
    error(body)
  end
  return body.choices[1].message.content
end
"""


@pytest.fixture(scope="module")
def connected() -> Iterator[Any]:
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            memory_limit=0,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture
def client(connected: Any) -> Any:
    """The cluster's client; a worker that the test before has killed may take its time."""
    connected.wait_for_workers(1, timeout=100)
    return connected


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: str, name: str = "f.lua") -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return str(path)

    return write


def test_rows_come_back_in_their_order_with_their_numbers(client: Any, write: Any) -> None:
    script = write("return function(row, index) return { row, index } end")
    found = list(luaopenai.map(script, range(5000), dask=client))
    assert found == [[number, number + 1] for number in range(5000)]


def test_a_script_and_its_modules_and_arguments_are_sent(client: Any, write: Any) -> None:
    write("return { name = ... }", "rules/first.lua")
    script = write(
        """
        local first, last, given = require("rules.first"), ..., nil
        return {
          setup = function(args) given = args[1] end,
          map = function() return { first.name, given, last } end,
        }
        """
    )
    found = list(luaopenai.map(script, [1], dask=client, args=["one"]))
    assert found == [["rules.first", "one", "one"]]


def test_values_cross_and_lose_nothing(client: Any, write: Any) -> None:
    values: list[Any] = [None, 'ä\u2028\t\n"\r', [], {}, {"a": {"b": [{}]}}, "x" * 100_000]
    script = write("return function(row) return { v = row } end")
    found = list(luaopenai.map(script, values, dask=client))
    assert found == [{"v": value} for value in values]


def test_a_script_that_is_wrong_stops_the_run_and_is_named_without_its_copys_folder(
    client: Any, write: Any
) -> None:
    script = write("x x")
    with pytest.raises(BatchError, match=r"^f\.lua:1: '=' expected near 'x'$"):
        list(luaopenai.map(script, range(3), dask=client))


def test_rows_that_fail_are_tried_again_and_told(client: Any, write: Any) -> None:
    script = write(
        """
        return function(row)
          if row % 3 == 0 then error("no " .. row) end
          if row % 3 == 1 then return row end
        end
        """
    )
    failures: list[Any] = []
    with luaopenai.map(script, range(30), dask=client, on_failure=failures.append) as results:
        assert list(results) == list(range(1, 30, 3))
    told = {failure["number"]: failure["error"] for failure in failures}
    assert told == {number: f"f.lua:3: no {number}" for number in range(0, 30, 3)}
    assert results.counts.left_out == 10
    assert results.counts.retries == 20


def test_the_key_reaches_scripts_and_is_shown_nowhere(
    client: Any, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    script = write(CHAT)
    seen: list[str] = []
    with (
        PaceServer(key=KEY) as server,
        luaopenai.map(script, range(20), dask=client, base_url=server.url) as results,
    ):
        for result in results:
            if not seen:
                seen.append(client.run_on_scheduler(_all_that_is_shown))
            assert result.startswith("row ")
    seen += [client.run_on_scheduler(_all_that_is_shown), str(client.get_scheduler_logs())]
    seen += [str(client.get_worker_logs()), str(client.nthreads()), str(client.get_events())]
    assert server.statuses.keys() == {200}
    assert all("luaopenai-map" in text for text in seen[:1])
    assert not any(KEY in text for text in seen)


def _all_that_is_shown(dask_scheduler: Any) -> str:
    tasks = [(task, task.run_spec) for task in dask_scheduler.tasks.values()]
    told = dask_scheduler.worker_plugins, dask_scheduler.plugins, dask_scheduler.identity()
    return f"{tasks} {told} {vars(dask_scheduler)}"


def test_what_the_environment_says_of_the_server_holds_in_the_workers(
    client: Any, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = write(
        """
        local client = require("openai").new("sk-of-the-script")
        return function(row)
          local chat = client:new_chat_session()
          return (assert(chat:send("row " .. row)))
        end
        """
    )
    with PaceServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_MODEL", "the-one")
        assert list(luaopenai.map(script, [1], dask=client)) == ["row 1"]
    assert [body["model"] for body in server.bodies] == ["the-one"]


def test_a_refused_key_is_not_repeated(
    client: Any, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    script = write(CHAT)
    with (
        PaceServer(key="another") as server,
        pytest.raises(BatchError, match="all failed alike") as caught,
    ):
        list(luaopenai.map(script, range(50), dask=client, base_url=server.url))
    assert KEY not in str(caught.value)
    assert "***" in str(caught.value)


def test_a_rate_holds_across_all_workers(
    client: Any, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    script = write(CHAT)
    with PaceServer() as server:
        found = list(luaopenai.map(script, range(80), dask=client, rpm=1200, base_url=server.url))
    assert len(found) == 80
    assert sum(server.asked.values()) == 80
    # Twenty a second, but for two that may come together, and a first one that may come late.
    assert max(server.times) - min(server.times) >= 78 / 20 - SLACK


def test_a_budget_holds_across_all_workers_and_stops_the_run(
    client: Any, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    script = write(CHAT)
    with (
        PaceServer(0.01) as server,
        luaopenai.map(
            script, range(500), dask=client, max_tokens_total=600, base_url=server.url
        ) as results,
        pytest.raises(BatchError, match="600"),
    ):
        list(results)
    usage = results.counts.usage
    assert usage.requests == sum(server.asked.values())
    assert usage.input_tokens + usage.output_tokens <= 600
    assert usage.requests >= 30


def test_a_refusal_slows_all_workers_down(
    client: Any, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    script = write(CHAT)
    with PaceServer(0.02, refused=1, retry_after="1") as server:
        found = list(
            luaopenai.map(script, range(100), dask=client, concurrency=4, base_url=server.url)
        )
    assert len(found) == 100
    times = sorted(server.times)
    assert max(after - before for before, after in pairwise(times)) > 0.7


# Workers that are lost.


def test_rows_that_were_finished_before_a_worker_is_killed_are_not_asked_again(
    client: Any, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    # Of the rows of a chunk, some are finished long before others.
    slow = 'require("openai").sleep(row % 2 * 0.3)\n  return body.choices'
    script = write(CHAT.replace("return body.choices", slow))
    pid = next(iter(client.run(os.getpid).values()))
    found: list[str] = []
    with (
        PaceServer(0.05) as server,
        luaopenai.map(
            script, range(300), dask=client, concurrency=8, unordered=True, base_url=server.url
        ) as results,
    ):
        known = set()
        for result in results:
            found.append(result)
            if len(found) == 150:
                os.kill(pid, signal.SIGKILL)
                known = set(found)
    assert sorted(found) == sorted(f"row {number}" for number in range(300))
    assert all(server.asked[text] == 1 for text in known)
    # Eight rows were under way, and what was finished goes out within 0.1 seconds.
    assert sum(server.asked.values()) <= 300 + 24


def test_a_run_that_is_closed_ends_in_the_workers_too_and_leaves_nothing(
    client: Any, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    script = write(CHAT)
    with PaceServer(0.05) as server:
        with luaopenai.map(
            script, range(10_000), dask=client, concurrency=2, base_url=server.url
        ) as results:
            next(results)
        # The rows under way come to their end.
        eventually(lambda: _is_quiet(server))
    assert client.run_on_scheduler(_jobs) == []
    assert all(not names for names in client.run(_plugins).values())
    assert sum(server.asked.values()) < 1000


def _is_quiet(server: PaceServer) -> bool:
    before = sum(server.asked.values())
    time.sleep(0.3)
    return sum(server.asked.values()) == before


def _jobs(dask_scheduler: Any) -> list[str]:
    relay = dask_scheduler.plugins["luaopenai-relay-1"]
    plugins = [name for name in dask_scheduler.worker_plugins if "luaopenai" in name]
    tasks = [str(key) for key in dask_scheduler.tasks if "luaopenai" in str(key)]
    return [*relay._clients, *relay._workers, *plugins, *tasks]


def _plugins(dask_worker: Any) -> list[str]:
    return [name for name in dask_worker.plugins if "luaopenai" in name]


def test_a_run_ends_although_its_workers_hang(
    client: Any, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_link, "_CLOSING_SECONDS", 1.0)
    script = write("return function(row) return row end")
    pids = client.run(os.getpid).values()
    try:
        with luaopenai.map(script, range(100_000), dask=client) as results:
            next(results)
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    assert list(luaopenai.map(script, [1], dask=client)) == [1]


@pytest.mark.skipif(
    not (3, 11) <= sys.version_info < (3, 11, 9), reason="this Python's profiling is harmless"
)
@pytest.mark.parametrize("way", ["map", "mapper"])
def test_dasks_profiler_stops_where_it_may_lock_a_worker_for_ever(
    client: Any, write: Any, way: str
) -> None:
    client.run(_start_profiling)
    script = write("return function() return 1 end")
    if way == "map":
        assert list(luaopenai.map(script, [1], dask=client)) == [1]
    else:
        function = luaopenai.dask.mapper(script)
        tasks = [
            client.submit(function, [1], workers=[worker], pure=False)
            for worker in client.nthreads()
        ]
        assert client.gather(tasks) == [[1]] * len(tasks)
    assert set(client.run(_is_profiling).values()) == {False}


def _start_profiling(dask_worker: Any) -> None:
    dask_worker.periodic_callbacks["profile"].start()


def _is_profiling(dask_worker: Any) -> bool:
    return bool(dask_worker.periodic_callbacks["profile"].is_running())


def test_two_jobs_on_one_cluster_do_not_mix(client: Any, write: Any) -> None:
    one = write("return function(row) return 'one ' .. row end", "one.lua")
    two = write("return function(row) return 'two ' .. row end", "two.lua")
    with (
        luaopenai.map(one, range(200), dask=client) as first,
        luaopenai.map(two, range(200), dask=client) as second,
    ):
        pairs = list(zip(first, second, strict=True))
    assert pairs == [(f"one {number}", f"two {number}") for number in range(200)]


def test_results_are_kept_in_a_journal_and_the_next_run_asks_the_rest(
    client: Any, write: Any, tmp_path: Path
) -> None:
    script = write("return function(row) return row end")
    options: dict[str, Any] = {"dask": client, "output": str(tmp_path / "out.jsonl")}
    with luaopenai.map(script, range(3000), **options) as results:
        next(results)
    with luaopenai.map(script, range(3000), **options) as results:
        assert list(results) == list(range(3000))
    assert results.counts.before > 0
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"result": number} for number in range(3000)]


def test_what_rows_have_used_is_booked_with_their_outcomes(
    client: Any, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with (
        PaceServer(0.01) as server,
        luaopenai.map(write(CHAT), range(100), dask=client, base_url=server.url) as results,
    ):
        next(results)
        assert results.counts.usage.requests > 0


def test_rows_that_have_not_begun_are_given_back_as_soon_as_a_run_ends(
    client: Any, write: Any
) -> None:
    script = write("os.execute('sleep 1'); return function(row) return row end")
    executor = DaskExecutor(Options(script, dask=client), Rates())
    try:
        executor.submit(Chunk(0, [Row(number, b"1", b"", "", 1) for number in range(3)]))
        executor.finish()
        assert executor.outcomes(0) == [Dropped([0, 1, 2])]
    finally:
        executor.close(0)


def test_a_python_function_runs_in_the_workers_and_is_held_to_budgets(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with PaceServer(0.01) as server:
        url = server.url

        def ask(row: int) -> Any:
            if row == 3:
                raise ValueError("three")
            with luaopenai.OpenAI("key", url) as asked:
                said = asked.new_chat_session().send(f"row {row}")
            return {"said": said, "in": os.getpid()}

        failures: list[Any] = []
        options: dict[str, Any] = {"dask": client, "attempts": 1, "on_failure": failures.append}
        with luaopenai.map(ask, range(40), max_tokens_total=10_000, **options) as results:
            found = list(results)
    assert [one["said"] for one in found] == [f"row {row}" for row in range(40) if row != 3]
    assert os.getpid() not in {one["in"] for one in found}
    assert [failure["error"] for failure in failures] == ["ValueError: three"]
    assert results.counts.usage.requests == 39


def test_what_a_function_makes_of_a_refusal_at_the_runs_end_is_no_result(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with PaceServer(0.01) as server:
        url = server.url

        def ask(row: int) -> Any:
            with luaopenai.OpenAI("key", url) as asked:
                try:
                    return asked.new_chat_session().send(f"row {row}")
                except Exception:
                    return "?"

        options: dict[str, Any] = {"dask": client, "unordered": True, "max_tokens_total": 600}
        found: list[Any] = []
        with luaopenai.map(ask, range(200), **options) as results:
            with contextlib.suppress(BatchError):
                found.extend(results)
            done = results.counts.done
        asked = sum(server.asked.values())
    assert 0 < done <= asked
    assert "?" not in found


def test_a_function_that_raises_no_mere_exception_fails_its_row(client: Any) -> None:
    def leave(row: int) -> Any:
        raise asyncio.CancelledError("row", row)

    failures: list[Any] = []
    options: dict[str, Any] = {"dask": client, "attempts": 1, "on_failure": failures.append}
    with luaopenai.map(leave, range(3), **options) as results:
        assert list(results) == []
    assert [failure["error"][:15] for failure in failures] == ["CancelledError:"] * 3


def test_what_cannot_be_sent_or_reached_is_told_in_one_line(
    write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = write("return print")
    lock = threading.Lock()
    with pytest.raises(BatchError, match="no scheduler of Dask's answers at nowhere"):
        list(luaopenai.map(script, [1], dask="nowhere://x"))
    with pytest.raises(BatchError, match="the function cannot be sent to workers"):
        list(luaopenai.map(lambda row: lock, [1], dask="local"))
    monkeypatch.setattr(dask_cluster, "find_spec", lambda _: None)
    with pytest.raises(BatchError, match=r"pip install 'luaopenai\[dask\]'"):
        luaopenai.map(script, [1], dask="local")


@pytest.mark.parametrize(
    ("packages", "told"),
    [
        ({"python": "3.9.1.final.0", "luaopenai": luaopenai.__version__}, "has Python 3.9.1, and"),
        ({"python": platform.python_version(), "luaopenai": None}, "lacks luaopenai"),
        ({"python": platform.python_version(), "luaopenai": "0.9"}, "has luaopenai 0.9, and"),
        ({"python": platform.python_version(), "luaopenai": luaopenai.__version__}, None),
    ],
)
def test_a_worker_is_told_of_that_lacks_something_or_has_another_version(
    packages: dict[str, Any], told: str | None
) -> None:
    found = dask_cluster.check_worker(packages)
    assert found is None if told is None else told in (found or "")


def test_plain_runs_do_not_load_dask(tmp_path: Path) -> None:
    (tmp_path / "f.lua").write_text("return function(row) return row end")
    code = (
        "import sys, luaopenai; found = list(luaopenai.map('f.lua', [1], workers=1));"
        "assert found == [1]; assert not {'dask', 'distributed'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60)


def test_outcomes_go_out_together_and_before_their_task_ends() -> None:
    worker = _FakeWorker()
    here = JobHere(worker, "job")  # type: ignore[arg-type]
    chunk = _ChunkHere()
    chunk.left = 2
    here._where = {1: chunk, 2: chunk}
    here.send(frames.OUTCOMES, b"1\td\tone\n")
    assert worker.sent == []
    assert chunk.wake.empty()
    here.send(frames.OUTCOMES, b"2\td\ttwo\n")
    [message] = worker.sent
    assert message["frames"] == [frames.OUTCOMES, b"1\td\tone\n", frames.OUTCOMES, b"2\td\ttwo\n"]
    assert not chunk.wake.empty()


class _FakeWorker:
    """A worker whose loop does at once what is to be done at once, and nothing later."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.batched_send = self.sent.append
        self.loop = self

    def add_callback(self, function: Any, *args: Any) -> None:
        function(*args)

    def call_later(self, delay: float, function: Any) -> None:
        pass


# Where the rows come from.


def test_rows_of_a_file_are_read_by_the_workers(
    client: Any, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(dask_executor, "Rows", _noting(sent))
    path = write('\ufeff{"n": 0}\n \n{"n": 1} \r\n' + '{"n":\r2}\n' * 50, "rows.jsonl")
    found = list(luaopenai.map(write("return function(row) return row.n end"), path, dask=client))
    assert found == [0, 1, *[2] * 50]
    assert not isinstance(sent[0], bytes)
    assert not isinstance(sent[-1], bytes)


def test_rows_of_a_file_that_workers_find_changed_or_gone_are_sent(
    client: Any, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(dask_executor, "Rows", _noting(sent))
    monkeypatch.setattr(dask_executor, "range_of", _elsewhere)
    path = write("".join(f"{number}\n" for number in range(300)), "rows.jsonl")
    found = list(luaopenai.map(write("return function(row) return row end"), path, dask=client))
    assert found == list(range(300))
    assert not isinstance(sent[0], bytes)
    assert isinstance(sent[-1], bytes)


def _noting(sent: list[Any]) -> Any:
    def make(job: str, number: int, numbers: Any, lines: Any, *, is_alone: bool) -> Rows:
        sent.append(lines)
        return Rows(job, number, numbers, lines, is_alone=is_alone)

    return make


def _elsewhere(rows: Any) -> Any:
    found = range_of(rows)
    return found and dataclasses.replace(found, path=found.path + ".gone")


def test_a_script_that_ends_workers_as_it_is_loaded_stops_the_run(client: Any, write: Any) -> None:
    with pytest.raises(BatchError, match=r"called os\.exit as it was loaded"):
        list(luaopenai.map(write("os.exit(1)"), range(3), dask=client))


def test_rows_that_take_long_keep_no_others_of_their_worker_from_beginning(
    client: Any, write: Any
) -> None:
    # The first rows wait until their own worker has begun later ones, of other chunks.
    script = write(
        """
        local openai = require("openai")
        local last = 0
        return function(row)
          last = math.max(last, row)
          repeat
            openai.sleep(0.01)
          until row >= 4 or last >= 60
          return row
        end
        """
    )
    assert list(luaopenai.map(script, range(300), dask=client)) == list(range(300))


def test_a_row_that_ends_workers_fails_and_no_other_does(
    client: Any, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The last test here: a busy machine may be slower than that, and then lose workers for good.
    monkeypatch.setattr(dask_executor, "SETTLING", 2.0)
    script = write(
        """
        return function(row)
          if row == 5 then os.exit(1) end
          return row
        end
        """
    )
    failures: list[Any] = []
    options: dict[str, Any] = {"dask": client, "concurrency": 4, "on_failure": failures.append}
    found = list(luaopenai.map(script, range(40), **options))
    assert found == [number for number in range(40) if number != 5]
    assert [failure["error"] for failure in failures] == ["the row has ended 3 workers of Dask's"]
