"""The endpoints of the API, each stated once; the clients in both languages are made from them."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

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


class Endpoint:
    """One endpoint. Plain slots: a NamedTuple or dataclass would slow every script's start.

    A client method takes the ids of the path, then ``argument`` if there is one, then what
    ``options`` names; in Python each of ``required`` is a parameter of its own.

    Attributes:
        method: the HTTP method.
        path: below the base URL; may hold ``{placeholders}`` for ids.
        summary: a sentence about what the endpoint does.
        argument: the payload field that the client method takes by position, or None.
        options: where the caller's further fields go: ``payload``, ``query``, ``form`` or None.
        required: fields that may not be left out.
        files: the form fields that hold files.
        defaults: payload fields; the caller's go over them, key by key.
        headers: extra request headers.
        chat_model: whether ``model`` defaults to the client's ``default_model``.
        streams: whether the answer may be a stream.
        repeatable: whether a request may be sent again when nobody knows if the server did it.
        plugins: whether plugins may send it.
        binary: whether the answer is a file, for the caller as it came.
        ids: the names of the placeholders in ``path``.
    """

    __slots__ = (
        "argument",
        "binary",
        "chat_model",
        "defaults",
        "files",
        "headers",
        "ids",
        "method",
        "options",
        "path",
        "plugins",
        "repeatable",
        "required",
        "streams",
        "summary",
    )

    def __init__(
        self,
        method: str,
        path: str,
        summary: str,
        argument: str | None = None,
        *,
        options: str | None = None,
        required: tuple[str, ...] = (),
        files: tuple[str, ...] = (),
        defaults: Mapping[str, object] = {},
        headers: Mapping[str, str] = {},
        chat_model: bool = False,
        streams: bool = False,
        repeatable: bool = False,
        plugins: bool = False,
        binary: bool = False,
    ) -> None:
        self.method = method
        self.path = path
        self.summary = summary
        self.argument = argument
        self.options = options
        self.required = required
        self.files = files
        self.defaults = defaults
        self.headers = headers
        self.chat_model = chat_model
        self.streams = streams
        self.repeatable = repeatable or method != "POST"
        self.plugins = plugins
        self.binary = binary
        self.ids = tuple(part.partition("}")[0] for part in path.split("{")[1:])


_ASSISTANTS = {"OpenAI-Beta": "assistants=v1"}
_UPLOAD = Endpoint(
    "POST",
    "/files",
    "Uploads a file.",
    options="form",
    required=("file", "purpose"),
    files=("file",),
)
_TRANSCRIPTION = Endpoint(
    "POST",
    "/audio/transcriptions",
    "Writes down what is said in a sound file.",
    options="form",
    required=("file", "model"),
    files=("file",),
)

ENDPOINTS = {
    "create_chat_completion": Endpoint(
        "POST",
        "/chat/completions",
        "Completes a chat.",
        "messages",
        options="payload",
        chat_model=True,
        streams=True,
        repeatable=True,
        plugins=True,
    ),
    "create_response": Endpoint(
        "POST",
        "/responses",
        "Creates a response.",
        "input",
        options="payload",
        chat_model=True,
        streams=True,
        plugins=True,
    ),
    "response": Endpoint("GET", "/responses/{response_id}", "Returns a stored response."),
    "delete_response": Endpoint("DELETE", "/responses/{response_id}", "Deletes a stored response."),
    "cancel_response": Endpoint(
        "POST", "/responses/{response_id}/cancel", "Cancels a response that is being made."
    ),
    "create_conversation": Endpoint(
        "POST",
        "/conversations",
        "Creates a conversation, which keeps the history of responses on the server.",
        options="payload",
    ),
    "conversation": Endpoint("GET", "/conversations/{conversation_id}", "Returns a conversation."),
    "update_conversation": Endpoint(
        "POST",
        "/conversations/{conversation_id}",
        "Changes a conversation, its ``metadata`` for instance.",
        options="payload",
    ),
    "delete_conversation": Endpoint(
        "DELETE", "/conversations/{conversation_id}", "Deletes a conversation, not its items."
    ),
    "conversation_items": Endpoint(
        "GET",
        "/conversations/{conversation_id}/items",
        "Lists the items of a conversation.",
        options="query",
    ),
    "add_conversation_items": Endpoint(
        "POST",
        "/conversations/{conversation_id}/items",
        "Adds items to a conversation.",
        "items",
        required=("items",),
    ),
    "conversation_item": Endpoint(
        "GET",
        "/conversations/{conversation_id}/items/{item_id}",
        "Returns an item of a conversation.",
    ),
    "delete_conversation_item": Endpoint(
        "DELETE",
        "/conversations/{conversation_id}/items/{item_id}",
        "Deletes an item of a conversation.",
    ),
    "completion": Endpoint(
        "POST",
        "/completions",
        "Completes a text, with models of the old kind.",
        "prompt",
        options="payload",
        defaults={"model": "gpt-3.5-turbo-instruct"},
        streams=True,
        repeatable=True,
        plugins=True,
    ),
    "embedding": Endpoint(
        "POST",
        "/embeddings",
        "Returns the embedding of a text, or of each text in a list.",
        "input",
        options="payload",
        required=("input",),
        defaults={"model": "text-embedding-3-small"},
        repeatable=True,
        plugins=True,
    ),
    "moderation": Endpoint(
        "POST",
        "/moderations",
        "Says whether a text breaks the usage policies.",
        "input",
        options="payload",
        required=("input",),
        repeatable=True,
        plugins=True,
    ),
    "image_generation": Endpoint(
        "POST", "/images/generations", "Makes images from a prompt.", options="payload"
    ),
    "image_edit": Endpoint(
        "POST",
        "/images/edits",
        "Makes an image from one or several others and a prompt.",
        options="form",
        required=("image", "prompt"),
        files=("image", "mask"),
    ),
    "audio_transcription": _TRANSCRIPTION,
    "transcription": _TRANSCRIPTION,
    "models": Endpoint("GET", "/models", "Lists the models.", plugins=True),
    "files": Endpoint("GET", "/files", "Lists the uploaded files."),
    "upload_file": _UPLOAD,
    "create_file": _UPLOAD,
    "file": Endpoint("GET", "/files/{file_id}", "Returns what is known of a file."),
    "file_content": Endpoint(
        "GET", "/files/{file_id}/content", "Returns what is in a file.", binary=True
    ),
    "delete_file": Endpoint("DELETE", "/files/{file_id}", "Deletes a file."),
    "create_batch": Endpoint(
        "POST",
        "/batches",
        "Has the requests in an uploaded file answered within a day, for less money.",
        options="payload",
        required=("input_file_id", "endpoint"),
        defaults={"completion_window": "24h"},
    ),
    "batch": Endpoint("GET", "/batches/{batch_id}", "Returns a batch and how far it is."),
    "cancel_batch": Endpoint("POST", "/batches/{batch_id}/cancel", "Cancels a batch."),
    "batches": Endpoint("GET", "/batches", "Lists the batches.", options="query"),
    "assistants": Endpoint("GET", "/assistants", "Lists the assistants.", headers=_ASSISTANTS),
    "threads": Endpoint("GET", "/threads", "Lists the threads.", headers=_ASSISTANTS),
    "thread_messages": Endpoint(
        "GET",
        "/threads/{thread_id}/messages",
        "Lists the messages of a thread.",
        headers=_ASSISTANTS,
    ),
    "delete_thread": Endpoint(
        "DELETE", "/threads/{thread_id}", "Deletes a thread.", headers=_ASSISTANTS
    ),
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


def missing(field: str) -> str:
    """What to say of a field that was left out."""
    return f"{field} must be provided" if field == "input" else f"{field} is required"


def fill_payload(
    endpoint: Endpoint, default_model: str, fields: Mapping[str, Any]
) -> dict[str, Any]:
    """The fields to send: the endpoint's defaults, and the caller's own over them.

    Args:
        endpoint: where they go.
        default_model: the client's.
        fields: the caller's; the endpoint's ``argument`` and ``required`` are not sent when None.

    Raises:
        ValueError: a required field was left out.
    """
    filled: dict[str, Any] = dict(endpoint.defaults)
    if endpoint.chat_model:
        filled["model"] = default_model
    filled.update(fields)
    for name in endpoint.required:
        if filled.get(name) is None:
            raise ValueError(missing(name))
    if endpoint.argument and filled.get(endpoint.argument) is None:
        filled.pop(endpoint.argument, None)
    return filled


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
    """The headers that name an OpenAI organization and a project, each where it is given.

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
    """The headers for the organization and the project that the environment names."""
    return account_headers(os.environ.get("OPENAI_ORG_ID"), os.environ.get("OPENAI_PROJECT_ID"))


def near_miss(name: str) -> str | None:
    """The client's setting that an unknown name was meant for, if it is close to one."""
    from difflib import get_close_matches

    close = get_close_matches(name.lower(), CONFIG_NAMES, 1, 0.8)
    return close[0] if close and name not in CONFIG_NAMES else None


def environment_model() -> str:
    """The model when nobody names one: ``OPENAI_MODEL`` of the environment, else OpenAI's."""
    return os.environ.get("OPENAI_MODEL") or DEFAULT_MODEL


def environment_base_url() -> str:
    """The server when nobody names one: ``OPENAI_BASE_URL`` of the environment, else OpenAI's."""
    given = os.environ.get("OPENAI_BASE_URL")
    return read_base_url(given, "OPENAI_BASE_URL") if given else BASE_URL


def read_base_url(url: str, name: str = "base_url") -> str:
    """A base URL without slashes at its end.

    Raises ``ValueError`` for one without a scheme; ``name`` is where it comes from.
    """
    if "://" not in url and not url.startswith(("http:", "https:")):
        from luaopenai.client.failures import public_url

        raise ValueError(f"{name}: http:// or https:// is missing in front of {public_url(url)}")
    return url.rstrip("/")
