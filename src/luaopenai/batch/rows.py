"""Reads a job's input as rows: several files of several formats, one row at a time."""

from __future__ import annotations

import glob
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol

from luaopenai.batch.exchange import Row
from luaopenai.batch.options import CODE_USAGE, BatchError

DIGEST_BYTES = 16
_SPACE = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_COUNTED_BYTES = 2 << 30
_SAMPLE_BYTES = 1 << 20

_BESIDE = re.compile(
    r"(-wal|-shm|-journal|\.lock|\.input(-\d+)?|\.replaced|\.new(-\w+)?)?(\.partial)?(/.*)?",
    re.DOTALL,
)
"""The endings that mark files beside an output or a journal."""

Found = tuple[int, bytes | None, Any]
"""A line's number, and its value as JSON and in Python; or None, and what is wrong with it."""


class Position:
    """Where in a file the line begins that was read last, in bytes."""

    __slots__ = ("at",)

    def __init__(self) -> None:
        self.at = 0


class BadRowError(BatchError):
    """An input row that cannot be read; the message names its file and line."""

    def __init__(self, source: str, what: str) -> None:
        super().__init__(f"{source}: {what}")
        self.source = source
        self.what = what


class InputChangedError(BatchError):
    """The input is not what it was when the job began; the message says how."""

    def __init__(self, how: str) -> None:
        super().__init__(
            f"the input has changed while it was read: {how}; nothing is lost, and the same"
            " command goes on with --keep, or begins anew with --restart"
        )


class RowSource(Protocol):
    """A source of rows for a job."""

    def rows(self, on_bad: Callable[[BadRowError], None]) -> Iterator[Row]:
        """Yields all rows from the start; ``on_bad`` is given the others, and may raise them."""

    def marks(self) -> list[list[Any]]:
        """Returns what tells this input from others at a glance, as JSON values."""

    def estimate(self) -> int | None:
        """Returns about how many rows there are, if that can be told without reading them all."""

    def changed(self) -> str | None:
        """Returns the name of a file that is no longer as it was when it was opened."""


def find_inputs(inputs: Sequence[str], own: Sequence[str] = ()) -> list[str]:
    """Returns the files that paths and patterns stand for; a pattern's files are sorted.

    ``own`` are files that the job writes: no pattern stands for them. Raises ``BatchError`` for
    what is not there, and for an input that would be overwritten.
    """
    written = [os.path.realpath(path) for path in own]
    found: list[str] = []
    for name in inputs:
        if name == "-" or os.path.exists(name):
            found.append(name)
        elif matches := sorted(path for path in glob.glob(name, recursive=True)):
            files = [path for path in matches if not os.path.isdir(path)]
            found += [path for path in files if not _is_written(path, written)]
        else:
            raise BatchError(f"there is no file {name}", CODE_USAGE)
    if not found:
        raise BatchError("an input file is missing", CODE_USAGE)
    for name in found:
        if _is_written(name, written):
            raise BatchError(f"{name} is input and output at once", CODE_USAGE)
        if os.path.isdir(name):
            raise BatchError(f"{name} is a folder; name its files, as {name}/*.jsonl", CODE_USAGE)
    return found


def _is_written(path: str, written: Sequence[str]) -> bool:
    """Returns whether a file is one of those that a job writes, or lies beside it for it."""
    real = os.path.realpath(path)
    return any(
        real.startswith(name) and _BESIDE.fullmatch(real, len(name)) is not None for name in written
    )


def is_stream(path: str) -> bool:
    """Returns whether a file can be read but once: ``-``, a pipe, a terminal."""
    return path == "-" or not stat.S_ISREG(os.stat(path).st_mode)


@dataclass(frozen=True)
class InputFile:
    """A file as it was when the job began: ``shown`` in messages, read up to ``size`` bytes."""

    path: str
    shown: str
    format: str
    size: int
    changed_ns: int
    inode: int

    @classmethod
    def of(cls, path: str, form: str, shown: str | None = None) -> InputFile:
        """Notes how a file is now; raises ``BatchError`` where that cannot be read."""
        try:
            with open(path, "rb") as file:
                now = os.fstat(file.fileno())
        except OSError as error:
            raise BatchError(f"{path} cannot be read: {error.strerror}") from None
        return cls(path, shown or path, form, now.st_size, now.st_mtime_ns, now.st_ino)

    def is_as_it_was(self) -> bool:
        """Returns whether the file is still the one that was noted."""
        try:
            now = os.stat(self.path)
        except OSError:
            return False
        noted = (self.size, self.changed_ns, self.inode)
        return (now.st_size, now.st_mtime_ns, now.st_ino) == noted

    def lines(self) -> Iterator[bytes]:
        """Yields the lines with their ends, up to the size that was noted."""
        left = self.size
        with open(self.path, "rb") as file:
            for line in file:
                left -= len(line)
                if left <= 0:
                    # What was appended since is left for a later run.
                    yield line[: len(line) + left] if left else line
                    return
                yield line


class FileRows:
    """The rows of files; ``key_field`` names the field that their keys are in."""

    def __init__(self, files: Sequence[InputFile], key_field: str | None = None) -> None:
        self.files = list(files)
        self._key_field = key_field

    def marks(self) -> list[list[Any]]:
        """Returns names, sizes and times; not the folders, so that a job can be moved."""
        return [[os.path.basename(file.shown), file.size, file.changed_ns] for file in self.files]

    def changed(self) -> str | None:
        """Returns the first file that is no longer as it was."""
        return next((file.shown for file in self.files if not file.is_as_it_was()), None)

    def estimate(self) -> int | None:
        """Counts line ends, or guesses from a sample where there is too much to read twice."""
        return sum(_estimate(file) for file in self.files)

    def rows(self, on_bad: Callable[[BadRowError], None]) -> Iterator[Row]:
        """Yields the rows of all files."""
        number = 0
        key_field = self._key_field
        for file in self.files:
            shown = file.shown
            named = None
            position = Position()
            path = file.path if file.format == "jsonl" else None
            for line, text, value in _found(file, position):
                if text is None:
                    on_bad(BadRowError(f"{shown}:{line}", value))
                    continue
                if key_field is None:
                    digest = blake2b(text, digest_size=DIGEST_BYTES).digest()
                else:
                    named = key_of(value, key_field)
                    if named is None:
                        on_bad(BadRowError(f"{shown}:{line}", _no_key(value, key_field)))
                        continue
                    digest = digest_of_key(named)
                yield Row(number, text, digest, shown, line, named, path, position.at)
                number += 1


class ValueRows:
    """The rows of a Python iterable, which are what ``json`` can encode."""

    def __init__(self, values: Iterable[Any], key_field: str | None = None) -> None:
        self._values = values
        self._key_field = key_field

    def marks(self) -> list[list[Any]]:
        """Returns nothing: rows are compared one by one."""
        return []

    def changed(self) -> str | None:
        """Returns None."""
        return None

    def estimate(self) -> int | None:
        """Returns the length of the iterable, if it has one."""
        try:
            return len(self._values)  # type: ignore[arg-type]
        except TypeError:
            return None

    def rows(self, on_bad: Callable[[BadRowError], None]) -> Iterator[Row]:
        """Yields the values, encoded."""
        number = 0
        for count, value in enumerate(self._values, 1):
            named = None
            try:
                text = json.dumps(
                    value, ensure_ascii=False, allow_nan=False, separators=(",", ":")
                ).encode()
            except (TypeError, ValueError, RecursionError) as error:
                on_bad(BadRowError(f"row {count}", f"is no JSON value: {error}"))
                continue
            if self._key_field is not None:
                named = key_of(value, self._key_field)
                if named is None:
                    on_bad(BadRowError(f"row {count}", _no_key(value, self._key_field)))
                    continue
                digest = digest_of_key(named)
            else:
                digest = blake2b(text, digest_size=DIGEST_BYTES).digest()
            yield Row(number, text, digest, "row", count, named)
            number += 1


def key_of(value: Any, field: str) -> str | None:
    """Returns a row's key: the string or number in its field; None where there is none."""
    if not isinstance(value, dict):
        return None
    key = value.get(field)
    if isinstance(key, str):
        return key
    return str(key) if isinstance(key, int | float) and not isinstance(key, bool) else None


def digest_of_key(key: str) -> bytes:
    """Returns the digest that stands for a key."""
    raw = key.encode("utf-8", "surrogatepass")
    return blake2b(raw, digest_size=DIGEST_BYTES, person=b"key").digest()


def _no_key(value: Any, field: str) -> str:
    if isinstance(value, dict) and field in value:
        return f"the key {field!r} is neither a string nor a number"
    return f"has no key: no field {field!r}"


def _found(file: InputFile, position: Position) -> Iterator[Found]:
    try:
        yield from _read(file, position)
    except OSError as error:
        raise BatchError(f"{file.shown} cannot be read: {error}") from None


def _read(file: InputFile, position: Position) -> Iterator[Found]:
    if file.format == "jsonl":
        return _json_lines(file, position)
    if file.format == "text":
        return _text_lines(file)
    from luaopenai.batch import tables

    if file.format == "parquet":
        return tables.read_parquet(file.path)
    return tables.read_csv(file.lines(), "\t" if file.format == "tsv" else ",", file.shown)


def _json_lines(file: InputFile, position: Position) -> Iterator[Found]:
    # Numbers stay text: they are only looked at where they are keys.
    decode = json.JSONDecoder(
        parse_constant=_refuse_constant, parse_int=str, parse_float=str
    ).raw_decode
    following = 0
    for number, line in enumerate(file.lines(), 1):
        position.at, following = following, following + len(line)
        text = line.strip(_SPACE)
        if number == 1 and text.startswith(_BOM):
            text = text[len(_BOM) :].lstrip(_SPACE)
            position.at = line.index(_BOM) + len(_BOM)
        if not text:
            continue
        try:
            decoded = str(text, "utf-8")
            value, end = decode(decoded)
            if end != len(decoded):
                raise ValueError(f"there is more after the value, at character {end + 1}")
        except (ValueError, RecursionError) as error:
            yield number, None, _what_is_wrong(error)
        else:
            yield number, text, value


def _text_lines(file: InputFile) -> Iterator[Found]:
    for number, line in enumerate(file.lines(), 1):
        text = line.rstrip(b"\r\n")
        if number == 1 and text.startswith(_BOM):
            text = text[len(_BOM) :]
        if not text:
            continue
        try:
            value = {"text": str(text, "utf-8")}
        except UnicodeDecodeError as error:
            yield number, None, _what_is_wrong(error)
        else:
            yield number, json.dumps(value, ensure_ascii=False).encode(), value


def _what_is_wrong(error: ValueError | RecursionError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"is not UTF-8, at byte {error.start + 1}"
    if isinstance(error, json.JSONDecodeError):
        return f"is no JSON: {error.msg}, at character {error.pos + 1}"
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    return f"is no JSON: {error}"


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")


def _estimate(file: InputFile) -> int:
    if file.format == "parquet":
        from luaopenai.batch import tables

        return tables.count_parquet(file.path)
    with open(file.path, "rb") as opened:
        if file.size > _COUNTED_BYTES:
            sample = opened.read(_SAMPLE_BYTES)
            return max(1, sample.count(b"\n")) * file.size // len(sample)
        ends, last = 0, b"\n"
        while piece := opened.read(_SAMPLE_BYTES):
            ends, last = ends + piece.count(b"\n"), piece[-1:]
    head = 1 if file.format in ("csv", "tsv") and file.size else 0
    return ends + (last != b"\n") - head
