"""Writes results as files that appear whole: JSON Lines, CSV, Parquet, or a folder of parts."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import IO, Any

from luaopenai.batch.disk import sync_folder
from luaopenai.batch.formats import find_format
from luaopenai.batch.options import CODE_USAGE, BatchError

Mark = list[int]
"""By which a file or folder is known again: the time of its last change, and its size."""

Results = Callable[[], Iterator[bytes]]
"""Gives the results from the start, as JSON; called once or twice."""

_JSON = "json"
_BATCH_ROWS = 1000
_BATCH_BYTES = 16 << 20


class Output:
    """The output of a job at ``path``: a folder of parts where that ends in a slash.

    Raises ``BatchError`` where the format is not known, or the place cannot be written to.
    """

    def __init__(self, path: str, form: str | None = None, part_rows: int = 100_000) -> None:
        self.is_folder = path.endswith(("/", os.sep))
        self.path = path.rstrip("/" + os.sep) if self.is_folder else path
        self.format = find_format(path, form, "output")
        self._part_rows = part_rows
        if not self.path:
            raise BatchError("the output has no name", CODE_USAGE)
        folder = os.path.dirname(self.path) or "."
        if not os.path.isdir(folder):
            raise BatchError(f"there is no folder {folder} for the output", CODE_USAGE)
        if path == "-" or (
            os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)
        ):
            raise BatchError(f"{path} is no file: results appear in a file, as a whole", CODE_USAGE)
        if os.path.isdir(self.path) and not self.is_folder:
            raise BatchError(
                f"{path} is a folder; write {path}/ for one of parts in its place", CODE_USAGE
            )
        if self.format == "parquet":
            from luaopenai.batch.tables import import_pyarrow

            import_pyarrow()

    def exists(self) -> bool:
        """Returns whether something is there under the output's name."""
        return os.path.lexists(self.path)

    def mark(self) -> Mark | None:
        """Returns what is there, or None."""
        return _mark(self.path)

    def assemble(self, results: Results, on_ready: Callable[[Mark], None]) -> None:
        """Writes all results under another name, makes them safe, and gives them the output's name.

        ``on_ready`` is told just before that by what the output will be known. Raises ``OSError``
        where the disk is full, for instance; then nothing is left but what was there.
        """
        partial = f"{self.path}.partial"
        self.clear()
        columns = _columns(self.format, results)
        try:
            while True:
                try:
                    self._write(partial, results, columns)
                    break
                except _UnfitColumnError as error:
                    columns[error.name] = _JSON
                    self.clear()
            mark = _mark(partial)
            assert mark is not None
            on_ready(mark)
            if self.is_folder and os.path.isdir(self.path):
                # A folder with files cannot be replaced in one step.
                os.rename(self.path, f"{self.path}.replaced")
            os.replace(partial, self.path)
        except BaseException:
            self.clear()
            raise
        sync_folder(self.path)
        self.clear()

    def clear(self) -> None:
        """Removes what an assembly that was ended left behind."""
        replaced = f"{self.path}.replaced"
        if self.is_folder and os.path.isdir(replaced) and not os.path.exists(self.path):
            os.rename(replaced, self.path)
        for path in (f"{self.path}.partial", replaced):
            if os.path.isdir(path):
                shutil.rmtree(path, ignore_errors=True)
            elif os.path.lexists(path):
                os.unlink(path)

    def _write(self, path: str, results: Results, columns: Any) -> None:
        if not self.is_folder:
            _write_file(path, self.format, results(), columns)
            return
        os.mkdir(path)
        rest = results()
        number, first = 0, next(rest, None)
        # A folder without any part would be no data set.
        while number == 0 or first is not None:
            part = chain([] if first is None else [first], islice(rest, self._part_rows - 1))
            name = os.path.join(path, f"part-{number:05}.{self.format}")
            _write_file(name, self.format, part, columns)
            number, first = number + 1, next(rest, None)
        sync_folder(os.path.join(path, ""))


def write_failures(path: str, lines: Iterable[dict[str, Any]]) -> int:
    """Writes the file of failures whole, or removes it where there are none; returns how many."""
    partial = f"{path}.partial"
    count = 0
    try:
        with open(partial, "w", encoding="utf-8") as file:
            for line in lines:
                # Escaped: texts of servers may hold half characters.
                file.write(json.dumps(line) + "\n")
                count += 1
            _sync(file)
        if count:
            os.replace(partial, path)
            return count
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise
    os.unlink(partial)
    if os.path.exists(path):
        os.unlink(path)
    return count


def as_line(text: bytes) -> bytes:
    """Returns a result as an object, under ``result`` where it is none, and in UTF-8."""
    if not text.startswith(b"{"):
        text = b'{"result":' + text + b"}"
    try:
        str(text, "utf-8")
    except UnicodeDecodeError:
        return text.decode("utf-8", "replace").encode()
    return text


def _mark(path: str) -> Mark | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return [found.st_mtime_ns, found.st_size]


def _sync(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _columns(form: str, results: Results) -> Any:
    """Go through the results for what a table must know before its first row."""
    if form == "jsonl":
        return None
    if form == "parquet":
        return _schema(results())
    names: dict[str, None] = {}
    for text in results():
        names.update(dict.fromkeys(json.loads(as_line(text))))
    return list(names)


def _write_file(path: str, form: str, results: Iterable[bytes], columns: Any) -> None:
    if form == "jsonl":
        with open(path, "wb", buffering=1 << 20) as file:
            for text in results:
                file.write(as_line(text) + b"\n")
            _sync(file)
    elif form == "parquet":
        _write_parquet(path, results, columns)
    else:
        _write_csv(path, results, columns, "\t" if form == "tsv" else ",")


def _write_csv(path: str, results: Iterable[bytes], columns: list[str], delimiter: str) -> None:
    with open(path, "w", encoding="utf-8", errors="replace", newline="") as file:
        # Before Python 3.13, only characters of the terminator, so here \r too, make it quote.
        writer = csv.writer(_UnixLines(file), delimiter=delimiter, lineterminator="\r\n")
        if columns:
            writer.writerow(columns)
        for text in results:
            value = json.loads(as_line(text))
            writer.writerow([_cell(value.get(name)) for name in columns])
        _sync(file)


class _UnixLines:
    """A file whose lines end in ``\\n``; each is written at once."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, line: str) -> int:
        return self._file.write(line[:-2] + "\n")


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


# Parquet: a column whose values have no common type becomes text, each value as JSON.


def _batches(results: Iterable[bytes]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    size = 0
    for text in results:
        batch.append(json.loads(as_line(text)))
        size += len(text)
        if len(batch) == _BATCH_ROWS or size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _schema(results: Iterable[bytes]) -> Any:
    """Returns the Arrow type of each column."""
    import pyarrow

    types: dict[str, Any] = {}
    for batch in _batches(results):
        for name in dict.fromkeys(name for row in batch for name in row):
            if types.get(name) == _JSON:
                continue
            try:
                kind = pyarrow.array([_sound(row.get(name)) for row in batch]).type
                known = types.get(name, kind)
                both = [pyarrow.schema([(name, each)]) for each in (known, kind)]
                unified = pyarrow.unify_schemas(both, promote_options="permissive")
                types[name] = unified.field(0).type
            except (pyarrow.ArrowException, OverflowError):
                types[name] = _JSON
    return types


def _write_parquet(path: str, results: Iterable[bytes], types: dict[str, Any]) -> None:
    import pyarrow
    import pyarrow.parquet as parquet

    as_json = {name for name, kind in types.items() if kind == _JSON or not _can_be_stored(kind)}
    schema = pyarrow.schema(
        [(name, pyarrow.string() if name in as_json else kind) for name, kind in types.items()]
    )
    with parquet.ParquetWriter(path, schema) as writer:
        for batch in _batches(results):
            columns = []
            for field in schema:
                values = [_field(row.get(field.name), field.name in as_json) for row in batch]
                try:
                    columns.append(pyarrow.array(values, field.type))
                except (pyarrow.ArrowException, OverflowError):
                    # As of a large integer in a column that later has fractions.
                    raise _UnfitColumnError(field.name) from None
            writer.write_batch(pyarrow.record_batch(columns, schema=schema))
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


class _UnfitColumnError(Exception):
    """A column of Parquet has a value that the column's type does not have."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def _can_be_stored(kind: Any) -> bool:
    """Returns whether Parquet has a type: it has none without values, and no struct of nothing."""
    import pyarrow

    if pyarrow.types.is_struct(kind):
        return kind.num_fields > 0 and all(_can_be_stored(each.type) for each in kind)
    if pyarrow.types.is_list(kind):
        return _can_be_stored(kind.value_type)
    return not pyarrow.types.is_null(kind)


def _field(value: Any, as_json: bool) -> Any:
    if not as_json:
        return _sound(value)
    return None if value is None else json.dumps(value)


def _sound(value: Any) -> Any:
    """Returns a value whose texts Arrow can store: half characters are replaced."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_sound(name): _sound(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_sound(each) for each in value]
    return value
