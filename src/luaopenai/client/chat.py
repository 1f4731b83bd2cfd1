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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, Literal, TypeVar

    from luaopenai.client.iterators import ReplyStream, Stream
    from luaopenai.client.openai import OpenAI
    from luaopenai.client.runs import OnCall, Run

    Answer = TypeVar("Answer")
    Message = dict[str, Any]
    StreamCallback = Callable[["Chunk", dict[str, Any]], object] | Callable[["Chunk"], object]

OWN_OPTIONS = ("functions", "messages", "tools")
"""The options that a session keeps in fields of its own; any other is sent with every request."""


class ChatSession:
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

    def run(
        self,
        message: str | Message | None = None,
        stream_callback: StreamCallback | None = None,
        *,
        tools: Iterable[Any] | None = None,
        max_steps: int = 10,
        limit: int = 8,
        on_call: OnCall | None = None,
        on_result: OnCall | None = None,
        raise_errors: bool = False,
        **opts: Any,
    ) -> Run:
        """Sends a message, runs what the model calls, until it answers with text.

        Whatever ends it, each call in the history has an answer, so that the session goes on.

        Args:
            message: text, or a message dict; None goes on from the history as it stands, and runs
                those calls of its last reply first that have no answer.
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
        from luaopenai.client.histories import ChatHistory
        from luaopenai.client.runs import open_run, run

        loop = open_run(
            ChatHistory,
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
        self, message: str | Message | None, kind: type[Answer], **options: Any
    ) -> Answer: ...
    @overload
    def parse(self, message: str | Message | None, kind: Any, **options: Any) -> Any: ...
    def parse(
        self,
        message: str | Message | None,
        kind: Any,
        *,
        attempts: int = 2,
        stream_callback: StreamCallback | None = None,
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
        from luaopenai.client.histories import ChatHistory
        from luaopenai.client.runs import open_run
        from luaopenai.client.typed import parse

        loop = open_run(ChatHistory, self, stream_callback, tools, **options)
        return parse(loop, message, kind, attempts)

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
