"""Where Lua looks for modules: ``package.path`` and ``package.cpath``."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_HERE = os.path.dirname(os.path.abspath(__file__))


def lua_folder() -> str:
    """Returns the folder of the bundled Lua files, in an installed package or in a checkout."""
    package = os.path.dirname(_HERE)
    installed = os.path.join(package, "_lua")
    if os.path.isdir(installed):
        return installed
    return os.path.join(os.path.dirname(os.path.dirname(package)), "lua")


def package_path(first: str | None = None, *, rocks: bool = True) -> str:
    """Returns ``package.path``: ``first``, ``LUA_PATH``, then the folders of rocks in Lua."""
    folders = [os.path.join(tree, "share", "lua", "5.1") for tree in _trees()]
    templates = [os.path.join(folder, name) for folder in [".", *folders] for name in _LUA_FILES]
    return _joined(first, os.environ.get("LUA_PATH"), templates if rocks else [])


def package_cpath(first: str | None = None, *, rocks: bool = True) -> str:
    """Returns ``package.cpath``: ``first``, ``LUA_CPATH``, then the folders of rocks in C."""
    folders = [os.path.join(tree, "lib", "lua", "5.1") for tree in _trees()]
    multiarch = getattr(sys.implementation, "_multiarch", "")
    if multiarch:
        folders.append(f"/usr/lib/{multiarch}/lua/5.1")
    templates = [os.path.join(folder, "?.so") for folder in [".", *folders]]
    return _joined(first, os.environ.get("LUA_CPATH"), templates if rocks else [])


_LUA_FILES = ("?.lua", os.path.join("?", "init.lua"))


def _trees() -> list[str]:
    """Returns LuaRocks' trees in the order of search: the project's, the user's, the system's."""
    return [
        os.path.join(".", "lua_modules"),
        os.path.join(os.path.expanduser("~"), ".luarocks"),
        "/usr/local",
        "/opt/homebrew",
        "/usr",
    ]


def _joined(first: str | None, environment: str | None, defaults: Iterable[str]) -> str:
    """Joins all templates into one path, each once; ``;;`` stands for the defaults."""
    given = ";".join(filter(None, (first, environment)))
    rest = ";".join(defaults)
    expanded = f";{given};".replace(";;", f";{rest};", 1) if ";;" in given else f"{given};{rest}"
    return ";".join(dict.fromkeys(filter(None, expanded.split(";"))))
