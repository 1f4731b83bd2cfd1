"""Pools of kept connections, which choose the one that a request gets."""

from __future__ import annotations

import logging
import threading
from collections import deque
from queue import Empty, Full
from typing import Any

from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from luaopenai.client.cancel import current_call
from luaopenai.client.connections import Connection, TLSConnection
from luaopenai.client.deadlines import Deadline
from luaopenai.client.retries import is_repeatable


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

    def urlopen(self, method: str, url: str, *args: Any, **options: Any) -> Any:
        """Sends a request; no read outlasts the option ``deadline``, which is ours."""
        deadline: Deadline = options.pop("deadline")
        _request.is_repeatable = is_repeatable(method, url)
        _request.deadline = deadline if deadline.exists else None
        _request.is_under_way = True
        try:
            return super().urlopen(method, url, *args, **options)
        finally:
            _request.is_under_way = False

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection: Any = self._choose() if self.pool is not None else super()._get_conn(timeout)
        connection.deadline = _request.deadline
        return connection

    def _choose(self) -> Any:
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
