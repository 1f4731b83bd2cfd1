"""Runs a job's rows by a script, in a Lua state of this process."""

from __future__ import annotations

import json
import threading
from typing import Any

from luaopenai.batch import frames
from luaopenai.batch.authority import Authority
from luaopenai.batch.begin import written
from luaopenai.batch.events import Events
from luaopenai.batch.exchange import Chunk, Dropped, Event, Outcome, Stop
from luaopenai.batch.frames import read_outcomes
from luaopenai.batch.pace import Need, Rates
from luaopenai.batch.tidy import Tidy
from luaopenai.batch.worker import Lines, load
from luaopenai.bridge.errors import LuaError

_WORKER = 1
_ENDED = b"e"
_GRACE = 2.0
"""Seconds that a script without rows has to end."""


class HereExecutor:
    """A Lua state in a thread of this process; see ``exchange.Executor``.

    A row that ends its worker ends this process.

    Args:
        begin: as ``begin.what_to_do`` returns it.
    """

    def __init__(self, begin: dict[str, Any]) -> None:
        self._concurrency: int = begin["concurrency"]
        self._rows: set[int] = set()
        self._events = Events[None]()
        self._authority = Authority(Rates(), self._note_change)
        self._lines = Lines(self, is_limited=False, names_models=False)
        self._authority.attach(_WORKER, self._lines.permits.grant)
        self._thread = threading.Thread(
            target=self._serve, args=(begin,), name="luaopenai-map", daemon=True
        )
        self._thread.start()

    @property
    def capacity(self) -> int:
        """How many rows should be under way."""
        return 2 * self._concurrency + self.chunk_rows

    @property
    def chunk_rows(self) -> int:
        """How many rows a chunk should have at most."""
        return 256

    def submit(self, chunk: Chunk) -> None:
        """Takes a chunk."""
        self._rows.update(row.number for row in chunk.rows)
        lines = b"".join(b"%d\t%b\n" % (row.number, row.text) for row in chunk.rows)
        self._lines.rows.put(frames.ROWS + b"%d\n" % len(chunk.rows) + lines)

    def outcomes(self, timeout: float) -> list[Event]:
        """Returns what has happened; waits up to ``timeout`` seconds for it."""
        found: list[Event] = []
        for _, kind, payload in self._events.take(timeout):
            if kind == frames.OUTCOMES:
                for outcome in read_outcomes(payload):
                    self._rows.discard(outcome.number)
                    found.append(outcome)
            elif kind == frames.REFUSED:
                found.append(Stop(payload.decode("utf-8", "replace"), 1, 0.0))
            elif kind == _ENDED and self._rows:
                found.append(Dropped(list(self._rows)))
        outcomes = [event for event in found if isinstance(event, Outcome)]
        if outcomes:
            outcomes[0].usage = self._authority.take_usage()
        return found

    def finish(self) -> None:
        """Begins no more rows; those that have not begun are given back at the end."""
        self._lines.take(frames.FINISH, b"")

    def close(self, seconds: float) -> None:
        """Ends the script when the rows under way end; waits for that up to so many seconds."""
        self.finish()
        self._thread.join(seconds if self._rows else max(seconds, _GRACE))
        self._authority.close()

    def send(self, kind: bytes, payload: bytes = b"") -> None:
        """Takes what the script's side tells; see ``worker.Line``."""
        if kind == frames.ASK:
            number, model, input_tokens, asked = json.loads(payload)
            self._authority.ask(_WORKER, number, Need(model, input_tokens, asked))
        elif kind == frames.USED:
            self._authority.book(_WORKER, json.loads(payload))
        elif kind == frames.TOLD:
            self._authority.report(*json.loads(payload))
        else:
            self._events.put(None, kind, payload)

    def _note_change(self) -> None:
        if self._authority.is_limited:
            self._lines.permits.limit()

    def _serve(self, begin: dict[str, Any]) -> None:
        with written(begin) as (script, folder):
            tidy = Tidy(begin["settings"].get("api_key"), begin["environment"], drop=folder)
            try:
                load({**begin, "script": script}, self._lines, tidy)()
            except (LuaError, ValueError, OSError) as error:
                self._events.put(None, frames.REFUSED, tidy(str(error)).encode())
            except SystemExit:
                self._events.put(None, frames.REFUSED, b"the script has called os.exit")
        self._events.put(None, _ENDED)
