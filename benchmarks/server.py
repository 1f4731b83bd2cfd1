"""A server of canned answers, made to cost the measured clients as little as can be.

``python -m benchmarks.server FOLDER`` listens on two ports of the loopback, plain and TLS, writes
the certificate to trust to ``FOLDER/ca.pem``, prints both ports, and serves until it is ended. The
first part of a path says what is answered, whichever endpoint comes after it:

- ``/small``: a chat completion;
- ``/stream-COUNT-PER``: COUNT events, PER of them in each chunk of HTTP's chunked coding;
- ``/stamped-COUNT``: COUNT events, one a millisecond, each with the time at which it was sent;
- ``/embeddings``: 64 vectors of 1536 numbers;
- ``/rounds-COUNT-CALLS``: a call of ``weather`` CALLS times, until COUNT rounds are answered.
"""

from __future__ import annotations

import functools
import json
import random
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import trustme

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nConnection: %s\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


def main() -> None:
    folder = Path(sys.argv[1])
    ports = [_listen(None), _listen(_tls(folder))]
    print(*ports, flush=True)
    threading.Event().wait()


def _tls(folder: Path) -> ssl.SSLContext:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def _listen(context: ssl.SSLContext | None) -> int:
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_serve, args=(connection, context), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    port: int = listener.getsockname()[1]
    return port


def _serve(connection: socket.socket, context: ssl.SSLContext | None) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        if context is not None:
            connection = context.wrap_socket(connection, server_side=True)
        with connection:
            for path, body, closing in _requests(connection):
                head, pieces = _answer(path, body)
                connection.sendall(head % (b"close" if closing else b"keep-alive"))
                for piece in pieces:
                    connection.sendall(piece)
                if closing:
                    return
    except OSError:
        pass  # The client left.


def _requests(connection: socket.socket) -> Iterator[tuple[str, bytes, bool]]:
    """Returns the path and the body of each request, and whether it is the last."""
    received = b""
    while True:
        while b"\r\n\r\n" not in received:
            more = connection.recv(1 << 20)
            if not more:
                return
            received += more
        head, _, received = received.partition(b"\r\n\r\n")
        request, *lines = head.split(b"\r\n")
        headers = {
            name.strip().lower(): value.strip().lower()
            for name, _, value in (line.partition(b":") for line in lines)
        }
        pieces = [received]
        missing = int(headers.get(b"content-length", 0)) - len(received)
        while missing > 0:
            pieces.append(connection.recv(min(missing, 1 << 20)))
            missing -= len(pieces[-1])
        received = b""
        closing = b"close" in headers.get(b"connection", b"")
        yield request.split()[1].decode(), b"".join(pieces), closing


def _answer(path: str, body: bytes) -> tuple[bytes, Iterable[bytes]]:
    """Returns a head that lacks its connection header's value, and the body's pieces."""
    kind, *numbers = path.split("/")[1].split("-")
    if kind == "small":
        return _whole(_completion())
    if kind == "embeddings":
        return _whole(_embeddings())
    if kind == "rounds":
        rounds, calls = map(int, numbers)
        return _whole(_completion() if body.count(_ANSWER) >= rounds * calls else _calls(calls))
    head = _HEAD % (b"text/event-stream", b"%s") + _CHUNKED
    count = int(numbers[0])
    if kind == "stamped":
        return head, _stamped(count)
    return head, (_stream(count, int(numbers[1])),)


def _whole(body: bytes) -> tuple[bytes, Iterable[bytes]]:
    # In one piece, so that the answer is one packet: a client never waits for the second.
    head = _HEAD % (b"application/json", b"%s") + b"Content-Length: %d\r\n\r\n" % len(body)
    return head + body, ()


def _event(content: str, finish_reason: str | None = None) -> bytes:
    event = {
        "id": "chatcmpl-AbCdEf0123456789",
        "object": "chat.completion.chunk",
        "created": 1731000000,
        "model": "gpt-4.1",
        "choices": [
            {
                "index": 0,
                "delta": {"content": content} if content else {},
                "finish_reason": finish_reason,
            }
        ],
    }
    return b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


_END = _chunk(_event("", "stop") + b"data: [DONE]\n\n") + b"0\r\n\r\n"


@functools.cache
def _stream(count: int, per_chunk: int) -> bytes:
    events = [_event(f" word{number % 1000}") for number in range(count)]
    chunks = (
        _chunk(b"".join(events[first : first + per_chunk])) for first in range(0, count, per_chunk)
    )
    return b"".join(chunks) + _END


def _stamped(count: int) -> Iterator[bytes]:
    for _ in range(count):
        time.sleep(0.001)
        yield _chunk(_event(f"{time.time():.6f}"))
    yield _END


_ANSWER = b'"tool_call_id"'


@functools.cache
def _completion() -> bytes:
    text = 'An answer, with "quotes" and\nlines. ' * 3
    return _completed({"role": "assistant", "content": text}, "stop")


@functools.cache
def _calls(count: int) -> bytes:
    function = {"name": "weather", "arguments": '{"city":"Oslo","unit":"C"}'}
    calls = [
        {"id": f"call_{number}", "type": "function", "function": function}
        for number in range(count)
    ]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    return _completed(message, "tool_calls")


def _completed(message: dict[str, Any], reason: str) -> bytes:
    completion = {
        "id": "chatcmpl-AbCdEf0123456789",
        "object": "chat.completion",
        "created": 1731000000,
        "model": "gpt-4.1",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": 19, "completion_tokens": 30, "total_tokens": 49},
    }
    return json.dumps(completion).encode()


@functools.cache
def _embeddings() -> bytes:
    numbers = random.Random(1)
    rows = [
        {
            "object": "embedding",
            "index": index,
            "embedding": [float(f"{numbers.uniform(-0.05, 0.05):.9g}") for _ in range(1536)],
        }
        for index in range(64)
    ]
    usage = {"prompt_tokens": 64, "total_tokens": 64}
    answer = {"object": "list", "data": rows, "model": "text-embedding-3-small", "usage": usage}
    return json.dumps(answer, separators=(",", ":")).encode()


if __name__ == "__main__":
    main()
