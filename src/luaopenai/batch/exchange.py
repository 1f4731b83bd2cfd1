"""The types that a job and its executors exchange: chunks of rows, and their outcomes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(slots=True)
class Row:
    """One input value.

    ``number`` counts from 0 over all input files. ``text`` is the value as JSON in UTF-8, on one
    line. ``digest`` (16 bytes) says whether it is the same row in a later run: it is made of the
    key where the rows have one (``--key``), else of the content. Where ``path`` names a file, the
    text is a line of it, but for spaces around it, which begins at byte ``at``.
    """

    number: int
    text: bytes
    digest: bytes
    file: str
    line: int
    named: str | None = None
    path: str | None = None
    at: int = 0

    @property
    def value(self) -> Any:
        """The value, decoded anew each time."""
        return json.loads(self.text)

    @property
    def key(self) -> str:
        """The value of the key field, or else the row's number and a digest of its content."""
        return f"{self.number}-{self.digest.hex()}" if self.named is None else self.named

    @property
    def source(self) -> str:
        """Where the row comes from, as ``tickets.jsonl:31``."""
        return f"{self.file}:{self.line}"


@dataclass(slots=True)
class Chunk:
    """Rows that a job hands to an executor together; chunks are numbered from 0 in each run."""

    number: int
    rows: list[Row]


@dataclass(frozen=True, slots=True)
class Usage:
    """An account: requests and tokens are counts, the cost is in the currency of the prices."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cost + other.cost,
        )


NOTHING_USED = Usage()

DONE = "done"
LEFT_OUT = "left_out"
FAILED = "failed"


@dataclass(slots=True)
class Outcome:
    """The outcome of one attempt at a row.

    ``status`` is ``DONE`` (``text`` is the result as JSON in UTF-8, on one line, not yet put under
    ``result`` where it is no object), ``LEFT_OUT`` (the function returned nil) or ``FAILED``
    (``error`` says why). With ``final`` a failure is not tried again. ``usage`` is what this
    attempt used.
    """

    number: int
    status: str
    text: bytes | None = None
    error: str | None = None
    usage: Usage = NOTHING_USED
    final: bool = False


@dataclass(slots=True)
class Dropped:
    """Rows that an executor gives back after ``finish``: they had not begun and never will."""

    numbers: list[int]


@dataclass(slots=True)
class Stop:
    """An executor ends the run, as when a budget is used up; ``code`` is the command's status.

    Rows under way get ``seconds`` to finish. What has no outcome by then is done by the next run.
    """

    reason: str
    code: int
    seconds: float = 5.0


Event = Outcome | Dropped | Stop


class Executor(Protocol):
    """Runs rows: in processes of this machine, or in threads of this one.

    Every row that was submitted gets an outcome, or is ``Dropped`` after ``finish``: a worker that
    is lost is the executor's to replace.
    """

    @property
    def capacity(self) -> int:
        """How many rows should be under way to keep everyone busy; may change."""

    @property
    def chunk_rows(self) -> int:
        """How many rows a chunk should have at most."""

    def submit(self, chunk: Chunk) -> None:
        """Takes a chunk; does not wait for its rows."""

    def outcomes(self, timeout: float) -> list[Event]:
        """Returns what has happened since the last call; waits up to ``timeout`` seconds for it."""

    def finish(self) -> None:
        """Begins no more rows, and gives those back that have not begun; returns at once.

        The job goes on to call ``outcomes`` until no row is under way or its patience ends.
        """

    def close(self, seconds: float) -> None:
        """Ends the workers; what is still under way after ``seconds`` is dropped.

        ``outcomes(0)`` then returns what has come in meanwhile.
        """


@dataclass(slots=True)
class Counts:
    """How far a job is; the job keeps it up to date while it runs.

    ``total`` is None until all rows have been counted; ``input_rows``, about how many the input
    has, is more in a dry run. ``before`` of the finished rows (``done``,
    ``left_out`` and ``failed``) were finished by earlier runs; ``usage`` has their usage too.
    """

    total: int | None = None
    input_rows: int | None = None
    done: int = 0
    left_out: int = 0
    failed: int = 0
    before: int = 0
    bad: int = 0
    retries: int = 0
    cached: int = 0
    under_way: int = 0
    usage: Usage = field(default_factory=Usage)
    usage_before: Usage = field(default_factory=Usage)

    @property
    def finished(self) -> int:
        """Rows that need no more work."""
        return self.done + self.left_out + self.failed


@dataclass(slots=True)
class Summary:
    """The summary of a run: ``code`` is the command's exit status, ``reason`` why it stopped early.

    ``output`` and ``failures`` are the paths of the files that were written, if they were.
    """

    counts: Counts
    code: int
    seconds: float
    reason: str | None = None
    output: str | None = None
    failures: str | None = None
    last_error: str | None = None
