"""Loads the tools of ``luaopenai chat``: as plugins, or as scripts in this process."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luaopenai.bridge.errors import LuaError
from luaopenai.client.tool import Tool
from luaopenai.client.tools import ArgumentsError

if TYPE_CHECKING:
    from luaopenai.cli.screen import Screen
    from luaopenai.client.openai import OpenAI


class ToolFileError(Exception):
    """A file offers no tools; the text is one line that says why."""


@contextlib.contextmanager
def plugin_tools(
    paths: list[str], client: OpenAI, limits: dict[str, Any], screen: Screen
) -> Iterator[list[Tool]]:
    """Gives the tools of files that run as plugins, until the block is left.

    Args:
        paths: the files.
        client: what the plugins' ``require("openai")`` speaks through.
        limits: of each call, over those that plugins have.
        screen: where what they print is shown.

    Raises ``ToolFileError``.
    """
    from luaopenai import LimitExceeded, Limits, PluginHost

    with PluginHost(
        client, limits=Limits(**limits), output=lambda _, text: screen.say(text)
    ) as host:
        for path in paths:
            try:
                plugin = host.load(path)
            except LuaError as error:
                raise ToolFileError(_named(path, error.message)) from None
            except LimitExceeded as error:
                raise ToolFileError(_named(path, str(error))) from None
            if not plugin.tools:
                raise ToolFileError(_emptiness(path))
        yield host.tools()


def script_tools(paths: list[str], client: OpenAI, *, is_interactive: bool) -> list[Tool]:
    """Returns the tools of files that run as scripts.

    Args:
        paths: the files.
        client: what the scripts' ``require("openai")`` speaks through.
        is_interactive: whether Ctrl-C is to end a tool, and not the process.

    Raises ``ToolFileError``.
    """
    from luaopenai.host.tools import join_tools

    scripts = []
    for path in paths:
        try:
            script = _Script(path, client, is_interactive=is_interactive)
        except LuaError as error:
            raise ToolFileError(_named(path, error.message)) from None
        if not script.tools:
            raise ToolFileError(_emptiness(path))
        scripts.append(script)
    return join_tools(scripts)


class _Script:
    """A file that runs as a script.

    Attributes:
        name: its file's name without ``.lua``.
        tools: what it offers.
    """

    def __init__(self, path: str, client: OpenAI, *, is_interactive: bool) -> None:
        from luaopenai.cli.repl import InteractiveRuntime

        self.name = Path(path).stem
        self._runtime = InteractiveRuntime(client)
        self._runtime.set_arg({0: path})
        if is_interactive:
            self._runtime.begin_session()
        found = self._runtime.find_tools(path)
        self._call = found["call"]
        self.tools = [
            self._make(number, json.loads(declaration))
            for number, declaration in enumerate(found["declarations"], 1)
        ]

    def _make(self, number: int, declaration: dict[str, Any]) -> Tool:
        def call(arguments: dict[str, Any]) -> object:
            text = json.dumps(arguments)
            answer, fits = self._runtime.call_interruptibly(self._call, number, text)
            if not fits:
                raise ArgumentsError(answer)
            return answer

        return Tool.from_declaration(declaration, call)


def _named(path: str, message: str) -> str:
    """Returns an error's text with the path of its file in front, if it does not name it."""
    return message if path in message else f"{path}: {message}"


def _emptiness(path: str) -> str:
    return f"{path} returns no tools: expected a table with `tools`, a list of openai.tool({{...}})"
