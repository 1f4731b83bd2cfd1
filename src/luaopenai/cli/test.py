"""Runs busted under our interpreter: ``luaopenai test``."""

from __future__ import annotations

import os
import subprocess
import sys

from luaopenai.bridge.search import lua_folder

# As `python -m luaopenai.cli.lua`, but without the current folder, where a project may have files
# that are called as Python's own.
_START = (
    "import sys; sys.path[:] = filter(None, sys.path);"
    " from luaopenai.cli import lua_main; lua_main()"
)

HELP = """\
usage: luaopenai test [BUSTED ARGS...]

Runs busted, as installed by LuaRocks or the system, under this interpreter.
"""


def test(argv: list[str]) -> int:
    """Runs ``luaopenai test``; returns busted's exit status."""
    if argv in (["--help"], ["-h"]):
        print(HELP, end="")
        return 0
    script = os.path.join(lua_folder(), "luaopenai", "busted.lua")
    try:
        return subprocess.run([*interpreter(), script, "--ignore-lua", *argv]).returncode
    except KeyboardInterrupt:
        return 130


def interpreter() -> list[str]:
    """Returns the command that starts ``luaopenai-lua`` with this very Python."""
    return [sys.executable, "-c", _START]
