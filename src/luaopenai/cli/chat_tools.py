"""Loads the tools of ``luaopenai chat``: as plugins, or as scripts in this process."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from luaopenai.bridge.errors import LuaError
from luaopenai.client.tool import Tool

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
                raise ToolFileError(error.message) from None
            except LimitExceeded as error:
                raise ToolFileError(f"{path}: {error}") from None
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
    found: list[Tool] = []
    for path in paths:
        try:
            tools = _tools_of_script(path, client, is_interactive=is_interactive)
        except LuaError as error:
            raise ToolFileError(error.message) from None
        if not tools:
            raise ToolFileError(_emptiness(path))
        found += tools
    return found


def _tools_of_script(path: str, client: OpenAI, *, is_interactive: bool) -> list[Tool]:
    from luaopenai.bridge.search import lua_folder
    from luaopenai.cli.repl import InteractiveRuntime

    runtime = InteractiveRuntime(client)
    runtime.set_arg({0: path})
    if is_interactive:
        runtime.begin_session()
    with open(os.path.join(lua_folder(), "luaopenai", "chat.lua"), "rb") as file:
        chunk = runtime.compile(file.read(), "chat")
    script: dict[str, Any] = runtime.call(chunk, os.fsencode(path))

    def make(number: int, declaration: str) -> Tool:
        def handle(arguments: dict[str, Any]) -> object:
            return runtime.call_interruptibly(script["call"], number, json.dumps(arguments))

        told: dict[str, Any] = json.loads(declaration)
        return Tool.from_handler(handle, **{**told, "strict": bool(told.get("strict"))})

    return [make(number, text) for number, text in enumerate(script["declarations"], 1)]


def _emptiness(path: str) -> str:
    return f"{path} returns no tools: expected a table with `tools`, a list of openai.tool({{...}})"
