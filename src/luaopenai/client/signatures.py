"""Reads a function's arguments from its signature and docstring; pydantic does the work."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from functools import cache, partial
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

from luaopenai.client.payload import encode
from luaopenai.client.schemas import without_nulls

if TYPE_CHECKING:
    import pydantic

    from luaopenai.client.tool import Checked, Schema

_SECTION = re.compile(r"(?:Args|Arguments|Parameters):\s*")
_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")
_SHOWN = 5
"""How many faults of arguments a line names: a model mends one after the other anyway."""


def import_pydantic(what: str) -> Any:
    """Returns the module; raises ``ImportError`` that says what needs it and how to install it."""
    try:
        import pydantic
    except ImportError:
        pydantic = None  # type: ignore[assignment]
    if not hasattr(pydantic, "TypeAdapter"):
        raise ImportError(f"{what} needs pydantic 2: pip install 'luaopenai[pydantic]'")
    return pydantic


def read_docstring(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """Returns a docstring's first paragraph, and what its ``Args:`` say of each parameter."""
    lines = (inspect.getdoc(_target(function)) or "").splitlines()
    paragraph: list[str] = []
    for line in lines:
        if not line.strip() or _SECTION.fullmatch(line):
            break
        paragraph.append(line.strip())
    return " ".join(paragraph), dict(_read_entries(lines))


def _read_entries(lines: list[str]) -> Iterable[tuple[str, str]]:
    """Yields the name and the text of each parameter of a Google-style section."""
    start = next((at for at, line in enumerate(lines) if _SECTION.fullmatch(line)), len(lines))
    name, words, indent = "", [""], 0
    for line in lines[start + 1 :]:
        depth = len(line) - len(line.lstrip())
        if line.strip() and not depth:
            break
        indent = indent or depth
        entry = _ENTRY.fullmatch(line.strip()) if depth == indent else None
        if entry:
            yield name, " ".join(words).strip()
            name, words = entry[1], [entry[2]]
        elif line.strip():
            words.append(line.strip())
    yield name, " ".join(words).strip()


def read_signature(
    function: Callable[..., Any], name: str, notes: dict[str, str], frame: FrameType | None
) -> tuple[Schema, Callable[[dict[str, Any]], Checked]]:
    """Returns the JSON schema of a function's arguments, and what checks and converts them.

    Args:
        function: whose signature is read.
        name: the tool's, for errors.
        notes: descriptions of the parameters that have none of their own.
        frame: whose callers may know the names of the signature's types.

    Raises:
        ImportError: there is no pydantic.
        TypeError: the signature has something of which there is no JSON schema.
    """
    pydantic = import_pydantic(f"{name}: a schema made from a signature")
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError as error:
        raise TypeError(f"{name}: {error}") from None
    hints = _hints(function, name, frame)
    fields: dict[str, Any] = {}
    for number, parameter in enumerate(parameters):
        if parameter.kind is parameter.VAR_POSITIONAL:
            raise TypeError(f"{name}: *{parameter.name}: models give arguments by name only")
        if number == 0 and parameter.name == "self" and "self" not in hints:
            raise TypeError(
                f"{name}: a method becomes a tool once it is bound: tool(object.{name})"
            )
        if parameter.kind is not parameter.VAR_KEYWORD:
            # The field's own name is ours, for pydantic's models have names that are taken.
            fields[f"p{number}"] = _field(pydantic, parameter, hints)
    more = [one.name for one in parameters if one.kind is one.VAR_KEYWORD]
    config = pydantic.ConfigDict(extra="allow" if more else "forbid")
    try:
        model = pydantic.create_model(name, __config__=config, **fields)
        schema = schema_of(model.model_json_schema)
    except pydantic.errors.PydanticUserError as error:
        line = str(error).partition(". ")[0].partition("\n")[0]
        raise TypeError(f"{name}: no JSON schema for its signature: {line}") from None
    for parameter_name, note in notes.items():
        if parameter_name in schema["properties"]:
            schema["properties"][parameter_name].setdefault("description", note)

    def check(arguments: dict[str, Any]) -> Checked:
        made = validated(model.model_validate_json, arguments, schema, "arguments")
        return _as_taken(made, parameters)

    return schema, check


def schema_of(make: Callable[..., Schema]) -> Schema:
    """Returns the JSON schema that a model's or an adapter's method makes, without titles.

    Titles repeat what names say, and each costs tokens.
    """
    schema = make(mode="validation", schema_generator=_generator())
    for name, one in (schema.get("$defs") or {}).items():
        if one.get("title") == name:
            del one["title"]
    schema.pop("title", None)
    return schema


@cache
def _generator() -> Any:
    from pydantic.json_schema import GenerateJsonSchema

    class Generator(GenerateJsonSchema):
        ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012

        def field_title_should_be_set(self, schema: Any) -> bool:
            return False

    return Generator


def validated(validate: Callable[[bytes], Any], value: object, schema: Schema, where: str) -> Any:
    """Returns what pydantic makes of a decoded value; raises ``ValueError`` with one line.

    The value is checked as JSON, so that what its schema admits is taken: a date is a string.
    """
    from pydantic import ValidationError

    try:
        return validate(encode(without_nulls(value, schema), where))
    except ValidationError as error:
        raise ValueError(_one_line(error, where)) from None


def _one_line(error: pydantic.ValidationError, where: str) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    lines = [_place(where, one["loc"]) + ": " + " ".join(one["msg"].split()) for one in found]
    more = f"; and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    return "; ".join(lines[:_SHOWN]) + more


def _place(where: str, location: Iterable[int | str]) -> str:
    return where + "".join(f"[{at}]" if isinstance(at, int) else f".{at}" for at in location)


def _target(function: Callable[..., Any]) -> Any:
    """Returns the function in which one that wraps it, or an object that can be called, ends."""
    target: Any = inspect.unwrap(function)
    while isinstance(target, partial):
        target = inspect.unwrap(target.func)
    is_object = not inspect.isroutine(target) and not isinstance(target, type)
    return type(target).__call__ if is_object else target


def _hints(function: Callable[..., Any], name: str, frame: FrameType | None) -> dict[str, Any]:
    """Returns the types of a signature.

    Those written as text are looked up where the function is, or else among the names that the
    callers know, in one of which it was made.
    """
    target = _target(function)
    target = target.__dict__.get("__init__", target) if isinstance(target, type) else target
    known: dict[str, Any] = {}
    while True:
        try:
            return get_type_hints(target, localns=known or None, include_extras=True)
        except NameError as error:
            missing = str(error.name)
        while frame is not None and missing not in frame.f_locals:
            frame = frame.f_back
        if frame is None:
            raise TypeError(f"{name}: the signature's type {missing} cannot be found")
        known[missing] = frame.f_locals[missing]


def _field(pydantic: Any, parameter: inspect.Parameter, hints: dict[str, Any]) -> tuple[Any, Any]:
    hint = hints.get(parameter.name, Any)
    extras: list[Any] = []
    if get_origin(hint) is Annotated:
        hint, *extras = get_args(hint)
    extras = [pydantic.Field(description=x) if isinstance(x, str) else x for x in extras]
    default = ... if parameter.default is parameter.empty else parameter.default
    metadata = (hint, pydantic.Field(alias=parameter.name), *extras)
    return Annotated[metadata], default


def _as_taken(made: Any, parameters: Iterable[inspect.Parameter]) -> Checked:
    """Returns what a model holds as a function takes it; what was not given is left to it."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for number, parameter in enumerate(parameters):
        field = f"p{number}"
        if parameter.kind is parameter.VAR_KEYWORD:
            kwargs.update(made.model_extra or {})
        elif parameter.kind is parameter.POSITIONAL_ONLY:
            args.append(getattr(made, field))
        elif field in made.model_fields_set or _is_field(parameter.default):
            kwargs[parameter.name] = getattr(made, field)
    return tuple(args), kwargs


def _is_field(default: object) -> bool:
    from pydantic.fields import FieldInfo

    return isinstance(default, FieldInfo)
