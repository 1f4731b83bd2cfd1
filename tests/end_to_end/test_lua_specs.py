"""The Lua specs, run by busted under our interpreter, and how `luaopenai test` behaves."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from luaopenai import __version__
from luaopenai.bridge.search import lua_folder
from support.crowd_server import CrowdServer
from support.openai_server import OpenAIServer
from support.tool_server import ToolServer

ROOT = Path(__file__).parents[2]
SPECS = sorted(path.relative_to(ROOT) for path in (ROOT / "tests" / "lua").glob("*_spec.lua"))
ROCKS = ROOT / "lua_modules"
COMMAND = str(Path(sys.executable).parent / "luaopenai")
MODULE = [sys.executable, "-m", "luaopenai"]


def run(
    command: list[str], *, folder: Path = ROOT, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command, by default in the checkout, with nothing of the user's own API settings."""
    inherited = {name: value for name, value in os.environ.items() if "OPENAI_" not in name}
    return subprocess.run(
        command,
        cwd=folder,
        env=inherited | (environment or {}),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=120,
    )


def busted_command(*args: object) -> list[str]:
    return [*MODULE, "test", "-o", "plainTerminal", *map(str, args)]


@pytest.fixture(scope="session")
def busted() -> None:
    """Skips where there is no busted; `make test` brings it where it can."""
    if run(busted_command("--version")).returncode:
        pytest.skip("busted is missing: make test, luarocks or apt can bring it")


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What tells the specs where real servers listen, and where the bundled modules lie."""
    authority = trustme.CA()
    bundle = tmp_path_factory.mktemp("tls") / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    with (
        OpenAIServer() as plain,
        OpenAIServer(tls) as secure,
        CrowdServer() as crowd,
        ToolServer() as tools,
    ):
        yield {
            "LUAOPENAI_LUA_DIR": lua_folder(),
            "LUAOPENAI_TEST_SERVER": plain.address,
            "LUAOPENAI_TEST_TLS_SERVER": secure.address,
            "LUAOPENAI_TEST_CROWD": crowd.address,
            "LUAOPENAI_TEST_TOOLS": tools.address,
            "REQUESTS_CA_BUNDLE": str(bundle),
        }


@pytest.mark.usefixtures("busted")
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.stem)
def test_spec(spec: Path, servers: dict[str, str]) -> None:
    done = run(busted_command(spec), environment=servers)
    print(done.stdout)
    if done.returncode or done.stderr or not re.search(r"[1-9]\d* success", done.stdout):
        pytest.fail(f"{spec}\n{done.stdout}{done.stderr}".rstrip(), pytrace=False)


def test_there_are_specs() -> None:
    assert SPECS


@pytest.mark.usefixtures("busted")
def test_a_failing_spec_makes_the_command_fail_and_names_the_line(tmp_path: Path) -> None:
    spec = tmp_path / "wrong_spec.lua"
    spec.write_text('it("adds up", function()\n  assert.equal(5, 2 + 2)\nend)\n')
    (tmp_path / "lua_modules").symlink_to(ROCKS)
    done = run(busted_command(spec.name), folder=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert "wrong_spec.lua @ 1\nadds up\nwrong_spec.lua:2: Expected objects" in done.stdout


@pytest.mark.usefixtures("busted")
def test_python_files_of_the_project_are_not_taken_for_pythons_own(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('this is not json')")
    (tmp_path / "null_spec.lua").write_text(
        """
        it("asks Python", function()
          local config = { base_url = "http://127.0.0.1:9/v1", max_retries = 0 }
          local client = require("openai").new("key", config)
          assert.error_matches(function() client:models() end, "connection refused")
        end)
        """
    )
    (tmp_path / "lua_modules").symlink_to(ROCKS)
    done = run([COMMAND, "test", "null_spec.lua"], folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.usefixtures("busted")
def test_busted_itself_runs_specs_under_our_interpreter(tmp_path: Path) -> None:
    script = shutil.which("busted")
    if not script:
        pytest.skip("busted's command is not on PATH; its modules alone are there")
    spec = tmp_path / "where_spec.lua"
    spec.write_text(
        'local openai = require("openai")\n'
        f'it("is ours", function() assert.equal("{__version__}", openai.VERSION) end)\n'
    )
    folder = os.path.dirname(sys.executable)
    assert shutil.which("luaopenai-lua", path=folder), "the package's commands are not installed"
    path = folder + os.pathsep + os.environ["PATH"]
    done = run([script, str(spec)], environment={"PATH": path})
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 success" in done.stdout


def test_a_missing_busted_is_one_line_that_tells_where_to_get_it() -> None:
    done = run([*MODULE, "run", "--no-rocks", "lua/luaopenai/busted.lua"])
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "luaopenai: busted is not installed;"
        " get it with `luarocks install busted` or `apt install lua-busted`\n"
    )
