"""Tells where the bundled Lua files are, for editors: ``luaopenai path``."""

from __future__ import annotations

import sys

from luaopenai.bridge.search import lua_folder

HELP = """\
usage: luaopenai path   tell where the bundled Lua files are, for an editor's list of libraries
"""


def path(argv: list[str]) -> int:
    """Runs ``luaopenai path``; returns the exit status."""
    if argv in (["--help"], ["-h"]):
        print(HELP, end="")
        return 0
    if argv:
        print(HELP, end="", file=sys.stderr)
        return 2
    print(lua_folder())
    return 0
