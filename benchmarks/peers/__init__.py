"""The programs that are measured: ours, and what each of them is held against."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent
LUAOPENAI = str(Path(sys.executable).with_name("luaopenai"))

OURS, NATIVE, OUR_PYTHON, OFFICIAL = "luaopenai run", "lua-openai", "luaopenai", "openai"
NAMES = (OURS, NATIVE, OUR_PYTHON, OFFICIAL)


class Peer(NamedTuple):
    """One of the four programs.

    Attributes:
        calls: the command that makes the calls it is told to.
        evaluate: the command that runs the code which is put behind it.
    """

    calls: list[str]
    evaluate: list[str]


def installed() -> dict[str, Peer]:
    """Ours, and those of the others that are here; tells which, and which are not."""
    script = str(FOLDER / "script.lua")
    python = [sys.executable, "-m", "benchmarks.peers.python"]
    found = {
        OURS: Peer([LUAOPENAI, "run", script], [LUAOPENAI, "run", "-e"]),
        NATIVE: Peer(["luajit", script], ["luajit", "-e"]),
        OUR_PYTHON: Peer([*python, "luaopenai"], [sys.executable, "-c"]),
        OFFICIAL: Peer([*python, "openai"], [sys.executable, "-c"]),
    }
    native = _native_version()
    print(native or "lua-openai is not here: `luajit -e 'require(\"openai\")'` fails")
    if native is None:
        del found[NATIVE]
    if importlib.util.find_spec("openai") is None:
        print("the Python package openai is not here")
        del found[OFFICIAL]
    return found


def _native_version() -> str | None:
    code = """
        require("ssl.https")
        print("lua-openai " .. require("openai").VERSION .. " on " .. jit.version)
    """
    if shutil.which("luajit") is None:
        return None
    tried = subprocess.run(["luajit", "-e", code], capture_output=True, text=True)
    return tried.stdout.strip() if tried.returncode == 0 else None


def environment(certificates: Path) -> Mapping[str, str]:
    """Returns what the peers run in: our server is trusted and reached without a proxy."""
    # As users have it: byte code is written at the first run and used from then on.
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    trust = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), str(certificates))
    return {**kept, **trust, "NO_PROXY": "127.0.0.1", "OPENAI_API_KEY": "key"}


class Worker:
    """A peer's process, which makes calls as it is told."""

    def __init__(self, peer: Peer, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            peer.calls, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def measure(self, task: str, base_url: str, calls: int) -> tuple[float, int]:
        """Returns the seconds that a call takes, the mean of some in a row, and what it counted."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(task, base_url, calls, file=self._process.stdin, flush=True)
        seconds, count = self._process.stdout.readline().split()
        return float(seconds), int(count)

    def peak_memory(self) -> int | None:
        """Bytes, of this process alone; None where the system has no ``/proc``."""
        # Not the ru_maxrss of getrusage: it counts what the parent held when it forked.
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text()
        except OSError:
            return None
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    def close(self) -> None:
        """End the process."""
        self._process.communicate()
