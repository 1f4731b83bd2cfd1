"""Streams that the caller pulls: iterators over the pieces of an answer as they arrive."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from luaopenai.client.completions import Chunk, read_chunk
from luaopenai.client.errors import APIError
from luaopenai.client.streams import event_failure, no_stream_failure, read_events

if TYPE_CHECKING:
    from typing_extensions import Self

    from luaopenai.client.openai import Response
    from luaopenai.client.transport import RawResponse

Piece = TypeVar("Piece")
Reply = TypeVar("Reply")
Event = dict[str, Any]


class Body:
    """The body of an answer that is a stream.

    Args:
        raw_response: has not been read yet.
        respond: makes the response of the body's bytes.
    """

    def __init__(self, raw_response: RawResponse, respond: Callable[[bytes], Response]) -> None:
        self._raw_response = raw_response
        self._respond = respond
        self._raw: list[bytes] = []

    @property
    def response(self) -> Response:
        """Status, headers, and the raw text so far."""
        return self._respond(b"".join(self._raw))

    def events(self) -> Iterator[Event]:
        """Yields each event; raises ``APIError`` at the end of a body that is no stream."""
        came = False
        for event in read_events(self._raw_response, self._raw):
            came = True
            yield event
        failure = "" if came else no_stream_failure(self.response.body)
        if failure:
            raise self.error(failure, self.response.body)

    def error(self, text: str, body: object) -> APIError:
        """Returns the error for a stream whose status was a success."""
        raw = self._raw_response
        return APIError(text, status=raw.status, body=body, headers=raw.headers)

    def close(self) -> None:
        """Lets go of the connection, which is closed where the body has not been read."""
        self._raw_response.close()


class Stream(Generic[Piece]):
    """The pieces of a streamed answer, each as it arrives; an iterator, for one thread at a time.

    The connection is let go of at the end, by ``close``, at the end of a ``with`` block, or
    when nobody holds the stream any more, as after a ``for`` loop over it that was left early.

    Reading raises ``APIConnectionError`` when the stream is cut off or the time for a read is
    over, and ``APIError`` where the server sends an error, or something that is no stream.
    """

    def __init__(self, body: Body, pieces: Iterable[Piece]) -> None:
        self._body = body
        self._pieces = iter(pieces)
        self._is_closed = False

    @property
    def response(self) -> Response:
        """Status and headers at once; the body is the raw text so far, at the end all of it."""
        return self._body.response

    def close(self) -> None:
        """Ends the stream: no piece comes any more."""
        self._is_closed = True
        self._body.close()

    def _finish(self) -> None:
        """Does what is due when the last piece has been taken; it waits for nothing."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Piece:
        if self._is_closed:
            raise StopIteration
        try:
            for piece in self._pieces:
                return piece
            self._finish()
        except BaseException:
            self.close()
            raise
        self.close()
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()


def chunk_stream(events: Stream[Event]) -> Stream[Chunk]:
    """Returns the chunks of a chat completion's stream.

    An event that is an error makes the stream raise ``APIError`` at its end, so that no text is
    lost that comes after.
    """
    body = events._body

    def chunks() -> Iterator[Chunk]:
        failed: Event | None = None
        for event in events:
            if failed is None and event_failure(event):
                failed = event
            chunk = read_chunk(event)
            if chunk is not None:
                yield chunk
        if failed is not None:
            raise body.error(event_failure(failed), failed)

    return Stream(body, chunks())


class ReplyStream(Stream[Piece], Generic[Piece, Reply]):
    """A session's streamed reply.

    When all of it has been read it joins the history, and ``reply`` is what ``send`` would have
    returned. A stream that is closed before leaves the session as it was when it began.

    Args:
        stream: the client's.
        pieces: what it comes to for the session's user.
        finish: puts the reply into the history, and returns it.
    """

    def __init__(
        self, stream: Stream[Any], pieces: Iterable[Piece], finish: Callable[[], Reply]
    ) -> None:
        super().__init__(stream._body, pieces)
        self._keep = finish
        self._replies: list[Reply] = []

    @property
    def reply(self) -> Reply:
        """The reply, as ``send`` returns it; raises ``RuntimeError`` before the stream's end."""
        if not self._replies:
            raise RuntimeError("there is no reply: the stream was not read to its end")
        return self._replies[0]

    def _finish(self) -> None:
        self._replies.append(self._keep())
