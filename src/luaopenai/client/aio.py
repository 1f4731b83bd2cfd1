"""The client for asyncio: the same client, with each call in a thread of its own.

No decision is made here a second time: every method is the synchronous one, run where it may
block. Cancelling the awaiting task closes the call's connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import AsyncIterator, Callable, Generator
from functools import partial
from typing import Any, Generic, TypeVar

from luaopenai.client.cancel import Call
from luaopenai.client.chat import ChatSession
from luaopenai.client.completions import Chunk
from luaopenai.client.openai import OpenAI, Response
from luaopenai.client.responses import ResponseObject, ResponsesChatSession, TextChunk

Result = TypeVar("Result")
Piece = TypeVar("Piece")
_END = object()


async def in_thread(
    work: Callable[[], Result], on_cancel: Callable[[], Any] | None = None
) -> Result:
    """Run blocking work in a thread; a cancel closes the connection that it uses.

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
    for a stream, and afterwards ``result`` is what awaiting would have given.
    """

    result: Result

    def __init__(self, function: Callable[..., Result], *args: Any, **opts: Any) -> None:
        self._work = partial(function, *args, **opts)

    def __await__(self) -> Generator[Any, None, Result]:
        return in_thread(self._work).__await__()

    async def __aiter__(self) -> AsyncIterator[Piece]:
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


Event = dict[str, Any]
Plain = AsyncCall[Response, Event]


class AsyncOpenAI:
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
        """Close the client's connections."""
        self._client.close()

    def with_options(self, **options: Any) -> AsyncOpenAI:
        """A client like this one with other settings; see ``OpenAI.with_options``."""
        other = AsyncOpenAI.__new__(AsyncOpenAI)
        other._client = self._client.with_options(**options)
        return other

    def new_chat_session(self, **opts: Any) -> AsyncChatSession:
        """A chat session that speaks through this client."""
        return AsyncChatSession(self._client.new_chat_session(**opts))

    new_chat_completions_session = new_chat_session

    def new_responses_chat_session(self, **opts: Any) -> AsyncResponsesChatSession:
        """A session over the Responses API that speaks through this client."""
        return AsyncResponsesChatSession(self._client.new_responses_chat_session(**opts))

    def request(self, method: str, path: str, *args: Any, **opts: Any) -> Plain:
        """Any other endpoint."""
        return AsyncCall(self._client.request, method, path, *args, **opts)

    def chat(self, messages: list[Event], **opts: Any) -> AsyncCall[Response, Chunk]:
        """``POST /chat/completions``; iterated, it gives the reply's chunks."""
        return AsyncCall(self._client.chat, messages, **opts)

    def create_chat_completion(self, messages: list[Event], **opts: Any) -> Plain:
        """``POST /chat/completions``; iterated, it gives the raw events."""
        return AsyncCall(self._client.create_chat_completion, messages, **opts)

    def completion(self, prompt: str, **opts: Any) -> Plain:
        """``POST /completions``."""
        return AsyncCall(self._client.completion, prompt, **opts)

    def embedding(self, input: str | list[str], **opts: Any) -> Plain:
        """``POST /embeddings``."""
        return AsyncCall(self._client.embedding, input, **opts)

    def moderation(self, input: str | list[Any], **opts: Any) -> Plain:
        """``POST /moderations``."""
        return AsyncCall(self._client.moderation, input, **opts)

    def models(self) -> Plain:
        """``GET /models``."""
        return AsyncCall(self._client.models)

    def files(self) -> Plain:
        """``GET /files``."""
        return AsyncCall(self._client.files)

    def file(self, file_id: str) -> Plain:
        """``GET /files/ID``."""
        return AsyncCall(self._client.file, file_id)

    def delete_file(self, file_id: str) -> Plain:
        """``DELETE /files/ID``."""
        return AsyncCall(self._client.delete_file, file_id)

    def create_file(self, file: Any, purpose: str, **fields: Any) -> Plain:
        """``POST /files``, an upload."""
        return AsyncCall(self._client.create_file, file, purpose, **fields)

    def transcription(self, file: Any, model: str, **fields: Any) -> Plain:
        """``POST /audio/transcriptions``, an upload."""
        return AsyncCall(self._client.transcription, file, model, **fields)

    def assistants(self) -> Plain:
        """``GET /assistants``."""
        return AsyncCall(self._client.assistants)

    def threads(self) -> Plain:
        """``GET /threads``."""
        return AsyncCall(self._client.threads)

    def thread_messages(self, thread_id: str) -> Plain:
        """``GET /threads/ID/messages``."""
        return AsyncCall(self._client.thread_messages, thread_id)

    def delete_thread(self, thread_id: str) -> Plain:
        """``DELETE /threads/ID``."""
        return AsyncCall(self._client.delete_thread, thread_id)

    def image_generation(self, **params: Any) -> Plain:
        """``POST /images/generations``."""
        return AsyncCall(self._client.image_generation, **params)

    def create_response(self, input: str | list[Event], **opts: Any) -> Plain:
        """``POST /responses``; iterated, it gives the events."""
        return AsyncCall(self._client.create_response, input, **opts)

    def response(self, response_id: str) -> Plain:
        """``GET /responses/ID``."""
        return AsyncCall(self._client.response, response_id)

    def delete_response(self, response_id: str) -> Plain:
        """``DELETE /responses/ID``."""
        return AsyncCall(self._client.delete_response, response_id)

    def cancel_response(self, response_id: str) -> Plain:
        """``POST /responses/ID/cancel``."""
        return AsyncCall(self._client.cancel_response, response_id)


class AsyncChatSession:
    """A ``ChatSession`` for asyncio, around the synchronous one in ``session``."""

    def __init__(self, session: ChatSession) -> None:
        self.session = session

    @property
    def messages(self) -> list[Event]:
        """The history, a live list."""
        return self.session.messages

    def append_message(self, *messages: Event) -> None:
        """Check each message and append it to the history."""
        self.session.append_message(*messages)

    def last_message(self) -> Event | None:
        """The newest message of the history, if there is one."""
        return self.session.last_message()

    def send(self, message: str | Event, **opts: Any) -> AsyncCall[str | Event, Chunk]:
        """Append a message; await the model's reply, or iterate over its chunks."""
        return AsyncCall(self.session.send, message, **opts)

    def generate_response(self, **opts: Any) -> AsyncCall[str | Event, Chunk]:
        """The model's reply to the history as it stands."""
        return AsyncCall(self.session.generate_response, **opts)


class AsyncResponsesChatSession:
    """A ``ResponsesChatSession`` for asyncio, around the synchronous one in ``session``."""

    def __init__(self, session: ResponsesChatSession) -> None:
        self.session = session

    @property
    def response_history(self) -> list[ResponseObject]:
        """The responses so far, a live list."""
        return self.session.response_history

    @property
    def current_response_id(self) -> str | None:
        """What the next request continues from."""
        return self.session.current_response_id

    def send(
        self, input: str | list[Event], **opts: Any
    ) -> AsyncCall[ResponseObject | str, TextChunk]:
        """Send input; await the response, or iterate over its text."""
        return AsyncCall(self.session.send, input, **opts)

    def create_response(
        self, input: str | list[Event], **opts: Any
    ) -> AsyncCall[ResponseObject | str, TextChunk]:
        """Create a response with the parameters given."""
        return AsyncCall(self.session.create_response, input, **opts)
