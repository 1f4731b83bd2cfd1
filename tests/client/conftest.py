"""Fixtures for all tests of the client."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_network_settings(no_network_settings_from_outside: None) -> None:
    """No test of the client heeds the proxies and certificates of the system that it runs on."""
