"""A server's answer on its way to a plugin: its head, its pieces, and its cost."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from luaopenai.client.sse import Decoder
from luaopenai.host.tokens import TokenCount

if TYPE_CHECKING:
    from luaopenai.client.transport import Answer

_HEADERS = {"content-type", "date", "openai-processing-ms", "retry-after", "x-request-id"}
"""What a plugin is told of an answer's headers, beside ``x-ratelimit-...``: no organization."""


class Reading:
    """An answer that a plugin reads; its tokens are booked once, at its end or when it is closed.

    Args:
        answer: what the server sends.
        count: counts its tokens.
        book: is given the tokens, once.
        check: raises ``Stop`` when they are too many.
        check_size: raises ``Stop`` when an answer of so many bytes would fill the host.
    """

    def __init__(
        self,
        answer: Answer,
        count: TokenCount,
        book: Callable[[int], object],
        check: Callable[[], object],
        check_size: Callable[[int], object],
    ) -> None:
        self.status = answer.status
        self.reason = answer.reason
        self.headers = {
            name: value
            for name, value in answer.headers.items()
            if name in _HEADERS or name.startswith("x-ratelimit-")
        }
        self._answer = answer
        self._tokens = count
        self._book = book
        self._check = check
        self._is_open = True
        self._lock = threading.Lock()
        self._is_stream = "text/event-stream" in answer.headers.get("content-type", "")
        self._decoder = Decoder(self._count_event)
        self._whole: bytes | None = None
        if not self._is_stream:
            self._read_whole(check_size)

    def read_piece(self) -> bytes | None:
        """Returns the next piece, None at the end."""
        if not self._is_stream:
            piece, self._whole = self._whole, None
            return piece or None
        if not self._is_open:
            raise ValueError("this answer is closed")
        piece = self._answer.read_piece()
        if piece:
            self._decoder.feed(piece)
            return piece
        self._decoder.close()
        self._finish()
        self._check()
        return None

    def close(self) -> None:
        """Lets go of the connection."""
        if self._is_open:
            self._finish()
            self._answer.close()

    def _read_whole(self, check_size: Callable[[int], object]) -> None:
        """Reads all of an answer: whether or not the plugin does, it costs what its end says."""
        pieces, size = [], 0
        try:
            for piece in self._answer:
                pieces.append(piece)
                size += len(piece)
                check_size(size)
            self._whole = b"".join(pieces)
            if self.status >= 400:
                self._tokens.add_refusal()
            else:
                self._tokens.add_answer(_decoded(self._whole), size)
        except BaseException:
            self.close()
            raise
        self._finish()
        self._check()

    def _finish(self) -> None:
        with self._lock:
            if not self._is_open:
                return
            self._is_open = False
        self._book(self._tokens.total())

    def _count_event(self, data: bytes) -> bool:
        event = _decoded(data)
        if event is None:
            return False
        self._tokens.add_event(event)
        return True


def _decoded(data: bytes) -> Any:
    """Returns what a server's JSON stands for, None for what is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
