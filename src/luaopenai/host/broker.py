"""Gives a plugin functions, the model, output and modules of its host, and books their cost.

The broker runs in the host. It is all that a plugin can reach outside its own Lua.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from luaopenai.bridge.errors import Causes
from luaopenai.client.cancel import Cancelled
from luaopenai.client.doors import open_response
from luaopenai.client.endpoints import ENDPOINTS
from luaopenai.client.errors import APIConnectionError, APITimeoutError
from luaopenai.client.urls import add_query
from luaopenai.host import wire
from luaopenai.host.faults import LimitExceeded, Stop, describe
from luaopenai.host.limits import Limits, Usage
from luaopenai.host.operations import Operations
from luaopenai.host.response import PluginResponse
from luaopenai.host.setup import BASE_URL
from luaopenai.host.tokens import WRITTEN, TokenCount, asked_tokens, check_amounts, hold_to

if TYPE_CHECKING:
    from luaopenai.client.openai import OpenAI

_log = logging.getLogger("luaopenai.plugins")
_ENCODE = json.JSONEncoder(ensure_ascii=False).encode
_STREAMS = ("/chat/completions", "/completions")
_GUARDED = {
    "background",
    "best_of",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "model",
    "n",
    "stream",
    "stream_options",
}
"""The fields of a payload that decide what a request may ask for, or what it costs."""

_ENDPOINTS = {
    (endpoint.method, endpoint.path): endpoint
    for endpoint in ENDPOINTS.values()
    if endpoint.plugins
}

_PAGING = ("limit", "order")
"""The fields of a list's query beside the one that asks for the next page."""

_LONGEST_QUERY = 4096
"""Bytes: more than any server's cursor comes to."""


class Totals:
    """The account of all plugins of a host together."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.requests = 0
        self.tokens = 0


class Broker:
    """Serves one plugin.

    It checks and does what ``operations`` describes: for the plugin itself in the caller's thread,
    for the plugin's tasks in threads of their own, several at once.

    Args:
        name: the plugin's name.
        client: makes its requests, if it may make any.
        functions: the host's functions.
        models: the models that it may ask; None for any.
        limits: of each call, and of the host.
        totals: shared by all plugins of the host.
        output: is given what it prints.
        folder: where its modules are, if it may have some.

    Attributes:
        work_seconds: how long the host has worked on what the plugin sent, all calls together.
            That time is the plugin's own; the network's and the host functions' is not.
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
        self.work_seconds = 0.0
        self._client = client
        self._functions = functions
        self._models = models
        self._totals = totals
        self._output = output
        self._folder = folder
        self._held = 0
        self._holding = threading.Lock()
        self.operations = Operations(self)
        self.causes = Causes()
        """The exceptions that may be the cause of a call's failure."""
        self.begin()

    @property
    def function_names(self) -> list[str]:
        """The names that the plugin finds in ``host``."""
        return sorted(self._functions)

    @property
    def default_model(self) -> str | None:
        """The model where the plugin names none; None without a client."""
        return self._client.default_model if self._client else None

    def begin(self) -> None:
        """Begins the account of a new call."""
        self._requests = self._tokens = self._said = 0

    def end(self) -> None:
        """Ends a call: closes what it has left open, and books its cost."""
        self.operations.end()
        self.causes.clear()

    def conclude(self) -> None:
        """Ends the requests of a call that has succeeded.

        Raises ``Stop`` when what it has broken off took more tokens than there were.
        """
        if self._requests:
            self.operations.end()
            self.check_tokens()

    def leave_to_parent(self) -> None:
        """Forgets, in a process that was forked off, everything under way in its parent."""
        self._totals.lock, self._holding = threading.Lock(), threading.Lock()
        self._held = 0
        self.operations.leave_to_parent()
        self.causes = Causes()

    def values(self, text: bytes | None) -> list[Any]:
        """Decodes values from the plugin, unless they would fill the host's memory."""
        self.check_memory(wire.weight(text))
        return wire.decode(text)

    def check_memory(self, size: int) -> None:
        """Raises ``Stop`` when so many bytes are more than the plugin may make the host hold."""
        limit, used = self.limits.memory_mb, size / 2**20
        if limit is not None and used > limit:
            raise Stop(LimitExceeded("memory_mb", limit, used, self.name))

    def hold(self, size: int) -> None:
        """Counts bytes of responses that the host holds from now on, or fewer of them if negative.

        Raises ``Stop`` when they are more than the plugin may make the host hold.
        """
        with self._holding:
            self._held += size
            held = self._held
        if size > 0:
            self.check_memory(held)

    def prepare_host(self, name: str, arguments: bytes | None) -> Callable[[], bytes | None]:
        """Decodes the arguments for a function of the host; returns a function that calls it.

        That raises ``ValueError`` for whatever the function raises.
        """
        begun = time.monotonic()
        try:
            values = self.values(arguments)
        finally:
            self.work_seconds += time.monotonic() - begun
        return lambda: self._call(name, values)

    def _call(self, name: str, values: list[Any]) -> bytes | None:
        try:
            result = self._functions[name](*values)
            results = result if isinstance(result, tuple) else (result,)
            return wire.encode(results, "result")
        except Exception as error:
            _log.debug("%s: host.%s failed", self.name, name, exc_info=error)
            text = f"host.{name}: {describe(error)}"
            self.causes.note(text, error)
            raise ValueError(text) from error

    def write(self, text: bytes) -> None:
        """Hands the plugin's output to the host.

        The plugin's own Lua counts it, too; a worker may have been broken.
        """
        self._said += len(text)
        limit = self.limits.output_kb
        if limit is not None and self._said > limit * 1024:
            raise Stop(LimitExceeded("output_kb", limit, self._said / 1024, self.name))
        try:
            self._output(text.decode("utf-8", "replace"))
        except Exception as error:
            raise ValueError(f"the host's output: {describe(error)}") from error

    def module(self, name: str) -> bytes:
        """Returns the source of a module in the plugin's folder."""
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
                return self._read(candidate)
        raise ValueError(f"module '{name}' not found")

    def _read(self, path: Path) -> bytes:
        """Reads a file, unless it is larger than the plugin may make the host hold."""
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            self.check_memory(size)
            return file.read(size)

    def prepare_open(
        self, method: str, url: str, body: bytes | None
    ) -> Callable[[], PluginResponse]:
        """Checks a request; returns a function that sends it.

        To look through a payload takes the host's time, which is the plugin's own: see
        ``work_seconds``. A payload that is too heavy, or a request that no limit leaves room for,
        is refused before that.
        """
        client = self._client
        if client is None:
            raise ValueError("this plugin's host has no client: it cannot ask a model")
        path, query = _find_target(method, url)
        with self._totals.lock:
            self._check_room()
        begun = time.monotonic()
        try:
            self.check_memory(wire.weight(body))
            payload = self._payload(method, path, body)
            sent = _ENCODE(payload).encode() if payload else None
        finally:
            self.work_seconds += time.monotonic() - begun
        asked = asked_tokens(payload or {})
        count = TokenCount(len(sent or b""), asked, is_written=path in WRITTEN)
        target = add_query(path, query)
        return lambda: self._send(client, method, target, sent, count)

    def _send(
        self, client: OpenAI, method: str, path: str, body: bytes | None, count: TokenCount
    ) -> PluginResponse:
        # Not above: a worker imports this module, too, and urllib3 with it would double its start.
        from luaopenai.client.failures import was_sent, was_stale

        lost = 0
        """How many tries a server may have worked for although no answer came of them."""
        is_under_way = False

        def charge(failure: Exception | None) -> None:
            nonlocal lost, is_under_way
            is_under_way = False
            if failure is not None and was_sent(failure) and not was_stale(failure):
                lost += 1
            self._charge()
            is_under_way = True

        try:
            response = open_response(client, method, path, body, charge)
        except APIConnectionError as error:
            lost += error.was_sent
            raise self._network_error(error, "the host cannot reach its server") from None
        except ValueError as error:
            raise self._network_error(error, "the host cannot send to its server") from None
        except (Cancelled, KeyboardInterrupt):
            lost += is_under_way
            raise
        finally:
            if lost:
                self.book_tokens(lost * count.total())
        if response.status == 401:
            # Servers repeat parts of a key that they refuse.
            response.close()
            raise ValueError("the server refuses the host's key (status 401)")
        return PluginResponse(response, count, self)

    def cut_off(self, error: APIConnectionError) -> ValueError:
        """Returns the error for a plugin whose response did not come to its end."""
        is_late = isinstance(error, APITimeoutError)
        how = "did not go on in time" if is_late else "was cut off"
        return self._network_error(error, f"the answer of the host's server {how}")

    def _network_error(self, error: Exception, text: str) -> ValueError:
        """Returns the error for a plugin, which is not to learn where the server is."""
        _log.warning("%s: %s", self.name, error)
        self.causes.note(text, error)
        return ValueError(text)

    def _payload(self, method: str, path: str, body: bytes | None) -> dict[str, Any] | None:
        if method == "GET":
            return None
        payload = json.loads(body or b"null")
        if not isinstance(payload, dict):
            raise ValueError("a request's payload is a table with names")
        for name in payload:
            # Some servers read {"Model": …} as they do {"model": …}, whichever comes last.
            if name.casefold() in _GUARDED and name not in _GUARDED:
                raise ValueError(f"payload.{name}: a plugin writes it as {name.casefold()!r}")
        model = payload.get("model")
        if self._models is not None and model not in self._models:
            allowed = ", ".join(sorted(self._models))
            raise ValueError(f"model {model!r} is not for this plugin; there are: {allowed}")
        check_amounts(payload)
        left = self._tokens_left()
        if left is not None:
            hold_to(payload, left)
        if payload.get("background"):
            raise ValueError("a plugin cannot ask for what goes on in the background")
        if payload.get("stream") and path in _STREAMS:
            # Without it a stream does not tell its tokens.
            payload["stream_options"] = {"include_usage": True}
        return payload

    def _charge(self) -> None:
        """Books a request just before it is sent; raises ``Stop`` when a limit forbids it."""
        with self._totals.lock:
            self._check_room()
            self._totals.requests += 1
            self._requests += 1
            self.usage.requests += 1

    def _check_room(self) -> None:
        """Raises ``Stop`` unless the limits leave room for one more request."""
        requests, total = self._requests + 1, self._totals.requests + 1
        self._check_limits(requests=requests, total_requests=total)
        # With all tokens used, the next answer is too much.
        self._check_limits(1, tokens=self._tokens, total_tokens=self._totals.tokens)

    def _tokens_left(self) -> int | None:
        limits = self.limits
        with self._totals.lock:
            spent = (limits.tokens, self._tokens), (limits.total_tokens, self._totals.tokens)
        return min((limit - used for limit, used in spent if limit is not None), default=None)

    def book_tokens(self, tokens: int) -> None:
        """Adds tokens to what this call, the plugin and its host have used."""
        with self._totals.lock:
            self._totals.tokens += tokens
            self._tokens += tokens
            self.usage.tokens += tokens

    def check_tokens(self) -> None:
        """Raises ``Stop`` when more tokens are used than a limit allows."""
        self._check_limits(tokens=self._tokens, total_tokens=self._totals.tokens)

    def _check_limits(self, spare: int = 0, **used: int) -> None:
        for kind, amount in used.items():
            limit = getattr(self.limits, kind)
            if limit is not None and amount + spare > limit:
                raise Stop(LimitExceeded(kind, limit, amount, self.name))


def _find_target(method: str, url: str) -> tuple[str, dict[str, str]]:
    """Returns the path below the base URL that a plugin asks for, and the query to send with it.

    The client's own query is the host's: where an endpoint takes none, the plugin's has no effect.
    Raises ``ValueError`` for what is not for plugins.
    """
    if not url.startswith(BASE_URL + "/"):
        raise ValueError("a plugin cannot choose its server: requests go to its host's")
    parts = urlsplit(url)
    path = parts.path.removeprefix(urlsplit(BASE_URL).path)
    endpoint = _ENDPOINTS.get((method, path))
    if endpoint is None:
        raise ValueError(f"{method} {path} is not for plugins")
    if endpoint.pages is None:
        return path, {}
    if len(parts.query) > _LONGEST_QUERY:
        text = f"a plugin's query is at most {_LONGEST_QUERY} bytes long"
        raise ValueError(f"{method} {path}: {text}")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    known = endpoint.pages, *_PAGING
    for name in query:
        if name not in known:
            text = f"{name!r} is not for plugins; a query may have {', '.join(known)}"
            raise ValueError(f"{method} {path}: {text}")
    return path, query
