"""A small HTTP proxy, as a script for the fault server: tunnels and plain forwarding."""

from __future__ import annotations

import base64
import socket
from urllib.parse import urlsplit

from support.fault_server import Connection, Script

REFUSAL = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"


def proxy(credentials: str = "") -> Script:
    """A script that passes requests on.

    Args:
        credentials: who may ask, such as ``ann:secret``; anybody when empty.
    """
    token = base64.b64encode(credentials.encode())

    def script(connection: Connection) -> None:
        request = connection.read_request()
        if token not in request:
            connection.send(REFUSAL)
            return
        method, target, rest = request.split(b" ", 2)
        address = urlsplit(b"//" + target if method == b"CONNECT" else target)
        assert address.hostname
        with socket.create_connection((address.hostname.decode(), address.port or 80)) as server:
            if method == b"CONNECT":
                connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                server.sendall(b" ".join((method, address.path, rest)))
            connection.relay(server)

    return script
