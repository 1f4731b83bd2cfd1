"""The command `luaopenai chat`, on pipes and on a terminal."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from support.terminal import CTRL_D, PATIENCE, Terminal

CHAT = [sys.executable, "-m", "luaopenai", "chat"]
KEY = "sk-chat-secret"


def start(
    *args: str, stdin: str | bytes = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run it on pipes, without a terminal; it tells no key and no traceback."""
    given = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        [*CHAT, *args],
        input=given,
        capture_output=True,
        env={**os.environ, "OPENAI_API_KEY": KEY, **environment},
        timeout=PATIENCE,
        start_new_session=True,  # pytest's own terminal is not asked
    )
    assert KEY.encode() not in done.stdout + done.stderr
    assert b"Traceback" not in done.stderr
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


class Talk:
    """A conversation on a terminal."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self.begun = self.wait()

    def say(self, *lines: str) -> str:
        """Enter lines; what is shown up to the next prompt, without the lines themselves."""
        for line in lines:
            self.terminal.type(line + "\n")
            self.terminal.read_until(r"\n")
        return self.wait()

    def wait(self) -> str:
        """Wait for a prompt; what is shown before it."""
        shown = self.terminal.read_until(r"(?<![>\w])> ")
        return re.sub(r"\x1b\[\?2004[hl]\r?", "", shown)[:-2]

    def leave(self) -> int:
        self.terminal.type(CTRL_D)
        return self.terminal.wait()


@contextmanager
def talks(folder: Path) -> Iterator[Callable[..., Talk]]:
    """Starts conversations that remember lines in a folder, and ends them with the block."""
    with ExitStack() as stack:

        def begin(*args: str, command: list[str] = CHAT, **environment: str) -> Talk:
            more = {"XDG_STATE_HOME": str(folder), "OPENAI_API_KEY": KEY, **environment}
            return Talk(stack.enter_context(Terminal([*command, *args], **more)))

        yield begin
