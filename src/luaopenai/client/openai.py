"""The OpenAI client: one method per endpoint, over one transport."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload
from urllib.parse import quote, urlencode

from luaopenai.client import multipart
from luaopenai.client.arguments import (
    check_callback,
    check_headers,
    check_tables,
    check_texts,
)
from luaopenai.client.callbacks import two_arguments
from luaopenai.client.chat import ChatSession
from luaopenai.client.completions import Chunk, bad_status, is_success, read_chunk
from luaopenai.client.endpoints import (
    BASE_URL,
    DEFAULT_MODEL,
    ENDPOINTS,
    PROVIDERS,
    Endpoint,
    Provider,
    account_headers,
    endpoint_url,
    environment_accounts,
)
from luaopenai.client.failures import public_url
from luaopenai.client.iterators import Body, Event, Stream, chunk_stream
from luaopenai.client.messages import check_messages
from luaopenai.client.payload import decode, encode
from luaopenai.client.responses import ResponsesChatSession
from luaopenai.client.settings import Timeout, read_settings
from luaopenai.client.streams import EventCallback, deliver_events
from luaopenai.client.transport import Answer, Transport

if TYPE_CHECKING:
    from luaopenai.client.chat import StreamCallback


class Response(NamedTuple):
    """What an endpoint answered.

    Attributes:
        status: the HTTP status code, whichever it is.
        body: decoded from JSON where it is JSON, else the text; a stream's whole raw text.
        headers: names in lower case.
    """

    status: int
    body: Any
    headers: dict[str, str]

    def raise_for_status(self) -> Response:
        """This response, when its status is a success; else raises an ``APIStatusError``.

        Which of its subclasses, the status says: ``RateLimitError`` for 429, and so on.
        """
        if not is_success(self.status):
            raise bad_status(*self)
        return self


class OpenAI:
    """A client of an OpenAI-compatible server.

    Args:
        api_key: sent as a bearer token; ``OPENAI_API_KEY`` of the environment when None.
        base_url: ``OPENAI_BASE_URL`` of the environment, or OpenAI's own, when None.
        timeout: seconds for connecting and for each read, or ``{"connect": s, "read": s}``;
            5 and 600 when None. ``"total": s`` beside them bounds a whole call: its retries,
            pauses and body.
        max_retries: how often a request is sent again that found no server, was refused for now
            (408, 409, 429, 5xx), or lost its connection and is safe to repeat; 2 when None.
        headers: sent with every request.
        query: added to every URL.
        organization: ``OPENAI_ORG_ID`` of the environment when None.
        project: ``OPENAI_PROJECT_ID`` of the environment when None.
        proxy: the URL of a proxy; the environment's when None.
        verify: False trusts any certificate.
        ca_bundle: the file of certificates to trust; ``REQUESTS_CA_BUNDLE`` or ``SSL_CERT_FILE``
            of the environment when None.
        pool_size: how many idle connections to a server are kept; 10 when None.
        max_response_mb: how large an answer may be once it is decompressed, or a line of an event
            stream, in units of 2^20 bytes; 512 when None. A larger one is an
            ``APIConnectionError``.

    Every endpoint method returns a ``Response`` for any HTTP status, takes further payload
    fields as keywords, and raises ``APIConnectionError`` when no complete answer comes and
    ``ValueError`` for what cannot be sent. A stream's callback that returns False ends the stream.
    With ``stream=True`` and no callback it returns a ``Stream``, and raises ``APIStatusError``
    where the server refuses.
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        timeout: Timeout = None,
        max_retries: int | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        organization: str | None = None,
        project: str | None = None,
        proxy: str | None = None,
        verify: bool | None = None,
        ca_bundle: str | None = None,
        pool_size: int | None = None,
        max_response_mb: float | None = None,
    ) -> None:
        check_texts(api_key=api_key, base_url=base_url, organization=organization, project=project)
        check_headers(headers)
        check_tables(query=query)
        home = self._home()
        self._api_key = api_key or os.environ.get(home.key_variable)
        self.base_url = (base_url or home.base_url).rstrip("/")
        self.default_model = home.default_model
        accounts = environment_accounts() if home.has_accounts else {}
        self._headers = {**accounts, **account_headers(organization, project), **(headers or {})}
        self._query = dict(query or {})
        self._settings = read_settings(
            {
                "timeout": timeout,
                "max_retries": max_retries,
                "proxy": proxy,
                "verify": verify,
                "ca_bundle": ca_bundle,
                "pool_size": pool_size,
                "max_response_mb": max_response_mb,
            }
        )
        self._transport = Transport(self._settings)

    def with_options(
        self,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        organization: str | None = None,
        project: str | None = None,
        base_url: str | None = None,
        **settings: Any,
    ) -> OpenAI:
        """A client like this one, over the same connections, for a request or a few.

        ``client.with_options(timeout=5, max_retries=0).models()``

        Args:
            headers: added to this client's.
            query: added to this client's.
            organization: in place of this client's.
            project: in place of this client's.
            base_url: in place of this client's.
            settings: ``timeout``, ``max_retries``, ``proxy``, ``verify``, ``ca_bundle`` or
                ``max_response_mb``.
        """
        check_texts(base_url=base_url, organization=organization, project=project)
        check_headers(headers)
        check_tables(query=query)
        other = copy(self)
        other.base_url = (base_url or self.base_url).rstrip("/")
        named = account_headers(organization, project)
        other._headers = {**self._headers, **named, **(headers or {})}
        other._query = {**self._query, **(query or {})}
        other._settings = read_settings(settings, self._settings)
        return other

    def _home(self) -> Provider:
        base_url = os.environ.get("OPENAI_BASE_URL") or BASE_URL
        return Provider(base_url, DEFAULT_MODEL, "OPENAI_API_KEY", has_accounts=True)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {public_url(self.base_url)}>"

    def __enter__(self) -> OpenAI:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the client's connections."""
        self._transport.close()

    def new_chat_session(self, **opts: Any) -> ChatSession:
        """A ``ChatSession`` that speaks through this client."""
        return ChatSession(self, **opts)

    new_chat_completions_session = new_chat_session

    def new_responses_chat_session(self, **opts: Any) -> ResponsesChatSession:
        """A ``ResponsesChatSession`` that speaks through this client."""
        return ResponsesChatSession(self, **opts)

    @overload
    def request(
        self,
        method: str,
        path: str,
        payload: dict[str, Any] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        stream: Literal[True],
    ) -> Stream[Event]: ...
    @overload
    def request(
        self,
        method: str,
        path: str,
        payload: dict[str, Any] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        stream_callback: EventCallback | None = None,
        *,
        stream: Literal[False] = False,
    ) -> Response: ...
    def request(
        self,
        method: str,
        path: str,
        payload: dict[str, Any] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        stream_callback: EventCallback | None = None,
        *,
        stream: bool = False,
    ) -> Response | Stream[Event]:
        """Any other endpoint.

        Args:
            method: the HTTP method.
            path: below the base URL, with its leading slash.
            payload: sent as JSON; bytes are sent as they are.
            headers: go over the client's own.
            stream_callback: is given each event of the answer, a stream.
            stream: whether to return a ``Stream`` of the answer's events.
        """
        check_texts(method=method, path=path)
        check_headers(headers)
        check_callback(stream_callback)
        if stream and stream_callback is None:
            return self._stream(method, path, payload, headers or {})
        return self._request(method, path, payload, headers or {}, stream_callback)

    @overload
    def chat(
        self, messages: list[dict[str, Any]], *, stream: Literal[True], **opts: Any
    ) -> Stream[Chunk]: ...
    @overload
    def chat(
        self,
        messages: list[dict[str, Any]],
        stream_callback: StreamCallback | None = None,
        **opts: Any,
    ) -> Response: ...
    def chat(
        self,
        messages: list[dict[str, Any]],
        stream_callback: StreamCallback | None = None,
        **opts: Any,
    ) -> Response | Stream[Chunk]:
        """``POST /chat/completions``.

        A callback asks for a stream and is given its chunks; without one, ``stream=True``
        returns a ``Stream`` of them.
        """
        if stream_callback is None:
            answer: Any = self.create_chat_completion(messages, **opts)
            return chunk_stream(answer) if isinstance(answer, Stream) else answer
        callback = two_arguments(stream_callback)

        def on_event(event: dict[str, Any]) -> object:
            chunk = read_chunk(event)
            return None if chunk is None else callback(chunk, event)

        return self.create_chat_completion(messages, on_event, **opts)

    @overload
    def create_chat_completion(
        self, messages: list[dict[str, Any]], *, stream: Literal[True], **opts: Any
    ) -> Stream[Event]: ...
    @overload
    def create_chat_completion(
        self,
        messages: list[dict[str, Any]],
        stream_callback: EventCallback | None = None,
        **opts: Any,
    ) -> Response: ...
    def create_chat_completion(
        self,
        messages: list[dict[str, Any]],
        stream_callback: EventCallback | None = None,
        **opts: Any,
    ) -> Response | Stream[Event]:
        """``POST /chat/completions``; a callback, or a ``Stream``, gets every event, raw."""
        check_messages(messages)
        if stream_callback is None and opts.get("stream"):
            return self._call_for_stream("create_chat_completion", messages, opts)
        return self._call("create_chat_completion", messages, opts, stream_callback)

    @overload
    def completion(self, prompt: str, *, stream: Literal[True], **opts: Any) -> Stream[Event]: ...
    @overload
    def completion(self, prompt: str, **opts: Any) -> Response: ...
    def completion(self, prompt: str, **opts: Any) -> Response | Stream[Event]:
        """``POST /completions``; a ``Stream`` gets every event."""
        if opts.get("stream"):
            return self._call_for_stream("completion", prompt, opts)
        return self._call("completion", prompt, opts)

    def embedding(self, input: str | list[str], **opts: Any) -> Response:
        """``POST /embeddings``."""
        return self._call("embedding", input, opts)

    def moderation(self, input: str | list[Any], **opts: Any) -> Response:
        """``POST /moderations``."""
        return self._call("moderation", input, opts)

    def models(self) -> Response:
        """``GET /models``."""
        return self._call("models")

    def files(self) -> Response:
        """``GET /files``."""
        return self._call("files")

    def file(self, file_id: str) -> Response:
        """``GET /files/ID``."""
        return self._call("file", file_id)

    def delete_file(self, file_id: str) -> Response:
        """``DELETE /files/ID``."""
        return self._call("delete_file", file_id)

    def create_file(self, file: Any, purpose: str, **fields: Any) -> Response:
        """``POST /files``, an upload.

        Args:
            file: a path, a pair of name and content, or an open binary file.
            purpose: what the file is for, such as ``batch``.
            fields: further form fields.
        """
        return self._upload("create_file", {"file": file, "purpose": purpose, **fields})

    def transcription(self, file: Any, model: str, **fields: Any) -> Response:
        """``POST /audio/transcriptions``, an upload; ``file`` is as in ``create_file``."""
        return self._upload("transcription", {"file": file, "model": model, **fields})

    def assistants(self) -> Response:
        """``GET /assistants``."""
        return self._call("assistants")

    def threads(self) -> Response:
        """``GET /threads``."""
        return self._call("threads")

    def thread_messages(self, thread_id: str) -> Response:
        """``GET /threads/ID/messages``."""
        return self._call("thread_messages", thread_id)

    def delete_thread(self, thread_id: str) -> Response:
        """``DELETE /threads/ID``."""
        return self._call("delete_thread", thread_id)

    def image_generation(self, **params: Any) -> Response:
        """``POST /images/generations``; the payload is the keywords as given."""
        return self._call("image_generation", None, params)

    @overload
    def create_response(
        self, input: str | list[dict[str, Any]], *, stream: Literal[True], **opts: Any
    ) -> Stream[Event]: ...
    @overload
    def create_response(
        self,
        input: str | list[dict[str, Any]],
        stream_callback: EventCallback | None = None,
        **opts: Any,
    ) -> Response: ...
    def create_response(
        self,
        input: str | list[dict[str, Any]],
        stream_callback: EventCallback | None = None,
        **opts: Any,
    ) -> Response | Stream[Event]:
        """``POST /responses``; a callback, or a ``Stream``, gets every event."""
        if stream_callback is None and opts.get("stream"):
            return self._call_for_stream("create_response", input, opts)
        return self._call("create_response", input, opts, stream_callback)

    def response(self, response_id: str) -> Response:
        """``GET /responses/ID``."""
        return self._call("response", response_id)

    def delete_response(self, response_id: str) -> Response:
        """``DELETE /responses/ID``."""
        return self._call("delete_response", response_id)

    def cancel_response(self, response_id: str) -> Response:
        """``POST /responses/ID/cancel``."""
        return self._call("cancel_response", response_id)

    def _call(
        self,
        name: str,
        argument: Any = None,
        opts: dict[str, Any] | None = None,
        callback: EventCallback | None = None,
    ) -> Response:
        check_callback(callback)
        endpoint = ENDPOINTS[name]
        path = _path(endpoint.path, argument)
        payload = self._payload(endpoint, argument, opts or {})
        if callback is not None:
            payload["stream"] = True
        return self._request(endpoint.method, path, payload or None, endpoint.headers, callback)

    def _call_for_stream(self, name: str, argument: Any, opts: dict[str, Any]) -> Stream[Event]:
        endpoint = ENDPOINTS[name]
        payload = self._payload(endpoint, argument, opts)
        return self._stream(endpoint.method, endpoint.path, payload, endpoint.headers)

    def _upload(self, name: str, fields: dict[str, Any]) -> Response:
        endpoint = ENDPOINTS[name]
        body, content_type = multipart.encode(fields)
        return self._request(endpoint.method, endpoint.path, body, {"Content-Type": content_type})

    def _payload(self, endpoint: Endpoint, argument: Any, opts: dict[str, Any]) -> dict[str, Any]:
        payload = dict(endpoint.defaults)
        if endpoint.chat_model:
            payload["model"] = self.default_model
        if endpoint.argument:
            if endpoint.required and argument is None:
                raise ValueError(f"{endpoint.argument} must be provided")
            payload[endpoint.argument] = argument
        return {**payload, **opts}

    def _request(
        self,
        method: str,
        path: str,
        payload: dict[str, Any] | bytes | None,
        more_headers: Mapping[str, str],
        on_event: EventCallback | None = None,
    ) -> Response:
        answer = self._open(method, path, _encoded(payload), more_headers)
        content_type = answer.headers.get("content-type", "")
        if on_event is None:
            return Response(answer.status, decode(answer.read(), content_type), answer.headers)
        try:
            raw = deliver_events(answer, on_event)
        finally:
            answer.close()
        whole = raw.decode("utf-8", "replace") if answer.status == 200 else decode(raw)
        return Response(answer.status, whole, answer.headers)

    def _stream(
        self,
        method: str,
        path: str,
        payload: dict[str, Any] | bytes | None,
        more_headers: Mapping[str, str],
    ) -> Stream[Event]:
        """Ask for a stream; raises ``APIStatusError`` where the server refuses."""
        answer = self._open(method, path, _encoded(payload), more_headers)
        if not is_success(answer.status):
            content_type = answer.headers.get("content-type", "")
            raise bad_status(answer.status, decode(answer.read(), content_type), answer.headers)

        def respond(raw: bytes) -> Response:
            return Response(answer.status, raw.decode("utf-8", "replace"), answer.headers)

        body = Body(answer, respond)
        return Stream(body, body.events())

    def _open(
        self,
        method: str,
        path: str,
        body: bytes | None,
        more_headers: Mapping[str, str],
        before_send: Callable[[], object] | None = None,
    ) -> Answer:
        """Sends a request to this client's server, with its key; see ``Transport.open``."""
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if self._api_key:
            headers["Authorization"] = f"Bearer {self._api_key}"
        headers.update(self._headers)
        headers.update(more_headers)
        url = endpoint_url(self.base_url, path)
        if self._query:
            url += ("&" if "?" in path else "?") + urlencode(self._query)
        return self._transport.open(method, url, headers, body, self._settings, before_send)


class Gemini(OpenAI):
    """A client of Google's Gemini, through its OpenAI-compatible API; key: ``GEMINI_API_KEY``."""

    def _home(self) -> Provider:
        return PROVIDERS["gemini"]


class OpenRouter(OpenAI):
    """A client of OpenRouter; key: ``OPENROUTER_API_KEY``."""

    def _home(self) -> Provider:
        return PROVIDERS["openrouter"]


def _encoded(payload: dict[str, Any] | bytes | None) -> bytes | None:
    return payload if payload is None or isinstance(payload, bytes) else encode(payload)


def _path(path: str, argument: Any) -> str:
    before, brace, rest = path.partition("{")
    if not brace:
        return path
    name, _, after = rest.partition("}")
    if argument is None:
        raise ValueError(f"{name} is required")
    if str(argument) in ("", ".", ".."):
        raise ValueError(f'{name}: expected an id, got "{argument}"')
    return before + quote(str(argument), safe="") + after
