"""Writes what is made from the table of endpoints: types for Python and Lua editors, the reference.

`make stubs` runs it; with `--check` it only says which files are not fresh.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

from luaopenai.client.endpoints import ENDPOINTS, METHODS, Endpoint
from luaopenai.client.methods import BY_HAND, parameter_names

ROOT = Path(__file__).parents[1]
_MADE = "Made by `make stubs` from client/endpoints.py"


class Types(NamedTuple):
    """The types of a field in the languages."""

    python: str
    lua: str


_STRING = Types("str", "string")
_FILE = Types("FileInput", "openai.FileInput")
_STRINGS = Types("list[str]", "string[]")
_TABLE = Types("dict[str, Any]", "table<string, any>")
_TABLES = Types("list[dict[str, Any]]", "table[]")
_TYPES = {
    "attributes": _TABLE,
    "bytes": Types("int", "integer"),
    "data_source": _TABLE,
    "data_source_config": _TABLE,
    "event_types": _STRINGS,
    "grader": _TABLE,
    "image": Types("FileInput | list[FileInput]", "openai.FileInput|openai.FileInput[]"),
    "input": Types("str | list[Any]", "string|table"),
    "items": _TABLES,
    "metadata": Types("dict[str, str]", "table<string, string>"),
    "part_ids": _STRINGS,
    "project_ids": _STRINGS,
    "prompt": Types("str | list[str]", "string|string[]"),
    "query": Types("str | list[str]", "string|string[]"),
    "questions": _TABLES,
    "testing_criteria": _TABLES,
    "voice": Types("str | dict[str, str]", "string|{id: string}"),
}


def _type_of(name: str, endpoint: Endpoint) -> Types:
    if name == "prompt" and endpoint.argument != "prompt":
        return _STRING
    return _TYPES.get(name, _FILE if name in endpoint.files else _STRING)


def python_stub() -> str:
    """Returns the text of methods.pyi."""
    lines = [
        "# ruff: noqa: E501",
        f'"""{_MADE}: the types of the methods that methods.py makes."""',
        "",
        "import os",
        "from collections.abc import Mapping",
        "from typing import IO, Any, Literal, TypeAlias, overload",
        "",
        "from luaopenai.client.aio import AsyncCall, Plain",
        "from luaopenai.client.async_iterators import AsyncStream",
        "from luaopenai.client.endpoints import Endpoint",
        "from luaopenai.client.iterators import Stream",
        "from luaopenai.client.openai import Response",
        "",
        "FileInput: TypeAlias = (",
        "    str | os.PathLike[str] | tuple[str, str | bytes] | Mapping[str, Any] | IO[bytes]",
        ")",
        "",
        "BY_HAND: tuple[str, ...]",
        "",
        "def parameter_names(endpoint: Endpoint) -> list[str]: ...",
    ]
    stream = "Stream[dict[str, Any]]"
    for owner, result, streamed in (
        ("EndpointMethods", "Response", stream),
        ("AsyncEndpointMethods", "Plain", f"AsyncCall[Async{stream}, dict[str, Any]]"),
    ):
        lines += ["", f"class {owner}:"]
        for name, endpoint in METHODS.items():
            if name in BY_HAND:
                continue
            if endpoint.streams:
                lines += ["    @overload", *_python_method(name, endpoint, streamed, stream=True)]
                lines.append("    @overload")
            lines += _python_method(name, endpoint, result)
    return "\n".join(lines) + "\n"


def _python_method(
    name: str, endpoint: Endpoint, result: str, *, stream: bool = False
) -> list[str]:
    parameters = ["self"]
    for parameter in parameter_names(endpoint):
        parameters.append(f"{parameter}: {_type_of(parameter, endpoint).python}")
    if stream:
        parameters += ["*", "stream: Literal[True]"]
    if endpoint.options:
        parameters.append("**opts: Any")
    head = f"    def {name}({', '.join(parameters)}) -> {result}:"
    if len(head) > 100:
        inner = ", ".join(parameters)
        if len(inner) > 92:
            inner = ",\n        ".join(parameters) + ","
        head = f"    def {name}(\n        {inner}\n    ) -> {result}:"
    return [
        head,
        f'        """{endpoint.summary}',
        "",
        f"        {_request(endpoint)}",
        '        """',
    ]


def _request(endpoint: Endpoint) -> str:
    return f"``{endpoint.method} {endpoint.path}``"


def lua_annotations() -> str:
    """Returns the text of the Lua file that only editors read."""
    lines = [
        "---@meta _",
        f"-- {_MADE}: what editors know of the client's methods.",
        "-- luacheck: ignore 212 241 631",
        "",
        "---@class openai.File",
        "---@field filename string",
        "---@field content string",
        "---@field content_type? string `application/octet-stream` when left out",
        "",
        "---@alias openai.FileInput string|openai.File a path, or a file's name and content",
        "",
        "---@class OpenAI",
        "local OpenAI = {}",
    ]
    for name, endpoint in METHODS.items():
        if name not in BY_HAND:
            lines += _lua_method(name, endpoint)
    return "\n".join(lines) + "\n"


def _lua_method(name: str, endpoint: Endpoint) -> list[str]:
    summary = endpoint.summary.replace("``", "`")
    lines = ["", f"---{summary} `{endpoint.method} {endpoint.path}`"]
    names = _lua_names(endpoint)
    for parameter in _own_names(endpoint):
        lines.append(f"---@param {parameter} {_type_of(parameter, endpoint).lua}")
    if names[-1:] == ["params"]:
        fields = ", ".join(f"{n}: {_type_of(n, endpoint).lua}" for n in endpoint.required)
        kind = f"{{{fields}, [string]: any}}" if fields else "table<string, any>"
        lines.append(f"---@param params {kind}")
    elif endpoint.options:
        lines.append(f"---@param {names[-1]}? table<string, any>")
    body = "string|table body" if endpoint.binary else "any body"
    lines.append(f"---@return integer status, {body}, openai.Headers headers")
    lines.append(f"function OpenAI:{name}({', '.join(names)}) end")
    return lines


def _own_names(endpoint: Endpoint) -> list[str]:
    """Returns the names of what a Lua method takes before its options."""
    return [*endpoint.ids, *([endpoint.argument] if endpoint.argument else [])]


def _lua_names(endpoint: Endpoint) -> list[str]:
    names = _own_names(endpoint)
    if endpoint.options == "query":
        names.append("query")
    elif endpoint.options:
        names.append("params" if not endpoint.argument and _is_needed(endpoint) else "opts")
    return names


def _is_needed(endpoint: Endpoint) -> bool:
    return bool(endpoint.required) or endpoint.path == "/images/generations"


def reference_table() -> str:
    """Returns the table of endpoints in docs/reference.md."""
    lines = ["| Lua | Python | request | |", "|---|---|---|---|"]
    for name, endpoint in ENDPOINTS.items():
        if name == "create_chat_completion":
            lines.append(
                _row("chat", endpoint, "Completes a chat; a stream's callback gets chunks.")
            )
        lines.append(_row(name, endpoint, endpoint.summary.replace("``", "`")))
    return "\n".join(lines) + "\n"


def _row(name: str, endpoint: Endpoint, summary: str) -> str:
    is_by_hand = name == "chat" or name in BY_HAND
    lua = [*_lua_names(endpoint), *(["cb"] if is_by_hand else [])]
    if lua[-1:] == ["params"] and endpoint.required:
        params = f"{{{', '.join(f'{field}=' for field in endpoint.required)}, …}}"
        ids = ", ".join(endpoint.ids)
        lua_call = f"{name}({ids}, {params})" if ids else f"{name}{params}"
    else:
        lua_call = f"{name}({', '.join(lua)})"
    python = parameter_names(endpoint)
    python += ["stream_callback"] if is_by_hand else []
    python += ["**opts"] if endpoint.options else []
    path = endpoint.path
    defaults = [f"`{field}` {value}" for field, value in endpoint.defaults.items()]
    defaults += ["`model`: the client's"] if endpoint.chat_model else []
    defaults += [f"`{field}: {value}`" for field, value in endpoint.headers.items()]
    said = summary + (f" {'; '.join(defaults)}" if defaults else "")
    call = f"{name}({', '.join(python)})"
    if endpoint.aliases:
        said += f" Earlier: {', '.join(f'`{alias}`' for alias in endpoint.aliases)}."
    return f"| `{lua_call}` | `{call}` | `{endpoint.method} {path}` | {said} |"


_MARKS = (f"<!-- {_MADE}. -->\n", "<!-- end -->\n")


def _with_table(text: str) -> str:
    before, _, rest = text.partition(_MARKS[0])
    after = rest.partition(_MARKS[1])[2]
    return f"{before}{_MARKS[0]}{reference_table()}{_MARKS[1]}{after}"


def files() -> dict[Path, str]:
    """Returns the files and what should stand in them."""
    reference = ROOT / "docs" / "reference.md"
    return {
        ROOT / "src" / "luaopenai" / "client" / "methods.pyi": python_stub(),
        ROOT / "lua" / "openai" / "endpoints.lua": lua_annotations(),
        reference: _with_table(reference.read_text(encoding="utf-8")),
    }


def main(arguments: list[str]) -> int:
    """Write the files, or check them; returns the exit code."""
    stale = [
        path
        for path, text in files().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path in stale:
        if "--check" in arguments:
            print(f"{path.relative_to(ROOT)} is not fresh: make stubs")
        else:
            path.write_text(files()[path], encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
