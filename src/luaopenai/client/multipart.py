"""Forms with files, as ``multipart/form-data``."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

OCTETS = "application/octet-stream"
NO_NAMES = "a form's fields need names"


class Part(NamedTuple):
    """A part of a form.

    Attributes:
        name: the field's.
        content: its bytes.
        filename: of a file; None for a plain field.
        content_type: of a file.
    """

    name: str
    content: bytes
    filename: str | None = None
    content_type: str = OCTETS


def encode(fields: Mapping[str, Any], files: Collection[str] = ()) -> tuple[bytes, str]:
    """Returns the body and content type of a form.

    Args:
        fields: values by name. A file is ``{"filename": NAME, "content": BYTES}``, which may have
            a ``content_type``. A list becomes several ``name[]``, another table a
            ``name[key]`` for each of its keys. Other values are text, numbers and booleans; None
            is left out.
        files: the names of fields whose value is a file. There it may also be a path, a pair of
            name and content, or an open binary file.

    Raises:
        ValueError: a file cannot be read, or a value has no place in a form.
    """
    found = parts(fields, files)
    boundary = choose_boundary(found)
    return join(found, boundary.encode()), f"multipart/form-data; boundary={boundary}"


def parts(fields: Mapping[str, Any], files: Collection[str] = ()) -> list[Part]:
    """Returns the parts of a form, sorted by their names; the arguments are those of ``encode``."""
    if not isinstance(fields, Mapping) or not all(isinstance(name, str) for name in fields):
        raise ValueError(NO_NAMES)
    return [part for name in sorted(fields) for part in _parts(name, fields[name], files)]


def choose_boundary(found: list[Part]) -> str:
    """Returns a boundary that occurs in no part's content."""
    boundary, count = "lua-openai-boundary", 0
    while any(boundary.encode() in part.content for part in found):
        count += 1
        boundary = f"lua-openai-boundary-{count}"
    return boundary


def join(found: list[Part], boundary: bytes) -> bytes:
    """Returns the body of a form."""
    pieces: list[bytes] = []
    for part in found:
        head = f'Content-Disposition: form-data; name="{_quoted(part.name)}"'
        if part.filename is not None:
            head += f'; filename="{_quoted(part.filename)}"\r\n'
            head += f"Content-Type: {_one_line(part.content_type)}"
        pieces += (b"--", boundary, b"\r\n", head.encode(), b"\r\n\r\n", part.content, b"\r\n")
    return b"".join((*pieces, b"--", boundary, b"--\r\n"))


def _parts(name: str, value: Any, files: Collection[str]) -> Iterator[Part]:
    if value is None:
        return
    if isinstance(value, list) or (isinstance(value, tuple) and name not in files):
        for item in value:
            yield _part(f"{name}[]", item, name, name in files)
    elif isinstance(value, Mapping) and value and not _is_file(value, name in files):
        if not all(isinstance(key, str) for key in value):
            raise ValueError(f"{name}: {NO_NAMES}")
        for key in sorted(value):
            yield from _parts(f"{name}[{key}]", value[key], ())
    else:
        yield _part(name, value, name, name in files)


def _is_file(value: Mapping[str, Any], may_be: bool) -> bool:
    return "content" in value or "filename" in value or (may_be and "name" in value)


def _part(name: str, value: Any, field: str, is_file: bool) -> Part:
    if isinstance(value, Mapping) and ("content" in value or "filename" in value or is_file):
        filename = value.get("filename", value.get("name"))
        content_type = value.get("content_type")
        return _file(name, field, filename, value.get("content"), content_type or OCTETS)
    if not is_file:
        return Part(name, _text(value, field))
    if isinstance(value, tuple) and len(value) in (2, 3):
        return _file(name, field, *value)
    if hasattr(value, "read"):
        filename = Path(str(getattr(value, "name", "file"))).name
        return _file(name, field, filename, value.read())
    return read_file(value, field)._replace(name=name)


def read_file(path: Any, field: str) -> Part:
    """Returns the part for a file on the disk; raises ``ValueError`` when it cannot be read."""
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"{field}: expected a path, or a filename and its content")
    try:
        return Part(field, Path(path).read_bytes(), Path(path).name)
    except (OSError, ValueError) as error:
        raise ValueError(f"{field}: cannot read {path}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _file(name: str, field: str, filename: Any, content: Any, content_type: Any = OCTETS) -> Part:
    if not isinstance(filename, str) or not isinstance(content, str | bytes):
        raise ValueError(f"{field}: expected a filename and its content")
    if not isinstance(content_type, str):
        raise ValueError(f"{field}: expected a string for content_type")
    return Part(name, _bytes(content, field), filename, content_type)


def _text(value: Any, field: str) -> bytes:
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, str | bytes):
        return _bytes(value, field)
    if isinstance(value, int | float):
        return str(value).encode()
    raise ValueError(f"{field}: a form takes text, numbers, booleans and files")


def _bytes(value: str | bytes, field: str) -> bytes:
    try:
        return value if isinstance(value, bytes) else value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{field}: the string is not valid Unicode") from None


def _quoted(name: str) -> str:
    return _one_line(name).replace('"', '\\"')


def _one_line(text: str) -> str:
    return text.replace("\r", "%0D").replace("\n", "%0A")
