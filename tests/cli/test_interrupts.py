"""Ctrl-C ends a script at once, wherever it is, and before Lua can go on with half of an answer."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.terminal import CTRL_C, PATIENCE, Terminal, piped

RUN = [sys.executable, "-m", "luaopenai", "run"]
ROUNDS = 10 if os.environ.get("LUAOPENAI_SOAK") == "full" else 5
"""How often Ctrl-C comes at each wait, which is never quite at the same moment."""

TRACE = "local f = io.open(arg[1], 'w') f:write('went on') f:close()"
"""What a script does that goes on after Ctrl-C."""

WAITS = {
    "io.read": "io.read()",
    "io.read of all": "io.read('*a')",
    "io.read in pcall": "pcall(io.read)",
    "io.lines": "for _ in io.lines() do end",
    "stdin:lines": "for _ in io.stdin:lines() do end",
    "lines of a file": "for _ in io.lines('/dev/stdin') do end",
    "a program's output": "io.popen('cat'):read()",
    "a program's output, all": "io.popen('echo begun; cat'):read('*a')",
    "a program's lines": "for _ in io.popen('cat'):lines() do end",
    "a program's end": "io.popen('cat >/dev/null'):close()",
    "os.execute": "os.execute('cat')",
}
LOOPS = {
    "a loop": "while true do end",
    "a loop of pcalls": "while true do pcall(error) end",
    "a loop of reads under pcall": "while true do pcall(io.read, 0) end",
}


@pytest.mark.parametrize("wait", [*WAITS.values(), *LOOPS.values()], ids=[*WAITS, *LOOPS])
def test_on_a_terminal_ctrl_c_ends_a_script_with_130_before_it_can_go_on(
    wait: str, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    code = f"io.write('ready') io.flush() {wait} {TRACE.replace('arg[1]', repr(str(trace)))}"
    for _ in range(ROUNDS if wait in WAITS.values() else 3):
        with Terminal([*RUN, "-e", code]) as terminal:
            terminal.read_until("ready")
            time.sleep(0.02)
            terminal.type(CTRL_C)
            assert terminal.wait() == 130
        assert not trace.exists()


@pytest.mark.parametrize("wait", [*WAITS.values(), *LOOPS.values()], ids=[*WAITS, *LOOPS])
def test_on_pipes_sigint_ends_a_script_with_130_and_loses_no_output(
    wait: str, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    code = (
        f"io.stderr:write('ready') io.write('kept') {wait}"
        f" {TRACE.replace('arg[1]', repr(str(trace)))}"
    )
    for _ in range(3):
        with piped([*RUN, "-e", code]) as process:
            assert process.stderr is not None
            assert process.stdout is not None
            assert process.stderr.read(5) == b"ready"
            time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 130
            for pipe in (process.stdout, process.stderr):
                os.set_blocking(pipe.fileno(), False)
            assert (process.stdout.read() or b"").startswith(b"kept")
            assert not process.stderr.read()
        assert not trace.exists()


def test_sigint_ends_a_script_whose_program_takes_no_notice_of_it() -> None:
    code = """io.stderr:write('ready') os.execute("trap '' INT; exec sleep 600")"""
    with piped([*RUN, "-e", code], start_new_session=True) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.read(5) == b"ready"
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 130
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_ctrl_c_ends_a_script_that_waits_for_a_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        code = "require('openai').new('k'):models() io.write('went on')"
        with piped([*RUN, "--base-url", url, "-e", code]) as process:
            server.settimeout(PATIENCE)
            connection, _ = server.accept()
            with connection:
                connection.recv(1)
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (130, b"", b"")


def test_ctrl_c_ends_a_script_that_waits_for_a_job() -> None:
    code = """
    local client = require("openai").new()
    function client.retrieve_batch() return 200, { status = "in_progress" }, {} end
    client:wait_for("retrieve_batch", "b", {
      interval = 3600, on_poll = function() io.stderr:write("ready") end
    })
    io.write("went on")
    """
    with piped([*RUN, "-e", code]) as process:
        assert process.stderr is not None
        assert process.stderr.read(5) == b"ready"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (130, b"", b"")


@pytest.mark.parametrize("options", [[], ["--sandbox"]], ids=["plain", "sandbox"])
def test_ctrl_c_at_any_moment_of_the_start_ends_the_command_without_a_word(
    options: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "loop.lua"
    path.write_text("while true do end")
    # It says when its handler stands: before, Ctrl-C is Python's own affair.
    program = f"""
import _signal as signal, os, sys
real = signal.signal
def noting(number, handler):
    before = real(number, handler)
    if number == signal.SIGINT:
        signal.signal = real
        os.write(2, b".")
    return before
signal.signal = noting
from luaopenai.cli import main
sys.argv = ["luaopenai", "run", *{options!r}, {str(path)!r}]
main()
"""
    for milliseconds in range(0, 120, 4):
        with piped([sys.executable, "-c", program]) as process:
            assert process.stderr is not None
            assert process.stderr.read(1) == b"."
            time.sleep(milliseconds / 1000)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, out, err) == (130, b"", b"")


def test_ctrl_c_that_was_ignored_at_the_start_stays_ignored() -> None:
    ignoring: Callable[[], object] = lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)  # noqa: E731
    code = "io.stderr:write('ready') io.write(io.read())"
    with piped([*RUN, "-e", code], preexec_fn=ignoring) as process:
        assert process.stderr is not None
        assert process.stderr.read(5) == b"ready"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(b"typed\n", timeout=PATIENCE)
    assert (process.returncode, out, err) == (0, b"typed", b"")


@pytest.mark.parametrize("wait", ["pcall(io.read)", "pcall(os.execute, 'sleep 9')"])
def test_ctrl_c_leaves_the_lua_of_a_python_program_as_keyboard_interrupt(wait: str) -> None:
    program = f"""
from luaopenai import Runtime
runtime = Runtime()
try:
    runtime.run_string("io.stderr:write('ready') {wait} io.stderr:write('went on')")
except KeyboardInterrupt:
    print("interrupted", runtime.run_string("return 1 + 1"))
"""
    with Terminal([sys.executable, "-c", program]) as terminal:
        terminal.read_until("ready")
        time.sleep(0.05)
        terminal.type(CTRL_C)
        assert terminal.read_until("2\r\n") == "^Cinterrupted 2\n"
        assert terminal.wait() == 0


# --- What waits, waits as before ---


def output(code: str, text: str = "") -> str:
    done = subprocess.run(
        [*RUN, "-e", code], input=text, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    return done.stdout


def test_reading_gives_what_it_always_gave(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("one\ntwo\n3 4\n")
    code = f"""
      print(io.read(), (io.read("*n")), (io.read("*n")), io.read(0), io.read(1), io.read())
      print(io.read())
      for line in io.lines({str(path)!r}) do io.write(line, ";") end
      local file = io.open({str(path)!r})
      print(file:read(3), file:read("*l"), file:read("*a"), file:read("*a"), file:read())
      print(file:close(), io.type(file))
      print(io.popen("echo hi; exit 3"):read("*a"), io.popen("true"):close())
    """
    assert output(code, "first\n1 2\nlast") == (
        "first\t1\t2\t\t\n\tlast\nnil\n"
        "one;two;3 4;one\t\ttwo\n3 4\n\t\tnil\ntrue\tclosed file\nhi\n\ttrue\n"
    )


def test_os_execute_returns_what_the_system_returns() -> None:
    code = """
      io.stdout:setvbuf("no")
      print(os.execute("exit 3"), os.execute("true"), os.execute("kill -9 $$"), os.execute())
      print(os.execute("cat; echo $0"))
    """
    assert output(code, "typed\n") == "768\t0\t9\t1\ntyped\nsh\n0\n"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("io.read('*x')", "bad argument #1 to 'read' (invalid format)"),
        ("io.stdin.read()", "bad argument #1 to 'read' (FILE* expected, got no value)"),
        ("io.lines('no such file')", "no such file: No such file or directory"),
        ("io.stdin:lines('*x')()", "invalid format"),
        ("os.execute({})", "bad argument #1 to 'execute' (string expected, got table)"),
    ],
)
def test_wrong_calls_fail_where_the_script_made_them(call: str, message: str) -> None:
    done = subprocess.run(
        [*RUN, "-e", f"\n{call}"], input="x\n", capture_output=True, text=True, timeout=60
    )
    first = done.stderr.splitlines()[0]
    assert first.startswith("luaopenai: (command line):2: ")
    assert message in first
