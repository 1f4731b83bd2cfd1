"""For programs that use Dask themselves: a Lua script as a function of a partition."""

from __future__ import annotations

import json
import os
import pickle
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

from luaopenai.batch.begin import what_to_do
from luaopenai.batch.dask_profiler import stop_profiler_here
from luaopenai.batch.here import HereExecutor
from luaopenai.batch.job import Job
from luaopenai.batch.mapping import RowsFailedError
from luaopenai.batch.options import BatchError, Options

__all__ = ["Mapper", "mapper"]

_SETTINGS = ("api_key", "base_url", "lua_cpath", "lua_path", "model", "no_rocks")
_SHOWN_FAILURES = 20


class Mapper:
    """A script's function, for all rows of a partition; made by ``mapper``.

    It can be pickled: the script's text, the modules beside it, the key and the settings go along.
    """

    def __init__(self, begin: dict[str, Any], attempts: int, columns: Sequence[str] | None) -> None:
        self._begin = begin
        self._attempts = attempts
        self._columns = None if columns is None else list(columns)

    def __call__(self, partition: Any) -> Any:
        """Returns the results of a partition's rows, without those that were left out.

        Args:
            partition: a pandas DataFrame, which gives one with the rows' index; or an iterable of
                values that JSON can carry, which gives a list.

        Raises:
            RowsFailedError: rows have failed.
            BatchError: the script cannot run.
        """
        if hasattr(partition, "to_json") and hasattr(partition, "columns"):
            return self._frame(partition)
        return list(self._run(partition).values())

    def __repr__(self) -> str:
        return f"<luaopenai.dask.Mapper of {os.path.basename(self._begin['script'])}>"

    def __getstate__(self) -> bytes:
        # Nobody shall read a key where bytes are shown.
        return zlib.compress(pickle.dumps(self.__dict__))

    def __setstate__(self, state: bytes) -> None:
        self.__dict__.update(pickle.loads(zlib.decompress(state)))

    def __dask_tokenize__(self) -> object:
        """Returns what tells it from others in tasks' names: not its key."""
        shown = {name: self._begin[name] for name in ("script", "files", "args", "sandbox")}
        settings = {**self._begin["settings"], "api_key": None}
        return "luaopenai.dask.Mapper", json.dumps([shown, settings, self._columns], sort_keys=True)

    def _frame(self, frame: Any) -> Any:
        rows = json.loads(frame.to_json(orient="records", date_format="iso", double_precision=15))
        found = self._run(rows)
        records = [
            result if isinstance(result, dict) else {"result": result} for result in found.values()
        ]
        index = frame.index[list(found)]
        return type(frame)(records, index=index, columns=self._columns)

    def _run(self, rows: Iterable[Any]) -> dict[int, Any]:
        """Returns the results by the rows' numbers, from 0."""
        stop_profiler_here()
        options = Options("", attempts=self._attempts)
        job = Job(options, lambda _: HereExecutor(self._begin), rows)
        found: dict[int, Any] = {}
        failures: list[dict[str, Any]] = []
        for finished in job.steps():
            for row, outcome in finished:
                if outcome.text is not None:
                    found[row.number] = json.loads(outcome.text)
                elif outcome.error is not None and len(failures) < _SHOWN_FAILURES:
                    failures.append(
                        {
                            "number": row.number,
                            "key": row.key,
                            "source": row.source,
                            "error": outcome.error,
                            "row": row.value,
                        }
                    )
        summary = job.summary
        assert summary is not None
        if summary.reason is not None:
            raise BatchError(summary.reason, summary.code)
        if failures:
            raise RowsFailedError(summary.counts.failed, failures)
        return dict(sorted(found.items()))


def mapper(
    script: str | os.PathLike[str],
    *,
    args: Sequence[str] = (),
    concurrency: int = 16,
    attempts: int = 3,
    columns: Sequence[str] | None = None,
    sandbox: bool = False,
    **settings: str | bool,
) -> Mapper:
    """Returns a function for ``dask.bag``'s and ``dask.dataframe``'s ``map_partitions``.

    Args:
        script: the path of a Lua script that returns a function of a row, as for ``luaopenai.map``.
        args: what the script has as ``...``, and its ``setup``, which is called for each partition.
        concurrency: how many rows of a partition are under way at once.
        attempts: how often a row is tried.
        columns: those of a DataFrame that comes back; all that the results have, when None.
        sandbox: whether the script runs behind walls.
        settings: ``api_key``, ``base_url``, ``model``, ``lua_path``, ``lua_cpath``, ``no_rocks``.

    Raises:
        TypeError: there is no such setting.
        BatchError: the script cannot be read.
    """
    for name in settings:
        if name not in _SETTINGS:
            raise TypeError(f"mapper: there is no option {name!r}")
    options = Options(
        os.fspath(script),
        args=tuple(args),
        concurrency=concurrency,
        sandbox=sandbox,
        settings={name: value for name, value in settings.items() if value},  # type: ignore[misc]
    )
    return Mapper(what_to_do(options), attempts, columns)
