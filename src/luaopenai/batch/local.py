"""Runs a job's rows in processes of this machine, each of which is replaced when it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

from luaopenai.batch import frames
from luaopenai.batch.authority import Authority
from luaopenai.batch.events import Events
from luaopenai.batch.exchange import (
    FAILED,
    NOTHING_USED,
    Chunk,
    Dropped,
    Event,
    Outcome,
    Row,
    Stop,
    Usage,
)
from luaopenai.batch.frames import FrameError, Frames, read_outcomes
from luaopenai.batch.meter import Meter
from luaopenai.batch.pace import Need, Rates

if TYPE_CHECKING:
    from luaopenai.batch.options import Options

_START = "import sys; sys.path[:] = {path!r}; from luaopenai.batch.worker import main; main()"
_CHUNK_ROWS = 256
_AHEAD_SECONDS = 0.2
"""How long a worker shall have rows for that have not begun."""
_MOST_AHEAD = 4096
_MOST_BYTES = 1 << 25
"""Of rows that a worker has, beyond which it gets none ahead."""
_MOST_LOSSES = 3
_MOST_FRUITLESS = 10
"""Workers that may end one after another without having finished a row, beside two each."""
_MOST_BAD_STARTS = 3
_GRACE = 2.0
"""Seconds that a worker without rows has to end by itself."""


class _Worker:
    """A process, the line to it, and the rows that it has."""

    def __init__(
        self, number: int, begin: bytes, events: Events[_Worker], authority: Authority
    ) -> None:
        self.number = number
        self.rows: dict[int, Row] = {}
        self.begun: set[int] = set()
        self.size = 0
        self.is_ready = False
        self.is_alone = False
        self.is_reserved = False
        self.finished = Meter()
        self._events = events
        self._authority = authority
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _START.format(path=sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            # Ctrl-C in a terminal is for the command, which gives rows time to end.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._line = Frames(self.process.stdout.fileno(), self.process.stdin.fileno())
        authority.attach(number, self._grant)
        self.send(frames.BEGIN, begin)
        threading.Thread(target=self._receive, name="luaopenai-worker", daemon=True).start()

    def send(self, kind: bytes, payload: bytes = b"") -> None:
        """Sends a message; that the worker has ended is told by another way."""
        with suppress(FrameError):
            self._line.send(kind, payload)

    def give(self, rows: list[Row], *, are_suspect: bool) -> None:
        """Gives it rows."""
        for row in rows:
            self.rows[row.number] = row
            self.size += len(row.text)
        lines = b"".join(b"%d\t%b\n" % (row.number, row.text) for row in rows)
        kind = frames.SUSPECTS if are_suspect else frames.ROWS
        self.send(kind, b"%d\n" % len(rows) + lines)

    def take(self, number: int) -> Row | None:
        """Forgets a row that has an outcome."""
        row = self.rows.pop(number, None)
        if row is not None:
            self.size -= len(row.text)
            self.begun.discard(number)
        return row

    def end(self) -> str:
        """Returns how it has ended, in a few words."""
        try:
            status = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.kill()
            return "it no longer answered"
        if status >= 0:
            return f"it ended with status {status}"
        try:
            return f"it was ended by {signal.Signals(-status).name}"
        except ValueError:
            return f"it was ended by signal {-status}"

    def kill(self) -> None:
        """Ends it at once."""
        self.process.kill()

    def release(self) -> None:
        """Closes the line, once the process has ended."""
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with suppress(OSError):
                pipe.close()

    def _grant(self, numbers: list[int], at: float) -> None:
        self.send(frames.GRANT, json.dumps([numbers, at]).encode())

    def _receive(self) -> None:
        """Takes what the worker sends, until it ends."""
        try:
            while True:
                self._take(*self._line.receive())
        except FrameError:
            self._authority.lose(self.number)
            self._events.put(self, _ENDED)

    def _take(self, kind: bytes, payload: bytes) -> None:
        if kind == frames.ASK:
            number, model, input_tokens, asked = json.loads(payload)
            self._authority.ask(self.number, number, Need(model, input_tokens, asked))
        elif kind == frames.USED:
            self._authority.book(self.number, json.loads(payload))
        elif kind == frames.TOLD:
            self._authority.report(*json.loads(payload))
        else:
            self._events.put(self, kind, payload)


_ENDED = b"e"
_CHANGED = b"c"


class LocalExecutor:
    """Worker processes of this machine; see ``exchange.Executor``.

    Args:
        options: the job's: script, args, workers, concurrency, sandbox, settings.
        rates: what the job may use.
        used: what former runs of the job have used, which counts towards the budgets.

    The rows of a worker that ended by itself are suspects: they are tried again, beside others, and
    each announces its beginning. Those that had announced it when a worker ends are tried again
    alone in a worker. A row that is known to have been under way in three that ended has failed.
    """

    def __init__(self, options: Options, rates: Rates, used: Usage = NOTHING_USED) -> None:
        self._options = options
        self._concurrency = options.concurrency
        self._names_models = bool(rates.prices)
        self._events = Events[_Worker]()
        self._authority = Authority(rates, self._note_change)
        self._authority.start_from(used)
        self._fresh: deque[Row] = deque()
        self._suspects: deque[Row] = deque()
        self._lonely: deque[Row] = deque()
        self._losses: dict[int, int] = {}
        self._found: list[Event] = []
        self._last_worker = 0
        self._fruitless = 0
        self._bad_starts = 0
        self._is_finishing = False
        self._is_stopped = False
        self._workers: list[_Worker] = []
        self._count = options.workers or os.cpu_count() or 1
        try:
            for _ in range(self._count):
                self._workers.append(self._start())
        except BaseException:
            self.close(0)
            raise

    @property
    def capacity(self) -> int:
        """How many rows should be under way."""
        return sum(map(self._window, self._workers)) + _CHUNK_ROWS

    @property
    def chunk_rows(self) -> int:
        """How many rows a chunk should have at most."""
        return _CHUNK_ROWS

    @property
    def pids(self) -> list[int]:
        """The numbers of the workers' processes."""
        return [worker.process.pid for worker in self._workers]

    def submit(self, chunk: Chunk) -> None:
        """Takes a chunk; its rows go to whichever worker has room."""
        self._fresh.extend(chunk.rows)
        self._dispatch()

    def outcomes(self, timeout: float) -> list[Event]:
        """Returns what has happened; waits up to ``timeout`` seconds for it."""
        end = time.monotonic() + timeout
        while True:
            left = 0.0 if self._found else max(0.0, end - time.monotonic())
            for event in self._events.take(left):
                self._heed(*event)
            self._dispatch()
            if self._found or time.monotonic() >= end:
                found, self._found = self._found, []
                return found

    def finish(self) -> None:
        """Begins no more rows; those that have not begun are given back, some as workers end."""
        if self._is_finishing:
            return
        self._is_finishing = True
        for worker in self._workers:
            worker.send(frames.FINISH)
        waiting = [*self._lonely, *self._suspects, *self._fresh]
        for queue in (self._lonely, self._suspects, self._fresh):
            queue.clear()
        if waiting:
            self._found.append(Dropped([row.number for row in waiting]))

    def close(self, seconds: float) -> None:
        """Ends the workers; rows under way finish within so many seconds, or are dropped."""
        self.finish()
        deadline = time.monotonic() + seconds
        # A worker without rows is about to end, and may yet have something to print.
        grace = time.monotonic() + _GRACE
        while self._workers:
            now = time.monotonic()
            for worker in self._workers:
                if now >= (deadline if worker.rows else max(grace, deadline)):
                    worker.kill()
            for event in self._events.take(0.02):
                self._heed(*event)
        self._authority.close()

    def _begin(self) -> bytes:
        """Returns what a new worker is told; the key is in its environment."""
        options = self._options
        begin: dict[str, Any] = {
            "script": options.script,
            "args": options.args,
            "concurrency": self._concurrency,
            "settings": dict(options.settings),
            "sandbox": options.sandbox,
            "limits": dict(options.limits),
            "limited": self._authority.is_limited,
            "names_models": self._names_models,
        }
        return json.dumps(begin).encode()

    def _start(self) -> _Worker:
        self._last_worker += 1
        return _Worker(self._last_worker, self._begin(), self._events, self._authority)

    def _window(self, worker: _Worker) -> int:
        """Returns how many rows a worker should have."""
        if worker.size > _MOST_BYTES:
            return self._concurrency
        ahead = min(_MOST_AHEAD, int(worker.finished.pace * _AHEAD_SECONDS))
        return self._concurrency + max(self._concurrency, ahead)

    def _dispatch(self) -> None:
        """Gives the workers that have room rows that wait."""
        if self._is_finishing or self._is_stopped:
            return
        if self._lonely and not any(one.is_reserved for one in self._workers):
            calmest = min(self._workers, key=lambda one: len(one.rows))
            calmest.is_reserved = True
        for worker in self._workers:
            if not worker.is_ready or worker.is_alone:
                continue
            if worker.is_reserved:
                self._dispatch_alone(worker)
                continue
            room = self._concurrency - len(worker.rows)
            if self._suspects and room > 0:
                worker.give(_take(self._suspects, room), are_suspect=True)
            room = self._window(worker) - len(worker.rows)
            if self._fresh and room > 0:
                worker.give(_take(self._fresh, room), are_suspect=False)

    def _dispatch_alone(self, worker: _Worker) -> None:
        if worker.rows:
            return
        if self._lonely:
            worker.is_alone = True
            worker.give([self._lonely.popleft()], are_suspect=True)
        else:
            worker.is_reserved = False

    def _heed(self, worker: _Worker | None, kind: bytes, payload: bytes) -> None:
        """Takes an event."""
        if worker is None:
            self._heed_change()
        elif kind == frames.OUTCOMES:
            self._take_outcomes(worker, payload)
        elif kind == frames.BEGUN:
            worker.begun.add(int(payload))
        elif kind == frames.BEGIN:
            worker.is_ready = True
            self._bad_starts = 0
        elif kind == frames.REFUSED:
            self._stop(payload.decode("utf-8", "replace"), 0.0)
        elif kind == _ENDED:
            self._take_end(worker)

    def _take_outcomes(self, worker: _Worker, payload: bytes) -> None:
        count = 0
        for outcome in read_outcomes(payload):
            if worker.take(outcome.number) is None:
                continue
            count += 1
            self._losses.pop(outcome.number, None)
            outcome.usage = self._authority.take_usage() if count == 1 else NOTHING_USED
            self._found.append(outcome)
        if not worker.rows:
            worker.is_alone = False
        # As long as rows are finished, what ends workers as they start is not the script.
        self._fruitless = self._bad_starts = 0
        worker.finished.note(count, time.monotonic())

    def _take_end(self, worker: _Worker) -> None:
        """A worker has ended: another takes its place, and its rows go to others."""
        self._workers.remove(worker)
        if self._is_finishing or self._is_stopped:
            worker.process.wait()
            worker.release()
            if worker.rows:
                self._found.append(Dropped(list(worker.rows)))
            self._book_rest()
            return None
        how = worker.end()
        worker.release()
        self._fruitless += 1
        if not worker.is_ready:
            self._bad_starts += 1
        if self._bad_starts >= _MOST_BAD_STARTS:
            return self._stop(f"a worker could not start: {how}", 0.0)
        if self._fruitless >= _MOST_FRUITLESS + 2 * self._count:
            return self._stop(
                f"{self._fruitless} workers have ended without having finished a row;"
                f" of the last: {how}",
                5.0,
            )
        self._take_back(worker, how)
        self._workers.append(self._start())
        return None

    def _take_back(self, worker: _Worker, how: str) -> None:
        """Sorts a lost worker's rows: those that are known to have begun will run alone."""
        for row in reversed(worker.rows.values()):
            losses = self._losses.setdefault(row.number, 0)
            if not (worker.is_alone or row.number in worker.begun):
                self._suspects.appendleft(row)
                continue
            self._losses[row.number] = losses + 1
            if losses + 1 < _MOST_LOSSES:
                # Behind the others: what ends workers from outside may be over by then.
                self._lonely.append(row)
            else:
                self._fail(row, f"the row has ended {_MOST_LOSSES} workers; of the last: {how}")

    def _fail(self, row: Row, error: str) -> None:
        """Tells of a row that is not to be tried again."""
        del self._losses[row.number]
        self._fruitless = 0
        usage = self._authority.take_usage()
        self._found.append(Outcome(row.number, FAILED, error=error, usage=usage, final=True))

    def _book_rest(self) -> None:
        """Hands over what was used by rows that have no outcome, under a number that no row has."""
        usage = self._authority.take_usage()
        if usage != NOTHING_USED:
            self._found.append(Outcome(-1, FAILED, usage=usage))

    def _note_change(self) -> None:
        self._events.put(None, _CHANGED)

    def _heed_change(self) -> None:
        if self._authority.is_limited:
            for worker in self._workers:
                worker.send(frames.LIMIT)
        spent = self._authority.spent
        if spent is not None:
            self._stop(spent, 5.0)

    def _stop(self, reason: str, seconds: float) -> None:
        """Has the job end the run, once."""
        if not self._is_stopped:
            self._is_stopped = True
            self._found.append(Stop(reason, 1, seconds))


def _take(rows: deque[Row], count: int) -> list[Row]:
    """Takes rows from the front."""
    if count >= len(rows):
        taken = list(rows)
        rows.clear()
    else:
        taken = list(islice(rows, count))
        for _ in taken:
            rows.popleft()
    return taken
