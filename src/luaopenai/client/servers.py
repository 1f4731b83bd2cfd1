"""The servers that clients know, the accounts on them, and the names of a client's settings."""

from __future__ import annotations

import os

BASE_URL = "https://api.openai.com/v1"
DEFAULT_MODEL = "gpt-5.4"
SETTING_NAMES = (
    "timeout",
    "max_retries",
    "proxy",
    "verify",
    "ca_bundle",
    "pool_size",
    "max_response_mb",
)
"""The settings of a client, or of one request, that say how it is sent."""
CONFIG_NAMES = (
    *SETTING_NAMES,
    "api_base",
    "base_url",
    "headers",
    "http_provider",
    "organization",
    "project",
    "query",
)
"""All settings of a client."""


class Provider:
    """A server of the API.

    Attributes:
        class_name: the client's, in both languages.
        base_url: where it is.
        default_model: the model when the caller names none.
        key_variable: the environment variable that holds its key.
        has_accounts: whether it knows OpenAI's organizations and projects.
    """

    __slots__ = ("base_url", "class_name", "default_model", "has_accounts", "key_variable")

    def __init__(
        self,
        class_name: str,
        base_url: str,
        default_model: str,
        key_variable: str,
        *,
        has_accounts: bool = False,
    ) -> None:
        self.class_name = class_name
        self.base_url = base_url
        self.default_model = default_model
        self.key_variable = key_variable
        self.has_accounts = has_accounts


PROVIDERS = {
    "anthropic": Provider(
        "Anthropic", "https://api.anthropic.com/v1", "claude-sonnet-4-6", "ANTHROPIC_API_KEY"
    ),
    "deepseek": Provider(
        "DeepSeek", "https://api.deepseek.com/v1", "deepseek-chat", "DEEPSEEK_API_KEY"
    ),
    "gemini": Provider(
        "Gemini",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        "gemini-2.5-flash",
        "GEMINI_API_KEY",
    ),
    "mimo": Provider("MiMo", "https://api.xiaomimimo.com/v1", "mimo-v2.5-pro", "MIMO_API_KEY"),
    "mistral": Provider(
        "Mistral", "https://api.mistral.ai/v1", "mistral-large-3-25-12", "MISTRAL_API_KEY"
    ),
    "moonshot": Provider("Moonshot", "https://api.moonshot.ai/v1", "kimi-k2.6", "MOONSHOT_API_KEY"),
    "openrouter": Provider(
        "OpenRouter", "https://openrouter.ai/api/v1", "openai/gpt-5.4", "OPENROUTER_API_KEY"
    ),
}


def account_headers(organization: object = None, project: object = None) -> dict[str, str]:
    """Returns the headers that name an OpenAI organization and a project, each where it is given.

    Raises:
        ValueError: one of them is not a string.
    """
    headers = {}
    for name, value in (("Organization", organization), ("Project", project)):
        if value is not None and not isinstance(value, str):
            from luaopenai.client.messages import kind_of

            raise ValueError(f"{name.lower()}: expected a string, got {kind_of(value)}")
        if value:
            headers[f"OpenAI-{name}"] = value
    return headers


def environment_accounts() -> dict[str, str]:
    """Returns the headers for the organization and the project that the environment names."""
    return account_headers(os.environ.get("OPENAI_ORG_ID"), os.environ.get("OPENAI_PROJECT_ID"))


def near_miss(name: str) -> str | None:
    """Returns the setting whose name is close to an unknown one, if there is one."""
    from difflib import get_close_matches

    close = get_close_matches(name.lower(), CONFIG_NAMES, 1, 0.8)
    return close[0] if close and name not in CONFIG_NAMES else None


def environment_model() -> str:
    """Returns the default model: ``OPENAI_MODEL`` of the environment, else OpenAI's."""
    return os.environ.get("OPENAI_MODEL") or DEFAULT_MODEL


def environment_base_url() -> str:
    """Returns the default server: ``OPENAI_BASE_URL`` of the environment, else OpenAI's."""
    given = os.environ.get("OPENAI_BASE_URL")
    return read_base_url(given, "OPENAI_BASE_URL") if given else BASE_URL


def read_base_url(url: str, name: str = "base_url") -> str:
    """Returns a base URL without slashes at its end.

    Raises ``ValueError`` for one without a scheme; ``name`` is where it comes from.
    """
    if "://" not in url and not url.startswith(("http:", "https:")):
        from luaopenai.client.failures import public_url

        raise ValueError(f"{name}: http:// or https:// is missing in front of {public_url(url)}")
    return url.rstrip("/")
