"""Forms with files, as ``multipart/form-data``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from urllib3.filepost import encode_multipart_formdata

NO_FILE = "file must be provided, as a path or as a name and its content"


def encode(fields: Mapping[str, Any]) -> tuple[bytes, str]:
    """The body and content type of a form.

    Args:
        fields: ``file`` is a path, ``{"name": NAME, "content": BYTES}``, a pair of those, or an
            open binary file. Other values are text; a list is sent as several ``name[]``.

    Raises:
        ValueError: the file cannot be read, or a value has no place in a form.
    """
    if not isinstance(fields, Mapping) or fields.get("file") is None:
        raise ValueError(NO_FILE)
    parts: list[tuple[str, Any]] = []
    for name, value in fields.items():
        if name == "file":
            parts.append((name, _file(value)))
        elif isinstance(value, list | tuple):
            parts += [(f"{name}[]", _text(item, name)) for item in value]
        elif value is not None:
            parts.append((name, _text(value, name)))
    return encode_multipart_formdata(parts)


def _file(value: Any) -> tuple[str, bytes]:
    if isinstance(value, Mapping):
        value = value.get("name"), value.get("content")
    if isinstance(value, tuple):
        name, content = value
        if not isinstance(name, str) or not isinstance(content, str | bytes):
            raise ValueError("file: expected a name and its content")
        return name, content.encode() if isinstance(content, str) else content
    if isinstance(value, str | os.PathLike):
        try:
            return Path(value).name, Path(value).read_bytes()
        except OSError as error:
            raise ValueError(f"file: cannot read {value}: {error.strerror}") from None
    if hasattr(value, "read"):
        return Path(str(getattr(value, "name", "file"))).name, value.read()
    raise ValueError(NO_FILE)


def _text(value: Any, name: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise ValueError(f"{name}: a form takes text, numbers and booleans")
