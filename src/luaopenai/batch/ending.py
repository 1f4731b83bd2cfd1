"""The end of a run: writes output and failures, and tells what the run came to."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from luaopenai.batch.exchange import Counts, Summary
from luaopenai.batch.journal import Journal
from luaopenai.batch.lock import JournalLock
from luaopenai.batch.opening import OpenJob, check_output
from luaopenai.batch.options import CODE_FAILURES, CODE_STOPPED, BatchError, Options
from luaopenai.batch.outputs import write_failures
from luaopenai.batch.rows import InputChangedError
from luaopenai.batch.stopping import RunStop


def end_run(
    options: Options, opened: OpenJob, counts: Counts, stop: RunStop, passed_over: int
) -> Summary:
    """Writes the files, if all rows are finished, and tells what the run came to.

    The journal has been committed, where that can be; ``passed_over`` rows are not finished. What
    goes wrong stops the run, where nothing has before: nothing is raised for it.
    """
    journal = opened.journal
    summary = Summary(counts, 0, 0.0)
    failed = journal.failed_rows()
    counts.done -= failed - counts.failed
    counts.failed = failed
    changed = opened.source.changed()
    if changed is not None:
        stop.request(str(InputChangedError(f"{changed} is not as it was")), CODE_STOPPED)
    if passed_over:
        stop.request(
            f"{passed_over} rows are not finished yet; the command without"
            " --retry-failed goes on with them",
            CODE_STOPPED,
        )
    try:
        _write(options, opened, summary, is_whole=stop.stop is None)
    except OSError as error:
        stop.request(
            f"{error.filename or options.output} cannot be written: {error.strerror};"
            " the results are in the journal, the same command writes them",
            CODE_STOPPED,
        )
    except sqlite3.Error as error:
        stop.request(str(journal.trouble(error)), CODE_STOPPED)
    except BatchError as error:
        stop.request(str(error), CODE_STOPPED)
    if stop.stop is not None:
        summary.reason, summary.code = stop.stop.reason, stop.stop.code
        if journal.unsaved:
            summary.reason += f"; {journal.unsaved} finished rows could not be kept"
    elif failed:
        summary.code = CODE_FAILURES
    return summary


def _write(options: Options, opened: OpenJob, summary: Summary, *, is_whole: bool) -> None:
    output, journal = opened.output, opened.journal
    if output is None:
        return
    path = options.failures_path
    if path is not None and write_failures(path, _lines(journal)):
        summary.failures = path
    if not is_whole:
        return
    unordered = options.unordered
    state = [journal.position, unordered, output.format]
    # Commands with other journals may have the same output.
    with JournalLock(output.path):
        check_output(output, journal)
        mark = output.mark()
        if mark is None or journal.get("output") != {"mark": mark, "state": state}:
            journal.set("replaces", mark)
            output.assemble(
                lambda: journal.results(unordered=unordered),
                lambda mark: journal.set("output", {"mark": mark, "state": state}),
            )
    summary.output = options.output


def _lines(journal: Journal) -> Iterator[dict[str, Any]]:
    yield from journal.failures()
    yield from journal.bad()
