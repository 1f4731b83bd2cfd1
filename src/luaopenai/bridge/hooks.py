"""Reaches into a Lua state that runs in another thread: makes its count hook fire at once."""

from __future__ import annotations

import ctypes
import re
from typing import Any

_COUNT = 8
"""Lua's ``LUA_MASKCOUNT``."""

_ADDRESS = re.compile(rb"thread: (0x[0-9a-fA-F]+)")


class CountHook:
    """The count hook of one Lua state, which must be set while this is used.

    Lua lets ``lua_sethook`` be called while it runs, as the lua command does upon a signal. With a
    count hook set before and after, nothing but a few plain numbers change in the state.

    Args:
        library: the file of the library that the state belongs to.
        thread: what ``tostring`` makes of one of the state's coroutines, which must live as long.

    Raises ``OSError`` or ``AttributeError`` where the library does not show its functions.
    """

    def __init__(self, library: str, thread: bytes) -> None:
        functions = ctypes.PyDLL(library)
        self._set: Any = functions.lua_sethook
        self._set.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
        self._get: Any = functions.lua_gethook
        self._get.argtypes, self._get.restype = [ctypes.c_void_p], ctypes.c_void_p
        self._get_count: Any = functions.lua_gethookcount
        self._get_count.argtypes = [ctypes.c_void_p]
        found = _ADDRESS.match(thread)
        if found is None:
            raise OSError("no coroutine")
        self._state = int(found[1], 16)

    def fire(self) -> None:
        """Makes the hook fire at the next instruction, and at each one until it is set anew.

        One that does so already is left alone: LuaJIT keeps whether a hook runs beside the mask
        that is set here, and where hooks begin and end all the time, that note could be lost. It
        would take a hook for running that is not, for ever, and call none any more.
        """
        hook = self._get(self._state)
        if hook and self._get_count(self._state) != 1:
            self._set(self._state, hook, _COUNT, 1)
