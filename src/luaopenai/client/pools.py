"""Pools of kept connections, which choose the one that a request gets."""

from __future__ import annotations

import errno
import logging
import ssl
import threading
from collections import deque
from collections.abc import Mapping
from http.client import HTTPException
from queue import Empty, Full
from typing import Any

from urllib3 import Timeout
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ProtocolError, SSLError

from luaopenai.client.cancel import current_call
from luaopenai.client.connections import Connection, TLSConnection
from luaopenai.client.deadlines import Deadline
from luaopenai.client.retries import is_repeatable

_CLOSED_EARLY = {errno.EPIPE, errno.ECONNRESET, getattr(errno, "EPROTOTYPE", errno.EPIPE)}
_UNREAD: Any = {"preload_content": False, "decode_content": False}
"""Has urllib3 leave a body alone."""


class _Request(threading.local):
    """The facts of a thread's request that its pool needs and urllib3 does not pass on."""

    is_under_way = False
    is_repeatable = False
    deadline: Deadline | None = None


_request = _Request()


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
    ConnectionCls = Connection
    QueueCls: Any = _Idle

    def ask(
        self,
        method: str,
        target: str,
        body: bytes | None,
        headers: Mapping[str, str],
        timeouts: tuple[float, float],
        deadline: Deadline,
    ) -> Any:
        """Sends a request; returns its answer, with the head read.

        Args:
            method, target, body, headers: of the request.
            timeouts: seconds for the connection, and for each read.
            deadline: no read outlasts it.

        Raises what urllib3's ``urlopen`` raises.
        """
        _request.is_repeatable = is_repeatable(method, target)
        _request.deadline = deadline if deadline.exists else None
        _request.is_under_way = True
        try:
            kept = self._find_kept() if self.pool is not None else None
            if kept is not None:
                return self._ask_again(kept, method, target, body, headers, timeouts)
            connect, read = timeouts
            return self.urlopen(
                method,
                target,
                body=body,
                headers=headers,
                timeout=Timeout(connect=connect, read=read),
                retries=False,
                redirect=False,
                assert_same_host=False,
                **_UNREAD,
            )
        finally:
            _request.is_under_way = False

    def _ask_again(
        self,
        connection: Connection,
        method: str,
        target: str,
        body: bytes | None,
        headers: Mapping[str, str],
        timeouts: tuple[float, float],
    ) -> Any:
        """Does with a kept connection what ``urlopen`` does, whose preparations take 60 µs more."""
        connection.deadline = _request.deadline
        is_answered = False
        try:
            connection.timeout, read = timeouts
            try:
                connection.request(method, target, body, headers, **_UNREAD)
            except OSError as error:
                # The server may have answered, and closed the connection, before it read it all.
                if error.errno not in _CLOSED_EARLY:
                    raise
            connection.timeout = read
            response = connection.getresponse()
            is_answered = True
        except ssl.SSLError as error:
            raise SSLError(error) from error
        except (OSError, HTTPException) as error:
            raise ProtocolError("Connection aborted.", error) from error
        finally:
            if not is_answered:
                connection.close()
                self._put_conn(None)
        response._connection = connection
        response._pool = self
        return response

    def _get_conn(self, timeout: float | None = None) -> Any:
        if self.pool is None:
            connection: Any = super()._get_conn(timeout)
        else:
            connection = self._find_kept() or self._new_conn()
        connection.deadline = _request.deadline
        return connection

    def _find_kept(self) -> Any:
        """Returns an idle connection that the request may use; None where there is none."""
        idle: Any = self.pool
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
            return None
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
        """Keeps a connection, unless the pool is closed or full: more may be in use at once."""
        idle: Any = self.pool
        try:
            if idle is None:
                raise Full
            idle.put(connection)
        except Full:
            connection.close()


class _TLSPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = TLSConnection


POOL_CLASSES: dict[str, Any] = {"http": _Pool, "https": _TLSPool}
"""For ``PoolManager.pool_classes_by_scheme``."""


def _hide_queries(record: logging.LogRecord) -> bool:
    """Removes queries, which may hold keys, from what urllib3 logs of our requests."""
    if _request.is_under_way and isinstance(record.args, tuple):
        record.args = tuple(
            arg.partition("?")[0] if isinstance(arg, str) else arg for arg in record.args
        )
    return True


for _name in ("urllib3.connection", "urllib3.connectionpool"):
    logging.getLogger(_name).addFilter(_hide_queries)
