"""A SOCKS5 proxy without names and passwords, which counts what goes through it."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import threading
from types import TracebackType


class SocksServer:
    """The proxy; runs inside ``with``, in threads.

    Attributes:
        url: what a client takes as its proxy.
        targets: the hosts and ports that connections were asked for.
    """

    def __init__(self) -> None:
        self.targets: list[tuple[str, int]] = []
        targets = self.targets

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                line: socket.socket = self.request
                _, methods = _take(line, 2)
                _take(line, methods)
                line.sendall(b"\x05\x00")
                _, _, _, kind = _take(line, 4)
                host = (
                    socket.inet_ntoa(_take(line, 4))
                    if kind == 1
                    else _take(line, _take(line, 1)[0]).decode("ascii")
                )
                (port,) = struct.unpack("!H", _take(line, 2))
                targets.append((host, port))
                with socket.create_connection((host, port)) as other:
                    line.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
                    back = threading.Thread(target=_pass_on, args=(other, line), daemon=True)
                    back.start()
                    _pass_on(line, other)
                    back.join()

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"socks5://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> SocksServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _take(line: socket.socket, size: int) -> bytes:
    """Read exactly so many bytes."""
    data = b""
    while len(data) < size:
        piece = line.recv(size - len(data))
        if not piece:
            raise ConnectionResetError
        data += piece
    return data


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    # A reset must reach the other side too: a client whose server has gone would wait for ever.
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
