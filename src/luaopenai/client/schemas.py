"""JSON Schemas of tools and typed answers: their strict form, and whether a value fits; no I/O."""

from __future__ import annotations

import json
import operator
import re

from luaopenai.client.tools import json_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Schema = dict[str, Any]

_DEFINITIONS = ("$defs", "definitions")
_MAX_DEPTH = 100
_NULL = {"type": "null"}


def strict_schema(schema: Schema, where: str = "schema") -> Schema:
    """Returns the form of a schema that the API's strict mode takes; leaves the schema alone.

    Every object is closed and has all its keys required; those that were optional may be null.

    Raises:
        ValueError: strict mode cannot say it: an object with free keys, or a place without a type.
    """
    return _strict(schema, schema, where, 0)


def _strict(schema: object, root: Schema, where: str, depth: int) -> Schema:
    if not isinstance(schema, dict):
        raise ValueError(f"{where}: expected a JSON schema, got {schema!r}")
    if depth > _MAX_DEPTH:
        raise ValueError(f"{where}: nested too deeply")
    if "$ref" in schema and len(schema) > 1 and _definition(schema, root) is not None:
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**(_definition(schema, root) or {}), **beside}
    strict = {key: value for key, value in schema.items() if key != "default"}
    for name in _DEFINITIONS:
        if isinstance(strict.get(name), dict):
            strict[name] = {
                key: _strict(value, root, f"{where}.{name}.{key}", depth + 1)
                for key, value in strict[name].items()
            }
    options = strict.pop("oneOf", None) or strict.get("anyOf")
    all_of = strict.pop("allOf", None)
    if isinstance(all_of, list) and len(all_of) == 1:
        return _strict({**all_of[0], **strict}, root, where, depth + 1)
    if all_of:
        raise ValueError(f"{where}: strict mode has no allOf")
    if isinstance(options, list):
        strict["anyOf"] = [
            _strict(option, root, f"{where}.anyOf[{number}]", depth + 1)
            for number, option in enumerate(options)
        ]
    kinds = _kinds(strict)
    if "object" in kinds:
        _close(strict, root, where, depth)
    if "array" in kinds:
        if "items" not in strict:
            raise ValueError(f"{where}: strict mode needs the type of an array's items")
        strict["items"] = _strict(strict["items"], root, f"{where}.items", depth + 1)
    if not kinds and not any(key in strict for key in ("anyOf", "$ref", "enum", "const")):
        raise ValueError(f"{where}: strict mode needs a type")
    return strict


def _close(strict: Schema, root: Schema, where: str, depth: int) -> None:
    """Closes an object, and makes its optional fields nullable."""
    properties = strict.get("properties")
    if not isinstance(properties, dict) or strict.get("additionalProperties") not in (None, False):
        raise ValueError(f"{where}: strict mode has no object with free keys")
    required = strict.get("required")
    required = required if isinstance(required, list | tuple) else ()
    strict["properties"] = {}
    for name, field in properties.items():
        made = _strict(field, root, f"{where}.{name}", depth + 1)
        strict["properties"][name] = made if name in required else _nullable(made, root)
    strict["required"] = list(properties)
    strict["additionalProperties"] = False


def _nullable(schema: Schema, root: Schema) -> Schema:
    if admits_null(schema, root):
        return schema
    kinds = schema.get("type")
    if kinds is not None and "const" not in schema:
        made = {**schema, "type": [*([kinds] if isinstance(kinds, str) else kinds), "null"]}
        if "enum" in schema:
            made["enum"] = [*schema["enum"], None]
        return made
    beside: Schema = {key: schema[key] for key in ("description", "title") if key in schema}
    inner = {key: value for key, value in schema.items() if key not in beside}
    options = inner["anyOf"] if list(inner) == ["anyOf"] else [inner]
    return {**beside, "anyOf": [*options, dict(_NULL)]}


def admits_null(schema: object, root: Schema) -> bool:
    """Returns whether null fits a schema."""
    return not fault(None, schema, root=root)


def without_nulls(value: Any, schema: Schema, root: Schema | None = None) -> Any:
    """Returns a value without the nulls that stand for optional fields which are left out.

    Args:
        value: what a model wrote; it is left alone.
        schema: the schema before it was made strict.
        root: where its references lead; the schema itself when None.
    """
    return _without_nulls(value, schema, schema if root is None else root, 0)


def _without_nulls(value: Any, schema: object, root: Schema, depth: int) -> Any:
    schema = _resolved(schema, root)
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return value
    for option in _options(schema):
        made = _without_nulls(value, option, root, depth + 1)
        if not fault(made, option, root=root):
            value = made
            break
    for part in _list(schema.get("allOf")):
        value = _without_nulls(value, part, root, depth + 1)
    if isinstance(value, list):
        items = schema.get("items")
        return [_without_nulls(item, items, root, depth + 1) for item in value]
    properties = schema.get("properties")
    if not isinstance(value, dict) or not isinstance(properties, dict):
        return value
    required = _list(schema.get("required"))
    kept: Schema = {}
    for key, item in value.items():
        field = properties.get(key)
        if item is None and field is not None and key not in required:
            if admits_null(field, root):
                kept[key] = item
        else:
            kept[key] = _without_nulls(item, field, root, depth + 1)
    return kept


def fault(value: Any, schema: object, where: str = "", root: Schema | None = None) -> str:
    """Returns why a decoded JSON value does not fit a schema, in one line; "" where it does.

    It knows the keywords that tools' schemas use; one that it does not know admits anything.

    Args:
        value: the value.
        schema: a JSON schema, or true or false.
        where: what to call the value.
        root: where references (``#/$defs/NAME``) lead; the schema itself when None.
    """
    if root is None:
        root = schema if isinstance(schema, dict) else {}
    return _fault(value, schema, where, root, 0)


def _fault(value: Any, schema: object, where: str, root: Schema, depth: int) -> str:
    schema = _resolved(schema, root)
    if schema is False:
        return _say(where, "unexpected")
    if not isinstance(schema, dict):
        return ""
    if depth > _MAX_DEPTH:
        return _say(where, "nested too deeply")
    return (
        _type_fault(value, schema, where)
        or _choice_fault(value, schema, where, root, depth)
        or _size_fault(value, schema, where)
        or _inner_fault(value, schema, where, root, depth)
    )


def _type_fault(value: Any, schema: Schema, where: str) -> str:
    kinds = _kinds(schema)
    if kinds and not any(_is_of(value, kind) for kind in kinds):
        expected = " or ".join(f'"{kind}"' for kind in kinds)
        return _say(where, f'expected type {expected}, got "{json_type(value)}"')
    if "const" in schema and not _same(value, schema["const"]):
        return _say(where, f"expected {_json(schema['const'])}, got {_json(value)}")
    options = schema.get("enum")
    if isinstance(options, list) and not any(_same(value, option) for option in options):
        expected = ", ".join(_json(option) for option in options)
        return _say(where, f"expected one of {expected}, got {_json(value)}")
    return ""


def _choice_fault(value: Any, schema: Schema, where: str, root: Schema, depth: int) -> str:
    for part in _list(schema.get("allOf")):
        found = _fault(value, part, where, root, depth + 1)
        if found:
            return found
    options = _options(schema)
    faults = [_fault(value, option, where, root, depth + 1) for option in options]
    if not options or "" in faults:
        return ""
    # The option that fails furthest inside is most likely the one that was meant.
    return max(faults, key=lambda line: line.partition(": ")[0].count("."))


def _size_fault(value: Any, schema: Schema, where: str) -> str:
    if isinstance(value, str):
        pattern = schema.get("pattern")
        if isinstance(pattern, str) and not _matches(pattern, value):
            return _say(where, f"expected a string that matches {pattern}, got {_json(value)}")
        return _length_fault(len(value), schema, "Length", "characters", where)
    if isinstance(value, list):
        return _length_fault(len(value), schema, "Items", "items", where)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    for name, words, fits in _BOUNDS:
        bound = schema.get(name)
        if isinstance(bound, bool) or not isinstance(bound, int | float):
            continue
        if not fits(value, bound):
            return _say(where, f"expected {words} {bound}, got {_json(value)}")
    return ""


def _is_multiple(value: float, factor: float) -> bool:
    return factor == 0 or not value % factor


_BOUNDS: tuple[tuple[str, str, Callable[[float, float], bool]], ...] = (
    ("minimum", "at least", operator.ge),
    ("maximum", "at most", operator.le),
    ("exclusiveMinimum", "more than", operator.gt),
    ("exclusiveMaximum", "less than", operator.lt),
    ("multipleOf", "a multiple of", _is_multiple),
)


def _length_fault(length: int, schema: Schema, name: str, unit: str, where: str) -> str:
    least, most = schema.get(f"min{name}"), schema.get(f"max{name}")
    if isinstance(least, int) and length < least:
        return _say(where, f"expected at least {least} {unit}, got {length}")
    if isinstance(most, int) and length > most:
        return _say(where, f"expected at most {most} {unit}, got {length}")
    return ""


def _inner_fault(value: Any, schema: Schema, where: str, root: Schema, depth: int) -> str:
    if isinstance(value, list):
        items = schema.get("items", True)
        for number, item in enumerate(value):
            found = _fault(item, items, f"{where}[{number}]", root, depth + 1)
            if found:
                return found
    if not isinstance(value, dict):
        return ""
    properties = schema.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    for name in _list(schema.get("required")):
        if name not in value:
            return _say(_inside(where, name), _missing(properties.get(name), root))
    others = schema.get("additionalProperties", True)
    for name, item in value.items():
        field = properties.get(name, others)
        found = _fault(item, field, _inside(where, name), root, depth + 1)
        if found:
            return found
    return ""


def _missing(schema: object, root: Schema) -> str:
    kinds = _kinds(_resolved(schema, root))
    expected = " or ".join(f'"{kind}"' for kind in kinds)
    return f'expected type {expected}, got "nil"' if expected else "it is missing"


def _inside(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _say(where: str, text: str) -> str:
    return f"{where}: {text}" if where else text


def _definition(schema: Schema, root: Schema) -> Schema | None:
    """Returns what a reference leads to, of those that lead into the same schema."""
    reference = schema.get("$ref")
    if reference == "#":
        return root
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return None
    found: object = root
    for step in reference[2:].split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else None


def _resolved(schema: object, root: Schema) -> object:
    for _ in range(_MAX_DEPTH):
        if not isinstance(schema, dict) or "$ref" not in schema:
            return schema
        found = _definition(schema, root)
        if found is None:
            return True
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**found, **beside} if beside else found
    return True


def _options(schema: Schema) -> list[Any]:
    return _list(schema.get("anyOf")) or _list(schema.get("oneOf"))


def _list(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _kinds(schema: object) -> list[str]:
    """Returns the types that a schema names; one with fields and no type is of an object."""
    if not isinstance(schema, dict):
        return []
    kinds = schema.get("type")
    if kinds is None:
        return ["object"] if isinstance(schema.get("properties"), dict) else []
    return [kinds] if isinstance(kinds, str) else _list(kinds)


def _is_of(value: object, kind: str) -> bool:
    if kind == "integer":
        if isinstance(value, float):
            return value.is_integer()
        return isinstance(value, int) and not isinstance(value, bool)
    return json_type(value) == kind


def _same(value: object, other: object) -> bool:
    """Returns whether two JSON values are equal; to Python, ``True == 1`` too."""
    if isinstance(value, bool) or isinstance(other, bool):
        return value is other
    return json_type(value) == json_type(other) and value == other


def _matches(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return True


def _json(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
