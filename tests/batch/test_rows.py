"""Input as rows: formats, keys, and what cannot be read."""

from __future__ import annotations

import datetime
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from luaopenai.batch.exchange import Row
from luaopenai.batch.formats import find_format
from luaopenai.batch.options import BatchError
from luaopenai.batch.rows import (
    BadRowError,
    FileRows,
    InputFile,
    ValueRows,
    find_inputs,
)


def raising(error: BadRowError) -> None:
    raise error


def read(path: Path, key: str | None = None, form: str | None = None) -> list[Row]:
    return list(source_of(path, key, form).rows(raising))


def source_of(path: Path, key: str | None = None, form: str | None = None) -> FileRows:
    return FileRows(
        [InputFile.of(str(path), find_format(str(path), form, "input"), path.name)], key
    )


def read_lenient(path: Path, key: str | None = None) -> tuple[list[Any], list[str]]:
    bad: list[str] = []
    rows = source_of(path, key).rows(lambda error: bad.append(str(error)))
    return [row.value for row in rows], bad


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_lines_of_json_pass_through_as_they_are(tmp_path: Path) -> None:
    path = written(
        tmp_path / "t.jsonl", '{"a": 1.50, "b":"ü"}\n[1, 2]\n"text"\n12345678901234567890\n'
    )
    rows = read(path)
    texts = [row.text.decode() for row in rows]
    assert texts == ['{"a": 1.50, "b":"ü"}', "[1, 2]", '"text"', "12345678901234567890"]
    assert [row.number for row in rows] == [0, 1, 2, 3]
    assert rows[2].source == "t.jsonl:3"


def test_empty_lines_are_no_rows_but_count_as_lines(tmp_path: Path) -> None:
    rows = read(written(tmp_path / "t.jsonl", '\n{"a":1}\n\r\n  \n{"a":2}'))
    assert [(row.number, row.line, row.value["a"]) for row in rows] == [(0, 2, 1), (1, 5, 2)]


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_a_row(tmp_path: Path) -> None:
    rows = read(written(tmp_path / "t.jsonl", b'\xef\xbb\xbf{"a":1}\r\n{"a":2}\r\n'))
    assert [row.text for row in rows] == [b'{"a":1}', b'{"a":2}']


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"{broken", "is no JSON"),
        (b'{"a":1} {"a":2}', "more after the value"),
        (b'{"a":"\xff"}', "is not UTF-8, at byte 7"),
        (b'{"a":\x00}', "is no JSON"),
        (b'{"a":"\x00"}', "is no JSON"),
        (b'{"a":NaN}', "NaN is no JSON value"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_bad_line_is_named_and_the_others_are_read(
    tmp_path: Path, line: bytes, what: str
) -> None:
    path = written(tmp_path / "t.jsonl", b'{"a":1}\n' + line + b'\n{"a":3}\n')
    values, bad = read_lenient(path)
    assert values == [{"a": 1}, {"a": 3}]
    assert len(bad) == 1
    assert bad[0].startswith("t.jsonl:2: ")
    assert what in bad[0]
    with pytest.raises(BadRowError, match=r"^t\.jsonl:2: "):
        read(path)


def test_a_row_of_10_mb_is_a_row(tmp_path: Path) -> None:
    text = json.dumps({"a": "x" * 10_000_000})
    [first, second] = read(written(tmp_path / "t.jsonl", text + "\n" + '{"a":1}\n'))
    assert first.text == text.encode()
    assert second.value == {"a": 1}


def test_only_what_was_there_at_first_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "t.jsonl", '{"a":1}\n{"a":2}')
    source = source_of(path)
    with path.open("a") as file:
        file.write('}\n{"a":3}\n')
    assert [row.value for row in source.rows(raising)] == [{"a": 1}, {"a": 2}]
    assert source.changed() == "t.jsonl"


def test_text_lines_become_tables(tmp_path: Path) -> None:
    rows = read(written(tmp_path / "t.txt", 'say "hi"\r\n\nü\x00\n'))
    assert [row.value for row in rows] == [{"text": 'say "hi"'}, {"text": "ü\x00"}]


def test_csv_values_are_text_with_quotes_and_line_breaks(tmp_path: Path) -> None:
    content = '\ufeffid,text\r\n1,"a ""quoted"", one"\r\n2,"two\nlines"\r\n\r\n3,ü\r\n'
    rows = read(written(tmp_path / "t.csv", content), key="id")
    assert [row.value["text"] for row in rows] == ['a "quoted", one', "two\nlines", "ü"]
    assert [row.key for row in rows] == ["1", "2", "3"]
    assert [row.line for row in rows] == [2, 3, 6]


def test_a_quoted_header_behind_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    content = '\ufeff"id, of the row","text"\r\n"1","a"\r\n'
    [row] = read(written(tmp_path / "t.csv", content))
    assert row.value == {"id, of the row": "1", "text": "a"}


def test_csv_fields_may_be_large(tmp_path: Path) -> None:
    [row] = read(written(tmp_path / "t.csv", "a\n" + "x" * 1_000_000 + "\n"))
    assert len(row.value["a"]) == 1_000_000


def test_bad_csv_rows_are_named_and_the_others_are_read(tmp_path: Path) -> None:
    content = b'a,b\n1,2\n1,2,3\n4\n\xff,5\n"6"x,7\n8,9\n'
    values, bad = read_lenient(written(tmp_path / "t.csv", content))
    assert values == [{"a": "1", "b": "2"}, {"a": "8", "b": "9"}]
    assert bad[0] == "t.csv:3: has 3 fields where the header has 2"
    assert bad[1] == "t.csv:4: has 1 fields where the header has 2"
    assert bad[2] == "t.csv:5: is not UTF-8"
    assert bad[3].startswith("t.csv:6: is no CSV: ")


def test_a_quote_that_is_never_closed_is_a_bad_row(tmp_path: Path) -> None:
    values, bad = read_lenient(written(tmp_path / "t.csv", 'a\n1\n"2\n3\n'))
    assert values == [{"a": "1"}]
    assert len(bad) == 1
    assert bad[0].startswith("t.csv:3: is no CSV")


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BatchError, match="two columns 'a'"):
        read(written(tmp_path / "t.csv", "a,b,a\n1,2,3\n"))


def test_tabs_separate_in_tsv(tmp_path: Path) -> None:
    [row] = read(written(tmp_path / "t.tsv", "a\tb\n1,5\t2\n"))
    assert row.value == {"a": "1,5", "b": "2"}


def test_parquet_values_become_json(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    when = datetime.datetime(2026, 1, 2, 3, 4, 5)
    table = pyarrow.table(
        {
            "id": [1, 2],
            "text": ["ü", None],
            "score": [float("nan"), 0.5],
            "when": [when, None],
            "raw": [b"\x00\xff", None],
            "list": [[1, 2], []],
        }
    )
    parquet.write_table(table, tmp_path / "t.parquet")
    source = source_of(tmp_path / "t.parquet", "id")
    first, second = source.rows(raising)
    assert first.value == {
        "id": 1,
        "text": "ü",
        "score": None,
        "when": "2026-01-02T03:04:05",
        "raw": "AP8=",
        "list": [1, 2],
    }
    assert (second.key, second.value["score"]) == ("2", 0.5)
    assert source.estimate() == 2


def test_parquet_rows_that_python_cannot_have_are_bad_rows(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    # Python has no nanoseconds, and no such year.
    for unit, value in (("ns", 1), ("us", 2**60)):
        column = pyarrow.array([1000, value, 2000], pyarrow.timestamp(unit))
        parquet.write_table(pyarrow.table({"when": column}), tmp_path / "t.parquet")
        values, bad = read_lenient(tmp_path / "t.parquet")
        if unit == "us" or not _has_pandas():
            assert len(values) == 2
            assert bad[0].startswith("t.parquet:2: has a value that cannot be read: ")


def _has_pandas() -> bool:
    return importlib.util.find_spec("pandas") is not None


def test_two_columns_of_one_name_are_refused_in_parquet_too(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    column = pyarrow.array([1])
    table = pyarrow.Table.from_arrays([column, column], names=["a", "a"])
    parquet.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(BatchError, match=r"t\.parquet has two columns 'a'"):
        read(tmp_path / "t.parquet")


def test_a_file_that_is_no_parquet_is_said(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(BatchError, match="is no Parquet file"):
        read(written(tmp_path / "t.parquet", "no"))


def test_a_key_is_a_string_or_a_number(tmp_path: Path) -> None:
    path = written(
        tmp_path / "t.jsonl",
        '{"id":"a"}\n{"id":12}\n{"id":1.50}\n{"id":null}\n{"x":1}\n[1]\n{"id":true}\n{"id":{}}\n',
    )
    keys = [row.key for row in source_of(path, "id").rows(lambda _: None)]
    assert keys == ["a", "12", "1.50"]
    _, bad = read_lenient(path, "id")
    assert bad[0] == "t.jsonl:4: the key 'id' is neither a string nor a number"
    assert bad[1] == "t.jsonl:5: has no key: no field 'id'"


def test_without_a_key_field_number_and_content_are_the_key(tmp_path: Path) -> None:
    first, second, third = read(written(tmp_path / "t.jsonl", "1\n1\n2\n"))
    assert first.digest == second.digest != third.digest
    assert first.key == f"0-{first.digest.hex()}"


def test_rows_are_counted_over_all_files(tmp_path: Path) -> None:
    written(tmp_path / "b.jsonl", "2\n")
    written(tmp_path / "a.jsonl", "1\n")
    paths = find_inputs([str(tmp_path / "*.jsonl")])
    assert [Path(path).name for path in paths] == ["a.jsonl", "b.jsonl"]
    source = FileRows([InputFile.of(path, "jsonl") for path in paths])
    assert [(row.number, row.value, row.line) for row in source.rows(raising)] == [
        (0, 1, 1),
        (1, 2, 1),
    ]
    assert source.estimate() == 2


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BatchError, match=r"there is no file .*nowhere\.jsonl"):
        find_inputs([str(tmp_path / "nowhere.jsonl")])
    with pytest.raises(BatchError, match="is a folder"):
        find_inputs([str(tmp_path)])


def test_patterns_pass_over_what_the_job_writes(tmp_path: Path) -> None:
    for name in ("a.jsonl", "out.jsonl"):
        written(tmp_path / name, "1\n")
    own = [str(tmp_path / "out.jsonl")]
    assert find_inputs([str(tmp_path / "*.jsonl")], own) == [str(tmp_path / "a.jsonl")]
    with pytest.raises(BatchError, match="input and output at once"):
        find_inputs(own, own)


@pytest.mark.parametrize(
    "end",
    ["", "-wal", ".lock", ".input-2", ".input.partial", ".partial/p.jsonl", ".new-wal", "/p.jsonl"],
)
def test_patterns_pass_over_what_lies_beside_what_the_job_writes(tmp_path: Path, end: str) -> None:
    path = tmp_path / f"out{end}"
    path.parent.mkdir(exist_ok=True)
    for one in (path, tmp_path / "out.2026.jsonl", tmp_path / "out2"):
        written(one, "1\n")
    found = find_inputs([str(tmp_path / "**")], [str(tmp_path / "out")])
    assert found == [str(tmp_path / "out.2026.jsonl"), str(tmp_path / "out2")]


def test_a_parquet_file_that_is_broken_inside_is_said(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "t.parquet"
    parquet.write_table(pyarrow.table({"a": [str(n) for n in range(5000)]}), path)
    content = bytearray(path.read_bytes())
    content[100:2000] = b"\xff" * 1900
    path.write_bytes(content)
    with pytest.raises(BatchError, match="cannot be read"):
        read(path)


def test_a_format_that_is_not_clear_must_be_named() -> None:
    with pytest.raises(BatchError, match="--input-format"):
        find_format("rows.dat", None, "input")
    assert find_format("rows.dat", "csv", "input") == "csv"


def test_python_values_are_rows() -> None:
    source = ValueRows([{"id": 1}, "ü", {"id": {1}}], None)
    bad: list[str] = []
    rows = list(source.rows(lambda error: bad.append(str(error))))
    assert [row.text for row in rows] == [b'{"id":1}', '"ü"'.encode()]
    assert bad[0].startswith("row 3: is no JSON value")
    assert source.estimate() == 3
