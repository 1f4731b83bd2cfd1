"""What a plugin gets from its host: functions, the model, output, modules; and what each costs.

The broker runs in the host. It is all that a plugin can reach outside its own Lua.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from luaopenai.client.cancel import Cancelled
from luaopenai.client.errors import APIConnectionError
from luaopenai.client.sse import Decoder
from luaopenai.host import wire
from luaopenai.host.errands import Errands
from luaopenai.host.limits import LimitExceeded, Limits, Usage

if TYPE_CHECKING:
    from luaopenai.client.openai import OpenAI
    from luaopenai.client.transport import Answer

BASE_URL = "https://host.invalid/v1"
"""What a plugin sees as its client's ``api_base``; the host puts its own in its place."""

BYTES_OF_A_TOKEN = 4
"""About how many; for what no server tells."""

_log = logging.getLogger("luaopenai.plugins")
_STREAMS = ("/chat/completions", "/completions")
_HEADERS = {"content-type", "date", "openai-processing-ms", "retry-after", "x-request-id"}
"""What a plugin is told of an answer's headers, beside ``x-ratelimit-...``: no organization."""

_ENDPOINTS = {
    ("POST", "/chat/completions"),
    ("POST", "/completions"),
    ("POST", "/embeddings"),
    ("POST", "/moderations"),
    ("POST", "/responses"),
    ("GET", "/models"),
}


class Totals:
    """What all plugins of a host have used together."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.requests = 0
        self.tokens = 0


class Stop(BaseException):
    """Ends a plugin's call whatever ``pcall`` it is in; carries the ``LimitExceeded``."""

    def __init__(self, exceeded: LimitExceeded) -> None:
        super().__init__(exceeded)
        self.exceeded = exceeded


class Broker:
    """Serves one plugin.

    What the plugin waits for is done in the caller's thread; ``errands`` does what its tasks wait
    for, several at once, in threads of their own.

    Args:
        name: the plugin's name.
        client: makes its requests, if it may make any.
        functions: the host's functions.
        models: the models that it may ask; None for any.
        limits: of each call, and of the host.
        totals: shared by all plugins of the host.
        output: is given what it prints.
        folder: where its modules are, if it may have some.
    """

    def __init__(
        self,
        name: str,
        client: OpenAI | None,
        functions: Mapping[str, Callable[..., Any]],
        models: frozenset[str] | None,
        limits: Limits,
        totals: Totals,
        output: Callable[[str], object],
        folder: Path | None,
    ) -> None:
        self.name = name
        self.limits = limits
        self.usage = Usage()
        self._client = client
        self._functions = functions
        self._models = models
        self._totals = totals
        self._output = output
        self._folder = folder
        self._readings: list[Reading] = []
        self.errands = Errands(self, self._check_memory)
        self.begin()

    @property
    def function_names(self) -> list[str]:
        """The names that the plugin finds in ``host``."""
        return sorted(self._functions)

    def begin(self) -> None:
        """Start a new call's account."""
        self._requests = self._tokens = 0

    def end(self) -> None:
        """End a call: what it has left open is closed, and its cost booked."""
        self.errands.end()
        while self._readings:
            self._readings.pop().close()

    def conclude(self) -> None:
        """``end`` for a call that has succeeded.

        Raises ``Stop`` when what it has broken off took more tokens than there were.
        """
        if self._requests:
            self.end()
            self._check()

    def values(self, text: bytes | None) -> list[Any]:
        """The values that the plugin sends; it shall not fill the host's memory with them."""
        self._check_memory(wire.weight(text))
        return wire.decode(text)

    def _check_memory(self, size: int) -> None:
        """Raises ``Stop`` when so many bytes are more than the plugin may make the host hold."""
        limit, used = self.limits.memory_mb, size / 2**20
        if limit is not None and used > limit:
            raise Stop(LimitExceeded("memory_mb", limit, used, self.name))

    def host(self, name: str, arguments: bytes | None) -> bytes | None:
        """Call a function of the host; raises ``ValueError`` for whatever it raises."""
        try:
            result = self._functions[name](*self.values(arguments))
            results = result if isinstance(result, tuple) else (result,)
            return wire.encode(results, "result")
        except Exception as error:
            _log.debug("%s: host.%s failed", self.name, name, exc_info=error)
            raise ValueError(f"host.{name}: {describe(error)}") from error

    def write(self, text: bytes) -> None:
        """Take what the plugin prints."""
        try:
            self._output(text.decode("utf-8", "replace"))
        except Exception as error:
            raise ValueError(f"the host's output: {describe(error)}") from error

    def module(self, name: str) -> bytes:
        """The source of a module below the plugin's folder."""
        assert self._folder is not None
        parts = name.split(".")
        if not all(part.replace("_", "").replace("-", "").isalnum() for part in parts):
            raise ValueError(f"module '{name}' is not a name of a plugin's module")
        base = self._folder.resolve()
        for candidate in (
            base.joinpath(*parts).with_suffix(".lua"),
            base.joinpath(*parts, "init.lua"),
        ):
            if candidate.is_file():
                if not candidate.resolve().is_relative_to(base):
                    raise ValueError(f"module '{name}' lies outside the plugin's folder")
                return candidate.read_bytes()
        raise ValueError(f"module '{name}' not found")

    def open(self, method: str, url: str, body: bytes | None) -> Reading:
        """Send a request to the host's own server, with the host's own key."""
        if self._client is None:
            raise ValueError("this plugin's host has no client: it cannot ask a model")
        path = self._path(method, url)
        payload = self._payload(path, body)
        self._charge(requests=1)
        asked = len(payload or b"")
        try:
            answer = self._client._open(method, path, payload, {})
            if answer.status == 401:
                # Servers repeat parts of a key that they refuse.
                answer.close()
                raise ValueError("the server refuses the host's key (status 401)")
            reading = Reading(answer, asked, self._book_tokens, self._check)
        except APIConnectionError as error:
            _log.warning("%s: %s", self.name, error)
            raise ValueError("the host cannot reach its server") from None
        except Cancelled:
            self._book_tokens(asked // BYTES_OF_A_TOKEN)
            raise
        self._readings.append(reading)
        return reading

    def _path(self, method: str, url: str) -> str:
        if not url.startswith(BASE_URL + "/"):
            raise ValueError("a plugin cannot choose its server: requests go to its host's")
        path = urlsplit(url).path.removeprefix(urlsplit(BASE_URL).path)
        if (method, path) not in _ENDPOINTS:
            raise ValueError(f"{method} {path} is not for plugins")
        return path

    def _payload(self, path: str, body: bytes | None) -> bytes | None:
        if body is None:
            return None
        payload = json.loads(body)
        if not isinstance(payload, dict):
            raise ValueError("a request's payload is a table with names")
        model = payload.get("model")
        if self._models is not None and model not in self._models:
            allowed = ", ".join(sorted(self._models))
            raise ValueError(f"model {model!r} is not for this plugin; there are: {allowed}")
        if payload.get("background"):
            raise ValueError("a plugin cannot ask for what goes on in the background")
        if payload.get("stream") and path in _STREAMS:
            # Without it a stream does not tell its tokens.
            payload["stream_options"] = {"include_usage": True}
        return json.dumps(payload, ensure_ascii=False).encode()

    def _charge(self, requests: int) -> None:
        """Book requests before they are sent; raises ``Stop`` when a limit forbids them."""
        with self._totals.lock:
            used = {
                "requests": self._requests + requests,
                "total_requests": self._totals.requests + requests,
            }
            self._check_limits(used)
            # With all tokens used, the next answer is too much.
            spent = {"tokens": self._tokens, "total_tokens": self._totals.tokens}
            self._check_limits(spent, spare=1)
            self._totals.requests += requests
            self._requests += requests
            self.usage.requests += requests

    def _book_tokens(self, tokens: int) -> None:
        with self._totals.lock:
            self._totals.tokens += tokens
            self._tokens += tokens
            self.usage.tokens += tokens

    def _check(self) -> None:
        """Raises ``Stop`` when more tokens are used than a limit allows."""
        self._check_limits({"tokens": self._tokens, "total_tokens": self._totals.tokens})

    def _check_limits(self, used: Mapping[str, int], spare: int = 0) -> None:
        for kind, amount in used.items():
            limit = getattr(self.limits, kind)
            if limit is not None and amount + spare > limit:
                raise Stop(LimitExceeded(kind, limit, amount, self.name))


class Reading:
    """An answer on its way to a plugin; counts its tokens.

    Args:
        answer: what the server sends.
        asked: bytes of the request.
        book: is given the tokens, once.
        check: raises ``Stop`` when they are too many.

    A stream that is broken off does not tell what it has cost: then an event counts as a token, and
    so do four bytes of the request. Of an answer that was not waited for, those alone count.
    """

    def __init__(
        self,
        answer: Answer,
        asked: int,
        book: Callable[[int], object],
        check: Callable[[], object],
    ) -> None:
        self.status = answer.status
        self.reason = answer.reason
        self.headers = {
            name: value
            for name, value in answer.headers.items()
            if name in _HEADERS or name.startswith("x-ratelimit-")
        }
        self._answer = answer
        self._book = book
        self._check = check
        self._told: int | None = None
        self._events = 0
        self._asked = asked
        self._is_open = True
        self._lock = threading.Lock()
        self._is_stream = "text/event-stream" in answer.headers.get("content-type", "")
        self._decoder = Decoder(self._count)
        self._whole: bytes | None = None
        if not self._is_stream:
            # Whether or not the plugin reads it, it has cost what it says at its end.
            self._whole = answer.read()
            self._count(self._whole)
            self._finish()
            check()

    def read_piece(self) -> bytes | None:
        """The next piece, None at the end."""
        if not self._is_stream:
            piece, self._whole = self._whole, None
            return piece or None
        if not self._is_open:
            raise ValueError("this answer is closed")
        piece = self._answer.read_piece()
        if piece:
            self._decoder.feed(piece)
            return piece
        self._decoder.close()
        self._finish()
        self._check()
        return None

    def close(self) -> None:
        """Let go of the connection."""
        if self._is_open:
            self._finish()
            self._answer.close()

    def _finish(self) -> None:
        with self._lock:
            if not self._is_open:
                return
            self._is_open = False
        guess = self._events + self._asked // BYTES_OF_A_TOKEN if self._is_stream else 0
        self._book(guess if self._told is None else self._told)

    def _count(self, data: bytes) -> bool:
        """Take the tokens from an answer or an event that tells them."""
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            return False
        self._events += 1
        if isinstance(event, dict):
            response = event.get("response")
            usage = event.get("usage") or (isinstance(response, dict) and response.get("usage"))
            total = usage.get("total_tokens") if isinstance(usage, dict) else None
            if isinstance(total, int | float):
                self._told = max(self._told or 0, int(total))
        return True


def describe(error: Exception) -> str:
    """A host's exception for a plugin: its text, and its type where that tells something."""
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


def plugin_folder(path: Path) -> Path:
    """The folder of a plugin's file."""
    return Path(os.path.abspath(path)).parent
