"""Plugins from files and folders: loaded, loaded again, watched, listed, forgotten."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from luaopenai import LimitExceeded, Limits, LuaError, OpenAI, PluginHost
from support import API_KEY

BROKEN = "return {"


@pytest.fixture
def host(hosts: Callable[..., PluginHost]) -> PluginHost:
    return hosts()


def says(text: str) -> str:
    """A plugin with one function, ``run``, that returns a text."""
    return f"return {{ run = function() return {text!r} end }}"


class Errors:
    """Notes what a host tells of files that it cannot load."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def __call__(self, path: Path, error: LuaError | LimitExceeded) -> None:
        self.told.append((path.name, str(error)))


# --- Loading again ---


def test_reload_runs_what_the_file_holds_now(host: PluginHost, tmp_path: Path) -> None:
    file = tmp_path / "notes.lua"
    file.write_text(says("before"))
    plugin = host.load(file)
    file.write_text("return { run = function() return 'after' end, more = print }")
    assert plugin.call("run") == "before"
    plugin.reload()
    assert (plugin.call("run"), plugin.exports) == ("after", ["more", "run"])


def test_reload_begins_with_fresh_globals(host: PluginHost, tmp_path: Path) -> None:
    file = tmp_path / "notes.lua"
    file.write_text("count = 0 function run() count = count + 1 return count end")
    plugin = host.load(file)
    assert [plugin.call("run"), plugin.call("run")] == [1, 2]
    plugin.reload()
    assert plugin.call("run") == 1


@pytest.mark.parametrize("bad", [BROKEN, "error('no luck')", "return {}", "\x1bLJ", None])
def test_a_bad_new_file_raises_and_leaves_the_plugin_as_it_was(
    host: PluginHost, tmp_path: Path, bad: str | None
) -> None:
    file = tmp_path / "notes.lua"
    file.write_text("count = 0 function run() count = count + 1 return count end")
    plugin = host.load(file)
    plugin.call("run")
    if bad is None:
        file.unlink()
    else:
        file.write_text(bad)
    with pytest.raises(LuaError) as caught:
        plugin.reload()
    assert caught.value.plugin == "notes"
    assert (plugin.call("run"), plugin.exports) == (2, ["run"])


def test_a_new_file_that_uses_up_a_limit_leaves_the_plugin_as_it_was(
    hosts: Callable[..., PluginHost], tmp_path: Path
) -> None:
    file = tmp_path / "notes.lua"
    file.write_text(says("alive"))
    plugin = hosts(limits=Limits(seconds=0.2)).load(file)
    file.write_text("while true do end")
    with pytest.raises(LimitExceeded, match="seconds"):
        plugin.reload()
    assert plugin.call("run") == "alive"


def test_a_plugin_without_a_file_cannot_be_loaded_again(host: PluginHost) -> None:
    with pytest.raises(ValueError, match="plugin plugin was not loaded from a file"):
        host.load_string(says("x")).reload()


def test_a_plugin_cannot_be_loaded_again_by_what_it_calls(
    hosts: Callable[..., PluginHost], tmp_path: Path
) -> None:
    plugins: list[Any] = []
    host = hosts(functions={"reload": lambda: plugins[0].reload()})
    file = tmp_path / "notes.lua"
    file.write_text("return { run = function() host.reload() end }")
    plugins.append(host.load(file))
    with pytest.raises(LuaError, match="plugin notes is in this call already"):
        plugins[0].call("run")


def test_a_closed_plugin_cannot_be_loaded_again(host: PluginHost, tmp_path: Path) -> None:
    (tmp_path / "notes.lua").write_text(says("x"))
    plugin = host.load(tmp_path / "notes.lua")
    plugin.close()
    with pytest.raises(LuaError, match="plugin notes is closed"):
        plugin.reload()


# --- Folders ---


def test_a_folder_is_loaded_in_the_order_of_its_names(host: PluginHost, tmp_path: Path) -> None:
    for name in ("b.lua", "a.lua", "notes.txt", "c.lua"):
        (tmp_path / name).write_text(says(name))
    (tmp_path / "folder.lua").mkdir()
    plugins = host.load_folder(tmp_path)
    assert [plugin.name for plugin in plugins] == ["a", "b", "c"]
    assert plugins[0].path == tmp_path / "a.lua"
    assert host.plugins == plugins
    assert plugins[1].call("run") == "b.lua"


def test_a_broken_file_keeps_no_other_from_loading(host: PluginHost, tmp_path: Path) -> None:
    (tmp_path / "a.lua").write_text(BROKEN)
    (tmp_path / "b.lua").write_text(says("b"))
    errors = Errors()
    assert [plugin.name for plugin in host.load_folder(tmp_path, on_error=errors)] == ["b"]
    assert errors.told == [("a.lua", "plugin a: a:1: unexpected symbol near '<eof>'")]


def test_a_broken_file_is_logged_where_nobody_asks(
    host: PluginHost, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.lua").write_text(BROKEN)
    assert host.load_folder(tmp_path) == []
    assert caplog.record_tuples == [
        ("luaopenai.plugins", logging.ERROR, "plugin a: a:1: unexpected symbol near '<eof>'")
    ]


def test_a_folder_that_is_not_there_is_an_error(host: PluginHost, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        host.load_folder(tmp_path / "gone")


def test_a_watched_file_that_changed_is_loaded_again_by_the_next_call(
    host: PluginHost, tmp_path: Path
) -> None:
    file = tmp_path / "notes.lua"
    file.write_text(says("before"))
    (plugin,) = host.load_folder(tmp_path, watch=True)
    assert plugin.call("run") == "before"
    file.write_text("return { other = function() return 'after' end }")
    assert plugin.call("other") == "after"
    assert plugin.exports == ["other"]


def test_a_watched_file_of_the_same_size_and_time_is_known_by_its_inode(
    host: PluginHost, tmp_path: Path
) -> None:
    file = tmp_path / "notes.lua"
    file.write_text(says("one"))
    (plugin,) = host.load_folder(tmp_path, watch=True)
    found = file.stat()
    new = tmp_path / "new"
    new.write_text(says("two"))
    os.utime(new, ns=(found.st_atime_ns, found.st_mtime_ns))
    new.replace(file)
    assert plugin.call("run") == "two"


def test_a_watched_file_that_became_bad_is_told_once_and_the_old_one_runs_on(
    host: PluginHost, tmp_path: Path
) -> None:
    file = tmp_path / "notes.lua"
    file.write_text(says("before"))
    errors = Errors()
    (plugin,) = host.load_folder(tmp_path, watch=True, on_error=errors)
    file.write_text(BROKEN)
    assert [plugin.call("run"), plugin.call("run")] == ["before", "before"]
    assert errors.told == [("notes.lua", "plugin notes: notes:1: unexpected symbol near '<eof>'")]
    file.write_text(says("mended"))
    assert plugin.call("run") == "mended"


def test_a_file_is_not_watched_unless_that_was_asked_for(host: PluginHost, tmp_path: Path) -> None:
    file = tmp_path / "notes.lua"
    file.write_text(says("before"))
    (plugin,) = host.load_folder(tmp_path)
    file.write_text(says("after, and longer"))
    assert plugin.call("run") == "before"


def test_refresh_loads_new_files_and_closes_the_plugins_of_those_that_are_gone(
    host: PluginHost, tmp_path: Path
) -> None:
    (tmp_path / "a.lua").write_text(says("a"))
    (tmp_path / "b.lua").write_text(says("b"))
    alone = host.load_string(says("alone"), "alone")
    gone, stays = host.load_folder(tmp_path, watch=True)
    (tmp_path / "a.lua").unlink()
    (tmp_path / "c.lua").write_text(says("c"))
    (new,) = host.refresh()
    assert new.call("run") == "c"
    assert host.plugins == [alone, stays, new]
    assert gone.closed
    assert host.refresh() == []


def test_refresh_loads_changed_files_again(host: PluginHost, tmp_path: Path) -> None:
    (tmp_path / "a.lua").write_text(says("a"))
    (plugin,) = host.load_folder(tmp_path, watch=True)
    (tmp_path / "a.lua").write_text("return { other = print }")
    host.refresh()
    assert plugin.exports == ["other"]


def test_refresh_tries_a_broken_file_again_when_it_has_changed(
    host: PluginHost, tmp_path: Path
) -> None:
    (tmp_path / "a.lua").write_text(BROKEN)
    errors = Errors()
    host.load_folder(tmp_path, watch=True, on_error=errors)
    assert (host.refresh(), len(errors.told)) == ([], 1)
    (tmp_path / "a.lua").write_text(says("mended"))
    (plugin,) = host.refresh()
    assert plugin.call("run") == "mended"


def test_refresh_leaves_a_plugin_closed_that_the_program_has_closed(
    host: PluginHost, tmp_path: Path
) -> None:
    (tmp_path / "a.lua").write_text(says("a"))
    (plugin,) = host.load_folder(tmp_path, watch=True)
    plugin.close()
    assert host.refresh() == []


# --- Lists ---


def test_a_host_lists_its_open_plugins(host: PluginHost) -> None:
    a, b, c = (host.load_string(says(name), name) for name in "abc")
    assert host.plugins == [a, b, c]
    b.close()
    assert (host.plugins, b.closed, a.closed) == ([a, c], True, False)
    host.close()
    assert (host.plugins, a.closed) == ([], True)


def test_a_plugin_that_its_own_call_closes_is_forgotten(hosts: Callable[..., PluginHost]) -> None:
    made: list[PluginHost] = []
    host = hosts(functions={"close": lambda: made[0].plugins[0].close()})
    made.append(host)
    plugin = host.load_string("return { run = function() host.close() end }")
    with suppress(LuaError):
        plugin.call("run")
    assert (host.plugins, plugin.closed) == ([], True)


def test_what_a_host_and_a_plugin_show_of_themselves_holds_no_key(
    hosts: Callable[..., PluginHost], client: OpenAI, isolation: str
) -> None:
    host = hosts(client=client, functions={"lookup": print, "find": print})
    plugin = host.load_string("return { b = print, a = print }", "notes")
    assert repr(host) == f"<PluginHost {isolation}, functions: [find, lookup], plugins: [notes]>"
    assert repr(plugin) == f"<Plugin 'notes', {isolation}, exports: [a, b]>"
    plugin.close()
    assert repr(plugin) == f"<Plugin 'notes', {isolation}, exports: [a, b], closed>"
    assert API_KEY not in repr(host) + repr(plugin)
