"""The commands ``luaopenai`` and ``luaopenai-lua``; each subcommand is loaded when it runs."""

from __future__ import annotations

import os
import sys

HELP = """\
usage: luaopenai COMMAND ...

  run [OPTIONS] SCRIPT [ARGS...]   run a Lua script that may require("openai")
  chat [OPTIONS] [PROMPT...]       ask a model once, or hold a conversation; tools are Lua files
  map [OPTIONS] SCRIPT INPUT...    call the script's function for each row, and go on after a stop
  test [BUSTED ARGS...]            run busted under this interpreter
  path                             tell where the bundled Lua files are, for editors
  model pull | path                fetch the embedded model, or tell where it lives
  serve [OPTIONS]                  keep the embedded model up for other programs

  luaopenai COMMAND --help         what a command takes
  luaopenai --version
"""


def main() -> None:
    """Runs ``luaopenai``."""
    _exit(_dispatch(sys.argv[1:]))


def lua_main() -> None:
    """Runs ``luaopenai-lua``, which takes what the ``lua`` command takes."""
    # First of all: Ctrl-C may come while the rest is loaded.
    from luaopenai.cli.signals import end_on_interrupt

    end_on_interrupt()
    from luaopenai.cli.run import run_lua

    _exit(run_lua(sys.argv[1:]))


def _dispatch(argv: list[str]) -> int:
    command, rest = (argv[0], argv[1:]) if argv else ("", [])
    if command == "run":
        from luaopenai.cli.signals import end_on_interrupt

        end_on_interrupt()
        from luaopenai.cli.run import run

        return run(rest)
    if command == "chat":
        from luaopenai.cli.signals import end_on_interrupt

        end_on_interrupt()
        from luaopenai.cli.chat import chat

        return chat(rest)
    if command == "map":
        from luaopenai.cli.map import map_rows

        return map_rows(rest)
    if command == "test":
        from luaopenai.cli.test import test

        return test(rest)
    if command == "path":
        from luaopenai.cli.path import path

        return path(rest)
    if command == "model":
        from luaopenai.cli.model import model

        return model(rest)
    if command == "serve":
        from luaopenai.cli.serve import serve

        return serve(rest)
    if command in ("--version", "-V"):
        from luaopenai.cli.run import version

        print(version())
        return 0
    if command in ("--help", "-h", "help"):
        print(HELP, end="")
        return 0
    if command.endswith(".lua") or (command and os.path.isfile(command)):
        print(f"luaopenai: to run a script: luaopenai run {command}", file=sys.stderr)
        return 2
    wrong = f"no command {command!r}" if command else "a command is missing"
    print(f"luaopenai: {wrong}\n\n{HELP}", end="", file=sys.stderr)
    return 2


def _exit(code: int) -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # What reads our output is gone: nothing is left to say, here or at Python's own exit.
        sys.stdout = None
    sys.exit(code)
