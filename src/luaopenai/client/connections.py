"""Connections of urllib3's kind that send a request and read an answer's head in fewer steps.

urllib3 and the standard library look at each header several times and send head and body one by
one: 200 µs a request, where this takes 50.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from functools import partial
from time import monotonic
from typing import Any

from urllib3 import HTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection

from luaopenai.client.cancel import current_call
from luaopenai.client.chunked import ChunkedResponse
from luaopenai.client.deadlines import Deadline
from luaopenai.client.plain_response import PlainResponse
from luaopenai.client.retries import announced_rest, is_surely_kept

_ONE_PACKET = 1 << 16
"""Bytes of a body that go out together with the head."""
_WITHOUT_BODY = {"GET", "HEAD", "DELETE", "TRACE", "OPTIONS", "CONNECT"}


class KeptConnectionLostError(ConnectionResetError):
    """A connection that had served before brought no answer: it may have ended long ago."""


class Connection(HTTPConnection):
    """A connection that a pool keeps.

    Attributes:
        deadline: for what is read; set by the pool for each request.
    """

    deadline: Deadline | None = None
    _has_served = False
    _idle_since = 0.0
    _last_headers: Any = None
    _sent: tuple[str, str] | None = None
    """Method and target of a request that has no answer yet."""

    def connect(self) -> None:
        """Opens the connection; a cancel of the current call ends it."""
        self._has_served = False
        super().connect()
        self._let_end()

    def request(  # type: ignore[override]
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        """Sends a request; one out of the ordinary is left to urllib3."""
        self._sent = None
        self._let_end()
        head = _head(method, url, body, headers or {})
        if head is None:
            super().request(method, url, body, headers, **options)
            return
        if self.sock is None:
            self.connect()
        else:
            self.sock.settimeout(self.timeout)
        self._sent = method, url
        if body and len(body) <= _ONE_PACKET:
            self.sock.sendall(head + body)
        else:
            self.sock.sendall(head)
            if body:
                self.sock.sendall(body)

    def getresponse(self) -> Any:
        """Reads the head of a response; its body is read by ``read1`` alone."""
        # Where the server closes the connection after this answer, it is forgotten by then.
        hang_up = partial(_hang_up, self.sock)
        try:
            response: Any = (
                super().getresponse() if self._sent is None else self._read_head(*self._sent)
            )
        except ConnectionError as error:
            if self._has_served:
                raise KeptConnectionLostError from error
            raise
        self._has_served = True
        self._last_headers = response.headers
        response.hang_up = hang_up
        return response

    @property
    def response_class(self) -> Any:  # type: ignore[override]
        """The class that reads responses, also a proxy's before there is a tunnel."""
        deadline = self.deadline
        return partial(ChunkedResponse, deadline=deadline) if deadline else ChunkedResponse

    @property
    def is_surely_kept(self) -> bool:
        """Whether it is safe for a request that must not be sent twice."""
        content_type = self._last_headers.get("content-type", "")
        return is_surely_kept(
            monotonic() - self._idle_since,
            after_stream=content_type.startswith("text/event-stream"),
            announced=announced_rest(self._last_headers.get("keep-alive")),
        )

    def rest(self) -> None:
        """Notes that the connection is idle from now on."""
        self._idle_since = monotonic()

    def _read_head(self, method: str, target: str) -> Any:
        self._sent = None
        self.sock.settimeout(self.timeout)
        response = self.response_class(self.sock, method=method)
        try:
            response.begin()
        except BaseException as error:
            response.close()
            if isinstance(error, ConnectionError):
                self.close()
            raise
        if response.will_close:
            self.close()  # The response has the socket still.
        if "content-encoding" not in response.headers:
            return PlainResponse(response)
        return HTTPResponse(
            body=response,
            headers=response.headers,
            status=response.status,
            version=response.version,
            version_string=f"HTTP/{response.version / 10}",
            reason=response.reason,
            preload_content=False,
            decode_content=False,
            original_response=response,
            request_method=method,
            request_url=target,
        )

    def _let_end(self) -> None:
        """Lets a cancel of the current call end this connection."""
        call = current_call()
        if call is not None and self.sock is not None:
            call.attach(partial(_hang_up, self.sock))


class TLSConnection(Connection, HTTPSConnection):
    """A connection over TLS that a pool keeps."""

    @property
    def is_connected(self) -> bool:
        """Whether it is open, and nothing has come that nobody has asked for.

        TLS may hold bytes back that it took off its socket, where no poll sees them: to the next
        request they would be its answer.
        """
        is_quiet = isinstance(self.sock, ssl.SSLSocket) and not self.sock.pending()
        return is_quiet and super().is_connected


def _hang_up(sock: Any) -> None:
    """Ends both directions of a connection; TLS inside TLS leaves that to the outer one."""
    getattr(sock, "socket", sock).shutdown(socket.SHUT_RDWR)


def _head(method: str, target: str, body: Any, headers: Mapping[str, str]) -> bytes | None:
    """Returns a request's head; None for a request that is left to urllib3.

    The caller of ``Transport.open`` may choose the method and the headers, whose values have
    been checked there; the target has been escaped when its route was found.
    """
    names = {name.lower() for name in headers}
    is_ordinary = (
        method.isascii()
        and method.isalpha()
        and "host" in names
        and "transfer-encoding" not in names
        and (body is None or isinstance(body, bytes))
        and target.isascii()
        and target.isprintable()
        and " " not in target
    )
    if not is_ordinary:
        return None
    lines = [f"{method} {target} HTTP/1.1"]
    if "content-length" not in names:
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        elif method not in _WITHOUT_BODY:
            lines.append("Content-Length: 0")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
