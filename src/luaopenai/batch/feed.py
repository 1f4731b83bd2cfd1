"""Tells which row is asked next: fresh ones of the input, and those that are tried again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from luaopenai.batch.cache import AnswerCache
from luaopenai.batch.exchange import DONE, LEFT_OUT, Counts, Outcome, Row
from luaopenai.batch.journal import Journal
from luaopenai.batch.keeper import OutcomeKeeper
from luaopenai.batch.options import Options
from luaopenai.batch.rows import BadRowError, InputChangedError, RowSource

_SKIPPED_AT_ONCE = 2000


class RowFeed:
    """The rows that a run is to ask, one after the other.

    Fresh rows are those of the input that the journal does not have. Those whose outcome is known
    without asking, for they equal another row or are in the cache, go to the keeper.

    Attributes:
        passed_over: how many unfinished rows there were that a run with ``retry_failed`` leaves.
    """

    def __init__(
        self,
        options: Options,
        source: RowSource,
        journal: Journal,
        cache: AnswerCache | None,
        keeper: OutcomeKeeper,
        counts: Counts,
    ) -> None:
        self.passed_over = 0
        self._options = options
        self._source = source
        self._journal = journal
        self._cache = cache
        self._keeper = keeper
        self._counts = counts
        self._fresh: Iterator[Row | None] | None = self._fresh_rows()
        self._again: deque[Row] = deque()

    @property
    def has_more(self) -> bool:
        """Whether ``next_row`` may return a row yet."""
        return bool(self._again or self._fresh)

    def next_row(self, *, fresh_first: bool) -> Row | None:
        """Returns the row that is to be asked next; None where there is none, or none for now.

        Raises ``BatchError`` for what is wrong with the input, and ``sqlite3.Error``.
        """
        if self._again and not (fresh_first and self._fresh):
            return self._again.popleft()
        if self._fresh is not None:
            try:
                fresh = next(self._fresh)
            except StopIteration:
                self._fresh = None
            else:
                return fresh
        return self._again.popleft() if self._again and not self._fresh else None

    def put_back(self, row: Row) -> None:
        """Takes a row that is to be tried again."""
        self._again.append(row)

    def _fresh_rows(self) -> Iterator[Row | None]:
        """Yields the rows of the input that are not finished; None now and then in between."""
        options, journal = self._options, self._journal
        is_watched = options.key is not None or options.dedupe or self._cache is not None
        finished = journal.finished()
        ahead = next(finished, None)
        skipped = rows_read = 0
        for row in self._source.rows(self._on_bad_row):
            if row.number == options.dry_run:
                break
            rows_read = row.number + 1
            if ahead is not None and ahead[0] == row.number:
                if ahead[1] != row.digest:
                    raise InputChangedError(row.source + " is another row")
                is_failed = ahead[2]
                ahead = next(finished, None)
                if is_watched and self._note(row) is None:
                    continue
                if not (is_failed and options.retry_failed):
                    self._keeper.show(row, row.number)
                    skipped += 1
                    if skipped % _SKIPPED_AT_ONCE == 0:
                        yield None
                    continue
                self._keeper.expect_again(row.number)
            elif options.retry_failed:
                if options.key is None or self._note(row) is not None:
                    self.passed_over += 1
                continue
            elif is_watched and self._is_known(row):
                skipped += 1
                if skipped % _SKIPPED_AT_ONCE == 0:
                    yield None
                continue
            yield row
        if ahead is not None and options.dry_run is None:
            raise InputChangedError("there are fewer rows")
        self._counts.total = rows_read

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
            self._keeper.share(row, first)
            return True
        if self._cache is None or (found := self._cache.find(row.text)) is None:
            return False
        [text] = found
        outcome = Outcome(row.number, LEFT_OUT if text is None else DONE, text)
        self._counts.cached += 1
        self._keeper.keep(row, outcome, 0)
        return True
