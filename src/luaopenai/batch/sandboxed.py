"""Runs a script that is not trusted over rows: as plugins, each in a process of its own."""

from __future__ import annotations

import json
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from luaopenai.client.payload import encode
from luaopenai.host.limits import Limits
from luaopenai.host.plugin import Plugin
from luaopenai.host.plugin_host import PluginHost

if TYPE_CHECKING:
    from luaopenai.batch.tidy import Tidy
    from luaopenai.batch.worker import Lines
    from luaopenai.client.openai import OpenAI

# On the script's first line, so that its lines keep their numbers.
_BEFORE = b"local script = (function(...) "
_AFTER = b"""
end)(...)
local functions = type(script) == "function" and { map = script } or script
if type(functions) ~= "table" or type(functions.map) ~= "function" then
  error("the script must return a function of a row, or a table with such a function as `map`", 0)
end
return functions
"""


class SandboxedRows:
    """A script that runs as plugins, one for each row that is under way.

    A plugin has one call at a time; its limits are for each row.

    Args:
        script: its path.
        args: what ``setup`` gets.
        client: makes the requests; the plugins never see its key.
        limits: some of ``Limits``, by name.

    Raises ``OSError``, ``ValueError``, ``LuaError``.
    """

    def __init__(
        self, script: str, args: list[str], client: OpenAI, limits: dict[str, float]
    ) -> None:
        with open(script, "rb") as file:
            code = file.read()
        if code.startswith(b"#"):
            code = b"--" + code
        self._source = _BEFORE + code + _AFTER
        self._args = args
        self._host = PluginHost(client, limits=Limits(**limits), output=_show)  # type: ignore[arg-type]
        self._first: Plugin | None = self._load()

    def run(self, lines: Lines, tidy: Tidy, concurrency: int) -> None:
        """Runs rows until no more are to begin, ``concurrency`` at once."""
        rows = SimpleQueue[tuple[bytes, bytes, bool] | None]()
        threads = [
            threading.Thread(target=self._work, args=(rows, lines, tidy), daemon=True)
            for _ in range(concurrency)
        ]
        begun = 0
        while (batch := lines.rows.get()) is not None:
            head, *listed = batch.split(b"\n")
            for line in filter(None, listed):
                number, _, text = line.partition(b"\t")
                rows.put((number, text, head.startswith(b"s")))
            while begun < min(concurrency, len(listed)) and not threads[begun].is_alive():
                threads[begun].start()
                begun += 1
        while not rows.empty():
            rows.get_nowait()
        for _ in threads:
            rows.put(None)
        for thread in threads[:begun]:
            thread.join()

    def _load(self) -> Plugin:
        plugin = self._host.load_string(self._source, "script")
        if "setup" in plugin.exports:
            plugin.call("setup", self._args)
        return plugin

    def _work(
        self,
        rows: SimpleQueue[tuple[bytes, bytes, bool] | None],
        lines: Lines,
        tidy: Tidy,
    ) -> None:
        plugin: Plugin | None = None
        while (row := rows.get()) is not None:
            number, text, is_suspect = row
            if is_suspect:
                lines.announce(int(number))
            refused = lines.permits.refused
            try:
                plugin = plugin or self._take_first() or self._load()
                outcome = _outcome(plugin.call("map", json.loads(text), int(number) + 1))
            except Exception as error:
                # Whatever it is, it must not end the thread: the row would never have an outcome.
                outcome = b"f", str(error).encode("utf-8", "replace")
            status, said = outcome
            if refused != lines.permits.refused:
                # It may be this row's request, and the result one that the script made of that.
                status, said = b"f", b"the run is over"
            if status == b"f":
                said = tidy(said.decode("utf-8", "replace")).encode()
            lines.give(b"\t".join((number, status, said)) + b"\n")

    def _take_first(self) -> Plugin | None:
        first, self._first = self._first, None
        return first


def _outcome(result: Any) -> tuple[bytes, bytes]:
    """Returns a status and its text for what a script's function has returned."""
    value, message = (
        (result[0], result[1] if len(result) > 1 else None)
        if isinstance(result, tuple)
        else (result, None)
    )
    if value is None:
        return (b"l", b"") if message is None else (b"f", str(message).encode("utf-8", "replace"))
    return b"d", encode(_readable(value), "result")


def _readable(value: Any) -> Any:
    """Returns a value without bytes, as what a script that is trusted returns is read."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list):
        return [_readable(each) for each in value]
    if isinstance(value, dict):
        return {_readable(name): _readable(each) for name, each in value.items()}
    return value


def _show(_: str, text: str) -> None:
    """Shows what a script prints, as that of scripts that are trusted is shown."""
    import sys

    sys.stderr.write(text)
    sys.stderr.flush()
