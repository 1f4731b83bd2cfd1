"""Fixtures for all Python tests: servers on the loopback interface, and clients of them."""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import urllib3.util.connection
from pytest_httpserver import HTTPServer

from luaopenai import OpenAI
from luaopenai.local import LocalModelError, LocalServer, import_llama, pull_model
from support import API_KEY
from support.crowd_server import CrowdServer
from support.fault_server import FaultServer, Script

SECONDS = {"model": 900, "soak": 3600}
"""How long tests with these marks may take: a model is fetched, and a full soak takes its time."""

LONGEST = (
    "test_examples",
    "test_plugin_escapes",
    "test_plugin_tasks",
    "test_map_dask",
    "test_dask",
    "test_interrupts",
    "test_local",
    "test_job_kills",
    "test_map",
    "test_code_tool_states",
    "test_plugins",
    "test_workers",
    "test_chat_tools",
    "test_code_tool",
    "test_plugin_walls",
    "test_chat",
    "test_plugin_tools",
    "test_lua_specs",
    "test_plugin_errors",
    "test_repl",
    "test_plugin_budgets",
    "test_plugin_processes",
    "test_plugin_soak",
    "test_reliability",
)
"""The files that take more than five seconds, the longest first. Two that ask the embedded model
are apart: it answers slowly where another process asks it too."""

_STDERR = pytest.StashKey[int]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Keep the real standard error, and take Ctrl-C even where pytest was started without it.

    A shell without job control has what it starts in the background ignore Ctrl-C, and so would all
    that the tests start. Thousands of collected tests live on to the end: the garbage collector,
    which many tests call, need not look through them each time.
    """
    gc.collect()
    gc.freeze()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        session.config.stash[_STDERR] = os.dup(2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests more time that need it, and begin with the files that take the longest.

    Where files are shared out among processes, one that began last would be waited for.
    """
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else 99)
    for item in items:
        for mark, seconds in SECONDS.items():
            if item.get_closest_marker(mark):
                item.add_marker(pytest.mark.timeout(seconds))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """End the run, and say where, when a test is twice past its time.

    pytest-timeout fails a test by a signal, and its ``finally`` clauses run. While Lua runs, no
    handler of Python's does.
    """
    marker = item.get_closest_marker("timeout")
    seconds = marker.args[0] if marker else float(item.config.getini("timeout"))
    stderr = item.config.stash[_STDERR]
    faulthandler.dump_traceback_later(2 * seconds, exit=True, file=stderr)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.fixture(autouse=True)
def _no_client_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEY", "BASE_URL", "ORG_ID", "PROJECT_ID", "LOG", "MODEL"):
        monkeypatch.delenv(f"OPENAI_{name}", raising=False)


@pytest.fixture
def no_network_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes proxies and certificates out of the environment; pip, for one, needs them there."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
            monkeypatch.delenv(name)


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
    """Makes clients that send each request once, and closes them at the end of the test."""
    with ExitStack() as clients:

        def make(
            base_url: str | None,
            api_key: str | None = API_KEY,
            *,
            max_retries: int = 0,
            **options: Any,
        ) -> OpenAI:
            client = OpenAI(api_key, base_url, max_retries=max_retries, **options)
            return clients.enter_context(client)

        yield make


@pytest.fixture
def client(connect: Callable[..., OpenAI], base_url: str) -> OpenAI:
    return connect(base_url)


@pytest.fixture
def crowd() -> Iterator[CrowdServer]:
    """A server without connections at the end: whoever asked has closed what it opened."""
    with CrowdServer() as server:
        yield server


@pytest.fixture
def crowd_client(crowd: CrowdServer, connect: Callable[..., OpenAI]) -> OpenAI:
    """A client of that server, which keeps no more than ten connections."""
    return connect(crowd.url, pool_size=10)


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
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses before retries, in seconds; they are noted, not made."""
    made: list[float] = []
    monkeypatch.setattr("luaopenai.client.transport.time.sleep", made.append)
    return made


@pytest.fixture
def open_sockets(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Counts the connections that clients have opened since and not closed; TLS hides its own."""
    opened: list[socket.socket] = []
    connect = urllib3.util.connection.create_connection

    def remember(*args: Any, **options: Any) -> socket.socket:
        opened.append(connect(*args, **options))
        return opened[-1]

    monkeypatch.setattr(urllib3.util.connection, "create_connection", remember)
    return lambda: sum(one.fileno() >= 0 for one in opened)


@pytest.fixture
def refusing_url() -> Iterator[str]:
    """A base URL at a port that nobody else can take and nobody listens on."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{holder.getsockname()[1]}/v1"


@pytest.fixture(scope="session")
def model() -> Path:
    """The embedded model's file, fetched if need be."""
    try:
        import_llama()
    except LocalModelError:
        pytest.skip("llama.cpp cannot be loaded: make model says why")
    return pull_model()


@pytest.fixture(scope="session")
def model_server(model: Path) -> Iterator[LocalServer]:
    """llama.cpp's server on the embedded model."""
    with LocalServer(model) as running:
        yield running
