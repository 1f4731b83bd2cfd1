"""``luaopenai.map``: scripts in processes and Python functions in threads, from Python."""

from __future__ import annotations

import asyncio
import json
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import luaopenai
from luaopenai import BatchError, OpenAI, RowsFailedError
from luaopenai.batch.journal_file import JournalDamagedError
from luaopenai.batch.rows import BadRowError
from support.map_workspace import CHAT
from support.pace_server import PaceServer


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "f.lua"
    path.write_text("return function(row, index) return { n = row * 2, index = index } end")
    return path


def test_a_scripts_results_come_in_the_order_of_the_rows(script: Path) -> None:
    found = list(luaopenai.map(script, range(1000), workers=2, concurrency=4))
    assert found == [{"n": n * 2, "index": n + 1} for n in range(1000)]


def test_a_functions_results_come_in_the_order_of_the_rows() -> None:
    def late(row: int) -> int:
        time.sleep(0.02 if row % 5 == 0 else 0)
        return row

    assert list(luaopenai.map(late, range(50), concurrency=8)) == list(range(50))


def test_without_an_order_results_come_as_they_are_done() -> None:
    gate = threading.Event()

    def wait_for_others(row: int) -> int:
        if row == 0:
            assert gate.wait(20)
        return row

    with luaopenai.map(wait_for_others, range(5), concurrency=2, unordered=True) as results:
        assert {next(results) for _ in range(4)} == {1, 2, 3, 4}
        gate.set()
        assert list(results) == [0]


def test_none_leaves_a_row_out() -> None:
    assert list(luaopenai.map(lambda row: row if row % 2 else None, range(6))) == [1, 3, 5]


def test_rows_are_taken_as_there_is_room_for_them() -> None:
    taken = 0

    def rows() -> Any:
        nonlocal taken
        for number in range(100_000):
            taken += 1
            yield number

    with luaopenai.map(lambda row: row, rows(), concurrency=4) as results:
        assert [next(results) for _ in range(10)] == list(range(10))
        assert taken < 2000


def test_failed_rows_raise_after_the_last_result() -> None:
    def fail(row: int) -> int:
        if row == 3:
            raise ValueError("not\nthree")
        return row

    results = luaopenai.map(fail, range(5), attempts=1)
    assert [next(results) for _ in range(4)] == [0, 1, 2, 4]
    with pytest.raises(
        RowsFailedError, match="1 rows have failed: ValueError: not three"
    ) as caught:
        next(results)
    assert caught.value.failures[0]["row"] == 3


def test_failed_rows_can_be_told_of_instead() -> None:
    told: list[dict[str, Any]] = []
    results = luaopenai.map(
        lambda row: 1 // row, range(3), attempts=2, on_failure=told.append, concurrency=1
    )
    assert list(results) == [1, 0]
    assert [one["error"].partition(":")[0] for one in told] == ["ZeroDivisionError"]


def test_a_run_that_stops_raises_why(tmp_path: Path) -> None:
    path = tmp_path / "f.lua"
    path.write_text("return 5")
    with pytest.raises(BatchError, match="the script must return a function"):
        list(luaopenai.map(path, range(3)))


def test_what_a_function_sends_is_held_to_the_rate_and_counted() -> None:
    with PaceServer() as server, OpenAI("key-0123456789", server.url) as client:

        def ask(row: int) -> str:
            reply = client.chat([{"role": "user", "content": str(row)}], model="small")
            return str(reply.body["choices"][0]["message"]["content"])

        results = luaopenai.map(ask, range(40), rpm=1200, concurrency=10)
        assert list(results) == [str(row) for row in range(40)]
        assert server.most_within(1.0) <= 22
        assert results.counts.usage.requests == 40
        assert results.counts.usage.output_tokens == 200
        # Requests of other threads of this program do not wait.
        before = time.monotonic()
        for row in range(100):
            ask(row)
        assert server.most_within(1.0) > 22 or time.monotonic() - before > 4


@pytest.mark.parametrize("usage", [None, "much", {"prompt_tokens": "x", "completion_tokens": -4}])
def test_where_a_server_tells_no_tokens_a_quarter_of_the_bytes_count(usage: object) -> None:
    with PaceServer(usage=usage) as server, OpenAI("key-0123456789", server.url) as client:
        long = "word " * 400

        def ask(row: int) -> str:
            client.chat([{"role": "user", "content": long}], model="small")
            return "done"

        results = luaopenai.map(ask, range(3))
        assert list(results) == ["done"] * 3
        used = results.counts.usage
        # The server answers with what it was asked.
        assert 500 * 3 <= used.input_tokens < 600 * 3
        assert 500 * 3 <= used.output_tokens < 600 * 3


def test_a_budget_stops_a_function_too() -> None:
    with PaceServer() as server, OpenAI("key-0123456789", server.url) as client:

        def ask(row: int) -> int:
            messages = [{"role": "user", "content": str(row)}]
            return int(client.chat(messages, model="small", max_tokens=5).status)

        results = luaopenai.map(ask, range(100), max_tokens_total=400, concurrency=4)
        with pytest.raises(BatchError, match="the budget is used up"):
            list(results)
        assert 0 < sum(server.said.values()) * 15 <= 400


def test_what_rows_have_used_that_a_budget_has_stopped_counts_in_the_next_run(
    tmp_path: Path,
) -> None:
    with PaceServer() as server, OpenAI("key-0123456789", server.url) as client:

        def ask(row: int) -> int:
            for number in range(10):
                messages = [{"role": "user", "content": f"{row} {number}"}]
                client.chat(messages, model="small", max_tokens=5)
            return row

        for _ in range(3):
            results = luaopenai.map(
                ask, range(8), concurrency=4, journal=tmp_path / "journal", max_tokens_total=120
            )
            with pytest.raises(BatchError, match="the budget is used up"):
                list(results)
            assert results.counts.usage.requests == sum(server.said.values())
        assert 0 < sum(server.said.values()) * 15 <= 120


def test_what_a_function_makes_of_a_budgets_end_is_no_result(tmp_path: Path) -> None:
    with PaceServer() as server, OpenAI("key-0123456789", server.url) as client:

        def ask(row: int) -> str:
            try:
                return str(client.new_chat_session(model="small", max_tokens=5).send(str(row)))
            except luaopenai.OpenAIError:
                return "no answer"

        rows, journal = range(12), tmp_path / "journal"
        with pytest.raises(BatchError, match="the budget is used up"):
            list(luaopenai.map(ask, rows, concurrency=6, journal=journal, max_tokens_total=120))
        assert list(luaopenai.map(ask, rows, journal=journal)) == [str(row) for row in rows]


def test_the_key_of_a_functions_client_is_in_no_error(tmp_path: Path) -> None:
    with PaceServer(key="another") as server, OpenAI("key-0123456789", server.url) as client:

        def ask(row: int) -> str:
            return str(client.new_chat_session(model="small").send("x"))

        results = luaopenai.map(ask, [1], attempts=1, output=tmp_path / "out.jsonl")
        with pytest.raises(RowsFailedError, match=r"provided: \*\*\* \(refused\)"):
            list(results)
    for path in tmp_path.iterdir():
        assert b"key-0123456789" not in path.read_bytes()


def test_the_key_that_a_script_has_in_its_text_is_in_no_error(tmp_path: Path) -> None:
    script = tmp_path / "asks.lua"
    with PaceServer(key="another") as server:
        script.write_text(
            f"""
            local client = require("openai").new("key-0123456789", {{ base_url = "{server.url}" }})
            return function() return assert(client:new_chat_session():send("x")) end
            """
        )
        options: dict[str, Any] = {"attempts": 1, "workers": 1, "output": tmp_path / "out.jsonl"}
        with pytest.raises(RowsFailedError, match=r"provided: \*\*\* \(refused\)"):
            list(luaopenai.map(script, [1], **options))
    for path in tmp_path.glob("out.*"):
        assert b"key-0123456789" not in path.read_bytes()


def test_a_journal_keeps_results_for_the_next_run(tmp_path: Path) -> None:
    asked: list[int] = []

    def note(row: int) -> int:
        asked.append(row)
        if row == 7 and len(asked) < 20:
            raise ValueError("seven")
        return row

    journal = tmp_path / "journal"
    first = luaopenai.map(note, range(10), journal=journal, attempts=1)
    with pytest.raises(RowsFailedError):
        list(first)
    asked.extend([-1] * 20)
    again = luaopenai.map(note, range(10), journal=journal, retry_failed=True)
    assert list(again) == list(range(10))
    assert asked[-1] == 7


def test_with_a_journal_results_come_while_rows_are_still_to_be_read(tmp_path: Path) -> None:
    taken: list[int] = []

    def rows() -> Iterator[int]:
        for number in range(10_000):
            taken.append(number)
            yield number

    for _ in range(2):
        taken.clear()
        with luaopenai.map(lambda row: row, rows(), journal=tmp_path / "journal") as results:
            assert [next(results) for _ in range(50)] == list(range(50))
        assert len(taken) < 10_000


def test_fewer_values_than_are_finished_are_another_input(tmp_path: Path) -> None:
    journal = tmp_path / "j"
    assert list(luaopenai.map(abs, range(10), journal=journal)) == list(range(10))
    with pytest.raises(BatchError, match=r"the input has changed .* there are fewer rows"):
        list(luaopenai.map(abs, range(5), journal=journal))


def test_equal_rows_are_asked_once_where_that_is_wanted() -> None:
    asked: list[int] = []

    def note(row: int) -> int:
        asked.append(row)
        return row

    assert list(luaopenai.map(note, [1, 2, 1, 1, 2], dedupe=True)) == [1, 2, 1, 1, 2]
    assert sorted(asked) == [1, 2]


def test_an_output_is_written_as_the_command_writes_it(script: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    results = luaopenai.map(script, range(5), output=output, workers=1)
    assert [row["n"] for row in results] == [0, 2, 4, 6, 8]
    assert [json.loads(line)["n"] for line in output.read_text().splitlines()] == [0, 2, 4, 6, 8]


def test_a_script_speaks_through_the_server_and_key_that_are_named(tmp_path: Path) -> None:
    path = tmp_path / "f.lua"
    path.write_text(CHAT)
    rows = [{"id": 1, "text": "hello"}]
    with PaceServer(key="key-0123456789") as server:
        options: dict[str, Any] = {
            "base_url": server.url,
            "api_key": "key-0123456789",
            "workers": 1,
        }
        assert list(luaopenai.map(path, rows, **options)) == [{"id": 1, "said": "hello"}]


def test_a_key_that_is_named_is_in_no_error_and_no_repr(tmp_path: Path) -> None:
    path = tmp_path / "f.lua"
    path.write_text('return function() error("it is key-0123456789") end')
    told: list[dict[str, Any]] = []
    results = luaopenai.map(
        path, [1], api_key="key-0123456789", on_failure=told.append, attempts=1, workers=1
    )
    assert list(results) == []
    assert told[0]["error"].endswith("f.lua:1: it is ***")
    assert "key-0123456789" not in repr(results._options)


@pytest.mark.parametrize(
    ("function", "options", "words"),
    [
        (print, {"faster": True}, "there is no option 'faster'"),
        (print, {"sandbox": True}, "sandbox is for Lua scripts"),
        (print, {"base_url": "x"}, "base_url is for Lua scripts"),
        (5, {}, "expected a script's path or a function, got 5"),
    ],
)
def test_wrong_arguments_are_named(function: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        luaopenai.map(function, [], **options)


def test_a_coroutine_function_is_refused() -> None:
    async def ask(row: int) -> int:
        return row

    with pytest.raises(TypeError, match="a coroutine function cannot run in threads"):
        luaopenai.map(ask, [])


def test_importing_luaopenai_loads_nothing_of_it() -> None:
    code = "import sys, luaopenai; print([n for n in sys.modules if 'batch' in n])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("concurrency", 0),
        ("concurrency", "many"),
        ("concurrency", True),
        ("attempts", 0),
        ("attempts", 1.5),
        ("part_rows", -1),
        ("dry_run", 0),
        ("rpm", 0),
        ("rpm", float("nan")),
        ("tpm", -1),
        ("max_tokens_total", "all"),
        ("max_cost", float("inf")),
    ],
)
def test_a_number_that_cannot_be_meant_is_refused_by_name(
    name: str, value: object, tmp_path: Path
) -> None:
    options: dict[str, Any] = {name: value}
    if name == "max_cost":
        options["prices"] = str(tmp_path / "prices.json")
        Path(options["prices"]).write_text('{"m": {"input": 1, "output": 1}}')
    with pytest.raises(BatchError, match=rf"^{name.replace('_', '-')}: expected a .*number"):
        list(luaopenai.map(lambda row: row, [1], **options))


def test_a_script_needs_at_least_one_worker(script: Path) -> None:
    with pytest.raises(BatchError, match=r"^workers: expected a whole number from 1, got 0"):
        list(luaopenai.map(script, [1], workers=0))


def test_there_is_no_option_for_what_cannot_be_had(script: Path) -> None:
    with pytest.raises(TypeError, match="no option 'spark'"):
        luaopenai.map(script, [1], spark="tcp://127.0.0.1:1")


def test_what_json_cannot_carry_fails_its_row() -> None:
    with pytest.raises(RowsFailedError, match=r"result\.x: JSON has no nan"):
        list(luaopenai.map(lambda row: {"x": float("nan")}, [1], attempts=1))


def test_a_function_that_asks_to_exit_fails_its_row() -> None:
    with pytest.raises(RowsFailedError, match="SystemExit: 3"):
        list(luaopenai.map(lambda row: sys.exit(3), [1, 2, 3], attempts=1))


class _MuteError(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (asyncio.CancelledError(), "CancelledError"),
        (_MuteError(), "_MuteError, whose text cannot be made"),
    ],
)
def test_whatever_a_function_raises_fails_its_row(error: BaseException, words: str) -> None:
    def answer(row: int) -> int:
        if row == 2:
            raise error
        return row

    failures: list[dict[str, Any]] = []
    with luaopenai.map(
        answer, [1, 2, 3], attempts=2, concurrency=1, on_failure=failures.append
    ) as results:
        assert list(results) == [1, 3]
    [failure] = failures
    assert words in failure["error"]


@pytest.mark.parametrize("options", [{}, {"journal": "rows.journal"}])
def test_results_may_be_taken_in_one_thread_after_another(
    options: dict[str, str], tmp_path: Path
) -> None:
    given: dict[str, Any] = {name: tmp_path / value for name, value in options.items()}
    results = luaopenai.map(lambda row: row, range(5), **given)
    taken = [next(results)]
    thread = threading.Thread(target=lambda: taken.extend(results))
    thread.start()
    thread.join(30)
    assert taken == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "error",
    [
        RowsFailedError(2, [{"error": "no"}]),
        BadRowError("rows.jsonl:1", "is no JSON"),
        JournalDamagedError("rows.journal", "malformed"),
    ],
)
def test_errors_pass_between_processes(error: BatchError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_what_is_neither_a_path_nor_a_function_is_no_script() -> None:
    with pytest.raises(TypeError, match="expected a script's path or a function, got None"):
        luaopenai.map(None, [1])  # type: ignore[arg-type]


def test_limits_are_those_of_the_sandbox(script: Path) -> None:
    with pytest.raises(BatchError, match="limits are for scripts in the sandbox"):
        list(luaopenai.map(script, [1], limits={"seconds": 1}))
    with pytest.raises(BatchError, match="no limit 'secnds'; there are seconds, memory_mb"):
        list(luaopenai.map(script, [1], sandbox=True, limits={"secnds": 1}))


def test_a_string_is_no_list_of_arguments(script: Path) -> None:
    with pytest.raises(TypeError, match="args: expected a list of strings, got a string"):
        luaopenai.map(script, [1], args="abc")


def test_a_base_url_has_a_scheme(script: Path) -> None:
    with pytest.raises(ValueError, match="base_url: http:// or https:// is missing"):
        luaopenai.map(script, [1], base_url="localhost:1234")
