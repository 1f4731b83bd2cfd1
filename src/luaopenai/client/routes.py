"""How a URL is reached: which pool of connections, and what the request's first line asks for.

urllib3 sends; ``requests`` decides where a proxy may be involved or a URL is out of the ordinary.
Importing it takes as long again as half of urllib3, and most programs never need it.
"""

from __future__ import annotations

import os
import re
import ssl
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from urllib3 import PoolManager
from urllib3.connection import port_by_scheme
from urllib3.exceptions import SSLError
from urllib3.util.ssl_ import create_urllib3_context

from luaopenai.client.pools import POOL_CLASSES

if TYPE_CHECKING:
    from luaopenai.client.odd_routes import OddRoutes

_MOST = 256
_HOSTS = 10
"""How many servers' connections are kept."""
_LARGEST_PORT = 65535
_ORDINARY = re.compile(
    r"(https?)://([a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(?::([1-9][0-9]{0,4}))?"
    r"((?:/(?!\.)[A-Za-z0-9._~@:-]+)*/?(?:\?[A-Za-z0-9._~=&-]+)?)"
)
"""URLs that ``requests`` sends as they are: its scheme, host, port, and path with query."""


class Route(NamedTuple):
    """How a URL is reached.

    Attributes:
        pool: of connections.
        target: what the request's first line asks for.
        headers: ``Host``, and those for a proxy.
    """

    pool: Any
    target: str
    headers: Mapping[str, str]


class Routes:
    """The routes of one transport, found once for each URL, and their connections.

    Args:
        pool_size: how many idle connections to a server are kept.
    """

    def __init__(self, pool_size: int) -> None:
        self._pool_size = pool_size
        self._manager = PoolManager(_HOSTS, maxsize=pool_size)
        self._manager.pool_classes_by_scheme = POOL_CLASSES
        self._found: dict[tuple[object, ...], Route] = {}
        self._trusts: dict[bool | str, ssl.SSLContext] = {}
        self._odd: OddRoutes | None = None

    def find(self, url: str, proxy: str | None, verify: bool | str) -> Route:
        """Returns the route to a URL.

        Args:
            url: the full URL.
            proxy: a proxy's URL; the environment's, if any, when None.
            verify: as in ``Settings``.

        Raises:
            ValueError: the URL or the proxy's cannot be sent to.
            SSLError: the certificates cannot be read.
        """
        key = (url, proxy, verify)
        route = self._found.get(key)
        if route is None:
            if len(self._found) >= _MOST:
                self._found.clear()
            route = None if proxy or _has_proxies() else self._find_ordinary(url, verify)
            self._found[key] = route = route or self._find_odd(url, proxy, verify)
        return route

    def close(self) -> None:
        """Closes every connection that is not in use."""
        self._found.clear()
        close_pools(self._manager)
        if self._odd is not None:
            self._odd.close()

    def _find_ordinary(self, url: str, verify: bool | str) -> Route | None:
        parts = _ORDINARY.fullmatch(url)
        port = int(parts[3]) if parts and parts[3] else None
        if parts is None or (port or 0) > _LARGEST_PORT:
            return None
        options = {"ssl_context": self._trust(verify)} if parts[1] == "https" else {}
        pool = self._manager.connection_from_host(parts[2], port, parts[1], options)
        target = parts[4]
        host = host_header(parts[1], parts[2], port)
        return Route(pool, target if target.startswith("/") else f"/{target}", host)

    def _find_odd(self, url: str, proxy: str | None, verify: bool | str) -> Route:
        if self._odd is None:
            from luaopenai.client.odd_routes import OddRoutes

            self._odd = OddRoutes(self._manager, self._pool_size, self._trust)
        return Route(*self._odd.find(url, proxy, verify))

    def _trust(self, verify: bool | str) -> ssl.SSLContext:
        """Returns the certificates that all TLS connections share: to read them takes 20 ms."""
        trust = self._trusts.get(verify)
        if trust is None:
            trust = self._trusts[verify] = _read_certificates(verify)
        return trust


def host_header(scheme: str, host: str, port: int | None) -> dict[str, str]:
    """Returns the ``Host`` header, which names a port only where it is not the scheme's own."""
    is_usual = port in (None, port_by_scheme[scheme])
    name = f"[{host}]" if ":" in host else host.rstrip(".")
    return {"Host": name if is_usual else f"{name}:{port}"}


def close_pools(manager: PoolManager) -> None:
    """Closes the connections of a manager that are not in use, and forgets its pools."""
    for key in manager.pools.keys():  # noqa: SIM118 (it is no mapping of the usual kind)
        manager.pools[key].close()
    manager.clear()


def _has_proxies() -> bool:
    """Returns whether the environment or the system's settings name a proxy."""
    if sys.platform in ("darwin", "win32"):
        from urllib.request import getproxies

        return any(kind != "no" for kind in getproxies())
    names = (name.lower() for name, value in os.environ.items() if value)
    return any(name.endswith("_proxy") and name != "no_proxy" for name in names)


def _read_certificates(verify: bool | str) -> ssl.SSLContext:
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED if verify else ssl.CERT_NONE)
    try:
        if isinstance(verify, str):
            is_folder = os.path.isdir(verify)
            context.load_verify_locations(**{"capath" if is_folder else "cafile": verify})
        elif verify:
            # The system's may lack, as for Python from python.org on macOS, or know more than
            # the world's: a company's own.
            from certifi import where

            context.load_verify_locations(where())
            context.load_default_certs()
    except OSError as error:
        raise SSLError(error) from error
    return context
