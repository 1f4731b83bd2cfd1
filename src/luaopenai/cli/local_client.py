"""The client of ``luaopenai run --local``: it says what the embedded model cannot do."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from luaopenai.client.doors import speak_through
from luaopenai.client.openai import OpenAI
from luaopenai.client.transport import RawResponse, Transport
from luaopenai.local import shortcoming


def local_client(base_url: str, *, is_embedded: bool) -> OpenAI:
    """Returns a client of a ``LocalServer``.

    Args:
        base_url: the server's.
        is_embedded: whether its model is the embedded one.
    """
    client = OpenAI(None, base_url)
    # The environment's key is for others.
    speak_through(client, _TellingTransport(base_url, is_embedded), api_key=None)
    return client


class _TellingTransport(Transport):
    """Says on standard error, once each, what requests ask of the model in vain."""

    def __init__(self, base_url: str, is_embedded: bool) -> None:
        super().__init__()
        self._base_url = base_url
        self._is_embedded = is_embedded
        self._said: set[str] = set()

    def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *more: Any,
    ) -> RawResponse:
        """Sends a request, and says what it asks for in vain; see ``Transport.open``."""
        response = super().open(method, url, headers, body, *more)
        if url.startswith(self._base_url):
            path = url[len(self._base_url) :].partition("?")[0]
            self._say(shortcoming(path, body, response.status, is_embedded=self._is_embedded))
        return response

    def _say(self, what: str | None) -> None:
        if what and what not in self._said:
            self._said.add(what)
            print(f"luaopenai: the local model {what}", file=sys.stderr)
