"""Decides about typed answers: the format to ask for, and whether a reply fits; no I/O."""

from __future__ import annotations

import json
import re

from luaopenai.client.schemas import strict_schema
from luaopenai.client.tools import json_fault, refuse_constant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

ATTEMPTS = 2
"""Requests that a typed answer may take, where the caller names no number."""
_WRAPPED = "value"


class AnswerFormat:
    """The format of one typed answer.

    Strict mode wants an object: a schema of anything else is sent inside one, and its answer is
    taken out of it.

    Args:
        schema: the JSON schema that the answer must fit.
        name: what the API calls it; the schema's title when None.

    Attributes:
        name: see above, with ``_`` for what the API takes in no name.
        schema: the strict schema that is sent.
        is_wrapped: whether it is inside an object.

    Raises:
        ValueError: strict mode cannot say the schema.
    """

    def __init__(self, schema: dict[str, Any], name: str | None = None) -> None:
        title = name or schema.get("title")
        title = title if isinstance(title, str) else ""
        self.name = re.sub(r"[^A-Za-z0-9_-]+", "_", title)[:64] or "answer"
        strict = strict_schema(schema)
        self.is_wrapped = strict.get("type") != "object" or "anyOf" in strict
        if self.is_wrapped:
            defs: dict[str, Any] = {
                key: strict.pop(key) for key in ("$defs", "definitions") if key in strict
            }
            strict = {
                "type": "object",
                "properties": {_WRAPPED: strict},
                "required": [_WRAPPED],
                "additionalProperties": False,
                **defs,
            }
        self.schema = strict

    def parameters(self, api: Literal["chat", "responses"]) -> dict[str, Any]:
        """Returns the parameters that ask an API for this format."""
        named = {"name": self.name, "schema": self.schema, "strict": True}
        if api == "responses":
            return {"text": {"format": {"type": "json_schema", **named}}}
        return {"response_format": {"type": "json_schema", "json_schema": named}}

    def read(self, text: str) -> Any:
        """Decodes an answer's text, and takes it out of what it is inside.

        A fence of Markdown around it is passed over: models without a grammar write one. Raises
        ``ValueError``, with a line for the model, where it is not JSON.
        """
        try:
            value = json.loads(_without_fence(text), parse_constant=refuse_constant)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"not JSON: {json_fault(error)}") from None
        if self.is_wrapped and isinstance(value, dict) and list(value) == [_WRAPPED]:
            return value[_WRAPPED]
        return value


def _without_fence(text: str) -> str:
    """Returns what a fence of Markdown is around, or the text itself."""
    stripped = text.strip()
    head, line_break, rest = stripped.partition("\n")
    is_fenced = line_break and head.rstrip() in ("```", "```json") and rest.endswith("```")
    return rest[:-3] if is_fenced else text


def ask_again(line: str) -> str:
    """Returns what a model is told whose answer does not fit."""
    return f"That answer does not fit: {line}. Answer again, with JSON that fits the schema alone."


def no_fit(attempts: int, line: str) -> str:
    """Returns the error text for answers of which none has fitted."""
    times = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    return f"no answer that fits after {times}: {line}"


def why_cut(body: object) -> str:
    """Returns why the answer in a body was cut short, or "".

    Args:
        body: a chat completion, or a response of the Responses API.
    """
    reason: object = None
    if isinstance(body, dict):
        choices = body.get("choices")
        if isinstance(choices, list) and choices and isinstance(choices[0], dict):
            reason = choices[0].get("finish_reason")
        elif body.get("status") == "incomplete":
            details = body.get("incomplete_details")
            reason = details.get("reason") if isinstance(details, dict) else "max_output_tokens"
    if reason == "length":
        return "the answer was cut off: it reached max_tokens"
    if reason == "max_output_tokens":
        return "the answer was cut off: it reached max_output_tokens"
    if reason == "content_filter":
        return "the answer was cut off by the server's content filter"
    return ""
