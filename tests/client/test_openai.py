"""``OpenAI`` and ``ChatSession`` over real connections, to servers that behave and that do not."""

from __future__ import annotations

import gzip
import json
import logging
import re
import ssl
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from pytest_httpserver import HTTPServer
from werkzeug import Request
from werkzeug import Response as Answer

from luaopenai import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    ChatSession,
    OpenAI,
    RateLimitError,
    __version__,
)
from support import API_KEY, exactly
from support.fault_server import (
    CHUNKED_STREAM,
    Connection,
    FaultServer,
    Script,
    answer,
    chunk,
    drip,
    keep_alive,
    reset_at_once,
    say,
    say_then_stall,
)
from support.waiting import GENEROUS

Connect = Callable[..., OpenAI]
StartServer = Callable[[Script], FaultServer]
Ask = Callable[[OpenAI], object]

HELLO = [{"role": "user", "content": "Hello"}]
ANYTHING = re.compile("/v1/.*")
NAN, INFINITY = float("nan"), float("inf")


def completion(message: dict[str, Any]) -> dict[str, Any]:
    return {"object": "chat.completion", "choices": [{"index": 0, "message": message}]}


def events(*data: object) -> bytes:
    return (
        b"".join(b"data: %s\n\n" % json.dumps(one).encode() for one in data) + b"data: [DONE]\n\n"
    )


def delta(**fields: Any) -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": fields}]}


def respond(
    server: HTTPServer, body: object, status: int = 200, headers: dict[str, str] | None = None
) -> None:
    server.expect_request(ANYTHING).respond_with_json(body, status, headers)


def respond_with_bytes(server: HTTPServer, body: bytes, content_type: str) -> None:
    server.expect_request(ANYTHING).respond_with_data(body, content_type=content_type)


def requests_to(server: HTTPServer) -> list[Request]:
    return [request for request, _ in server.log]


def last_request(server: HTTPServer) -> Request:
    return requests_to(server)[-1]


def last_payload(server: HTTPServer) -> Any:
    return json.loads(last_request(server).get_data())


# --- Endpoints ---

ENDPOINTS: list[tuple[Ask, str, str, object]] = [
    (
        lambda client: client.chat(HELLO),
        "POST",
        "/chat/completions",
        {"model": "gpt-5.4", "messages": HELLO},
    ),
    (
        lambda client: client.create_chat_completion(HELLO),
        "POST",
        "/chat/completions",
        {"model": "gpt-5.4", "messages": HELLO},
    ),
    (
        lambda client: client.completion("Once"),
        "POST",
        "/completions",
        {
            "model": "gpt-3.5-turbo-instruct",
            "prompt": "Once",
        },
    ),
    (
        lambda client: client.embedding(["a", "b"]),
        "POST",
        "/embeddings",
        {"model": "text-embedding-3-small", "input": ["a", "b"]},
    ),
    (lambda client: client.moderation("a"), "POST", "/moderations", {"input": "a"}),
    (lambda client: client.models(), "GET", "/models", None),
    (lambda client: client.files(), "GET", "/files", None),
    (lambda client: client.file("file-1"), "GET", "/files/file-1", None),
    (lambda client: client.delete_file("file-1"), "DELETE", "/files/file-1", None),
    (lambda client: client.assistants(), "GET", "/assistants", None),
    (lambda client: client.threads(), "GET", "/threads", None),
    (lambda client: client.thread_messages("t"), "GET", "/threads/t/messages", None),
    (lambda client: client.delete_thread("t"), "DELETE", "/threads/t", None),
    (
        lambda client: client.image_generation(prompt="a fox", n=2),
        "POST",
        "/images/generations",
        {"prompt": "a fox", "n": 2},
    ),
    (
        lambda client: client.create_response("Hello"),
        "POST",
        "/responses",
        {"model": "gpt-5.4", "input": "Hello"},
    ),
    (lambda client: client.response("r"), "GET", "/responses/r", None),
    (lambda client: client.delete_response("r"), "DELETE", "/responses/r", None),
    (lambda client: client.cancel_response("r"), "POST", "/responses/r/cancel", None),
]


ENDPOINT_NAMES = [f"{method} {path}" for _, method, path, _ in ENDPOINTS]


@pytest.mark.parametrize(("ask", "method", "path", "payload"), ENDPOINTS, ids=ENDPOINT_NAMES)
def test_each_endpoint_sends_its_method_path_and_payload(
    client: OpenAI, httpserver: HTTPServer, ask: Ask, method: str, path: str, payload: object
) -> None:
    respond(httpserver, {"ok": True})
    ask(client)
    request = last_request(httpserver)
    assert (request.method, request.path) == (method, "/v1" + path)
    assert (json.loads(request.get_data()) if payload else request.get_data()) == (payload or b"")


@pytest.mark.parametrize("ask", [ask for ask, *_ in ENDPOINTS], ids=ENDPOINT_NAMES)
def test_each_endpoint_sends_the_clients_headers(
    client: OpenAI, httpserver: HTTPServer, ask: Ask
) -> None:
    respond(httpserver, {})
    ask(client)
    headers = last_request(httpserver).headers
    assert headers["Authorization"] == f"Bearer {API_KEY}"
    assert headers["Accept"] == headers["Content-Type"] == "application/json"
    assert headers["User-Agent"] == f"luaopenai/{__version__}"
    is_beta = last_request(httpserver).path.startswith(("/v1/assistants", "/v1/threads"))
    assert headers.get("OpenAI-Beta") == ("assistants=v1" if is_beta else None)


def test_options_go_over_the_defaults_key_by_key(client: OpenAI, httpserver: HTTPServer) -> None:
    respond(httpserver, {})
    client.completion("Once", temperature=0, model="mine", stop=["."])
    assert last_payload(httpserver) == {
        "model": "mine",
        "prompt": "Once",
        "temperature": 0,
        "stop": ["."],
    }


@pytest.mark.parametrize(
    "ask", [lambda client: client.chat(HELLO), lambda client: client.create_response("Hello")]
)
def test_the_default_model_can_be_set(client: OpenAI, httpserver: HTTPServer, ask: Ask) -> None:
    respond(httpserver, {})
    client.default_model = "mine"
    ask(client)
    assert last_payload(httpserver)["model"] == "mine"


def test_a_payload_goes_out_as_utf_8(client: OpenAI, httpserver: HTTPServer) -> None:
    respond(httpserver, {})
    client.moderation("é😀")
    assert '"é😀"'.encode() in last_request(httpserver).get_data()


@pytest.mark.parametrize("strange", ["a/b", "../models", "a?b=c", "a b", "a%2Fb", "#", "é"])
def test_an_id_stays_one_part_of_the_path(
    client: OpenAI, httpserver: HTTPServer, strange: str
) -> None:
    respond(httpserver, {})
    client.file(strange)
    request = last_request(httpserver)
    assert (request.path, request.query_string) == ("/v1/files/" + strange, b"")
    assert request.environ["RAW_URI"].count("/") == 3


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (lambda client: client.file(None), "file_id is required"),
        (lambda client: client.delete_thread(None), "thread_id is required"),
        (lambda client: client.response(None), "response_id is required"),
        (lambda client: client.embedding(None), "input must be provided"),
        (lambda client: client.moderation(None), "input must be provided"),
        (
            lambda client: client.chat([{"role": "user", "content": 1}]),
            "messages[0].content: expected a string, null or a list of parts, got a number",
        ),
        (
            lambda client: client.create_response("Hello", top_p=NAN),
            "payload.top_p: JSON has no nan",
        ),
    ],
)
def test_what_cannot_be_sent_is_refused_before_anything_is_sent(
    connect: Connect, refusing_url: str, ask: Ask, text: str
) -> None:
    with pytest.raises(ValueError, match=exactly(text)):
        ask(connect(refusing_url))


# --- Settings ---


def test_the_key_and_the_base_url_may_come_from_the_environment(
    connect: Connect, httpserver: HTTPServer, base_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    respond(httpserver, {})
    monkeypatch.setenv("OPENAI_API_KEY", "sk-outside")
    monkeypatch.setenv("OPENAI_BASE_URL", base_url + "/")
    connect(None, None).models()
    assert last_request(httpserver).path == "/v1/models"
    assert last_request(httpserver).headers["Authorization"] == "Bearer sk-outside"


def test_arguments_go_over_the_environment(
    client: OpenAI, connect: Connect, base_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-outside")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://outside.invalid")
    assert connect(base_url).base_url == client.base_url == base_url


def test_the_default_model_may_come_from_the_environment_or_an_argument(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_MODEL", "of-outside")
    assert connect(None).default_model == "of-outside"
    assert connect(None, default_model="mine").default_model == "mine"


def test_openais_own_server_is_the_default(connect: Connect) -> None:
    assert connect(None).base_url == "https://api.openai.com/v1"


def test_without_a_key_no_authorization_is_sent(
    connect: Connect, httpserver: HTTPServer, base_url: str
) -> None:
    respond(httpserver, {})
    connect(base_url, None).models()
    assert "Authorization" not in last_request(httpserver).headers


@pytest.mark.parametrize("key", [API_KEY, None])
def test_the_netrc_file_is_not_used(
    connect: Connect,
    httpserver: HTTPServer,
    base_url: str,
    key: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    respond(httpserver, {})
    connect(base_url, key).models()
    expected = f"Bearer {key}" if key else None
    assert last_request(httpserver).headers.get("Authorization") == expected


@pytest.mark.parametrize("timeout", [0, -1, True, "5", NAN, INFINITY, {"read": 0}, (1, None)])
def test_a_time_out_that_is_no_time_is_refused(connect: Connect, timeout: Any) -> None:
    with pytest.raises(ValueError, match=r"^timeout: expected seconds above 0, at most 1e"):
        connect(None, timeout=timeout)


@pytest.mark.parametrize("url", ["localhost:8080/v1", "/v1", "user:secret@localhost"])
def test_a_base_url_without_its_scheme_is_refused_at_once(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    shown = url.removeprefix("user:secret@")
    missing = f"http:// or https:// is missing in front of {shown}"
    with pytest.raises(ValueError, match=exactly(f"base_url: {missing}")):
        connect(url)
    with pytest.raises(ValueError, match=exactly(f"base_url: {missing}")):
        connect("http://127.0.0.1/v1").with_options(base_url=url)
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(ValueError, match=exactly(f"OPENAI_BASE_URL: {missing}")):
        connect(None)


@pytest.mark.parametrize("url", ["ftp://localhost/v1", "http:///v1"])
def test_a_base_url_that_is_none_is_refused_by_its_text(connect: Connect, url: str) -> None:
    with pytest.raises(ValueError, match=f"^not a URL that can be sent to: {re.escape(url)}"):
        connect(url).models()


def test_the_environments_proxy_is_used(
    connect: Connect, fault_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = fault_server(say(answer(b'"by proxy"')))
    monkeypatch.setenv("http_proxy", server.url)
    assert connect("http://api.invalid/v1").models().body == "by proxy"
    assert server.requests[0].startswith(b"GET http://api.invalid/v1/models HTTP/1.1\r\n")


def test_a_host_that_needs_no_proxy_is_asked_directly(
    client: OpenAI, httpserver: HTTPServer, refusing_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", refusing_url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    respond(httpserver, "directly")
    assert client.models().body == "directly"


# --- Answers ---


def test_a_json_body_is_decoded(client: OpenAI, httpserver: HTTPServer) -> None:
    respond(httpserver, {"data": [1, None]})
    response = client.models()
    assert (response.status, response.body) == (200, {"data": [1, None]})


@pytest.mark.parametrize("status", [200, 201, 204, 301, 400, 401, 404, 429, 500, 503])
def test_any_status_is_returned(client: OpenAI, httpserver: HTTPServer, status: int) -> None:
    httpserver.expect_request(ANYTHING).respond_with_data(b"", status)
    assert client.models().status == status


def test_header_names_are_in_lower_case(client: OpenAI, httpserver: HTTPServer) -> None:
    respond(httpserver, {}, headers={"X-Request-ID": "Req-1"})
    headers = client.models().headers
    assert headers["x-request-id"] == "Req-1"
    assert [name for name in headers if name != name.lower()] == []


@pytest.mark.parametrize("status", [200, 502])
def test_html_in_place_of_json_is_its_text(
    client: OpenAI, httpserver: HTTPServer, status: int
) -> None:
    page = "<html>Bad Gateway</html>"
    httpserver.expect_request(ANYTHING).respond_with_data(page, status, content_type="text/html")
    assert client.models()[:2] == (status, page)


def test_json_is_decoded_whatever_its_content_type(client: OpenAI, httpserver: HTTPServer) -> None:
    respond_with_bytes(httpserver, b'{"a": [1, null]}', "text/plain")
    assert client.models().body == {"a": [1, None]}


def test_a_body_that_is_not_utf_8_is_text_with_replacements(
    client: OpenAI, httpserver: HTTPServer
) -> None:
    respond_with_bytes(httpserver, b"caf\xe9", "text/plain; charset=latin-1")
    assert client.models().body == "caf\ufffd"


def test_redirects_are_not_followed(client: OpenAI, httpserver: HTTPServer) -> None:
    respond(httpserver, {}, 302, {"Location": "/v1/elsewhere"})
    response = client.models()
    assert (response.status, response.headers["location"]) == (302, "/v1/elsewhere")
    assert len(httpserver.log) == 1


def test_cookies_are_not_kept(client: OpenAI, httpserver: HTTPServer) -> None:
    respond(httpserver, {}, headers={"Set-Cookie": "session=1; Path=/"})
    client.models()
    client.models()
    assert "Cookie" not in last_request(httpserver).headers


def test_a_compressed_body_may_arrive_byte_by_byte(
    connect: Connect, fault_server: StartServer
) -> None:
    body = gzip.compress(b'{"a": 1}', mtime=0)
    server = fault_server(drip(answer(body, "Content-Encoding: gzip"), 0))
    assert connect(server.url).models().body == {"a": 1}


def test_a_body_without_a_length_ends_with_its_connection(
    connect: Connect, fault_server: StartServer
) -> None:
    server = fault_server(say(b"HTTP/1.1 200 OK\r\n\r\n[1, ", b"2]"))
    assert connect(server.url).models().body == [1, 2]


# --- Connections ---


def test_one_connection_serves_many_calls(connect: Connect, fault_server: StartServer) -> None:
    stream = CHUNKED_STREAM + chunk(events(delta(content="x"))) + chunk(b"")
    refusal = answer(b"{}").replace(b"200 OK", b"429 Too Many Requests")
    server = fault_server(keep_alive([answer(), stream, refusal, answer(), stream, answer()]))
    client = connect(server.url)
    for ask in (client.models, stream_from(client), client.models) * 2:
        ask()
    assert (server.connections, len(server.requests)) == (1, 6)


def stream_from(client: OpenAI) -> Callable[[], object]:
    return lambda: client.chat(HELLO, lambda chunk, event: None)


def test_a_kept_connection_that_the_server_closed_is_replaced(
    connect: Connect, fault_server: StartServer
) -> None:
    closed = threading.Event()

    def script(connection: Connection) -> None:
        say(answer(b'"fresh"'))(connection)
        connection.close()
        closed.set()

    server = fault_server(script)
    client = connect(server.url)
    assert client.models().body == "fresh"
    assert closed.wait(GENEROUS)
    assert client.models().body == "fresh"
    assert server.connections == 2


def test_after_a_cut_body_the_client_goes_on_over_a_new_connection(
    connect: Connect, fault_server: StartServer
) -> None:
    bodies = iter([answer(b"{", length=9), answer(b"{}")])
    server = fault_server(lambda connection: say(next(bodies))(connection))
    client = connect(server.url)
    with pytest.raises(APIConnectionError):
        client.models()
    assert client.models().body == {}


# --- Streams ---


def test_events_are_handed_over_as_they_arrive(client: OpenAI, httpserver: HTTPServer) -> None:
    seen = threading.Event()

    def serve(_: Request) -> Answer:
        def body() -> Iterator[bytes]:
            yield b'data: {"n": 1}\n\n'
            yield b'data: {"n": 2}\n\n' if seen.wait(GENEROUS) else b'data: {"n": "late"}\n\n'

        return Answer(body(), content_type="text/event-stream")

    httpserver.expect_request(ANYTHING).respond_with_handler(serve)
    received = []

    def on_event(event: dict[str, Any]) -> None:
        received.append(event)
        seen.set()

    client.create_chat_completion(HELLO, on_event)
    assert received == [{"n": 1}, {"n": 2}]


def test_a_callback_asks_for_a_stream(client: OpenAI, httpserver: HTTPServer) -> None:
    respond_with_bytes(httpserver, events(), "text/event-stream")
    client.create_chat_completion(HELLO, lambda event: None, temperature=0)
    assert last_payload(httpserver) == {
        "model": "gpt-5.4",
        "messages": HELLO,
        "temperature": 0,
        "stream": True,
    }


def test_the_body_of_a_stream_is_its_raw_text(client: OpenAI, httpserver: HTTPServer) -> None:
    raw = events({"n": "é"}) + b": bye\n"
    respond_with_bytes(httpserver, raw, "text/event-stream")
    assert client.create_response("Hello", lambda event: None).body == raw.decode()


def test_chat_hands_over_chunks_and_their_events(client: OpenAI, httpserver: HTTPServer) -> None:
    streamed = [
        delta(role="assistant", content=None),
        delta(content="Hel"),
        delta(content="lo"),
        delta(),
    ]
    respond_with_bytes(httpserver, events(*streamed), "text/event-stream")
    received: list[tuple[object, ...]] = []
    client.chat(HELLO, lambda *arguments: received.append(arguments))
    assert received == [
        ({"content": "", "index": 0}, streamed[0]),
        ({"content": "Hel", "index": 0}, streamed[1]),
        ({"content": "lo", "index": 0}, streamed[2]),
        ({"content": "", "index": 0}, streamed[3]),
    ]


def test_create_chat_completion_hands_over_every_event(
    client: OpenAI, httpserver: HTTPServer
) -> None:
    streamed = [delta(content=None), {"usage": {}}, delta()]
    respond_with_bytes(httpserver, events(*streamed), "text/event-stream")
    received: list[object] = []
    client.create_chat_completion(HELLO, received.append)
    assert received == streamed


def test_a_refused_stream_has_a_decoded_body(client: OpenAI, httpserver: HTTPServer) -> None:
    respond(httpserver, {"error": {"message": "No"}}, 400)
    response = client.chat(HELLO, lambda chunk, event: None)
    assert response[:2] == (400, {"error": {"message": "No"}})


def test_an_error_in_the_callback_ends_the_stream_and_its_connection(
    connect: Connect, fault_server: StartServer
) -> None:
    left = threading.Event()

    def script(connection: Connection) -> None:
        say_then_stall(CHUNKED_STREAM + chunk(events({"n": 1})))(connection)
        left.set()

    def on_event(event: dict[str, Any]) -> None:
        raise RuntimeError("enough")

    client = connect(fault_server(script).url)
    with pytest.raises(RuntimeError, match=r"^enough$") as caught:
        client.create_response("Hello", on_event)
    assert left.wait(GENEROUS)
    del caught  # It held the frames of the call: no garbage collection has closed the connection.


# --- The network's failures ---

ASK_PLAINLY: Ask = lambda client: client.models()  # noqa: E731
ASK_FOR_A_STREAM: Ask = lambda client: client.create_response("x", lambda event: None)  # noqa: E731

FAILURES: list[tuple[str, Ask, Script, str]] = [
    ("reset before headers", ASK_PLAINLY, reset_at_once, "the server closed the connection"),
    ("closed before headers", ASK_PLAINLY, say(), "the server closed the connection"),
    ("cut body", ASK_PLAINLY, say(answer(b'{"a": ', length=99)), "the answer was cut off"),
    (
        "cut between chunks",
        ASK_FOR_A_STREAM,
        say(CHUNKED_STREAM + chunk(events({"n": 1}))),
        "the answer was cut off",
    ),
    (
        "cut inside a chunk",
        ASK_FOR_A_STREAM,
        say(CHUNKED_STREAM + b"ff\r\ndata: {"),
        "the answer was cut off",
    ),
    ("not HTTP", ASK_PLAINLY, say(b"220 mail.test ESMTP\r\n"), "not an HTTP answer"),
    ("binary", ASK_PLAINLY, say(b"\x00\xff\x16\x03" * 20), "not an HTTP answer"),
    (
        "broken compression",
        ASK_PLAINLY,
        say(answer(b"not gzip", "Content-Encoding: gzip")),
        "the answer's compression is broken",
    ),
]


@pytest.mark.parametrize(
    ("ask", "script", "text"),
    [pytest.param(*failure, id=name) for name, *failure in FAILURES],
)
def test_a_failure_of_the_network_is_one_line_that_says_what_and_where(
    connect: Connect, fault_server: StartServer, ask: Ask, script: Script, text: str
) -> None:
    url = fault_server(script).url
    with pytest.raises(APIConnectionError) as caught:
        ask(connect(url))
    assert re.fullmatch(f"{text}: {url}/(models|responses)", str(caught.value))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_refused_connection_says_so(connect: Connect, refusing_url: str) -> None:
    with pytest.raises(APIConnectionError) as caught:
        connect(refusing_url).models()
    assert str(caught.value) == f"connection refused: {refusing_url}/models"


def test_an_unknown_host_is_named(connect: Connect) -> None:
    with pytest.raises(APIConnectionError) as caught:
        connect("http://nobody.invalid/v1").models()
    assert str(caught.value) == "unknown host: nobody.invalid (http://nobody.invalid/v1/models)"


STALLS = {
    "before the headers": (ASK_PLAINLY, say_then_stall()),
    "in the headers": (ASK_PLAINLY, say_then_stall(b"HTTP/1.1 200 OK\r\nContent-")),
    "in the body": (ASK_PLAINLY, say_then_stall(answer(b"{", length=9))),
    "in a stream": (ASK_FOR_A_STREAM, say_then_stall(CHUNKED_STREAM + chunk(events({"n": 1})))),
}


@pytest.mark.parametrize(("ask", "script"), STALLS.values(), ids=STALLS)
def test_silence_ends_with_the_read_time_out(
    connect: Connect, fault_server: StartServer, ask: Ask, script: Script
) -> None:
    url = fault_server(script).url
    client = connect(url, timeout={"read": 0.05})
    with pytest.raises(APITimeoutError, match=rf"^timed out: no answer within 0\.05 s from {url}/"):
        ask(client)


def test_a_slow_body_that_never_pauses_too_long_is_read(
    connect: Connect, fault_server: StartServer
) -> None:
    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(answer(b"", length=8))
        for _ in range(8):
            threading.Event().wait(0.15)
            connection.send(b"1")

    assert connect(fault_server(script).url, timeout=1).models().body == 11111111


# --- TLS ---


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls_server(authority: trustme.CA) -> Iterator[HTTPServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with HTTPServer(host="127.0.0.1", ssl_context=context, threaded=True) as server:
        respond(server, "over TLS")
        yield server


def test_an_untrusted_certificate_is_one_clear_line(
    connect: Connect, tls_server: HTTPServer
) -> None:
    url = tls_server.url_for("/v1")
    with pytest.raises(APIConnectionError) as caught:
        connect(url).models()
    assert re.fullmatch(
        rf"TLS failed: certificate not trusted, [\w ]+ \({url}/models\)", str(caught.value)
    )


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_the_environment_can_name_whom_to_trust(
    connect: Connect,
    tls_server: HTTPServer,
    authority: trustme.CA,
    variable: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle = tmp_path / "bundle.pem"
    authority.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv(variable, str(bundle))
    assert connect(tls_server.url_for("/v1")).models().body == "over TLS"


def test_tls_to_a_server_that_speaks_none_is_one_clear_line(
    connect: Connect, fault_server: StartServer
) -> None:
    url = fault_server(lambda connection: connection.send(b"220 hi\r\n")).url
    url = url.replace("http:", "https:")
    with pytest.raises(APIConnectionError) as caught:
        connect(url).models()
    assert str(caught.value).startswith("TLS failed: ")
    assert "\n" not in str(caught.value)


# --- The key stays secret ---

SECRET = "sk-secret-9f8e7d6c5b4a"


def everything_said_by(error: BaseException) -> str:
    """The traceback, and what each exception behind the error says, suppressed ones too."""
    said = "".join(traceback.format_exception(error))
    behind: BaseException | None = error
    while behind is not None:
        said += f"{behind!s} {behind!r} {behind.args!r}\n"
        behind = behind.__cause__ or behind.__context__
    return said


@pytest.mark.parametrize(
    ("ask", "script"),
    [
        *((ask, script) for _, ask, script, _ in FAILURES),
        *STALLS.values(),
        (lambda client: client.new_chat_session().send("Hello"), say(answer(b"{}"))),
        (lambda client: client.new_chat_session().send("x", temperature=NAN), say()),
    ],
)
def test_no_error_or_log_shows_the_key(
    connect: Connect,
    fault_server: StartServer,
    ask: Ask,
    script: Script,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises((APIConnectionError, APIError, ValueError)) as caught:
        ask(connect(fault_server(script).url, SECRET, timeout=0.05))
    assert SECRET not in everything_said_by(caught.value) + caplog.text


def test_no_tls_error_shows_the_key(connect: Connect, tls_server: HTTPServer) -> None:
    with pytest.raises(APIConnectionError) as caught:
        connect(tls_server.url_for("/v1"), SECRET).models()
    assert SECRET not in everything_said_by(caught.value)


@pytest.mark.parametrize("character", ["\n", "\r", "\0", "€", "\x7f"])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(
    connect: Connect, refusing_url: str, character: str
) -> None:
    client = connect(refusing_url, SECRET + character)
    with pytest.raises(ValueError, match=r"the API key holds a character that no header") as caught:
        client.models()
    assert SECRET not in everything_said_by(caught.value)


def test_neither_client_nor_session_shows_the_key(connect: Connect, base_url: str) -> None:
    client = connect(base_url, SECRET)
    session = client.new_chat_session()
    assert SECRET not in f"{client} {client!r} {session} {session!r} {client._transport!r}"


def test_credentials_in_the_base_url_are_not_shown(connect: Connect, refusing_url: str) -> None:
    client = connect(refusing_url.replace("//", f"//user:{SECRET}@"))
    with pytest.raises(APIConnectionError) as caught:
        client.models()
    assert SECRET not in everything_said_by(caught.value) + repr(client)


# --- Chat sessions ---


def test_a_session_returns_the_reply_and_keeps_it(client: OpenAI, httpserver: HTTPServer) -> None:
    respond(httpserver, completion({"role": "assistant", "content": "Hi!", "refusal": None}))
    session = client.new_chat_session(messages=[{"role": "system", "content": "Be brief."}])
    assert session.send("Hello") == "Hi!"
    assert session.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi!"},
    ]
    assert session.last_message() == {"role": "assistant", "content": "Hi!"}


def test_each_request_carries_the_history_and_the_sessions_parameters(
    client: OpenAI, httpserver: HTTPServer
) -> None:
    respond(httpserver, completion({"content": "Hi!"}))
    tools = [{"type": "function", "function": {"name": "f"}}]
    session = client.new_chat_session(model="mine", temperature=0, tools=tools, tool_choice=None)
    session.send("Hello")
    session.send({"role": "user", "content": "Again"}, temperature=1, max_tokens=5)
    assert last_payload(httpserver) == {
        "model": "mine",
        "temperature": 1,
        "max_tokens": 5,
        "tools": tools,
        "messages": session.messages[:3],
    }


def test_the_history_is_live(client: OpenAI, httpserver: HTTPServer) -> None:
    respond(httpserver, completion({"content": "Hi!"}))
    session = client.new_chat_session()
    session.messages.append({"role": "user", "content": "slipped in"})
    session.functions = [{"name": "f"}]
    session.generate_response()
    assert last_payload(httpserver) == {
        "model": "gpt-5.4",
        "functions": [{"name": "f"}],
        "messages": [{"role": "user", "content": "slipped in"}],
    }


def test_a_response_may_stay_out_of_the_history(client: OpenAI, httpserver: HTTPServer) -> None:
    respond(httpserver, completion({"content": "Hi!"}))
    session = client.new_chat_session(messages=HELLO)
    assert session.generate_response(append_response=False) == "Hi!"
    assert session.messages == HELLO


@pytest.mark.parametrize(
    "calls",
    [
        {"tool_calls": [{"id": "1", "type": "function", "function": {"name": "f"}}]},
        {"function_call": {"name": "f", "arguments": "{}"}},
    ],
    ids=lambda calls: next(iter(calls)),
)
def test_a_reply_that_calls_is_returned_whole(
    client: OpenAI, httpserver: HTTPServer, calls: dict[str, Any]
) -> None:
    message = {"role": "assistant", "content": None, "refusal": None, **calls}
    respond(httpserver, completion(message))
    session = client.new_chat_session()
    assert session.send("Hello") == message
    assert session.last_message() == {"role": "assistant", "content": None, **calls}


def test_a_streamed_reply_is_put_together(client: OpenAI, httpserver: HTTPServer) -> None:
    streamed = [delta(content=None), delta(content="Hel"), delta(content="lo"), delta()]
    respond_with_bytes(httpserver, events(*streamed), "text/event-stream")
    session = client.new_chat_session()
    texts: list[str] = []
    assert session.send("Hi", lambda chunk, event: texts.append(str(chunk))) == "Hello"
    assert texts == ["", "Hel", "lo", ""]
    assert session.last_message() == {"role": "assistant", "content": "Hello"}


def test_streamed_tool_calls_are_put_together(client: OpenAI, httpserver: HTTPServer) -> None:
    streamed = [
        delta(tool_calls=[{"index": 0, "id": "1", "function": {"name": "f", "arguments": '{"a"'}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": ":1}"}}]),
    ]
    respond_with_bytes(httpserver, events(*streamed), "text/event-stream")
    session = client.new_chat_session()
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    expected = {"role": "assistant", "tool_calls": [call]}
    assert session.send("Hi", lambda chunk, event: None) == expected
    assert session.last_message() == expected


def ignore(chunk: object, event: object) -> None:
    """A stream callback that is not interested."""


@pytest.mark.parametrize("callback", [None, ignore], ids=["plain", "stream"])
def test_a_refusal_is_an_error_with_status_and_body(
    client: OpenAI, httpserver: HTTPServer, callback: Any
) -> None:
    body = {"error": {"message": "Too many requests", "code": 429}}
    respond(httpserver, body, 429, {"X-Request-Id": "req_7"})
    session = client.new_chat_session()
    with pytest.raises(RateLimitError) as caught:
        session.send("Hello", callback)
    assert str(caught.value) == "Bad status: 429: Too many requests (429)"
    assert (caught.value.status, caught.value.body) == (429, body)
    assert caught.value.request_id == "req_7"
    assert session.messages == HELLO


def test_an_answer_without_a_reply_is_an_error_and_keeps_the_users_message(
    client: OpenAI, httpserver: HTTPServer
) -> None:
    respond_with_bytes(httpserver, b"<html>", "text/html")
    session = client.new_chat_session()
    with pytest.raises(APIError, match=r"^Failed to parse response from server: ") as caught:
        session.send("Hello")
    assert (caught.value.status, caught.value.body) == (200, "<html>")
    assert session.messages == HELLO


@pytest.mark.parametrize("callback", [None, ignore], ids=["plain", "stream"])
def test_a_failure_of_the_network_keeps_the_users_message(
    connect: Connect, fault_server: StartServer, callback: Any
) -> None:
    server = fault_server(say(CHUNKED_STREAM + chunk(events(delta(content="Hal"))[:-20])))
    session = connect(server.url).new_chat_session()
    with pytest.raises(APIConnectionError, match=r"^the answer was cut off: "):
        session.send("Hello", callback)
    assert session.messages == HELLO


@pytest.mark.parametrize("message", [{"role": "nobody"}, {"role": "user", "content": 1}, 5])
def test_a_bad_message_is_refused_and_does_not_join_the_history(
    connect: Connect, refusing_url: str, message: Any
) -> None:
    session = connect(refusing_url).new_chat_session()
    with pytest.raises(ValueError, match=r"^message"):
        session.send(message)
    assert session.messages == []


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"messages": [{"role": "nobody"}]}, ValueError, r"^message\.role: "),
        ({"functions": [{"name": "f"}, {}]}, ValueError, r"^functions\[1\]\.name: "),
        ({"functions": [["f"]]}, ValueError, r"^functions\[0\]: expected a table with name"),
    ],
    ids=["message", "function", "list"],
)
def test_a_session_refuses_bad_options(
    client: OpenAI, options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        ChatSession(client, **options)


def test_a_sessions_options_are_sent_with_every_request(
    client: OpenAI, httpserver: HTTPServer
) -> None:
    respond(httpserver, completion({"role": "assistant", "content": "Hi"}))
    session = client.new_chat_session(max_tokens=5, a_new_one={"deep": True})
    session.send("Hello", max_tokens=6)
    sent = last_payload(httpserver)
    assert (sent["max_tokens"], sent["a_new_one"]) == (6, {"deep": True})


def test_a_session_keeps_its_last_response_raw(client: OpenAI, httpserver: HTTPServer) -> None:
    whole = completion({"role": "assistant", "content": "Hi"})
    raw = events(delta(content="Hi"))
    httpserver.expect_ordered_request(ANYTHING).respond_with_json(whole)
    for _ in range(2):
        httpserver.expect_ordered_request(ANYTHING).respond_with_data(raw)
    session = client.new_chat_session()
    assert session.last_response is None
    session.send("Hello")
    assert session.last_response == whole
    session.send("Hello", ignore)
    assert session.last_response == raw.decode()
    session.last_response = None
    with session.send("Hello", stream=True) as stream:
        assert [str(chunk) for chunk in stream] == ["Hi"]
    assert session.last_response == raw.decode()
