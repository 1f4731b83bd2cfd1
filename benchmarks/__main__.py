"""Runs the benchmarks that are named, or all of them, and says on which machine."""

from __future__ import annotations

import importlib.metadata
import platform
import sys

from benchmarks import calls, cjson, concurrency, maps, plugins, scale, startup, tools
from benchmarks.calls import serving
from benchmarks.peers import installed
from benchmarks.report import print_table

ALONE = {
    "concurrency": concurrency.main,
    "cjson": cjson.main,
    "plugins": plugins.main,
    "map": maps.main,
    "tools": tools.main,
    "scale": scale.main,
}
NAMES = ["startup", *calls.CASES, *ALONE]
PACKAGES = ("luaopenai", "lupa", "requests", "urllib3", "openai")


def main() -> None:
    names = sys.argv[1:] or [name for name in NAMES if name != "scale"]
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        sys.exit(f"no benchmark {unknown[0]}; there are {', '.join(NAMES)}")
    print(machine(), flush=True)
    if set(names) - ALONE.keys():
        compare(names)
    for name, run in ALONE.items():
        if name in names:
            print(f"\n## {name}\n", flush=True)
            run()


def compare(names: list[str]) -> None:
    """Print the table of what is done against the server."""
    peers = installed()
    cases = [case for name in names for case in calls.CASES.get(name, ())]
    rows, remark = [], ""
    with serving() as server:
        if "startup" in names:
            rows += startup.measure(peers, server)
            remark = startup.compare_with_python(server)
        if cases:
            rows += calls.measure(cases, peers, server)
    print()
    print_table(rows)
    if remark:
        print(f"\n{remark}")


def machine() -> str:
    """Returns the machine and the versions, in a line."""
    versions = ", ".join(f"{name} {version}" for name in PACKAGES if (version := _version(name)))
    return f"{platform.platform()}, Python {platform.python_version()}, {versions}"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
