"""A feed tells which row is asked next, and hands on what is known without asking."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from luaopenai.batch.cache import AnswerCache
from luaopenai.batch.exchange import DONE, FAILED, Counts, Outcome, Row
from luaopenai.batch.feed import RowFeed
from luaopenai.batch.journal import Journal
from luaopenai.batch.keeper import OutcomeKeeper
from luaopenai.batch.options import BatchError, Options
from luaopenai.batch.rows import BadRowError, InputChangedError, ValueRows

BROKEN = object()


class Fed:
    """A feed of values, with a journal in memory, and all that it is made of."""

    def __init__(self, *values: Any, cache: AnswerCache | None = None, **options: Any) -> None:
        self.source = ValueRows(values, options.get("key"))
        self.options = Options("", **options)
        self.cache = cache
        self.journal = Journal(None)
        self.counts = Counts()
        self.start()

    def start(self) -> None:
        """Begins another run with the same journal."""
        self.keeper = OutcomeKeeper(self.journal, yields_all=True)
        self.feed = RowFeed(
            self.options, self.source, self.journal, self.cache, self.keeper, self.counts
        )

    def next(self, *, fresh_first: bool = False) -> Any:
        """The value of the row that is asked next."""
        row = self.feed.next_row(fresh_first=fresh_first)
        return None if row is None else row.value

    def all(self) -> list[Any]:
        """The values of all rows that are to be asked yet."""
        values = []
        while self.feed.has_more:
            if (row := self.feed.next_row(fresh_first=False)) is not None:
                values.append(row.value)
        return values

    def finish(self, status: str = DONE, *numbers: int) -> None:
        """Puts rows into the journal, as an earlier run does."""
        for row in self.source.rows(lambda _: None):
            if row.number in numbers:
                self.journal.add(row, Outcome(row.number, status, b"1"), 1)
        self.journal.commit()


@pytest.fixture
def feed_of() -> Iterator[Callable[..., Fed]]:
    with contextlib.ExitStack() as stack:

        def make(*values: Any, **options: Any) -> Fed:
            fed = Fed(*values, **options)
            stack.callback(fed.journal.close)
            return fed

        yield make


FeedOf = Callable[..., Fed]


def test_rows_come_in_the_order_of_the_input_and_are_counted_at_its_end(feed_of: FeedOf) -> None:
    fed = feed_of("a", "b", "c")
    assert fed.next() == "a"
    assert fed.counts.total is None
    assert fed.all() == ["b", "c"]
    assert fed.counts.total == 3
    assert not fed.feed.has_more
    assert fed.next() is None


def test_a_row_that_was_put_back_comes_before_fresh_ones(feed_of: FeedOf) -> None:
    fed = feed_of("a", "b")
    row = fed.feed.next_row(fresh_first=False)
    assert row is not None
    fed.feed.put_back(row)
    assert fed.all() == ["a", "b"]


def test_a_row_that_was_put_back_comes_last_where_fresh_ones_go_first(feed_of: FeedOf) -> None:
    fed = feed_of("a", "b")
    row = fed.feed.next_row(fresh_first=True)
    assert row is not None
    fed.feed.put_back(row)
    assert [fed.next(fresh_first=True) for _ in range(3)] == ["b", "a", None]


def test_a_row_that_was_put_back_comes_after_the_end_of_the_input(feed_of: FeedOf) -> None:
    fed = feed_of("a")
    row = fed.feed.next_row(fresh_first=False)
    assert row is not None
    assert fed.all() == []
    fed.feed.put_back(row)
    assert fed.all() == ["a"]


def test_finished_rows_are_shown_and_not_asked(feed_of: FeedOf) -> None:
    fed = feed_of("a", "b", "c")
    fed.finish(DONE, 0, 2)
    fed.start()
    assert fed.all() == ["b"]
    assert [(row.value, outcome.text) for row, outcome in fed.keeper.take()] == [
        ("a", b"1"),
        ("c", b"1"),
    ]


def test_many_finished_rows_are_passed_over_piece_by_piece(
    feed_of: FeedOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luaopenai.batch.feed._SKIPPED_AT_ONCE", 2)
    fed = feed_of(*range(6))
    fed.finish(DONE, *range(5))
    fed.start()
    for _ in range(2):
        assert (fed.next(), len(fed.keeper.take())) == (None, 2)
    assert (fed.next(), fed.next()) == (5, None)


def test_many_equal_rows_are_passed_over_piece_by_piece(
    feed_of: FeedOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luaopenai.batch.feed._SKIPPED_AT_ONCE", 2)
    fed = feed_of(1, 1, 1, 2, dedupe=True)
    assert [fed.next() for _ in range(4)] == [1, None, 2, None]


def test_failed_rows_are_asked_again_only_if_they_are_to_be(feed_of: FeedOf) -> None:
    for retry_failed, asked in ((False, ["c"]), (True, ["b"])):
        fed = feed_of("a", "b", "c", retry_failed=retry_failed)
        fed.finish(DONE, 0)
        fed.finish(FAILED, 1)
        fed.start()
        assert fed.all() == asked
        assert fed.feed.passed_over == int(retry_failed)


def test_a_failed_row_that_is_asked_again_loses_its_failure(feed_of: FeedOf) -> None:
    fed = feed_of("a", retry_failed=True)
    fed.finish(FAILED, 0)
    fed.start()
    row = fed.feed.next_row(fresh_first=False)
    assert row is not None
    fed.keeper.keep(row, Outcome(0, DONE, b"2"), 1)
    fed.journal.commit()
    assert (fed.journal.failed, list(fed.journal.results())) == (0, [b"2"])


def test_an_equal_row_is_asked_once_and_shares_the_outcome(feed_of: FeedOf) -> None:
    fed = feed_of("a", "b", "a", dedupe=True)
    first = fed.feed.next_row(fresh_first=False)
    assert isinstance(first, Row)
    assert fed.all() == ["b"]
    fed.keeper.keep(first, Outcome(0, DONE, b"1"), 1)
    assert [(row.number, outcome.text) for row, outcome in fed.keeper.take()] == [
        (0, b"1"),
        (2, b"1"),
    ]


def test_an_answer_in_the_cache_is_kept_without_asking(feed_of: FeedOf, tmp_path: Path) -> None:
    with contextlib.closing(AnswerCache(str(tmp_path), {}, ())) as cache:
        cache.add(b'"a"', b"1")
        cache.add(b'"b"', None)
        cache.save()
        fed = feed_of("a", "b", "c", cache=cache)
        assert fed.all() == ["c"]
    assert (fed.counts.cached, fed.journal.done, fed.journal.left_out) == (2, 1, 1)


def test_a_bad_row_ends_the_feed_unless_it_is_to_be_skipped(feed_of: FeedOf) -> None:
    fed = feed_of("a", BROKEN, "b")
    assert fed.next() == "a"
    with pytest.raises(BadRowError, match="row 2: is no JSON value"):
        fed.next()
    fed = feed_of("a", BROKEN, "b", on_bad_row="skip")
    assert fed.all() == ["a", "b"]
    assert (fed.counts.bad, [line["source"] for line in fed.journal.bad()]) == (1, ["row 2"])


def test_of_two_rows_of_one_key_the_second_is_bad(feed_of: FeedOf) -> None:
    values = {"id": 1}, {"id": 2}, {"id": 1, "x": 1}
    with pytest.raises(BatchError, match="row:3: the key '1' is that of row:1 too"):
        feed_of(*values, key="id").all()
    fed = feed_of(*values, key="id", on_bad_row="skip")
    assert (fed.all(), fed.counts.bad) == ([{"id": 1}, {"id": 2}], 1)


def test_an_input_that_is_not_what_was_finished_is_refused(feed_of: FeedOf) -> None:
    fed = feed_of("a", "b", "c")
    fed.finish(DONE, 0, 2)
    for values, how in ((["a", "b", "d"], "row:3 is another row"), (["a"], "there are fewer rows")):
        fed.source = ValueRows(values)
        fed.start()
        with pytest.raises(InputChangedError, match=how):
            fed.all()


def test_a_dry_run_has_the_first_rows_only(feed_of: FeedOf) -> None:
    fed = feed_of("a", "b", "c", dry_run=2)
    assert (fed.all(), fed.counts.total) == (["a", "b"], 2)
