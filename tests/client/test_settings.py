"""How requests are sent: which settings there are, and what each may be."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from luaopenai.client.servers import SETTING_NAMES
from luaopenai.client.settings import Settings, read_settings
from support import exactly


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    path = tmp_path / "bundle.pem"
    path.touch()
    return str(path)


def test_by_default_a_request_has_five_seconds_to_connect_ten_minutes_and_two_retries() -> None:
    assert read_settings({}) == Settings(
        timeouts=(5, 600),
        total_timeout=None,
        max_retries=2,
        proxy=None,
        verify=True,
        pool_size=100,
        max_response_mb=512,
    )


def test_none_means_not_given() -> None:
    assert read_settings(dict.fromkeys(SETTING_NAMES)) == read_settings({})


def test_what_is_not_given_comes_from_the_base(bundle: str) -> None:
    base = Settings(
        (1, 2), 9, max_retries=5, proxy="http://p", verify=bundle, pool_size=3, max_response_mb=1
    )
    assert read_settings({}, base) == base
    assert read_settings({"max_retries": 0}, base).max_retries == 0
    assert read_settings({"max_retries": 0}, base).timeouts == (1, 2)


def test_an_unknown_setting_is_named_with_those_there_are() -> None:
    text = (
        "retries: no such setting; there are"
        " timeout, max_retries, proxy, verify, ca_bundle, pool_size, max_response_mb"
    )
    with pytest.raises(ValueError, match=exactly(text)):
        read_settings({"timeout": 1, "retries": 3})


@pytest.mark.parametrize(
    ("timeout", "pair", "total"),
    [
        (3, (3, 3), None),
        (0.5, (0.5, 0.5), None),
        ((1, 20), (1, 20), None),
        ({"connect": 1, "read": 20}, (1, 20), None),
        ({"connect": 1}, (1, 600), None),
        ({"read": 20}, (5, 20), None),
        ({"total": 60}, (5, 600), 60),
        ({"read": 20, "total": 0.5}, (5, 20), 0.5),
        ({}, (5, 600), None),
    ],
)
def test_a_time_out_is_a_number_or_a_pair_or_names_its_parts(
    timeout: Any, pair: tuple[float, float], total: float | None
) -> None:
    settings = read_settings({"timeout": timeout}, Settings(total_timeout=9))
    assert (settings.timeouts, settings.total_timeout) == (pair, total)


@pytest.mark.parametrize("total", [0, -1, "1", True, float("nan"), 1e10])
def test_a_total_time_out_that_is_none_is_refused(total: Any) -> None:
    text = f"timeout: expected seconds above 0, at most 1e+09, got {total!r}"
    with pytest.raises(ValueError, match=exactly(text)):
        read_settings({"timeout": {"total": total}})


@pytest.mark.parametrize("size", [0, -1, "1", True, float("nan")])
def test_a_size_that_is_none_is_refused(size: Any) -> None:
    text = f"max_response_mb: expected a number above 0, got {size!r}"
    with pytest.raises(ValueError, match=exactly(text)):
        read_settings({"max_response_mb": size})


def test_a_time_out_for_something_else_is_refused() -> None:
    with pytest.raises(
        ValueError, match=exactly("timeout: expected connect, read and total, got 'write'")
    ):
        read_settings({"timeout": {"read": 1, "write": 1}})


@pytest.mark.parametrize(
    ("name", "value", "least"),
    [
        ("max_retries", -1, 0),
        ("max_retries", 1.5, 0),
        ("max_retries", "2", 0),
        ("max_retries", True, 0),
        ("pool_size", 0, 1),
        ("pool_size", False, 1),
    ],
)
def test_a_count_that_is_none_is_refused(name: str, value: Any, least: int) -> None:
    text = f"{name}: expected a whole number from {least}, got {value!r}"
    with pytest.raises(ValueError, match=exactly(text)):
        read_settings({name: value})


def test_a_proxy_that_is_no_text_is_refused() -> None:
    with pytest.raises(ValueError, match=exactly("proxy: expected a string, got 8080")):
        read_settings({"proxy": 8080})


def test_a_bundle_says_whom_to_trust(bundle: str) -> None:
    assert read_settings({"ca_bundle": bundle}).verify == bundle
    assert read_settings({"ca_bundle": bundle, "verify": True}).verify == bundle


def test_verify_may_name_the_bundle_too(bundle: str) -> None:
    assert read_settings({"verify": bundle}).verify == bundle


def test_verify_false_goes_over_a_bundle(bundle: str) -> None:
    assert read_settings({"ca_bundle": bundle, "verify": False}).verify is False
    assert read_settings({"verify": False}, Settings(verify=bundle)).verify is False


@pytest.mark.parametrize("name", ["ca_bundle", "verify"])
def test_a_bundle_that_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    missing = os.fspath(tmp_path / "none.pem")
    with pytest.raises(ValueError, match=exactly(f"ca_bundle: no such file: {missing}")):
        read_settings({name: missing})


def test_a_verify_that_says_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=exactly("verify: expected true, false or a path, got 1")):
        read_settings({"verify": 1})


def test_the_environments_bundle_is_the_default_requests_own_name_first(
    bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", bundle)
    assert read_settings({}).verify == bundle
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", os.path.dirname(bundle))
    assert read_settings({}).verify == os.path.dirname(bundle)
    assert read_settings({"verify": False}).verify is False
