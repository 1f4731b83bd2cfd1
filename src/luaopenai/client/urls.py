"""Paths and queries of requests: ids and values as a URL carries them, in both languages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from luaopenai.client.messages import kind_of


def endpoint_url(base_url: str, path: str) -> str:
    """Returns the URL of a path below a base URL.

    The key goes along: so whatever the path is, the server is the base URL's own. Raises
    ``ValueError``.
    """
    if not path.startswith("/"):
        raise ValueError(f'path: expected one that begins with /, got "{path}"')
    url = base_url + path
    if not base_url.partition("//")[2] and "//" in url:
        raise ValueError(f'path: "{path}" leads to another server than the base URL')
    return url


def placeholders(path: str) -> list[str]:
    """Returns the names of the ``{placeholders}`` in a path."""
    return [part.partition("}")[0] for part in path.split("{")[1:]]


def fill_path(path: str, ids: Mapping[str, object]) -> str:
    """Returns a path with ids in the place of its ``{placeholders}``.

    Args:
        path: such as ``/files/{file_id}``.
        ids: strings, bytes or numbers by the placeholders' names; all but letters, digits and
            ``-._~`` is escaped.

    Raises:
        ValueError: an id is missing, or of another type.
    """
    before, *rest = path.split("{")
    filled = [before]
    for part in rest:
        name, _, after = part.partition("}")
        filled += (_id(name, ids.get(name)), after)
    return "".join(filled)


def _id(name: str, value: object) -> str:
    if value is None:
        raise ValueError(f"{name} is required")
    if isinstance(value, bool) or not isinstance(value, str | bytes | int | float):
        raise ValueError(f"{name}: expected a string, got {kind_of(value)}")
    if value in ("", ".", "..", b"", b".", b".."):
        # Servers and proxies resolve these: DELETE /files/.. would mean another endpoint.
        raise ValueError(f'{name}: expected an id, got "{_text(value)}"')
    return quote(value if isinstance(value, str | bytes) else str(value), safe="")


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def add_query(path: str, query: object, where: str = "query") -> str:
    """Returns a path with a query after it, or after the one that it has.

    Args:
        path: a path or a URL.
        query: text, numbers and booleans by name, sorted in the result; a list becomes several
            ``name[]``, and None is left out.
        where: what to call the query in an error's text.

    Raises:
        ValueError: a value is of another type.
    """
    text = "&".join(sorted(_fields(query, where)))
    if not text:
        return path
    return f"{path}{'&' if '?' in path else '?'}{text}"


def _fields(query: object, where: str) -> list[str]:
    if query is None or query == []:
        return []
    if not isinstance(query, Mapping):
        raise ValueError(f"{where}: expected a table of names and values, got {kind_of(query)}")
    fields = []
    for name, value in query.items():
        if isinstance(value, list | tuple):
            fields += [_field(f"{name}[]", item, f"{where}.{name}") for item in value]
        elif value is not None:
            fields.append(_field(str(name), value, f"{where}.{name}"))
    return fields


def _field(name: str, value: Any, where: str) -> str:
    if isinstance(value, bool):
        value = "true" if value else "false"
    if not isinstance(value, str | bytes | int | float):
        raise ValueError(f"{where}: a query takes text, numbers and booleans")
    text = value if isinstance(value, str | bytes) else str(value)
    return f"{quote(name, safe='')}={quote(text, safe='')}"
