"""One job from its start to its output: rows go to an executor, and their outcomes are kept."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

from luaopenai.batch.ending import end_run
from luaopenai.batch.exchange import (
    DONE,
    FAILED,
    NOTHING_USED,
    Chunk,
    Counts,
    Dropped,
    Event,
    Executor,
    Outcome,
    Row,
    Summary,
    Usage,
)
from luaopenai.batch.failure_policy import FailurePolicy
from luaopenai.batch.feed import RowFeed
from luaopenai.batch.keeper import OutcomeKeeper, Step
from luaopenai.batch.opening import OpenJob, open_job
from luaopenai.batch.options import CODE_STOPPED, BatchError, Options
from luaopenai.batch.stopping import RunStop

POLL_SECONDS = 0.1
_CHUNK_BYTES = 1 << 20
_UNDER_WAY_BYTES = 256 << 20

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
        self._stop = RunStop()

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
        self._stop.request(reason, code, seconds)

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
            summary = run.end()
            summary.seconds = time.monotonic() - began
            self.summary = summary
        finally:
            opened.close()


class _Run:
    """One run of a job, from when all is open to when all rows have had their turn.

    Rows go one way: from the feed to the executor, and their outcomes to the keeper, those that
    failed through the policy of failures, which says whether a row goes back to the feed.
    """

    def __init__(self, job: Job, opened: OpenJob) -> None:
        self._options = job.options
        self._counts = job.counts
        self._stop = job._stop
        self._start = job._start
        self._opened = opened
        self._journal = journal = opened.journal
        self._cache = opened.cache
        self._executor: Executor | None = None
        self._under_way: dict[int, Row] = {}
        self._bytes = 0
        self._chunks = 0
        self._keeper = OutcomeKeeper(journal, yields_all=job.yields_all)
        self._failures = FailurePolicy(job.options, journal, self._keeper, self._stop)
        self._feed = RowFeed(
            job.options, opened.source, journal, opened.cache, self._keeper, job.counts
        )
        self._count(before=True)

    def _count(self, *, before: bool = False) -> None:
        counts, journal = self._counts, self._journal
        counts.done, counts.left_out, counts.failed = journal.done, journal.left_out, journal.failed
        counts.usage = journal.usage
        counts.under_way = len(self._under_way)
        if before:
            counts.before, counts.usage_before = counts.finished, journal.usage
            counts.total = counts.input_rows = self._opened.source.estimate()
            if counts.total is not None and self._options.dry_run is not None:
                counts.total = min(counts.total, self._options.dry_run)

    def steps(self) -> Iterator[Step]:
        """Submits rows and takes their outcomes until there are no more, or the run stops."""
        stopped_at: float | None = None
        while True:
            if self._stop.stop is None:
                self._fill()
            stop = self._stop.stop
            if stop is None and not self._has_more():
                self._failures.release_held()
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
            yield self._keeper.take()
        self._commit(only_if_due=False)
        self._count()
        if self._keeper.has_finished:
            yield self._keeper.take()

    def _has_more(self) -> bool:
        return bool(self._under_way) or self._feed.has_more or self._keeper.has_finished

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

    def end(self) -> Summary:
        """Writes the files, if all rows are finished, and tells what the run came to."""
        self._count()
        passed_over = self._feed.passed_over
        summary = end_run(self._options, self._opened, self._counts, self._stop, passed_over)
        summary.last_error = self._failures.last_error
        return summary

    def _commit(self, *, only_if_due: bool) -> None:
        try:
            if only_if_due:
                self._journal.commit_if_due()
            else:
                self._journal.commit()
        except sqlite3.Error as error:
            self._stop.request(str(self._journal.trouble(error)), CODE_STOPPED)
        if self._cache is not None:
            try:
                self._cache.save()
            except sqlite3.Error as error:
                self._stop.request(f"the cache cannot be written: {error}", CODE_STOPPED)

    # To the executor.

    def _fill(self) -> None:
        """Submits rows until enough are under way."""
        try:
            while self._stop.stop is None:
                rows = self._next_rows()
                if not rows:
                    return
                self._submit(rows)
                self._commit(only_if_due=True)
        except BatchError as error:
            self._stop.request(str(error), error.code)
        except sqlite3.Error as error:
            self._stop.request(str(self._journal.trouble(error)), CODE_STOPPED)

    def _submit(self, rows: list[Row]) -> None:
        if self._executor is None:
            self._executor = self._start(self._journal.usage)
        for row in rows:
            self._under_way[row.number] = row
            self._bytes += len(row.text)
        self._executor.submit(Chunk(self._chunks, rows))
        self._chunks += 1

    def _next_rows(self) -> list[Row]:
        """Returns the rows of the next chunk; none where enough are under way, or none are left.

        While nothing has succeeded yet, fresh rows come before those that have failed, for it may
        be hopeless.
        """
        if self._executor is None:
            capacity, most = 1, 1
        else:
            capacity, most = self._executor.capacity, self._executor.chunk_rows
        room = min(capacity - len(self._under_way), most)
        rows: list[Row] = []
        size = 0
        while len(rows) < room and size < _CHUNK_BYTES and self._has_space(size):
            row = self._feed.next_row(fresh_first=self._failures.is_trial)
            if row is None:
                break
            rows.append(row)
            size += len(row.text)
        return rows

    def _has_space(self, size: int) -> bool:
        return self._bytes + size < _UNDER_WAY_BYTES

    # From the executor.

    def _take(self, event: Event) -> None:
        if isinstance(event, Outcome):
            self._take_outcome(event)
        elif isinstance(event, Dropped):
            for number in event.numbers:
                self._forget(number)
        else:
            self._stop.request(event.reason, event.code, event.seconds)

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
            if self._failures.fail(row, outcome):
                self._counts.retries += 1
                self._feed.put_back(row)
            return
        attempts = self._failures.succeed(row)
        if self._cache is not None:
            self._cache.add(row.text, outcome.text if outcome.status == DONE else None)
        self._keeper.keep(row, outcome, attempts)
