"""Connections that read chunked bodies fast, and the pools that choose which one a request gets."""

from __future__ import annotations

import logging
import re
import socket
import threading
from collections import deque
from functools import partial
from queue import Empty, Full
from time import monotonic
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from luaopenai.client.cancel import current_call
from luaopenai.client.chunked import ChunkedResponse
from luaopenai.client.deadlines import Deadline
from luaopenai.client.retries import is_repeatable, is_surely_kept

_PACKET = 16384
"""Bytes of a request that go out at once: two packets wake the server, and cost a call, twice."""
_ANNOUNCED = re.compile(r"(?:^|[,;\s])timeout\s*=\s*(\d{1,6})", re.IGNORECASE)


class KeptConnectionLostError(ConnectionResetError):
    """A connection that had served before brought no answer: it may have ended long ago."""


class _Request(threading.local):
    """What a pool is to know of its thread's request and urllib3 does not pass on."""

    is_under_way = False
    is_repeatable = False
    deadline: Deadline | None = None


_request = _Request()


class _Connection(HTTPConnection):
    _has_served = False
    _idle_since = 0.0
    _last_headers: Any = None
    _unsent: bytes | None = None
    """The part of a request that waits for the rest; None where nothing is to wait."""

    def connect(self) -> None:
        self._has_served = False
        super().connect()
        self._let_end()

    def request(self, *args: Any, **options: Any) -> None:
        """Send a request, head and body together where they are short."""
        self._let_end()
        self._unsent = b""
        try:
            super().request(*args, **options)
            self._send_unsent()
        finally:
            self._unsent = None

    def send(self, data: Any) -> None:
        """Send a part of a request, or keep it for the next part."""
        if self._unsent is not None and len(self._unsent) + len(data) <= _PACKET:
            self._unsent += data
        else:
            self._send_unsent()
            super().send(data)

    def _send_unsent(self) -> None:
        # To send may open a connection through a proxy first, whose own request must not wait.
        unsent, self._unsent = self._unsent, None
        if unsent:
            super().send(unsent)

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
        self._last_headers = answer.headers
        answer.hang_up = hang_up
        return answer

    @property
    def response_class(self) -> Any:  # type: ignore[override]
        """What reads an answer: also that of a proxy, before there is a tunnel."""
        deadline = _request.deadline
        return partial(ChunkedResponse, deadline=deadline) if deadline else ChunkedResponse

    @property
    def is_surely_kept(self) -> bool:
        """Whether it may carry what must not be lost with it."""
        content_type = self._last_headers.get("content-type", "")
        return is_surely_kept(
            monotonic() - self._idle_since,
            after_stream=content_type.startswith("text/event-stream"),
            announced=_announced(self._last_headers.get("keep-alive")),
        )

    def rest(self) -> None:
        """Note that the connection is idle from now on."""
        self._idle_since = monotonic()

    def _let_end(self) -> None:
        """Let a cancel of the current call end this connection."""
        call = current_call()
        if call is not None and self.sock is not None:
            call.attach(partial(self.sock.shutdown, socket.SHUT_RDWR))


class _TLSConnection(_Connection, HTTPSConnection):
    pass


class _Idle:
    """A pool's idle connections, newest first; of a queue it has what urllib3 calls.

    It needs no lock, which another thread could hold while this process forks.
    """

    def __init__(self, maxsize: int) -> None:
        self._maxsize = maxsize
        self._connections: deque[Any] = deque()

    def put(self, connection: Any, block: bool = True, timeout: float | None = None) -> None:
        if connection is None:  # urllib3 keeps a place for each connection that may come
            return
        if self.full():
            raise Full
        self._connections.append(connection)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        try:
            return self._connections.pop()
        except IndexError:
            raise Empty from None

    def full(self) -> bool:
        return len(self._connections) >= self._maxsize


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection
    QueueCls: Any = _Idle

    def urlopen(self, method: str, url: str, *args: Any, **options: Any) -> Any:
        """Send a request; the option ``deadline`` is ours, and no read outlasts it."""
        deadline: Deadline = options.pop("deadline")
        _request.is_repeatable = is_repeatable(method, url)
        _request.deadline = deadline if deadline.exists else None
        _request.is_under_way = True
        try:
            return super().urlopen(method, url, *args, **options)
        finally:
            _request.is_under_way = False

    def _get_conn(self, timeout: float | None = None) -> Any:
        idle: Any = self.pool
        if idle is None:
            return super()._get_conn(timeout)
        doubtful = []
        try:
            while True:
                connection = idle.get()
                if not connection.is_connected:
                    connection.close()
                elif _request.is_repeatable or connection.is_surely_kept:
                    return connection
                else:
                    doubtful.append(connection)
        except Empty:
            return self._new_conn()
        finally:
            for connection in reversed(doubtful):
                self._keep(connection)

    def _put_conn(self, conn: Any) -> None:
        call = current_call()
        if call is not None:
            call.detach()
        if conn is not None:
            conn.rest()
            self._keep(conn)

    def _keep(self, connection: Any) -> None:
        """Keep a connection, unless the pool is closed, or full: more may be in use at once."""
        idle: Any = self.pool
        try:
            if idle is None:
                raise Full
            idle.put(connection)
        except Full:
            connection.close()


class _TLSPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


POOL_CLASSES: dict[str, Any] = {"http": _Pool, "https": _TLSPool}
"""For ``PoolManager.pool_classes_by_scheme``."""


def _announced(keep_alive: str | None) -> float | None:
    found = _ANNOUNCED.search(keep_alive) if keep_alive else None
    return float(found[1]) if found else None


def _hide_queries(record: logging.LogRecord) -> bool:
    """Take queries, which may hold keys, out of what urllib3 logs of our requests."""
    if _request.is_under_way and isinstance(record.args, tuple):
        record.args = tuple(
            arg.partition("?")[0] if isinstance(arg, str) else arg for arg in record.args
        )
    return True


for _name in ("urllib3.connection", "urllib3.connectionpool"):
    logging.getLogger(_name).addFilter(_hide_queries)
