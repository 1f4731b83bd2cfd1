"""JSON on the wire: payloads out, bodies in, and what cannot be sent, by name."""

from __future__ import annotations

import json
import math
from typing import Any

from luaopenai.client.lenient import read_body

_BINARY = {
    "application/gzip",
    "application/octet-stream",
    "application/pdf",
    "application/zip",
}


def encode(payload: object, where: str = "payload") -> bytes:
    """Encodes a payload as JSON in UTF-8; raises ``ValueError`` for what JSON cannot carry.

    The error calls the payload ``where``.
    """
    try:
        text = json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(fault(payload, where) or f"{where}: {error}") from None


def decode(body: bytes, content_type: str = "") -> Any:
    """Decodes a JSON body; returns any other text as a string, and binary data as bytes.

    In text, JSON's too, bytes that are not UTF-8 and halves of surrogate pairs become U+FFFD.
    Numbers that JSON has not (``NaN``, ``Infinity``, ``1e999``) are floats.
    """
    if is_binary(content_type):
        return body
    try:
        return read_body(body)
    except ValueError:
        return body.decode("utf-8", "replace")


def is_binary(content_type: str) -> bool:
    """Returns whether a body of this type is binary: sound, pictures, files."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind in _BINARY or kind.startswith(("audio/", "image/", "video/"))


def fault(value: object, where: str = "payload", base: int = 0) -> str:
    """Names the part of a value that JSON cannot carry, and where it stands; "" where there is
    none.

    Args:
        value: what should be sent.
        where: what to call the value.
        base: the number of a list's first item.
    """
    try:
        return _fault(value, where, base, ())
    except RecursionError:
        return f"{where}: nested too deeply"


def _fault(value: object, where: str, base: int, parents: tuple[int, ...]) -> str:
    if isinstance(value, str):
        return "" if _is_utf8(value) else f"{where}: the string is not valid UTF-8"
    if isinstance(value, bytes):
        return f"{where}: the string is not valid UTF-8"
    if isinstance(value, float):
        return "" if math.isfinite(value) else f"{where}: JSON has no {value!r}"
    if value is None or isinstance(value, bool | int):
        return ""
    if isinstance(value, dict):
        items = [(f"{where}.{key}", key, item) for key, item in value.items()]
    elif isinstance(value, list | tuple):
        items = [(f"{where}[{number}]", "", item) for number, item in enumerate(value, base)]
    else:
        kind = "function" if callable(value) else type(value).__name__
        return f"{where}: JSON has no {kind}"
    if id(value) in parents:
        return f"{where}: the table contains itself"
    for inner, key, item in items:
        found = _fault(key, inner, base, ())
        found = found or _fault(item, inner, base, (*parents, id(value)))
        if found:
            return found
    return ""


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
