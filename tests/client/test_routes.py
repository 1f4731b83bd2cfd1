"""How URLs are reached: by the same pools and targets that ``requests`` would choose."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import example, given
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer
from requests.adapters import HTTPAdapter

from luaopenai import APIConnectionError, OpenAI
from luaopenai.client.routes import Routes

HOSTS = ["localhost", "api.openai.com", "a_b", "EXAMPLE.com", "127.0.0.1", "[::1]", "bücher.de"]
ODD_HOSTS = ["", ".a", "*.a", "a..b", "a.", "user:word@a", "a b", "é" * 70]
PORTS = ["", ":80", ":443", ":8080", ":0", ":065", ":65535", ":65536", ":99999", ":x", ":"]
segments = st.text("aZ09._~@:-%/ ?#é&=+;,\\[]{}|'\"", max_size=8)
urls = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["http://", "https://", "HTTP://", "ftp://", "http:/", ""]),
    st.sampled_from([*HOSTS, *ODD_HOSTS]),
    st.sampled_from(PORTS),
    st.lists(segments, max_size=3).map(lambda parts: "".join(f"/{part}" for part in parts)),
)


def chosen_by_requests(url: str) -> Any:
    """Scheme, host, port and target of what ``requests`` itself would send."""
    try:
        prepared = requests.Request("GET", url).prepare()
        adapter = requests.Session().get_adapter(prepared.url or "")
        assert isinstance(adapter, HTTPAdapter)
        pool = adapter.get_connection_with_tls_context(prepared, True)
    except (requests.RequestException, ValueError):
        return ValueError
    return pool.scheme, pool.host, pool.port, adapter.request_url(prepared, {})


def chosen(url: str) -> Any:
    try:
        route = Routes(1).find(url, None, False)
    except ValueError:
        return ValueError
    return route.pool.scheme, route.pool.host, route.pool.port, route.target


@given(urls)
@example("http://localhost")
@example("https://api.openai.com/v1/chat/completions")
@example("http://localhost:8080/v1/files?limit=2&after=a")
@example("http://localhost/a/../b/./c//d")
@example("http://localhost/%7ea%2fb%zz")
@example("http://localhost/a?")
def test_a_route_is_that_of_requests(url: str) -> None:
    assert chosen(url) == chosen_by_requests(url)


def test_ordinary_and_odd_urls_of_a_server_share_its_connections() -> None:
    routes = Routes(1)
    pools = [routes.find(url, None, False).pool for url in ("http://a/b", "HTTP://A/b/%7e#c")]
    assert pools[0] is pools[1]


CHAT = """
import sys
from luaopenai import OpenAI
assert OpenAI("key", sys.argv[1]).request("GET", "/models").status == 200
print("requests" in sys.modules)
"""


def output_of_chat(base_url: str, **environment: str) -> str:
    kept = {name: text for name, text in os.environ.items() if not name.lower().endswith("_proxy")}
    command = [sys.executable, "-c", CHAT, base_url]
    done = subprocess.run(
        command, env={**kept, **environment}, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def test_requests_is_imported_only_where_a_proxy_may_be_meant(
    httpserver: HTTPServer, base_url: str
) -> None:
    httpserver.expect_request("/v1/models").respond_with_json({})
    assert output_of_chat(base_url) == "False"
    assert output_of_chat(base_url, no_proxy="127.0.0.1") == "False"
    assert output_of_chat(base_url, HTTPS_PROXY="http://127.0.0.1:9") == "True"


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_the_systems_own_settings_name_proxies_too(
    platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = {"http": "http://127.0.0.1:3128"}
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(urllib.request, "getproxies", lambda: named)
    monkeypatch.setattr(requests.utils, "getproxies", lambda: named)
    monkeypatch.setattr(requests.utils, "proxy_bypass", lambda _: False)
    route = Routes(1).find("http://example.com/a", None, False)
    assert (route.pool.proxy.port, route.target) == (3128, "http://example.com/a")


def test_a_proxy_over_tls_is_trusted_by_the_same_certificates_as_a_server() -> None:
    pool = Routes(1).find("https://example.com/a", "https://127.0.0.1:3128", False).pool
    context = pool.conn_kw["ssl_context"]
    assert context.verify_mode == ssl.CERT_NONE
    assert pool.proxy_config.ssl_context is context


def test_the_certificates_that_requests_trusts_are_trusted() -> None:
    expected = ssl.create_default_context(cafile=requests.utils.DEFAULT_CA_BUNDLE_PATH)
    pool = Routes(1).find("https://example.com/a", None, True).pool
    context = pool.conn_kw["ssl_context"]
    assert context.verify_mode == ssl.CERT_REQUIRED
    trusted = set(context.get_ca_certs(binary_form=True))
    assert trusted >= set(expected.get_ca_certs(binary_form=True))


def test_certificates_are_read_once_for_all_servers() -> None:
    routes = Routes(1)
    pools = [routes.find(f"https://{host}/", None, True).pool for host in ("a", "b")]
    assert pools[0].conn_kw["ssl_context"] is pools[1].conn_kw["ssl_context"]


def test_certificates_that_cannot_be_read_are_one_clear_line(
    connect: Callable[..., OpenAI], tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("no certificate")
    client = connect("https://127.0.0.1:9/v1", ca_bundle=str(bundle))
    with pytest.raises(APIConnectionError, match=r"^TLS failed: .+ \(https://127\.0\.0\.1:9/v1/"):
        client.models()
