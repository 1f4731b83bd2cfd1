"""Tools: what a run of rounds costs beside the same loop by hand, in Lua and with ``openai``."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.peers import LUAOPENAI

_SCRIPT = str(Path(__file__).with_suffix(".lua"))
_OFFICIAL = """
import json, sys, time
from statistics import median
from openai import OpenAI

client = OpenAI(api_key="key", base_url=sys.argv[1])
schema = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["C", "F"]}},
    "required": ["city"],
    "additionalProperties": False,
}
function = {"name": "weather", "description": "Tells the weather in a city", "parameters": schema}
tools = [{"type": "function", "function": function}]


def answer(arguments):
    return {"city": arguments["city"], "celsius": 4}


def run():
    messages = [{"role": "user", "content": "How warm is it in Oslo?"}]
    while True:
        create = client.chat.completions.create
        message = create(model="gpt-4.1", messages=messages, tools=tools).choices[0].message
        messages.append(message)
        if not message.tool_calls:
            return message.content
        for call in message.tool_calls:
            result = json.dumps(answer(json.loads(call.function.arguments)))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


run()
seconds = []
for _ in range(31):
    start = time.perf_counter()
    run()
    seconds.append(time.perf_counter() - start)
print(median(seconds))
"""


def main() -> None:
    """Print a table."""
    print("| case | result | aim |\n| --- | --: | --: |")
    with _serving() as url:
        first, second = _output([LUAOPENAI, "run", _SCRIPT, url])
        run, hand, ratio = first
        _row("a run of 10 rounds with one call each", f"{run * 1e3:.2f} ms", "")
        _row("the same loop by hand in Lua", f"{hand * 1e3:.2f} ms", "")
        _row("ratio, the median of pairs", f"{ratio:.2f}", "≤ 1.15")
        if importlib.util.find_spec("openai") is not None:
            command = [sys.executable, "-c", _OFFICIAL, f"{url}/rounds-10-1"]
            ((official,),) = _output(command)
            _row("a loop by hand with `openai`", f"{official * 1e3:.2f} ms", "")
            _row("ratio of the run to it", f"{run / official:.2f}", "≤ 0.5")
        _row("8 calls of 250 ms in one round", f"{second[0]:.2f} s", "≤ 0.35 s")


def _output(command: list[str]) -> list[list[float]]:
    environment = dict(os.environ, NO_PROXY="127.0.0.1")
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return [[float(number) for number in line.split()] for line in done.stdout.splitlines()]


@contextmanager
def _serving() -> Iterator[str]:
    """Returns the address of the server of canned answers, in another process."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.server", folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                yield f"http://127.0.0.1:{int(process.stdout.readline().split()[0])}"
            finally:
                process.terminate()


def _row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
