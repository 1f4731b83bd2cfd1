"""Reads the JSON that servers send, which is not always JSON: any numbers, broken characters."""

from __future__ import annotations

import json
from json.scanner import make_scanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

REPLACEMENT = "\ufffd"


def _integer(digits: str) -> int | float:
    """Returns an integer, or the nearest float where it has more digits than Python converts."""
    try:
        return int(digits)
    except ValueError:
        return float(digits)


scan = make_scanner(json.JSONDecoder(strict=False))  # type: ignore[arg-type]
"""Reads what is known to be JSON, from a place on: half of the time that ``json.loads`` takes."""

_scan_long = make_scanner(json.JSONDecoder(strict=False, parse_int=_integer))  # type: ignore[arg-type]
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def read(text: str) -> Any:
    """Reads a JSON text, in which control characters and numbers of any size may stand.

    ``Infinity``, ``NaN`` and numbers beyond a float's range are floats. Strings may hold halves of
    surrogate pairs: see ``may_hold_halves`` and ``mend``. Raises ``ValueError`` for what is not
    JSON or is nested too deeply.
    """
    text = text.strip()
    try:
        value, end = scan(text, 0)
    except (StopIteration, RecursionError):
        raise ValueError("not a JSON text") from None
    except json.JSONDecodeError:
        raise
    except ValueError:
        value, end = _scan_long(text, 0)
    if end != len(text):
        raise ValueError("not a JSON text")
    return value


def write(value: object) -> bytes:
    """Writes a value of ``read``'s as JSON text, ``Infinity`` and ``NaN`` included; no halves."""
    return _encode(value).encode()


def read_body(body: bytes) -> Any:
    """Reads a JSON body, with whole characters only; raises ``ValueError`` for any other body."""
    text = body.decode("utf-8", "replace").removeprefix("\ufeff")
    value = read(text)
    return mend(value) if may_hold_halves(text) else value


def mended(body: bytes) -> bytes | None:
    """Returns a body's JSON as every reader takes it; None where it is fine, or not JSON."""
    if not _is_odd(body):
        return None
    try:
        return write(read_body(body))
    except (ValueError, RecursionError):
        return None


def _is_odd(body: bytes) -> bool:
    if b"\0" in body or b"\\ud" in body or b"\\uD" in body or body.startswith(b"\xef\xbb\xbf"):
        return True
    try:
        body.decode()
    except UnicodeDecodeError:
        return True
    return False


def may_hold_halves(text: str) -> bool:
    """Returns whether a JSON text may hold half of a surrogate pair, which needs an escape."""
    return "\\ud" in text or "\\uD" in text


def whole_characters(text: str) -> str:
    """Joins halves of surrogate pairs where they meet, and puts U+FFFD for the others."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def mend(value: Any) -> Any:
    """Makes the characters in all strings of a value whole, in place; returns the value."""
    root = [value]
    waiting: list[Any] = [root]
    while waiting:
        container = waiting.pop()
        if isinstance(container, dict) and not all(map(str.isascii, container)):
            items = [(whole_characters(key), item) for key, item in container.items()]
            container.clear()
            container.update(items)
        for key, item in list(_items(container)):
            if isinstance(item, str):
                container[key] = item if item.isascii() else whole_characters(item)
            elif isinstance(item, dict | list):
                waiting.append(item)
    return root[0]


def _items(container: Any) -> Any:
    return container.items() if isinstance(container, dict) else enumerate(container)


def sendable(value: Any) -> Any:
    """Returns the value, or a copy that a request can carry where the value is not one.

    Numbers that JSON has not become None, halves of surrogate pairs U+FFFD.
    """
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        return mend(json.loads(json.dumps(value), parse_constant=lambda _: None))
    return value
