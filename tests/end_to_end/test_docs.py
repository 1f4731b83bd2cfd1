"""What the documentation says is so: its code runs, its options exist, its links lead somewhere."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import luaopenai
from luaopenai import Runtime
from support.openai_server import OpenAIServer

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMPATIBILITY = ROOT / "docs" / "compatibility.md"
REFERENCE = (ROOT / "docs" / "reference.md").read_text()
BLOCK = re.compile(
    r"^(?P<note><!-- fragment -->\n)?```(?P<kind>lua|python)\n(?P<code>.*?)^```$", re.M | re.S
)
COMMAND = [sys.executable, "-m", "luaopenai"]
RUNNERS = {"lua": [*COMMAND, "run"], "python": [sys.executable, "-W", "error"]}
CLASSES = (
    luaopenai.APIError,
    luaopenai.ChatSession,
    luaopenai.LuaError,
    luaopenai.OpenAI,
    luaopenai.Response,
    luaopenai.ResponseObject,
    luaopenai.ResponsesChatSession,
    luaopenai.Runtime,
)


def blocks() -> Iterator[object]:
    """Each block of Lua or Python that is not marked as a fragment, named by page and line.

    Its code stands in its file on the line where it stands in the page, so that errors name it.
    """
    for page in PAGES:
        text = page.read_text()
        for block in BLOCK.finditer(text):
            if not block["note"]:
                line = text.count("\n", 0, block.start("code")) + 1
                place = f"{page.name}:{line}"
                yield pytest.param(block["kind"], "\n" * (line - 1) + block["code"], id=place)


@pytest.fixture(scope="module")
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@pytest.mark.parametrize(("kind", "code"), [*blocks()])
def test_each_block_of_code_runs(
    server: OpenAIServer, tmp_path: Path, kind: str, code: str
) -> None:
    file = tmp_path / f"block.{kind}"
    file.write_text(code)
    done = subprocess.run(
        [*RUNNERS[kind], file.name],
        cwd=tmp_path,
        env={
            **os.environ,
            "OPENAI_BASE_URL": f"{server.address}/v1",
            "OPENAI_API_KEY": "sk-docs",
            "GEMINI_API_KEY": "sk-docs",
        },
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_each_option_that_the_pages_name_is_in_the_help() -> None:
    shown = ""
    for command in ([], ["run"], ["chat"], ["map"], ["test"], ["path"], ["model"], ["serve"]):
        done = subprocess.run([*COMMAND, *command, "--help"], capture_output=True, text=True)
        shown += done.stdout
    known = set(re.findall(r"--[a-z-]+", shown)) | {"--help"}
    for page in PAGES:
        for line in page.read_text().splitlines():
            named = re.findall(r"(?<![\w-])--[a-z][a-z-]+", line) if "luaopenai " in line else []
            table = re.match(r"\| `(--[a-z-]+)", line)
            unknown = {*named, *(table.groups() if table else ())} - known
            assert not unknown, f"{page.name}: {line}"


def test_each_link_leads_to_a_file_and_to_a_heading_in_it() -> None:
    for page in PAGES:
        prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", prose):
            file = (page.parent / target).resolve() if target else page
            assert file.exists(), f"{page.name}: {target}"
            assert not anchor or anchor in anchors(file), f"{page.name}: {target}#{anchor}"


def anchors(page: Path) -> set[str]:
    """What links to a page's headings say."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", text).lower().replace(" ", "-") for text in headings}


@pytest.mark.parametrize("name", [name for name in luaopenai.__all__ if name != "__version__"])
def test_the_reference_has_every_public_name_of_the_package(name: str) -> None:
    assert re.search(rf"\b{name}\b", REFERENCE)


@pytest.mark.parametrize("owner", CLASSES, ids=lambda owner: owner.__name__)
def test_the_reference_has_every_method_and_argument_of_a_class(owner: type) -> None:
    own = {name for name in vars(owner) if not name.startswith("_")}
    arguments = set(inspect.signature(owner.__init__).parameters) - {"self", "args", "kwargs"}  # type: ignore[misc]
    assert own | arguments
    missing = {name for name in own | arguments if not re.search(rf"\b{name}\b", REFERENCE)}
    assert not missing


@pytest.mark.parametrize("folder", ["src/luaopenai/client", "src/luaopenai/bridge", "lua/openai"])
def test_the_architecture_has_every_file_of(folder: str) -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    files = [*(ROOT / folder).glob("*.py"), *(ROOT / folder).glob("*.lua")]
    assert files
    assert {file.name for file in files if file.name not in text} <= {"__init__.py"}


LUA_NAMES = """
local names = {}
local openai = require("openai")
for _, owner in ipairs({
  openai, openai.OpenAI.__base, openai.ChatSession.__base, openai.ResponsesChatSession.__base,
  require("openai.chat_completions"), require("openai.responses"), require("openai.sse"),
  require("openai.multipart"), require("openai.compat.anthropic"),
  require("openai.compat.deepseek"),
  require("openai.compat.gemini"), require("openai.compat.mimo"), require("openai.compat.mistral"),
  require("openai.compat.moonshot"), require("openai.compat.openrouter"),
}) do
  for name in pairs(owner) do
    if not name:find("^__") and name ~= "account_headers" then
      names[#names + 1] = name
    end
  end
end
return names
"""


def test_the_reference_has_every_name_of_the_lua_modules() -> None:
    names = Runtime(rocks=False).run_string(LUA_NAMES)
    assert len(names) > 40
    missing = {name for name in names if not re.search(rf"\b{name}\b", REFERENCE)}
    assert not missing


def test_the_compatibility_table_names_tests_that_exist() -> None:
    text = COMPATIBILITY.read_text()
    linked = re.findall(r"\[([^\]]+)\]\(\.\./(tests/[^)]+)\)", text)
    assert len(linked) == text.count("](../tests/") > 90
    for name, path in linked:
        quoted = f"def {name}\\(" if path.endswith(".py") else f'"[^"\n]*{re.escape(name)}[^"\n]*"'
        assert re.search(quoted, (ROOT / path).read_text()), f"{path} has no test {name!r}"
