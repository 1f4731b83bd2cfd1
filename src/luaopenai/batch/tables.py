"""Reads CSV and Parquet as rows."""

from __future__ import annotations

import csv
import datetime
import decimal
import json
from base64 import b64encode
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from luaopenai.batch.options import BatchError

if TYPE_CHECKING:
    from types import ModuleType

    from luaopenai.batch.rows import Found

_LONGEST_FIELD = 2**31 - 1
"""The most that every system takes."""
_BATCH_ROWS = 256
"""How many rows of a Parquet file are in memory at once; they may be large."""


def read_csv(lines: Iterable[bytes], delimiter: str, shown: str) -> Iterator[Found]:
    """Yields the rows of a CSV file with a header, ``shown`` in messages; all values are text."""
    csv.field_size_limit(_LONGEST_FIELD)
    # Bytes that are not UTF-8 become surrogates, by which they are found again below.
    decoded = (str(line, "utf-8", "surrogateescape") for line in lines)
    # Before a quote, a byte order mark would hide that the field is quoted.
    start = next(decoded, "").removeprefix("\ufeff")
    reader = csv.reader(chain([start], decoded), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        first = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if header is None:
                raise BatchError(f"{shown}:{first}: the header is no CSV: {error}") from None
            yield first, None, f"is no CSV: {error}"
            continue
        if not fields:
            continue
        if header is None:
            header = _header(fields, f"{shown}:{first}")
        elif len(fields) != len(header):
            yield first, None, f"has {len(fields)} fields where the header has {len(header)}"
        else:
            value = dict(zip(header, fields, strict=True))
            try:
                yield first, json.dumps(value, ensure_ascii=False).encode(), value
            except UnicodeEncodeError:
                yield first, None, "is not UTF-8"


def _header(fields: list[str], source: str) -> list[str]:
    for name in fields:
        if not name:
            raise BatchError(f"{source}: a column of the CSV header has no name")
        if fields.count(name) > 1:
            raise BatchError(f"{source}: the CSV header has two columns {name!r}")
        if any("\ud800" <= letter <= "\udfff" for letter in name):
            raise BatchError(f"{source}: the CSV header is not UTF-8")
    return fields


def import_pyarrow() -> ModuleType:
    """Returns the module ``pyarrow.parquet``; raises ``BatchError`` where it is not installed."""
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise BatchError("Parquet needs pyarrow: pip install 'luaopenai[map]'") from None
    return parquet  # type: ignore[no-any-return]


def count_parquet(path: str) -> int:
    """Returns how many rows a Parquet file has."""
    with _opened(path) as file:
        return int(file.metadata.num_rows)


def read_parquet(path: str) -> Iterator[Found]:
    """Yields the rows of a Parquet file; a row's "line" is its number in the file, from 1."""
    import_pyarrow()
    import pyarrow

    number = 0
    with _opened(path) as file:
        names = file.schema_arrow.names
        for name in names:
            if names.count(name) > 1:
                raise BatchError(f"{path} has two columns {name!r}")
        batches = file.iter_batches(batch_size=_BATCH_ROWS)
        while True:
            try:
                values = list(_values(next(batches)))
            except StopIteration:
                return
            except (pyarrow.ArrowException, UnicodeDecodeError) as error:
                raise BatchError(f"{path} cannot be read after row {number}: {error}") from None
            for value in values:
                number += 1
                if isinstance(value, Exception):
                    yield number, None, f"has a value that cannot be read: {value}"
                    continue
                try:
                    plain = _plain(value)
                    text = json.dumps(plain, ensure_ascii=False, allow_nan=False).encode()
                except (TypeError, ValueError) as error:
                    yield number, None, f"has a value that JSON does not have: {error}"
                else:
                    yield number, text, plain


def _values(batch: Any) -> Iterator[Any]:
    """Yields the rows' values; in place of one that Python cannot have, the error."""
    try:
        values = batch.to_pylist()
    except (ValueError, OverflowError) as error:
        if isinstance(error, UnicodeDecodeError):
            raise
        for number in range(batch.num_rows):
            try:
                yield batch.slice(number, 1).to_pylist()[0]
            except (ValueError, OverflowError) as fault:
                yield fault
    else:
        yield from values


def _opened(path: str) -> Any:
    parquet = import_pyarrow()
    import pyarrow

    try:
        return parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        what = str(error).splitlines()[0]
        raise BatchError(f"{path} is no Parquet file that can be read: {what}") from None


def _plain(value: Any) -> Any:
    """Returns a value as JSON has it: times in ISO 8601, bytes in base64, NaN as null."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, bytes):
        return b64encode(value).decode()
    return str(value)
