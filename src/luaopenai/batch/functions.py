"""Runs a Python function over rows, in threads of a worker elsewhere."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from luaopenai.batch.threads import begin_row, describe, pace_this_thread, was_refused
from luaopenai.client.payload import encode

if TYPE_CHECKING:
    from luaopenai.batch.tidy import Tidy
    from luaopenai.batch.worker import Lines


class FunctionRows:
    """A function, for rows as ``Lines`` has them; what it sends is held to the run's pace."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function

    def run(self, lines: Lines, tidy: Tidy, concurrency: int) -> None:
        """Runs rows until no more are to begin, ``concurrency`` at once."""
        rows = SimpleQueue[bytes | None]()
        threads = [
            threading.Thread(
                target=self._work, args=(rows, lines, tidy), name="luaopenai-row", daemon=True
            )
            for _ in range(concurrency)
        ]
        for thread in threads:
            thread.start()
        while (batch := lines.rows.get()) is not None:
            for line in batch.split(b"\n")[1:-1]:
                rows.put(line)
        while not rows.empty():
            rows.get_nowait()
        for _ in threads:
            rows.put(None)
        for thread in threads:
            thread.join()

    def _work(self, rows: SimpleQueue[bytes | None], lines: Lines, tidy: Tidy) -> None:
        pace_this_thread(lines.permits)
        while (row := rows.get()) is not None:
            number, _, text = row.partition(b"\t")
            begin_row()
            try:
                result = self._function(json.loads(text))
                outcome = b"l\t" if result is None else b"d\t" + encode(result, "result")
            except BaseException as error:
                # Whatever it is, it must not end the thread: the row would never have an outcome.
                outcome = b"f\t" + tidy(describe(error)).encode("utf-8", "replace")
            if not was_refused():
                lines.give(b"%b\t%b\n" % (number, outcome))
