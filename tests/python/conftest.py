"""Fixtures for all Python tests: servers on the loopback interface, and clients of them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from support.fault_server import FaultServer, Script

from luaopenai import OpenAI

API_KEY = "sk-test-0123456789"


@pytest.fixture(autouse=True)
def _no_client_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def make_httpserver() -> Iterator[HTTPServer]:
    """The server of ``httpserver``: on IPv4, and with a thread for each connection."""
    with HTTPServer(host="127.0.0.1", threaded=True) as server:
        yield server


@pytest.fixture
def base_url(httpserver: HTTPServer) -> str:
    return httpserver.url_for("/v1")


@pytest.fixture
def connect() -> Iterator[Callable[..., OpenAI]]:
    """Makes clients, and closes their connections at the end of the test."""
    with ExitStack() as clients:

        def make(base_url: str | None, api_key: str | None = API_KEY, **options: Any) -> OpenAI:
            return clients.enter_context(OpenAI(api_key, base_url, **options))

        yield make


@pytest.fixture
def client(connect: Callable[..., OpenAI], base_url: str) -> OpenAI:
    return connect(base_url)


@pytest.fixture
def fault_server() -> Iterator[Callable[[Script], FaultServer]]:
    """Starts servers that follow a script, and ends them and their threads."""
    with ExitStack() as servers:

        def start(script: Script) -> FaultServer:
            server = FaultServer(script)
            servers.callback(server.close)
            return server

        yield start


@pytest.fixture
def refusing_url() -> Iterator[str]:
    """A base URL at a port that nobody else can take and nobody listens on."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{holder.getsockname()[1]}/v1"
