"""Tools: Python functions that models call, with what models are told of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, overload

from luaopenai.client.schemas import fault, strict_schema, without_nulls
from luaopenai.client.tools import check_name, function_declaration, response_definition

Schema = dict[str, Any]
Checked = tuple[tuple[Any, ...], dict[str, Any]]
"""Arguments as a function takes them: by position, and by name."""


class Tool:
    """A function that models call.

    Args:
        function: takes the arguments by name.
        name: 1 to 64 letters, digits, ``_`` and ``-``.
        description: tells the model what the function is for.
        parameters: a JSON schema of the arguments, by which they are checked; None for any.
        strict: whether models that can are to be held to the schema.
        check: takes the decoded arguments in the schema's place; returns those of the function by
            position and by name, or raises ``ValueError`` with one line.

    Attributes:
        name: as given.
        description: as given.
        parameters: as given, not the form that strict mode wants.
        strict: as given.
        function: as given.

    Raises:
        ValueError: the name is none, or strict mode cannot say what the schema does.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str,
        description: str | None = None,
        parameters: Schema | None = None,
        strict: bool = False,
        check: Callable[[dict[str, Any]], Checked] | None = None,
    ) -> None:
        if not callable(function):
            raise TypeError(f"function: expected a function, got {type(function).__name__}")
        check_name(name)
        if description is not None and not isinstance(description, str):
            kind = type(description).__name__
            raise TypeError(f"description: expected a string, got {kind}")
        if parameters is not None and not isinstance(parameters, dict):
            raise TypeError(f"parameters: expected a dict, got {type(parameters).__name__}")
        self.function = function
        self.name = name
        self.description = description
        self.parameters = parameters
        self.strict = bool(strict)
        self._check = check or self._by_name
        self._sent = _strict_form(name, parameters) if strict else parameters
        self.__wrapped__ = function
        self.__name__ = name
        self.__doc__ = getattr(function, "__doc__", None)

    @classmethod
    def from_handler(
        cls,
        handler: Callable[[dict[str, Any]], Any],
        *,
        name: str,
        description: str | None = None,
        parameters: Schema | None = None,
        strict: bool = False,
    ) -> Tool:
        """Returns a tool whose function takes the arguments as one dict; else as the class."""
        spec: dict[str, Any] = {"description": description, "parameters": parameters}
        made = cls(handler, name=name, strict=strict, **spec)
        made._check = made._as_dict
        return made

    @classmethod
    def from_declaration(
        cls, declaration: Schema, handler: Callable[[dict[str, Any]], Any]
    ) -> Tool:
        """Returns a tool that is declared already, and whose function checks its arguments itself.

        Args:
            declaration: its ``name``, ``description``, ``parameters`` and ``strict``; nothing here
                follows the schema, which is sent as it is.
            handler: takes the arguments as one dict.
        """
        made = cls(
            handler,
            name=declaration["name"],
            description=declaration.get("description"),
            parameters=declaration.get("parameters"),
            check=lambda arguments: ((arguments,), {}),
        )
        made.strict = declaration.get("strict", False)
        return made

    @property
    def definition(self) -> Schema:
        """The form that ``tools`` of a chat completion takes, of this client and of others."""
        described: Schema = {"name": self.name}
        if self.description:
            described["description"] = self.description
        if self._sent is not None:
            described["parameters"] = self._sent
        if self.strict:
            described["strict"] = True
        return {"type": "function", "function": described}

    @property
    def response_definition(self) -> Schema:
        """The form that ``tools`` of the Responses API takes, of this client and of others."""
        return dict(response_definition(self.definition))

    @property
    def function_definition(self) -> Schema:
        """The form that the older ``functions`` of a chat completion takes."""
        return dict(function_declaration(self.definition))

    @property
    def is_async(self) -> bool:
        """Whether the function is a coroutine function."""
        function = inspect.unwrap(self.function)
        return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 (what an object's call is)
        )

    def check(self, arguments: dict[str, Any]) -> Checked:
        """Returns decoded arguments as the function takes them, by position and by name.

        Raises ``ValueError`` with one line where they do not fit.
        """
        if not isinstance(arguments, dict):
            raise ValueError(f"arguments: expected an object, got {type(arguments).__name__}")
        checked: Checked = self._check(arguments)
        return checked

    def call(self, arguments: dict[str, Any]) -> Any:
        """Checks decoded arguments, and returns what the function makes of them.

        Raises:
            ValueError: the arguments do not fit; one line.
            TypeError: the function is a coroutine function.
        """
        if self.is_async:
            raise TypeError(f"{self.name} is a coroutine function: use call_async")
        args, kwargs = self.check(arguments)
        return self.function(*args, **kwargs)

    async def call_async(self, arguments: dict[str, Any]) -> Any:
        """Does what ``call`` does; awaits a coroutine function, runs others in a thread."""
        args, kwargs = self.check(arguments)
        return await self.run_async(args, kwargs)

    async def run_async(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Runs the function with arguments that ``check`` has returned."""
        if self.is_async:
            return await self.function(*args, **kwargs)
        from luaopenai.client.aio import in_thread

        result = await in_thread(lambda: self.function(*args, **kwargs))
        return await result if inspect.isawaitable(result) else result

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the function as if it were no tool."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Tool {self.name}>"

    def _by_name(self, arguments: dict[str, Any]) -> Checked:
        return (), self._fitting(arguments)

    def _as_dict(self, arguments: dict[str, Any]) -> Checked:
        return (self._fitting(arguments),), {}

    def _fitting(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if self.parameters is None:
            return dict(arguments)
        fitting: dict[str, Any] = without_nulls(arguments, self.parameters)
        wrong = fault(fitting, self.parameters, "arguments")
        if wrong:
            raise ValueError(wrong)
        return fitting


def _is_of_object(schema: Schema) -> bool:
    """Returns whether a schema may be an object's; a mere table of fields is none."""
    said = {"properties", "$ref", "anyOf", "oneOf", "allOf"} & schema.keys()
    return schema.get("type") == "object" or ("type" not in schema and (not schema or bool(said)))


def _strict_form(name: str, parameters: Schema | None) -> Schema:
    return strict_schema(parameters or {"type": "object", "properties": {}}, f"{name}: parameters")


@overload
def tool(
    function: Callable[..., Any],
    *,
    name: str | None = None,
    description: str | None = None,
    parameters: Schema | None = None,
    strict: bool = False,
) -> Tool: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    parameters: Schema | None = None,
    strict: bool = False,
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(
    function: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    description: str | None = None,
    parameters: Schema | None = None,
    strict: bool = False,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Makes a tool of a function, also as a decorator: ``@tool``, ``@tool(strict=True)``.

    Args:
        function: what models are to call; it is given the arguments by name.
        name: the function's own when None.
        description: the first paragraph of its docstring when None.
        parameters: a JSON schema of its arguments. When None, it is made from the signature,
            ``Annotated`` and ``Field`` and the docstring's ``Args:``, for which pydantic is needed
            (``pip install 'luaopenai[pydantic]'``); arguments then become what the signature
            says.
        strict: whether models that can are to be held to the schema.

    Raises:
        ImportError: a schema is to be made, and there is no pydantic.
        TypeError: the signature has something of which there is no JSON schema.
        ValueError: the name is none, or strict mode cannot say what the schema does.
    """
    if function is None:
        return lambda given: _make(given, name, description, parameters, strict)
    return _make(function, name, description, parameters, strict)


def _make(
    function: Callable[..., Any],
    name: str | None,
    description: str | None,
    parameters: Schema | None,
    strict: bool,
) -> Tool:
    from luaopenai.client.signatures import read_docstring, read_signature

    if isinstance(function, Tool) or not callable(function):
        raise TypeError(f"tool: expected a function, got {type(function).__name__}")
    found = name or getattr(function, "__name__", None)
    if found is None:
        raise ValueError("name: needed, because what is to be called has none")
    text, notes = read_docstring(function)
    check = None
    if isinstance(parameters, dict) and not _is_of_object(parameters):
        raise ValueError('parameters: expected the JSON schema of an object, with "properties"')
    if parameters is None:
        parameters, check = read_signature(function, found, notes, inspect.currentframe())
    return Tool(
        function,
        name=found,
        description=description or text or None,
        parameters=parameters,
        strict=strict,
        check=check,
    )
