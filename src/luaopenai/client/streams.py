"""Streams of events: delivered as they arrive, and read again from their raw text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from luaopenai.client import lenient
from luaopenai.client.completions import (
    Chunk,
    assemble,
    check_status,
    find_message,
    read_chunk,
    refusal_of,
)
from luaopenai.client.errors import APIConnectionError, APIError
from luaopenai.client.halves import Halves
from luaopenai.client.lenient import scan
from luaopenai.client.payload import decode
from luaopenai.client.server_errors import error_text
from luaopenai.client.sse import Decoder

EventCallback = Callable[[dict[str, Any]], object]


class EventReader(Decoder):
    """Cuts a stream's pieces into events, which are JSON objects with whole characters only.

    Args:
        deliver: is given each event as soon as a piece completes it.
    """

    def __init__(self, deliver: Callable[[dict[str, Any]], object]) -> None:
        super().__init__(self._read)
        self._deliver = deliver
        self._halves = Halves()
        self._is_holding = False

    def close(self) -> None:
        """Takes the end of the body: no event is held back any more."""
        super().close()
        self._release(self._halves.end())

    def _read(self, data: bytes) -> bool:
        text = data.decode("utf-8", "replace")
        try:
            event, end = scan(text, 0)
        except (StopIteration, ValueError, RecursionError):
            end = -1
        if end != len(text):
            try:
                event = lenient.read(text)
            except ValueError:
                return False
        if type(event) is not dict:
            return False
        if self._is_holding or ("\\u" in text and lenient.may_hold_halves(text)):
            self._release(self._halves.take(event))
            self._is_holding = bool(self._halves)
        else:
            self._deliver(event)
        return True

    def _release(self, events: list[dict[str, Any]]) -> None:
        for event in events:
            self._deliver(event)


class OddEvents(EventReader):
    """Reads the data of those events of a stream that Lua cannot read as they are."""

    def __init__(self) -> None:
        texts: list[bytes] = []
        super().__init__(lambda event: texts.append(lenient.write(event)))
        self._texts = texts
        # It is given no pieces. With a way back to itself, it would outlive whoever has it.
        self._accept = bool

    @property
    def is_holding(self) -> bool:
        """Whether the next event must be read here too: it may hold the rest of a character."""
        return self._is_holding

    def read(self, data: bytes) -> bool:
        """Takes the data of an event; returns whether it is one."""
        return self._read(data)

    def ready(self) -> list[bytes]:
        """Returns the events that have become ready, as JSON."""
        texts = self._texts[:]
        self._texts.clear()
        return texts


def read_events(pieces: Iterable[bytes], raw: list[bytes]) -> Iterator[dict[str, Any]]:
    """Yields each event of a stream as it arrives, also those before a failure of the network.

    Args:
        pieces: the body, cut anywhere.
        raw: the pieces that have been read are appended to it.
    """
    ready: list[dict[str, Any]] = []
    reader = EventReader(ready.append)
    try:
        for piece in pieces:
            raw.append(piece)
            reader.feed(piece)
            yield from ready
            ready.clear()
    except APIConnectionError:
        reader.close()
        yield from ready
        raise
    reader.close()
    yield from ready


def deliver_events(pieces: Iterable[bytes], on_event: EventCallback) -> bytes:
    """Hands each event of a stream to the callback as it arrives, until it returns False.

    Returns the raw text so far.
    """
    raw: list[bytes] = []
    for event in read_events(pieces, raw):
        if on_event(event) is False:
            break
    return b"".join(raw)


def read_chunks(body: str) -> list[Chunk]:
    """Returns the chunks in the raw text of a chat completion's stream."""
    return [chunk for event in _events(body) if (chunk := read_chunk(event))]


def read_reply(
    status: int,
    chunks: Iterable[Mapping[str, Any]],
    body: object,
    is_content_empty: bool = False,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Returns the message that a chat completion's stream has made.

    Args:
        status: of the answer.
        chunks: as they were delivered; when there are none, they are read from the body.
        body: the stream's raw text.
        is_content_empty: see ``assemble``.
        headers: the answer's.

    Raises:
        APIError: the server reported an error or the model refused; its body is the text so far.
    """
    check_status(status, body, headers)
    text = body if isinstance(body, str) else ""
    chunks = list(chunks) or read_chunks(text)
    if not chunks:
        whole = decode(text.encode("utf-8", "replace"))
        if isinstance(whole, dict | list):  # A server that knows no streams answers without one.
            return find_message(status, whole)
    message = assemble(chunks, is_content_empty)
    failure = stream_failure(text) or refusal_of(message)
    if failure:
        raise APIError(failure, status=status, body=text_of(chunks), headers=headers)
    return message


def text_of(chunks: Iterable[Mapping[str, Any]]) -> str:
    """Returns the text that chunks have brought so far."""
    texts = (chunk.get("content") for chunk in chunks)
    return "".join(text for text in texts if isinstance(text, str))


def stream_failure(body: str) -> str:
    """Returns the error that the server has reported within a stream's raw text, or ""."""
    if '"error"' not in body:
        return ""
    return next(filter(None, map(event_failure, _events(body))), "")


def event_failure(event: dict[str, Any]) -> str:
    """Returns what an event says of an error that the server met on the way, or ""."""
    return f"Stream failed{error_text(event)}" if event.get("error") else ""


def no_stream_failure(body: str) -> str:
    """Returns what is wrong with a body that was to be a stream and has brought no event, or ""."""
    if "data:" in body or not body.strip():
        return ""
    said = error_text(decode(body.encode("utf-8", "replace")))
    if said:
        return f"Stream failed{said}"
    return "Failed to parse response from server: expected a stream of events"


def _events(body: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    deliver_events([body.encode("utf-8", "replace")], events.append)
    return events
