"""The command line: `luaopenai run`, `luaopenai-lua` and the rest, each as a user starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import luaopenai
from support.children import child

RUN = [sys.executable, "-m", "luaopenai", "run"]
LUA = [sys.executable, "-m", "luaopenai.cli.lua"]

Writer = Callable[..., str]
"""Writes code to a file, ``script.lua`` unless it is named; returns its path."""


def start(
    command: Sequence[str],
    *,
    stdin: str = "",
    cwd: Path | None = None,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        input=stdin,
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def output(
    command: Sequence[str], *, stdin: str = "", cwd: Path | None = None, **environment: str
) -> str:
    done = start(command, stdin=stdin, cwd=cwd, **environment)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture
def script(tmp_path: Path) -> Writer:
    def write(code: str, name: str = "script.lua") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
        return str(path)

    return write


# --- What a script is given ---


def test_a_script_gets_its_arguments_as_varargs_and_arg(script: Writer) -> None:
    path = script("print(...) print(arg[0], arg[1], arg[2], arg[3])")
    assert output([*RUN, path, "a", "-e"]) == f"a\t-e\n{path}\ta\t-e\tnil\n"


def test_what_stands_before_the_script_has_negative_indexes(script: Writer) -> None:
    path = script("local i = 0 while arg[i - 1] do i = i - 1 end print(arg[i], arg[-1])")
    assert output([*RUN, "-e", "x = 1", path]) == f"{sys.executable}\tx = 1\n"


def test_a_dash_runs_standard_input(script: Writer) -> None:
    assert output([*RUN, "-", "a"], stdin="print('in', ...)") == "in\ta\n"


def test_the_shells_first_line_is_skipped_and_still_counted(script: Writer) -> None:
    code = "#!/usr/bin/env luaopenai-lua\nerror('here')"
    assert "script.lua:2: here" in start([*RUN, script(code)]).stderr
    assert "stdin:2: here" in start([*RUN, "-"], stdin=code).stderr


def test_e_and_l_run_in_their_order_before_the_script(script: Writer, tmp_path: Path) -> None:
    script("print('module', ...)", "mod.lua")
    done = start(
        [*RUN, "-e", "x = 1 print('e', x)", "-lmod", "-l", "mod", script("print('script', x)")],
        cwd=tmp_path,
    )
    assert done.stdout == "e\t1\nmodule\tmod\nscript\t1\n"


def test_code_alone_needs_no_script() -> None:
    assert output([*RUN, "-e", "print(1)"]) == "1\n"


def test_lua_init_runs_first(script: Writer) -> None:
    assert output([*RUN, "-e", "print(x)"], LUA_INIT="x = 'init'") == "init\n"
    assert output([*RUN, "-e", "print(x)"], LUA_INIT="@" + script("x = 'file'")) == "file\n"


def test_arguments_that_are_not_utf8_arrive_byte_for_byte(script: Writer) -> None:
    path = script("print(#..., (...):byte(1, -1))")
    done = subprocess.run([*RUN, path, b"\xffz"], capture_output=True, timeout=60)
    assert done.stdout == b"2\t255\t122\n"


# --- How it ends ---


@pytest.mark.parametrize(
    ("call", "status"),
    [
        ("os.exit()", 0),
        ("os.exit(true)", 0),
        ("os.exit(false)", 1),
        ("os.exit(7)", 7),
        ("os.exit(7, true)", 7),
    ],
)
def test_os_exit_sets_the_status_and_loses_no_output(call: str, status: int) -> None:
    done = start([*RUN, "-e", f"io.write('out') io.stderr:write('err') {call} print('no')"])
    assert (done.returncode, done.stdout, done.stderr) == (status, "out", "err")


def test_nothing_that_a_script_does_can_hold_os_exit_back() -> None:
    code = """
      local co = coroutine.wrap(function()
        while true do xpcall(function() pcall(os.exit, 5) end, function() end) end
      end)
      while true do pcall(co) end
    """
    assert start([*RUN, "-e", code]).returncode == 5


def test_a_failing_script_shows_its_message_and_the_lua_traceback(script: Writer) -> None:
    done = start([*RUN, script("local function f() error('boom') end\nf()")])
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0].startswith("luaopenai: ")
    assert lines[0].endswith("script.lua:1: boom")
    assert [line.rpartition("/")[2] for line in lines[1:]] == [
        "stack traceback:",
        "\t[C]: in function 'error'",
        "script.lua:1: in function 'f'",
        "script.lua:2: in main chunk",
    ]
    assert "Python" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("{code = 5, why = 'x'}", 'luaopenai: {code = 5, why = "x"}'),
        ("setmetatable({}, {__tostring = function() return 'mine' end})", "luaopenai: mine"),
        ("setmetatable({}, {__tostring = error})", "luaopenai: (error object is a table)"),
    ],
)
def test_an_error_value_that_is_no_string_is_shown_by_what_is_in_it(value: str, shown: str) -> None:
    done = start([*RUN, "-e", f"error({value})"])
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, shown)


def test_error_without_a_value_ends_a_script_without_a_word_as_under_lua() -> None:
    done = start([*RUN, "-e", "error()"])
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_a_syntax_error_is_one_line() -> None:
    done = start([*RUN, "-e", "x ="])
    expected = "luaopenai: (command line):1: unexpected symbol near '<eof>'\n"
    assert (done.returncode, done.stderr) == (1, expected)


def test_a_missing_script_is_one_line() -> None:
    done = start([*RUN, "no-such.lua"])
    expected = "luaopenai: cannot open no-such.lua: No such file or directory\n"
    assert (done.returncode, done.stderr) == (1, expected)


def test_a_closed_pipe_ends_it_quietly() -> None:
    command = [*RUN, "-e", "while true do print('y') end"]
    with child(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"y\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 141


def test_what_a_script_flushes_into_a_pipe_is_there_at_once() -> None:
    command = [*RUN, "-e", "io.write('now') io.flush() io.read()"]
    with child(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(3) == b"now"
        process.communicate(b"\n", timeout=60)


def test_pythons_own_clean_up_runs_after_os_exit(tmp_path: Path) -> None:
    program = (
        "import atexit, sys; atexit.register(print, 'cleaned'); from luaopenai.cli import main;"
        "sys.argv = ['luaopenai', 'run', '-e', 'os.exit(3)']; main()"
    )
    done = start([sys.executable, "-c", program])
    assert (done.returncode, done.stdout) == (3, "cleaned\n")


# --- Options ---


def test_the_version_names_every_part() -> None:
    shown = output([sys.executable, "-m", "luaopenai", "--version"])
    assert shown.startswith(f"luaopenai {luaopenai.__version__} (LuaJIT 2.1.")
    assert output([*RUN, "--version"]) == shown


@pytest.mark.parametrize(
    "command", [["--help"], ["run", "--help"], ["test", "-h"], ["path", "-h"], ["model", "-h"]]
)
def test_help_is_to_be_had_for_every_command(command: list[str]) -> None:
    assert output([sys.executable, "-m", "luaopenai", *command]).startswith("usage: luaopenai")


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "a command is missing"),
        (["fly"], "no command 'fly'"),
        (["path", "x"], "usage: luaopenai path"),
        (["run.lua"], "to run a script: luaopenai run run.lua"),
        ([__file__], f"to run a script: luaopenai run {__file__}"),
        (["run"], "a script is missing"),
        (["run", "--base-url", "localhost:1234", "x.lua"], "--base-url: http:// or https:// is"),
        (["run", "--allow-env", "HOME", "x.lua"], "--allow-env goes with --sandbox"),
        (["run", "--sandbox", "-e", "x = 1", "x.lua"], "neither -e nor -l"),
        (["run", "--nope", "x.lua"], "unknown option --nope"),
        (["run", "-e"], "-e needs a value"),
        (["run", "--base-url"], "--base-url needs a value"),
        (["run", "--model-file", "x.gguf", "y.lua"], "--model-file goes with --local"),
        (["run", "--local", "--base-url", "http://x", "y.lua"], "exclude each other"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong_and_exits_with_2(
    argv: list[str], says: str
) -> None:
    done = start([sys.executable, "-m", "luaopenai", *argv])
    assert done.returncode == 2
    assert says in done.stderr


def test_base_url_is_where_new_clients_send() -> None:
    code = "print(require('openai').new('k').api_base)"
    assert output([*RUN, "--base-url", "http://x/v1/", "-e", code]) == "http://x/v1\n"
    assert output([*RUN, "-e", code], OPENAI_BASE_URL="http://y/v1") == "http://y/v1\n"


def test_model_is_what_new_clients_ask_that_name_none() -> None:
    code = """
      print(require('openai').new('k').default_model)
      print(require('openai.compat.gemini').new('k').default_model)
    """
    gemini = "gemini-2.5-flash"
    assert output([*RUN, "-e", code], OPENAI_MODEL="outer") == f"outer\n{gemini}\n"
    shown = output([*RUN, "--model", "inner", "-e", code], OPENAI_MODEL="outer")
    assert shown == f"inner\n{gemini}\n"


def test_a_base_url_in_the_environment_without_its_scheme_is_one_line() -> None:
    done = start([*RUN, "-e", "require('openai').new('k')"], OPENAI_BASE_URL="localhost:1234")
    assert done.returncode == 1
    missing = "http:// or https:// is missing in front of localhost:1234"
    assert done.stderr.splitlines()[0] == f"luaopenai: OPENAI_BASE_URL: {missing}"


def test_api_key_env_names_the_variable_that_scripts_get_their_key_from() -> None:
    code = "print(os.getenv('OPENAI_API_KEY'), require('openai').new().api_key)"
    shown = output([*RUN, "--api-key-env", "OTHER", "-e", code], OTHER="k2", OPENAI_API_KEY="k1")
    assert shown == "k2\tk2\n"
    done = start([*RUN, "--api-key-env", "NO_SUCH", "-e", code])
    assert (done.returncode, done.stderr) == (1, "luaopenai: the environment has no NO_SUCH\n")


def test_lua_path_is_searched_before_all_else(script: Writer, tmp_path: Path) -> None:
    script("return 'first'", "a/mod.lua")
    script("return 'second'", "b/mod.lua")
    code = "print(require('mod'))"
    b = f"{tmp_path}/b/?.lua"
    assert output([*RUN, "-e", code], LUA_PATH=b) == "second\n"
    assert output([*RUN, "--lua-path", f"{tmp_path}/a/?.lua", "-e", code], LUA_PATH=b) == "first\n"


def test_no_rocks_leaves_only_what_is_named_and_the_bundled_modules(
    script: Writer, tmp_path: Path
) -> None:
    script("return 'here'", "mod.lua")
    code = "print(pcall(require, 'mod')) print(package.path, require('cjson').encode({1}))"
    done = start([*RUN, "--no-rocks", "-e", code], cwd=tmp_path, LUA_PATH="")
    assert "module 'mod' not found" in done.stdout
    assert done.stdout.endswith("\t[1]\n")


# --- luaopenai-lua ---


def test_luaopenai_lua_takes_what_lua_takes(script: Writer) -> None:
    path = script("print(x, ...)")
    assert output([*LUA, "-e", "x = 1", path, "a"]) == "1\ta\n"
    assert output([*LUA, "-ex = 2", "--", path]) == "2\n"
    assert output([*LUA], stdin="print(3)") == "3\n"
    assert output([*LUA, "-"], stdin="print(4)") == "4\n"
    assert output([*LUA, "-v"]).startswith("luaopenai ")


def test_luaopenai_lua_names_itself_in_errors() -> None:
    assert start([*LUA, "-e", "error('x', 0)"]).stderr.startswith("luaopenai-lua: x\n")


def test_the_interactive_mode_reads_statements_and_shows_expressions() -> None:
    entered = "x = 20\nx + 1\n=x, nil\nfor i = 1, 2 do\nprint(i)\nend\nerror('oops', 0)\nx..1\n"
    done = start([*LUA, "-i"], stdin=entered)
    shown = done.stdout.replace("> ", "").replace(">", "")
    assert shown.split("\n") == ["21", "20\tnil", "1", "2", "201", "", ""]
    assert "oops" in done.stderr
    assert done.returncode == 0


# --- path, test and model ---


def test_path_tells_where_the_bundled_lua_files_are() -> None:
    folder = Path(output([sys.executable, "-m", "luaopenai", "path"]).rstrip("\n"))
    assert (folder / "openai" / "init.lua").is_file()
    assert (folder / "cjson.lua").is_file()


def test_a_missing_model_names_the_command_that_fetches_it(tmp_path: Path) -> None:
    done = start([*RUN, "--local", "-e", "x = 1"], LUAOPENAI_CACHE=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.endswith("fetch it with: luaopenai model pull\n")
    assert len(done.stderr.splitlines()) == 1


def test_model_path_tells_where_the_model_lives(tmp_path: Path) -> None:
    shown = output(
        [sys.executable, "-m", "luaopenai", "model", "path"], LUAOPENAI_CACHE=str(tmp_path)
    )
    assert Path(shown.strip()).parent == tmp_path


# --- What is not loaded ---


def test_a_script_without_requests_loads_nothing_slow(script: Writer) -> None:
    program = (
        "import sys; from luaopenai.cli.run import run; status = run([sys.argv[1]]);"
        "print(status, sorted({'requests', 'urllib3', 'json', 'typing', 're', 'argparse',"
        "'subprocess', 'dataclasses', 'logging', 'asyncio', 'pathlib'} & set(sys.modules)))"
    )
    path = script("local openai = require('openai') openai.new('k')")
    shown = output(
        [sys.executable, "-S", "-c", program, path], PYTHONPATH=os.pathsep.join(sys.path)
    )
    assert shown == "0 []\n"


def test_importing_the_package_loads_none_of_its_parts() -> None:
    program = "import sys, luaopenai; print([m for m in sys.modules if m.startswith('luaopenai.')])"
    assert output([sys.executable, "-c", program]) == "['luaopenai._version']\n"
