"""A server's response on its way to a plugin: its head, its pieces, and its cost."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

from luaopenai.client.errors import APIConnectionError
from luaopenai.client.sse import Decoder
from luaopenai.host.tokens import TokenCount

if TYPE_CHECKING:
    from luaopenai.client.transport import RawResponse
    from luaopenai.host.broker import Broker

_HEADERS = {"content-type", "date", "openai-processing-ms", "retry-after", "x-request-id"}
"""The headers that a plugin gets, beside ``x-ratelimit-...``: none names an organization."""


class PluginResponse:
    """A response for a plugin; its tokens are booked once, at its end or when it is closed.

    Args:
        response: what the server sends.
        count: counts its tokens.
        broker: keeps the plugin's account, and words the network's failures for it.

    Attributes:
        status: the HTTP status code.
        reason: its name.
        headers: those that a plugin gets; names in lower case.
        is_stream: whether ``read_piece`` returns its body, and not ``take_body``.
    """

    def __init__(self, response: RawResponse, count: TokenCount, broker: Broker) -> None:
        self.status = response.status
        self.reason = response.reason
        self.headers = {
            name: value
            for name, value in response.headers.items()
            if name in _HEADERS or name.startswith("x-ratelimit-")
        }
        self._response = response
        self._tokens = count
        self._broker = broker
        self._held = 0
        self._is_open = True
        self._lock = threading.Lock()
        self.is_stream = "text/event-stream" in response.headers.get("content-type", "")
        self._body: bytes | None = None
        if self.is_stream:
            self._decoder = Decoder(self._count_event)
        else:
            self._read_whole()

    def take_body(self) -> bytes:
        """Returns the whole body, once; from then on it is the caller's."""
        body, self._body = self._body, None
        self._let_go()
        return body or b""

    def read_piece(self) -> bytes | None:
        """Returns the next piece of a stream, None at the end."""
        if not self._is_open:
            raise ValueError("this response is closed")
        try:
            piece = self._response.read_piece()
        except APIConnectionError as error:
            raise self._broker.cut_off(error) from None
        if piece:
            # The decoder keeps what is no whole event yet.
            self._keep(len(piece))
            self._decoder.feed(piece)
            return piece
        self._decoder.close()
        self._tokens.end()
        self._finish()
        self._broker.check_tokens()
        return None

    def close(self) -> None:
        """Lets go of the connection and of the body so far."""
        self._body = None
        self._let_go()
        if self._is_open:
            self._finish()
            self._response.close()

    def _keep(self, size: int) -> None:
        self._held += size
        self._broker.hold(size)

    def _let_go(self) -> None:
        held, self._held = self._held, 0
        self._broker.hold(-held)

    def _read_whole(self) -> None:
        """Reads all of the body: the plugin pays for it whether or not it reads it."""
        pieces = []
        try:
            for piece in self._response:
                pieces.append(piece)
                self._tokens.add_bytes(len(piece))
                self._keep(len(piece))
            self._body = b"".join(pieces)
            take = self._tokens.add_refusal if self.status >= 400 else self._tokens.add_answer
            take(_decoded(self._body))
            self._finish()
            self._broker.check_tokens()
        except APIConnectionError as error:
            self.close()
            raise self._broker.cut_off(error) from None
        except BaseException:
            self.close()
            raise

    def _finish(self) -> None:
        with self._lock:
            if not self._is_open:
                return
            self._is_open = False
        self._broker.book_tokens(self._tokens.total())

    def _count_event(self, data: bytes) -> bool:
        event = _decoded(data)
        if event is None:
            return False
        self._let_go()
        self._tokens.add_event(event)
        return True


def _decoded(data: bytes) -> Any:
    """Decodes a server's JSON; returns None for any other text."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
