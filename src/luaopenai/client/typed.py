"""Typed answers: a model's text, held to a type or a JSON schema."""

from __future__ import annotations

from typing import Any

from luaopenai.client.answers import ATTEMPTS, AnswerFormat, ask_again, no_fit
from luaopenai.client.errors import AnswerError
from luaopenai.client.runs import Loop, Run, run
from luaopenai.client.schemas import fault, without_nulls
from luaopenai.client.signatures import import_pydantic, schema_of, validated

_STOPPED = "the answer was cut off: the callback has ended its stream"


class Typed:
    """One typed answer that is asked for, in as many attempts as it may take; waits for nothing.

    Args:
        loop: the run that is to bring it, attempt after attempt.
        kind: a type that pydantic knows, or a JSON schema.
        attempts: how many answers may be asked for.

    Raises:
        ImportError: it is a type, and there is no pydantic.
        TypeError: there is no JSON schema for the type.
        ValueError: strict mode cannot say the schema.
    """

    def __init__(self, loop: Loop, kind: Any, attempts: int = ATTEMPTS) -> None:
        if isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1:
            raise ValueError(f"attempts: expected a whole number from 1, got {attempts!r}")
        self._attempts = attempts
        self._taken = 0
        self._adapter: Any = None
        if isinstance(kind, dict):
            self._schema = kind
        else:
            self._adapter, self._schema = _adapt(kind)
        self._format = AnswerFormat(self._schema, getattr(kind, "__name__", None))
        self._history = loop.history
        self._history.ask_for(self._format)

    def take(self, run: Run) -> tuple[bool, Any]:
        """Returns whether a run has brought an answer that fits, and its value.

        Or else what the model is to be told. Raises ``AnswerError`` where there is no more to ask.
        """
        self._taken += 1
        try:
            return True, self._value(run.text)
        except ValueError as error:
            line = str(error)
        cut = _STOPPED if self._history.was_stopped else self._history.cut()
        if cut or self._taken == self._attempts:
            raise AnswerError(cut or no_fit(self._attempts, line), run.text)
        return False, ask_again(line)

    def _value(self, text: str) -> Any:
        value = self._format.read(text)
        if self._adapter is not None:
            return validated(self._adapter.validate_json, value, self._schema, "answer")
        value = without_nulls(value, self._schema)
        wrong = fault(value, self._schema, "answer")
        if wrong:
            raise ValueError(wrong)
        return value


def parse(loop: Loop, message: Any, kind: Any, attempts: int) -> Any:
    """Sends a message, and again what is wrong with the answer, until it fits; returns its value.

    Args:
        loop: a run that has not begun.
        message: as ``run`` takes it.
        kind: a type, or a JSON schema.
        attempts: how many answers may be asked for.
    """
    typed = Typed(loop, kind, attempts)
    while True:
        fits, message = typed.take(run(loop, message))
        if fits:
            return message


async def parse_async(loop: Loop, message: Any, kind: Any, attempts: int) -> Any:
    """Does what ``parse`` does, for asyncio."""
    from luaopenai.client.async_runs import run_async

    typed = Typed(loop, kind, attempts)
    while True:
        fits, message = typed.take(await run_async(loop, message))
        if fits:
            return message


def _adapt(kind: Any) -> tuple[Any, dict[str, Any]]:
    """Returns what checks values of a type, and its JSON schema."""
    pydantic = import_pydantic("a typed answer of a Python type")
    try:
        adapter = pydantic.TypeAdapter(kind)
        return adapter, schema_of(adapter.json_schema)
    except pydantic.errors.PydanticUserError as error:
        line = str(error).partition("\n")[0]
        raise TypeError(f"no JSON schema for {kind!r}: {line}") from None
