"""``luaopenai.map``: what the command ``luaopenai map`` does, for Python programs."""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from luaopenai.batch.options import CODE_FAILURES, BatchError, MaxFailures, Options
from luaopenai.batch.start import make_job
from luaopenai.client.servers import read_base_url

if TYPE_CHECKING:
    from types import TracebackType

    from luaopenai.batch.exchange import Counts, Outcome, Row, Summary
    from luaopenai.local import LocalServer

_SETTINGS = ("api_key", "base_url", "lua_cpath", "lua_path", "model", "no_rocks")
_FOR_SCRIPTS = ("args", "cache", "limits", "local", "sandbox", "workers", *_SETTINGS)
_OURS = {"inputs", "script", "settings"}
_SHOWN_FAILURES = 20

OnFailure = Callable[[dict[str, Any]], object]


class RowsFailedError(BatchError):
    """Some rows have failed; all others are done.

    Attributes:
        count: how many.
        failures: the first 20: ``number``, ``key``, ``source``, ``error`` and ``row`` of each.
    """

    def __init__(self, count: int, failures: list[dict[str, Any]]) -> None:
        last = f": {failures[-1]['error']}" if failures else ""
        super().__init__(f"{count} rows have failed{last}", CODE_FAILURES)
        self.count = count
        self.failures = failures


class MapResults(Iterator[Any]):
    """The results of ``map``, one after another; a context manager, which ends the run.

    At the end it raises ``RowsFailedError`` where rows have failed, ``BatchError`` where the run
    has stopped early.
    """

    def __init__(
        self,
        options: Options,
        function: Callable[[Any], Any] | None,
        values: Iterable[Any] | None,
        on_failure: OnFailure | None,
        *,
        shows_progress: bool,
    ) -> None:
        self._options = options
        self._on_failure = on_failure
        self._shows_progress = shows_progress
        self._failures: list[dict[str, Any]] = []
        self._server: LocalServer | None = None
        if options.local:
            from luaopenai.local import LocalServer

            self._server = LocalServer()
            settings = {**options.settings, "base_url": self._server.base_url, "local": "yes"}
            options = replace(options, settings=settings)
        self._job = make_job(options, values, function, yields_all=True)
        self._results = self._run()

    @property
    def counts(self) -> Counts:
        """How far the run is, and what it has used."""
        return self._job.counts

    @property
    def summary(self) -> Summary | None:
        """The run's summary; None until it has ended."""
        return self._job.summary

    def __iter__(self) -> MapResults:
        return self

    def __next__(self) -> Any:
        return next(self._results)

    def __enter__(self) -> MapResults:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the run; rows under way are dropped, and a journal keeps those that are done."""
        self._results.close()
        self._let_go()

    def _run(self) -> Generator[Any]:
        try:
            yield from self._follow()
            summary = self._job.summary
            assert summary is not None
            if summary.reason is not None:
                raise BatchError(summary.reason, summary.code)
        finally:
            self._let_go()
        if summary.counts.failed and self._on_failure is None:
            raise RowsFailedError(summary.counts.failed, self._failures)

    def _follow(self) -> Iterator[Any]:
        """Yields results as they come, each in its turn unless the order does not matter."""
        waiting: dict[int, Outcome] = {}
        following = 0
        with closing(self._steps()) as steps:
            for finished in steps:
                for row, outcome in finished:
                    if self._options.unordered:
                        yield from _value(outcome)
                    else:
                        waiting[row.number] = outcome
                while following in waiting:
                    yield from _value(waiting.pop(following))
                    following += 1
        for number in sorted(waiting):
            yield from _value(waiting[number])

    def _steps(self) -> Generator[list[tuple[Row, Outcome]]]:
        """Does the job in pieces; tells of its failures, and how far it is."""
        from luaopenai.batch.progress import Progress

        progress = Progress(sys.stderr, is_quiet=not self._shows_progress)
        try:
            with closing(self._job.steps()) as steps:
                for finished in steps:
                    progress.show(self._job.counts)
                    for row, outcome in finished:
                        if outcome.error is not None:
                            self._note_failure(row, outcome.error)
                    yield finished
        finally:
            progress.close(self._job.counts)

    def _note_failure(self, row: Row, error: str) -> None:
        failure = {
            "number": row.number,
            "key": row.key,
            "source": row.source,
            "error": error,
            "row": row.value,
        }
        if self._on_failure is not None:
            self._on_failure(failure)
        elif len(self._failures) < _SHOWN_FAILURES:
            self._failures.append(failure)

    def _let_go(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()


def map(
    script: str | os.PathLike[str] | Callable[[Any], Any],
    rows: Iterable[Any] | str | os.PathLike[str],
    *,
    on_failure: OnFailure | None = None,
    progress: bool = False,
    **options: Any,
) -> MapResults:
    """Calls a function for each of many rows, many at once, and returns an iterator of the results.

    Args:
        script: the path of a Lua script that returns a function of a row, which runs in processes;
            or a Python function of a row, which runs in threads of this process. What that sends
            through this package's clients is held to the rates and the budgets. With ``dask``,
            an address, ``"local"`` or a client of Dask's, both run in Dask's workers.
        rows: values that JSON can carry; or the path of a file, as the command takes it.
        on_failure: is given ``number``, ``key``, ``source``, ``error`` and ``row`` of each row that
            fails. When None, ``RowsFailedError`` is raised after the last result.
        progress: whether to show on standard error how far it is.
        options: those of the command, with ``_`` for ``-``: ``concurrency=64``, ``rpm=500``,
            ``output="out.jsonl"``; and ``api_key``, ``base_url``, ``model``.

    Returns:
        The results in the order of the rows, without those that were left out. Rows are taken as
        there is room for them. With ``output`` or ``journal`` the results of former runs are among
        them; the output is written after the last one.

    Raises:
        TypeError: there is no such option.
        ValueError: the base URL has no scheme.
        BatchError: the run cannot begin.
    """
    function = None
    if not isinstance(script, str | os.PathLike):
        function = script
        _check_function(function, options)
    known = {one.name for one in fields(Options)} - _OURS
    for name in options:
        if name not in known and name not in _SETTINGS:
            raise TypeError(f"map: there is no option {name!r}")
    settings = {
        name: options.pop(name) for name in _SETTINGS if options.get(name) not in (None, False)
    }
    options = {name: value for name, value in options.items() if name not in _SETTINGS}
    if options.get("max_failures") is not None:
        options["max_failures"] = MaxFailures.parse(options["max_failures"])
    for name in ("output", "journal", "prices", "cache"):
        if options.get(name) is not None:
            options[name] = os.fspath(options[name])
    if isinstance(options.get("args"), str):
        raise TypeError("map: args: expected a list of strings, got a string")
    options["args"] = tuple(options.get("args", ()))
    if "base_url" in settings:
        read_base_url(settings["base_url"])
    is_file = isinstance(rows, str | os.PathLike)
    given = Options(
        script="" if function is not None else os.fspath(script),  # type: ignore[arg-type]
        inputs=(os.fspath(rows),) if is_file else (),  # type: ignore[arg-type]
        settings=settings,
        **options,
    )
    values = None if is_file else rows
    return MapResults(
        given,
        function,
        values,  # type: ignore[arg-type]
        on_failure,
        shows_progress=progress,
    )


def _check_function(function: object, options: dict[str, Any]) -> None:
    if not callable(function):
        raise TypeError(f"map: expected a script's path or a function, got {function!r}")
    if inspect.iscoroutinefunction(function):
        raise TypeError("map: a coroutine function cannot run in threads; pass an ordinary one")
    for name in options:
        if name == "workers" and options.get("dask") is not None:
            continue
        if name in _FOR_SCRIPTS:
            raise TypeError(f"map: {name} is for Lua scripts; a Python function has it already")


def _value(outcome: Outcome) -> Iterator[Any]:
    """Yields the result of a row, if it has one."""
    if outcome.text is not None:
        yield json.loads(outcome.text)
