"""The only file that sends: HTTP over one pooled ``requests`` session."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from http.client import HTTPException, IncompleteRead
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.utils import get_environ_proxies

from luaopenai._version import __version__
from luaopenai.client.errors import APIConnectionError

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 600.0
USER_AGENT = f"luaopenai/{__version__}"
_PIECE = 65536
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

Timeout = float | Mapping[str, float] | tuple[float, float] | None


class Answer:
    """A status, the headers (names in lower case), and a body that has yet to be read."""

    def __init__(
        self, response: requests.Response, url: str, timeouts: tuple[float, float]
    ) -> None:
        self.status: int = response.status_code
        self.reason: str = response.reason or ""
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        self._raw = response.raw
        self._response = response
        self._url = url
        self._timeouts = timeouts

    def read_piece(self) -> bytes:
        """The next piece of the body as it arrives; empty at the end.

        Raises ``APIConnectionError`` when the body is cut or the read time-out passes.
        """
        try:
            piece: bytes = self._raw.read1(_PIECE, decode_content=True)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            self.close()
            raise _connection_error(error, self._url, self._timeouts) from None
        if not piece:
            self._response.close()
        return piece

    def read(self) -> bytes:
        """All of the body that has not been read."""
        return b"".join(self)

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read_piece():
            yield piece

    def close(self) -> None:
        """Let go of the connection; one whose body was not read to the end is closed."""
        self._raw.close()
        self._response.close()


class Transport:
    """Sends requests over kept connections.

    Args:
        timeout: seconds for both connecting and each read, or ``{"connect": s, "read": s}``.

    The environment's proxies and certificate bundles (``HTTPS_PROXY``, ``NO_PROXY``,
    ``REQUESTS_CA_BUNDLE``, ``SSL_CERT_FILE``) are read once. ``.netrc`` is not: it would put
    another key in place of the caller's.
    """

    def __init__(self, timeout: Timeout = None) -> None:
        self._timeouts = _timeouts(timeout)
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers["User-Agent"] = USER_AGENT
        self._verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
        self._proxies: dict[str, dict[str, str]] = {}

    def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        timeout: Timeout = None,
        proxy: str | None = None,
    ) -> Answer:
        """Send a request; returns once the answer's headers are there.

        Args:
            method: the HTTP method.
            url: the full URL.
            headers: go over the transport's own.
            body: what to send, if anything.
            timeout: goes over the transport's own.
            proxy: the URL of a proxy, in place of the environment's.

        Raises:
            ValueError: the URL or a header cannot be sent.
            APIConnectionError: no answer came.
        """
        _check_headers(headers)
        timeouts = self._timeouts if timeout is None else _timeouts(timeout)
        try:
            response = self._session.request(
                method,
                url,
                headers=headers,
                data=body,
                stream=True,
                timeout=timeouts,
                proxies={"all": proxy} if proxy else self._proxies_for(url),
                verify=self._verify or True,
                allow_redirects=False,
            )
        except (
            requests.exceptions.InvalidURL,
            requests.exceptions.InvalidSchema,
            requests.exceptions.MissingSchema,
        ):
            raise ValueError(f"not a URL that can be sent to: {public_url(url)}") from None
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
            raise _connection_error(error, url, timeouts) from None
        return Answer(response, url, timeouts)

    def close(self) -> None:
        """Close every connection that is not in use."""
        self._session.close()

    def _proxies_for(self, url: str) -> dict[str, str]:
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._proxies:
            self._proxies[origin] = get_environ_proxies(origin)
        return self._proxies[origin]


def public_url(url: str) -> str:
    """A URL for error texts: without the parts that may hold credentials."""
    scheme, separator, rest = url.partition("://")
    host, slash, path = rest.partition("?")[0].partition("/")
    return scheme + separator + host.rpartition("@")[2] + slash + path


def _timeouts(timeout: Timeout) -> tuple[float, float]:
    """Seconds to connect and to wait for each read."""
    if timeout is None:
        return CONNECT_TIMEOUT, READ_TIMEOUT
    if isinstance(timeout, Mapping):
        pair = timeout.get("connect", CONNECT_TIMEOUT), timeout.get("read", READ_TIMEOUT)
    else:
        pair = timeout if isinstance(timeout, tuple) else (timeout, timeout)
    for seconds in pair:
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
            raise ValueError(f"timeout: expected seconds above 0, got {seconds!r}")
    return pair


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not _HEADER_VALUE.fullmatch(value):
            what = "the API key" if name.lower() == "authorization" else "its value"
            raise ValueError(
                f"header {name}: {what} holds a character that no header can carry, such as a"
                " line break"
            )


def _connection_error(
    error: BaseException, url: str, timeouts: tuple[float, float]
) -> APIConnectionError:
    """The network's failure in one line: what failed, and where."""
    where = public_url(url)
    host = urlsplit(where).netloc
    chain = list(_causes(error))

    def seen(*kinds: type[BaseException]) -> BaseException | None:
        return next((cause for cause in chain if isinstance(cause, kinds)), None)

    if seen(urllib3.exceptions.NameResolutionError):
        text = f"unknown host: {host} ({where})"
    elif seen(ConnectionRefusedError):
        text = f"connection refused: {where}"
    elif seen(urllib3.exceptions.ConnectTimeoutError, requests.exceptions.ConnectTimeout):
        text = f"timed out: no connection within {timeouts[0]:g} s to {where}"
    elif seen(urllib3.exceptions.ReadTimeoutError, TimeoutError):
        text = f"timed out: no answer within {timeouts[1]:g} s from {where}"
    elif cause := seen(urllib3.exceptions.SSLError, requests.exceptions.SSLError):
        text = f"TLS failed: {_tls_reason(chain, cause)} ({where})"
    elif seen(urllib3.exceptions.ProxyError, requests.exceptions.ProxyError):
        text = f"proxy failed: {where}"
    elif seen(IncompleteRead):
        text = f"the answer was cut off: {where}"
    elif seen(urllib3.exceptions.DecodeError):
        text = f"the answer's compression is broken: {where}"
    elif seen(HTTPException) and not seen(ConnectionError):
        text = f"not an HTTP answer: {where}"
    elif seen(
        ConnectionError, urllib3.exceptions.ProtocolError, requests.exceptions.ConnectionError
    ):
        text = f"the server closed the connection: {where}"
    else:
        text = f"the request failed: {type(error).__name__}: {where}"
    return APIConnectionError(text)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and all that lies beneath it, where urllib3 and requests keep it."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        current = waiting.pop(0)
        if isinstance(current, BaseException) and id(current) not in seen:
            seen.add(id(current))
            yield current
            waiting += [getattr(current, "reason", None), current.__cause__, current.__context__]
            waiting += current.args


def _tls_reason(chain: list[BaseException], error: BaseException) -> str:
    for cause in chain:
        reason = getattr(cause, "verify_message", "")
        if reason:
            return f"certificate not trusted, {reason}"
    return str(getattr(chain[-1], "reason", "") or error)
