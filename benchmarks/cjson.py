"""JSON in Lua: the bundled ``cjson`` against the C one, where that is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main() -> None:
    script = Path(__file__).with_suffix(".lua")
    subprocess.run([sys.executable, "-m", "luaopenai", "run", str(script)], check=True)
