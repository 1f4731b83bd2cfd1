"""Runs the benchmarks that are named, or all of them, and says on which machine."""

from __future__ import annotations

import importlib.metadata
import platform
import sys

from benchmarks import cjson, startup

CASES = {"startup": startup.main, "cjson": cjson.main}


def main() -> None:
    names = sys.argv[1:] or list(CASES)
    unknown = [name for name in names if name not in CASES]
    if unknown:
        sys.exit(f"no benchmark {unknown[0]}; there are {', '.join(CASES)}")
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("luaopenai", "lupa", "requests")
    )
    print(f"{platform.platform()}, Python {platform.python_version()}, {versions}")
    for name in names:
        print(f"\n## {name}\n", flush=True)
        CASES[name]()


if __name__ == "__main__":
    main()
