"""The endpoints of the API: where each client method sends, and with which defaults."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

BASE_URL = "https://api.openai.com/v1"
DEFAULT_MODEL = "gpt-4.1"
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


class Endpoint:
    """One endpoint. Plain slots: a NamedTuple or dataclass would slow every script's start.

    Attributes:
        method: the HTTP method.
        path: below the base URL; may hold one ``{placeholder}`` for an id.
        argument: the payload field that the client method's first argument fills.
        required: whether that argument may not be left out.
        chat_model: whether ``model`` defaults to the client's ``default_model``.
        defaults: other payload fields; the caller's options go over them, key by key.
        headers: extra request headers.
    """

    __slots__ = ("argument", "chat_model", "defaults", "headers", "method", "path", "required")

    def __init__(
        self,
        method: str,
        path: str,
        argument: str | None = None,
        *,
        required: bool = False,
        chat_model: bool = False,
        defaults: Mapping[str, object] = {},
        headers: Mapping[str, str] = {},
    ) -> None:
        self.method = method
        self.path = path
        self.argument = argument
        self.required = required
        self.chat_model = chat_model
        self.defaults = defaults
        self.headers = headers


_ASSISTANTS = {"OpenAI-Beta": "assistants=v1"}

ENDPOINTS = {
    "create_chat_completion": Endpoint("POST", "/chat/completions", "messages", chat_model=True),
    "completion": Endpoint(
        "POST",
        "/completions",
        "prompt",
        defaults={"model": "text-davinci-003", "temperature": 0.5, "max_tokens": 600},
    ),
    "embedding": Endpoint(
        "POST",
        "/embeddings",
        "input",
        required=True,
        defaults={"model": "text-embedding-ada-002"},
    ),
    "moderation": Endpoint("POST", "/moderations", "input", required=True),
    "models": Endpoint("GET", "/models"),
    "files": Endpoint("GET", "/files"),
    "file": Endpoint("GET", "/files/{file_id}"),
    "delete_file": Endpoint("DELETE", "/files/{file_id}"),
    "assistants": Endpoint("GET", "/assistants", headers=_ASSISTANTS),
    "threads": Endpoint("GET", "/threads", headers=_ASSISTANTS),
    "thread_messages": Endpoint("GET", "/threads/{thread_id}/messages", headers=_ASSISTANTS),
    "delete_thread": Endpoint("DELETE", "/threads/{thread_id}", headers=_ASSISTANTS),
    "image_generation": Endpoint("POST", "/images/generations"),
    "create_response": Endpoint("POST", "/responses", "input", chat_model=True),
    "create_file": Endpoint("POST", "/files", "file"),
    "transcription": Endpoint("POST", "/audio/transcriptions", "file"),
    "response": Endpoint("GET", "/responses/{response_id}"),
    "delete_response": Endpoint("DELETE", "/responses/{response_id}"),
    "cancel_response": Endpoint("POST", "/responses/{response_id}/cancel"),
}


def endpoint_url(base_url: str, path: str) -> str:
    """The URL of a path below a base URL.

    The key goes along: so whatever the path is, the server is the base URL's own. Raises
    ``ValueError``.
    """
    if not path.startswith("/"):
        raise ValueError(f'path: expected one that begins with /, got "{path}"')
    url = base_url + path
    if not base_url.partition("//")[2] and "//" in url:
        raise ValueError(f'path: "{path}" leads to another server than the base URL')
    return url


class Provider:
    """A server of the API.

    Attributes:
        base_url: where it is.
        default_model: the model when the caller names none.
        key_variable: the environment variable that holds its key.
        has_accounts: whether it knows OpenAI's organizations and projects.
    """

    __slots__ = ("base_url", "default_model", "has_accounts", "key_variable")

    def __init__(
        self, base_url: str, default_model: str, key_variable: str, *, has_accounts: bool = False
    ) -> None:
        self.base_url = base_url
        self.default_model = default_model
        self.key_variable = key_variable
        self.has_accounts = has_accounts


def account_headers(organization: str | None = None, project: str | None = None) -> dict[str, str]:
    """The headers that name an OpenAI organization and a project, each where it is given."""
    named = {"OpenAI-Organization": organization, "OpenAI-Project": project}
    return {name: value for name, value in named.items() if value}


def environment_accounts() -> dict[str, str]:
    """The headers for the organization and the project that the environment names."""
    return account_headers(os.environ.get("OPENAI_ORG_ID"), os.environ.get("OPENAI_PROJECT_ID"))


PROVIDERS = {
    "gemini": Provider(
        "https://generativelanguage.googleapis.com/v1beta/openai",
        "gemini-2.5-flash",
        "GEMINI_API_KEY",
    ),
    "openrouter": Provider("https://openrouter.ai/api/v1", "openai/gpt-4.1", "OPENROUTER_API_KEY"),
}
