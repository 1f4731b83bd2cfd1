"""The Python functions by which Lua runs tools and reads typed answers."""

from __future__ import annotations

from luaopenai.bridge.marks import export
from luaopenai.bridge.network import Network
from luaopenai.bridge.payloads import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from luaopenai.client.tools import Call

_CALLS = "client.tools client.payload encodings.utf_16_le"
"""The modules that are needed to read a model's calls: they may hold halves of characters."""
_SCHEMAS = "client.schemas " + _CALLS
_ANSWERS = "client.answers " + _SCHEMAS


class Tools(Network):
    """Decides what one Lua state's tools, their calls and typed answers mean."""

    @export(plugins=True, needs="client.tools client.answers")
    def run_defaults(self) -> tuple[object, ...]:
        """Returns ``max_steps``, ``limit``, ``attempts``, and the answer to what was not run."""
        from luaopenai.client.answers import ATTEMPTS
        from luaopenai.client.tools import LIMIT, MAX_STEPS, not_run

        return MAX_STEPS, LIMIT, ATTEMPTS, not_run()

    @export(plugins=True, needs=_CALLS)
    def check_tool_name(self, name: bytes, where: bytes) -> None:
        """Raises unless a name, as JSON, is one that the API takes for a tool."""
        from luaopenai.client.tools import check_name

        check_name(loads(name, where.decode()), where.decode())

    @export(plugins=True, needs=_SCHEMAS)
    def strict_schema(self, schema: bytes, where: bytes) -> bytes:
        """Returns the form of a schema that strict mode takes; both are JSON."""
        from luaopenai.client.payload import encode
        from luaopenai.client.schemas import strict_schema

        return encode(strict_schema(loads(schema, where.decode()), where.decode()))

    @export(plugins=True, needs=_SCHEMAS)
    def schema_fault(self, value: bytes, schema: bytes, where: bytes) -> str:
        """Returns why a value does not fit a schema, in one line, or ""; both are JSON."""
        from luaopenai.client.payload import decode
        from luaopenai.client.schemas import fault

        return fault(decode(value), loads(schema, "schema"), where.decode())

    @export(plugins=True, needs=_CALLS)
    def find_calls(self, message: bytes) -> bytes:
        """Returns the calls in an assistant's message; both are JSON."""
        from luaopenai.client.payload import decode
        from luaopenai.client.tools import find_calls

        return _written(find_calls(decode(message)))

    @export(plugins=True, needs=_CALLS)
    def find_response_calls(self, response: bytes) -> bytes:
        """Returns the calls in a response of the Responses API; both are JSON."""
        from luaopenai.client.payload import decode
        from luaopenai.client.tools import find_response_calls

        return _written(find_response_calls(decode(response)))

    @export(plugins=True, needs=_CALLS)
    def unanswered(self, messages: bytes) -> bytes:
        """Returns the calls that a history leaves without an answer; both are JSON."""
        from luaopenai.client.payload import decode
        from luaopenai.client.tools import unanswered

        return _written(unanswered(decode(messages)))

    @export(plugins=True, needs=_CALLS)
    def missing_outputs(self, pending: bytes, given: bytes) -> bytes:
        """Returns those of the outputs that an input lacks; all are lists as JSON."""
        from luaopenai.client.payload import decode, encode
        from luaopenai.client.tools import missing_outputs

        return encode(missing_outputs(decode(pending), decode(given)))

    @export(plugins=True, needs=_SCHEMAS)
    def read_arguments(
        self, text: bytes, schema: bytes | None, is_checked: bool
    ) -> tuple[object, ...]:
        """Returns a call's arguments as JSON without nulls for what is left out.

        Where they are no JSON object, or must fit the schema and do not, returns nothing and a
        line for the model.
        """
        from luaopenai.client.schemas import fault, without_nulls
        from luaopenai.client.tools import ArgumentsError, read_arguments

        try:
            arguments = read_arguments(text.decode("utf-8", "replace"))
        except ArgumentsError as error:
            return None, str(error)
        if schema is not None:
            known = loads(schema, "parameters")
            arguments = without_nulls(arguments, known)
            line = fault(arguments, known, "arguments") if is_checked else ""
            if line:
                return None, line
        return _deep_or_sendable(arguments, "arguments: ")

    @export(plugins=True, needs=_CALLS)
    def unknown_tool(self, name: bytes, names: bytes) -> str:
        """Returns the answer to a call of a tool that there is not; names are a list as JSON."""
        from luaopenai.client.tools import unknown_tool

        return unknown_tool(name.decode("utf-8", "replace"), loads(names, "names"))

    @export(plugins=True, needs="client.tools")
    def tool_failed(self, text: bytes) -> tuple[object, ...]:
        """Returns an error's text in one line, and the answer to the call whose function failed."""
        from luaopenai.client.tools import one_line, tool_failed

        said = text.decode("utf-8", "replace")
        return one_line(said), tool_failed(said)

    @export(plugins=True, needs="client.tools")
    def refused(self, reason: bytes | None) -> str:
        """Returns the answer to a call that was refused."""
        from luaopenai.client.tools import refused

        return refused(None if reason is None else reason.decode("utf-8", "replace"))

    @export(plugins=True, needs="client.tools")
    def too_many_rounds(self, steps: int) -> str:
        """Returns the error text of a run that has reached its ``max_steps``."""
        from luaopenai.client.tools import too_many_rounds

        return too_many_rounds(steps)

    @export(plugins=True, needs=_CALLS)
    def later_choice(self, choice: bytes) -> bytes | None:
        """Returns what a choice of tools is from the second round on, as JSON; nil for none."""
        from luaopenai.client.payload import encode
        from luaopenai.client.tools import later_choice

        later = later_choice(loads(choice, "tool_choice"))
        return None if later is None else encode(later)

    @export(plugins=True, needs=_ANSWERS)
    def answer_parameters(self, schema: bytes, name: bytes | None, api: bytes) -> bytes:
        """Returns the parameters that ask an API for a typed answer, as JSON."""
        from luaopenai.client.answers import AnswerFormat
        from luaopenai.client.payload import encode

        given = None if name is None else name.decode("utf-8", "replace")
        made = AnswerFormat(loads(schema, "schema"), given)
        return encode(made.parameters("chat" if api == b"chat" else "responses"))

    @export(plugins=True, needs=_ANSWERS)
    def read_answer(self, text: bytes, schema: bytes, is_checked: bool) -> tuple[object, ...]:
        """Returns a typed answer as JSON without nulls for what is left out.

        Where it is not JSON, or must fit the schema and does not, returns nothing and why.
        """
        from luaopenai.client.answers import AnswerFormat
        from luaopenai.client.schemas import fault, without_nulls

        known = loads(schema, "schema")
        try:
            value = AnswerFormat(known).read(text.decode("utf-8", "replace"))
        except ValueError as error:
            return None, str(error)
        value = without_nulls(value, known)
        line = fault(value, known) if is_checked else ""
        return (None, line) if line else _deep_or_sendable(value, "")

    @export(plugins=True, needs=_ANSWERS)
    def ask_again(self, line: bytes) -> str:
        """Returns what a model is told whose answer does not fit."""
        from luaopenai.client.answers import ask_again

        return ask_again(line.decode("utf-8", "replace"))

    @export(plugins=True, needs=_ANSWERS)
    def no_fit(self, attempts: int, line: bytes) -> str:
        """Returns the error text for answers of which none has fitted."""
        from luaopenai.client.answers import no_fit

        return no_fit(attempts, line.decode("utf-8", "replace"))

    @export(plugins=True, needs=_ANSWERS)
    def why_cut(self, body: bytes) -> str | None:
        """Returns why the answer in a body, given as JSON, was cut short, or nothing."""
        from luaopenai.client.answers import why_cut
        from luaopenai.client.payload import decode

        return why_cut(decode(body)) or None


def _written(calls: list[Call]) -> bytes:
    """Returns calls as JSON, for Lua."""
    return _sendable([{key: getattr(call, key) for key in call.__slots__} for call in calls])


def _deep_or_sendable(value: Any, where: str) -> tuple[bytes | None, str | None]:
    """Returns a value as JSON; or nothing and a line, where it is too deep for that."""
    try:
        return _sendable(value), None
    except RecursionError:
        return None, f"{where}nested too deeply"


def _sendable(value: Any) -> bytes:
    """Returns a value as JSON; halves of characters in it become U+FFFD."""
    from luaopenai.client.lenient import sendable
    from luaopenai.client.payload import encode

    return encode(sendable(value))
