"""The client for asyncio: the same client, with each call in a thread of its own.

No decision is made here a second time: every method is the synchronous one, run where it may
block. Cancelling the awaiting task closes the call's connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from luaopenai.client.async_iterators import AsyncReplyStream, AsyncStream, for_asyncio
from luaopenai.client.cancel import Call
from luaopenai.client.chat import ChatSession
from luaopenai.client.completions import Chunk
from luaopenai.client.lists import find_list
from luaopenai.client.messages import check_messages
from luaopenai.client.methods import AsyncEndpointMethods
from luaopenai.client.openai import OpenAI, Response
from luaopenai.client.responses import ResponseObject, TextChunk
from luaopenai.client.responses_chat import ResponsesChatSession

if TYPE_CHECKING:
    from luaopenai.client.chat import StreamCallback
    from luaopenai.client.responses_chat import TextCallback
    from luaopenai.client.runs import Run
    from luaopenai.client.streams import EventCallback

Callback = TypeVar("Callback", bound="Callable[..., Any]")
Held = TypeVar("Held", bound="ChatSession | ResponsesChatSession")
Message = TypeVar("Message")
Result = TypeVar("Result")
Piece = TypeVar("Piece")
_END = object()


async def in_thread(
    work: Callable[[], Result], on_cancel: Callable[[], Any] | None = None
) -> Result:
    """Runs blocking work in a thread; a cancel closes the connection that it uses.

    Args:
        work: what to run.
        on_cancel: called when the awaiting task is cancelled, beside that.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()
    call = Call()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def run() -> None:
        result, failure = None, None
        try:
            with call:
                result = work()
        except BaseException as error:
            failure = error
        # The loop may be gone: then nobody waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, failure)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), name="luaopenai-call", daemon=True).start()
    try:
        return await future
    except asyncio.CancelledError:
        call.cancel()
        if on_cancel is not None:
            on_cancel()
        raise


class AsyncCall(Generic[Result, Piece]):
    """A call that is to be awaited for its result, or iterated for the pieces of its stream.

    ``await client.chat(...)`` gives the ``Response``; ``async for chunk in client.chat(...)`` asks
    for a stream, and afterwards ``result`` is what awaiting would have given. With
    ``stream=True``, awaiting gives the stream.
    """

    result: Result

    def __init__(self, function: Callable[..., Any], *args: Any, **opts: Any) -> None:
        if opts.get("stream_callback", ()) is None:
            del opts["stream_callback"]
        self._work = partial(function, *args, **opts)

    def __await__(self) -> Generator[Any, None, Result]:
        return self._wait().__await__()

    async def _wait(self) -> Result:
        result: Result = for_asyncio(await in_thread(self._work))
        return result

    async def __aiter__(self) -> AsyncIterator[Piece]:
        if "stream_callback" in self._work.keywords:
            raise TypeError("stream_callback: a call that has one is to be awaited, not iterated")
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[Any] = asyncio.Queue()

        def push(piece: Piece, *_: object) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

        task = asyncio.ensure_future(in_thread(partial(self._work, stream_callback=push)))
        task.add_done_callback(lambda _: pieces.put_nowait(_END))
        try:
            while (piece := await pieces.get()) is not _END:
                yield piece
            self.result = await task
        finally:
            task.cancel()


async def _items(pages: Iterator[list[Any]]) -> AsyncIterator[Any]:
    while (page := await in_thread(partial(next, pages, None))) is not None:
        for item in page:
            yield item


Event = dict[str, Any]
Plain = AsyncCall[Response, Event]


class AsyncOpenAI(AsyncEndpointMethods):
    """``OpenAI`` for asyncio: the same arguments, methods, results and errors.

    Every method returns an ``AsyncCall``. Use it with ``async with``, or ``await`` its ``close``.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self._client = OpenAI(*args, **options)

    def __repr__(self) -> str:
        return repr(self._client).replace("<", "<Async", 1)

    async def __aenter__(self) -> AsyncOpenAI:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the client's connections."""
        self._client.close()

    def with_options(self, **options: Any) -> AsyncOpenAI:
        """Returns a client like this one with other settings; see ``OpenAI.with_options``."""
        other = AsyncOpenAI.__new__(AsyncOpenAI)
        other._client = self._client.with_options(**options)
        return other

    def new_chat_session(self, **opts: Any) -> AsyncChatSession:
        """Returns a chat session that speaks through this client."""
        return AsyncChatSession(self._client.new_chat_session(**opts))

    new_chat_completions_session = new_chat_session

    def new_responses_chat_session(self, **opts: Any) -> AsyncResponsesChatSession:
        """Returns a session over the Responses API that speaks through this client."""
        return AsyncResponsesChatSession(self._client.new_responses_chat_session(**opts))

    @overload
    def request(
        self,
        method: str,
        path: str,
        payload: Event | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        stream: Literal[True],
    ) -> AsyncCall[AsyncStream[Event], Event]: ...
    @overload
    def request(
        self,
        method: str,
        path: str,
        payload: Event | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        stream_callback: EventCallback | None = None,
        *,
        stream: Literal[False] = False,
    ) -> Plain: ...
    def request(
        self,
        method: str,
        path: str,
        payload: Event | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        stream_callback: EventCallback | None = None,
        *,
        stream: bool = False,
    ) -> AsyncCall[Any, Event]:
        """Sends a request to any other endpoint; see ``OpenAI.request``."""
        opts = {"stream_callback": stream_callback, **({"stream": True} if stream else {})}
        return AsyncCall(self._client.request, method, path, payload, headers, **opts)

    @overload
    def chat(
        self, messages: list[Event], *, stream: Literal[True], **opts: Any
    ) -> AsyncCall[AsyncStream[Chunk], Chunk]: ...
    @overload
    def chat(
        self, messages: list[Event], stream_callback: StreamCallback | None = None, **opts: Any
    ) -> AsyncCall[Response, Chunk]: ...
    def chat(
        self, messages: list[Event], stream_callback: StreamCallback | None = None, **opts: Any
    ) -> AsyncCall[Any, Chunk]:
        """Sends ``POST /chat/completions``; iterated, it gives the reply's chunks."""
        return AsyncCall(self._client.chat, messages, stream_callback=stream_callback, **opts)

    @overload
    def create_chat_completion(
        self, messages: list[Event], *, stream: Literal[True], **opts: Any
    ) -> AsyncCall[AsyncStream[Event], Event]: ...
    @overload
    def create_chat_completion(
        self, messages: list[Event], stream_callback: EventCallback | None = None, **opts: Any
    ) -> Plain: ...
    def create_chat_completion(
        self, messages: list[Event], stream_callback: EventCallback | None = None, **opts: Any
    ) -> AsyncCall[Any, Event]:
        """Sends ``POST /chat/completions``; iterated, it gives the raw events."""
        work = self._client.create_chat_completion
        return AsyncCall(work, messages, stream_callback=stream_callback, **opts)

    @overload
    def create_response(
        self, input: str | list[Event], *, stream: Literal[True], **opts: Any
    ) -> AsyncCall[AsyncStream[Event], Event]: ...
    @overload
    def create_response(
        self, input: str | list[Event], stream_callback: EventCallback | None = None, **opts: Any
    ) -> Plain: ...
    def create_response(
        self, input: str | list[Event], stream_callback: EventCallback | None = None, **opts: Any
    ) -> AsyncCall[Any, Event]:
        """Sends ``POST /responses``; iterated, it gives the events."""
        work = self._client.create_response
        return AsyncCall(work, input, stream_callback=stream_callback, **opts)

    def each(self, name: str, /, *ids: Any, **query: Any) -> AsyncIterator[Any]:
        """Yields every item of a list, page after page; see ``OpenAI.each``."""
        return _items(self._client._pages(find_list(name), name, ids, query))

    @overload
    async def parse(self, messages: list[Event], kind: type[Result], **options: Any) -> Result: ...
    @overload
    async def parse(self, messages: list[Event], kind: Any, **options: Any) -> Any: ...
    async def parse(self, messages: list[Event], kind: Any, **options: Any) -> Any:
        """Returns the answer to messages as a value of a type; see ``OpenAI.parse``."""
        check_messages(messages)
        return await self.new_chat_session(messages=messages).parse(None, kind, **options)

    async def wait_for(self, name: str, /, *ids: Any, **options: Any) -> Any:
        """Repeats a request until something is done; see ``OpenAI.wait_for``."""
        return await in_thread(partial(self._client.wait_for, name, *ids, **options))

    def _begin(self, name: str, *args: Any, **opts: Any) -> Plain:
        return AsyncCall(getattr(self._client, name), *args, **opts)


class _AsyncSession(Generic[Held, Message, Callback]):
    """The methods that the sessions of both APIs share."""

    def __init__(self, session: Held) -> None:
        self.session = session

    async def run(
        self,
        message: Message | None = None,
        stream_callback: Callback | None = None,
        *,
        tools: Iterable[Any] | None = None,
        **options: Any,
    ) -> Run:
        """Runs what the model calls, until it answers; see ``ChatSession.run``.

        Tools, ``on_call`` and ``on_result`` may be coroutine functions; other tools run in threads.
        """
        from luaopenai.client.async_runs import run_async
        from luaopenai.client.runs import open_run

        loop = open_run(self.session, stream_callback, tools, **options)
        return await run_async(loop, message)

    @overload
    async def parse(
        self, message: Message | None, kind: type[Result], **options: Any
    ) -> Result: ...
    @overload
    async def parse(self, message: Message | None, kind: Any, **options: Any) -> Any: ...
    async def parse(
        self,
        message: Message | None,
        kind: Any,
        *,
        attempts: int = 2,
        stream_callback: Callback | None = None,
        tools: Iterable[Any] | None = None,
        **options: Any,
    ) -> Any:
        """Returns the answer to a message as a value of a type; see ``ChatSession.parse``."""
        from luaopenai.client.runs import open_run
        from luaopenai.client.typed import parse_async

        loop = open_run(self.session, stream_callback, tools, **options)
        return await parse_async(loop, message, kind, attempts)


class AsyncChatSession(_AsyncSession[ChatSession, "str | Event", "StreamCallback"]):
    """A ``ChatSession`` for asyncio, around the synchronous one in ``session``."""

    @property
    def messages(self) -> list[Event]:
        """The history, a live list."""
        return self.session.messages

    @property
    def last_response(self) -> Any:
        """The body of the last answer, decoded; of a stream, its raw text."""
        return self.session.last_response

    def append_message(self, *messages: Event) -> None:
        """Checks each message and appends it to the history."""
        self.session.append_message(*messages)

    def last_message(self) -> Event | None:
        """Returns the newest message of the history, if there is one."""
        return self.session.last_message()

    @overload
    def send(
        self, message: str | Event, *, stream: Literal[True], **opts: Any
    ) -> AsyncCall[AsyncReplyStream[Chunk, str | Event], Chunk]: ...
    @overload
    def send(
        self, message: str | Event, stream_callback: StreamCallback | None = None, **opts: Any
    ) -> AsyncCall[str | Event, Chunk]: ...
    def send(
        self, message: str | Event, stream_callback: StreamCallback | None = None, **opts: Any
    ) -> AsyncCall[Any, Chunk]:
        """Appends a message; awaited, it gives the model's reply, iterated its chunks."""
        return AsyncCall(self.session.send, message, stream_callback=stream_callback, **opts)

    @overload
    def generate_response(
        self, append_response: bool = True, *, stream: Literal[True], **opts: Any
    ) -> AsyncCall[AsyncReplyStream[Chunk, str | Event], Chunk]: ...
    @overload
    def generate_response(
        self,
        append_response: bool = True,
        stream_callback: StreamCallback | None = None,
        **opts: Any,
    ) -> AsyncCall[str | Event, Chunk]: ...
    def generate_response(
        self,
        append_response: bool = True,
        stream_callback: StreamCallback | None = None,
        **opts: Any,
    ) -> AsyncCall[Any, Chunk]:
        """Asks for the model's reply to the history as it stands; see ``send``."""
        work = self.session.generate_response
        return AsyncCall(work, append_response, stream_callback=stream_callback, **opts)


class AsyncResponsesChatSession(
    _AsyncSession[ResponsesChatSession, "str | list[Event]", "TextCallback"]
):
    """A ``ResponsesChatSession`` for asyncio, around the synchronous one in ``session``."""

    @property
    def response_history(self) -> list[ResponseObject]:
        """The responses so far, a live list."""
        return self.session.response_history

    @property
    def current_response_id(self) -> str | None:
        """The id of the response that the next request continues from."""
        return self.session.current_response_id

    @property
    def last_response(self) -> Any:
        """The body of the last answer, decoded; of a stream, its raw text."""
        return self.session.last_response

    @property
    def pending_outputs(self) -> list[Event]:
        """The outputs of calls that the next request sends first; a live list."""
        return self.session.pending_outputs

    @overload
    def send(
        self, input: str | list[Event], *, stream: Literal[True], **opts: Any
    ) -> AsyncCall[AsyncReplyStream[TextChunk, str], TextChunk]: ...
    @overload
    def send(
        self, input: str | list[Event], stream_callback: TextCallback | None = None, **opts: Any
    ) -> AsyncCall[ResponseObject | str, TextChunk]: ...
    def send(
        self, input: str | list[Event], stream_callback: TextCallback | None = None, **opts: Any
    ) -> AsyncCall[Any, TextChunk]:
        """Sends input; awaited, it gives the response, iterated its text."""
        return AsyncCall(self.session.send, input, stream_callback=stream_callback, **opts)

    @overload
    def create_response(
        self, input: str | list[Event], *, stream: Literal[True], **opts: Any
    ) -> AsyncCall[AsyncReplyStream[TextChunk, str], TextChunk]: ...
    @overload
    def create_response(
        self, input: str | list[Event], stream_callback: TextCallback | None = None, **opts: Any
    ) -> AsyncCall[ResponseObject | str, TextChunk]: ...
    def create_response(
        self, input: str | list[Event], stream_callback: TextCallback | None = None, **opts: Any
    ) -> AsyncCall[Any, TextChunk]:
        """Creates a response with the parameters given; see ``send``."""
        return AsyncCall(
            self.session.create_response, input, stream_callback=stream_callback, **opts
        )
