"""The wheel and the source archive: what is in them, what they say, and that they can be used."""

from __future__ import annotations

import email.message
import email.parser
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from luaopenai import __version__
from support.openai_server import OpenAIServer

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(900)
LUA_FILES = {file.relative_to(ROOT / "lua").as_posix() for file in (ROOT / "lua").rglob("*.lua")}
PYTHON_FILES = {
    file.relative_to(ROOT / "src").as_posix()
    for pattern in ("*.py", "*.pyi")
    for file in (ROOT / "src").rglob(pattern)
}


def run(command: Iterable[object], folder: Path, **environment: str) -> str:
    """Run a command to its end; returns its standard output."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=kept | environment,
        capture_output=True,
        encoding="utf-8",
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source archive, and with the wheel that is built out of it alone."""
    folder = tmp_path_factory.mktemp("archives")
    build = [sys.executable, "-m", "hatchling", "build", "-d", folder, "-t"]
    run([*build, "sdist"], ROOT)
    with tarfile.open(folder / f"luaopenai-{__version__}.tar.gz") as archive:
        # Newer Pythons want to be told what may be unpacked; older ones cannot be.
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
        archive.extractall(folder / "unpacked")
    run([*build, "wheel"], folder / "unpacked" / f"luaopenai-{__version__}")
    shutil.rmtree(folder / "unpacked")
    return folder


@pytest.fixture(scope="module")
def wheel(archives: Path) -> Path:
    return archives / f"luaopenai-{__version__}-py3-none-any.whl"


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> email.message.Message:
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"luaopenai-{__version__}.dist-info/METADATA").decode()
    return email.parser.Parser().parsestr(text)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of a fresh environment that has the wheel and what it asks for."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder / "venv", with_pip=False)
    bin_folder = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    pip = [sys.executable, "-m", "pip", "--python", bin_folder / "python"]
    run([*pip, "install", "--quiet", "--disable-pip-version-check", wheel], folder)
    return bin_folder


def test_the_wheel_has_every_module_and_lua_file_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    own = {name for name in names if not name.startswith(f"luaopenai-{__version__}.dist-info/")}
    lua = {f"luaopenai/_lua/{name}" for name in LUA_FILES}
    assert own == PYTHON_FILES | lua | {"luaopenai/py.typed"}
    assert f"luaopenai-{__version__}.dist-info/licenses/LICENSE" in names


def test_the_source_archive_has_all_that_building_and_testing_need(archives: Path) -> None:
    with tarfile.open(archives / f"luaopenai-{__version__}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = run(["git", "ls-files"], ROOT).splitlines() if (ROOT / ".git").exists() else []
    assert set(tracked) - names <= {".gitignore"}
    needed = ("Makefile", "LICENSE", "CHANGELOG.md", "scripts/bring.sh", "tests/conftest.py")
    assert {*needed, *(f"lua/{name}" for name in LUA_FILES)} <= names


def test_what_an_index_shows_of_them_passes_twines_check(archives: Path) -> None:
    files = [file for file in archives.iterdir() if file.suffix in (".whl", ".gz")]
    assert len(files) == 2
    run([sys.executable, "-m", "twine", "--no-color", "check", "--strict", *files], archives)


def test_the_metadata_name_licence_pythons_and_systems(metadata: email.message.Message) -> None:
    assert (metadata["Version"], metadata["License-Expression"]) == (__version__, "MIT")
    classifiers = metadata.get_all("Classifier") or []
    oldest = metadata["Requires-Python"].removeprefix(">=")
    assert f"Programming Language :: Python :: {oldest}" in classifiers
    for system in ("MacOS", "Microsoft :: Windows", "POSIX :: Linux"):
        assert f"Operating System :: {system}" in classifiers
    assert "Typing :: Typed" in classifiers


def test_the_newest_release_in_the_changelog_is_this_version() -> None:
    headings = [
        line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line[:3] == "## "
    ]
    released = headings[1:] if headings[0] == "## Unreleased" else headings
    assert released[0] == f"## {__version__}"


def test_the_installed_command_runs_a_script_that_chats(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "hello.lua").write_text(
        """
        local openai = require("openai")
        local chat = openai.new("key"):new_chat_session()
        print(openai.VERSION, type(assert(chat:send("Hello"))), #chat.messages)
        """
    )
    with OpenAIServer() as server:
        address = f"{server.address}/v1"
        for options in ([], ["--sandbox"]):
            command = [installed / "luaopenai", "run", "--base-url", address, *options, "hello.lua"]
            assert run(command, tmp_path) == f"{__version__}\tstring\t2\n"


def test_the_installed_package_finds_its_lua_files(installed: Path, tmp_path: Path) -> None:
    folder = Path(run([installed / "luaopenai", "path"], tmp_path).strip())
    assert folder.is_relative_to(installed.parent)
    found = {file.relative_to(folder).as_posix() for file in folder.rglob("*.lua")}
    assert found == LUA_FILES


def test_the_installed_package_is_imported_by_python(installed: Path, tmp_path: Path) -> None:
    code = "from luaopenai import Runtime; print(Runtime().run_string('return 6 * 7'))"
    assert run([installed / "python", "-c", code], tmp_path) == "42\n"
