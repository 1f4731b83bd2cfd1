"""The routes that ``requests`` finds: through proxies, and to URLs that are out of the ordinary."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from requests import PreparedRequest, Request
from requests.adapters import HTTPAdapter
from requests.exceptions import RequestException
from requests.utils import get_environ_proxies, select_proxy
from urllib3 import PoolManager
from urllib3.exceptions import LocationParseError

from luaopenai.client.failures import public_url
from luaopenai.client.pools import POOL_CLASSES
from luaopenai.client.routes import close_pools, host_header

Trust = Callable[[bool | str], ssl.SSLContext]


class OddRoutes:
    """Finds routes as ``requests`` does.

    Args:
        manager: of the connections that go through no proxy.
        pool_size: how many idle connections to a server are kept behind a proxy.
        trust: gives the certificates to trust, for a value of ``verify``.
    """

    def __init__(self, manager: PoolManager, pool_size: int, trust: Trust) -> None:
        self._manager = manager
        self._pool_size = pool_size
        self._trust = trust
        self._adapters: dict[ssl.SSLContext | None, _Adapter] = {}

    def find(
        self, url: str, proxy: str | None, verify: bool | str
    ) -> tuple[Any, str, Mapping[str, str]]:
        """Returns a pool, the request's target, and headers; see ``Routes.find``."""
        prepared = _prepare(url)
        proxies = {"all": proxy} if proxy else get_environ_proxies(url)
        through = select_proxy(url, proxies)
        is_secret = bool(through) or (prepared.url or "").lower().startswith("https:")
        adapter = self._adapter(self._trust(verify) if is_secret else None)
        try:
            pool = adapter.get_connection_with_tls_context(prepared, verify, proxies=proxies)
        except LocationParseError:
            # Its text repeats what may be a password.
            raise ValueError(f"proxy: not a URL, on the way to {public_url(url)}") from None
        except RequestException as error:
            raise ValueError(f"{public_url(url)}: {error}") from None
        target = adapter.request_url(prepared, proxies)
        if through and target.startswith("http:"):
            host = {"Host": urlsplit(target).netloc}
            return pool, target, {**host, **adapter.proxy_headers(through)}
        return pool, target, host_header(pool.scheme or "http", pool.host, pool.port)

    def close(self) -> None:
        """Closes the connections to proxies that are not in use."""
        for adapter in self._adapters.values():
            for manager in adapter.proxy_manager.values():
                close_pools(manager)

    def _adapter(self, context: ssl.SSLContext | None) -> _Adapter:
        adapter = self._adapters.get(context)
        if adapter is None:
            adapter = _Adapter(self._manager, self._pool_size, context)
            self._adapters[context] = adapter
        return adapter


def _prepare(url: str) -> PreparedRequest:
    try:
        prepared = Request("GET", url).prepare()
    except RequestException:
        prepared = None
    if prepared is None or not (prepared.url or "").lower().startswith(("http://", "https://")):
        raise ValueError(f"not a URL that can be sent to: {public_url(url)}")
    return prepared


class _Adapter(HTTPAdapter):
    """Requests' choice of pools, with pools of our own kind.

    Args:
        manager: of the connections that go through no proxy.
        pool_size: how many idle connections to a server are kept behind a proxy.
        context: for TLS to servers and proxies alike.
    """

    def __init__(
        self, manager: PoolManager, pool_size: int, context: ssl.SSLContext | None
    ) -> None:
        super().__init__(pool_maxsize=pool_size)
        self.poolmanager = manager
        self._options = {"ssl_context": context} if context else {}

    def build_connection_pool_key_attributes(
        self, request: Any, verify: Any, cert: Any = None
    ) -> Any:
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, self._options

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        if proxy.lower().startswith("https:"):
            options["proxy_ssl_context"] = self._options["ssl_context"]
        manager = super().proxy_manager_for(proxy, **options)
        if proxy.lower().startswith("socks"):
            from luaopenai.client.socks import SOCKS_POOL_CLASSES

            manager.pool_classes_by_scheme = SOCKS_POOL_CLASSES
        else:
            manager.pool_classes_by_scheme = POOL_CLASSES
        return manager
