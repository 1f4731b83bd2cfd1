"""Words the failures of the network, each in one line without credentials."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from http.client import HTTPException, IncompleteRead
from typing import Any
from urllib.parse import urlsplit

import urllib3

from luaopenai.client.connections import KeptConnectionLostError
from luaopenai.client.deadlines import TotalTimeoutError
from luaopenai.client.errors import APIConnectionError, APITimeoutError
from luaopenai.client.settings import Settings


def was_sent(error: BaseException) -> bool:
    """Returns whether the server may have seen the request: not where there was no connection."""
    return not _find(
        error, urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError
    )


def is_worth_a_retry(error: BaseException) -> bool:
    """Returns whether another try could succeed: not with a wrong certificate or host name."""
    if _find(error, ssl.SSLCertVerificationError):
        return False
    lookup = _find(error, socket.gaierror)
    return not (isinstance(lookup, socket.gaierror) and lookup.errno == socket.EAI_NONAME)


def was_stale(error: BaseException) -> bool:
    """Returns whether a kept connection may have ended before the request reached the server."""
    return bool(_find(error, KeptConnectionLostError))


def without_frames(error: Exception) -> Exception:
    """Returns an error without its tracebacks: their frames hold connections, and one another."""
    for cause in _causes(error):
        cause.__traceback__ = None
    return error


def public_url(url: str) -> str:
    """Returns a URL without the parts that may hold credentials, for error texts.

    Where a password holds ``/``, ``?`` or ``#`` unescaped, nobody can tell where it ends. So of a
    URL with ``@`` behind its server, only what comes after the last ``@`` is shown.
    """
    scheme, separator, rest = url.partition("://")
    if not scheme.isalnum():
        scheme, separator, rest = "", "", url
    end = next((at for at, sign in enumerate(rest) if sign in "/?#"), len(rest))
    server, path = rest[:end], re.split("[?#]", rest[end:])[0]
    if "@" in rest[end:]:
        server, path = "***", "@" + path.rpartition("@")[2] if "@" in path else ""
    return scheme + separator + server.rpartition("@")[2] + path


def connection_error(error: BaseException, url: str, settings: Settings) -> APIConnectionError:
    """Returns the error for a network failure: one line with what failed, and where."""
    where = public_url(url)
    host = urlsplit(where).netloc
    connect, read = settings.timeouts

    def seen(*kinds: type[BaseException]) -> BaseException | None:
        return _find(error, *kinds)

    kind = APIConnectionError
    if seen(TotalTimeoutError):
        text = f"timed out: not done within {settings.total_timeout:g} s in all: {where}"
        kind = APITimeoutError
    elif seen(urllib3.exceptions.ProxyError):
        text = f"proxy failed: {where}"
    elif seen(urllib3.exceptions.NameResolutionError):
        text = f"unknown host: {host} ({where})"
    elif seen(ConnectionRefusedError):
        text = f"connection refused: {where}"
    elif seen(urllib3.exceptions.ConnectTimeoutError):
        text = f"timed out: no connection within {connect:g} s to {where}"
        kind = APITimeoutError
    elif seen(urllib3.exceptions.ReadTimeoutError, TimeoutError):
        text = f"timed out: no answer within {read:g} s from {where}"
        kind = APITimeoutError
    elif seen(urllib3.exceptions.SSLError):
        text = f"TLS failed: {_tls_reason(error)} ({where})"
    elif seen(IncompleteRead):
        text = f"the answer was cut off: {where}"
    elif seen(urllib3.exceptions.DecodeError):
        text = f"the answer's compression is broken: {where}"
    elif seen(HTTPException) and not seen(ConnectionError):
        text = f"not an HTTP answer: {where}"
    elif seen(ConnectionError, urllib3.exceptions.ProtocolError):
        text = f"the server closed the connection: {where}"
    else:
        text = f"the request failed: {type(error).__name__}: {where}"
    failure = kind(text)
    failure.was_sent = was_sent(error)
    return failure


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yields an exception and all its causes, wherever urllib3 and requests keep them."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        current = waiting.pop(0)
        if isinstance(current, BaseException) and id(current) not in seen:
            seen.add(id(current))
            yield current
            waiting += [getattr(current, "reason", None), current.__cause__, current.__context__]
            waiting += current.args


def _find(error: BaseException, *kinds: type[BaseException]) -> BaseException | None:
    return next((cause for cause in _causes(error) if isinstance(cause, kinds)), None)


def _tls_reason(error: BaseException) -> str:
    causes = list(_causes(error))
    for cause in causes:
        reason = getattr(cause, "verify_message", "")
        if reason:
            return f"certificate not trusted, {reason}"
    return str(getattr(causes[-1], "reason", "") or error)
