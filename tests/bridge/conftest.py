"""Fixtures for tests of Lua inside Python."""

from __future__ import annotations

import pytest

from luaopenai import OpenAI, Runtime


@pytest.fixture(autouse=True)
def _no_network_settings(no_network_settings_from_outside: None) -> None:
    """No test of the bridge heeds the proxies and certificates of the system that it runs on."""


@pytest.fixture
def runtime(crowd_client: OpenAI) -> Runtime:
    """A runtime whose scripts ask a crowd server."""
    return Runtime(crowd_client, rocks=False)
