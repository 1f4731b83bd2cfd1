"""The options of a job, for the command and for Python alike."""

from __future__ import annotations

from collections.abc import Mapping
from copyreg import __newobj__  # type: ignore[attr-defined]
from dataclasses import dataclass, field
from typing import Any

INPUT_FORMATS = ("jsonl", "csv", "tsv", "parquet", "text")
OUTPUT_FORMATS = ("jsonl", "csv", "tsv", "parquet")
ROW_LIMITS = ("seconds", "memory_mb", "requests", "tokens", "output_kb")
"""The limits of a row in the sandbox, by their names in ``host.limits.Limits``."""

CODE_STOPPED = 1
CODE_USAGE = 2
CODE_FAILURES = 3
CODE_INTERRUPTED = 130


class BatchError(Exception):
    """Says in one line why a job cannot begin or go on; ``code`` is the command's exit status."""

    def __init__(self, message: str, code: int = CODE_STOPPED) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles an error without a call of its ``__init__``, which may take other things."""
        return __newobj__, (type(self), *self.args), self.__dict__


@dataclass(frozen=True)
class MaxFailures:
    """How many rows may fail: ``rows`` of them, or ``percent`` of the finished ones."""

    rows: int | None = None
    percent: float | None = None

    @classmethod
    def parse(cls, text: str | int) -> MaxFailures:
        """Reads ``"100"`` or ``"5%"``; raises ``BatchError`` for anything else."""
        word = str(text).strip()
        try:
            if word.endswith("%"):
                percent = float(word[:-1])
                if 0 <= percent <= 100:
                    return cls(percent=percent)
            elif int(word) >= 0:
                return cls(rows=int(word))
        except ValueError:
            pass
        raise BatchError(f"max-failures is a number or a percentage, not {text!r}", CODE_USAGE)


@dataclass(frozen=True)
class Options:
    """A job: its script, its input, its output, and how it is to be done.

    Names are those of the command's options, with ``_`` for ``-``. ``script`` is a path; ``args``
    are what ``setup`` gets. ``settings`` are the client's, and may hold a key; ``limits`` are those
    of the sandbox, for each row. Sizes are rows, ``rpm`` and ``tpm`` are per minute, ``prices`` is
    the path of a file. ``dask`` is a scheduler's address, ``local``, or a client of Dask's.
    """

    script: str
    inputs: tuple[str, ...] = ()
    output: str | None = None
    args: tuple[str, ...] = ()

    input_format: str | None = None
    output_format: str | None = None
    key: str | None = None
    on_bad_row: str = "stop"
    unordered: bool = False
    part_rows: int = 100_000

    journal: str | None = None
    restart: bool = False
    keep: bool = False
    retry_failed: bool = False
    attempts: int = 3
    max_failures: MaxFailures | None = None
    dedupe: bool = False
    cache: str | None = None
    dry_run: int | None = None

    workers: int | None = None
    dask: Any = None
    concurrency: int = 16
    sandbox: bool = False
    limits: Mapping[str, float] = field(default_factory=dict)

    rpm: float | None = None
    tpm: float | None = None
    max_tokens_total: int | None = None
    max_cost: float | None = None
    prices: str | None = None

    local: bool = False
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def journal_path(self) -> str | None:
        """Where the journal is: beside the output, if it is not named."""
        if self.journal is not None or self.output is None:
            return self.journal
        return self.output.rstrip("/") + ".journal"

    @property
    def failures_path(self) -> str | None:
        """Where the failed rows are written, beside the output."""
        return None if self.output is None else self.output.rstrip("/") + ".failed.jsonl"
