"""Sessions over the Responses API; reads responses and the events of their streams."""

from __future__ import annotations

from luaopenai.client.arguments import check_client, check_lists, check_texts
from luaopenai.client.completions import lua_type
from luaopenai.client.declarations import declared
from luaopenai.client.errors import APIConnectionError, APIError, status_error
from luaopenai.client.light_typing import overload
from luaopenai.client.messages import check_input
from luaopenai.client.server_errors import error_text, reported_error
from luaopenai.client.sse import has_end

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any, Literal, TypeVar

    from luaopenai.client.iterators import ReplyStream, Stream
    from luaopenai.client.openai import OpenAI, Response
    from luaopenai.client.runs import OnCall, Run

    Answer = TypeVar("Answer")
    TextCallback = Callable[["TextChunk", dict[str, Any]], object] | Callable[["TextChunk"], object]

OWN_OPTIONS = ("previous_response_id",)
"""The options that a session keeps in fields of its own; any other is sent with every request."""


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


class _Streamed:
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
        return "".join(self._texts)

    @property
    def refusal(self) -> str:
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


class ResponsesChatSession:
    """A conversation whose history the server keeps.

    Attributes:
        client: the ``OpenAI`` client that it speaks through.
        opts: the other options that it was made with, which are sent with every request; with
            ``conversation``, an id, requests continue that conversation in place of a response.
        response_history: the responses so far, a live list.
        current_response_id: what the next request continues from; None at the start.
        last_response: the body of the last answer, decoded; of a stream, its raw text.
        pending_outputs: what answers the calls of the response that ``run`` has come to, a live
            list of items; the next request that continues from there sends them first.
    """

    def __init__(
        self, client: OpenAI, *, previous_response_id: str | None = None, **opts: Any
    ) -> None:
        check_client(client, "create_response")
        check_lists(tools=opts.get("tools"))
        check_texts(previous_response_id=previous_response_id)
        self.client = client
        self.opts = opts
        self.last_response: Any = None
        self.response_history: list[ResponseObject] = []
        self.current_response_id = previous_response_id
        self.pending_outputs: list[dict[str, Any]] = []
        self._place: object = previous_response_id
        """The id of what continues from the newest response: its own, or its conversation's."""
        self._pending_place: object = None
        """The place whose calls the pending outputs answer; None for any."""

    @overload
    def send(
        self, input: str | list[dict[str, Any]], *, stream: Literal[True], **opts: Any
    ) -> ReplyStream[TextChunk, str]: ...
    @overload
    def send(
        self,
        input: str | list[dict[str, Any]],
        stream_callback: TextCallback | None = None,
        **opts: Any,
    ) -> ResponseObject | str: ...
    def send(
        self,
        input: str | list[dict[str, Any]],
        stream_callback: TextCallback | None = None,
        **opts: Any,
    ) -> ResponseObject | str | ReplyStream[TextChunk, str]:
        """Sends input that continues the conversation.

        Args:
            input: text, or a list of messages and items such as ``function_call_output``.
            stream_callback: called with each ``TextChunk``, and its raw event where it takes two
                arguments, as it arrives.
            opts: request parameters for this call, over the session's own.

        Returns:
            The response; for a stream, its text. With ``stream=True`` and no callback, a
            ``ReplyStream`` of its pieces.

        Raises:
            ValueError: the input cannot be sent.
            APIError: the server refused, or its answer cannot be used.
            APIConnectionError: no complete answer came.
        """
        return self.create_response(input, stream_callback, **opts)

    @overload
    def create_response(
        self, input: str | list[dict[str, Any]], *, stream: Literal[True], **opts: Any
    ) -> ReplyStream[TextChunk, str]: ...
    @overload
    def create_response(
        self,
        input: str | list[dict[str, Any]],
        stream_callback: TextCallback | None = None,
        **opts: Any,
    ) -> ResponseObject | str: ...
    def create_response(
        self,
        input: str | list[dict[str, Any]],
        stream_callback: TextCallback | None = None,
        **opts: Any,
    ) -> ResponseObject | str | ReplyStream[TextChunk, str]:
        """Creates a response with the parameters given; see ``send``."""
        sent, parameters = self._prepare(input, opts)
        if stream_callback is None and parameters.get("stream"):
            return self._iterate(sent, parameters)
        whole, text = self._ask(sent, stream_callback, parameters)
        if whole is not None:
            self._keep(whole, sent, parameters)
        return text if stream_callback is not None or whole is None else whole

    def run(
        self,
        message: str | list[dict[str, Any]] | None = None,
        stream_callback: TextCallback | None = None,
        *,
        tools: Iterable[Any] | None = None,
        max_steps: int = 10,
        limit: int = 8,
        on_call: OnCall | None = None,
        on_result: OnCall | None = None,
        raise_errors: bool = False,
        **opts: Any,
    ) -> Run:
        """Sends input, runs what the model calls, until it answers with text.

        Whatever ends it, each call has an answer, if need be in ``pending_outputs``, which the next
        request carries; so the session goes on.

        Args:
            message: text, or a list as ``send`` takes it; None goes on from the last response, and
                runs those of its calls first that have no answer.
            stream_callback: called with the pieces of each round's reply, as in ``send``.
            tools: in place of the session's; ``Tool``s, and definitions as ``send`` takes them.
            max_steps: how many rounds of calls are run.
            limit: how many calls of a round run at once, in threads; with 1, one after the other
                in the caller's.
            on_call: called with each ``ToolCall`` before it is run, in the caller's thread; False,
                a reason, or ``(False, reason)`` refuses it.
            on_result: called with each ``ToolCall`` once it has its answer.
            raise_errors: whether what a tool raises ends the run; else the model is told.
            opts: request parameters, as in ``send``. A ``tool_choice`` that is neither ``"auto"``
                nor ``"none"`` counts for the first request only.

        Returns:
            The run: ``text``, ``calls``, and ``str(run)``, which is the text.

        Raises:
            ToolLoopError: the model called tools for more rounds than ``max_steps``.
            ValueError: the message is not a valid one.
            APIError: the server refused, or its answer holds no reply.
            APIConnectionError: no complete answer came.
        """
        from luaopenai.client.histories import ResponsesHistory
        from luaopenai.client.runs import open_run, run

        loop = open_run(
            ResponsesHistory,
            self,
            stream_callback,
            tools,
            max_steps=max_steps,
            limit=limit,
            on_call=on_call,
            on_result=on_result,
            raise_errors=raise_errors,
            **opts,
        )
        return run(loop, message)

    @overload
    def parse(
        self, message: str | list[dict[str, Any]] | None, kind: type[Answer], **options: Any
    ) -> Answer: ...
    @overload
    def parse(
        self,
        message: str | list[dict[str, Any]] | None,
        kind: Any,
        *,
        attempts: int = 2,
        **options: Any,
    ) -> Any: ...
    def parse(
        self,
        message: str | list[dict[str, Any]] | None,
        kind: Any,
        *,
        attempts: int = 2,
        stream_callback: TextCallback | None = None,
        tools: Iterable[Any] | None = None,
        **options: Any,
    ) -> Any:
        """Sends a message as ``run`` does, and returns the answer as a value of a type.

        The model is sent the type's JSON schema, in its strict form. An answer that does not fit is
        sent back with what is wrong; all that stays in the history.

        Args:
            message: as ``run`` takes it.
            kind: a pydantic model, a dataclass, a ``TypedDict`` or another type that pydantic
                knows, for which it is needed (``pip install 'luaopenai[pydantic]'``); or a JSON
                schema, a dict, for decoded JSON.
            attempts: how many answers may be asked for.
            stream_callback: as in ``run``.
            tools: as in ``run``.
            options: what ``run`` takes further.

        Raises:
            AnswerError: no answer has fitted, or it was cut short.
            APIError: as in ``run``; where the model refuses, with its words.
            TypeError: there is no JSON schema for the type.
            ValueError: strict mode cannot say the schema.
        """
        from luaopenai.client.histories import ResponsesHistory
        from luaopenai.client.runs import open_run
        from luaopenai.client.typed import parse

        loop = open_run(ResponsesHistory, self, stream_callback, tools, **options)
        return parse(loop, message, kind, attempts)

    def _prepare(
        self, input: str | list[dict[str, Any]], opts: dict[str, Any]
    ) -> tuple[str | list[dict[str, Any]], dict[str, Any]]:
        """Returns the input and the parameters of a request.

        The outputs that are pending where it continues come before the input.
        """
        check_input(input)
        parameters = {**self.opts, **opts}
        if parameters.get("conversation") is None:
            parameters.setdefault("previous_response_id", self.current_response_id)
        parameters = {name: value for name, value in parameters.items() if value is not None}
        parameters = declared(parameters, "responses")
        if self.pending_outputs and self._pending_place in (None, place_of(parameters)):
            missing = self._missing(input)
            given = [{"role": "user", "content": input}] if isinstance(input, str) else input
            input = [*missing, *given] if missing else input
        return input, parameters

    def _ask(
        self,
        input: str | list[dict[str, Any]],
        stream_callback: TextCallback | None,
        parameters: dict[str, Any],
    ) -> tuple[ResponseObject | None, str]:
        """Sends a request; returns the response, if it has come whole, and its text.

        Keeps nothing of it but ``last_response``.
        """
        if stream_callback is not None:
            return self._stream(input, stream_callback, parameters)
        response = self.client.create_response(input, **parameters)
        self.last_response = response.body
        check_response_status(*response)
        whole = ResponseObject(find_response(response.status, response.body))
        return whole, whole.get_output_text()

    def _stream(
        self,
        input: str | list[dict[str, Any]],
        stream_callback: TextCallback,
        parameters: dict[str, Any],
    ) -> tuple[ResponseObject | None, str]:
        from luaopenai.client.callbacks import two_arguments

        callback, streamed = two_arguments(stream_callback), _Streamed()

        def on_event(event: dict[str, Any]) -> object:
            chunk = streamed.add(event)
            go_on = None if chunk is None else callback(chunk, event)
            streamed.was_stopped = go_on is False
            return go_on

        try:
            response = self.client.create_response(input, on_event, **parameters)
        except APIConnectionError as error:
            error.body = streamed.text
            raise
        self.last_response = response.body
        check_response_status(*response)
        return _finished(streamed, response)

    def _iterate(
        self, input: str | list[dict[str, Any]], parameters: dict[str, Any]
    ) -> ReplyStream[TextChunk, str]:
        from luaopenai.client.iterators import ReplyStream

        stream: Stream[dict[str, Any]] = self.client.create_response(input, **parameters)
        check_response_status(*stream.response)
        streamed = _Streamed()

        def chunks() -> Iterator[TextChunk]:
            for event in stream:
                chunk = streamed.add(event)
                if chunk is not None:
                    yield chunk

        def finish() -> str:
            self.last_response = stream.response.body
            whole, text = _finished(streamed, stream.response)
            if whole is not None:
                self._keep(whole, input, parameters)
            return text

        return ReplyStream(stream, chunks(), finish)

    def _keep(
        self,
        response: ResponseObject,
        input: str | list[dict[str, Any]],
        parameters: Mapping[str, Any],
    ) -> None:
        """Continues from a response; what its input has answered is no longer pending."""
        self.pending_outputs[:] = self._missing(input)
        self.current_response_id = response["id"]
        self.response_history.append(response)
        self._place = place_of({**parameters, "previous_response_id": response["id"]})

    def _await_outputs(self, outputs: list[dict[str, Any]]) -> None:
        """Adds what answers calls of the newest response to what is pending."""
        if self._pending_place not in (None, self._place):
            self.pending_outputs.clear()
        self._pending_place = self._place
        self.pending_outputs += outputs

    def _missing(self, input: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Returns the pending outputs that an input does not hold."""
        if not self.pending_outputs:
            return []
        from luaopenai.client.tools import missing_outputs

        return missing_outputs(self.pending_outputs, input)


def _finished(streamed: _Streamed, response: Response) -> tuple[ResponseObject | None, str]:
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
