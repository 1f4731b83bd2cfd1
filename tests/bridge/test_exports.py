"""The boundary between Lua and Python: what is marked, what is used, what is written down."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from luaopenai import LuaError, PluginHost, Runtime
from luaopenai.batch.worker import MapExports
from luaopenai.bridge.exports import Exports
from luaopenai.bridge.marks import find_marks
from luaopenai.bridge.search import lua_folder
from luaopenai.host.exports import PluginExports

LUA = Path(lua_folder())
BRIDGE = LUA / "luaopenai" / "bridge.lua"
BOOT = (LUA / "luaopenai" / "boot.lua").read_text()
EXPORTS = {**find_marks(Exports), **find_marks(PluginExports), **find_marks(MapExports)}


def lua_files() -> Iterator[str]:
    """The bundled Lua files without their comments."""
    for path in LUA.rglob("*.lua"):
        if path != BRIDGE:
            yield re.sub(r"--[^\n]*", "", path.read_text())


def used() -> set[str]:
    return {name for text in lua_files() for name in re.findall(r"\bbridge\.(\w+)", text)}


def put_by_boot() -> set[str]:
    (first,) = re.findall(r"local bridge = \{([^}]*)\}", BOOT)
    assigned = re.findall(r"^(?:bridge\.\w+, )*bridge\.\w+ =|^function bridge\.\w+", BOOT, re.M)
    return {*re.findall(r"(\w+) =", first), *re.findall(r"bridge\.(\w+)", " ".join(assigned))}


def written_down() -> list[str]:
    return re.findall(r"^---@field (\w+) ", BRIDGE.read_text(), re.M)


def test_all_that_lua_uses_of_the_bridge_is_there() -> None:
    assert used() - EXPORTS.keys() - put_by_boot() == set()


def test_all_that_is_exported_is_used() -> None:
    assert EXPORTS.keys() - used() == set()


def test_the_annotated_file_names_all_of_the_bridge_once() -> None:
    assert sorted(written_down()) == sorted(EXPORTS.keys() | put_by_boot())


def test_no_file_but_the_boot_file_puts_anything_on_the_bridge() -> None:
    put = re.compile(r"function bridge\.|\bbridge\.\w+(, bridge\.\w+)* = |setmetatable\(bridge")
    assert [text for text in lua_files() if put.search(text)] == [re.sub(r"--[^\n]*", "", BOOT)]


def test_the_bridge_is_sealed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for path in LUA.rglob("*.lua"):
        copy = tmp_path / path.relative_to(LUA)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text())
    for name, body in {"sets": "bridge.drain = 1", "reads": "return bridge.drain"}.items():
        (tmp_path / f"{name}.lua").write_text(f"local _, bridge = ...\n{body}")
    monkeypatch.setattr("luaopenai.bridge.search.lua_folder", lambda: str(tmp_path))
    lua = Runtime(rocks=False)
    with pytest.raises(LuaError, match="the bridge is sealed: drain"):
        lua.require("sets")
    with pytest.raises(LuaError, match=r"there is no bridge\.drain"):
        lua.require("reads")


def test_a_plugins_lua_is_refused_what_is_not_marked_for_plugins() -> None:
    with PluginHost(isolation="thread") as host:
        plugin = host.load_string(
            """
            local openai = require("openai")
            return {
              run = function() return openai.new():upload_file({ file = "/x", purpose = "y" }) end,
            }
            """
        )
        with pytest.raises(LuaError, match="read_file is not for plugins"):
            plugin.call("run")


ALONE = r"""
import os, sys
from luaopenai.bridge.exports import Exports
from luaopenai.bridge.marks import find_marks
from luaopenai.bridge.network import Defaults, Network

class Values:
    def to_lua(self, value, where=""):
        return value
    def to_python(self, value, where=""):
        return value.decode() if isinstance(value, bytes) else value
    def byte_list(self, items):
        return list(items)

CHAT = b'{"choices": [{"message": {"role": "assistant", "content": "well"}}]}'
ODD = b'{"a": "\\ud83d\\ude00 \\ud83d", "b": NaN, "c": [1, 2,], "d": "\xff"}'
PART = b'{"type": "output_text", "text": "\\ud83d"}'
RESPONSE = b'{"id": "r", "output": [{"type": "message", "content": [%s]}]}' % PART
MESSAGE = b'{"role": "user", "content": "\\ud83d"}'
SCHEMA = b'{"type": "object", "properties": {"a": {"type": "string", "pattern": "x"}}}'
CALL = b'{"id": "\\ud83d", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}'
CALLS = b'{"role": "assistant", "tool_calls": [%s, {"type": "custom"}]}' % CALL
CASES = {
    "constants": [()],
    "account_headers": [("o", "p")],
    "read_base_url": [(b"http://x", b"base_url")],
    "missing": [(b"model",)],
    "fill_path": [(b"/batches/{batch_id}", b"a/b"), (b"/batches/{batch_id}", [])],
    "add_query": [(b"/x", b'{"a": ["b", true, 1.5]}'), (b"/x", b'{"a": "\xff"}')],
    "check_messages": [(b'[{"role": "user", "content": "x"}]',), (b"[1]",), (b'["\xff"]',)],
    "check_message": [(MESSAGE, b"message"), (b"{}", b"message"), (b'"\xff"', b"message")],
    "check_tool_call": [(b"{}", b"call"), (b'"\xff"', b"call")],
    "check_input": [(b'"x"',), (b"[1]",), (b'"\xff"',)],
    "check_function": [(b"{}", 1), (b'"\xff"', 1)],
    "check_text": [(b'"\xff"', b"payload"), (b'""', b"payload")],
    "explain": [(float("nan"), b"x"), ({1}, b"x")],
    "read_reply": [(200, CHAT), (500, b'{"error": {"message": "no"}}'), (200, ODD), (200, b"<p>"),
                   (200, CHAT.replace(b"well", b"\\ud83d")), (404, b"data: {}\n\n")],
    "read_stream": [(None, b"[]", False, b""), (b"a", b"[]", True, b""),
                    (b"\xff", b"[]", False, b""),
                    (None, b"[]", False, b'data: {"error": {"message": "no"}}\n\n'),
                    (b"", b'[{"refusal": "\\ud83d"}]', False, ODD)],
    "mended": [(ODD,), (CHAT,), (b'["\\ud83d"]',)],
    "response_failure": [(200, RESPONSE), (400, b'{"error": "no"}'), (200, ODD)],
    "stream_fault": [(b'data: {"type": "error"}\n\n', b"", b"", False), (None, b"a", b"b", True),
                     (b'data: {"error": {"message": "no"}}\n\n', b"", b"", False)],
    "output_images": [(RESPONSE,), (ODD,)],
    "is_binary": [(b"image/png",), (b"text/plain; charset=x",)],
    "odd_event_reader": [()],
    "read_response_event": [(b'{"type": "response.output_text.delta", "delta": "x"}',), (ODD,),
                            (b'{"type": "error", "message": "\\ud83d"}',)],
    "is_utf8": [(b"\xff",)],
    "endpoint": [(b"create_response",)],
    "find_list": [(b"list_batches",), (b"x",)],
    "read_page": [(b"list_batches", 200, b'{"data": [{"id": "x"}], "has_more": true}', None),
                  (b"list_batches", 500, ODD, b"x"), (b"list_batches", 200, b"data: x", None)],
    "find_polled": [(b"retrieve_batch",), (b"x",)],
    "check_seconds": [(b"timeout", b"x"), (b"timeout", 1)],
    "poll_failure": [(b"retrieve_batch", 500, ODD), (b"retrieve_batch", 200, b"{}"),
                     (b"retrieve_batch", 404, b"data: {}\n\n")],
    "is_final": [(b"retrieve_batch", b"done")],
    "next_pause": [(1, None, b'{"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}'), (1, 2, b"{}")],
    "too_late": [(b"retrieve_batch", 2.0, b"x")],
    "run_defaults": [()],
    "check_tool_name": [(b'"f"', b"name"), (b'"a b"', b"name"), (b'"\xff"', b"name")],
    "strict_schema": [(SCHEMA, b"schema"), (b'{"allOf": [1, 2]}', b"schema"), (b'"\xff"', b"x")],
    "schema_fault": [(b'{"a": "\\ud83d"}', SCHEMA, b"x"), (b"{}", b'{"$ref": "#/a"}', b"")],
    "find_calls": [(CALLS,), (ODD,)],
    "find_response_calls": [(b'{"output": [{"type": "function_call", "name": "\\ud83d"}]}',)],
    "unanswered": [(b"[%s]" % CALLS,), (ODD,)],
    "missing_outputs": [(b'[{"call_id": "\\ud83d"}]', b"[]")],
    "read_arguments": [(b'{"a": "\\ud83d"}', SCHEMA, True), (b"{oops", SCHEMA, True),
                       (b'{"a": "x\xff", "b": 1e999}', None, False), (b'{"a": NaN}', SCHEMA, True)],
    "unknown_tool": [(b"f\xff", b'["g"]')],
    "tool_failed": [(b"/x/y.lua:1: broke\xff\nstack traceback:\n\tx",)],
    "refused": [(b"no\xff",), (None,)],
    "too_many_rounds": [(3,)],
    "later_choice": [(b'"required"',), (b'{"type": "allowed_tools", "mode": "auto"}',)],
    "answer_parameters": [(SCHEMA, b"x\xff", b"chat"), (b'{"type": "string"}', None, b"responses")],
    "read_answer": [(b'{"a": "\\ud83d"}', SCHEMA, True), (b"```json\n{}\n```", SCHEMA, True),
                    (b"{oops", SCHEMA, True)],
    "ask_again": [(b"x\xff",)],
    "no_fit": [(2, b"x\xff")],
    "why_cut": [(b'{"choices": [{"finish_reason": "length"}]}',), (ODD,)],
}
READERS = {
    "odd_event_reader": [b'{"a": 1}', ODD, b'{"choices": [{"delta": {"content": "\\ud83d"}}]}',
                         b'{"choices": [{"delta": {"content": "\\ude00"}}]}', None],
}

def call(name):
    import resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    for args in CASES[name]:
        try:
            made = getattr(Exports(Values(), Defaults()), name)(*args)
            for text in READERS.get(name, ()):
                made(text)
        except (ImportError, OSError) as error:
            return f"{name}{args}: {error!r}"
        except Exception:
            pass
    return ""

marks = {name: mark for name, mark in find_marks(Exports).items()
         if mark.is_for_plugins and name not in vars(Network)}
assert marks.keys() == CASES.keys(), marks.keys() ^ CASES.keys()
for name, mark in marks.items():
    if os.fork() == 0:
        for module in mark.needs:
            __import__(module)
        fault = call(name)
        os.write(2, fault.encode())
        os._exit(bool(fault))
    if os.wait()[1]:
        print(name)
"""
"""Calls each export for plugins in a process that has imported only what its mark names, and that
can open no file any more; prints the names of those that would have had to."""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
def test_an_export_for_plugins_needs_no_file_once_what_its_mark_names_is_imported() -> None:
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
