"""Streams of events: delivered as they arrive, and read again from their raw text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from luaopenai.client.completions import Chunk, error_text, read_chunk
from luaopenai.client.payload import decode
from luaopenai.client.sse import Decoder

EventCallback = Callable[[dict[str, Any]], object]


def read_events(pieces: Iterable[bytes], raw: list[bytes]) -> Iterator[dict[str, Any]]:
    """Yield each event of a stream as it arrives.

    Args:
        pieces: the body, cut anywhere.
        raw: the pieces that have been read are appended to it.
    """
    events: list[dict[str, Any]] = []

    def accept(data: bytes) -> bool:
        event = decode(data)
        if isinstance(event, dict):
            events.append(event)
        return isinstance(event, dict)

    decoder = Decoder(accept)
    for piece in pieces:
        raw.append(piece)
        decoder.feed(piece)
        yield from events
        events.clear()
    decoder.close()
    yield from events


def deliver_events(pieces: Iterable[bytes], on_event: EventCallback) -> bytes:
    """Hand each event of a stream to the callback as it arrives, until it returns False.

    Returns the raw text so far.
    """
    raw: list[bytes] = []
    for event in read_events(pieces, raw):
        if on_event(event) is False:
            break
    return b"".join(raw)


def read_chunks(body: str) -> list[Chunk]:
    """The chunks in the raw text of a chat completion's stream."""
    return [chunk for event in _events(body) if (chunk := read_chunk(event))]


def stream_failure(body: str) -> str:
    """What a stream's raw text says of an error that the server met on the way, or ""."""
    if '"error"' not in body:
        return ""
    return next(filter(None, map(event_failure, _events(body))), "")


def event_failure(event: dict[str, Any]) -> str:
    """What an event says of an error that the server met on the way, or ""."""
    return f"Stream failed{error_text(event)}" if event.get("error") else ""


def no_stream_failure(body: str) -> str:
    """What is wrong with a body that was to be a stream and has brought no event, or ""."""
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
