"""Connections that read chunked bodies fast, and tell a lost kept connection from a dead server."""

from __future__ import annotations

import socket
from functools import partial
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from luaopenai.client.cancel import current_call
from luaopenai.client.chunked import ChunkedResponse


class KeptConnectionLostError(ConnectionResetError):
    """A connection that had served before brought no answer: it may have ended long ago."""


class _Connection(HTTPConnection):
    response_class = ChunkedResponse
    _has_served = False

    def connect(self) -> None:
        self._has_served = False
        super().connect()
        self._let_end()

    def request(self, *args: Any, **options: Any) -> None:
        self._let_end()
        super().request(*args, **options)

    def getresponse(self) -> Any:
        # Where the server closes the connection after this answer, it is forgotten by then.
        hang_up = partial(self.sock.shutdown, socket.SHUT_RDWR)
        try:
            answer: Any = super().getresponse()
        except ConnectionError as error:
            if self._has_served:
                raise KeptConnectionLostError from error
            raise
        self._has_served = True
        answer.hang_up = hang_up
        return answer

    def _let_end(self) -> None:
        """Let a cancel of the current call end this connection."""
        call = current_call()
        if call is not None and self.sock is not None:
            call.attach(partial(self.sock.shutdown, socket.SHUT_RDWR))


class _TLSConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection

    def _put_conn(self, conn: Any) -> None:
        call = current_call()
        if call is not None:
            call.detach()
        if conn is not None and self.pool is not None and self.pool.full():
            # More may be in use at once than are kept; urllib3 would warn of it.
            conn.close()
        else:
            super()._put_conn(conn)


class _TLSPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


POOL_CLASSES: dict[str, Any] = {"http": _Pool, "https": _TLSPool}
"""For ``PoolManager.pool_classes_by_scheme``."""
