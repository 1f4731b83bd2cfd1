"""Chunks as parts of a file: what is read elsewhere is what was read here, or nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luaopenai.batch.exchange import Row
from luaopenai.batch.ranges import Range, range_of
from luaopenai.batch.rows import FileRows, InputFile

_LINES = st.lists(
    st.one_of(
        st.sampled_from(["", " ", '{"a":\r1}', "  [1] \r", "\ufeff1"]),
        st.recursive(st.integers() | st.text(), st.lists, max_leaves=3).map(json.dumps),
    ),
    max_size=12,
)


def rows_in(path: Path) -> list[Row]:
    file = InputFile.of(str(path), "jsonl")
    return list(FileRows([file]).rows(lambda _: None))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranges") / "rows.jsonl"


@settings(max_examples=100, deadline=None)
@given(_LINES, st.booleans(), st.integers(0, 5), st.integers(1, 6))
def test_a_range_gives_the_rows_that_it_was_made_of(
    file: Path, lines: list[str], ends: bool, first: int, count: int
) -> None:
    file.write_bytes(("\n".join(lines) + "\n" * ends).encode())
    rows = rows_in(file)[first : first + count]
    found = range_of(rows) if rows else None
    if found is not None and (read := found.read()) is not None:
        assert read == b"".join(b"%d\t%b\n" % (row.number, row.text) for row in rows)


def made(file: Path) -> Range:
    file.write_text('{"a": 1}\n{"a": 2} \r\n{"a": 3}')
    found = range_of(rows_in(file))
    assert found is not None
    assert found.read() == b'0\t{"a": 1}\n1\t{"a": 2}\n2\t{"a": 3}\n'
    return found


@pytest.mark.parametrize("text", ["", '{"a": 1}\n{"a": 2} \r\n{"a": 4}', '{"a": 1}\n{"a": 2}\n'])
def test_another_content_gives_nothing(file: Path, text: str) -> None:
    found = made(file)
    file.write_text(text)
    assert found.read() is None


def test_a_file_that_is_not_there_gives_nothing_and_is_not_named(file: Path) -> None:
    found = replace(made(file), path="/no/such.jsonl")
    assert found.read() is None
    assert "such" not in repr(found)


def test_rows_that_do_not_follow_one_another_are_no_range(file: Path) -> None:
    file.write_text("1\n2\n\n3\n4\n")
    rows: list[Any] = rows_in(file)
    assert range_of(rows[:2]) is not None
    assert range_of(rows[1:3]) is None
    assert range_of([rows[0], rows[2]]) is None
    assert range_of([Row(0, b"1", b"", "row", 1)]) is None
