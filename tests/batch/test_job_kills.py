"""Jobs that are killed, full disks, and journals that lose their end: no row is lost or doubled.

50 kills at random moments by default; ``LUAOPENAI_SOAK=full`` makes it 500.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from luaopenai.batch import journal as journal_module
from luaopenai.batch import journal_file, outputs
from luaopenai.batch.options import BatchError, Options
from support import fake_executor
from support.children import child
from support.fake_executor import FakeExecutor, answer_to
from support.job_workspace import Workspace

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")

FULL = os.environ.get("LUAOPENAI_SOAK") == "full"
ROWS = 240
KILLS_PER_JOB = 5
JOBS = 100 if FULL else 10
FAILING = set(range(7, ROWS, 50))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def program(workspace: Workspace, pause: float, *more: str, **options: Any) -> list[str]:
    """The command line of the same job in a process of its own."""
    given = {"script": str(workspace.script), "inputs": [str(workspace.input)]}
    given = {**given, "output": str(workspace.output), **options}
    path = workspace.folder / "options.json"
    path.write_text(json.dumps(given))
    log = str(workspace.folder / "requests.log")
    return [sys.executable, fake_executor.__file__, str(path), log, str(pause), *more]


def take_requests(workspace: Workspace) -> list[int]:
    """The rows that were asked since the last call."""
    log = workspace.folder / "requests.log"
    if not log.exists():
        return []
    asked = [int(line) for line in log.read_text().split()]
    log.unlink()
    return asked


def kept_rows(workspace: Workspace) -> set[int]:
    """The rows that are in the journal, read from a copy."""
    copy = workspace.folder / "copy"
    for end in ("", "-wal"):
        copy.with_name(f"copy{end}").unlink(missing_ok=True)
        source = Path(f"{workspace.output}.journal{end}")
        if source.exists():
            shutil.copy(source, f"{copy}{end}")
    if not copy.exists():
        return set()
    db = sqlite3.connect(copy)
    try:
        return {number for (number,) in db.execute("SELECT number FROM rows")}
    finally:
        db.close()


def check_output(workspace: Workspace) -> None:
    expected = [{"id": n, "square": n * n} for n in range(ROWS) if n not in FAILING]
    assert workspace.results() == expected
    assert [line["number"] for line in workspace.failures()] == sorted(FAILING)


@pytest.mark.soak
@pytest.mark.timeout(1200 if FULL else 180)
@pytest.mark.parametrize("seed", range(JOBS))
def test_a_job_killed_at_random_moments_asks_no_kept_row_again(
    workspace: Workspace, seed: int
) -> None:
    chance = random.Random(seed)
    workspace.numbered(ROWS)
    for _ in range(KILLS_PER_JOB):
        kept = kept_rows(workspace)
        with child(program(workspace, 0.01), stdout=subprocess.DEVNULL) as process:
            # Somewhere in the fifth of the job that follows, whatever the machine's speed.
            wait_for_requests(workspace, process, chance.randrange(ROWS // KILLS_PER_JOB))
            time.sleep(chance.uniform(0, 0.03))
            process.kill()
        assert kept.isdisjoint(take_requests(workspace))
        assert kept <= kept_rows(workspace)
    kept = kept_rows(workspace)
    assert kept
    assert (
        subprocess.run(program(workspace, 0), stdout=subprocess.DEVNULL, check=False).returncode
        == 3
    )
    asked = take_requests(workspace)
    assert kept.isdisjoint(asked)
    assert kept | set(asked) == set(range(ROWS))
    check_output(workspace)


def wait_for_requests(workspace: Workspace, process: subprocess.Popen[Any], count: int) -> None:
    """Waits until a child has asked so many rows, or has ended."""
    log = workspace.folder / "requests.log"
    while process.poll() is None and (not log.exists() or log.read_text().count("\n") < count):
        time.sleep(0.002)


@pytest.mark.parametrize("output", ["out.jsonl", "parts/", "out.csv"])
def test_a_job_killed_at_any_step_of_writing_its_files_goes_on(
    workspace: Workspace, output: str
) -> None:
    workspace.numbered(ROWS)
    path = workspace.folder / output.rstrip("/")
    end = "/" if output.endswith("/") else ""
    step = 0
    while True:
        step += 1
        # The failed row makes a new output necessary, with the old one in its workspace.
        workspace.output = path
        command = program(workspace, 0, str(step), output=f"{path}{end}", retry_failed=True)
        if not path.exists():
            command = program(workspace, 0, str(step), output=f"{path}{end}")
        before = _content(path)
        code = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
        after = _content(path)
        # It is there as a whole, or as it was.
        assert after is None or len(after) == ROWS - len(FAILING) or after == before
        if code != -signal.SIGKILL:
            break
    assert code == 3
    assert step > 5
    assert after is not None
    left = set(os.listdir(workspace.folder)) - {
        "f.lua",
        "rows.jsonl",
        "options.json",
        "requests.log",
    }
    assert left == {path.name, f"{path.name}.journal", f"{path.name}.failed.jsonl"}


def _content(path: Path) -> list[str] | None:
    """The rows of an output, sorted; None where there is none."""
    if not path.exists():
        return None
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    lines = [line for file in files for line in file.read_text().splitlines()]
    return [line for line in lines if line != "id,square"]


def test_every_row_is_asked_once_however_the_files_are_written(workspace: Workspace) -> None:
    """The same steps, with a look at what is asked."""
    workspace.numbered(ROWS)
    step = 0
    code = -signal.SIGKILL
    asked: list[int] = []
    while code == -signal.SIGKILL:
        step += 1
        kept = kept_rows(workspace)
        command = program(workspace, 0, str(step))
        code = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
        asked = take_requests(workspace)
        assert kept.isdisjoint(asked)
    check_output(workspace)


# A journal that loses its end.


@contextlib.contextmanager
def busy_journals() -> Iterator[None]:
    """Commits and checkpoints often, so that a short job has many of both."""
    connect = journal_file._connect

    def connect_eagerly(path: str) -> sqlite3.Connection:
        db = connect(path)
        db.execute("PRAGMA wal_autocheckpoint = 10")
        return db

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal_file, "_connect", connect_eagerly)
        patch.setattr(journal_module, "COMMIT_SECONDS", 0.0)
        yield


def big_answer(value: Any) -> Any:
    return {**answer_to(value), "text": "x" * (value["id"] * 37 % 9000)}


@busy_journals()
def snapshots(
    workspace: Workspace, count: int, chance: random.Random
) -> list[tuple[Path, set[int]]]:
    """Journals as kills at random moments leave them, each with the rows that it has."""
    taken: list[tuple[Path, set[int]]] = []
    steps = workspace.job(big_answer, lambda function: FakeExecutor(function, seed=5)).steps()
    for number, _ in enumerate(steps):
        if len(taken) < count and chance.random() < 0.5:
            folder = workspace.folder / f"taken-{number}"
            folder.mkdir()
            for end in ("", "-wal"):
                shutil.copy(f"{workspace.output}.journal{end}", folder / f"out.jsonl.journal{end}")
            taken.append((folder, kept_rows(workspace)))
    return taken


@pytest.mark.parametrize("end", ["", "-wal"])
def test_a_truncated_journal_is_a_prefix_or_said_to_be_damaged(
    workspace: Workspace, end: str
) -> None:
    chance = random.Random(f"truncate{end}")
    workspace.numbered(ROWS)
    damaged = recovered = 0
    for taken, kept in snapshots(workspace, 10, chance):
        for _ in range(100 if FULL else 5):
            trial = _copy_of(taken, workspace)
            path = trial.folder / f"out.jsonl.journal{end}"
            os.truncate(path, chance.randrange(path.stat().st_size + 1))
            if (said := trial.run_or_say(big_answer)) is not None:
                assert "out.jsonl.journal is damaged" in said
                damaged += 1
                continue
            recovered += 1
            assert [row["id"] for row in trial.results()] == [
                n for n in range(ROWS) if n not in FAILING
            ]
            assert all(row == big_answer(row) for row in trial.results())
            asked = {value["id"] for value in trial.asked}
            # What it still had was not asked; what it had lost was.
            assert set(range(ROWS)) - kept <= asked
            assert len(asked) + trial.before == ROWS
    assert recovered
    assert end or damaged


class Trial(Workspace):
    """A job on a copy of a journal."""

    before = 0

    def run_or_say(self, function: Callable[[Any], Any]) -> str | None:
        """Does the job; returns why it could not."""
        try:
            summary = self.run(function)
        except BatchError as error:
            return str(error)
        self.before = summary.counts.before
        return summary.reason


def _copy_of(taken: Path, workspace: Workspace) -> Trial:
    folder = workspace.folder / "trial"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(taken, folder)
    trial = Trial(folder)
    shutil.copy2(workspace.input, trial.input)
    return trial


def test_a_journal_with_other_bytes_gives_no_wrong_row(workspace: Workspace) -> None:
    chance = random.Random("bytes")
    workspace.numbered(ROWS)
    for taken, _ in snapshots(workspace, 10, chance):
        for _ in range(100 if FULL else 5):
            trial = _copy_of(taken, workspace)
            path = trial.folder / ("out.jsonl.journal" + chance.choice(["", "-wal"]))
            content = bytearray(path.read_bytes())
            start = chance.randrange(len(content))
            content[start : start + 16] = chance.randbytes(16)
            path.write_bytes(content)
            if trial.run_or_say(big_answer) is None:
                assert all(row == big_answer(row) for row in trial.results())
                assert len(trial.results()) == ROWS - len(FAILING)


def test_no_other_file_is_taken_for_a_journal_or_replaced(workspace: Workspace) -> None:
    workspace.numbered(3)
    other = Path(f"{workspace.output}.journal")
    other.write_bytes(b"a letter")
    for options in ({}, {"restart": True}):
        with pytest.raises(BatchError, match="is no journal: name another with --journal"):
            workspace.run(**options)
    assert other.read_bytes() == b"a letter"


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0", b"SQLite format 3\0" + b"x" * 5000])
def test_a_file_that_is_no_journal_is_said_to_be_damaged(
    workspace: Workspace, content: bytes
) -> None:
    workspace.numbered(3)
    Path(f"{workspace.output}.journal").write_bytes(content)
    with pytest.raises(BatchError, match=r"is damaged .* --restart begins anew"):
        workspace.run()
    assert workspace.run(restart=True).code == 0


def test_a_journal_with_fewer_rows_than_it_tells_of_is_damaged(workspace: Workspace) -> None:
    workspace.numbered(5)
    workspace.run()
    with contextlib.closing(sqlite3.connect(f"{workspace.output}.journal")) as db:
        db.execute("DELETE FROM rows WHERE number = 3")
        db.commit()
    with pytest.raises(BatchError, match=r"is damaged \(rows are missing\)"):
        workspace.run()


def test_a_damaged_row_is_not_taken_over_to_a_changed_input(workspace: Workspace) -> None:
    workspace.numbered(5)
    workspace.run()
    with contextlib.closing(sqlite3.connect(f"{workspace.output}.journal")) as db:
        db.execute("UPDATE rows SET text = ? WHERE number = 3", (b'{"id": 9}',))
        db.commit()
    workspace.numbered(5, first=1)
    with pytest.raises(BatchError, match=r"is damaged \(row 3 is not as it was written\)"):
        workspace.run(keep=True)


def test_rows_are_kept_before_workers_are_waited_for(workspace: Workspace) -> None:
    workspace.numbered(3)
    kept: list[set[int]] = []

    class Slow(FakeExecutor):
        def close(self, seconds: float) -> None:
            kept.append(kept_rows(workspace))
            super().close(seconds)

    workspace.run(answer_to, Slow)
    assert kept == [{0, 1, 2}]


# What a power cut may take.


class Disk:
    """Notes what is flushed to the disk, and what of that which gets its name was not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.unsafe: list[str] = []
        self.calls: list[tuple[str, Any]] = []
        self._sizes: dict[int, int] = {}
        self._fsync, self._replace = os.fsync, os.replace
        monkeypatch.setattr(os, "fsync", self._note_flush)
        monkeypatch.setattr(os, "replace", self._note_name)

    def is_flushed_after(self, path: Path) -> bool:
        """Whether the folder is flushed as soon as the path has its name."""
        named = self.calls.index(("name", str(path)))
        return self.calls[named + 1 : named + 2] == [("flush", path.parent.stat().st_ino)]

    def _note_flush(self, file: int) -> None:
        self._fsync(file)
        found = os.fstat(file)
        self._sizes[found.st_ino] = found.st_size
        self.calls.append(("flush", found.st_ino))

    def _note_name(self, source: str, target: str) -> None:
        for path in (Path(source), *Path(source).rglob("*")):
            found = path.stat()
            if self._sizes.get(found.st_ino) != found.st_size:
                self.unsafe.append(str(path))
        self._replace(source, target)
        self.calls.append(("name", target))


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "out.parquet", "parts/"])
def test_what_gets_its_name_is_safe_on_the_disk(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if "parquet" in name:
        pytest.importorskip("pyarrow")
    lines = b"".join(b'{"id":%d}\n' % number for number in range(10))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
    output = f"{workspace.folder}/{name}"
    disk = Disk(monkeypatch)
    assert workspace.run(answer_to, inputs=("-",), output=output, attempts=1).code == 3
    journal = Options(str(workspace.script), output=output).journal_path
    assert journal is not None
    # That SQLite flushes is not seen here.
    assert disk.unsafe == [f"{journal}.new"]
    for path in (output.rstrip("/"), journal, f"{journal}.input"):
        assert disk.is_flushed_after(Path(path)), path


# A full disk.


def test_rows_that_could_not_be_kept_are_told(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    workspace.numbered(5)
    monkeypatch.setattr(journal_module.Journal, "commit", full)
    summary = workspace.run(answer_to)
    assert summary.code == 1
    assert "disk is full; 5 finished rows could not be kept" in (summary.reason or "")


def limited(size: int) -> Callable[[], None]:
    """Lets a child write no file larger than ``size``, which is as if the disk were full."""
    resource = pytest.importorskip("resource")
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("size", [20_000, 50_000, 70_000, 80_000])
def test_a_full_disk_stops_the_job_and_loses_nothing_that_is_kept(
    workspace: Workspace, size: int
) -> None:
    workspace.numbered(ROWS)
    # As large as the log of requests must become, and smaller than the journal.
    result = subprocess.run(
        program(workspace, 0.01),
        preexec_fn=limited(size),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "journal" in result.stdout + result.stderr
    assert not workspace.output.exists()
    kept = kept_rows(workspace)
    take_requests(workspace)
    assert (
        subprocess.run(program(workspace, 0), stdout=subprocess.DEVNULL, check=False).returncode
        == 3
    )
    assert kept.isdisjoint(take_requests(workspace))
    check_output(workspace)


def test_a_disk_that_is_full_at_the_end_is_no_loss(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.numbered(ROWS)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(outputs, "_sync", full)
        summary = workspace.run(answer_to)
    assert summary.code == 1
    assert "No space left on device; the results are in the journal" in (summary.reason or "")
    assert not workspace.output.exists()
    assert workspace.run(answer_to).code == 3
    assert workspace.executor is None
    check_output(workspace)


def test_options_have_a_journal_beside_the_output() -> None:
    assert Options("f.lua", output="o/x.jsonl").journal_path == "o/x.jsonl.journal"
    assert Options("f.lua", output="parts/").journal_path == "parts.journal"
    assert Options("f.lua").journal_path is None
