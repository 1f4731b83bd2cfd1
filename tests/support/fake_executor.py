"""An executor for tests of jobs: it runs a Python function in this process, a few rows at a time.

As a program, ``python fake_executor.py OPTIONS.json REQUESTS.log PAUSE [KILL_AT]`` does a job with
a function that notes each row in a file before it answers, so that a test can kill it. With
``KILL_AT`` it kills itself just before its KILL_AT-th change of a name or flush of a file.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from luaopenai.batch import journal
from luaopenai.batch.exchange import (
    DONE,
    FAILED,
    LEFT_OUT,
    Chunk,
    Dropped,
    Event,
    Outcome,
    Row,
    Stop,
    Usage,
)
from luaopenai.batch.job import Job
from luaopenai.batch.options import Options

ONE_REQUEST = Usage(1, 10, 5, 0.25)


class RowError(Exception):
    """A row fails with this message."""


class FakeExecutor:
    """Answers rows with ``function(value)``; None leaves a row out.

    With ``seed``, rows finish in another order than they came.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        capacity: int = 16,
        chunk_rows: int = 8,
        seed: int | None = None,
        pause: float = 0.0,
    ) -> None:
        self.capacity = capacity
        self.chunk_rows = chunk_rows
        self.is_closed = False
        self.asked: list[Any] = []
        self._function = function
        self._waiting: list[Row] = []
        self._is_finishing = False
        self._random = None if seed is None else random.Random(seed)
        self._pause = pause

    def submit(self, chunk: Chunk) -> None:
        assert not self.is_closed
        assert not self._is_finishing
        assert len(chunk.rows) <= self.chunk_rows
        self._waiting += chunk.rows

    def outcomes(self, timeout: float) -> list[Event]:
        if self.is_closed:
            return []
        if self._is_finishing:
            dropped, self._waiting = [row.number for row in self._waiting], []
            return [Dropped(dropped)]
        if self._random is not None:
            self._random.shuffle(self._waiting)
        count = max(1, len(self._waiting) // 2)
        rows, self._waiting = self._waiting[:count], self._waiting[count:]
        events: list[Event] = [self._ask(row) for row in rows]
        if self._pause:
            time.sleep(self._pause)
        return events

    def _ask(self, row: Row) -> Outcome:
        value = row.value
        self.asked.append(value)
        try:
            result = self._function(value)
        except RowError as error:
            return Outcome(row.number, FAILED, error=str(error), usage=ONE_REQUEST)
        if result is None:
            return Outcome(row.number, LEFT_OUT, usage=ONE_REQUEST)
        return Outcome(row.number, DONE, json.dumps(result).encode(), usage=ONE_REQUEST)

    def finish(self) -> None:
        self._is_finishing = True

    def close(self, seconds: float) -> None:
        self.is_closed = True


def failing(*ids: int, error: str = "no {}") -> Callable[[Any], Any]:
    """A function for which rows of these ids fail, each with a letter of its own."""

    def function(value: Any) -> Any:
        if value["id"] in ids:
            raise RowError(error.format("abcdefghij"[value["id"] % 10]))
        return value

    return function


def stopping_after(count: int) -> Callable[[Callable[[Any], Any]], FakeExecutor]:
    """An executor that stops the run after so many rows, as a budget does."""

    class Stopping(FakeExecutor):
        def outcomes(self, timeout: float) -> list[Event]:
            events = super().outcomes(timeout)
            if len(self.asked) >= count and not self._is_finishing:
                events.append(Stop("that is enough", 4))
            return events

    return lambda function: Stopping(function, capacity=4, chunk_rows=2)


def answer_to(value: Any) -> Any:
    """What the program's function answers."""
    if value["id"] % 50 == 7:
        raise RowError("no answer to this one")
    return {"id": value["id"], "square": value["id"] ** 2}


def die_at(step: int) -> None:
    """Makes this process kill itself before the step-th call that makes a file safe or names it."""
    left = step

    def deadly(call: Callable[..., Any]) -> Callable[..., Any]:
        def count(*args: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **options)

        return count

    for name in ("fsync", "replace", "rename", "unlink", "mkdir"):
        setattr(os, name, deadly(getattr(os, name)))


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        given = json.load(file)
    given["inputs"] = tuple(given["inputs"])
    log = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    pause = float(sys.argv[3])
    # Short jobs shall have several commits.
    journal.COMMIT_SECONDS = 0.03
    if len(sys.argv) > 4:
        die_at(int(sys.argv[4]))

    def answer(value: Any) -> Any:
        os.write(log, f"{value['id']}\n".encode())
        return answer_to(value)

    def start(_: Usage) -> FakeExecutor:
        return FakeExecutor(answer, capacity=8, chunk_rows=4, seed=1, pause=pause)

    summary = Job(Options(**given), start).run()
    print(summary.reason or "", flush=True)
    sys.exit(summary.code)


if __name__ == "__main__":
    main()
