"""A job inside a worker of Dask's: its Lua state, and the tasks that bring rows to it.

A task brings a chunk of rows, and ends when all have outcomes. Those go to the job as they come, by
the relay (see ``dask_relay``), not with the task's end. As soon as all rows of a chunk have begun,
its task secedes, so that the next one may bring rows: there is no barrier between chunks.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from distributed import get_worker, secede
from distributed.diagnostics.plugin import WorkerPlugin

from luaopenai.batch import frames
from luaopenai.batch.begin import written
from luaopenai.batch.dask_profiler import stop_profiler
from luaopenai.batch.dask_relay import DOWN, OVER, UP, plugin_name
from luaopenai.batch.meter import Meter
from luaopenai.batch.ranges import Range
from luaopenai.batch.tidy import Tidy
from luaopenai.batch.worker import Lines, load
from luaopenai.bridge.errors import LuaError

if TYPE_CHECKING:
    from distributed import Worker

HELLO = b"h"
"""To a job: a worker is there. Answered by ``frames.BEGIN``."""
UNREAD = b"v"
"""To a job: the file that rows are in is not here, or not the same."""
START = b"c"
"""To a job: a task begins, with a chunk's number. Answered by ``GO``."""
GO = b"k"
"""To a worker: a chunk's number, a tab, and JSON: which rows not to do, and whether the others may
have ended a worker; nothing where the chunk is not wanted. Also the answer to ``frames.BEGUN``."""

_ASK_SECONDS = 0.003
_AHEAD_SECONDS = 0.1
"""For how long a worker shall have rows that have not begun, when the next chunk is called for."""
_SECEDE = b"s"
_DONE = b"d"
_GONE_AWAY = b""


class Rows:
    """A chunk on its way to a worker; nothing of it is shown in logs.

    Args:
        job: whose it is.
        number: the chunk's.
        numbers: the rows'.
        lines: the rows with their numbers, or where they are.
        is_alone: whether no other rows may be under way beside it.
    """

    def __init__(
        self,
        job: str,
        number: int,
        numbers: Sequence[int],
        lines: bytes | Range,
        *,
        is_alone: bool,
    ) -> None:
        self.job = job
        self.number = number
        self.numbers = numbers
        self.lines = lines
        self.is_alone = is_alone

    def __repr__(self) -> str:
        return f"<chunk {self.number}>"


def run_rows(rows: Rows) -> None:
    """The task: ends when all rows have outcomes, and those are on their way."""
    plugin = get_worker().plugins.get(plugin_name(rows.job))
    if isinstance(plugin, JobPlugin):
        plugin.here.run(rows)


class JobPlugin(WorkerPlugin):
    """Keeps a job in each worker.

    Args:
        job: its name.
        is_own: whether the workers are there for this job only.

    What a job is, with its key, comes later and by another way: Dask keeps plugins.
    """

    here: JobHere

    def __init__(self, job: str, *, is_own: bool) -> None:
        self.name = plugin_name(job)
        self._job = job
        self._is_own = is_own

    def setup(self, worker: Worker) -> None:
        """Tells the job that a worker is there."""
        if self._is_own:
            # Ctrl-C is for the command, and what scripts print for people.
            with contextlib.suppress(ValueError):
                signal.signal(signal.SIGINT, signal.SIG_IGN)
            os.dup2(2, 1)
        stop_profiler(worker)
        self.here = JobHere(worker, self._job)

        def listen(job: str, frames: list[bytes]) -> None:
            plugin = worker.plugins.get(plugin_name(job))
            if isinstance(plugin, JobPlugin):
                plugin.here.take(frames)

        worker.stream_handlers[DOWN] = listen
        self.here.send(HELLO)

    def teardown(self, worker: Worker) -> None:
        """Ends the job here."""
        self.here.end()


class _ChunkHere:
    """A chunk in this worker: how many of its rows have no outcome, and what its task waits for."""

    __slots__ = ("left", "wake")

    def __init__(self) -> None:
        self.left = 0
        self.wake = SimpleQueue[bytes]()


class JobHere:
    """A job in a worker of Dask's; it is the ``Line`` of the job's ``Lines``."""

    def __init__(self, worker: Worker, job: str) -> None:
        self._worker = worker
        self._job = job
        self._changed = threading.Condition()
        self._began = time.monotonic()
        self._settling = 0.0
        self._outbox: list[bytes] = []
        self._due = float("inf")
        self._hold = 0.05
        self._concurrency = 1
        self._lines: Lines | None = None
        self._chunks: dict[int, _ChunkHere] = {}
        self._where: dict[int, _ChunkHere] = {}
        """By the numbers of the rows that have no outcome."""
        self._staying: deque[_ChunkHere] = deque()
        """Whose tasks have not seceded."""
        self._is_called = False
        self._lonely = 0
        self._is_ready = threading.Event()
        self._is_over = False
        self._finished = Meter()

    # Messages.

    def send(self, kind: bytes, payload: bytes = b"") -> None:
        """Sends a message, from any thread; outcomes and what was used go out together."""
        done: list[_ChunkHere] = []
        called = None
        delay = 0.0
        if kind == frames.OUTCOMES:
            done, called = self._note(payload)
            delay = 0.0 if done else self._hold
        elif kind == frames.USED:
            delay = self._hold
        elif kind == frames.ASK:
            delay = _ASK_SECONDS
        self._post(kind, payload, delay)
        for chunk in done:
            chunk.wake.put(_DONE)
        if called is not None:
            called.wake.put(_SECEDE)

    def take(self, messages: list[bytes]) -> None:
        """Takes what the job has sent."""
        for kind, payload in zip(messages[::2], messages[1::2], strict=True):
            if kind == frames.BEGIN:
                if self._lines is None and not self._is_over:
                    self._begin(json.loads(payload))
            elif kind == GO:
                number, _, answer = payload.partition(b"\t")
                chunk = self._chunks.get(int(number))
                if chunk is not None:
                    chunk.wake.put(answer)
            elif kind == OVER:
                self.end()
            elif self._lines is not None:
                self._lines.take(kind, payload)

    def end(self) -> None:
        """Begins no further row; tasks end."""
        if self._lines is not None:
            self._lines.take(frames.FINISH, b"")
        self._leave()

    def _post(self, kind: bytes, payload: bytes, delay: float) -> None:
        due = time.monotonic() + delay
        with self._changed:
            self._outbox += (kind, payload)
            if due >= self._due:
                return
            self._due = due
        self._worker.loop.add_callback(self._flush_in, delay)

    def _flush_in(self, delay: float) -> None:
        if delay:
            self._worker.loop.call_later(delay, self._flush)
        else:
            self._flush()

    def _flush(self) -> None:
        with self._changed:
            outbox, self._outbox = self._outbox, []
            self._due = float("inf")
        if outbox:
            message = {"op": UP, "job": self._job, "sent": time.monotonic(), "frames": outbox}
            self._worker.batched_send(message)

    # The Lua state.

    def _begin(self, begin: dict[str, Any]) -> None:
        self._hold = begin["hold"]
        self._settling = begin["settling"]
        self._concurrency = begin["concurrency"]
        self._lines = Lines(
            self,
            is_limited=begin["limited"],
            names_models=begin["names_models"],
            slack=begin["slack"],
        )
        threading.Thread(
            target=self._serve, args=(begin, self._lines), name="luaopenai-map", daemon=True
        ).start()

    def _serve(self, begin: dict[str, Any], lines: Lines) -> None:
        try:
            with written(begin) as (script, folder):
                key, environment = begin["settings"].get("api_key"), begin["environment"]
                tidy = Tidy(key, environment, drop=folder)
                try:
                    run = load({**begin, "script": script}, lines, tidy)
                except (LuaError, ValueError, OSError) as error:
                    self.send(frames.REFUSED, tidy(str(error)).encode())
                    return
                except SystemExit:
                    # A worker that ends as it begins is not started again by Dask.
                    self.send(frames.REFUSED, b"the script has called os.exit as it was loaded")
                    return
                lines.settle()
                self._is_ready.set()
                run()
                lines.settle()
        except SystemExit as leaving:
            # As a worker of this machine does: Dask starts another one.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(leaving.code if isinstance(leaving.code, int) else 1)
        finally:
            self._leave()
        self.send(OVER)

    def _leave(self) -> None:
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        self._is_ready.set()
        for chunk in list(self._chunks.values()):
            chunk.wake.put(_GONE_AWAY)

    # Rows.

    def run(self, rows: Rows) -> None:
        """Does a chunk; returns when its outcomes are on their way, or nobody wants them."""
        if self._lines is None:
            # The first word may have come before the job could hear it.
            self.send(HELLO)
        self._is_ready.wait()
        text = rows.lines if isinstance(rows.lines, bytes) else rows.lines.read()
        if text is None:
            # The job sends the rows themselves then.
            self.send(UNREAD)
            return
        chunk = _ChunkHere()
        with self._changed:
            if self._is_over:
                return
            self._chunks[rows.number] = chunk
        try:
            self.send(START, b"%d" % rows.number)
            answer = chunk.wake.get()
            if answer == _GONE_AWAY:
                return
            orders = json.loads(answer)
            if rows.is_alone or orders["suspect"]:
                self._run_suspects(rows, chunk, _lines_by_number(text, orders["skip"]))
            elif orders["skip"]:
                lines = _lines_by_number(text, orders["skip"])
                self._run_together(chunk, list(lines), b"".join(lines.values()))
            else:
                self._run_together(chunk, rows.numbers, text)
        finally:
            with self._changed:
                del self._chunks[rows.number]
                with contextlib.suppress(ValueError):
                    self._staying.remove(chunk)

    def _run_together(self, chunk: _ChunkHere, numbers: Sequence[int], lines: bytes) -> None:
        """Does rows beside those of other chunks."""
        if numbers and self._reserve(chunk, numbers, is_alone=False):
            self._give(len(numbers), lines)
            self._stay(chunk)
            self._wait(chunk)

    def _run_suspects(self, rows: Rows, chunk: _ChunkHere, lines: dict[int, bytes]) -> None:
        """Does rows that may end the process: the job knows which, before they begin."""
        with self._changed:
            left = self._began + self._settling - time.monotonic()
            self._changed.wait_for(lambda: self._is_over, max(0.0, left))
        numbers = list(lines)
        for first in range(0, len(numbers), self._concurrency):
            group = numbers[first : first + self._concurrency]
            if not self._reserve(chunk, group, is_alone=rows.is_alone):
                return
            self.send(frames.BEGUN, json.dumps([rows.number, group]).encode())
            if chunk.wake.get() == _GONE_AWAY:
                return
            self._give(len(group), b"".join([lines[number] for number in group]))
            if not self._wait(chunk):
                return
            if rows.is_alone:
                with self._changed:
                    self._lonely -= 1
                    self._changed.notify_all()

    def _reserve(self, chunk: _ChunkHere, numbers: Sequence[int], *, is_alone: bool) -> bool:
        """Notes rows that begin, as soon as they may: those that are to run alone, and no others
        beside them. Returns whether they may.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._is_over or not self._lonely)
            if is_alone:
                self._lonely += 1
                self._changed.wait_for(lambda: self._is_over or not self._where)
            if self._is_over:
                return False
            chunk.left = len(numbers)
            self._where.update(dict.fromkeys(numbers, chunk))
            return True

    def _give(self, count: int, lines: bytes) -> None:
        """Gives rows to the script."""
        assert self._lines is not None
        self._lines.rows.put(frames.ROWS + b"%d\n" % count + lines)

    def _stay(self, chunk: _ChunkHere) -> None:
        """Notes that a chunk's task keeps the next one from beginning, until it is called."""
        with self._changed:
            if chunk.left:
                self._staying.append(chunk)
            self._is_called = False
            called = self._find_next_call()
        if called is not None:
            called.wake.put(_SECEDE)

    def _wait(self, chunk: _ChunkHere) -> bool:
        """Waits until all rows that were given have outcomes; returns whether they have."""
        while True:
            word = chunk.wake.get()
            if word == _SECEDE:
                secede()
            else:
                return word == _DONE

    def _note(self, outcomes: bytes) -> tuple[list[_ChunkHere], _ChunkHere | None]:
        """Returns whose rows all have outcomes now, and whose task is to secede."""
        done = []
        count = 0
        with self._changed:
            for line in outcomes.split(b"\n"):
                if not line:
                    continue
                count += 1
                chunk = self._where.pop(int(line[: line.index(b"\t")]), None)
                if chunk is not None:
                    chunk.left -= 1
                    if chunk.left == 0:
                        done.append(chunk)
                        if chunk in self._staying:
                            self._staying.remove(chunk)
            self._finished.note(count, time.monotonic())
            if self._lonely and not self._where:
                self._changed.notify_all()
            return done, self._find_next_call()

    def _find_next_call(self) -> _ChunkHere | None:
        """Returns whose task is to make room for the next one, when few rows have not begun."""
        if self._is_called or not self._staying:
            return None
        ahead = max(self._concurrency // 4, self._finished.pace * _AHEAD_SECONDS)
        if len(self._where) - self._concurrency > ahead:
            return None
        self._is_called = True
        return self._staying.popleft()


def _lines_by_number(lines: bytes, skipped: list[int]) -> dict[int, bytes]:
    """Returns the lines of rows that are to be done."""
    # JSON may have a carriage return between its tokens.
    found = {int(line[: line.index(b"\t")]): line + b"\n" for line in lines.split(b"\n")[:-1]}
    for number in skipped:
        found.pop(number, None)
    return found
