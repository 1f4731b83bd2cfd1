"""`luaopenai serve`: the embedded model, kept up for other programs."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from luaopenai import OpenAI

SERVE = [sys.executable, "-m", "luaopenai", "serve"]


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SERVE, *args], capture_output=True, text=True, timeout=60)


@contextmanager
def serving(*args: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server and the base URL that it prints."""
    with subprocess.Popen(
        [*SERVE, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            yield server, server.stdout.readline().strip()
        finally:
            server.kill()


def test_help_names_its_options() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert all(option in done.stdout for option in ("--port", "--host", "--model-file"))


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["x.lua"], "takes options only"),
        (["--port"], "--port needs a value"),
        (["--port", "http"], "--port takes a number from 0 to 65535"),
        (["--port", "65536"], "--port takes a number from 0 to 65535"),
        (["--threads", "2"], "unknown option --threads"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(args: list[str], complaint: str) -> None:
    done = run(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"luaopenai serve: {complaint}; see luaopenai serve --help\n"


def test_a_missing_model_is_told_in_one_line(tmp_path: Path) -> None:
    missing = tmp_path / "missing.gguf"
    done = run("--model-file", str(missing))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"luaopenai: there is no model at {missing}\n"


@pytest.mark.model
def test_a_port_in_use_is_told_in_one_line(model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = run("--model-file", str(model), "--port", str(port))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"luaopenai: cannot listen on 127.0.0.1, port {port}: Address already in use\n"
    )


@pytest.mark.model
def test_it_answers_on_its_port_until_an_interrupt_ends_it_with_130(model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with serving("--model-file", str(model), "--port", str(port)) as (server, base_url):
        assert base_url == f"http://127.0.0.1:{port}/v1"
        with OpenAI(None, base_url) as client:
            assert client.chat([{"role": "user", "content": "Hello"}], max_tokens=5).status == 200
        server.send_signal(signal.SIGINT)
        _, said = server.communicate(timeout=30)
        assert (server.returncode, said) == (130, "luaopenai: serving until Ctrl-C\n")


@pytest.mark.model
def test_port_0_takes_a_free_one_and_the_url_tells_which(model: Path) -> None:
    with (
        serving("--model-file", str(model), "--port", "0", "--host", "0.0.0.0") as (server, url),
        OpenAI(None, url) as client,
    ):
        assert client.models().status == 200
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=30) == 130
