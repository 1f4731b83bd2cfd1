"""Fixtures for all tests of the client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from luaopenai import OpenAI
from support import API_KEY
from support.tool_server import ToolServer


@pytest.fixture(autouse=True)
def _no_network_settings(no_network_settings_from_outside: None) -> None:
    """No test of the client heeds the proxies and certificates of the system that it runs on."""


@pytest.fixture
def tool_server() -> Iterator[ToolServer]:
    """A scripted model, which refuses histories with a call that has no answer."""
    with ToolServer() as server:
        yield server


@pytest.fixture
def tool_client(tool_server: ToolServer) -> Iterator[OpenAI]:
    """A client of that server, which sends nothing twice."""
    with OpenAI(API_KEY, tool_server.base_url, max_retries=0) as client:
        yield client
