"""Sessions over the Responses API."""

from __future__ import annotations

from luaopenai.client.arguments import check_client, check_lists, check_texts
from luaopenai.client.declarations import declared
from luaopenai.client.errors import APIConnectionError
from luaopenai.client.light_typing import overload
from luaopenai.client.messages import check_input
from luaopenai.client.responses import (
    ResponseObject,
    Streamed,
    TextChunk,
    check_response_status,
    find_response,
    place_of,
    read_end,
)
from luaopenai.client.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, Literal

    from luaopenai.client.histories import ResponsesHistory
    from luaopenai.client.iterators import ReplyStream, Stream
    from luaopenai.client.openai import OpenAI

    TextCallback = Callable[["TextChunk", dict[str, Any]], object] | Callable[["TextChunk"], object]

OWN_OPTIONS = ("previous_response_id",)
"""The options that a session keeps in fields of its own; any other is sent with every request."""


class ResponsesChatSession(Session["str | list[dict[str, Any]]", "TextCallback"]):
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

    def _open_history(self, stream_callback: Any, opts: dict[str, Any]) -> ResponsesHistory:
        from luaopenai.client.histories import ResponsesHistory

        return ResponsesHistory(self, stream_callback, opts)

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

        callback, streamed = two_arguments(stream_callback), Streamed()

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
        return read_end(streamed, response)

    def _iterate(
        self, input: str | list[dict[str, Any]], parameters: dict[str, Any]
    ) -> ReplyStream[TextChunk, str]:
        from luaopenai.client.iterators import ReplyStream

        stream: Stream[dict[str, Any]] = self.client.create_response(input, **parameters)
        check_response_status(*stream.response)
        streamed = Streamed()

        def chunks() -> Iterator[TextChunk]:
            for event in stream:
                chunk = streamed.add(event)
                if chunk is not None:
                    yield chunk

        def finish() -> str:
            self.last_response = stream.response.body
            whole, text = read_end(streamed, stream.response)
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
