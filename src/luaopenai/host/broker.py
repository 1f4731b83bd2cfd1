"""What a plugin gets from its host: functions, the model, output, modules; and what each costs.

The broker runs in the host. It is all that a plugin can reach outside its own Lua.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from luaopenai.client.sse import Decoder
from luaopenai.host import wire
from luaopenai.host.limits import LimitExceeded, Limits, Usage

if TYPE_CHECKING:
    from luaopenai.client.openai import OpenAI
    from luaopenai.client.transport import Answer

BASE_URL = "https://host.invalid/v1"
"""What a plugin sees as its client's ``api_base``; the host puts its own in its place."""

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
        self.begin()

    @property
    def function_names(self) -> list[str]:
        """The names that the plugin finds in ``host``."""
        return sorted(self._functions)

    def begin(self) -> None:
        """Start a new call's account."""
        self._requests = self._tokens = 0

    def host(self, name: str, arguments: bytes | None) -> bytes | None:
        """Call a function of the host."""
        result = self._functions[name](*wire.decode(arguments))
        results = result if isinstance(result, tuple) else (result,)
        return wire.encode(results, f"host.{name}: result")

    def write(self, text: bytes) -> None:
        """Take what the plugin prints."""
        self._output(text.decode("utf-8", "replace"))

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
        answer = self._client._open(method, path, payload, {})
        return Reading(answer, lambda tokens: self._charge(tokens=tokens))

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
        if payload.get("stream") and path == "/chat/completions":
            # Without it a stream does not tell its tokens.
            payload["stream_options"] = {"include_usage": True}
        return json.dumps(payload, ensure_ascii=False).encode()

    def _charge(self, requests: int = 0, tokens: int = 0) -> None:
        """Book what is used; raises ``Stop`` when it is more than a limit allows."""
        with self._totals.lock:
            self._totals.requests += requests
            self._totals.tokens += tokens
            total_requests, total_tokens = self._totals.requests, self._totals.tokens
        self._requests += requests
        self._tokens += tokens
        self.usage.requests += requests
        self.usage.tokens += tokens
        used = {
            "requests": self._requests,
            "tokens": self._tokens,
            "total_requests": total_requests,
            "total_tokens": total_tokens,
        }
        for kind, amount in used.items():
            limit = getattr(self.limits, kind)
            spent = amount >= limit if requests and "tokens" in kind and limit else False
            if limit is not None and (amount > limit or spent):
                self._unbook(requests)
                raise Stop(LimitExceeded(kind, limit, amount, self.name))

    def _unbook(self, requests: int) -> None:
        """A request that was stopped is not sent."""
        with self._totals.lock:
            self._totals.requests -= requests
        self._requests -= requests
        self.usage.requests -= requests


class Reading:
    """An answer on its way to a plugin; counts its tokens."""

    def __init__(self, answer: Answer, charge: Callable[[int], object]) -> None:
        self.status = answer.status
        self.reason = answer.reason
        self.headers = answer.headers
        self._answer = answer
        self._charge = charge
        self._tokens = 0
        self._is_stream = "text/event-stream" in answer.headers.get("content-type", "")
        self._body: list[bytes] = []
        self._decoder = Decoder(self._count)

    def read(self) -> bytes | None:
        """The next piece, None at the end."""
        piece = self._answer.read_piece()
        if self._is_stream:
            self._decoder.feed(piece) if piece else self._decoder.close()
        elif piece:
            self._body.append(piece)
        if piece:
            return piece
        if not self._is_stream:
            self._count(b"".join(self._body))
        tokens, self._tokens = self._tokens, 0
        self._charge(tokens)
        return None

    def close(self) -> None:
        """Let go of the connection; what a broken-off stream has cost is not known."""
        self._answer.close()

    def _count(self, data: bytes) -> bool:
        """Take the tokens from an answer or an event that tells them."""
        try:
            event = json.loads(data)
        except ValueError:
            return False
        if isinstance(event, dict):
            response = event.get("response")
            usage = event.get("usage") or (isinstance(response, dict) and response.get("usage"))
            total = usage.get("total_tokens") if isinstance(usage, dict) else None
            if isinstance(total, int | float):
                self._tokens = max(self._tokens, int(total))
        return True


def plugin_folder(path: Path) -> Path:
    """The folder of a plugin's file."""
    return Path(os.path.abspath(path)).parent
