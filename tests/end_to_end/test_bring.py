"""`scripts/bring.sh`: brings what pip cannot install, into the checkout and without a superuser."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "bring.sh"
TOOLS = ("sh", "id", "mktemp", "mkdir", "cp", "rm", "sed", "cat", "test", "touch")
Command = Callable[[str, str], None]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the Makefile needs a POSIX shell")


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Makes commands; the script finds them, a few of the system's, and no others."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found
        (folder / tool).symlink_to(found)

    def make(name: str, code: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{code}")
        (folder / name).chmod(0o755)

    return make


def bring(folder: Path, name: str, *check: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", SCRIPT, name, *check],
        cwd=folder,
        env={"PATH": str(folder / "bin")},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.usefixtures("command")
def test_what_is_there_is_not_brought(tmp_path: Path) -> None:
    done = bring(tmp_path, "busted", "test", "-d", "bin")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.usefixtures("command")
def test_where_nothing_can_bring_it_one_line_says_so(tmp_path: Path) -> None:
    done = bring(tmp_path, "busted", "test", "-e", "lua_modules")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "busted is missing, and neither Debian's packages nor LuaRocks could bring it\n"
    )


DEBIAN = """
case "$*" in
  *" update") exit 1 ;;
  *--simulate*) echo "Inst lua-say (1.4)"; echo "Inst lua-busted (2.1)" ;;
  *download*) touch lua-say.deb lua-busted.deb ;;
  *) touch "$OLDPWD/installed" ;;
esac
"""

UNPACK = """
mkdir -p "$3/usr/share/lua/5.1" "$3/usr/lib/x86_64-linux-gnu/lua/5.1"
touch "$3/usr/share/lua/5.1/${2%.deb}.lua" "$3/usr/lib/x86_64-linux-gnu/lua/5.1/${2%.deb}.so"
"""


def test_debians_packages_are_unpacked_into_the_checkout_and_not_installed(
    tmp_path: Path, command: Command
) -> None:
    command("apt-get", DEBIAN)
    command("dpkg", UNPACK)
    module = "lua_modules/share/lua/5.1/lua-busted.lua"
    done = bring(tmp_path, "busted", "test", "-f", module)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("fetching busted: ")
    files = {path.name for path in (tmp_path / "lua_modules").rglob("*.*")}
    assert files >= {"lua-busted.lua", "lua-say.lua", "lua-busted.so", "lua-say.so"}
    assert (tmp_path / "lua_modules" / "lib" / "lua" / "5.1" / "lua-say.so").exists()
    assert not (tmp_path / "installed").exists()


def test_luarocks_is_asked_where_there_is_no_debian(tmp_path: Path, command: Command) -> None:
    command("luarocks", 'mkdir -p "$4" && echo "$*" >"$4/asked"')
    done = bring(tmp_path, "busted", "test", "-f", "lua_modules/asked")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "lua_modules" / "asked").read_text() == (
        "--lua-version 5.1 --tree lua_modules install busted\n"
    )
