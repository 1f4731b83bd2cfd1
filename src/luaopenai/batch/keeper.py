"""Keeps the outcomes of rows in the journal, and gathers them for whoever iterates over the job."""

from __future__ import annotations

from luaopenai.batch.exchange import Outcome, Row
from luaopenai.batch.journal import Journal

Step = list[tuple[Row, Outcome]]
"""Rows that were finished since the step before, with their outcomes."""


class OutcomeKeeper:
    """Takes the last outcome of each row; with ``yields_all`` also rows that need no asking."""

    def __init__(self, journal: Journal, *, yields_all: bool = False) -> None:
        self._journal = journal
        self._yields_all = yields_all
        self._failed_before: set[int] = set()
        self._followers: dict[int, list[Row]] = {}
        self._finished: Step = []

    def expect_again(self, number: int) -> None:
        """Notes that a row has failed in an earlier run: its next outcome replaces that one."""
        self._failed_before.add(number)

    def keep(self, row: Row, outcome: Outcome, attempts: int) -> None:
        """Keeps the last outcome of a row."""
        if row.number in self._failed_before:
            self._failed_before.discard(row.number)
            self._journal.try_again(row.number)
        self._journal.add(row, outcome, attempts)
        self._finished.append((row, outcome))
        for follower in self._followers.pop(row.number, ()):
            same = Outcome(follower.number, outcome.status, outcome.text, outcome.error)
            self._finished.append((follower, same))

    def share(self, row: Row, first: int) -> None:
        """Keeps that a row has the outcome of the equal row ``first``."""
        self._journal.add_same(row, first)
        self.show(row, first)

    def show(self, row: Row, first: int) -> None:
        """Gathers a row that is not asked, as soon as there is the outcome of ``first``."""
        if not self._yields_all:
            return
        outcome = self._journal.outcome(first)
        if outcome is None:
            self._followers.setdefault(first, []).append(row)
        else:
            outcome.number = row.number
            self._finished.append((row, outcome))

    @property
    def has_finished(self) -> bool:
        """Whether ``take`` has something to return."""
        return bool(self._finished)

    def take(self) -> Step:
        """Returns what was finished since the last call."""
        finished, self._finished = self._finished, []
        return finished
