"""A keeper puts outcomes into the journal, and gathers them for whoever iterates over the job."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from luaopenai.batch.exchange import DONE, FAILED, Outcome, Row
from luaopenai.batch.journal import Journal
from luaopenai.batch.keeper import OutcomeKeeper


@pytest.fixture
def journal() -> Iterator[Journal]:
    with contextlib.closing(Journal(None)) as journal:
        yield journal


def row(number: int) -> Row:
    return Row(number, b"1", b"d" * 16, "f", number + 1)


def taken(keeper: OutcomeKeeper) -> list[tuple[int, int, str, bytes | None, str | None]]:
    return [
        (row.number, outcome.number, outcome.status, outcome.text, outcome.error)
        for row, outcome in keeper.take()
    ]


def test_an_outcome_is_in_the_journal_and_is_taken_once(journal: Journal) -> None:
    keeper = OutcomeKeeper(journal)
    assert not keeper.has_finished
    keeper.keep(row(0), Outcome(0, DONE, b"1"), 1)
    assert keeper.has_finished
    assert taken(keeper) == [(0, 0, DONE, b"1", None)]
    assert (taken(keeper), keeper.has_finished) == ([], False)
    journal.commit()
    assert list(journal.results()) == [b"1"]


def test_a_row_that_shares_an_outcome_comes_when_that_is_there(journal: Journal) -> None:
    keeper = OutcomeKeeper(journal, yields_all=True)
    keeper.share(row(1), 0)
    assert not keeper.has_finished
    keeper.keep(row(0), Outcome(0, FAILED, error="no"), 1)
    keeper.share(row(2), 0)
    assert taken(keeper) == [(n, n, FAILED, None, "no") for n in range(3)]
    journal.commit()
    assert [line["number"] for line in journal.failures()] == [0, 1, 2]


def test_rows_that_are_not_asked_are_gathered_only_if_all_are_wanted(journal: Journal) -> None:
    keeper = OutcomeKeeper(journal)
    keeper.keep(row(0), Outcome(0, DONE, b"1"), 1)
    keeper.share(row(1), 0)
    keeper.show(row(0), 0)
    assert [number for number, *_ in taken(keeper)] == [0]
    assert journal.done == 2


def test_an_outcome_replaces_the_failure_of_an_earlier_run(journal: Journal) -> None:
    keeper = OutcomeKeeper(journal)
    keeper.keep(row(0), Outcome(0, FAILED, error="no"), 1)
    journal.commit()
    keeper.expect_again(0)
    keeper.keep(row(0), Outcome(0, FAILED, error="not yet"), 2)
    assert journal.failed == 1
    journal.commit()
    assert [(line["error"], line["attempts"]) for line in journal.failures()] == [("not yet", 2)]
