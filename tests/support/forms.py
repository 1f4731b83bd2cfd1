"""Reads ``multipart/form-data`` with an implementation that is not ours: werkzeug's."""

from __future__ import annotations

import io
from typing import NamedTuple

from werkzeug.formparser import parse_form_data


class File(NamedTuple):
    """A file in a form."""

    name: str | None
    content: bytes


class Form(NamedTuple):
    """A form's fields, each with all its values, and its files."""

    fields: dict[str, list[str]]
    files: dict[str, File]


def read_form(body: bytes, content_type: str) -> Form:
    """What a form holds."""
    environ = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    _, fields, files = parse_form_data(environ, stream_factory=lambda *_, **__: io.BytesIO())
    return Form(
        fields.to_dict(flat=False),
        {name: File(file.filename, file.read()) for name, file in files.items()},
    )
