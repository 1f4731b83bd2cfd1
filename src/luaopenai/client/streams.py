"""Streams of events: delivered as they arrive, and read again from their raw text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from luaopenai.client.completions import Chunk, error_text, read_chunk
from luaopenai.client.payload import decode
from luaopenai.client.sse import Decoder

EventCallback = Callable[[dict[str, Any]], object]


def deliver_events(pieces: Iterable[bytes], on_event: EventCallback) -> bytes:
    """Hand each event of a stream to the callback as it arrives, until it returns False.

    Returns the raw text so far.
    """
    events: list[dict[str, Any]] = []

    def accept(data: bytes) -> bool:
        event = decode(data)
        if isinstance(event, dict):
            events.append(event)
        return isinstance(event, dict)

    def go_on() -> bool:
        arrived = events.copy()
        events.clear()
        return all(on_event(event) is not False for event in arrived)

    decoder, raw = Decoder(accept), []
    for piece in pieces:
        raw.append(piece)
        decoder.feed(piece)
        if not go_on():
            break
    else:
        decoder.close()
        go_on()
    return b"".join(raw)


def read_chunks(body: str) -> list[Chunk]:
    """The chunks in the raw text of a chat completion's stream."""
    return [chunk for event in _events(body) if (chunk := read_chunk(event))]


def stream_failure(body: str) -> str:
    """What a stream's raw text says of an error that the server met on the way, or ""."""
    if '"error"' not in body:
        return ""
    failures = (event for event in _events(body) if event.get("error"))
    return next((f"Stream failed{error_text(event)}" for event in failures), "")


def _events(body: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    deliver_events([body.encode("utf-8", "replace")], events.append)
    return events
