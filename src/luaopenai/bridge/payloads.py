"""The Python functions by which Lua checks and writes what a script sends."""

from __future__ import annotations

from luaopenai.bridge.marks import export
from luaopenai.bridge.network import Network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_CHECKING = "client.messages client.payload"
"""The modules that are needed to check a script's payloads."""


class Payloads(Network):
    """Checks and encodes one Lua state's payloads, forms and paths."""

    @export(plugins=True, needs="client.endpoints")
    def missing(self, field: bytes) -> str:
        """Returns the error text for a field that was left out."""
        from luaopenai.client.endpoints import missing

        return missing(field.decode())

    @export(plugins=True, needs="client.urls")
    def fill_path(self, path: bytes, *ids: object) -> str:
        """Returns a path with its placeholders filled by ids, which come in the same order."""
        from luaopenai.client.urls import fill_path, placeholders

        text = path.decode()
        known = (
            value if isinstance(value, bytes) else self._values.to_python(value) for value in ids
        )
        return fill_path(text, dict(zip(placeholders(text), known, strict=False)))

    @export(plugins=True, needs="client.urls client.payload")
    def add_query(self, path: bytes, query: bytes) -> bytes:
        """Returns a path or a URL with a query appended; the query is given as JSON."""
        from luaopenai.client.urls import add_query

        text = add_query(path.decode("utf-8", "surrogateescape"), loads(query, "query"))
        return text.encode("utf-8", "surrogateescape")

    @export(plugins=True, needs=_CHECKING)
    def check_messages(self, text: bytes) -> None:
        """Raises unless the JSON text is a list of valid messages."""
        from luaopenai.client.messages import check_messages

        check_messages(loads(text, "messages"), 1)

    @export(plugins=True, needs=_CHECKING)
    def check_message(self, text: bytes, where: bytes) -> None:
        """Raises unless the JSON text is a valid message."""
        from luaopenai.client.messages import check_message

        check_message(loads(text, where.decode()), where.decode(), 1)

    @export(plugins=True, needs=_CHECKING)
    def check_tool_call(self, text: bytes, where: bytes) -> None:
        """Raises unless the JSON text is a tool call; ``where`` is what errors call it."""
        from luaopenai.client.messages import check_tool_call

        check_tool_call(loads(text, where.decode()), where.decode())

    @export(plugins=True, needs=_CHECKING)
    def check_input(self, text: bytes) -> None:
        """Raises unless the JSON text is what the Responses API takes as input."""
        from luaopenai.client.messages import check_input

        check_input(loads(text, "input"), 1)

    @export(plugins=True, needs=_CHECKING)
    def check_function(self, text: bytes, number: int) -> None:
        """Raises unless the JSON text is a function declaration."""
        from luaopenai.client.messages import check_function

        check_function(loads(text, "function"), f"functions[{number}]")

    @export(plugins=True, needs="client.payload")
    def check_text(self, text: bytes, where: bytes) -> None:
        """Raises unless the JSON text is UTF-8."""
        if not self.is_utf8(text):
            loads(text, where.decode())

    @export(plugins=True)
    def is_utf8(self, text: bytes) -> bool:
        """Returns whether bytes are UTF-8."""
        try:
            text.decode()
        except UnicodeDecodeError:
            return False
        return True

    @export(plugins=True, needs="client.payload")
    def explain(self, value: object, where: bytes) -> str:
        """Returns why a Lua value cannot be sent as JSON."""
        from luaopenai.client.payload import fault

        try:
            return fault(self._values.to_python(value, where.decode()), where.decode(), 1)
        except (TypeError, ValueError) as error:
            return str(error)

    @export()
    def multipart(self, fields: object) -> tuple[object, ...]:
        """Returns a form's body and content type."""
        from luaopenai.client.multipart import encode

        return encode(self._values.to_python(fields, "params"))

    @export()
    def encode_multipart(self, fields: object, boundary: bytes) -> bytes:
        """Returns a form's body, with a boundary that the caller has chosen."""
        from luaopenai.client.multipart import join, parts

        return join(parts(self._values.to_python(fields, "params")), boundary)

    @export()
    def multipart_boundary(self, fields: object) -> str:
        """Returns a boundary that occurs in no part of a form."""
        from luaopenai.client.multipart import choose_boundary, parts

        return choose_boundary(parts(self._values.to_python(fields, "params")))

    @export()
    def read_file(self, path: object, field: bytes) -> tuple[object, ...]:
        """Returns the name and the content of a file for a form's field."""
        from luaopenai.client.multipart import read_file

        part = read_file(self._values.to_python(path, field.decode()), field.decode())
        return part.filename, part.content


def loads(text: bytes, where: str) -> Any:
    """Decodes JSON text from our encoder; raises ``ValueError`` for strings that are not UTF-8."""
    import json

    try:
        return json.loads(text.decode())
    except UnicodeDecodeError:
        from luaopenai.client.payload import fault

        value = json.loads(text.decode("utf-8", "surrogateescape"))
        raise ValueError(fault(value, where, 1)) from None
