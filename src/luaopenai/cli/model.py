"""Fetches the embedded model: ``luaopenai model``."""

from __future__ import annotations

import sys

HELP = """\
usage: luaopenai model pull [--force]   fetch the embedded model, once; --force: again
       luaopenai model path             tell where it lives
"""


def model(argv: list[str]) -> int:
    """Runs ``luaopenai model``; returns the exit status."""
    from luaopenai.local import LocalModelError, model_path, progress_bar, pull_model

    if argv in (["--help"], ["-h"]):
        print(HELP, end="")
        return 0
    if argv == ["path"]:
        print(model_path())
        return 0
    if argv not in (["pull"], ["pull", "--force"]):
        print(HELP, end="", file=sys.stderr)
        return 2
    try:
        with progress_bar(sys.stderr) as show:
            print(pull_model(force="--force" in argv, progress=show))
    except LocalModelError as error:
        print(f"luaopenai: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("luaopenai: stopped", file=sys.stderr)
        return 130
    return 0
