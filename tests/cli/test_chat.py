"""`luaopenai chat`: an answer on a pipe, and a conversation on a terminal."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.chat import CHAT, KEY, Talk, start, talks
from support.fault_server import (
    CHUNKED_STREAM,
    Connection,
    FaultServer,
    Script,
    chunk,
    in_turn,
    say_then_stall,
)
from support.openai_server import OpenAIServer
from support.terminal import CTRL_C, CTRL_D, PATIENCE, Terminal, piped


@pytest.fixture
def echo() -> Iterator[str]:
    """The base URL of a server that repeats what is said."""
    with OpenAIServer() as server:
        yield f"{server.address}/v1"


def delta(text: str, **choice: Any) -> bytes:
    """A piece of an answer's stream."""
    event = {"choices": [{"index": 0, "delta": {"content": text}, **choice}]}
    return chunk(b"data: " + json.dumps(event).encode() + b"\n\n")


def stream(*texts: str) -> bytes:
    """A whole answer as a stream."""
    end = chunk(b"data: [DONE]\n\n") + chunk(b"")
    return CHUNKED_STREAM + b"".join(map(delta, texts)) + end


def saying(*answers: bytes) -> Script:
    """A script that gives each request the next answer, also over several connections."""
    left = iter(answers)

    def script(connection: Connection) -> None:
        while connection.read_request():
            connection.send(next(left))

    return script


def messages(request: bytes) -> list[tuple[str, str]]:
    """What a request says, each with its role."""
    sent = json.loads(request.partition(b"\r\n\r\n")[2])["messages"]
    return [(message["role"], message["content"]) for message in sent]


# --- One question ---


def test_a_prompt_is_answered_on_standard_output(echo: str) -> None:
    done = start("Hello", "there", "--base-url", echo)
    assert (done.returncode, done.stdout, done.stderr) == (0, "You said: Hello there\n", "")


def test_the_text_of_a_pipe_goes_before_the_prompt(echo: str) -> None:
    done = start("--base-url", echo, "Explain", stdin="some\ntext\n")
    assert done.stdout == "You said: some\ntext\n\nExplain\n"


def test_the_text_of_a_pipe_alone_is_a_prompt(echo: str) -> None:
    assert start("--base-url", echo, stdin="why?\n").stdout == "You said: why?\n"


def test_a_prompt_after_two_dashes_may_begin_with_one(echo: str) -> None:
    assert start("--base-url", echo, "--", "-x", "--y").stdout == "You said: -x --y\n"


def test_text_that_is_not_utf8_is_asked_with_replacement_marks(echo: str) -> None:
    done = start("--base-url", echo, os.fsdecode(b"a\xffb"), stdin=b"c\xffd")
    assert done.stdout == "You said: c\ufffdd\n\na\ufffdb\n"


def test_the_system_text_comes_first_and_the_model_is_named(
    fault_server: Callable[[Script], FaultServer],
) -> None:
    server = fault_server(saying(stream("Hi")))
    start("--base-url", f"{server.url}/v1", "--system", "Be brief", "--model", "m-1", "Hello")
    assert messages(server.requests[0]) == [("system", "Be brief"), ("user", "Hello")]
    assert b'"m-1"' in server.requests[0]


def test_the_named_variable_holds_the_key(fault_server: Callable[[Script], FaultServer]) -> None:
    server = fault_server(saying(stream("Hi")))
    start("--base-url", f"{server.url}/v1", "--api-key-env", "MY_KEY", "Hello", MY_KEY="sk-mine")
    assert b"Authorization: Bearer sk-mine" in server.requests[0]


def test_an_answer_on_a_pipe_is_what_the_model_wrote(
    fault_server: Callable[[Script], FaultServer],
) -> None:
    server = fault_server(saying(stream("\x1b[31mred", "\x1b[0m\r\n")))
    done = start("--base-url", f"{server.url}/v1", "Hello")
    assert (done.stdout, done.stderr) == ("\x1b[31mred\x1b[0m\r\n", "")


def test_an_answer_is_shown_as_it_arrives(fault_server: Callable[[Script], FaultServer]) -> None:
    is_shown = threading.Event()

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(CHUNKED_STREAM + delta("one "))
        assert is_shown.wait(PATIENCE)
        connection.send(delta("two") + chunk(b"data: [DONE]\n\n") + chunk(b""))

    command = [*CHAT, "--base-url", f"{fault_server(script).url}/v1", "Count"]
    with piped(command) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        assert process.stdout.read(4) == b"one "
        is_shown.set()
        assert process.stdout.read() == b"two\n"
        assert process.wait(PATIENCE) == 0


def test_an_answer_of_a_server_without_streams_is_shown(
    fault_server: Callable[[Script], FaultServer],
) -> None:
    body = b'{"choices":[{"message":{"role":"assistant","content":"whole"}}]}'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    server = fault_server(saying(head % len(body) + body))
    assert start("--base-url", f"{server.url}/v1", "Hello").stdout == "whole\n"


def test_an_answer_at_the_limit_of_tokens_is_said_to_be_cut_short(
    fault_server: Callable[[Script], FaultServer],
) -> None:
    end = delta("", finish_reason="length") + chunk(b"data: [DONE]\n\n") + chunk(b"")
    server = fault_server(saying(CHUNKED_STREAM + delta("Once upon") + end))
    done = start("--base-url", f"{server.url}/v1", "Tell")
    assert (done.returncode, done.stdout) == (0, "Once upon\n")
    assert done.stderr == "the answer is cut short: it has reached the limit of tokens\n"


def test_a_reader_that_leaves_ends_the_command_without_a_word(
    fault_server: Callable[[Script], FaultServer],
) -> None:
    is_gone = threading.Event()

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(CHUNKED_STREAM + delta("one "))
        assert is_gone.wait(PATIENCE)
        connection.send(delta("two") + chunk(b"data: [DONE]\n\n") + chunk(b""))

    command = [*CHAT, "--base-url", f"{fault_server(script).url}/v1", "Count"]
    with piped(command) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.close()
        assert process.stdout.read(4) == b"one "
        process.stdout.close()
        is_gone.set()
        assert process.stderr.read() == b""
        assert process.wait(PATIENCE) == 141


def test_ctrl_c_ends_a_single_answer_with_130(
    fault_server: Callable[[Script], FaultServer],
) -> None:
    server = fault_server(say_then_stall(CHUNKED_STREAM, delta("one ")))
    with piped([*CHAT, "--base-url", f"{server.url}/v1", "Count"]) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        assert process.stdout.read(4) == b"one "
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        assert process.stderr is not None
        assert process.stderr.read() == b""


@pytest.mark.model
def test_the_embedded_model_answers(model: Path) -> None:
    done = start("--local", "--model-file", str(model), "Say hello in one word")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


# --- What goes wrong ---


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        ([], "there is nothing to ask: no PROMPT, and no text in the pipe"),
        (["--nope", "x"], "unrecognized arguments: --nope"),
        (["--model-file", "x.gguf", "x"], "--model-file goes with --local"),
        (["--local", "--base-url", "http://x", "x"], "--base-url and --local exclude each other"),
        (["--base-url", "x", "x"], "--base-url: http:// or https:// is missing in front of x"),
        (["--api-key-env", "NO_SUCH_KEY", "x"], "the environment has no NO_SUCH_KEY"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(args: list[str], complaint: str) -> None:
    done = start(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"luaopenai chat: {complaint}; see luaopenai chat --help\n"


@pytest.mark.parametrize(
    ("args", "variable"),
    [([], "OPENAI_API_KEY"), (["--base-url", "https://api.mistral.ai/v1"], "MISTRAL_API_KEY")],
)
def test_a_missing_key_is_told_before_anything_is_sent(args: list[str], variable: str) -> None:
    done = start("Hello", *args, **{variable: ""})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"luaopenai: there is no key: set {variable}, or ")


def test_a_wrong_key_is_told_in_one_line(echo: str) -> None:
    done = start("--base-url", echo, "--model", "status-401", "Hello")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "luaopenai: Bad status: 401: Told to fail (told_to)\n"


def test_a_dead_server_is_told_in_one_line(refusing_url: str) -> None:
    done = start("--base-url", refusing_url, "Hello")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"luaopenai: connection refused: {refusing_url}/chat/completions\n"


def test_an_answer_that_breaks_off_is_shown_as_far_as_it_came(echo: str) -> None:
    done = start("--base-url", echo, "--model", "cut", "Hello")
    assert (done.returncode, done.stdout) == (1, "You said: Hello\n")
    assert done.stderr.startswith("luaopenai: the answer broke off: ")
    assert done.stderr.count("\n") == 1


def test_a_page_in_the_place_of_an_answer_is_told_in_one_line(echo: str) -> None:
    done = start("--base-url", echo, "--model", "html", "Hello")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "luaopenai: Failed to parse response from server: expected a stream of events\n"
    )


def test_help_names_every_option() -> None:
    done = start("--help")
    assert done.returncode == 0
    assert {"--system", "--model", "--base-url", "--api-key-env", "--local", "--model-file"} <= set(
        re.findall(r"--[a-z-]+", done.stdout)
    )


# --- A conversation ---


WITHOUT_READLINE = [
    sys.executable,
    "-c",
    "import sys; sys.modules['readline'] = None; from luaopenai.cli import main; main()",
    "chat",
]


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[Callable[..., Talk]]:
    with talks(tmp_path) as begin:
        yield begin


@pytest.mark.parametrize("command", [CHAT, WITHOUT_READLINE], ids=["readline", "without"])
def test_a_conversation_keeps_its_history_until_ctrl_d(
    talk: Callable[..., Talk], fault_server: Callable[[Script], FaultServer], command: list[str]
) -> None:
    server = fault_server(saying(stream("Hi ", "there"), stream("Fine")))
    one = talk("--base-url", f"{server.url}/v1", command=command)
    assert one.say("Hello") == "Hi there\n"
    assert one.say("How are you?") == "Fine\n"
    assert one.leave() == 0
    assert messages(server.requests[1]) == [
        ("user", "Hello"),
        ("assistant", "Hi there"),
        ("user", "How are you?"),
    ]


def test_a_conversation_begins_with_the_models_name_and_how_it_ends(
    talk: Callable[..., Talk], echo: str
) -> None:
    one = talk("--base-url", echo, "--model", "m-1")
    assert one.begun == "m-1; Ctrl-C ends an answer, Ctrl-D the conversation\n"


@pytest.mark.parametrize("command", [CHAT, WITHOUT_READLINE], ids=["readline", "without"])
def test_ctrl_c_ends_an_answer_and_its_connection_and_what_has_come_is_kept(
    talk: Callable[..., Talk], fault_server: Callable[[Script], FaultServer], command: list[str]
) -> None:
    # The stalling script ends when the client has gone: only then there is a second connection.
    stalling = say_then_stall(CHUNKED_STREAM, delta("one "), delta("two"))
    is_closed = threading.Event()

    def first(connection: Connection) -> None:
        stalling(connection)
        is_closed.set()

    server = fault_server(in_turn(first, saying(stream("four"))))
    one = talk("--base-url", f"{server.url}/v1", command=command)
    one.terminal.type("Count\n")
    one.terminal.read_until("one two")
    one.terminal.type(CTRL_C)
    assert one.wait() == "^C\n"
    assert is_closed.wait(PATIENCE)
    assert one.say("Go on") == "four\n"
    assert one.leave() == 0
    assert messages(server.requests[1]) == [
        ("user", "Count"),
        ("assistant", "one two"),
        ("user", "Go on"),
    ]


def test_ctrl_c_before_the_first_word_takes_the_message_back(
    talk: Callable[..., Talk], fault_server: Callable[[Script], FaultServer]
) -> None:
    is_asked = threading.Event()

    def silent(connection: Connection) -> None:
        connection.read_request()
        is_asked.set()
        connection.stall()

    server = fault_server(in_turn(silent, saying(stream("Hi"))))
    one = talk("--base-url", f"{server.url}/v1")
    one.terminal.type("Never mind\n")
    assert is_asked.wait(PATIENCE)
    one.terminal.type(CTRL_C)
    assert one.wait() == "Never mind\n^C\n"
    assert one.say("Hello") == "Hi\n"
    assert messages(server.requests[1]) == [("user", "Hello")]


def test_ctrl_c_ends_the_line_that_is_typed_and_nothing_else(
    talk: Callable[..., Talk], echo: str
) -> None:
    one = talk("--base-url", echo)
    one.terminal.type("half a li")
    one.terminal.read_until("half a li")
    one.terminal.type(CTRL_C)
    one.wait()
    assert one.say("Hello") == "You said: Hello\n"
    assert one.leave() == 0


def test_a_failure_is_told_and_the_conversation_goes_on(
    talk: Callable[..., Talk], fault_server: Callable[[Script], FaultServer]
) -> None:
    failing = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
    server = fault_server(saying(failing, stream("Hi")))
    one = talk("--base-url", f"{server.url}/v1")
    assert one.say("Hello") == "luaopenai: Bad status: 400\n"
    assert one.say("Again") == "Hi\n"
    assert messages(server.requests[1]) == [("user", "Again")]


def test_a_line_that_ends_with_a_backslash_goes_on_in_the_next(
    talk: Callable[..., Talk], echo: str
) -> None:
    one = talk("--base-url", echo)
    one.terminal.type("first \\\n")
    one.terminal.read_until(">> ")
    assert one.say("second") == "You said: first \nsecond\n"


def test_pasted_lines_are_one_message(talk: Callable[..., Talk], echo: str) -> None:
    one = talk("--base-url", echo, TERM="xterm")
    one.terminal.type("\x1b[200~first\nsecond\x1b[201~")
    one.terminal.read_until("second")
    one.terminal.type("\n")
    assert one.wait().endswith("You said: first\nsecond\n")


def test_bytes_that_are_not_utf8_are_asked_as_replacement_marks(
    talk: Callable[..., Talk], echo: str
) -> None:
    one = talk("--base-url", echo)
    one.terminal.type(b"bad \xff byte\n")
    one.terminal.read_until("byte\r?\n")
    assert one.wait() == "You said: bad \ufffd byte\n"


def test_an_empty_line_asks_nothing(
    talk: Callable[..., Talk], fault_server: Callable[[Script], FaultServer]
) -> None:
    server = fault_server(saying(stream("Hi")))
    one = talk("--base-url", f"{server.url}/v1")
    assert one.say("") == ""
    assert one.say("Hello") == "Hi\n"
    assert len(server.requests) == 1


def test_an_answer_cannot_command_the_terminal(
    talk: Callable[..., Talk], fault_server: Callable[[Script], FaultServer]
) -> None:
    server = fault_server(saying(stream("\x1b[3", "1mred\x1b", "]0;title\x07\r", "\x9b2J text")))
    one = talk("--base-url", f"{server.url}/v1")
    assert one.say("Hello") == "red0;title text\n"


def test_messages_are_remembered_for_the_next_conversation(
    talk: Callable[..., Talk], echo: str, tmp_path: Path
) -> None:
    first = talk("--base-url", echo)
    first.say("remember me")
    assert first.leave() == 0
    assert (tmp_path / "luaopenai" / "chat-history").stat().st_mode & 0o077 == 0
    second = talk("--base-url", echo)
    second.terminal.type("\x10\n")
    second.terminal.read_until("You said: remember me")


def test_a_conversation_whose_answers_go_elsewhere_prompts_on_the_terminal(
    echo: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = ["sh", "-c", f'exec "$@" >{out}', "sh", *CHAT, "--base-url", echo]
    with Terminal(command, OPENAI_API_KEY=KEY) as terminal:
        terminal.read_until("> ")
        terminal.type("Hello\n")
        terminal.read_until("> ")
        terminal.type(CTRL_D)
        assert terminal.wait() == 0
    assert out.read_text() == "You said: Hello\n"


@pytest.mark.parametrize(("settings", "is_dim"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_notes_are_dim_unless_colours_are_unwanted(
    talk: Callable[..., Talk], echo: str, settings: dict[str, str], is_dim: bool
) -> None:
    one = talk("--base-url", echo, TERM="xterm", **settings)
    assert one.begun.startswith("\x1b[2m") == is_dim
