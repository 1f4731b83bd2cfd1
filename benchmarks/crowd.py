"""A server of many slow chats, in a process of its own, that costs as little as can be.

``python -m benchmarks.crowd`` prints its port and serves until it is ended. The model ``slow``
answers a chat after ``WAIT`` seconds, ``brisk`` after ``SHORT_WAIT``, others at once; a stream
brings ``EVENTS`` events, one every ``PACE`` seconds, each of which tells in ``sent`` when it was.
"""

from __future__ import annotations

import asyncio
import json
import time

WAIT = 0.25
SHORT_WAIT = 0.1
EVENTS = 200
PACE = 0.005

_MESSAGE = {"role": "assistant", "content": "Hello"}
_CHAT = json.dumps({"choices": [{"index": 0, "message": _MESSAGE}]}).encode()
_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(_CHAT)
    + _CHAT
)
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_EVENT = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","sent":%.6f,"model":"gpt-4.1",'
    b'"choices":[{"index":0,"delta":{"content":" hello"},"finish_reason":null}]}\n\n'
)
_DONE = b"data: [DONE]\n\n"


async def main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(_length(head))
            if b'"stream":true' in body:
                await _stream(writer)
            else:
                await asyncio.sleep(_wait(body))
                writer.write(_ANSWER)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def _wait(body: bytes) -> float:
    return WAIT if b'"slow"' in body else SHORT_WAIT if b'"brisk"' in body else 0


async def _stream(writer: asyncio.StreamWriter) -> None:
    writer.write(_HEAD)
    begun = time.monotonic()
    for number in range(EVENTS):
        await asyncio.sleep(max(0.0, begun + number * PACE - time.monotonic()))
        writer.write(_chunk(_EVENT % time.time()))
    writer.write(_chunk(_DONE) + b"0\r\n\r\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    return 0


if __name__ == "__main__":
    asyncio.run(main())
