"""A loopback server over raw sockets, for what no well-behaved HTTP server would do."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable

CHUNKED_STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def answer(
    body: bytes = b"{}", *headers: str, status: str = "200 OK", length: int | None = None
) -> bytes:
    """A whole answer; ``length`` is what it claims of its body's size."""
    size = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {size}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


def chunk(data: bytes) -> bytes:
    """A piece of a body in the chunked transfer coding; the last one is empty."""
    return b"%x\r\n%s\r\n" % (len(data), data)


class Connection:
    """One client's connection, as a script sees it.

    Attributes:
        number: 1 for the first that its server accepted.
    """

    def __init__(self, client: socket.socket, server: FaultServer, number: int) -> None:
        self.number = number
        self._client = client
        self._server = server
        self._received = b""

    def read_request(self) -> bytes:
        """The next request, head and body; empty when the client has gone."""
        while b"\r\n\r\n" not in self._received:
            if not self._receive():
                return b""
        head, _, rest = self._received.partition(b"\r\n\r\n")
        while len(rest) < _content_length(head):
            if not self._receive():
                return b""
            rest = self._received.partition(b"\r\n\r\n")[2]
        size = len(head) + 4 + _content_length(head)
        request, self._received = self._received[:size], self._received[size:]
        self._server.requests.append(request)
        return request

    def send(self, data: bytes) -> None:
        """Send bytes now, in one packet where they fit."""
        self._client.sendall(data)

    def reset(self) -> None:
        """Drop the connection without a farewell: the client reads a reset, not an end."""
        self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def relay(self, other: socket.socket) -> None:
        """Pass on to another socket what comes, and back what it says, until either ends."""
        other.sendall(self._received)
        back = threading.Thread(target=_pour, args=(other, self._client))
        back.start()
        _pour(self._client, other)
        back.join()

    def stall(self) -> None:
        """Say nothing until the client or the test leaves."""
        while self._receive():
            pass

    def speak_tls(self, context: ssl.SSLContext) -> None:
        """Go on over TLS; the client begins."""
        self._client = context.wrap_socket(
            self._client, server_side=True, do_handshake_on_connect=False
        )
        self._client.do_handshake()

    def hang_up(self) -> None:
        """End both directions, which also wakes a thread that reads."""
        with contextlib.suppress(OSError):
            self._client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the socket back."""
        self._client.close()

    def _receive(self) -> bytes:
        data = self._client.recv(65536)
        self._received += data
        return data


Script = Callable[[Connection], None]
"""What a server does with one connection, in a thread; the connection is closed after it."""


class FaultServer:
    """Accepts connections and runs the script on each.

    Args:
        script: what to do with a connection.
        tls: makes it speak TLS.

    Attributes:
        requests: every request read so far, head and body.
        connections: how many connections came so far.
    """

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._script = script
        self._tls = tls
        self._open: list[Connection] = []
        self._threads: list[threading.Thread] = []
        self._closing = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()

    @property
    def url(self) -> str:
        """The base URL for a client."""
        scheme = "https" if self._tls else "http"
        return f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def close(self) -> None:
        """End every connection and wait for every thread."""
        self._closing = True
        with socket.create_connection(self._listener.getsockname()):
            self._acceptor.join()
        self._listener.close()
        for connection in self._open:
            connection.hang_up()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            if self._closing:
                client.close()
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            # Here, since `close` may come before the thread has begun.
            connection = Connection(client, self, self.connections)
            self._open.append(connection)
            self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection: Connection) -> None:
        try:
            with contextlib.suppress(OSError):
                if self._tls:
                    connection.speak_tls(self._tls)
                self._script(connection)
        finally:
            connection.close()


def in_turn(*scripts: Script) -> Script:
    """A script that does one thing with the first connection, another with the next.

    The last one is for all that come after it.
    """

    def script(connection: Connection) -> None:
        scripts[min(connection.number, len(scripts)) - 1](connection)

    return script


def say(*pieces: bytes) -> Script:
    """A script that reads a request, sends the pieces and closes."""

    def script(connection: Connection) -> None:
        connection.read_request()
        for piece in pieces:
            connection.send(piece)

    return script


def say_then_stall(*pieces: bytes) -> Script:
    """A script that reads a request, sends the pieces and keeps the connection, silent."""

    def script(connection: Connection) -> None:
        say(*pieces)(connection)
        connection.stall()

    return script


def drip(data: bytes, seconds: float) -> Script:
    """A script that reads a request and sends single bytes, with a pause after each."""

    def script(connection: Connection) -> None:
        connection.read_request()
        pause = threading.Event()
        for byte in data:
            connection.send(bytes([byte]))
            pause.wait(seconds)

    return script


def reset_at_once(connection: Connection) -> None:
    """A script that reads a request and resets the connection before any answer."""
    connection.read_request()
    connection.reset()


def keep_alive(answers: Iterable[bytes]) -> Script:
    """A script that gives each request on a connection the next answer, then closes."""

    def script(connection: Connection) -> None:
        for one in answers:
            if not connection.read_request():
                return
            connection.send(one)

    return script


def _pour(source: socket.socket, target: socket.socket) -> None:
    """Copy until there is no more, then end both."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
