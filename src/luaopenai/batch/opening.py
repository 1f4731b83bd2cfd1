"""Opens a job: its lock, journal, input and output, and whether they are still those it began with.

A job goes on only where its script, its arguments and the rows that are finished are as they were.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from filecmp import cmp
from typing import Any, BinaryIO

from luaopenai.batch.cache import AnswerCache
from luaopenai.batch.disk import sync_folder
from luaopenai.batch.formats import find_format
from luaopenai.batch.journal import Journal
from luaopenai.batch.lock import JournalLock
from luaopenai.batch.options import CODE_USAGE, ROW_LIMITS, BatchError, Options
from luaopenai.batch.outputs import Output
from luaopenai.batch.rows import (
    BadRowError,
    FileRows,
    InputFile,
    RowSource,
    ValueRows,
    find_inputs,
    is_stream,
)
from luaopenai.batch.script import digests, script_files


@dataclass
class OpenJob:
    """The files and stores that a job works with; ``close`` closes them."""

    journal: Journal
    source: RowSource
    output: Output | None
    cache: AnswerCache | None
    closing: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def close(self) -> None:
        """Closes all files, and releases the lock."""
        self.closing.close()


def open_job(options: Options, values: Iterable[Any] | None = None) -> OpenJob:
    """Opens all that a job needs; its rows are ``values``, or those of its input files.

    Raises ``BatchError`` where it cannot begin or go on.
    """
    _check(options)
    with contextlib.ExitStack() as stack:
        is_dry = options.dry_run is not None
        script = digests(script_files(options.script)) if options.script else {}
        output = None
        if options.output is not None and not is_dry:
            output = Output(options.output, options.output_format, options.part_rows)
        path = None if is_dry else options.journal_path
        if path is not None:
            if output is not None and os.path.realpath(path) == os.path.realpath(output.path):
                raise BatchError(f"{path} is output and journal at once", CODE_USAGE)
            stack.callback(JournalLock(path).release)
        if output is not None and path is not None:
            _check_output_without_journal(output, path, options)
        source = _source(options, values, path, stack)
        journal = Journal(path, restart=options.restart, keeps_rows=options.dedupe)
        stack.callback(journal.close)
        try:
            if output is not None:
                if journal.is_new:
                    journal.set("replaces", output.mark())
                check_output(output, journal)
            _check_identity(options, script, source, journal)
        except sqlite3.Error as error:
            raise journal.trouble(error) from None
        cache = None
        if options.cache is not None:
            if not options.script:
                raise BatchError("a cache needs a script in a file", CODE_USAGE)
            cache = AnswerCache(options.cache, script, options.args)
            stack.callback(cache.close)
        return OpenJob(journal, source, output, cache, stack.pop_all())


_COUNTS = ("attempts", "concurrency", "dry_run", "max_tokens_total", "part_rows", "workers")
_AMOUNTS = ("max_cost", "rpm", "tpm")


def _word(name: str) -> str:
    return name.replace("_", "-")


def _check(options: Options) -> None:
    def wrong(message: str) -> BatchError:
        return BatchError(message, CODE_USAGE)

    if options.on_bad_row not in ("stop", "skip"):
        raise wrong(f"on-bad-row is stop or skip, not {options.on_bad_row!r}")
    for name in _COUNTS:
        value = getattr(options, name)
        if value is not None and (type(value) is not int or value < 1):
            raise wrong(f"{_word(name)}: expected a whole number from 1, got {value!r}")
    for name in _AMOUNTS:
        value = getattr(options, name)
        if value is not None and not (type(value) in (int, float) and 0 < value < math.inf):
            raise wrong(f"{_word(name)}: expected a number above 0, got {value!r}")
    if options.limits and not options.sandbox:
        raise wrong("limits are for scripts in the sandbox")
    for name in options.limits:
        if name not in ROW_LIMITS:
            raise wrong(f"limits: no limit {name!r}; there are {', '.join(ROW_LIMITS)}")
    if options.dedupe and options.key is not None:
        raise wrong("dedupe and key exclude each other: rows of different keys are never equal")
    if options.restart and (options.keep or options.retry_failed):
        other = "keep" if options.keep else "retry-failed"
        raise wrong(f"restart and {other} exclude each other")


# The output.


def _check_output_without_journal(output: Output, path: str, options: Options) -> None:
    if output.exists() and not os.path.exists(path) and not options.restart:
        raise _foreign(output, f"there is no journal {path}")


def check_output(output: Output, journal: Journal) -> None:
    """Refuses an output that neither this job wrote nor --restart was to replace."""
    mark = output.mark()
    written = journal.get("output") or {"mark": None}
    if mark is not None and mark not in (written["mark"], journal.get("replaces")):
        raise _foreign(output, "it is not as this job wrote it")


def _foreign(output: Output, why: str) -> BatchError:
    return BatchError(
        f"{output.path} exists, and {why}: name another output, or move it away;"
        " --restart begins anew and replaces it"
    )


# The input.


def _source(
    options: Options,
    values: Iterable[Any] | None,
    journal: str | None,
    stack: contextlib.ExitStack,
) -> RowSource:
    if values is not None:
        return ValueRows(values, options.key)
    files = []
    spooled = 0
    own = [path for path in (options.output, journal, options.failures_path) if path]
    for path in find_inputs(options.inputs, own):
        form = find_format(path, options.input_format, "input")
        if is_stream(path):
            spool = _spool(path, journal, spooled, stack)
            spooled += 1
            files.append(InputFile.of(spool, form, "stdin" if path == "-" else path))
        else:
            files.append(InputFile.of(path, form))
    return FileRows(files, options.key)


def _spool(path: str, journal: str | None, number: int, stack: contextlib.ExitStack) -> str:
    """Copies what can be read but once to a file beside the journal, where the next run finds it.

    Where an earlier run has left such a file, an empty stream stands for it, and so does one with
    the same content.
    """
    if journal is None:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        journal = os.path.join(folder, "rows")
    spool = f"{journal}.input" + (f"-{number}" if number else "")
    partial = f"{spool}.partial"
    there = os.path.exists(spool)
    if there and path == "-" and sys.stdin.isatty():
        return spool
    try:
        with open(partial, "wb") as copy:
            if path == "-":
                shutil.copyfileobj(_standard_input(), copy, 1 << 20)
            else:
                with open(path, "rb") as stream:
                    shutil.copyfileobj(stream, copy, 1 << 20)
            copy.flush()
            os.fsync(copy.fileno())
        if there and (not os.path.getsize(partial) or cmp(partial, spool, shallow=False)):
            os.unlink(partial)
        else:
            os.replace(partial, spool)
            sync_folder(spool)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise BatchError(f"{path} cannot be copied to {spool}: {error.strerror}") from None
    return spool


def _standard_input() -> BinaryIO:
    return sys.stdin.buffer


# What the job is.


def _check_identity(
    options: Options, script: dict[str, str], source: RowSource, journal: Journal
) -> None:
    marks = source.marks()
    now = {"script": script, "args": list(options.args), "key": options.key, "marks": marks}
    then = journal.get("job")
    rows = journal.done + journal.left_out + journal.failed
    if then is not None and rows:
        _compare(options, now, then, source, journal, rows)
    if then is not None and then["marks"] != marks:
        journal.forget_bad()
    if then != now:
        journal.set("job", now)


def _compare(
    options: Options,
    now: dict[str, Any],
    then: dict[str, Any],
    source: RowSource,
    journal: Journal,
    rows: int,
) -> None:
    """Compares a job with what it was; raises ``BatchError`` where it is another one."""
    ways = f"({rows} rows are finished): --keep goes on, --restart begins anew"
    if now["key"] != then["key"]:
        raise BatchError(
            f"the journal {journal.path} was begun with {_key(then['key'])}, this is with"
            f" {_key(now['key'])}: go on as it was, or --restart begins anew"
        )
    if not options.keep and (names := _changed_files(now["script"], then["script"])):
        have = "has" if len(names) == 1 else "have"
        raise BatchError(f"{', '.join(names)} {have} changed since this job began {ways}")
    if not options.keep and now["args"] != then["args"]:
        raise BatchError(f"the arguments of the script have changed since this job began {ways}")
    if now["marks"] != then["marks"]:
        changed = _first_changed_row(source, journal)
        if changed is None and _sizes(now) == _sizes(then):
            return
        if not options.keep:
            what = _what_changed(now["marks"], then["marks"])
            how = "the finished rows are as they were" if changed is None else changed
            raise BatchError(
                f"{what} since this job began; {how} ({rows} rows are finished): --keep goes on"
                " with the rows that are new or have changed, --restart begins anew"
            )
        if changed is not None:
            journal.renumber(source.rows(_pass_over))


def _key(field_name: str | None) -> str:
    return f"--key {field_name}" if field_name is not None else "no --key"


def _changed_files(now: dict[str, str], then: dict[str, str]) -> list[str]:
    return sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name))


def _sizes(job: dict[str, Any]) -> list[list[Any]]:
    return [[name, size] for name, size, _ in job["marks"]]


def _what_changed(now: list[list[Any]], then: list[list[Any]]) -> str:
    names = [name for name, *_ in now]
    if names != [name for name, *_ in then]:
        return "the input files are not the same"
    changed = [new[0] for new, old in zip(now, then, strict=True) if new != old]
    return f"{', '.join(changed)} {'has' if len(changed) == 1 else 'have'} changed"


def _first_changed_row(source: RowSource, journal: Journal) -> str | None:
    """Returns the first finished row that is not as it was; None where all are."""
    rows = source.rows(_pass_over)
    for number, digest, _ in journal.finished():
        for row in rows:
            if row.number == number:
                if row.digest != digest:
                    return f"{row.source} is another row"
                break
        else:
            return "there are fewer rows"
    return None


def _pass_over(_: BadRowError) -> None:
    """Leaves a bad row to the run itself."""
