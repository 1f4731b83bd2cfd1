"""The package's own ways to a client's private fields; no part of the interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from luaopenai.client.openai import OpenAI
    from luaopenai.client.servers import Provider
    from luaopenai.client.transport import RawResponse, Transport


class Connection(NamedTuple):
    """A client's server, key, transport and default model."""

    base_url: str
    api_key: str | None
    transport: Transport
    default_model: str


def connection_of(client: OpenAI) -> Connection:
    """Returns the connection that a ``Runtime`` gives its scripts."""
    return Connection(client.base_url, client._api_key, client._transport, client.default_model)


def home_of(client: OpenAI) -> Provider:
    """Returns the company whose server a client's class is for."""
    return client._home()


def speak_through(client: OpenAI, transport: Transport, api_key: str | None) -> None:
    """Makes a client send through another transport, with another key."""
    client._transport.close()
    client._transport, client._api_key = transport, api_key


def open_response(
    client: OpenAI,
    method: str,
    path: str,
    body: bytes | None,
    before_send: Callable[[Exception | None], object],
) -> RawResponse:
    """Sends a request to a client's server, with its key; see ``Transport.open``."""
    return client._open(method, path, body, {}, before_send)
