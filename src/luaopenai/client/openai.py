"""The OpenAI client: one method per endpoint, over one transport."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from itertools import chain, count
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, TypeVar, overload

from luaopenai.client import multipart
from luaopenai.client.arguments import (
    check_callback,
    check_headers,
    check_tables,
    check_texts,
)
from luaopenai.client.callbacks import two_arguments
from luaopenai.client.cancel import pause
from luaopenai.client.chat import ChatSession
from luaopenai.client.completions import Chunk, bad_status, is_success, read_chunk
from luaopenai.client.deadlines import Deadline
from luaopenai.client.declarations import declared
from luaopenai.client.endpoints import METHODS, Endpoint, fill_payload
from luaopenai.client.errors import APITimeoutError
from luaopenai.client.failures import public_url
from luaopenai.client.iterators import Body, Event, Stream, chunk_stream
from luaopenai.client.lists import check_page, find_list, next_cursor
from luaopenai.client.messages import check_messages
from luaopenai.client.methods import EndpointMethods
from luaopenai.client.payload import decode, encode
from luaopenai.client.polling import (
    check_seconds,
    find_polled,
    is_final,
    next_pause,
    too_late,
)
from luaopenai.client.responses_chat import ResponsesChatSession
from luaopenai.client.servers import (
    Provider,
    account_headers,
    environment_accounts,
    environment_base_url,
    environment_model,
    read_base_url,
)
from luaopenai.client.settings import Timeout, read_settings
from luaopenai.client.streams import EventCallback, deliver_events
from luaopenai.client.transport import RawResponse, Transport
from luaopenai.client.urls import add_query, endpoint_url, fill_path

if TYPE_CHECKING:
    from luaopenai.client.chat import StreamCallback


Answer = TypeVar("Answer")


class Response(NamedTuple):
    """An endpoint's response.

    Attributes:
        status: the HTTP status code, whichever it is.
        body: decoded from JSON where it is JSON, else the text; a stream's whole raw text.
        headers: names in lower case.
    """

    status: int
    body: Any
    headers: dict[str, str]

    def raise_for_status(self) -> Response:
        """Returns this response if its status is a success; else raises an ``APIStatusError``.

        Which of its subclasses, the status says: ``RateLimitError`` for 429, and so on.
        """
        if not is_success(self.status):
            raise bad_status(*self)
        return self


class OpenAI(EndpointMethods):
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
        pool_size: how many idle connections to a server are kept; 100 when None.
        max_response_mb: how large an answer may be once it is decompressed, or a line of an event
            stream, in units of 2^20 bytes; 512 when None. A larger one is an
            ``APIConnectionError``.
        default_model: for chats and responses that name none; ``OPENAI_MODEL`` of the environment
            when None.

    Every endpoint method returns a ``Response`` for any HTTP status, takes further fields as
    keywords, and raises ``APIConnectionError`` when no complete answer comes and
    ``ValueError`` for what cannot be sent. A stream's callback that returns False ends the stream.
    With ``stream=True`` and no callback it returns a ``Stream``, and raises ``APIStatusError``
    where the server refuses.
    """

    _provider: ClassVar[Provider | None] = None
    """The server of a subclass; OpenAI's own, or the environment's, when None."""

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
        default_model: str | None = None,
    ) -> None:
        check_texts(api_key=api_key, base_url=base_url, organization=organization, project=project)
        check_headers(headers)
        check_tables(query=query)
        home = self._home()
        self._api_key = api_key or os.environ.get(home.key_variable)
        self.base_url = read_base_url(base_url or home.base_url)
        self.default_model = default_model or home.default_model
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
        """Returns a client like this one, over the same connections, for a request or a few.

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
        other.base_url = read_base_url(base_url or self.base_url)
        named = account_headers(organization, project)
        other._headers = {**self._headers, **named, **(headers or {})}
        other._query = {**self._query, **(query or {})}
        other._settings = read_settings(settings, self._settings)
        return other

    def _home(self) -> Provider:
        if self._provider is not None:
            return self._provider
        home = environment_base_url(), environment_model()
        return Provider("OpenAI", *home, "OPENAI_API_KEY", has_accounts=True)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {public_url(self.base_url)}>"

    def __enter__(self) -> OpenAI:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the client's connections."""
        self._transport.close()

    def new_chat_session(self, **opts: Any) -> ChatSession:
        """Returns a ``ChatSession`` that speaks through this client."""
        return ChatSession(self, **opts)

    new_chat_completions_session = new_chat_session

    def new_responses_chat_session(self, **opts: Any) -> ResponsesChatSession:
        """Returns a ``ResponsesChatSession`` that speaks through this client."""
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
        """Sends a request to any other endpoint.

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
        """Sends ``POST /chat/completions``.

        A callback asks for a stream and is given its chunks; without one, ``stream=True``
        returns a ``Stream`` of them.
        """
        if stream_callback is None:
            response: Any = self.create_chat_completion(messages, **opts)
            return chunk_stream(response) if isinstance(response, Stream) else response
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
        """Sends ``POST /chat/completions``; a callback, or a ``Stream``, gets every event, raw."""
        check_messages(messages)
        fields = declared({"messages": messages, **opts}, "chat")
        response: Response | Stream[Event]
        response = self._send("create_chat_completion", fields, stream_callback)
        return response

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
        """Sends ``POST /responses``; a callback, or a ``Stream``, gets every event."""
        response: Response | Stream[Event]
        fields = declared({"input": input, **opts}, "responses")
        response = self._send("create_response", fields, stream_callback)
        return response

    @overload
    def parse(
        self, messages: list[dict[str, Any]], kind: type[Answer], **options: Any
    ) -> Answer: ...
    @overload
    def parse(self, messages: list[dict[str, Any]], kind: Any, **options: Any) -> Any: ...
    def parse(self, messages: list[dict[str, Any]], kind: Any, **options: Any) -> Any:
        """Returns the answer to messages as a value of a type; see ``ChatSession.parse``.

        ``city = client.parse([{"role": "user", "content": "The capital of France?"}], City)``
        """
        check_messages(messages)
        return ChatSession(self, messages=messages).parse(None, kind, **options)

    def each(self, name: str, /, *ids: Any, **query: Any) -> Iterator[Any]:
        """Yields every item of a list, page after page, each page when its first item is due.

        ``for batch in client.each("list_batches", limit=100)``

        Args:
            name: the method that lists.
            ids: what it takes.
            query: what it takes further.

        Raises:
            ValueError: the method does not list.
            APIError: a page's status is no success (``APIStatusError``), or it is no page.
        """
        return chain.from_iterable(self._pages(find_list(name), name, ids, query))

    def _pages(
        self, endpoint: Endpoint, name: str, ids: tuple[Any, ...], query: dict[str, Any]
    ) -> Iterator[list[Any]]:
        assert endpoint.pages is not None
        cursor = query.get(endpoint.pages)
        while True:
            response: Response = getattr(self, name)(*ids, **query)
            check_page(*response)
            yield response.body["data"]
            cursor = next_cursor(response.status, response.body, cursor)
            if cursor is None:
                return
            query = {**query, endpoint.pages: cursor}

    def wait_for(
        self,
        name: str,
        /,
        *ids: Any,
        done: Callable[[Any], object] | None = None,
        interval: float | None = None,
        timeout: float | None = None,
        on_poll: Callable[[Any], object] | None = None,
        **query: Any,
    ) -> Any:
        """Repeats a request until something is done that the server does in the background.

        ``batch = client.wait_for("retrieve_batch", batch_id, timeout=3600)``

        Args:
            name: the method to ask by; a ``GET``.
            ids: what it takes.
            done: is given the decoded body, and says whether it is what the caller waits for;
                when None, a body whose ``status`` does not change any more, whether it is a
                success (``completed``) or not (``failed``).
            interval: seconds before the second time, 1 when None. The pauses grow by half each
                time, up to 30 seconds; a server that names a pause is obeyed.
            timeout: seconds to wait in all; None for as long as it takes.
            on_poll: is given each body.
            query: what the method takes further.

        Returns:
            The body that was done.

        Raises:
            ValueError: the method is no ``GET``; or there is no ``done``, and the body has no
                status.
            APIStatusError: an answer's status is no success.
            APITimeoutError: the time is over; its ``body`` is the last one.
        """
        find_polled(name)
        check_seconds("interval", interval)
        check_seconds("timeout", timeout)
        deadline = Deadline(timeout)
        for polls in count(1):
            response: Response = getattr(self, name)(*ids, **query)
            body = response.raise_for_status().body
            if on_poll is not None:
                on_poll(body)
            status = body.get("status") if isinstance(body, dict) else None
            if done(body) if done is not None else is_final(name, status):
                break
            if timeout is not None and deadline.is_over:
                error = APITimeoutError(too_late(name, timeout, status))
                error.body = body
                raise error
            pause(min(next_pause(polls, interval, response.headers), deadline.left()))
        return body

    def _send(
        self, name: str, fields: dict[str, Any], callback: EventCallback | None = None
    ) -> Any:
        """Sends a request to an endpoint of the table.

        Args:
            name: the method's.
            fields: the path's ids, and the fields of the payload, form or query.
            callback: asks for a stream and is given its events; without one, a true ``stream``
                among the fields asks for a ``Stream``.
        """
        check_callback(callback)
        endpoint = METHODS[name]
        path = fill_path(endpoint.path, fields) if endpoint.ids else endpoint.path
        fields = {key: value for key, value in fields.items() if key not in endpoint.ids}
        headers: Mapping[str, str] = endpoint.headers
        payload: dict[str, Any] | bytes | None = None
        if endpoint.options == "query":
            path = add_query(path, fields)
        else:
            fields = fill_payload(endpoint, self.default_model, fields)
            if callback is not None:
                fields["stream"] = True
            payload = fields or None
        if endpoint.options == "form":
            payload, content_type = multipart.encode(fields, endpoint.files)
            headers = {**headers, "Content-Type": content_type}
        if callback is None and fields.get("stream"):
            return self._stream(endpoint.method, path, payload, headers)
        return self._request(endpoint.method, path, payload, headers, callback, endpoint.binary)

    def _request(
        self,
        method: str,
        path: str,
        payload: dict[str, Any] | bytes | None,
        more_headers: Mapping[str, str],
        on_event: EventCallback | None = None,
        is_file: bool = False,
    ) -> Response:
        response = self._open(method, path, _encoded(payload), more_headers)
        content_type = response.headers.get("content-type", "")
        if is_file and response.status == 200:
            content_type = multipart.OCTETS
        if on_event is None:
            return Response(
                response.status, decode(response.read(), content_type), response.headers
            )
        try:
            raw = deliver_events(response, on_event)
        finally:
            response.close()
        whole = raw.decode("utf-8", "replace") if response.status == 200 else decode(raw)
        return Response(response.status, whole, response.headers)

    def _stream(
        self,
        method: str,
        path: str,
        payload: dict[str, Any] | bytes | None,
        more_headers: Mapping[str, str],
    ) -> Stream[Event]:
        """Asks for a stream; raises ``APIStatusError`` where the server refuses."""
        response = self._open(method, path, _encoded(payload), more_headers)
        if not is_success(response.status):
            content_type = response.headers.get("content-type", "")
            raise bad_status(
                response.status, decode(response.read(), content_type), response.headers
            )

        def respond(raw: bytes) -> Response:
            return Response(response.status, raw.decode("utf-8", "replace"), response.headers)

        body = Body(response, respond)
        return Stream(body, body.events())

    def _open(
        self,
        method: str,
        path: str,
        body: bytes | None,
        more_headers: Mapping[str, str],
        before_send: Callable[[Exception | None], object] | None = None,
    ) -> RawResponse:
        """Sends a request to this client's server, with its key; see ``Transport.open``."""
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if self._api_key:
            headers["Authorization"] = f"Bearer {self._api_key}"
        headers.update(self._headers)
        headers.update(more_headers)
        url = add_query(endpoint_url(self.base_url, path), self._query)
        return self._transport.open(method, url, headers, body, self._settings, before_send)


def _encoded(payload: dict[str, Any] | bytes | None) -> bytes | None:
    return payload if payload is None or isinstance(payload, bytes) else encode(payload)
