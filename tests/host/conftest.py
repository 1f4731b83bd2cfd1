"""Fixtures for all tests of plugins: both isolations, and hosts that are closed at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from luaopenai import PluginHost
from support.tool_server import ToolServer


@pytest.fixture(params=["process", "thread"])
def isolation(request: pytest.FixtureRequest) -> Any:
    """Where plugins run: a test that asks for it is run with either."""
    return request.param


@pytest.fixture
def hosts(isolation: Any) -> Iterator[Callable[..., PluginHost]]:
    """Makes hosts of either isolation, and closes them."""
    with ExitStack() as stack:

        def make(*args: Any, **options: Any) -> PluginHost:
            return stack.enter_context(PluginHost(*args, **{"isolation": isolation, **options}))

        yield make


@pytest.fixture
def tool_server() -> Iterator[ToolServer]:
    """A scripted model, which refuses histories with a call that has no answer."""
    with ToolServer() as server:
        yield server
