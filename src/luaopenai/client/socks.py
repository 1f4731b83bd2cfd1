"""Connections through a SOCKS proxy, which need PySocks: ``pip install 'requests[socks]'``."""

from __future__ import annotations

from typing import Any

from urllib3.contrib.socks import SOCKSConnection, SOCKSHTTPSConnection

from luaopenai.client.connections import Connection, TLSConnection
from luaopenai.client.pools import POOL_CLASSES


class _SocksConnection(Connection, SOCKSConnection):
    pass


class _TLSSocksConnection(TLSConnection, SOCKSHTTPSConnection):
    pass


_pool: Any = POOL_CLASSES["http"]
_tls_pool: Any = POOL_CLASSES["https"]


class _SocksPool(_pool):  # type: ignore[misc]
    ConnectionCls = _SocksConnection


class _TLSSocksPool(_tls_pool):  # type: ignore[misc]
    ConnectionCls = _TLSSocksConnection


SOCKS_POOL_CLASSES: dict[str, Any] = {"http": _SocksPool, "https": _TLSSocksPool}
"""For ``PoolManager.pool_classes_by_scheme`` of a manager that speaks to a SOCKS proxy."""
