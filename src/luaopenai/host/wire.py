"""Plain values as JSON text, between a host and its plugins; the counterpart of ``wire.lua``."""

from __future__ import annotations

import json
from typing import Any

MAX_DEPTH = 128
LARGEST_ERROR_VALUE = 65536
"""Bytes of JSON that a plugin's error value may come to; a larger one has only its message."""

_BYTES, _PAIRS = "\0b", "\0p"
_MARK = b'"\\u0000'
_WIDE_IN_ASCII = b"\\ud", b"\\uD"
_WIDE = *_WIDE_IN_ASCII, b"\xf0", b"\xf1", b"\xf2", b"\xf3", b"\xf4"
"""The first bytes of a character beyond 16 bits: in UTF-8, or as halves in JSON."""

_EXACT = 2**53
_ENCODE = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode


def encode(values: tuple[Any, ...] | list[Any], where: str) -> bytes | None:
    """Encodes a list of plain values as JSON; returns None for an empty one.

    Raises ``TypeError`` or ``ValueError`` that names what is not plain data.
    """
    if not values:
        return None
    if all(map(_is_json, values)):
        try:
            return _ENCODE(values).encode()
        except UnicodeEncodeError:
            pass  # which _mark tells by its place
    values = [_mark(value, f"{where} {number}", 0) for number, value in enumerate(values, 1)]
    return _ENCODE(values).encode()


def decode(text: bytes | None) -> list[Any]:
    """Decodes a text of either side's ``encode``; raises ``ValueError`` for any other text."""
    if not text:
        return []
    try:
        try:
            values = _DECODE(text.decode())
        except UnicodeDecodeError:
            values = _with_bytes(_DECODE(text.decode("utf-8", "surrogateescape")))
        return [_unmark(value) for value in values] if _MARK in text else list(values)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"these are no values: {error}") from None


def weight(text: bytes | None) -> int:
    """Estimates how many bytes the values of a text take in Python, at least.

    One character beyond 16 bits makes all of a Python string take four bytes for each.
    """
    if not text:
        return 0
    is_ascii = text.isascii()
    signs = _WIDE_IN_ASCII if is_ascii else _WIDE
    width = 4 if any(sign in text for sign in signs) else 1 if is_ascii else 2
    tables, items, names = text.count(b"{") + text.count(b"["), text.count(b","), text.count(b":")
    return width * len(text) + 64 * tables + 32 * items + 64 * names


def _number(text: str) -> int | float:
    """Returns a number with a point or an exponent, as an int where it is whole."""
    number = float(text)
    return int(number) if number.is_integer() and -_EXACT <= number <= _EXACT else number


_DECODE = json.JSONDecoder(parse_float=_number).decode


def _is_json(value: Any, depth: int = 0) -> bool:
    """Returns whether JSON can carry a value unchanged."""
    kind = type(value)
    if kind is str:
        return "\0" not in value
    if kind is int:
        return -_EXACT <= int(value) <= _EXACT
    if kind is float or kind is bool or value is None:
        return True
    if depth > MAX_DEPTH:
        return False
    if kind is list:
        return all(_is_json(item, depth + 1) for item in value)
    if kind is dict:
        return all(
            type(key) is str and "\0" not in key and _is_json(item, depth + 1)
            for key, item in value.items()
        )
    return False


def _mark(value: Any, where: str, depth: int) -> Any:
    kind = type(value)
    if kind is str:
        return _text(value, where)
    if kind in (bool, float, type(None)):
        return value
    if kind is int:
        if not -_EXACT <= value <= _EXACT:
            raise ValueError(f"{where}: {value} is too large for an exact Lua number")
        return value
    if kind is bytes:
        return {_BYTES: value.decode("latin-1")}
    if depth > MAX_DEPTH:
        raise ValueError(f"{where[:60]}: nested too deeply; does it contain itself?")
    if isinstance(value, list | tuple):
        return [_mark(item, f"{where}[{n}]", depth + 1) for n, item in enumerate(value)]
    if not isinstance(value, dict):
        if isinstance(value, str):
            return _text(str.__str__(value), where)
        if isinstance(value, int | float):
            return _mark(int(value) if isinstance(value, int) else float(value), where, depth)
        raise TypeError(f"{where}: {kind.__name__} is no plain data")
    marked = {}
    are_names = True
    for key, item in value.items():
        inner = f"{where}[{key!r}]"
        if isinstance(key, bool) or not isinstance(key, str | bytes | int | float):
            raise TypeError(f"{inner}: a key is a string or a number")
        if key != key:
            raise ValueError(f"{inner}: NaN cannot be a key")
        if isinstance(key, str | bytes) and key[:1] in ("\0", b"\0"):
            raise ValueError(f"{inner}: a key starts with NUL")
        if isinstance(key, str):
            _text(key, inner)
        else:
            are_names = False
        marked[key] = _mark(item, inner, depth + 1)
    if are_names:
        return marked
    return {_PAIRS: [[_mark(key, where, depth), item] for key, item in marked.items()]}


def _text(value: str, where: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{where}: the string is not valid Unicode") from None
    return value


def _unmark(value: Any) -> Any:
    if isinstance(value, list):
        return [_unmark(item) for item in value]
    if not isinstance(value, dict):
        return value
    if _BYTES in value:
        return bytes(value[_BYTES], "latin-1")
    if _PAIRS in value:
        return {key: _unmark(item) for key, item in value[_PAIRS]}
    return {key: _unmark(item) for key, item in value.items()}


def _with_bytes(value: Any) -> Any:
    """Turns strings that are not UTF-8 into bytes."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-8", "surrogateescape")
        return value
    if isinstance(value, list):
        return [_with_bytes(item) for item in value]
    if isinstance(value, dict):
        return {_with_bytes(key): _with_bytes(item) for key, item in value.items()}
    return value
