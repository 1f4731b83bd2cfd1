"""One job from its start to its output: which rows are asked, which again, and when it stops."""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

from luaopenai.batch.exchange import (
    DONE,
    FAILED,
    LEFT_OUT,
    NOTHING_USED,
    Chunk,
    Counts,
    Dropped,
    Event,
    Executor,
    Outcome,
    Row,
    Stop,
    Summary,
    Usage,
)
from luaopenai.batch.lock import JournalLock
from luaopenai.batch.opening import OpenJob, check_output, open_job
from luaopenai.batch.options import CODE_FAILURES, CODE_STOPPED, BatchError, Options
from luaopenai.batch.outputs import write_failures
from luaopenai.batch.rows import BadRowError
from luaopenai.batch.trial import ROWS as TRIAL_ROWS
from luaopenai.batch.trial import Trial

POLL_SECONDS = 0.1
PATIENCE_SECONDS = 60.0
"""How long rows under way may take to finish where nobody is in a hurry to stop."""
PERCENT_FROM_ROWS = 100
"""A percentage of failures is looked at from so many finished rows on."""
_CHUNK_BYTES = 1 << 20
_UNDER_WAY_BYTES = 256 << 20
_SKIPPED_AT_ONCE = 2000

Step = list[tuple[Row, Outcome]]
StartExecutor = Callable[[Usage], Executor]


class Job:
    """A job; ``start`` makes its executor when rows are to be asked.

    ``start`` is given what earlier runs have used. Rows are ``values``, or those of the input files
    of the options. With ``yields_all``, ``steps`` yields every row of the input that is finished:
    also those of earlier runs, and those that share the outcome of an equal row.

    Attributes:
        counts: how far the job is; kept up to date while it runs.
        summary: what the run came to; set when it has ended.
    """

    def __init__(
        self,
        options: Options,
        start: StartExecutor,
        values: Iterable[Any] | None = None,
        *,
        yields_all: bool = False,
    ) -> None:
        self.options = options
        self.yields_all = yields_all
        self.counts = Counts()
        self.summary: Summary | None = None
        self._start = start
        self._values = values
        self._stop: Stop | None = None
        self._last_error: str | None = None

    def run(self) -> Summary:
        """Does the job, and returns what it came to; raises ``BatchError`` if it cannot begin."""
        for _ in self.steps():
            pass
        assert self.summary is not None
        return self.summary

    def stop(self, reason: str, code: int, seconds: float) -> None:
        """Ends the run early: rows under way get ``seconds`` to finish.

        May be called from a signal's handler and from ``steps``'s caller, and again with less time.
        """
        if self._stop is None:
            self._stop = Stop(reason, code, seconds)
        else:
            self._stop.seconds = min(self._stop.seconds, seconds)

    def steps(self) -> Generator[Step, None, None]:
        """Does the job in pieces: yields the rows that were finished just now, with their outcomes.

        Yields at least every 0.1 seconds while rows are under way, an empty list if need be.
        """
        began = time.monotonic()
        opened = open_job(self.options, self._values)
        try:
            run = _Run(self, opened)
            try:
                yield from run.steps()
            finally:
                run.close()
            self.summary = run.end(began)
        finally:
            opened.close()


class _Run:
    """One run of a job, from when all is open to when all rows have had their turn."""

    def __init__(self, job: Job, opened: OpenJob) -> None:
        self._job = job
        self._options = job.options
        self._counts = job.counts
        self._journal = opened.journal
        self._source = opened.source
        self._output = opened.output
        self._cache = opened.cache
        self._executor: Executor | None = None
        self._under_way: dict[int, Row] = {}
        self._bytes = 0
        self._chunks = 0
        self._fresh: Iterator[Row | None] | None = self._fresh_rows()
        self._rows_read = 0
        self._passed_over = 0
        self._again: deque[Row] = deque()
        self._failures: dict[int, int] = {}
        self._failed_before: set[int] = set()
        self._trial = Trial()
        self._held: list[tuple[Row, Outcome, int]] = []
        self._finished: Step = []
        self._followers: dict[int, list[Row]] = {}
        self._count(before=True)

    def _count(self, *, before: bool = False) -> None:
        counts, journal = self._counts, self._journal
        counts.done, counts.left_out, counts.failed = journal.done, journal.left_out, journal.failed
        counts.usage = journal.usage
        counts.under_way = len(self._under_way)
        if before:
            counts.before, counts.usage_before = counts.finished, journal.usage
            counts.total = counts.input_rows = self._source.estimate()
            if counts.total is not None and self._options.dry_run is not None:
                counts.total = min(counts.total, self._options.dry_run)

    # The loop.

    def steps(self) -> Iterator[Step]:
        """Submits rows and takes their outcomes until there are no more, or the run stops."""
        stopped_at: float | None = None
        while True:
            if self._job._stop is None:
                self._fill()
            stop = self._job._stop
            if stop is None and not self._has_more():
                self._release_held()
                self._fill()
                if not self._has_more():
                    break
            if stop is not None:
                if stopped_at is None:
                    stopped_at = time.monotonic()
                    if self._executor is not None:
                        self._executor.finish()
                if not self._under_way or time.monotonic() >= stopped_at + stop.seconds:
                    break
            if self._executor is not None:
                for event in self._executor.outcomes(POLL_SECONDS if self._under_way else 0):
                    self._take(event)
            self._commit(only_if_due=True)
            self._count()
            finished, self._finished = self._finished, []
            yield finished
        self._commit(only_if_due=False)
        self._count()
        if self._finished:
            yield self._finished

    def _has_more(self) -> bool:
        return bool(self._under_way or self._again or self._fresh or self._finished)

    def close(self) -> None:
        """Ends the executor, and saves what there is, however the run ended."""
        try:
            if self._executor is not None:
                self._executor.close(0)
                # There may be outcomes yet, and what rows have used that were dropped.
                for event in self._executor.outcomes(0):
                    self._take(event)
        finally:
            self._commit(only_if_due=False)

    def _halt(self, reason: str, code: int, seconds: float = PATIENCE_SECONDS) -> None:
        self._job.stop(reason, code, seconds)

    def _commit(self, *, only_if_due: bool) -> None:
        try:
            if only_if_due:
                self._journal.commit_if_due()
            else:
                self._journal.commit()
        except sqlite3.Error as error:
            self._halt(str(self._journal.trouble(error)), CODE_STOPPED)
        if self._cache is not None:
            try:
                self._cache.save()
            except sqlite3.Error as error:
                self._halt(f"the cache cannot be written: {error}", CODE_STOPPED)

    # What is asked next.

    def _fill(self) -> None:
        """Submits rows until enough are under way."""
        try:
            while self._job._stop is None:
                rows = self._next_rows()
                if not rows:
                    return
                self._submit(rows)
                self._commit(only_if_due=True)
        except BatchError as error:
            self._fresh = None
            self._halt(str(error), error.code)
        except sqlite3.Error as error:
            self._fresh = None
            self._halt(str(self._journal.trouble(error)), CODE_STOPPED)

    def _submit(self, rows: list[Row]) -> None:
        if self._executor is None:
            self._executor = self._job._start(self._journal.usage)
        for row in rows:
            self._under_way[row.number] = row
            self._bytes += len(row.text)
        self._executor.submit(Chunk(self._chunks, rows))
        self._chunks += 1

    def _next_rows(self) -> list[Row]:
        """Returns the rows of the next chunk; none where enough are under way, or none are left."""
        if self._executor is None:
            capacity, most = 1, 1
        else:
            capacity, most = self._executor.capacity, self._executor.chunk_rows
        room = min(capacity - len(self._under_way), most)
        rows: list[Row] = []
        size = 0
        while len(rows) < room and size < _CHUNK_BYTES and self._has_space(size):
            row = self._next_row()
            if row is None:
                break
            rows.append(row)
            size += len(row.text)
        return rows

    def _has_space(self, size: int) -> bool:
        return self._bytes + size < _UNDER_WAY_BYTES

    def _next_row(self) -> Row | None:
        """Returns the row that is to be asked next.

        While nothing has succeeded yet, fresh rows come before those that have failed, for it may
        be hopeless.
        """
        if self._again and not (self._trial.is_on and self._fresh):
            return self._again.popleft()
        if self._fresh is not None:
            try:
                fresh = next(self._fresh)
            except StopIteration:
                self._fresh = None
            else:
                return fresh
        return self._again.popleft() if self._again and not self._fresh else None

    def _fresh_rows(self) -> Iterator[Row | None]:
        """Yields the rows of the input that are not finished; None now and then in between."""
        options, journal = self._options, self._journal
        is_watched = options.key is not None or options.dedupe or self._cache is not None
        finished = journal.finished()
        ahead = next(finished, None)
        skipped = 0
        for row in self._source.rows(self._on_bad_row):
            if row.number == options.dry_run:
                break
            self._rows_read = row.number + 1
            if ahead is not None and ahead[0] == row.number:
                if ahead[1] != row.digest:
                    raise BatchError(_changed(row.source + " is another row"))
                is_failed = ahead[2]
                ahead = next(finished, None)
                if is_watched and self._note(row) is None:
                    continue
                if not (is_failed and options.retry_failed):
                    self._show(row, row.number)
                    skipped += 1
                    if skipped % _SKIPPED_AT_ONCE == 0:
                        yield None
                    continue
                self._failed_before.add(row.number)
            elif options.retry_failed:
                if options.key is None or self._note(row) is not None:
                    self._passed_over += 1
                continue
            elif is_watched and self._is_known(row):
                skipped += 1
                if skipped % _SKIPPED_AT_ONCE == 0:
                    yield None
                continue
            yield row
        if ahead is not None and options.dry_run is None:
            raise BatchError(_changed("there are fewer rows"))
        self._counts.total = self._rows_read

    def _on_bad_row(self, error: BadRowError) -> None:
        if self._options.on_bad_row == "stop":
            raise error
        self._counts.bad += 1
        self._journal.add_bad(error.source, error.what)

    def _note(self, row: Row) -> int | None:
        """Remembers a row's key or content; returns the number of the first row equal to it.

        Two rows of one key are bad rows: for the second one, there is None.
        """
        if row.named is None and not self._options.dedupe:
            return row.number
        first, source = self._journal.first_seen(row)
        if row.named is None or first == row.number:
            return first
        what = f"the key {row.named!r} is that of {source} too"
        self._on_bad_row(BadRowError(row.source, what))
        return None

    def _is_known(self, row: Row) -> bool:
        """Returns whether a row needs no asking: it equals an earlier one, or is in the cache."""
        first = self._note(row)
        if first is None:
            return True
        if first != row.number:
            self._journal.add_same(row, first)
            self._show(row, first)
            return True
        if self._cache is None or (found := self._cache.find(row.text)) is None:
            return False
        [text] = found
        outcome = Outcome(row.number, LEFT_OUT if text is None else DONE, text)
        self._counts.cached += 1
        self._keep(row, outcome, 0)
        return True

    def _show(self, row: Row, first: int) -> None:
        """Yields a row that was not asked, which has the outcome of ``first``, when that has it."""
        if not self._job.yields_all:
            return
        outcome = self._journal.outcome(first)
        if outcome is None:
            self._followers.setdefault(first, []).append(row)
        else:
            outcome.number = row.number
            self._finished.append((row, outcome))

    # What became of it.

    def _take(self, event: Event) -> None:
        if isinstance(event, Outcome):
            self._take_outcome(event)
        elif isinstance(event, Dropped):
            for number in event.numbers:
                self._forget(number)
        else:
            self._halt(event.reason, event.code, event.seconds)

    def _forget(self, number: int) -> Row | None:
        """Returns a row that is no longer under way; None where it was not."""
        row = self._under_way.pop(number, None)
        if row is not None:
            self._bytes -= len(row.text)
        return row

    def _take_outcome(self, outcome: Outcome) -> None:
        if outcome.usage is not NOTHING_USED:
            self._journal.use(outcome.usage)
        row = self._forget(outcome.number)
        if row is None:
            # A worker that was thought lost has answered after all.
            return
        if outcome.status == FAILED:
            self._fail(row, outcome)
            return
        if self._trial.is_on:
            self._trial.succeed()
            self._release_held()
        if self._cache is not None:
            self._cache.add(row.text, outcome.text if outcome.status == DONE else None)
        self._keep(row, outcome, self._failures.pop(row.number, 0) + 1)

    def _keep(self, row: Row, outcome: Outcome, attempts: int) -> None:
        """Keeps the last outcome of a row."""
        if row.number in self._failed_before:
            self._failed_before.discard(row.number)
            self._journal.try_again(row.number)
        self._journal.add(row, outcome, attempts)
        self._finished.append((row, outcome))
        for follower in self._followers.pop(row.number, ()):
            same = Outcome(follower.number, outcome.status, outcome.text, outcome.error)
            self._finished.append((follower, same))

    def _fail(self, row: Row, outcome: Outcome) -> None:
        error = outcome.error or "failed"
        self._job._last_error = error
        attempts = self._failures.get(row.number, 0) + 1
        self._failures[row.number] = attempts
        if self._trial.is_on and self._trial.fail(row.number, error):
            self._held = []
            self._halt(f"the first {TRIAL_ROWS} rows all failed alike: {error}", CODE_FAILURES, 5)
            return
        if not outcome.final and attempts < self._options.attempts:
            # Where the run stops, the next one tries it again.
            self._counts.retries += 1
            self._again.append(row)
            return
        self._held.append((row, outcome, attempts))
        if not self._trial.is_on:
            self._release_held()

    def _release_held(self) -> None:
        """Keeps the failures that were held back while the run might have been hopeless."""
        held, self._held = self._held, []
        for row, outcome, attempts in held:
            self._failures.pop(row.number, None)
            self._keep(row, outcome, attempts)
        if held:
            self._check_failures()

    def _check_failures(self) -> None:
        limit = self._options.max_failures
        if limit is None:
            return
        journal = self._journal
        failed, finished = journal.failed, journal.done + journal.left_out + journal.failed
        if limit.rows is not None and failed > limit.rows:
            self._halt(f"{failed} rows have failed (max-failures {limit.rows})", CODE_FAILURES, 5)
        elif (
            limit.percent is not None
            and finished >= PERCENT_FROM_ROWS
            and failed * 100 > limit.percent * finished
        ):
            self._halt(
                f"{failed} of {finished} finished rows have failed"
                f" (max-failures {limit.percent:g}%)",
                CODE_FAILURES,
                5,
            )

    # The end.

    def end(self, began: float) -> Summary:
        """Writes the files, if all rows are finished, and tells what the run came to."""
        job, counts, journal = self._job, self._counts, self._journal
        self._count()
        summary = Summary(counts, 0, 0.0, last_error=job._last_error)
        failed = journal.failed_rows()
        counts.done -= failed - counts.failed
        counts.failed = failed
        self._check_input()
        if self._passed_over and job._stop is None:
            self._halt(
                f"{self._passed_over} rows are not finished yet; the command without"
                " --retry-failed goes on with them",
                CODE_STOPPED,
            )
        try:
            self._write(summary, is_whole=job._stop is None)
        except OSError as error:
            self._halt(
                f"{error.filename or self._options.output} cannot be written: {error.strerror};"
                " the results are in the journal, the same command writes them",
                CODE_STOPPED,
            )
        except sqlite3.Error as error:
            self._halt(str(journal.trouble(error)), CODE_STOPPED)
        except BatchError as error:
            self._halt(str(error), CODE_STOPPED)
        if job._stop is not None:
            summary.reason, summary.code = job._stop.reason, job._stop.code
            if journal.unsaved:
                summary.reason += f"; {journal.unsaved} finished rows could not be kept"
        elif failed:
            summary.code = CODE_FAILURES
        summary.seconds = time.monotonic() - began
        return summary

    def _check_input(self) -> None:
        changed = self._source.changed()
        if changed is not None and self._job._stop is None:
            self._halt(_changed(f"{changed} is not as it was"), CODE_STOPPED)

    def _write(self, summary: Summary, *, is_whole: bool) -> None:
        output, journal = self._output, self._journal
        if output is None:
            return
        path = self._options.failures_path
        if path is not None and write_failures(path, _lines(journal)):
            summary.failures = path
        if not is_whole:
            return
        unordered = self._options.unordered
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
        summary.output = self._options.output


def _lines(journal: Any) -> Iterator[dict[str, Any]]:
    yield from journal.failures()
    yield from journal.bad()


def _changed(how: str) -> str:
    return (
        f"the input has changed while it was read: {how}; nothing is lost, and the same command"
        " goes on with --keep, or begins anew with --restart"
    )
