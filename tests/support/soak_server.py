"""A server in a process of its own that makes, for each request, the faults that it asks for.

A request names itself in ``X-Id`` and its faults in ``X-Plan``, one for each time that it comes;
after them it is served well. ``reset``: done, but the connection is reset before the answer.
``503`` and ``429``: refused. ``cut``: half an answer. ``slow``: a late one. ``last``: a whole one,
after which the connection is closed without a word. ``GET /v1/tally`` tells what came of it all.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

EVENTS = 6
REFUSALS = {"503": "503 Service Unavailable", "429": "429 Too Many Requests"}


@contextlib.contextmanager
def soak_server() -> Iterator[str]:
    """Runs the server; gives its base URL."""
    command = [sys.executable, __file__]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
        finally:
            process.terminate()


def pieces_of(name: str) -> list[str]:
    """The pieces of text that a stream brings, before it is cut in its middle or ends."""
    return [f"{name}/{number} " for number in range(EVENTS)]


class Tally:
    """What the server has seen.

    Attributes:
        seen: how often each request came.
        done: how often each was carried out, whether or not the client was told.
        open: how many connections there are.
        most: how many there were at once.
    """

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.open = self.most = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        self.open += 1
        self.most = max(self.most, self.open)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._answer(*await _read_request(reader), writer):
                await writer.drain()
        self.open -= 1
        writer.close()

    async def _answer(
        self, path: str, headers: dict[str, str], writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request; returns whether the connection stays open."""
        if path == "/v1/tally":
            writer.write(_whole(json.dumps(vars(self)).encode()))
            return True
        name, plan = headers["x-id"], headers["x-plan"].split(",")
        attempt, self.seen[name] = self.seen[name], self.seen[name] + 1
        fault = plan[attempt] if attempt < len(plan) else ""
        if fault in REFUSALS:
            writer.write(_whole(b"{}", REFUSALS[fault], "Retry-After-Ms: 1"))
            return True
        self.done[name] += 1
        if fault == "reset":
            _reset(writer)
            return False
        if fault == "slow":
            await asyncio.sleep(0.002)
        text = _stream(name) if headers["x-kind"] == "stream" else _whole(_reply(name))
        writer.write(text[: -len(text) // 3] if fault == "cut" else text)
        return fault not in ("cut", "last")


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    named = (line.partition(": ") for line in head[1:])
    headers = {name.lower(): value for name, _, value in named}
    await reader.readexactly(int(headers.get("content-length", 0)))
    return head[0].split()[1], headers


def _whole(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _reply(name: str) -> bytes:
    choice = {"message": {"role": "assistant", "content": name}}
    return json.dumps({"choices": [choice]}).encode()


def _stream(name: str) -> bytes:
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    lines = [f"data: {_event(piece)}\n\n" for piece in pieces_of(name)]
    chunks = [f"{len(line):x}\r\n{line}\r\n" for line in [*lines, "data: [DONE]\n\n"]]
    return (head + "".join(chunks) + "0\r\n\r\n").encode()


def _event(text: str) -> str:
    choice = {"index": 0, "delta": {"content": text}}
    return json.dumps({"object": "chat.completion.chunk", "choices": [choice]})


def _reset(writer: asyncio.StreamWriter) -> None:
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def _main() -> None:
    server = await asyncio.start_server(Tally().serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main())
