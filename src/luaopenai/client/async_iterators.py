"""Streams for asyncio: the pieces that a thread reads from a ``Stream``, handed to the loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from luaopenai.client.cancel import Call
from luaopenai.client.iterators import ReplyStream, Stream

if TYPE_CHECKING:
    from typing_extensions import Self

    from luaopenai.client.openai import Response

Piece = TypeVar("Piece")
Reply = TypeVar("Reply")
_END = object()


class AsyncStream(Generic[Piece]):
    """``Stream`` for asyncio, around the synchronous one; for one task at a time.

    Cancelling a task that waits for a piece ends the stream and closes its connection.
    """

    def __init__(self, stream: Stream[Piece]) -> None:
        self._stream = stream
        self._call = Call()
        self._arrived: asyncio.Queue[tuple[Any, BaseException | None]] | None = None
        """The pieces that the thread has read, or ``_END``, each with a failure or None."""
        self._is_closed = False

    @property
    def response(self) -> Response:
        """Status and headers at once; the body is the raw text so far, at the end all of it."""
        return self._stream.response

    async def close(self) -> None:
        """Ends the stream: no piece comes any more."""
        self._end()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Piece:
        if self._is_closed:
            raise StopAsyncIteration
        if self._arrived is None:
            self._arrived = _begin_reading(self._stream, self._call)
        try:
            piece, failure = await self._arrived.get()
            if self._is_closed:
                raise StopAsyncIteration
            if failure is not None:
                raise failure
            if piece is _END:
                self._stream._finish()
        except BaseException:
            self._end()
            raise
        if piece is _END:
            self._end()
            raise StopAsyncIteration
        found: Piece = piece
        return found

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __del__(self) -> None:
        self._end()

    def _end(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._call.cancel()
            if self._arrived is None:
                self._stream.close()


class AsyncReplyStream(AsyncStream[Piece], Generic[Piece, Reply]):
    """``ReplyStream`` for asyncio."""

    _stream: ReplyStream[Piece, Reply]

    def __init__(self, stream: ReplyStream[Piece, Reply]) -> None:
        super().__init__(stream)

    @property
    def reply(self) -> Reply:
        """The reply, as ``send`` returns it; raises ``RuntimeError`` before the stream's end."""
        return self._stream.reply


def for_asyncio(result: Any) -> Any:
    """Wraps a stream that a synchronous call has returned; returns any other result as it is."""
    if isinstance(result, ReplyStream):
        return AsyncReplyStream(result)
    return AsyncStream(result) if isinstance(result, Stream) else result


def _begin_reading(
    stream: Stream[Any], call: Call
) -> asyncio.Queue[tuple[Any, BaseException | None]]:
    """Starts a thread that reads a stream until its end, or until the call is cancelled."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[tuple[Any, BaseException | None]] = asyncio.Queue()

    def push(piece: Any, failure: BaseException | None = None) -> None:
        loop.call_soon_threadsafe(arrived.put_nowait, (piece, failure))

    context = contextvars.copy_context()
    work = (_read, stream, call, push)
    threading.Thread(target=context.run, args=work, name="luaopenai-call", daemon=True).start()
    return arrived


def _read(stream: Stream[Any], call: Call, push: Callable[..., None]) -> None:
    # The loop may be gone: then nobody waits, and a push raises RuntimeError.
    with contextlib.suppress(RuntimeError), contextlib.closing(stream):
        try:
            with call:
                for piece in stream._pieces:
                    call.check()
                    push(piece)
        except BaseException as error:
            push(None, error)
        else:
            push(_END)
