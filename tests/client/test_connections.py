"""Requests and answers' heads: what urllib3 and the standard library would send and read."""

from __future__ import annotations

import io
from http.client import HTTPException, HTTPResponse, IncompleteRead
from typing import Any

import pytest
import urllib3
from hypothesis import assume, example, given
from hypothesis import strategies as st

from luaopenai.client.chunked import ChunkedResponse
from luaopenai.client.connections import Connection


class Wire:
    """A socket that notes what is sent, and brings what it was given."""

    def __init__(self, brings: bytes = b"") -> None:
        self.sent: list[bytes] = []
        self._brings = brings

    def sendall(self, data: bytes) -> None:
        self.sent.append(data)

    def settimeout(self, seconds: float | None) -> None:
        pass

    def shutdown(self, how: int) -> None:
        pass

    def close(self) -> None:
        pass

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(io.BytesIO(self._brings))


def sent_by(kind: type[urllib3.connection.HTTPConnection], *request: Any) -> Any:
    """First line, headers in some order, and body."""
    connection = kind("example.com", 8080)
    connection.sock = wire = Wire()
    connection.request(*request)
    head, _, body = b"".join(wire.sent).partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    return first, sorted((name.lower(), text) for name, _, text in map(split, lines)), body


def split(line: bytes) -> tuple[bytes, bytes, bytes]:
    return line.partition(b": ")


names = st.sampled_from(["Accept", "X-Team", "content-length", "Transfer-Encoding", "HOST"])
texts = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"))
targets = st.sampled_from(["/", "/v1/chat?a=b", "http://example.com/v1", "/%C3%A9"])
USUAL = {"Host": "example.com:8080", "User-Agent": "luaopenai", "Accept-Encoding": "gzip"}


@given(
    st.sampled_from(["GET", "POST", "DELETE", "M-SEARCH", "post"]),
    targets,
    st.none() | st.binary(max_size=20) | st.just(b"a" * 100_000),
    st.dictionaries(names, texts, max_size=3),
)
@example("POST", "/", b"{}", {"Transfer-Encoding": "chunked"})
def test_a_request_is_what_urllib3_would_send(
    method: str, target: str, body: bytes | None, headers: dict[str, str]
) -> None:
    request = method, target, body, urllib3.HTTPHeaderDict(USUAL) | headers
    theirs = sent_by(urllib3.connection.HTTPConnection, *request)
    assert sent_by(Connection, *request) == theirs


def test_a_small_body_goes_out_with_its_head() -> None:
    connection = Connection("example.com")
    connection.sock = wire = Wire()
    connection.request("POST", "/", b"{}", USUAL)
    assert len(wire.sent) == 1


def read_by(kind: type[HTTPResponse], head: bytes, method: str) -> Any:
    """What an answer's head says, or that it is none."""
    response = kind(Wire(head + b"\r\n{}"), method=method)  # type: ignore[arg-type]
    try:
        response.begin()
    except HTTPException:
        return HTTPException
    said: Any = response
    # urllib3 puts headers of several lines into one, and no header's value ends with blanks.
    items = sorted(
        (name.lower(), " ".join(text.split())) for name, text in response.headers.items()
    )
    return said.status, said.reason, said.version, said.length, said.will_close, said.chunked, items


KEPT = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nX: 1"
headers = st.one_of(
    st.sampled_from(
        [
            b"Content-Type: application/json",
            b"content-length: 2",
            b"Content-Length: 02",
            b"Content-Length: -2",
            b"Content-Length: two",
            b"Content-Length:" + b"9" * 30,
            b"Transfer-Encoding: chunked",
            b"transfer-encoding: Chunked",
            b"Transfer-Encoding: gzip",
            b"Connection: close",
            b"Keep-Alive: timeout=5",
            b"X-Twice: a",
            b"X-Twice: b",
            b" folded",
            b"\tfolded",
            b"no colon",
            b": no name",
            b"Blank : before",
            b"\xe9: no name of ASCII",
            b"X-Latin: \xe9\xff",
            b"X-Empty:",
        ]
    ),
    st.builds(b"X-%s: %s".__mod__, st.tuples(st.sampled_from([b"A", b"B"]), st.binary(max_size=6))),
)


@given(
    st.sampled_from(
        [b"HTTP/1.1 200 OK", b"HTTP/1.0 200", KEPT, b"HTTP/1.1 204 No", b"HTTP/1.1 304 N"]
    ),
    st.lists(headers.filter(lambda line: not {b"\r"[0], b"\n"[0]} & set(line)), max_size=6),
    st.sampled_from([b"\r\n", b"\n"]),
    st.sampled_from(["GET", "HEAD"]),
)
@example(b"HTTP/1.1 200 OK", [b"X: 1"] * 101, b"\r\n", "GET")
@example(b"HTTP/1.1 200 OK", [b"X: " + b"1" * 70_000], b"\r\n", "GET")
@example(b"HTTP/1.1 200 OK", [b"\xe9: 1", b"X: 2"], b"\r\n", "GET")
@example(b"HTTP/2 200 OK", [], b"\r\n", "GET")
@example(b"ICY 200 OK", [], b"\r\n", "GET")
def test_a_head_says_what_the_standard_library_reads_in_it(
    status: bytes, lines: list[bytes], end: bytes, method: str
) -> None:
    assume(sum(line.lower().startswith(b"content-length") for line in lines) < 2)
    head = b"".join(line + end for line in [status, *lines])
    assert read_by(ChunkedResponse, head, method) == read_by(HTTPResponse, head, method)


def begin(*lines: bytes) -> Any:
    """An answer whose head has been read, cut off where that has no blank line."""
    head = b"".join(line + b"\r\n" for line in [b"HTTP/1.1 200 OK", *lines])
    response = ChunkedResponse(Wire(head))  # type: ignore[arg-type]
    response.begin()
    return response


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        ([b"Content-Length: 5", b"Content-Length: 5"], 5),
        ([b"Content-Length: 5, 05"], 5),
        ([b"Content-Length: many", b"content-length: more"], None),
        ([b"Content-Length: 5, 6", b"Transfer-Encoding: chunked"], None),
    ],
)
def test_a_length_may_be_said_twice(lines: list[bytes], length: int | None) -> None:
    assert begin(*lines, b"").length == length


@pytest.mark.parametrize(
    "lines",
    [
        [b"Content-Length: 5", b"Content-Length: 6"],
        [b"Content-Length: 5, 6"],
        [b"Content-Length: 5", b"Content-Length: many"],
        [b"Content-Length: 5,"],
    ],
)
def test_lengths_that_differ_are_no_answer(lines: list[bytes]) -> None:
    with pytest.raises(HTTPException, match="several lengths"):
        begin(*lines, b"")


@pytest.mark.parametrize("lines", [[], [b"X: 1"], [b"X: 1", b" folded"]])
def test_a_head_that_ends_before_its_blank_line_is_cut_off(lines: list[bytes]) -> None:
    with pytest.raises(IncompleteRead):
        begin(*lines)
