"""The interactive mode of `luaopenai-lua`: what it shows and completes, and what Ctrl-C ends."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.terminal import CTRL_C, CTRL_D, Terminal

LUA = [sys.executable, "-m", "luaopenai.cli.lua"]
WITHOUT_READLINE = [
    sys.executable,
    "-c",
    "import sys; sys.modules['readline'] = None; from luaopenai.cli import lua_main; lua_main()",
]
FRESH = r"\n(\x1b\[\?2004[hl]\r?)*> "
"""A prompt for something new."""


class Prompt:
    """A session at a prompt."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal

    def enter(self, line: str) -> str:
        """Enter a line; what is shown up to the next prompt, without the line itself."""
        self.terminal.type(line + "\n")
        self.terminal.read_until(r"\n")
        return self.wait()

    def wait(self) -> str:
        """Wait for a prompt; what is shown before it."""
        shown = self.terminal.read_until(r"(?<![>\w])>>? ")
        return shown.replace("\x1b[?2004h", "").replace("\x1b[?2004l\r", "")[:-2].rstrip("> ")


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Callable[..., Prompt]]:
    """Starts sessions with a folder of their own for what is remembered."""
    with ExitStack() as stack:

        def start(*command: str, **environment: str) -> Prompt:
            state = {"XDG_STATE_HOME": str(tmp_path), **environment}
            terminal = stack.enter_context(Terminal(command or LUA, **state))
            prompt = Prompt(terminal)
            prompt.wait()
            return prompt

        yield start


# --- What it shows ---


def shown(*lines: str) -> str:
    """What a session on a pipe shows for some lines."""
    done = subprocess.run(
        [*LUA, "-i"], input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    return re.sub(r"^(>>? )+", "", done.stdout, flags=re.M).rstrip("\n")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("{}", "{}"),
        ("{1, 2, nil, 4}", "{ 1, 2, [4] = 4 }"),
        ("{b = 1, a = {true, 'x'}, [10] = 2}", '{ [10] = 2, a = { true, "x" }, b = 1 }'),
        ("{['two words'] = 1, ['end'] = 2}", '{ ["end"] = 2, ["two words"] = 1 }'),
        ("{'a\\nb\\0\\27'}", r'{ "a\nb\0\27" }'),
        ("'plain\\ttext', 5, nil", "plain\ttext\t5\tnil"),
        ("require('cjson').null", "null"),
        ("setmetatable({}, {__tostring = function() return 'mine' end})", "mine"),
        ("setmetatable({}, {__tostring = error})", "{}"),
        ("setmetatable({1}, {__index = error, __pairs = error})", "{ 1 }"),
        ("(function() local t = {} t[1] = {t} return t end)()", "{ { <cycle> } }"),
        ("(function() local t = {} return {t, t} end)()", "{ {}, {} }"),
    ],
)
def test_values_are_shown_by_what_is_in_them(value: str, text: str) -> None:
    assert shown(value) == text
    assert shown(f"={value}") == text


def test_what_is_too_wide_for_a_line_is_shown_on_several() -> None:
    assert shown("{name = ('x'):rep(50), list = {('y'):rep(50)}}").split("\n") == [
        "{",
        f'  list = {{ "{"y" * 50}" }},',
        f'  name = "{"x" * 50}"',
        "}",
    ]


def test_what_is_shown_has_an_end() -> None:
    deep = shown("t = {} for i = 1, 1e4 do t = {t} end", "t")
    long = shown("t = {} for i = 1, 1e5 do t[i] = i end", "t")
    bush = shown("t = {} for i = 1, 9 do local u = {} for j = 1, 50 do u[j] = t end t = u end", "t")
    text = shown("{('x'):rep(1e6)}")
    assert "{…}" in deep
    assert "… 99940 more" in long
    assert "… 999700 bytes more" in text
    assert max(map(len, (deep, long, bush, text))) < 100_000


def test_a_statement_may_go_on_over_several_lines() -> None:
    assert shown("for i = 1, 2 do", "print(i)", "end", "f = function()", "return 5 end", "f()") == (
        "1\n2\n5"
    )
    assert shown("{1,", "2}", "x = [[a", "b]]", "x", "", "2 -- two") == "{ 1, 2 }\na\nb\n2"


def test_an_error_names_its_line_and_the_session_goes_on() -> None:
    done = subprocess.run(
        [*LUA, "-i"],
        input="local function f() error('oops') end f()\nx = \n)\n1 + 1\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "stdin:1: oops\nstack traceback:" in done.stderr
    assert "stdin:2: unexpected symbol near ')'" in done.stderr
    assert "2\n" in done.stdout
    assert done.returncode == 0


# --- Ctrl-C ---

PROGRAM = """'printf rea >/dev/tty; printf dy >/dev/tty; exec sleep 60'"""
"""Once it says so, it is there to get its own part of Ctrl-C."""

RUNNING = [
    "tell() while true do end",
    "tell() while true do pcall(error) end",
    "tell() repeat until not pcall(string.rep, 'x', 10)",
    "tell() io.read() print('went on')",
    "tell() pcall(io.read) print('went on')",
    f"io.popen({PROGRAM}):read() print('went on')",
    f"os.execute({PROGRAM}) print('went on')",
    "tell() require('openai').sleep(60)",
    "tell() coroutine.wrap(function() while true do end end)()",
]


@pytest.mark.parametrize("chunk", RUNNING)
def test_ctrl_c_ends_a_running_chunk_and_keeps_the_session(
    session: Callable[..., Prompt], chunk: str
) -> None:
    prompt = session()
    prompt.enter("kept = 'still here'")
    prompt.enter("function tell() io.write('rea', 'dy') io.flush() end")
    for _ in range(3):
        prompt.terminal.type(f"{chunk}\n")
        prompt.terminal.read_until("ready")
        time.sleep(0.1)
        prompt.terminal.type(CTRL_C)
        assert "went on" not in prompt.wait()
    assert prompt.enter("kept") == "still here\n"


@pytest.mark.parametrize("command", [LUA, WITHOUT_READLINE], ids=["readline", "without"])
def test_ctrl_c_ends_the_line_that_is_typed(
    session: Callable[..., Prompt], command: list[str]
) -> None:
    prompt = session(*command)
    prompt.enter("kept = 'still here'")
    for typed in ("os.exit(", "for i = 1, 2 do\nos.exit("):
        prompt.terminal.type(typed)
        prompt.terminal.read_until(r"exit\(")
        time.sleep(0.1)
        prompt.terminal.type(CTRL_C)
        prompt.terminal.read_until(FRESH)
    assert prompt.enter("kept") == "still here\n"
    prompt.terminal.type(CTRL_D)
    assert prompt.terminal.wait() == 0


def test_os_exit_ends_the_session(session: Callable[..., Prompt]) -> None:
    prompt = session()
    prompt.terminal.type("os.exit(7)\n")
    assert prompt.terminal.wait() == 7


# --- Tasks ---

TICKS = (
    "ticks = 0 task = require('openai').spawn(function() "
    "while true do require('openai').sleep(0.01) ticks = ticks + 1 end end)"
)


def wait_for_ticks(prompt: Prompt, more: int = 3) -> None:
    """Wait until a task has gone on while nothing but a prompt was there."""
    before = int(prompt.enter("ticks"))
    end = time.monotonic() + 30
    while time.monotonic() < end:
        time.sleep(0.1)
        if int(prompt.enter("ticks")) > before + more:
            return
    raise AssertionError("the task has stopped")


@pytest.mark.parametrize("command", [LUA, WITHOUT_READLINE], ids=["readline", "without"])
def test_tasks_go_on_while_the_prompt_waits(
    session: Callable[..., Prompt], command: list[str]
) -> None:
    prompt = session(*command)
    prompt.enter("done = false")
    code = (
        "require('openai').spawn(function() for i = 1, 3 do require('openai').sleep(0.05) end "
        "io.write('all', ' done', '\\n') end)"
    )
    prompt.enter(code)
    prompt.terminal.read_until("all done")
    assert prompt.enter("1 + 1").endswith("2\n")


@pytest.mark.parametrize("command", [LUA, WITHOUT_READLINE], ids=["readline", "without"])
def test_ctrl_c_at_the_prompt_leaves_tasks_alone(
    session: Callable[..., Prompt], command: list[str]
) -> None:
    prompt = session(*command)
    prompt.enter(TICKS)
    wait_for_ticks(prompt)
    for _ in range(5):
        prompt.terminal.type("half a li" + CTRL_C.decode())
        prompt.wait()
    wait_for_ticks(prompt)


def test_ctrl_c_in_a_chunk_ends_the_tasks_that_it_began_and_no_others(
    session: Callable[..., Prompt],
) -> None:
    prompt = session()
    prompt.enter(TICKS)
    prompt.terminal.type(
        "require('openai').gather({function() own = 0 while true do require('openai').sleep(0.01) "
        "own = own + 1 if own == 9 then io.write('rea', 'dy') io.flush() end end end})\n"
    )
    prompt.terminal.read_until("ready")
    prompt.terminal.type(CTRL_C)
    prompt.terminal.read_until(r"\^C")
    prompt.wait()
    wait_for_ticks(prompt)
    own = prompt.enter("own")
    time.sleep(0.3)
    assert prompt.enter("own") == own


def test_a_task_that_never_waits_can_be_ended_at_the_prompt(
    session: Callable[..., Prompt],
) -> None:
    prompt = session()
    prompt.enter("kept = 'still here'")
    prompt.enter(
        "require('openai').spawn(function() require('openai').sleep(0.1) io.write('rea', 'dy') "
        "io.flush() while true do end end)"
    )
    prompt.terminal.read_until("ready")
    prompt.terminal.type(CTRL_C)
    prompt.wait()
    assert prompt.enter("kept") == "still here\n"


def test_the_end_of_a_session_waits_for_its_tasks(session: Callable[..., Prompt]) -> None:
    sleep = "require('openai').sleep"
    code = f"require('openai').spawn(function() {sleep}(0.1) print('done') end) x = 1"
    assert shown(code).strip() == "done"
    prompt = session()
    prompt.enter(f"require('openai').spawn(function() {sleep}(1000) end) x = 1")
    prompt.terminal.type(CTRL_D)
    prompt.terminal.read_until(r"\n")
    time.sleep(0.2)
    prompt.terminal.type(CTRL_C)
    assert prompt.terminal.wait() == 0


def test_a_task_that_fails_is_told_of_at_the_prompt(session: Callable[..., Prompt]) -> None:
    prompt = session()
    prompt.enter(
        "require('openai').spawn(function() require('openai').sleep(0.1) error('tripped') end)"
    )
    prompt.terminal.read_until("stdin:1: tripped")
    assert prompt.enter("'go' .. 'es on'").endswith("goes on\n")


# --- Completion and history ---


@pytest.mark.parametrize(
    ("typed", "becomes"),
    [
        ("collectg", "collectgarbage"),
        ("string.rev", "string.reverse"),
        ("deep.er.val", "deep.er.value"),
        ("client:meth", "client:method"),
        ("client.inh", "client.inherited"),
        ("text:rever", "text:reverse"),
        ("io.stdout:setv", "io.stdout:setvbuf"),
        ("print(string.rev", "print(string.reverse"),
        ("repea", "repeat"),
    ],
)
def test_the_tab_key_completes_names(
    session: Callable[..., Prompt], typed: str, becomes: str
) -> None:
    prompt = session()
    prompt.enter("deep, text = { er = { value = 1, other = 2 } }, 'abc'")
    prompt.enter("base = { method = print, inherited = 1, methodical = 2 } base.__index = base")
    prompt.enter("client = setmetatable({}, base)")
    prompt.terminal.type(typed + "\t")
    prompt.terminal.read_until(becomes.replace("(", r"\("))


def test_completion_calls_nothing(session: Callable[..., Prompt]) -> None:
    prompt = session()
    prompt.enter("called = false")
    prompt.enter("t = setmetatable({}, {__index = function() called = true end})")
    prompt.enter("setmetatable(_G, {__index = function() called = true end})")
    prompt.terminal.type("t.x.y\t\tnothing.at\t" + CTRL_C.decode())
    prompt.wait()
    assert prompt.enter("rawget(_G, 'called')") == "false\n"


def test_lines_are_remembered_for_the_next_session_up_to_a_thousand(
    session: Callable[..., Prompt], tmp_path: Path
) -> None:
    history = tmp_path / "luaopenai" / "history"
    first = session()
    first.enter("'remember ' .. 'me'")
    first.terminal.type(CTRL_D)
    assert first.terminal.wait() == 0
    assert history.stat().st_mode & 0o077 == 0
    history.write_text("x = 1\n" * 2000 + history.read_text())
    second = session()
    second.terminal.type("\x10\n")
    second.terminal.read_until("remember me")
    second.wait()
    second.terminal.type(CTRL_D)
    assert second.terminal.wait() == 0
    assert len(history.read_text().splitlines()) <= 1001
