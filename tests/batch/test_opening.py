"""A job goes on only where all is as it was, and replaces no file that is not its own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from luaopenai.batch.options import BatchError
from support.fake_executor import failing, stopping_after
from support.job_workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"dedupe": True, "key": "id"}, "dedupe and key exclude each other"),
        ({"restart": True, "keep": True}, "restart and keep exclude each other"),
        ({"restart": True, "retry_failed": True}, "restart and retry-failed exclude each other"),
        ({"attempts": 0}, "attempts: expected a whole number from 1, got 0"),
        ({"on_bad_row": "hide"}, "on-bad-row is stop or skip"),
    ],
)
def test_options_that_do_not_go_are_refused(
    workspace: Workspace, options: dict[str, Any], what: str
) -> None:
    workspace.numbered(3)
    with pytest.raises(BatchError, match=what) as caught:
        workspace.run(**options)
    assert caught.value.code == 2


def test_standard_input_is_kept_beside_the_journal(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = b"".join(b'{"id":%d}\n' % number for number in range(50))

    def give(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    give(lines)
    assert workspace.run(inputs=("-",), executor=stopping_after(10)).code == 4
    # The pipe gives the same again, or nothing.
    give(lines)
    assert workspace.run(inputs=("-",), executor=stopping_after(10)).code == 4
    give(b"")
    assert workspace.run(inputs=("-",)).code == 0
    assert workspace.results() == [{"id": number} for number in range(50)]
    give(b'{"id":7}\n')
    with pytest.raises(BatchError, match="stdin has changed since this job began"):
        workspace.run(inputs=("-",))


# Scripts and input that change.


def half_done(workspace: Workspace, **options: Any) -> list[int]:
    workspace.numbered(40)
    workspace.run(executor=stopping_after(20), **options)
    return sorted(value["id"] for value in workspace.asked)


def test_a_changed_script_stops_unless_it_is_to_be_kept(workspace: Workspace) -> None:
    done = half_done(workspace)
    workspace.script.write_text("return function(row) return 1 end")
    with pytest.raises(BatchError, match=r"f\.lua has changed .* --keep goes on, --restart"):
        workspace.run()
    assert workspace.run(keep=True).code == 0
    assert sorted(value["id"] for value in workspace.asked) == sorted(set(range(40)) - set(done))
    # What was kept is now the script of the job.
    assert workspace.run().code == 0


def test_a_changed_module_of_the_script_is_a_changed_script(workspace: Workspace) -> None:
    workspace.script.write_text('local m = require("lib.m") return m')
    (workspace.folder / "lib").mkdir()
    module = workspace.folder / "lib" / "m.lua"
    module.write_text("return function(row) return row end")
    half_done(workspace)
    module.write_text("return function(row) return 1 end")
    with pytest.raises(BatchError, match=r"lib\.m has changed"):
        workspace.run()


def test_changed_arguments_stop_too(workspace: Workspace) -> None:
    half_done(workspace, args=("a",))
    with pytest.raises(BatchError, match="the arguments of the script have changed"):
        workspace.run(args=("b",))


@pytest.mark.parametrize("keep", [False, True])
def test_another_key_stops_whether_or_not_changes_are_kept(
    workspace: Workspace, keep: bool
) -> None:
    half_done(workspace)
    with pytest.raises(BatchError, match="was begun with no --key, this is with --key id"):
        workspace.run(key="id", keep=keep)


def test_restart_begins_anew(workspace: Workspace) -> None:
    half_done(workspace)
    workspace.script.write_text("return function(row) return 1 end")
    assert workspace.run(restart=True).code == 0
    assert len(workspace.asked) == 40


def test_an_input_that_was_only_touched_goes_on(workspace: Workspace) -> None:
    done = half_done(workspace)
    os.utime(workspace.input, ns=(1, 1))
    assert workspace.run().code == 0
    assert len(workspace.asked) == 40 - len(done)


def test_rows_that_were_appended_are_done_with_keep(workspace: Workspace) -> None:
    done = half_done(workspace)
    workspace.numbered(45)
    with pytest.raises(BatchError, match="the finished rows are as they were"):
        workspace.run()
    assert workspace.run(keep=True).code == 0
    assert len(workspace.asked) == 45 - len(done)
    assert workspace.results() == [{"id": number} for number in range(45)]


def test_rows_that_moved_keep_their_results(workspace: Workspace) -> None:
    workspace.numbered(40)
    workspace.run(failing(9), attempts=1)
    workspace.rows({"id": 99}, *({"id": number} for number in range(1, 40)), {"id": 1})
    with pytest.raises(BatchError, match=r"rows\.jsonl has changed .*:1 is another row"):
        workspace.run()
    summary = workspace.run(keep=True)
    assert workspace.asked == [{"id": 99}, {"id": 1}]
    expected = [99, *(number for number in range(1, 40) if number != 9), 1]
    assert [value["id"] for value in workspace.results()] == expected
    assert (summary.code, workspace.failures()[0]["row"]) == (3, {"id": 9})
    assert workspace.failures()[0]["number"] == 9


def test_with_a_key_an_edited_row_is_kept_too(workspace: Workspace) -> None:
    workspace.numbered(10)
    workspace.run(key="id")
    workspace.rows(*({"id": number, "edited": True} for number in range(10, -1, -1)))
    assert workspace.run(key="id", keep=True).code == 0
    assert workspace.asked == [{"id": 10, "edited": True}]
    assert [value["id"] for value in workspace.results()] == list(range(10, -1, -1))


def test_the_output_follows_rows_that_were_removed(workspace: Workspace) -> None:
    workspace.numbered(10)
    workspace.run()
    workspace.numbered(5)
    with pytest.raises(BatchError, match="there are fewer rows"):
        workspace.run()
    assert workspace.run(keep=True).code == 0
    assert len(workspace.results()) == 5


def test_an_input_that_changes_while_it_is_read_is_noticed(workspace: Workspace) -> None:
    workspace.numbered(40)

    def function(value: Any) -> Any:
        if value["id"] == 20:
            with workspace.input.open("a") as file:
                file.write('{"id": 40}\n')
        return value

    summary = workspace.run(function)
    assert summary.code == 1
    assert "the input has changed while it was read" in (summary.reason or "")
    assert not workspace.output.exists()
    assert workspace.run(keep=True).code == 0
    assert workspace.asked == [{"id": 40}]
    assert len(workspace.results()) == 41


def test_an_edit_that_keeps_size_and_time_is_found_by_the_rows(workspace: Workspace) -> None:
    half_done(workspace)
    stat = workspace.input.stat()
    workspace.input.write_text(workspace.input.read_text().replace('{"id": 1}', '{"id": 9}', 1))
    os.utime(workspace.input, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    summary = workspace.run()
    assert summary.code == 1
    assert ":2 is another row" in (summary.reason or "")


# Outputs and journals that are there.


def test_what_a_job_writes_is_no_input_of_it(workspace: Workspace) -> None:
    workspace.numbered(5)
    for _ in range(2):
        assert workspace.run(failing(3), inputs=(f"{workspace.folder}/*.jsonl",)).code == 3
        assert workspace.results() == [{"id": number} for number in (0, 1, 2, 4)]
    with pytest.raises(BatchError, match="is input and output at once"):
        workspace.run(inputs=(str(workspace.output),))


def test_an_output_of_somebody_else_is_refused(workspace: Workspace) -> None:
    workspace.numbered(5)
    workspace.output.write_text("precious")
    with pytest.raises(BatchError, match="exists, and there is no journal"):
        workspace.run()
    assert workspace.output.read_text() == "precious"
    assert workspace.run(restart=True, executor=stopping_after(2)).code == 4
    assert workspace.output.read_text() == "precious"
    # Without --restart, the command goes on with what was begun.
    assert workspace.run().code == 0
    assert len(workspace.results()) == 5


def test_an_output_that_was_edited_is_not_replaced(workspace: Workspace) -> None:
    workspace.numbered(5)
    workspace.run(failing(3))
    workspace.output.write_text("edited")
    with pytest.raises(BatchError, match="not as this job wrote it"):
        workspace.run(retry_failed=True)
    assert workspace.output.read_text() == "edited"


def test_an_output_that_appears_meanwhile_is_not_replaced(workspace: Workspace) -> None:
    workspace.numbered(5)

    def appear(value: Any) -> Any:
        workspace.output.write_text("precious")
        return value

    summary = workspace.run(appear)
    assert summary.code == 1
    assert "not as this job wrote it" in (summary.reason or "")
    assert workspace.output.read_text() == "precious"
    workspace.output.unlink()
    assert workspace.run().code == 0
    assert (len(workspace.results()), workspace.asked) == (5, [])


def test_a_damaged_journal_can_be_replaced_in_the_same_process(workspace: Workspace) -> None:
    workspace.numbered(500)
    assert workspace.run(executor=stopping_after(400)).code == 4
    journal = Path(f"{workspace.output}.journal")
    pages = journal.read_bytes()
    journal.write_bytes(pages[: len(pages) // 2])
    # The error is kept, and with it all that its frames hold.
    with pytest.raises(BatchError, match="is damaged"):
        workspace.run()
    with pytest.raises(BatchError, match="is damaged") as kept:
        workspace.run()
    assert kept.value.__traceback__ is not None
    assert workspace.run(restart=True).code == 0


def test_output_and_journal_are_two_files(workspace: Workspace) -> None:
    workspace.numbered(5)
    with pytest.raises(BatchError, match="is output and journal at once"):
        workspace.run(journal=str(workspace.output))


def test_an_output_that_could_not_be_replaced_is_replaced_by_the_next_run(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.numbered(5)
    assert workspace.run().code == 0
    workspace.numbered(6)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        assert workspace.run(keep=True).code == 1
    assert len(workspace.results()) == 5
    assert workspace.run(keep=True).code == 0
    assert len(workspace.results()) == 6


def test_a_second_command_on_one_journal_says_so(workspace: Workspace) -> None:
    workspace.numbered(5)
    code = (
        "import sys, time; from luaopenai.batch.lock import JournalLock;"
        "lock = JournalLock(sys.argv[1]); print('locked', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, f"{workspace.output}.journal"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            with pytest.raises(BatchError, match=rf"process {process.pid}\) is at work on"):
                workspace.run()
        finally:
            process.kill()
    # A lock ends with its process.
    assert workspace.run().code == 0
