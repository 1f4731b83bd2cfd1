"""A chat server for many clients at once, which keeps count of them.

A chat's model says how it is answered, and the answer repeats its last message:
``wait-MS`` after a time; ``meet-COUNT`` once as many have been under way at once;
``drip-COUNT-MS`` as a stream of COUNT events, one each MS milliseconds; ``busy-MS`` a refusal that
asks to come again after a time, and then an answer; ``drop`` not at all.
``GET /crowd`` tells the count, and starts it again (see ``Count``).
"""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any

EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass
class Count:
    """What has been seen since somebody asked.

    Attributes:
        came: chats.
        now: chats under way.
        most: chats at once.
        lost: clients that left before their answer was whole.
        connections: open now.
        opened: connections.
    """

    came: int = 0
    now: int = 0
    most: int = 0
    lost: int = 0
    connections: int = 0
    opened: int = 0


class CrowdServer:
    """The server; runs inside ``with``, in a thread.

    Attributes:
        address: such as ``http://127.0.0.1:4000``.
        url: the base URL for a client.
        count: what it has seen.
    """

    def __init__(self) -> None:
        self.count = Count()
        self._refused: set[str] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="crowd-server")
        self._tasks: set[asyncio.Task[Any]] = set()

    def __enter__(self) -> CrowdServer:
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024))
        self.address = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self.url = f"{self.address}/v1"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _close(self) -> None:
        self._server.close()
        closing = asyncio.current_task()
        # Some may have been accepted and not have begun: they are among all tasks, not among ours.
        while asyncio.all_tasks() != {closing}:
            for task in self._tasks:
                task.cancel()
            await asyncio.sleep(0)
        # A transport closes its socket one turn after it was told to.
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.count.connections += 1
        self.count.opened += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(_length(head))
                if head.startswith(b"GET /crowd"):
                    now, connections = self.count.now, self.count.connections
                    writer.write(_whole(asdict(self.count)))
                    self.count = Count(now=now, most=now, connections=connections)
                else:
                    await self._chat(json.loads(body), reader, writer)
        except (asyncio.CancelledError, asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self.count.connections -= 1
            self._tasks.discard(task)
            # Without waiting for a client that does not read.
            writer.transport.abort()

    async def _chat(
        self, payload: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.count.came += 1
        self.count.now += 1
        self.count.most = max(self.count.most, self.count.now)
        try:
            await self._answer(payload, reader, writer)
        except OSError:
            self.count.lost += 1
            raise
        finally:
            self.count.now -= 1

    async def _answer(
        self, payload: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        kind, *numbers = payload["model"].split("-")
        said = payload["messages"][-1]["content"]
        if kind == "drop":
            raise ConnectionAbortedError
        if kind == "busy" and said not in self._refused:
            self._refused.add(said)
            writer.write(_whole({}, "429 Busy", f"retry-after-ms: {numbers[0]}"))
        elif kind == "meet":
            while self.count.most < int(numbers[0]):
                await _pass(reader, 1)
            writer.write(_chat_saying(said))
        elif kind == "drip":
            writer.write(EVENTS)
            for number in range(int(numbers[0])):
                await _pass(reader, int(numbers[1]))
                writer.write(_event(f"{said}{number} "))
            writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        else:
            await _pass(reader, int(numbers[0]) if kind == "wait" else 0)
            writer.write(_chat_saying(said))
        await writer.drain()


async def _pass(reader: asyncio.StreamReader, milliseconds: int) -> None:
    """Let time pass; raises ``OSError`` when the client leaves meanwhile."""
    try:
        await asyncio.wait_for(reader.read(1), milliseconds / 1e3)
    except asyncio.TimeoutError:
        return
    raise ConnectionResetError


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.split(b":")[1])
    return 0


def _whole(value: object, status: str = "200 OK", *headers: str) -> bytes:
    body = json.dumps(value).encode()
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


def _chat_saying(content: str) -> bytes:
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return _whole({"object": "chat.completion", "choices": [choice]})


def _event(content: str) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": None}
    event = {"object": "chat.completion.chunk", "choices": [choice]}
    data = f"data: {json.dumps(event)}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(data), data)
