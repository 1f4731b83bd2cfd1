"""Fixtures for tests of Lua inside Python."""

from __future__ import annotations

import pytest

from luaopenai import OpenAI, Runtime


@pytest.fixture
def runtime(crowd_client: OpenAI) -> Runtime:
    """A runtime whose scripts ask a crowd server."""
    return Runtime(crowd_client, rocks=False)
