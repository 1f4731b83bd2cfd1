"""A chat server that notes when each request came, and may refuse those that are too many."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from types import TracebackType
from typing import Any

_USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


class PaceServer:
    """The server; runs inside ``with``, in a thread. Each answer tells of 10 + 5 tokens.

    Args:
        seconds: how long an answer takes.
        per_second: how many requests are answered in each second; the others are refused with 429.
        retry_after: what a refusal says.
        key: the only one that is let in; None for any.
        refused: how many requests are refused at first, whatever they are.
        usage: what answers tell of their tokens.

    Attributes:
        url: the base URL for a client.
        times: when each request came, on the monotonic clock.
        statuses: how often each was answered.
        said: how often each last message came and was answered with 200.
        asked: how often each last message came.
    """

    def __init__(
        self,
        seconds: float = 0.0,
        *,
        per_second: int | None = None,
        retry_after: str | None = None,
        key: str | None = None,
        refused: int = 0,
        usage: object = _USAGE,
    ) -> None:
        self.times: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.said: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.bodies: list[Any] = []
        self._seconds = seconds
        self._per_second = per_second
        self._retry_after = retry_after
        self._key = key
        self._refused = refused
        self._usage = usage
        self._answered: list[float] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="pace-server")
        self._tasks: set[asyncio.Task[Any]] = set()

    def __enter__(self) -> PaceServer:
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512))
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
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

    def most_within(self, seconds: float) -> int:
        """Returns the most requests that came in any time of so many seconds."""
        times, most, first = sorted(self.times), 0, 0
        for last, at in enumerate(times):
            while at - times[first] >= seconds:
                first += 1
            most = max(most, last - first + 1)
        return most

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line[15:])
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length:")
                )
                await self._answer(head, json.loads(await reader.readexactly(length)), writer)
        except (asyncio.CancelledError, asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, head: bytes, payload: Any, writer: asyncio.StreamWriter) -> None:
        now = time.monotonic()
        self.times.append(now)
        said = payload["messages"][-1]["content"]
        self.asked[said] += 1
        self.bodies.append(payload)
        if self._key is not None and f"bearer {self._key}".encode() not in head.lower():
            shown = head.partition(b"Bearer ")[2].partition(b"\r\n")[0].decode()
            return self._write(writer, 401, _error(f"Incorrect API key provided: {shown}"))
        if self._is_too_much(now):
            more = f"retry-after: {self._retry_after}\r\n" if self._retry_after else ""
            return self._write(writer, 429, _error("Rate limit reached"), more)
        await asyncio.sleep(self._seconds)
        self.said[said] += 1
        message = {"role": "assistant", "content": said}
        choices = [{"index": 0, "message": message}]
        self._write(writer, 200, {"choices": choices, "usage": self._usage})
        return None

    def _is_too_much(self, now: float) -> bool:
        if self._refused:
            self._refused -= 1
            return True
        if self._per_second is None:
            return False
        self._answered = [at for at in self._answered if at > now - 1.0]
        if len(self._answered) >= self._per_second:
            return True
        self._answered.append(now)
        return False

    def _write(self, writer: asyncio.StreamWriter, status: int, body: Any, more: str = "") -> None:
        self.statuses[status] += 1
        text = json.dumps(body).encode()
        writer.write(
            f"HTTP/1.1 {status} Whatever\r\nContent-Type: application/json\r\n{more}"
            f"Content-Length: {len(text)}\r\n\r\n".encode()
            + text
        )


def _error(text: str) -> dict[str, Any]:
    return {"error": {"message": text, "code": "refused"}}
