"""The setup of a plugin's Lua beside its limits: plain data, which crosses to a worker."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from luaopenai.client.servers import PROVIDERS
from luaopenai.host import wire

if TYPE_CHECKING:
    from luaopenai.client.openai import OpenAI

BASE_URL = "https://host.invalid/v1"
"""The ``api_base`` that a plugin's client shows; the host sends to its own server instead."""


class Script(NamedTuple):
    """The arguments and the environment of a whole script; a plugin has none.

    Attributes:
        path: its ``arg[0]``.
        args: its arguments.
        environment: the variables that ``os.getenv`` knows.
    """

    path: str
    args: tuple[str, ...]
    environment: dict[str, str]

    def values(self) -> bytes | None:
        """Encodes these three for the Lua side of the walls."""
        shown = {name: _text(value) for name, value in self.environment.items()}
        return wire.encode((_text(self.path), [_text(arg) for arg in self.args], shown), "script")


class Setup(NamedTuple):
    """The setup of a plugin's Lua.

    Attributes:
        company: the name in ``PROVIDERS`` of the company whose server the host's client speaks
            to, which is that of the module below ``openai.compat``; None for any other server.
        company_model: the default model of that module's clients; the host's client's when None.
        modules: whether it may load modules from its folder.
        script: for a whole script.
        is_code: whether it is no file, but runs the code that comes with each call.
    """

    company: str | None = None
    company_model: str | None = None
    modules: bool = False
    script: Script | None = None
    is_code: bool = False


def find_setup(
    client: OpenAI | None,
    *,
    modules: bool = False,
    script: Script | None = None,
    is_code: bool = False,
) -> Setup:
    """Returns the setup for a host's client."""
    if client is None:
        return Setup(modules=modules, script=script, is_code=is_code)
    from luaopenai.client.doors import home_of

    home = home_of(client)
    own = next((name for name, provider in PROVIDERS.items() if provider is home), None)
    company = own or find_company(client.base_url)
    company_model = PROVIDERS[company].default_model if company and not own else None
    return Setup(company, company_model, modules, script, is_code)


def find_company(base_url: str) -> str | None:
    """Returns the name in ``PROVIDERS`` of the company whose server is at a base URL."""
    from urllib.parse import urlsplit

    try:
        host = urlsplit(base_url).hostname
    except ValueError:
        return None
    homes = ((name, urlsplit(provider.base_url).hostname) for name, provider in PROVIDERS.items())
    return next((name for name, home in homes if home == host), None)


def company_client(api_key: str | None, base_url: str | None) -> OpenAI:
    """Returns a client of the company whose server is at a base URL; else one of OpenAI's.

    Raises ``ValueError`` as the clients do.
    """
    from luaopenai.client import compat
    from luaopenai.client.openai import OpenAI

    company = find_company(base_url) if base_url else None
    kind: type[OpenAI] = getattr(compat, PROVIDERS[company].class_name) if company else OpenAI
    return kind(api_key, base_url)


def write_setup(setup: Setup) -> dict[str, object]:
    """Returns a setup as JSON can carry it."""
    script = setup.script
    return {**setup._asdict(), "script": script and script._asdict()}


def read_setup(fields: dict[str, object]) -> Setup:
    """Returns the setup that JSON has carried."""
    script = fields.pop("script")
    if isinstance(script, dict):
        fields["script"] = Script(script["path"], tuple(script["args"]), script["environment"])
    return Setup(**fields)  # type: ignore[arg-type]


def _text(value: str) -> str | bytes:
    """Returns a string of the system's, as bytes where it is not UTF-8."""
    data = os.fsencode(value)
    return value if data.decode("utf-8", "replace") == value else data
