"""The count hook of a Lua state, as another thread sets it."""

from __future__ import annotations

from typing import Any

import pytest
from lupa.luajit21 import LuaRuntime

from luaopenai.bridge.hooks import CountHook
from luaopenai.bridge.state import LIBRARY

LUA = """
local count = 0
debug.sethook(function() count = count + 1 end, "", 10000)
local thread = coroutine.create(function() end)
return tostring(thread), thread, function() return count end
"""


@pytest.fixture
def hooked() -> Any:
    """A hook, what counts how often Lua has run it, and what it was set to from here."""
    lua: Any = LuaRuntime(encoding=None)
    address, thread, count = lua.execute(LUA)
    hook, was_set = CountHook(LIBRARY, address), []
    set_hook = hook._set

    def note(*args: Any) -> None:
        was_set.append(args[-1])
        set_hook(*args)

    hook._set = note
    return lua, thread, hook, count, was_set


def test_a_hook_that_was_made_to_fire_runs_at_every_instruction(hooked: Any) -> None:
    lua, _, hook, count, _ = hooked
    hook.fire()
    lua.execute("jit.off(true, true) for _ = 1, 100 do end")
    assert count() > 100


def test_one_that_fires_already_is_left_alone(hooked: Any) -> None:
    # LuaJIT could lose its note that a hook has ended, and would run none any more.
    _, _, hook, _, was_set = hooked
    for _ in range(3):
        hook.fire()
    assert was_set == [1]
