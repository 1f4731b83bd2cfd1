"""How requests are sent: time-outs, retries, proxy, certificates, pool size."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from luaopenai.client.servers import SETTING_NAMES

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 600.0
LARGEST_RESPONSE = 512.0
LONGEST_TIMEOUT = 1e9  # the operating system's clock overflows not far above

Timeout = float | Mapping[str, float] | tuple[float, float] | None


class Settings(NamedTuple):
    """The settings of a transport, or of one request.

    A dataclass would cost every program 5 ms at its first request.

    Attributes:
        timeouts: seconds to connect, and to wait for each read.
        total_timeout: seconds for a whole call, with its retries, pauses and body; None for no
            limit.
        max_retries: how often a failed request is sent again.
        proxy: the URL of a proxy; the environment's when None.
        verify: whether certificates are checked; a path names the file or folder of those to
            trust.
        pool_size: how many idle connections to a server are kept.
        max_response_mb: how large an answer's body may be once it is decompressed, and each line
            of an event stream, in units of 2^20 bytes.
    """

    timeouts: tuple[float, float] = (CONNECT_TIMEOUT, READ_TIMEOUT)
    total_timeout: float | None = None
    max_retries: int = 2
    proxy: str | None = None
    verify: bool | str = True
    pool_size: int = 100
    max_response_mb: float = LARGEST_RESPONSE


def read_settings(given: Mapping[str, Any], base: Settings | None = None) -> Settings:
    """Returns the settings for keywords; raises ``ValueError`` that names a bad one.

    Args:
        given: any of ``SETTING_NAMES``; None means not given.
        base: what holds for those not given; the environment's certificates when None.
    """
    base = base or Settings(verify=_environment_bundle() or True)
    known = {name: value for name, value in given.items() if value is not None}
    unknown = sorted(set(known).difference(SETTING_NAMES))
    if unknown:
        raise ValueError(f"{unknown[0]}: no such setting; there are {', '.join(SETTING_NAMES)}")
    timeouts, total = base.timeouts, base.total_timeout
    if "timeout" in known:
        timeouts, total = _timeouts(known["timeout"])
    return Settings(
        timeouts=timeouts,
        total_timeout=total,
        max_retries=_count(known, "max_retries", base.max_retries, 0),
        proxy=_text(known, "proxy", base.proxy),
        verify=_verify(known, base.verify),
        pool_size=_count(known, "pool_size", base.pool_size, 1),
        max_response_mb=_size(known, "max_response_mb", base.max_response_mb),
    )


def _environment_bundle() -> str | None:
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")


def _timeouts(timeout: Any) -> tuple[tuple[float, float], float | None]:
    """Returns the time-outs for connecting, for reading and for a whole call."""
    if not isinstance(timeout, Mapping):
        pair = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        if len(pair) != 2:
            raise ValueError(f"timeout: expected seconds to connect and to read, got {pair!r}")
        for seconds in pair:
            _check_seconds(seconds)
        return pair, None
    unknown = sorted(set(timeout).difference(("connect", "read", "total")), key=str)
    if unknown:
        raise ValueError(f"timeout: expected connect, read and total, got {unknown[0]!r}")
    for seconds in timeout.values():
        _check_seconds(seconds)
    pair = timeout.get("connect", CONNECT_TIMEOUT), timeout.get("read", READ_TIMEOUT)
    return pair, timeout.get("total")


def _check_seconds(seconds: Any) -> None:
    if not (_is_number(seconds) and 0 < seconds <= LONGEST_TIMEOUT):
        expected = f"seconds above 0, at most {LONGEST_TIMEOUT:g}"
        raise ValueError(f"timeout: expected {expected}, got {seconds!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _size(known: Mapping[str, Any], name: str, default: float) -> float:
    value: Any = known.get(name, default)
    if not (_is_number(value) and value > 0):
        raise ValueError(f"{name}: expected a number above 0, got {value!r}")
    return float(value)


def _count(known: Mapping[str, Any], name: str, default: int, least: int) -> int:
    value = known.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name}: expected a whole number from {least}, got {value!r}")
    return value


def _text(known: Mapping[str, Any], name: str, default: str | None) -> str | None:
    value = known.get(name, default)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name}: expected a string, got {value!r}")
    return value


def _verify(known: Mapping[str, Any], default: bool | str) -> bool | str:
    bundle = _text(known, "ca_bundle", None)
    value = known.get("verify", default if bundle is None else bundle)
    if value is True and bundle is not None:
        value = bundle
    if isinstance(value, str) and not os.path.exists(value):
        raise ValueError(f"ca_bundle: no such file: {value}")
    if not isinstance(value, bool | str):
        raise ValueError(f"verify: expected true, false or a path, got {value!r}")
    return value
