"""A folder with a script and rows, and ``luaopenai map`` over them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from support.terminal import piped

MAP = [sys.executable, "-m", "luaopenai", "map"]
KEY = "sk-secret-0123456789"

CHAT = """
local client = require("openai").new()
return function(row)
  local messages = { { role = "user", content = row.text } }
  local status, body = client:chat(messages, { model = "small", max_tokens = 5 })
  if status ~= 200 then
    error(body)
  end
  return { id = row.id, said = body.choices[1].message.content }
end
"""


class MapWorkspace:
    """A folder with a script, an input and an output, and the command over them."""

    def __init__(self, folder: Path, script: str = "return function(row) return row end") -> None:
        self.folder = folder
        self.script = folder / "f.lua"
        self.input = folder / "rows.jsonl"
        self.output = folder / "out.jsonl"
        self.script.write_text(script)

    def numbered(self, count: int) -> None:
        """Writes rows that have their number, from 0, and a text of their own."""
        rows = ({"id": number, "text": f"text {number}"} for number in range(count))
        self.input.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def command(self, *options: str, url: str | None = None) -> list[str]:
        more = ["--base-url", url] if url else []
        return [*MAP, str(self.script), str(self.input), "-o", str(self.output), *more, *options]

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        return {**os.environ, "OPENAI_API_KEY": KEY, "NO_PROXY": "127.0.0.1", **(more or {})}

    def run(
        self, *options: str, url: str | None = None, **more: Any
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*options, url=url),
            capture_output=True,
            text=True,
            timeout=100,
            env=self.environment(),
            **more,
        )

    def start(
        self, *options: str, url: str | None = None
    ) -> AbstractContextManager[subprocess.Popen[bytes]]:
        return piped(self.command(*options, url=url), env=self.environment())

    def results(self) -> list[Any]:
        return [json.loads(line) for line in self.output.read_text().splitlines()]

    def failures(self) -> list[Any]:
        path = Path(f"{self.output}.failed.jsonl")
        return [json.loads(line) for line in path.read_text().splitlines()]
