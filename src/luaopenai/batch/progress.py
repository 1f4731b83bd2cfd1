"""Shows how far a job is: a bar on a terminal, now and then a line elsewhere; and its summary."""

from __future__ import annotations

import os
import time
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from luaopenai.batch.exchange import Counts, Summary, Usage

_FIRST_LINE = 5.0
_LINES = 30.0
"""Seconds between two lines."""
_BARS = 0.2
_RECENT = 30.0


class Progress:
    """Shows a job's counts; call ``show`` as often as you like.

    Args:
        stream: where to.
        is_quiet: whether to show nothing.

    On a terminal tqdm draws a bar where it is installed; else there are lines.
    """

    def __init__(self, stream: IO[str], *, is_quiet: bool = False) -> None:
        self._stream = stream
        self._is_quiet = is_quiet
        self._began = time.monotonic()
        self._next = 0.0
        self._history: list[tuple[float, int]] = []
        self._bar: Any = None
        self._make_bar = None if is_quiet or not stream.isatty() else _find_tqdm()
        self._interval = _BARS if self._make_bar else _LINES

    def show(self, counts: Counts) -> None:
        """Shows the counts, if it is time again."""
        now = time.monotonic() - self._began
        if self._is_quiet or now < self._next:
            return
        if not self._next and not self._make_bar:
            self._next = _FIRST_LINE
            return
        self._next = now + self._interval
        if self._make_bar:
            self._draw(counts)
        else:
            self._history = [one for one in self._history if one[0] > now - _RECENT]
            self._history.append((now, counts.finished))
            print(f"luaopenai: {self._line(counts, now)}", file=self._stream, flush=True)

    def close(self, counts: Counts) -> None:
        """Shows the counts a last time on a bar, and ends it."""
        if self._bar is not None:
            self._draw(counts)
            self._bar.close()
            self._bar = None

    def _draw(self, counts: Counts) -> None:
        if self._bar is None:
            assert self._make_bar is not None
            self._bar = self._make_bar(
                total=counts.total,
                initial=counts.before,
                unit=" rows",
                file=self._stream,
                **_width(self._stream),
                mininterval=0,
            )
        bar = self._bar
        bar.total = counts.total
        bar.set_postfix_str(", ".join(_extras(counts)), refresh=False)
        bar.update(counts.finished - bar.n)
        bar.refresh()

    def _line(self, counts: Counts, now: float) -> str:
        at, before = self._history[0] if len(self._history) > 1 else (0.0, counts.before)
        rate = (counts.finished - before) / max(now - at, 1e-3)
        words = [f"{counts.finished:,} rows"]
        if counts.total:
            share = 100 * counts.finished / counts.total
            words = [f"{counts.finished:,} of {counts.total:,} rows ({share:.1f} %)"]
        words += [f"{rate:,.1f} a second", *_extras(counts)]
        if counts.total and rate > 0:
            words.append(f"{duration((counts.total - counts.finished) / rate)} left")
        return ", ".join(words)


def summary_line(summary: Summary) -> str:
    """Returns what a run came to."""
    counts = summary.counts
    words = [f"{counts.done:,} done"]
    if counts.left_out:
        words.append(f"{counts.left_out:,} left out")
    if counts.failed:
        words.append(f"{counts.failed:,} failed")
    if counts.bad:
        words.append(f"{counts.bad:,} bad lines")
    if counts.before:
        words.append(f"{counts.before:,} of them by former runs")
    if counts.cached:
        words.append(f"{counts.cached:,} from the cache")
    this_run = counts.finished - counts.before
    rate = this_run / summary.seconds if summary.seconds else 0.0
    words += [f"{duration(summary.seconds)}", f"{rate:,.1f} rows a second"]
    usage = counts.usage
    if usage.requests:
        words.append(f"{usage.requests:,} requests")
    words += _used(usage)
    return ", ".join(words)


def extrapolation(counts: Counts, at_once: int, seconds: float) -> str:
    """Returns what all rows would take, by what some took in so many seconds.

    Where those were fewer than may be under way at once, more at once take no longer.
    """
    rows, total, usage = counts.finished, counts.input_rows or 0, counts.usage
    factor = total / rows
    whole = seconds * factor * min(1.0, rows / at_once)
    words = [f"all {total:,} rows would take about {duration(max(whole, seconds))}"]
    if usage.requests:
        words.append(f"{usage.requests * factor:,.0f} requests")
    if usage.input_tokens or usage.output_tokens:
        read, written = usage.input_tokens * factor, usage.output_tokens * factor
        words.append(f"{read:,.0f} tokens in and {written:,.0f} out")
    if usage.cost:
        words.append(f"cost {usage.cost * factor:.4g}")
    return ", ".join(words)


def duration(seconds: float) -> str:
    """Returns a time in the units that people use: ``4.2 s``, ``3 min 20 s``, ``5 h 12 min``."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def _extras(counts: Counts) -> list[str]:
    words = []
    if counts.failed:
        words.append(f"{counts.failed:,} failed")
    return words + _used(counts.usage)


def _used(usage: Usage) -> list[str]:
    words = []
    tokens = usage.input_tokens + usage.output_tokens
    if tokens:
        words.append(f"{tokens:,} tokens")
    if usage.cost:
        words.append(f"cost {usage.cost:.4g}")
    return words


def _width(stream: IO[str]) -> dict[str, Any]:
    """Returns what tells tqdm the width: some terminals say that they have none."""
    try:
        has_width = os.get_terminal_size(stream.fileno()).columns > 0
    except (OSError, ValueError):
        has_width = False
    return {"dynamic_ncols": True} if has_width else {"ncols": 100, "nrows": 20}


def _find_tqdm() -> Any:
    """Returns tqdm's bar; None where tqdm is not installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm
