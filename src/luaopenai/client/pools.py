"""Connections that read chunked bodies fast, and tell a lost kept connection from a dead server."""

from __future__ import annotations

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

    def getresponse(self) -> Any:
        call = current_call()
        if call is not None:
            call.attach(self.sock)
        try:
            answer = super().getresponse()
        except ConnectionError as error:
            if self._has_served:
                raise KeptConnectionLostError from error
            raise
        self._has_served = True
        return answer


class _TLSConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


POOL_CLASSES: dict[str, Any] = {"http": _Pool, "https": _TLSPool}
"""For ``PoolManager.pool_classes_by_scheme``."""
