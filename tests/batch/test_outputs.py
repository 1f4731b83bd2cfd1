"""Results as files that appear whole."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from luaopenai.batch.options import BatchError
from luaopenai.batch.outputs import Output, write_failures


def assemble(path: str, *values: Any, form: str | None = None, part_rows: int = 100_000) -> None:
    texts = [value if isinstance(value, bytes) else json.dumps(value).encode() for value in values]
    Output(path, form, part_rows).assemble(lambda: iter(texts), lambda _: None)


def test_tables_are_lines_and_other_values_are_put_under_result(tmp_path: Path) -> None:
    path = tmp_path / "o.jsonl"
    assemble(str(path), {"a": 1}, "text", 5, [1, 2], False)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [{"a": 1}] + [{"result": value} for value in ("text", 5, [1, 2], False)]


def test_bytes_that_are_not_utf_8_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "o.jsonl"
    assemble(str(path), b'{"a":"\xff"}')
    assert json.loads(path.read_text("utf-8")) == {"a": "\ufffd"}


def test_csv_has_the_columns_of_all_rows(tmp_path: Path) -> None:
    path = tmp_path / "o.csv"
    assemble(str(path), {"a": 'say "x",\ny', "b": None}, {"c": [1, {"d": "ü"}], "a": True}, 1.5)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["a", "b", "c", "result"]
    assert rows[1] == ['say "x",\ny', "", "", ""]
    assert rows[2] == ["true", "", '[1, {"d": "ü"}]', ""]
    assert rows[3] == ["", "", "", "1.5"]


def test_csv_values_with_any_line_break_are_quoted(tmp_path: Path) -> None:
    path = tmp_path / "o.csv"
    assemble(str(path), {"a": "x\ry", "b": 1}, {"a": "x\r\ny"}, {"a": "x\ny"})
    assert path.read_bytes() == b'a,b\n"x\ry",1\n"x\r\ny",\n"x\ny",\n'


@pytest.mark.parametrize("path", ["-", os.devnull])
def test_what_is_no_file_is_no_output(path: str) -> None:
    with pytest.raises(BatchError, match="is no file"):
        Output(path, "jsonl")


def parquet_rows(path: Path) -> list[dict[str, Any]]:
    from pyarrow import parquet

    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return rows


def test_parquet_columns_have_types(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "o.parquet"
    rows = [{"i": 1, "f": 1, "s": "ü", "l": [1, 2], "t": {"x": 1}}, {"i": 2, "f": 0.5, "l": []}]
    assemble(str(path), *rows)
    assert parquet_rows(path) == [
        {"i": 1, "f": 1.0, "s": "ü", "l": [1, 2], "t": {"x": 1}},
        {"i": 2, "f": 0.5, "s": None, "l": [], "t": None},
    ]


def test_parquet_values_without_a_common_type_become_json(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "o.parquet"
    half = json.loads('"\\ud83d"')
    rows: list[Any] = [{"a": 1, "e": {}, "n": None, "b": 2**60 + 1, "h": half}]
    rows += [{"a": 2, "b": 1}] * 2000 + [{"a": "x", "b": 0.5}]
    assemble(str(path), *rows)
    found = parquet_rows(path)
    assert len(found) == 2002
    assert found[0] == {"a": "1", "e": "{}", "n": None, "b": str(2**60 + 1), "h": "?"}
    assert found[-1] == {"a": '"x"', "e": None, "n": None, "b": "0.5", "h": None}


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_no_rows_are_an_empty_file(tmp_path: Path, form: str) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"o.{form}"
    assemble(str(path))
    assert path.exists()
    if form != "parquet":
        assert path.read_bytes() == b""


def test_a_folder_has_parts_and_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "parts"
    assemble(f"{path}/", *range(5), part_rows=2)
    names = sorted(os.listdir(path))
    assert names == ["part-00000.jsonl", "part-00001.jsonl", "part-00002.jsonl"]
    values = [
        json.loads(line)["result"]
        for name in names
        for line in (path / name).read_text().splitlines()
    ]
    assert values == [0, 1, 2, 3, 4]
    assemble(f"{path}/", 7, part_rows=2)
    assert os.listdir(path) == ["part-00000.jsonl"]
    assert os.listdir(tmp_path) == ["parts"]


def test_when_results_end_in_an_error_what_was_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "o.jsonl"
    path.write_text("before")

    def broken() -> Iterator[bytes]:
        yield b"1"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        Output(str(path)).assemble(broken, lambda _: None)
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["o.jsonl"]


def test_an_output_is_known_before_it_has_its_name(tmp_path: Path) -> None:
    output = Output(str(tmp_path / "o.jsonl"))
    marks = []

    def note(mark: list[int]) -> None:
        assert output.mark() is None
        marks.append(mark)

    output.assemble(lambda: iter([b"1"]), note)
    assert marks == [output.mark()]


def test_what_an_assembly_left_behind_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "parts.replaced"
    folder.mkdir()
    (folder / "part-00000.jsonl").write_text("1\n")
    (tmp_path / "parts.partial").mkdir()
    # Killed between the two renames: what was there comes back.
    Output(f"{tmp_path}/parts/").clear()
    assert (tmp_path / "parts" / "part-00000.jsonl").read_text() == "1\n"
    assert os.listdir(tmp_path) == ["parts"]


def test_an_output_that_cannot_be_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(BatchError, match="there is no folder"):
        Output(str(tmp_path / "nowhere" / "o.jsonl"))
    with pytest.raises(BatchError, match="--output-format"):
        Output(str(tmp_path / "o.dat"))
    with pytest.raises(BatchError, match="is a folder"):
        Output(str(tmp_path), "jsonl")


def test_when_failures_end_in_an_error_the_former_ones_stay(tmp_path: Path) -> None:
    path = tmp_path / "o.failed.jsonl"
    path.write_text("before")

    def broken() -> Iterator[dict[str, Any]]:
        yield {}
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_failures(str(path), broken())
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["o.failed.jsonl"]


def test_a_file_of_failures_is_removed_when_there_are_none(tmp_path: Path) -> None:
    path = tmp_path / "o.failed.jsonl"
    assert write_failures(str(path), [{"error": "half \ud83d"}]) == 1
    assert json.loads(path.read_text()) == {"error": "half \ud83d"}
    assert write_failures(str(path), []) == 0
    assert os.listdir(tmp_path) == []
