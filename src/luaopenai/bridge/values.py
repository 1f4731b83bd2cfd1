"""How values cross between Lua and Python, both ways.

| Lua                                | Python                                      |
|------------------------------------|---------------------------------------------|
| nil                                | None                                        |
| `cjson.null`, inside a table       | None, inside a list or dict                 |
| boolean                            | bool                                        |
| number                             | int where it is whole and within 2^53, else float |
| string                             | str where it is UTF-8, else bytes           |
| table with keys 1 to n             | list                                        |
| empty table with `array_mt`        | empty list                                  |
| any other table                    | dict; its keys are strings, or numbers, not both |
| function                           | a callable that raises `LuaError`           |
| userdata, thread                   | refused                                     |
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MAX_DEPTH = 128
_EXACT = 2**53


class Values:
    """Converts for one Lua state.

    Args:
        lua: the ``LuaRuntime``.
        type_of: the name of a lupa object's Lua type, or None for a Python value.
        function_to_python: makes a Python callable of a Lua function.
        function_to_lua: makes a Lua function of a Python callable.
    """

    def __init__(
        self,
        lua: Any,
        type_of: Callable[[object], str | None],
        function_to_python: Callable[[Any], Callable[..., object]],
        function_to_lua: Callable[[Callable[..., object]], Any],
    ) -> None:
        self._table = lua.table
        self._table_from = lua.table_from
        self._type_of = type_of
        self._function_to_python = function_to_python
        self._function_to_lua = function_to_lua

    def learn(self, boot: Any) -> None:
        """Takes from the boot file's table the means to tell null and empty arrays apart."""
        self._null = boot[b"null"]
        self._is_null = boot[b"is_null"]
        self._is_array = boot[b"is_array"]
        self._empty_array = boot[b"empty_array"]

    def to_lua(self, value: object, where: str = "value") -> Any:
        """Converts a Python value; raises ``TypeError`` or ``ValueError`` that names what Lua
        lacks.
        """
        return None if value is None else self._to_lua(value, where, 0)

    def texts(self, items: dict[str, str]) -> Any:
        """Returns a Lua table of strings by names, such as headers, in fewer steps."""
        return self._table_from({name.encode(): text.encode() for name, text in items.items()})

    def byte_list(self, items: list[bytes]) -> Any:
        """Returns a Lua table of byte strings, without converting each."""
        return self._table_from(items)

    def _to_lua(self, value: object, where: str, depth: int) -> Any:
        if value is None:
            return self._null
        if isinstance(value, str):
            try:
                return value.encode()
            except UnicodeEncodeError:
                raise ValueError(f"{where}: the string is not valid Unicode") from None
        if isinstance(value, bool | float | bytes):
            return value
        if isinstance(value, int):
            if not -_EXACT <= value <= _EXACT:
                raise ValueError(f"{where}: {value} is too large for an exact Lua number")
            return value
        if depth > MAX_DEPTH:
            raise ValueError(_too_deep(where))
        if isinstance(value, dict):
            return self._dict_to_lua(value, where, depth)
        if isinstance(value, list | tuple):
            if not value:
                return self._empty_array()
            table = self._table()
            for number, item in enumerate(value, 1):
                table[number] = self._to_lua(item, f"{where}[{number - 1}]", depth + 1)
            return table
        if self._type_of(value) is not None:
            return value
        if isinstance(value, LuaFunction):
            return value.function
        if callable(value):
            return self._function_to_lua(value)
        raise TypeError(f"{where}: Lua has no {type(value).__name__}")

    def _dict_to_lua(self, value: dict[Any, Any], where: str, depth: int) -> Any:
        table = self._table()
        for key, item in value.items():
            inner = f"{where}[{key!r}]"
            if isinstance(key, bool) or not isinstance(key, str | bytes | int | float):
                raise TypeError(f"{inner}: a Lua key is a string or a number")
            if key != key:
                raise ValueError(f"{inner}: a Lua key cannot be NaN")
            table[self._to_lua(key, inner, 0)] = self._to_lua(item, inner, depth + 1)
        return table

    def to_python(self, value: Any, where: str = "value") -> Any:
        """Converts a Lua value; raises ``TypeError`` or ``ValueError`` that names what Python
        lacks.
        """
        return self._to_python(value, where, 0)

    def _to_python(self, value: Any, where: str, depth: int) -> Any:
        if isinstance(value, bytes):
            try:
                return value.decode()
            except UnicodeDecodeError:
                return value
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return value if -_EXACT <= value <= _EXACT else float(value)
        if isinstance(value, float):
            return value
        kind = self._type_of(value)
        if kind == "table":
            return self._table_to_python(value, where, depth)
        if kind == "function":
            return self._function_to_python(value)
        if kind == "userdata" and self._is_null(value):
            return None
        raise TypeError(f"{where}: Python has no Lua {kind or type(value).__name__}")

    def _table_to_python(self, table: Any, where: str, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise ValueError(_too_deep(where))
        items = list(table.items())
        if not items:
            return [] if self._is_array(table) else {}
        if all(type(key) is int for key, _ in items) and {key for key, _ in items} == set(
            range(1, len(items) + 1)
        ):
            items.sort(key=_first)
            return [self._to_python(item, f"{where}[{key}]", depth + 1) for key, item in items]
        return self._dict_to_python(items, where, depth)

    def _dict_to_python(self, items: list[Any], where: str, depth: int) -> dict[Any, Any]:
        kinds = {isinstance(key, bytes) for key, _ in items}
        if len(kinds) > 1:
            raise ValueError(f"{where}: the table mixes list items and named fields")
        converted = {}
        for key, item in items:
            if isinstance(key, bool) or not isinstance(key, bytes | int | float):
                raise TypeError(f"{where}: a key is a {self._type_of(key) or 'boolean'}")
            name = self._to_python(key, where, 0)
            shown = f"{where}.{name}" if isinstance(name, str) else f"{where}[{name!r}]"
            converted[name] = self._to_python(item, shown, depth + 1)
        return converted


def _too_deep(where: str) -> str:
    shown = where if len(where) <= 60 else where[:60] + "…"
    return f"{shown}: nested deeper than {MAX_DEPTH} levels; does it contain itself?"


def _first(pair: tuple[Any, Any]) -> Any:
    return pair[0]


class LuaFunction:
    """A Lua function that Python can call: ``result = function(*args)``.

    Arguments and results cross by the table of this module; several results come as a tuple.
    Raises ``LuaError`` when the Lua code fails.
    """

    def __init__(self, function: Any, call: Callable[..., object]) -> None:
        self.function = function
        self._call = call

    def __call__(self, *args: object) -> Any:
        """Calls it."""
        return self._call(self.function, args)

    def __repr__(self) -> str:
        return "<LuaFunction>"
