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
from support.job_place import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


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
    place: Place, options: dict[str, Any], what: str
) -> None:
    place.numbered(3)
    with pytest.raises(BatchError, match=what) as caught:
        place.run(**options)
    assert caught.value.code == 2


def test_standard_input_is_kept_beside_the_journal(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = b"".join(b'{"id":%d}\n' % number for number in range(50))

    def give(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    give(lines)
    assert place.run(inputs=("-",), executor=stopping_after(10)).code == 4
    # The pipe gives the same again, or nothing.
    give(lines)
    assert place.run(inputs=("-",), executor=stopping_after(10)).code == 4
    give(b"")
    assert place.run(inputs=("-",)).code == 0
    assert place.results() == [{"id": number} for number in range(50)]
    give(b'{"id":7}\n')
    with pytest.raises(BatchError, match="stdin has changed since this job began"):
        place.run(inputs=("-",))


# Scripts and input that change.


def half_done(place: Place, **options: Any) -> list[int]:
    place.numbered(40)
    place.run(executor=stopping_after(20), **options)
    return sorted(value["id"] for value in place.asked)


def test_a_changed_script_stops_unless_it_is_to_be_kept(place: Place) -> None:
    done = half_done(place)
    place.script.write_text("return function(row) return 1 end")
    with pytest.raises(BatchError, match=r"f\.lua has changed .* --keep goes on, --restart"):
        place.run()
    assert place.run(keep=True).code == 0
    assert sorted(value["id"] for value in place.asked) == sorted(set(range(40)) - set(done))
    # What was kept is now the script of the job.
    assert place.run().code == 0


def test_a_changed_module_of_the_script_is_a_changed_script(place: Place) -> None:
    place.script.write_text('local m = require("lib.m") return m')
    (place.folder / "lib").mkdir()
    module = place.folder / "lib" / "m.lua"
    module.write_text("return function(row) return row end")
    half_done(place)
    module.write_text("return function(row) return 1 end")
    with pytest.raises(BatchError, match=r"lib\.m has changed"):
        place.run()


def test_changed_arguments_stop_too(place: Place) -> None:
    half_done(place, args=("a",))
    with pytest.raises(BatchError, match="the arguments of the script have changed"):
        place.run(args=("b",))


@pytest.mark.parametrize("keep", [False, True])
def test_another_key_stops_whether_or_not_changes_are_kept(place: Place, keep: bool) -> None:
    half_done(place)
    with pytest.raises(BatchError, match="was begun with no --key, this is with --key id"):
        place.run(key="id", keep=keep)


def test_restart_begins_anew(place: Place) -> None:
    half_done(place)
    place.script.write_text("return function(row) return 1 end")
    assert place.run(restart=True).code == 0
    assert len(place.asked) == 40


def test_an_input_that_was_only_touched_goes_on(place: Place) -> None:
    done = half_done(place)
    os.utime(place.input, ns=(1, 1))
    assert place.run().code == 0
    assert len(place.asked) == 40 - len(done)


def test_rows_that_were_appended_are_done_with_keep(place: Place) -> None:
    done = half_done(place)
    place.numbered(45)
    with pytest.raises(BatchError, match="the finished rows are as they were"):
        place.run()
    assert place.run(keep=True).code == 0
    assert len(place.asked) == 45 - len(done)
    assert place.results() == [{"id": number} for number in range(45)]


def test_rows_that_moved_keep_their_results(place: Place) -> None:
    place.numbered(40)
    place.run(failing(9), attempts=1)
    place.rows({"id": 99}, *({"id": number} for number in range(1, 40)), {"id": 1})
    with pytest.raises(BatchError, match=r"rows\.jsonl has changed .*:1 is another row"):
        place.run()
    summary = place.run(keep=True)
    assert place.asked == [{"id": 99}, {"id": 1}]
    expected = [99, *(number for number in range(1, 40) if number != 9), 1]
    assert [value["id"] for value in place.results()] == expected
    assert (summary.code, place.failures()[0]["row"]) == (3, {"id": 9})
    assert place.failures()[0]["number"] == 9


def test_with_a_key_an_edited_row_is_kept_too(place: Place) -> None:
    place.numbered(10)
    place.run(key="id")
    place.rows(*({"id": number, "edited": True} for number in range(10, -1, -1)))
    assert place.run(key="id", keep=True).code == 0
    assert place.asked == [{"id": 10, "edited": True}]
    assert [value["id"] for value in place.results()] == list(range(10, -1, -1))


def test_the_output_follows_rows_that_were_removed(place: Place) -> None:
    place.numbered(10)
    place.run()
    place.numbered(5)
    with pytest.raises(BatchError, match="there are fewer rows"):
        place.run()
    assert place.run(keep=True).code == 0
    assert len(place.results()) == 5


def test_an_input_that_changes_while_it_is_read_is_noticed(place: Place) -> None:
    place.numbered(40)

    def function(value: Any) -> Any:
        if value["id"] == 20:
            with place.input.open("a") as file:
                file.write('{"id": 40}\n')
        return value

    summary = place.run(function)
    assert summary.code == 1
    assert "the input has changed while it was read" in (summary.reason or "")
    assert not place.output.exists()
    assert place.run(keep=True).code == 0
    assert place.asked == [{"id": 40}]
    assert len(place.results()) == 41


def test_an_edit_that_keeps_size_and_time_is_found_by_the_rows(place: Place) -> None:
    half_done(place)
    stat = place.input.stat()
    place.input.write_text(place.input.read_text().replace('{"id": 1}', '{"id": 9}', 1))
    os.utime(place.input, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    summary = place.run()
    assert summary.code == 1
    assert ":2 is another row" in (summary.reason or "")


# Outputs and journals that are there.


def test_what_a_job_writes_is_no_input_of_it(place: Place) -> None:
    place.numbered(5)
    for _ in range(2):
        assert place.run(failing(3), inputs=(f"{place.folder}/*.jsonl",)).code == 3
        assert place.results() == [{"id": number} for number in (0, 1, 2, 4)]
    with pytest.raises(BatchError, match="is input and output at once"):
        place.run(inputs=(str(place.output),))


def test_an_output_of_somebody_else_is_refused(place: Place) -> None:
    place.numbered(5)
    place.output.write_text("precious")
    with pytest.raises(BatchError, match="exists, and there is no journal"):
        place.run()
    assert place.output.read_text() == "precious"
    assert place.run(restart=True, executor=stopping_after(2)).code == 4
    assert place.output.read_text() == "precious"
    # Without --restart, the command goes on with what was begun.
    assert place.run().code == 0
    assert len(place.results()) == 5


def test_an_output_that_was_edited_is_not_replaced(place: Place) -> None:
    place.numbered(5)
    place.run(failing(3))
    place.output.write_text("edited")
    with pytest.raises(BatchError, match="not as this job wrote it"):
        place.run(retry_failed=True)
    assert place.output.read_text() == "edited"


def test_an_output_that_appears_meanwhile_is_not_replaced(place: Place) -> None:
    place.numbered(5)

    def appear(value: Any) -> Any:
        place.output.write_text("precious")
        return value

    summary = place.run(appear)
    assert summary.code == 1
    assert "not as this job wrote it" in (summary.reason or "")
    assert place.output.read_text() == "precious"
    place.output.unlink()
    assert place.run().code == 0
    assert (len(place.results()), place.asked) == (5, [])


def test_a_damaged_journal_can_be_replaced_in_the_same_process(place: Place) -> None:
    place.numbered(500)
    assert place.run(executor=stopping_after(400)).code == 4
    journal = Path(f"{place.output}.journal")
    pages = journal.read_bytes()
    journal.write_bytes(pages[: len(pages) // 2])
    # The error is kept, and with it all that its frames hold.
    with pytest.raises(BatchError, match="is damaged"):
        place.run()
    with pytest.raises(BatchError, match="is damaged") as kept:
        place.run()
    assert kept.value.__traceback__ is not None
    assert place.run(restart=True).code == 0


def test_output_and_journal_are_two_files(place: Place) -> None:
    place.numbered(5)
    with pytest.raises(BatchError, match="is output and journal at once"):
        place.run(journal=str(place.output))


def test_an_output_that_could_not_be_replaced_is_replaced_by_the_next_run(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.numbered(5)
    assert place.run().code == 0
    place.numbered(6)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        assert place.run(keep=True).code == 1
    assert len(place.results()) == 5
    assert place.run(keep=True).code == 0
    assert len(place.results()) == 6


def test_a_second_command_on_one_journal_says_so(place: Place) -> None:
    place.numbered(5)
    code = (
        "import sys, time; from luaopenai.batch.lock import JournalLock;"
        "lock = JournalLock(sys.argv[1]); print('locked', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, f"{place.output}.journal"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            with pytest.raises(BatchError, match=rf"process {process.pid}\) is at work on"):
                place.run()
        finally:
            process.kill()
    # A lock ends with its process.
    assert place.run().code == 0
