"""The reader of chunked bodies: whatever the chunks and the network's pieces, the same bytes."""

from __future__ import annotations

import io
from collections.abc import Callable
from http.client import IncompleteRead
from itertools import pairwise
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from luaopenai import APIConnectionError, OpenAI
from luaopenai.client.chunked import ChunkedResponse
from support import API_KEY
from support.fault_server import Connection, FaultServer, Script, answer, chunk

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Wire(io.RawIOBase):
    """A socket that brings one piece a read, then nothing more."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        room = cast(memoryview, buffer)
        piece = self._pieces.pop(0) if self._pieces else b""
        taken = piece[: len(room)]
        if len(piece) > len(taken):
            self._pieces.insert(0, piece[len(taken) :])
        room[: len(taken)] = taken
        return len(taken)


def receive(*pieces: bytes, method: str = "GET") -> ChunkedResponse:
    """An answer whose head has been read."""
    response = ChunkedResponse(Wire(list(pieces)), method=method)  # type: ignore[arg-type]
    response.begin()
    return response


def read(response: ChunkedResponse) -> list[bytes]:
    """The pieces of its body."""
    pieces = []
    while piece := response.read1(1 << 20):
        pieces.append(piece)
    return pieces


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The data in pieces, cut at places that are counted from its start, round and round."""
    marks = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(marks)]


SIZES = st.sampled_from(["%x", "%X", "%03x", "  %x ", "%x\t"])
EXTENSIONS = st.sampled_from([b"", b";last", b';name="value"', b" ; a=b; c"])
TRAILERS = st.sampled_from([b"", b"Checksum: 5\r\n", b"A: 1\r\nB: 2\r\n"])
PLACES = st.lists(st.integers(0, 4000), max_size=30)


@given(
    st.lists(st.binary(min_size=1, max_size=300)), SIZES, EXTENSIONS, TRAILERS, PLACES, st.binary()
)
@example([b"a" * 20], "%x", b"", b"", list(range(4000)), b"")
@example([b"\r\n0\r\n\r\n"], "%x", b"", b"A: 1\r\n", [], b"")
def test_a_body_is_the_same_however_it_is_cut_into_chunks_and_pieces(
    chunks: list[bytes],
    size: str,
    extension: bytes,
    trailer: bytes,
    places: list[int],
    next_answer: bytes,
) -> None:
    coded = b"".join(
        (size % len(data)).encode() + extension + b"\r\n" + data + b"\r\n" for data in chunks
    )
    coded += b"0" + extension + b"\r\n" + trailer + b"\r\n"
    response = receive(HEAD, *cut(coded, places), next_answer)
    assert b"".join(read(response)) == b"".join(chunks)
    assert response.isclosed()


def test_what_arrived_together_comes_out_together() -> None:
    assert read(receive(HEAD + chunk(b"one ") + chunk(b"two") + chunk(b""))) == [b"one two"]


def test_what_has_arrived_of_a_chunk_is_not_held_back() -> None:
    assert read(receive(HEAD, b"7\r\none", b" two", b"\r\n0\r\n\r\n")) == [b"one", b" two"]


@given(st.binary(min_size=1, max_size=50), st.data())
def test_a_body_that_ends_before_its_end_is_cut_off(body: bytes, data: st.DataObject) -> None:
    coded = chunk(body) + chunk(b"")
    arrived = coded[: data.draw(st.integers(0, len(coded) - 1))]
    with pytest.raises(IncompleteRead):
        read(receive(HEAD, *cut(arrived, data.draw(PLACES))))


BROKEN = {
    "no size": b"\r\nab\r\n",
    "a word for size": b"two\r\nab\r\n",
    "a negative size": b"-2\r\nab\r\n",
    "a signed size": b"+2\r\nab\r\n",
    "a size as programs write it": b"0x2\r\nab\r\n",
    "a size with an underscore": b"1_0\r\n",
    "a size with a line end before it": b"\r\n2\r\nab\r\n",
    "a huge size": b"f" * 17 + b"\r\n",
    "a chunk longer than its size": b"2\r\nabcd\r\n0\r\n\r\n",
    "a chunk shorter than its size": b"3\r\nab\r\n0\r\n\r\n",
    "no line end after a chunk": b"2\r\nab0\r\n\r\n",
    "other bytes for a line end": b"2\r\nabXY0\r\n\r\n",
}


@pytest.mark.parametrize("coded", BROKEN.values(), ids=BROKEN)
def test_a_broken_coding_is_a_body_cut_off(coded: bytes) -> None:
    with pytest.raises(IncompleteRead):
        read(receive(HEAD, coded))


@pytest.mark.parametrize("coded", BROKEN.values(), ids=BROKEN)
def test_a_broken_coding_is_one_however_it_is_cut(coded: bytes) -> None:
    with pytest.raises(IncompleteRead):
        read(receive(HEAD, *cut(coded, list(range(200)))))


def test_a_size_beyond_all_memory_waits_for_its_bytes_and_no_more() -> None:
    response = receive(HEAD, b"fffffffffffffff\r\n", b"abc")
    assert response.read1(10) == b"abc"
    with pytest.raises(IncompleteRead):
        response.read1(10)


@pytest.mark.parametrize("begin", [b"2;", b"0\r\nA: "], ids=["size", "trailer"])
def test_a_line_without_end_is_not_read_for_ever(begin: bytes) -> None:
    wire = Wire([HEAD, begin, *[b"x" * 10_000] * 20])
    response = ChunkedResponse(wire, method="GET")  # type: ignore[arg-type]
    response.begin()
    with pytest.raises(IncompleteRead):
        response.read1(10)
    assert wire.readinto(bytearray(1))


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_an_answer_that_has_no_body_is_not_waited_for(method: str) -> None:
    head = HEAD if method == "HEAD" else HEAD.replace(b"200 OK", b"204 No Content")
    assert read(receive(head, method=method)) == []


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_an_answer_that_has_no_body_has_ended_when_that_was_read(method: str) -> None:
    head = HEAD if method == "HEAD" else HEAD.replace(b"200 OK", b"204 No Content")
    response = receive(head, method=method)
    read(response)
    assert response.isclosed()


def test_a_body_that_is_not_chunked_is_read_as_ever() -> None:
    assert b"".join(read(receive(answer(b"plain")))) == b"plain"


# --- Over real connections ---


@pytest.mark.parametrize("trailer", [b"", b"Checksum: 5\r\n"])
def test_after_a_whole_body_the_connection_serves_again(
    fault_server: Callable[[Script], FaultServer], trailer: bytes
) -> None:
    def script(connection: Connection) -> None:
        while connection.read_request():
            connection.send(HEAD + chunk(b"[1, "))
            connection.send(chunk(b"2]") + b"0\r\n" + trailer + b"\r\n")

    server = fault_server(script)
    with OpenAI(API_KEY, server.url, max_retries=0) as client:
        assert [client.models().body for _ in range(3)] == [[1, 2]] * 3
    assert server.connections == 1


@pytest.mark.parametrize("coded", [BROKEN["a negative size"], b"ff\r\ncut"])
def test_after_a_body_cut_off_it_does_not(
    fault_server: Callable[[Script], FaultServer], coded: bytes
) -> None:
    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(HEAD + coded if server.connections == 1 else answer(b"[]"))
        connection.hang_up()

    server = fault_server(script)
    with OpenAI(API_KEY, server.url, max_retries=0) as client:
        with pytest.raises(APIConnectionError, match=r"^the answer was cut off: http"):
            client.models()
        assert client.models().body == []
    assert server.connections == 2
