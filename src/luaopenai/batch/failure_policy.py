"""Decides what becomes of rows that fail: which are tried again, and when the run stops for it."""

from __future__ import annotations

from luaopenai.batch.exchange import Outcome, Row
from luaopenai.batch.journal import Journal
from luaopenai.batch.keeper import OutcomeKeeper
from luaopenai.batch.options import CODE_FAILURES, Options
from luaopenai.batch.stopping import RunStop
from luaopenai.batch.trial import ROWS as TRIAL_ROWS
from luaopenai.batch.trial import Trial

PERCENT_FROM_ROWS = 100
"""A percentage of failures is looked at from so many finished rows on."""
_STOP_SECONDS = 5


class FailurePolicy:
    """Counts the attempts at each row, and hands failures that are final to the keeper.

    While the run may be hopeless, such failures are held back: where it is, none of them is kept,
    and the next run does these rows, too.

    Attributes:
        last_error: that of the last failure, if there was one.
    """

    def __init__(
        self, options: Options, journal: Journal, keeper: OutcomeKeeper, stop: RunStop
    ) -> None:
        self.last_error: str | None = None
        self._options = options
        self._journal = journal
        self._keeper = keeper
        self._stop = stop
        self._trial = Trial()
        self._attempts: dict[int, int] = {}
        self._held: list[tuple[Row, Outcome, int]] = []

    @property
    def is_trial(self) -> bool:
        """Whether nothing has succeeded yet, so that it may be hopeless."""
        return self._trial.is_on

    def succeed(self, row: Row) -> int:
        """Notes that a row did not fail; returns how many attempts that took."""
        if self._trial.is_on:
            self._trial.succeed()
            self.release_held()
        return self._attempts.pop(row.number, 0) + 1

    def fail(self, row: Row, outcome: Outcome) -> bool:
        """Notes that a row has failed; returns whether it is to be tried again."""
        error = self.last_error = outcome.error or "failed"
        attempts = self._attempts.get(row.number, 0) + 1
        self._attempts[row.number] = attempts
        if self._trial.is_on and self._trial.fail(row.number, error):
            self._held = []
            self._halt(f"the first {TRIAL_ROWS} rows all failed alike: {error}")
            return False
        if not outcome.final and attempts < self._options.attempts:
            # Where the run stops, the next one tries it again.
            return True
        self._held.append((row, outcome, attempts))
        if not self._trial.is_on:
            self.release_held()
        return False

    def release_held(self) -> None:
        """Keeps the failures that were held back while the run might have been hopeless."""
        held, self._held = self._held, []
        for row, outcome, attempts in held:
            self._attempts.pop(row.number, None)
            self._keeper.keep(row, outcome, attempts)
        if held:
            self._check_limit()

    def _check_limit(self) -> None:
        limit = self._options.max_failures
        if limit is None:
            return
        journal = self._journal
        failed, finished = journal.failed, journal.done + journal.left_out + journal.failed
        if limit.rows is not None and failed > limit.rows:
            self._halt(f"{failed} rows have failed (max-failures {limit.rows})")
        elif (
            limit.percent is not None
            and finished >= PERCENT_FROM_ROWS
            and failed * 100 > limit.percent * finished
        ):
            self._halt(
                f"{failed} of {finished} finished rows have failed"
                f" (max-failures {limit.percent:g}%)"
            )

    def _halt(self, reason: str) -> None:
        self._stop.request(reason, CODE_FAILURES, _STOP_SECONDS)
