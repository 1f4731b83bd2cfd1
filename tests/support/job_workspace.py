"""A folder with a script, an input and an output, and jobs over them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from luaopenai.batch.exchange import Summary
from luaopenai.batch.job import Job
from luaopenai.batch.options import Options
from support.fake_executor import FakeExecutor


class Workspace:
    """A folder with a script, an input and an output, and jobs over them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.script = folder / "f.lua"
        self.input = folder / "rows.jsonl"
        self.output = folder / "out.jsonl"
        self.script.write_text("return function(row) return row end")
        self.executor: FakeExecutor | None = None

    def rows(self, *values: Any) -> None:
        self.input.write_text("".join(json.dumps(value) + "\n" for value in values))

    def numbered(self, count: int, first: int = 0) -> None:
        self.rows(*({"id": number} for number in range(first, first + count)))

    def job(
        self,
        function: Callable[[Any], Any] = lambda value: value,
        executor: Callable[[Callable[[Any], Any]], FakeExecutor] = FakeExecutor,
        yields_all: bool = False,
        **options: Any,
    ) -> Job:
        given: dict[str, Any] = {
            "script": str(self.script),
            "inputs": (str(self.input),),
            "output": str(self.output),
        }
        given.update(options)
        self.executor = None

        def start(_: object) -> FakeExecutor:
            self.executor = executor(function)
            return self.executor

        return Job(Options(**given), start, yields_all=yields_all)

    def run(self, *args: Any, **options: Any) -> Summary:
        return self.job(*args, **options).run()

    @property
    def asked(self) -> list[Any]:
        return [] if self.executor is None else self.executor.asked

    def results(self) -> list[Any]:
        return [json.loads(line) for line in self.output.read_text().splitlines()]

    def failures(self) -> list[Any]:
        path = Path(f"{self.output}.failed.jsonl")
        return [json.loads(line) for line in path.read_text().splitlines()]
