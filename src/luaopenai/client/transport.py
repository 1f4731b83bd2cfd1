"""The only file that sends: HTTP over urllib3's connections, which are kept for later requests."""

from __future__ import annotations

import logging
import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from http.client import IncompleteRead
from typing import Any, Protocol
from urllib.parse import urlsplit

import urllib3

from luaopenai._version import __version__
from luaopenai.client import cancel, retries
from luaopenai.client.cancel import check_cancelled, current_call
from luaopenai.client.deadlines import Deadline, TotalTimeoutError
from luaopenai.client.errors import APIConnectionError
from luaopenai.client.failures import (
    connection_error,
    is_worth_a_retry,
    public_url,
    was_sent,
    was_stale,
    without_frames,
)
from luaopenai.client.routes import Route, Routes
from luaopenai.client.settings import Settings, read_settings
from luaopenai.client.sse import has_end

_HEADERS = {
    "User-Agent": f"luaopenai/{__version__}",
    "Accept-Encoding": "gzip, deflate",
}
_HEADER_NAME = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_UNSAID = {"location", "set-cookie"}  # They may repeat or grant what is secret.
_LINE_END = re.compile(rb"[\r\n]")
_MEGABYTE = 1 << 20
_PIECE = 1 << 18
_DRAINED = 1 << 16  # bytes of a refused answer that are read, so that its connection can stay
_DRAIN_SECONDS = 1.0
_TAIL = 64  # bytes: an end of a stream may be cut in two

_log = logging.getLogger("luaopenai")
_forks = 0
"""How often this process has been forked from another: what was opened before is its parent's."""


def _note_fork() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):  # not where nothing can fork
    os.register_at_fork(after_in_child=_note_fork)


class Pace(Protocol):
    """Decides when this process may send, and is told what came of it; see ``set_pace``."""

    def before(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Any:
        """Waits until a request may be sent; returns what ``after`` is to be given, or None."""

    def after(
        self, sent: Any, status: int | None, headers: Mapping[str, str], failure: Exception | None
    ) -> Callable[[bytes], object] | None:
        """Takes the head of the answer, or None and why there is none (None when cancelled).

        Returns what takes the pieces of the body, and an empty one when it ends or is closed.
        """


_pace: Pace | None = None


def set_pace(pace: Pace | None) -> None:
    """Has every request of this process, from now on, ask before each time that it is sent."""
    global _pace
    _pace = pace


class RawResponse:
    """A status, the headers (names in lower case), and a body that has yet to be read."""

    def __init__(self, raw: Any, url: str, settings: Settings, deadline: Deadline) -> None:
        self.status: int = raw.status
        self.reason: str = raw.reason or ""
        self.headers = {name.lower(): value for name, value in raw.headers.items()}
        self._raw = raw
        self._hang_up = raw.hang_up
        self._url = url
        self._settings = settings
        self._deadline = deadline
        self._forks = _forks
        self._is_stream = self.headers.get("content-type", "").startswith("text/event-stream")
        self._is_coded = "content-encoding" in self.headers
        self._most = settings.max_response_mb * _MEGABYTE
        self._weight = 0
        """Bytes so far: of the body, or of a stream's last line."""
        self._is_whole = not self._ends_with_the_connection()
        self._tail = b""
        self._ahead: deque[bytes | APIConnectionError] = deque()
        """The pieces that ``read_ahead`` has read, or its failure."""
        self.observe: Callable[[bytes], object] | None = None
        """Takes each piece of the body as it comes, and once an empty one at the end."""

    @property
    def is_at_hand(self) -> bool:
        """Whether ``read_piece`` will not wait."""
        return bool(self._ahead)

    def read_ahead(self) -> None:
        """Waits for the first piece of the body, and reads on while that needs no wait."""
        pieces: list[bytes | APIConnectionError] = []
        try:
            while not pieces or (pieces[-1] and self._raw.closed):
                pieces.append(self.read_piece())
        except APIConnectionError as error:
            pieces.append(error)
        self._ahead.extend(pieces)

    def _ends_with_the_connection(self) -> bool:
        """Returns whether HTTP itself cannot tell the end of this event stream from a cut."""
        framed = {"transfer-encoding", "content-length"} & self.headers.keys()
        return self._is_stream and not framed

    def read_piece(self) -> bytes:
        """Returns the next piece of the body as it arrives; empty at the end.

        Raises ``APIConnectionError`` when the body is cut or too large or a time-out passes,
        and ``Cancelled`` when nobody waits any more.
        """
        if self._forks != _forks:
            where = public_url(self._url)
            raise APIConnectionError(f"the answer belongs to the process before the fork: {where}")
        if self._ahead:
            piece = self._ahead.popleft()
            if isinstance(piece, bytes):
                return piece
            raise piece
        return self._receive()

    def _receive(self) -> bytes:
        call = current_call()
        if call is not None and self._raw.connection is not None:
            call.attach(self._hang_up)
        try:
            if self._deadline.exists and self._deadline.is_over:
                raise TotalTimeoutError
            if self._is_coded or not self._raw.closed:
                piece: bytes = self._raw.read1(_PIECE, decode_content=True)
            else:
                piece = b""  # All of it has been read; urllib3 takes 10 µs to say so.
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            self.close()
            check_cancelled()
            raise self._failure(error) from None
        weight = self._weight
        self._weight += len(piece)
        if self._weight > self._most:
            self._weigh(piece, weight)
        elif self._is_stream and (line := piece.rfind(b"\n") + 1 or piece.rfind(b"\r") + 1):
            self._weight = len(piece) - line
        if not piece:
            self._raw.release_conn()
        if self.observe is not None:
            self._show(piece)
        if not self._is_whole:
            if not piece:
                raise self._failure(IncompleteRead(b""))
            self._tail += piece
            self._is_whole = has_end(self._tail)
            self._tail = self._tail[-_TAIL:]
        return piece

    def read(self) -> bytes:
        """Returns all of the body that has not been read, a stream's too."""
        self._is_stream = False
        return b"".join(self)

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read_piece():
            yield piece

    def discard(self) -> None:
        """Skips a short body, so that the connection can be used again; else closes it."""
        deadline = Deadline(min(_DRAIN_SECONDS, self._deadline.left()))
        left = _DRAINED
        try:
            sock = self._raw.connection and self._raw.connection.sock
            while sock and left > 0 and not deadline.is_over:
                sock.settimeout(deadline.within(self._settings.timeouts[1]))
                piece = self._raw.read1(left, decode_content=False)
                if not piece:
                    self._raw.release_conn()
                    break
                left -= len(piece)
        except (urllib3.exceptions.HTTPError, OSError, ValueError):
            pass
        self.close()

    def close(self) -> None:
        """Lets go of the connection; one whose body was not read to the end is closed."""
        self._ahead.clear()
        self._raw.close()
        self._raw.release_conn()
        if self.observe is not None:
            self._show(b"")

    def _show(self, piece: bytes) -> None:
        """Shows a piece of the body to who observes it; nothing after the end."""
        observe = self.observe
        if not piece:
            self.observe = None
        if observe is not None:
            observe(piece)

    def _weigh(self, piece: bytes, before: int) -> None:
        """Raises ``APIConnectionError`` for a response, or a line of a stream, that is too big."""
        lines = _LINE_END.split(piece) if self._is_stream else [piece]
        first, *others = map(len, lines)
        self._weight = others[-1] if others else before + first
        if max(before + first, *others, 0) <= self._most:
            return
        self.close()
        what = "a line of the stream" if self._is_stream else "the answer"
        limit = f"max_response_mb = {self._settings.max_response_mb:g}"
        raise APIConnectionError(f"{what} is larger than {limit}: {public_url(self._url)}")

    def _failure(self, error: Exception) -> APIConnectionError:
        return _connection_error(error, self._url, self._settings, self._deadline)


class Transport:
    """Sends requests over kept connections, and again where that is sound.

    Args:
        settings: how; the defaults, with the environment's certificates, when None.

    The environment's proxies (``HTTPS_PROXY``, ``NO_PROXY`` and so on) are read once for each
    server. ``.netrc`` is not read: it would put another key in place of the caller's.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or read_settings({})
        self.pace: Pace | None = None
        """Goes over that of the process; see ``set_pace``."""
        self._begin()
        _start_logging()

    def _begin(self) -> None:
        """Begins without connections."""
        self._forks = _forks
        self._routes = Routes(self.settings.pool_size)

    def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        settings: Settings | None = None,
        before_send: Callable[[Exception | None], object] | None = None,
    ) -> RawResponse:
        """Sends a request; returns once the head of a response is there that asks for no retry.

        Args:
            method: the HTTP method.
            url: the full URL.
            headers: go over the transport's own.
            body: what to send, if anything.
            settings: for this request, in place of the transport's; its pool size has no effect.
            before_send: called each time that the request is about to be sent, with the failure of
                the try before, None where there was none or an answer has refused it; what it
                raises ends the call.

        Raises:
            ValueError: the URL or a header cannot be sent.
            APIConnectionError: no answer came.
            Cancelled: nobody waits any more.
        """
        _check_headers(headers)
        settings = settings or self.settings
        deadline = Deadline(settings.total_timeout)
        route = self._route(url, settings, deadline)
        sent = _merged({**_HEADERS, **route.headers}, headers)
        retry = 0
        failure: Exception | None = None
        check_cancelled()
        while True:
            pace = self.pace or _pace
            asked = time.monotonic() if pace else 0.0
            paced = pace.before(method, url, body, headers) if pace else None
            if paced is not None:
                # To wait for one's turn is no fault of the server's.
                deadline.extend(time.monotonic() - asked)
            if before_send is not None:
                try:
                    before_send(failure)
                except BaseException:
                    if pace and paced is not None:
                        pace.after(paced, None, {}, None)
                    raise
            response: RawResponse | None = None
            failure = None
            started = time.perf_counter()
            try:
                connect, read = map(deadline.within, settings.timeouts)
                raw = route.pool.ask(method, route.target, body, sent, (connect, read), deadline)
            except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                failure = without_frames(error)
            except BaseException:
                if pace and paced is not None:
                    pace.after(paced, None, {}, None)
                raise
            else:
                response = RawResponse(raw, url, settings, deadline)
            if pace and paced is not None:
                _tell(pace, paced, response, failure)
            _log_attempt(method, url, response, failure, started, retry)
            if failure:
                check_cancelled()
            if (
                failure
                and was_stale(failure)
                and retries.is_repeatable(method, url)
                and not deadline.is_over
            ):
                continue
            pause = None
            if retry < settings.max_retries and _is_to_be_repeated(method, url, response, failure):
                pause = retries.pause(retry, response.headers if response else None)
            if pause is None or pause >= deadline.left():
                if response is None:
                    assert failure is not None
                    raise _connection_error(failure, url, settings, deadline) from None
                return response
            if response:
                response.discard()
            cancel.pause(pause)
            retry += 1

    def close(self) -> None:
        """Closes every connection that is not in use."""
        self._routes.close()

    def _route(self, url: str, settings: Settings, deadline: Deadline) -> Route:
        if self._forks != _forks:
            # Connections are the parent's after a fork. Letting go of them closes this process's
            # descriptors, and says nothing to the servers, not even over TLS.
            self._begin()
        try:
            return self._routes.find(url, settings.proxy, settings.verify)
        except urllib3.exceptions.SSLError as error:
            raise _connection_error(error, url, settings, deadline) from None


def _tell(pace: Pace, paced: Any, answer: RawResponse | None, failure: Exception | None) -> None:
    """Tells what has decided when to send what came of it."""
    if answer is None:
        pace.after(paced, None, {}, failure)
    else:
        answer.observe = pace.after(paced, answer.status, answer.headers, None)


def _connection_error(
    failure: Exception, url: str, settings: Settings, deadline: Deadline
) -> APIConnectionError:
    error = without_frames(failure)
    if deadline.is_over:
        error = TotalTimeoutError(error)
    return connection_error(error, url, settings)


def _is_to_be_repeated(
    method: str, url: str, response: RawResponse | None, failure: BaseException | None
) -> bool:
    if response:
        return retries.is_refusal(response.status, response.headers)
    assert failure is not None
    if not is_worth_a_retry(failure):
        return False
    return not was_sent(failure) or retries.is_repeatable(method, url)


def _merged(ours: Mapping[str, str], given: Mapping[str, str]) -> Mapping[str, str]:
    """Returns the headers of a request; those that are given go over ours, whatever their case."""
    names = {name.lower() for name in given}
    merged = {name: value for name, value in ours.items() if name.lower() not in names}
    merged.update(given)
    if len(names) == len(given):
        return merged
    # Of those that are given twice, the last holds. This class knows, but takes 20 µs more.
    folded = urllib3.HTTPHeaderDict()
    folded.update(merged)
    return folded


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"header {name!r}: no header can have such a name")
        if not _HEADER_VALUE.fullmatch(value):
            what = "the API key" if name.lower() == "authorization" else "its value"
            raise ValueError(
                f"header {name}: {what} holds a character that no header can carry, such as a"
                " line break"
            )


def _log_attempt(
    method: str,
    url: str,
    response: RawResponse | None,
    failure: BaseException | None,
    started: float,
    retry: int,
) -> None:
    if not _log.isEnabledFor(logging.INFO):
        return
    took = (time.perf_counter() - started) * 1e3
    path = urlsplit(public_url(url)).path or "-"
    status = response.status if response else type(failure).__name__
    request_id = response.headers.get("x-request-id", "-") if response else "-"
    _log.info("%s %s %s %.0f ms %s attempt %d", method, path, status, took, request_id, retry + 1)
    if response:
        said = {name: text for name, text in response.headers.items() if name not in _UNSAID}
        _log.debug("%s answered %s", public_url(url), said)


def _start_logging() -> None:
    """Logs a line for each request to standard error if ``OPENAI_LOG`` is ``info`` or ``debug``."""
    level = {"info": logging.INFO, "debug": logging.DEBUG}.get(os.environ.get("OPENAI_LOG", ""))
    if level and not _log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("luaopenai: %(message)s"))
        _log.addHandler(handler)
        _log.setLevel(level)
