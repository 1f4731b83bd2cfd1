"""Shows the calls of tools in a chat, and asks before them."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import IO, TYPE_CHECKING, Any

from luaopenai.cli.harmless import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from luaopenai.client.runs import ToolCall

_LONGEST = 10_000
"""Characters of a result that are looked at: no terminal's line is longer."""


def ask(call: ToolCall) -> object:
    """Asks the user whether a call may run; returns that, with a reason where it may not."""
    try:
        shown = one_line(signature(call))
    except RecursionError:
        return False, "its arguments are nested too deeply to be shown"
    with _terminal() as terminal:
        if terminal is None:
            return False, "nobody is there to allow it"
        written, read = terminal
        _forget_typed(read)
        # Nothing is cut away: what is allowed must be seen.
        print(f"→ {shown} - run it? [y/N] ", end="", file=written, flush=True)
        answer = read.readline()
        if not answer.endswith("\n"):
            print(file=written, flush=True)
    if answer.strip().lower() in ("y", "yes"):
        return True
    return False, "the user did not allow it"


def line(call: ToolCall) -> str:
    """Returns a call and what it came to: ``weather{city="Oslo"} = {"celsius":4}``."""
    called = _as_far_as_possible(lambda: signature(call), f"{call.name}{{…}}")
    if call.error is not None:
        failed = "" if call.error.startswith("refused: ") else "failed: "
        return f"{called} {failed}{call.error}"
    result = call.result
    if not isinstance(result, str):
        result = _as_far_as_possible(lambda: _json(call.result), "…")
    return f"{called} = {result[:_LONGEST]}"


def signature(call: ToolCall) -> str:
    """Returns a call as Lua would write it: ``weather{city="Oslo"}``."""
    if not isinstance(call.arguments, dict):
        return f"{call.name}({call.arguments})"
    fields = (
        f"{name if name.isidentifier() else f'[{_json(name)}]'}={_json(value)}"
        for name, value in call.arguments.items()
    )
    return f"{call.name}{{{', '.join(fields)}}}"


def _as_far_as_possible(show: Callable[[], str], otherwise: str) -> str:
    """Returns what is shown of a value, or something else where it is nested too deeply."""
    try:
        return show()
    except RecursionError:
        return otherwise


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _forget_typed(terminal: IO[str]) -> None:
    """Drops what was typed before the question, which is no answer to it."""
    with contextlib.suppress(ImportError, OSError):
        import termios

        with contextlib.suppress(termios.error):
            termios.tcflush(terminal, termios.TCIFLUSH)


@contextlib.contextmanager
def _terminal() -> Iterator[tuple[IO[str], IO[str]] | None]:
    """Gives the terminal to write a question to and to read its answer from, if there is one."""
    if sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty():
        yield sys.stderr, sys.stdin
        return
    with contextlib.ExitStack() as stack:
        try:
            # The pipes are for what the model is asked and what it answers.
            written = stack.enter_context(open("/dev/tty", "w", encoding="utf-8", errors="replace"))
            read = stack.enter_context(open("/dev/tty", encoding="utf-8", errors="replace"))
        except OSError:
            yield None
            return
        yield written, read
