"""Chat sessions: a history, and what is sent with it."""

from __future__ import annotations

from luaopenai.client.arguments import check_callback, check_client, check_lists
from luaopenai.client.completions import (
    Chunk,
    check_status,
    find_message,
    history_message,
    is_plain,
)
from luaopenai.client.declarations import declared, is_tool
from luaopenai.client.errors import APIConnectionError
from luaopenai.client.light_typing import overload
from luaopenai.client.messages import check_function, check_message
from luaopenai.client.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, Literal

    from luaopenai.client.histories import ChatHistory
    from luaopenai.client.iterators import ReplyStream, Stream
    from luaopenai.client.openai import OpenAI

    Message = dict[str, Any]
    StreamCallback = Callable[["Chunk", dict[str, Any]], object] | Callable[["Chunk"], object]

OWN_OPTIONS = ("functions", "messages", "tools")
"""The options that a session keeps in fields of its own; any other is sent with every request."""


class ChatSession(Session["str | Message", "StreamCallback"]):
    """A conversation: sends its history with every request and keeps the replies.

    Attributes:
        client: the ``OpenAI`` client that it speaks through.
        opts: the other options that it was made with, which are sent with every request.
        messages: the history, a live list of message dicts.
        functions: function declarations, or None.
        tools: tool definitions, or None.
        last_response: the body of the last answer, decoded; of a stream, its raw text.
    """

    def __init__(
        self,
        client: OpenAI,
        *,
        messages: Iterable[Message] = (),
        functions: Iterable[Message] | None = None,
        tools: Iterable[Message] | None = None,
        **opts: Any,
    ) -> None:
        check_client(client, "chat")
        check_lists(messages=messages, functions=functions, tools=tools)
        self.client = client
        self.opts = opts
        self.last_response: Any = None
        self.messages: list[Message] = []
        self.functions = None if functions is None else list(functions)
        self.tools = None if tools is None else list(tools)
        for number, function in enumerate(self.functions or ()):
            if not is_tool(function):
                check_function(function, f"functions[{number}]")
        self.append_message(*(messages or ()))

    def append_message(self, *messages: Message) -> None:
        """Checks messages and appends them to the history; raises ``ValueError`` for a bad one."""
        for message in messages:
            check_message(message)
            self.messages.append(message)

    def last_message(self) -> Message | None:
        """Returns the newest message of the history, if there is one."""
        return self.messages[-1] if self.messages else None

    @overload
    def send(
        self, message: str | Message, *, stream: Literal[True], **opts: Any
    ) -> ReplyStream[Chunk, str | Message]: ...
    @overload
    def send(
        self,
        message: str | Message,
        stream_callback: StreamCallback | None = None,
        **opts: Any,
    ) -> str | Message: ...
    def send(
        self,
        message: str | Message,
        stream_callback: StreamCallback | None = None,
        **opts: Any,
    ) -> str | Message | ReplyStream[Chunk, str | Message]:
        """Appends a message (a string is the user's) and returns the model's reply.

        Args:
            message: text, or a message dict.
            stream_callback: called with each ``Chunk``, and its raw event where it takes two
                arguments, as it arrives.
            opts: request parameters for this call, over the session's own.

        Returns:
            The reply's text, or its whole message when it calls tools or a function. With
            ``stream=True``, a ``ReplyStream`` of the reply's chunks.

        Raises:
            ValueError: the message is not a valid one.
            APIError: the server refused, or its answer holds no reply.
            APIConnectionError: no complete answer came.
        """
        check_callback(stream_callback)
        self.append_message(
            {"role": "user", "content": message} if isinstance(message, str) else message
        )
        return self.generate_response(True, stream_callback, **opts)

    @overload
    def generate_response(
        self, append_response: bool = True, *, stream: Literal[True], **opts: Any
    ) -> ReplyStream[Chunk, str | Message]: ...
    @overload
    def generate_response(
        self,
        append_response: bool = True,
        stream_callback: StreamCallback | None = None,
        **opts: Any,
    ) -> str | Message: ...
    def generate_response(
        self,
        append_response: bool = True,
        stream_callback: StreamCallback | None = None,
        **opts: Any,
    ) -> str | Message | ReplyStream[Chunk, str | Message]:
        """Returns the model's reply to the history as it stands; see ``send``."""
        parameters = self._parameters(opts)
        if stream_callback is not None:
            return self._keep(self._stream(stream_callback, parameters), append_response)
        if parameters.get("stream"):
            return self._iterate(parameters, append_response)
        response = self.client.chat(self.messages, **parameters)
        self.last_response = response.body
        check_status(*response)
        return self._keep(find_message(response.status, response.body), append_response)

    def _open_history(self, stream_callback: Any, opts: dict[str, Any]) -> ChatHistory:
        from luaopenai.client.histories import ChatHistory

        return ChatHistory(self, stream_callback, opts)

    def _iterate(
        self, parameters: dict[str, Any], append_response: bool
    ) -> ReplyStream[Chunk, str | Message]:
        from luaopenai.client.iterators import ReplyStream
        from luaopenai.client.streams import read_reply

        stream: Stream[Chunk] = self.client.chat(self.messages, **parameters)
        check_status(*stream.response)
        arrived: list[Chunk] = []

        def chunks() -> Iterator[Chunk]:
            for chunk in stream:
                arrived.append(chunk)
                yield chunk

        def finish() -> str | Message:
            status, body, headers = stream.response
            self.last_response = body
            return self._keep(read_reply(status, arrived, body, headers=headers), append_response)

        return ReplyStream(stream, chunks(), finish)

    def _keep(self, whole: Message, append_response: bool) -> str | Message:
        """Appends a reply to the history where that is wanted; returns what ``send`` does."""
        reply = history_message(whole)
        if append_response:
            self.append_message(reply)
        return reply["content"] if is_plain(whole) else whole

    def _stream(self, stream_callback: StreamCallback, parameters: dict[str, Any]) -> Message:
        from luaopenai.client.callbacks import two_arguments
        from luaopenai.client.streams import read_reply, text_of

        chunks: list[Chunk] = []
        callback = two_arguments(stream_callback)

        def collect(chunk: Chunk, event: dict[str, Any]) -> object:
            chunks.append(chunk)
            return callback(chunk, event)

        try:
            response = self.client.chat(self.messages, collect, **parameters)
        except APIConnectionError as error:
            error.body = text_of(chunks)
            raise
        self.last_response = response.body
        return read_reply(response.status, chunks, response.body, headers=response.headers)

    def _parameters(self, opts: dict[str, Any]) -> dict[str, Any]:
        parameters = {"functions": self.functions, "tools": self.tools, **self.opts, **opts}
        parameters = {name: value for name, value in parameters.items() if value is not None}
        return declared(parameters, "chat")
