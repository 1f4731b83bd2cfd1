"""Runs a script's function over rows: ``luaopenai map``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from luaopenai.batch.options import (
    CODE_STOPPED,
    CODE_USAGE,
    INPUT_FORMATS,
    OUTPUT_FORMATS,
    ROW_LIMITS,
    BatchError,
    MaxFailures,
    Options,
)
from luaopenai.cli.streams import forsake, keep_streams

if TYPE_CHECKING:
    from luaopenai.batch.exchange import Outcome, Row, Summary
    from luaopenai.batch.job import Job

INTERRUPT_SECONDS = 5.0
"""Seconds that rows under way get to finish after Ctrl-C."""

_USAGE = "luaopenai map [OPTIONS] SCRIPT INPUT... -o OUTPUT [-- ARGS...]"
_DESCRIPTION = """\
Calls the function that SCRIPT returns for each row of the INPUTs, many at once, and writes what it
returns to OUTPUT. Stopped or killed, the same command goes on where it was: rows that were finished
a second before are not asked again.

  return function(row, index)      -- or { map = function(row, index) ... end, setup = ... }
    ...                            -- row: a table; index: the row's number, from 1
    return { label = "..." }       -- nil leaves the row out; an error, or nil and a message, fails
  end

INPUT: JSON Lines, CSV, TSV, Parquet or text; several, patterns, or - for standard input.
ARGS after -- are the script's: `...`, `arg`, and the argument of `setup`.
"""
_EPILOG = """\
exit status: 0 all rows are done; 3 some have failed (see OUTPUT.failed.jsonl); 1 the run has
stopped before its end; 2 the command is wrong; 130 interrupted.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(f"luaopenai map: {message}; see luaopenai map --help", file=sys.stderr)
        raise SystemExit(CODE_USAGE)


def map_rows(argv: list[str]) -> int:
    """``luaopenai map``: returns the exit status."""
    keep_streams()
    try:
        options, is_quiet = read_options(argv)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0
    except BatchError as error:
        return _complain(str(error), error.code)
    if options.local:
        return _run_locally(options, is_quiet)
    return _run(options, is_quiet)


def read_options(argv: list[str]) -> tuple[Options, bool]:
    """Returns what a command line asks for, and whether it asks for quiet.

    Raises ``SystemExit`` or ``BatchError`` for what it cannot ask for. Puts the key that
    ``--api-key-env`` names where workers find it, in the environment.
    """
    args: list[str] = []
    if "--" in argv:
        at = argv.index("--")
        argv, args = argv[:at], argv[at + 1 :]
    given = _parser().parse_args(argv)
    if given.api_key_env is not None:
        if given.api_key_env not in os.environ:
            raise BatchError(f"the environment has no {given.api_key_env}", CODE_USAGE)
        os.environ["OPENAI_API_KEY"] = os.environ[given.api_key_env]
    _check(given)
    settings = {
        name: value
        for name in ("base_url", "model", "model_file", "lua_path", "lua_cpath")
        if (value := getattr(given, name)) is not None
    }
    if given.no_rocks:
        settings["no_rocks"] = "yes"
    limits = {name: getattr(given, f"max_{name}") for name in ROW_LIMITS}
    options = Options(
        script=given.script,
        inputs=tuple(given.inputs),
        output=given.output,
        args=tuple(args),
        input_format=given.input_format,
        output_format=given.output_format,
        key=given.key,
        on_bad_row=given.on_bad_row,
        unordered=given.unordered,
        part_rows=given.part_rows,
        journal=given.journal,
        restart=given.restart,
        keep=given.keep,
        retry_failed=given.retry_failed,
        attempts=given.attempts,
        max_failures=None if given.max_failures is None else MaxFailures.parse(given.max_failures),
        dedupe=given.dedupe,
        cache=given.cache,
        dry_run=given.dry_run,
        workers=given.workers,
        dask=given.dask,
        concurrency=given.concurrency,
        sandbox=given.sandbox,
        limits={name: value for name, value in limits.items() if value is not None},
        rpm=given.rpm,
        tpm=given.tpm,
        max_tokens_total=given.max_tokens_total,
        max_cost=given.max_cost,
        prices=given.prices,
        local=given.local,
        settings=settings,
    )
    return options, given.quiet


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        "luaopenai map",
        usage=_USAGE,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(
            prog, max_help_position=30, width=100
        ),
        allow_abbrev=False,
    )
    parser.add_argument("script", metavar="SCRIPT", help=argparse.SUPPRESS)
    parser.add_argument("inputs", metavar="INPUT", nargs="+", help=argparse.SUPPRESS)

    def group(title: str) -> Callable[..., Any]:
        return parser.add_argument_group(title).add_argument

    add = group("rows")
    add("-o", "--output", metavar="OUTPUT", help="a file, or a folder of parts (ends in /)")
    add("--input-format", choices=INPUT_FORMATS, metavar="NAME", help=_either(INPUT_FORMATS))
    add("--output-format", choices=OUTPUT_FORMATS, metavar="NAME", help=_either(OUTPUT_FORMATS))
    add("--key", metavar="FIELD", help="the field that names a row")
    add("--on-bad-row", choices=("stop", "skip"), default="stop", metavar="WHAT",
        help="stop (default) or skip, at a line that is no row")  # fmt: skip
    add("--unordered", action="store_true", help="write rows in the order in which they are done")
    add("--part-rows", type=_count, default=100_000, metavar="N", help="rows of a part (100,000)")

    add = group("going on")
    add("--journal", metavar="FILE", help="where finished rows are kept (OUTPUT.journal)")
    add("--restart", action="store_true", help="forget what was done, and begin anew")
    add("--keep", action="store_true", help="go on though script or input have changed")
    add("--retry-failed", action="store_true", help="take only the rows that have failed")
    add("--dedupe", action="store_true", help="ask once for equal rows")
    add("--cache", metavar="DIR", help="keep answers for later runs")
    add("--dry-run", type=_count, metavar="N", help="do N rows, tell what all would take")

    add = group("failures")
    add("--attempts", type=_count, default=3, metavar="N", help="how often a row is tried (3)")
    add("--max-failures", metavar="N|P%", help="stop when more rows have failed")

    add = group("how much at once")
    add("--concurrency", type=_count, default=16, metavar="N",
        help="rows under way in each worker (16)")  # fmt: skip
    add("--workers", type=_count, metavar="N", help="processes (one for each core)")
    add("--dask", metavar="ADDRESS", help="run rows on a cluster of Dask's; local starts one here")
    add("--rpm", type=_amount, metavar="N", help="requests a minute, of all workers together")
    add("--tpm", type=_amount, metavar="N", help="tokens a minute, likewise")
    add("--max-tokens-total", type=_count, metavar="N", help="stop before more tokens are used")
    add("--max-cost", type=_amount, metavar="X", help="stop before it costs more; needs --prices")
    add("--prices", metavar="FILE",
        help='JSON: {"MODEL": {"input": X, "output": X}}, per million tokens')  # fmt: skip

    add = group("the client, as for luaopenai run")
    add("--base-url", metavar="URL", help="where openai.new() sends")
    add("--model", metavar="NAME", help="what clients ask for that name no model")
    add("--api-key-env", metavar="NAME", help="the environment variable that holds the key")
    add("--local", action="store_true", help="use the model embedded in this program")
    add("--model-file", metavar="FILE", help="with --local: another model, as a GGUF file")
    add("--lua-path", metavar="PATH", help="templates for package.path, searched first")
    add("--lua-cpath", metavar="PATH", help="templates for package.cpath, searched first")
    add("--no-rocks", action="store_true", help="search only what is named, and what is bundled")
    add("--sandbox", action="store_true", help="run SCRIPT, which is not trusted, behind walls;")
    for name in ROW_LIMITS:
        word = name.replace("_", "-")
        add(f"--max-{word}", type=_amount, metavar="N", help=f"with --sandbox: {word} of each row")
    add("-q", "--quiet", action="store_true", help="show no progress and no summary")
    return parser


def _either(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}; told by the name's end"


def _count(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return value


def _amount(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def _check(given: argparse.Namespace) -> None:
    def wrong(text: str) -> BatchError:
        return BatchError(f"{text}; see luaopenai map --help", CODE_USAGE)

    if given.output is None and given.dry_run is None:
        raise wrong("an output is missing: -o OUTPUT")
    if given.max_cost is not None and given.prices is None:
        raise wrong("--max-cost needs --prices")
    limited = [name for name in ROW_LIMITS if getattr(given, f"max_{name}") is not None]
    if limited and not given.sandbox:
        raise wrong(f"--max-{limited[0].replace('_', '-')} goes with --sandbox")
    if given.local and given.dask not in (None, "local"):
        raise wrong("--local runs a model on this machine; with it goes --dask local alone")
    if given.model_file is not None and not given.local:
        raise wrong("--model-file goes with --local")
    if given.base_url is not None:
        if given.local:
            raise wrong("--base-url and --local exclude each other")
        from luaopenai.client.servers import read_base_url

        try:
            read_base_url(given.base_url, "--base-url")
        except ValueError as error:
            raise wrong(str(error)) from None


def _run_locally(options: Options, is_quiet: bool) -> int:
    from pathlib import Path

    from luaopenai.cli.signals import quit_now
    from luaopenai.local import LocalModelError, LocalServer

    file = options.settings.get("model_file")
    try:
        server = LocalServer(Path(file) if file else None)
    except LocalModelError as error:
        return _complain(str(error), CODE_STOPPED)
    settings = {**options.settings, "base_url": server.base_url, "local": "yes"}
    code = CODE_STOPPED
    try:
        code = _run(replace(options, settings=settings), is_quiet)
    finally:
        if not server.close():
            quit_now(code)
    return code


def _run(options: Options, is_quiet: bool) -> int:
    from luaopenai.batch.start import make_job

    if options.dask is not None:
        _silence_dask()
    try:
        job = make_job(options)
        _stop_on_interrupt(job)
        summary = _follow(job, is_quiet)
    except BatchError as error:
        return _complain(str(error), error.code)
    return summary.code


def _silence_dask() -> None:
    """Has Dask say nothing on standard error: the command says what there is to say."""
    try:
        import dask.config
    except ImportError:
        return
    names = ("asyncio", "distributed", "distributed.client", "tornado", "tornado.application")
    dask.config.set({"logging": dict.fromkeys(names, "critical")})


def _follow(job: Job, is_quiet: bool) -> Summary:
    """Does a job, and shows how far it is and what it came to."""
    from luaopenai.batch.progress import Progress

    progress = Progress(sys.stderr, is_quiet=is_quiet)
    shown = []
    try:
        for finished in job.steps():
            if job.options.dry_run is not None:
                shown += finished
            progress.show(job.counts)
    finally:
        progress.close(job.counts)
    summary = job.summary
    assert summary is not None
    _print(shown)
    _say(summary, job.options, is_quiet=is_quiet)
    return summary


def _print(finished: list[tuple[Row, Outcome]]) -> None:
    """Shows the results of a dry run, which are not kept."""
    try:
        for _, outcome in sorted(finished, key=lambda pair: pair[0].number):
            if outcome.text is not None:
                # As in an output, in UTF-8.
                sys.stdout.buffer.write(outcome.text + b"\n")
        sys.stdout.flush()
    except OSError:
        forsake(sys.stdout.fileno())


def _say(summary: Summary, options: Options, *, is_quiet: bool) -> None:
    from luaopenai.batch.progress import extrapolation, summary_line

    if not is_quiet:
        print(f"luaopenai: {summary_line(summary)}", file=sys.stderr)
    counts = summary.counts
    if options.dry_run is not None and counts.input_rows and counts.finished:
        at_once = options.concurrency * (options.workers or os.cpu_count() or 1)
        text = extrapolation(counts, at_once, summary.seconds)
        print(f"luaopenai: {text}", file=sys.stderr)
    if summary.failures is not None:
        print(f"luaopenai: the failed rows are in {summary.failures}", file=sys.stderr)
    if summary.reason is not None:
        print(f"luaopenai: stopped: {summary.reason}", file=sys.stderr)
        if summary.code != CODE_USAGE and counts.finished:
            print("luaopenai: the same command goes on", file=sys.stderr)
    elif summary.code and summary.last_error:
        print(f"luaopenai: the last failure: {summary.last_error}", file=sys.stderr)


def _stop_on_interrupt(job: Job) -> None:
    """From now on, Ctrl-C has rows under way finish within seconds, and a second one drops them."""
    times = 0

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal times
        times += 1
        seconds = INTERRUPT_SECONDS if times == 1 else 0.0
        job.stop("interrupted", 128 + number, seconds)
        if times == 1:
            # Whoever read it may have been ended by the same Ctrl-C.
            with suppress(OSError):
                os.write(2, b"\nluaopenai: rows under way get 5 s to finish; Ctrl-C again: none\n")

    # Unless whoever started us has had it ignored.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)


def _complain(text: str, code: int) -> int:
    print(f"luaopenai map: {text}", file=sys.stderr)
    return code
