"""Makes a job of what was asked for: reads the prices, and chooses where its rows run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from luaopenai.batch.job import Job
from luaopenai.batch.options import CODE_USAGE, BatchError, Options
from luaopenai.batch.pace import Price, Rates, read_prices

if TYPE_CHECKING:
    from luaopenai.batch.exchange import Executor, Usage


def make_job(
    options: Options,
    values: Iterable[Any] | None = None,
    function: Callable[[Any], Any] | None = None,
    *,
    yields_all: bool = False,
) -> Job:
    """Returns a job, which begins when it is run; raises ``BatchError``.

    Args:
        options: what it is.
        values: its rows, in the place of input files.
        function: a Python function of a row, in the place of a script.
        yields_all: whether its steps yield rows too that this run does not ask.
    """
    if options.dask is not None:
        from luaopenai.batch.dask_cluster import check_dask

        check_dask()
    rates = read_rates(options)

    def start(used: Usage) -> Executor:
        if options.dask is not None:
            from luaopenai.batch.dask_executor import SLACK, DaskExecutor

            return DaskExecutor(options, replace(rates, slack=SLACK), used, function)
        if function is not None:
            from luaopenai.batch.threads import ThreadExecutor

            return ThreadExecutor(function, options, rates, used)
        from luaopenai.batch.local import LocalExecutor

        return LocalExecutor(options, rates, used)

    return Job(options, start, values, yields_all=yields_all)


def read_rates(options: Options) -> Rates:
    """Returns what a job may use; raises ``BatchError`` where the prices cannot be read."""
    prices: dict[str, Price] = {}
    if options.prices is not None:
        try:
            with open(options.prices, "rb") as file:
                prices = read_prices(json.load(file))
        except OSError as error:
            text = f"{options.prices} cannot be read: {error.strerror}"
            raise BatchError(text, CODE_USAGE) from None
        except ValueError as error:
            raise BatchError(f"{options.prices}: {error}", CODE_USAGE) from None
    if options.max_cost is not None and not prices:
        raise BatchError("max-cost needs prices", CODE_USAGE)
    return Rates(options.rpm, options.tpm, options.max_tokens_total, options.max_cost, prices)
