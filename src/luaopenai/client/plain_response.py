"""A response whose body needs no decoding: to read it through urllib3's own takes 50 µs more."""

from __future__ import annotations

import ssl
from http.client import HTTPException, IncompleteRead
from typing import Any

from urllib3.exceptions import ProtocolError, SSLError

from luaopenai.client.chunked import ChunkedResponse


class PlainResponse:
    """Has what this package and urllib3's pools use of urllib3's ``HTTPResponse``.

    Args:
        response: its head is read.

    Attributes:
        headers: urllib3's dict, for which upper and lower case are the same.
        length_remaining: the body's length, where that is known; urllib3 logs it.
    """

    retries: Any = None

    def __init__(self, response: ChunkedResponse) -> None:
        self.status = response.status
        self.reason = response.reason
        self.headers: Any = response.headers
        self.version_string = f"HTTP/{response.version / 10}"
        self.length_remaining = response.length
        self._response = response
        self._connection: Any = None
        self._pool: Any = None

    @property
    def connection(self) -> Any:
        """The connection, as long as the body has not ended."""
        return self._connection

    @property
    def closed(self) -> bool:
        """Whether nothing more will come."""
        return self._response.isclosed()

    def read1(self, amount: int, *, decode_content: bool) -> bytes:
        """Returns what has arrived of the body, up to an amount; empty at its end.

        Raises ``SSLError`` or ``ProtocolError`` of urllib3, caused by what failed.
        """
        response = self._response
        is_sound = False
        try:
            left = response.length
            piece = response.read1(amount)
            if left and not piece:
                raise IncompleteRead(b"", left)
            is_sound = True
        except ssl.SSLError as error:
            raise SSLError(error) from error
        except (HTTPException, OSError) as error:
            raise ProtocolError(f"Connection broken: {error!r}", error) from error
        finally:
            if not is_sound:
                self.close()
            if response.isclosed():
                self.release_conn()
        return piece

    def release_conn(self) -> None:
        """Gives the connection back to its pool, once."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool._put_conn(connection)

    def close(self) -> None:
        """Closes the connection, if it has not been given back."""
        self._response.close()
        if self._connection is not None:
            self._connection.close()
