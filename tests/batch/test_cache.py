"""The cache of answers: what is in it, whoever has written it."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from luaopenai.batch.cache import AnswerCache


def test_a_cache_that_could_not_be_written_keeps_its_answers_for_another_try(
    tmp_path: Path,
) -> None:
    cache = AnswerCache(str(tmp_path), {}, ())
    path = tmp_path / "answers.sqlite"
    with contextlib.closing(cache), contextlib.closing(sqlite3.connect(path, timeout=0)) as db:
        db.execute(
            "CREATE TRIGGER full BEFORE INSERT ON answers BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
        cache.add(b"row", b"answer")
        with pytest.raises(sqlite3.Error, match="full"):
            cache.save()
        db.execute("DROP TRIGGER full")
        cache.save()
        assert cache.find(b"row") == (b"answer",)


def test_a_cache_writes_each_answer_once(tmp_path: Path) -> None:
    with (
        contextlib.closing(AnswerCache(str(tmp_path), {}, ())) as ours,
        contextlib.closing(AnswerCache(str(tmp_path), {}, ())) as theirs,
    ):
        ours.add(b"row", b"old")
        ours.save()
        theirs.add(b"row", b"new")
        theirs.save()
        ours.save()
        assert ours.find(b"row") == (b"new",)
