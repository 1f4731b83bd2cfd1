"""Reads responses of the Responses API and the events of their streams; does no I/O."""

from __future__ import annotations

from luaopenai.client.completions import lua_type
from luaopenai.client.errors import APIError, status_error
from luaopenai.client.server_errors import error_text, reported_error
from luaopenai.client.sse import has_end

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from luaopenai.client.openai import Response


class TextChunk(dict):  # type: ignore[type-arg]
    """A piece of a streamed answer: ``{"content": TEXT}``; ``str(chunk)`` is its text."""

    def __str__(self) -> str:
        return str(self["content"])


class ResponseObject(dict):  # type: ignore[type-arg]
    """A response of the API, as a dict; ``str(response)`` is its text."""

    def get_output_text(self) -> str:
        """Returns all ``output_text`` parts, joined."""
        return output_text(self)

    def get_images(self) -> list[dict[str, str]]:
        """Returns the generated images, as ``{"b64_json": DATA}``."""
        return output_images(self)

    def __str__(self) -> str:
        return output_text(self)


class Streamed:
    """Collects the events of a stream.

    Attributes:
        ended: the first event of each kind that is no text, by kind, with what it brings.
        was_stopped: whether the caller has asked for no more.
    """

    def __init__(self) -> None:
        self.ended: dict[str, Any] = {}
        self.was_stopped = False
        self._texts: list[str] = []
        self._refusals: list[str] = []

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._texts)

    @property
    def refusal(self) -> str:
        """The words so far with which the model refuses."""
        return "".join(self._refusals)

    def add(self, event: dict[str, Any]) -> TextChunk | None:
        """Takes note of an event; returns the chunk for its text, if it has any."""
        kind, value = read_event(event)
        if kind == "text":
            self._texts.append(value)
            return TextChunk(content=value)
        if kind == "refusal":
            self._refusals.append(value)
        self.ended.setdefault(kind, (value, event))
        return None


def read_end(streamed: Streamed, response: Response) -> tuple[ResponseObject | None, str]:
    """Returns the response that a stream has brought, if it has come whole, and its text."""
    text, ended = streamed.text, streamed.ended
    if "failed" in ended:
        failure, event = ended["failed"]
        raise APIError(failure, status=response.status, body=event, headers=response.headers)
    if "done" in ended:
        whole = ended["done"][1]["response"]
    else:
        whole = None if text or ended else whole_response(response.body)
    is_over = whole is not None or streamed.was_stopped
    fault = stream_fault(response.body, text, streamed.refusal, is_over)
    if fault:
        raise APIError(fault, status=response.status, body=text, headers=response.headers)
    if whole is None:
        return None, text
    found = ResponseObject(find_response(response.status, whole))
    return found, text or found.get_output_text()


def place_of(parameters: Mapping[str, Any]) -> object:
    """Returns the id of the conversation or response that a request continues."""
    conversation = parameters.get("conversation")
    if isinstance(conversation, dict):
        conversation = conversation.get("id")
    return conversation or parameters.get("previous_response_id")


def check_response_status(
    status: int, body: object, headers: Mapping[str, str] | None = None
) -> None:
    """Raises an ``APIStatusError`` with the server's own words unless ``status`` is 200."""
    if status != 200:
        text = f"Request failed with status: {status}{error_text(body)}"
        raise status_error(text, status, body, headers)


def find_response(status: int, body: Any) -> dict[str, Any]:
    """Returns a body that is a response.

    Raises ``APIError`` where it is none, tells of a failure, or where the model refuses.
    """
    fault = ""
    if not isinstance(body, dict):
        fault = f'expected type "table", got "{lua_type(body)}"'
    elif not isinstance(body.get("id"), str):
        fault = f'field "id": expected type "string", got "{_field_type(body, "id")}"'
    elif not isinstance(body.get("output"), list) and body.get("output") != {}:
        fault = f'field "output": expected type "table", got "{_field_type(body, "output")}"'
    if fault or body.get("status") == "failed":
        words = reported_error(body)
        text = f"Response failed{words}" if words or not fault else f"{_UNUSABLE}: {fault}"
        raise APIError(text, status=status, body=body)
    refusal = output_refusal(body)
    if refusal and not output_text(body):
        raise APIError(refusal, status=status, body=body)
    found: dict[str, Any] = body
    return found


_UNUSABLE = "Failed to parse response"


def _field_type(body: dict[str, Any], name: str) -> str:
    return lua_type(body[name]) if name in body else "nil"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def whole_response(body: object) -> object:
    """Returns the response in a body that is no event stream, as servers without streams send."""
    from luaopenai.client.payload import decode

    value = decode(_bytes(body)) if isinstance(body, str) else body
    return value if isinstance(value, dict | list) else None


def stream_fault(body: object, text: str, refusal: str, is_over: bool) -> str:
    """Returns why a stream did not give a usable response, or "".

    A stream without its end mark was cut off, even where HTTP holds it for whole: the mark brings
    what the conversation goes on from.

    Args:
        body: the stream's raw text.
        text: what it brought.
        refusal: the words with which the model refused.
        is_over: whether the final response has come, or the caller has asked for no more.
    """
    if refusal:
        return refusal
    # Without a body but with a text, the stream is what a test puts in its place.
    if is_over or not isinstance(body, str) or (text and not body) or has_end(_bytes(body)):
        return ""
    return "Stream failed: the answer was cut off"


def read_event(event: object) -> tuple[str, Any]:
    """Returns the kind and the value of what an event of a stream carries.

    Returns:
        ``("text", TEXT)``, ``("refusal", TEXT)``, ``("done", None)`` for the event with the whole
        response, ``("failed", MESSAGE)``, or ``("", None)`` for any other.
    """
    if not isinstance(event, dict):
        return "", None
    kind, response = event.get("type"), event.get("response")
    delta = event.get("delta")
    if isinstance(kind, str) and kind in _DELTAS and isinstance(delta, str):
        return _DELTAS[kind], delta
    if kind in ("response.completed", "response.incomplete") and isinstance(response, dict):
        return "done", None
    if kind == "response.failed":
        return "failed", f"Response failed{error_text(response)}"
    if kind == "error" or (kind is None and event.get("error")):
        return "failed", f"Response failed{error_text({'error': event.get('error') or event})}"
    return "", None


_DELTAS = {"response.output_text.delta": "text", "response.refusal.delta": "refusal"}


def output_text(response: object) -> str:
    """Returns all ``output_text`` parts of a response, joined."""
    return _parts(response, "output_text", "text")


def output_refusal(response: object) -> str:
    """Returns all ``refusal`` parts of a response, joined."""
    return _parts(response, "refusal", "refusal")


def output_images(response: object) -> list[dict[str, str]]:
    """Returns the results of a response's image generation calls, as ``{"b64_json": DATA}``."""
    calls = (i for i in _items(response, "output") if i.get("type") == "image_generation_call")
    return [{"b64_json": call["result"]} for call in calls if isinstance(call.get("result"), str)]


def _parts(response: object, kind: str, field: str) -> str:
    parts = (part for item in _items(response, "output") for part in _items(item, "content"))
    texts = (part.get(field) for part in parts if part.get("type") == kind)
    return "".join(text for text in texts if isinstance(text, str))


def _items(parent: object, field: str) -> list[dict[str, Any]]:
    found = parent.get(field) if isinstance(parent, dict) else None
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
