"""Tools and typed answers of `luaopenai chat`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from luaopenai.cli.calls import ask, line
from luaopenai.client.runs import ToolCall
from support.chat import CHAT, KEY, Talk, start, talks
from support.fault_server import CHUNKED_STREAM, Connection, FaultServer, Script, chunk
from support.terminal import CTRL_C, PATIENCE, Terminal
from support.tool_server import ToolServer

WEATHER = """
local openai = require("openai")
local types = require("tableshape").types
return {
  tools = {
    openai.tool({
      name = "weather",
      description = "Tells the weather in a city",
      parameters = types.shape({ city = types.string, unit = types.string:is_optional() }),
      call = function(arguments)
        if arguments.city == "Nowhere" then
          return nil, "no such city"
        elseif arguments.city == "Atlantis" then
          error("it has sunk")
        end
        print("looking at " .. arguments.city)
        return { celsius = #arguments.city }
      end,
    }),
  },
}
"""
OSLO = {"calls": [["weather", {"city": "Oslo"}]]}
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name"],
}

both = pytest.mark.parametrize("trust", [[], ["--trust"]], ids=["plugin", "script"])

Asker = Callable[..., subprocess.CompletedProcess[str]]
Writer = Callable[..., str]


@pytest.fixture
def server() -> Iterator[ToolServer]:
    with ToolServer() as running:
        yield running


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[Callable[..., Talk]]:
    with talks(tmp_path) as begin:
        yield begin


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    def write_file(text: str, name: str = "weather.lua") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write_file


@pytest.fixture
def chat(server: ToolServer) -> Asker:
    """Asks the scripted model."""
    return lambda *args, **options: start("--base-url", server.base_url, *args, **options)


def answers(server: ToolServer) -> list[str]:
    """What the last request tells the model of its calls."""
    return [one["content"] for one in server.requests[-1]["messages"] if one["role"] == "tool"]


# --- Files ---


@both
def test_a_tool_of_a_file_is_called_and_the_call_is_shown(
    chat: Asker, server: ToolServer, write: Writer, trust: list[str]
) -> None:
    server.script(OSLO, {"text": "4 degrees"})
    done = chat("--tools", write(WEATHER), *trust, "How warm?")
    assert (done.returncode, done.stdout) == (0, "4 degrees\n")
    assert done.stderr == 'looking at Oslo\n→ weather{city="Oslo"} = {"celsius":4}\n'
    assert answers(server) == ['{"celsius":4}']
    [tool] = server.requests[0]["tools"]
    assert tool["function"]["name"] == "weather"
    assert tool["function"]["parameters"]["required"] == ["city"]


@both
def test_the_model_is_told_what_is_wrong_with_a_call(
    chat: Asker, server: ToolServer, write: Writer, trust: list[str]
) -> None:
    calls = [
        ["weather", {"city": "Nowhere"}],
        ["weather", {"city": "Atlantis"}],
        ["weather", {"town": "Oslo"}],
        ["weather", "{"],
        ["whether", {}],
    ]
    server.script({"calls": calls}, {"text": "Sorry"})
    done = chat("--tools", write(WEATHER), *trust, "How warm?")
    assert (done.returncode, done.stdout) == (0, "Sorry\n")
    told = answers(server)
    assert told[:2] == ["error: no such city", "error: it has sunk"]
    assert told[2] == 'arguments.city: expected type "string", got "nil"'
    assert told[3].startswith("arguments: not JSON: ")
    assert told[4].startswith("there is no tool 'whether'")
    assert done.stderr.count("\n") == 5
    assert '→ weather{city="Nowhere"} failed: no such city\n' in done.stderr


def test_tools_may_stand_in_a_list_among_functions_or_alone(
    chat: Asker, server: ToolServer, write: Writer
) -> None:
    make = 'local function make(name) return require("openai").tool({name=name, call=print}) end '
    files = {
        'return make("a")': ["a"],
        'return { make("b"), make("a") }': ["b", "a"],
        'return { z = make("a"), helper = print, b = make("b") }': ["b", "a"],
        'local a = make("a") return { tools = { a }, a = a, b = make("b") }': ["a", "b"],
    }
    for code, names in files.items():
        server.script({"text": "Hi"})
        chat("--trust", "--tools", write(make + code), "Hello")
        assert [one["function"]["name"] for one in server.requests[-1]["tools"]] == names


@both
@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("return {{", r"\S*weather(.lua)?:1: .*near '<eof>'"),
        ("error('not today')", r"\S*weather(.lua)?:1: not today"),
        ("return { helper = function() end }", r"\S*weather.lua returns no tools: expected .*"),
    ],
)
def test_a_file_that_offers_no_tools_is_told_in_one_line(
    chat: Asker, server: ToolServer, write: Writer, trust: list[str], code: str, complaint: str
) -> None:
    done = chat("--tools", write(code), *trust, "Hello")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(rf"luaopenai: (\S*weather.lua: )?{complaint}\n", done.stderr), done.stderr
    assert server.requests == []


@both
def test_a_missing_file_is_told_in_one_line(chat: Asker, tmp_path: Path, trust: list[str]) -> None:
    missing = tmp_path / "missing.lua"
    done = chat("--tools", str(missing), *trust, "Hello")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(f"{missing}: No such file or directory\n")
    assert done.stderr.count("\n") == 1


def test_a_plugin_is_behind_walls_and_a_script_is_not(
    chat: Asker, server: ToolServer, write: Writer
) -> None:
    path = write(
        'return require("openai").tool({ name = "home", '
        'call = function() return os.getenv and os.getenv("HOME") or "hidden" end })'
    )
    for trust, told in ([], "hidden"), (["--trust"], "/home/me"):
        server.script({"calls": [["home", {}]]}, {"text": "Hm"})
        chat("--tools", path, *trust, "Where?", HOME="/home/me")
        assert answers(server) == [told]


@both
def test_tools_of_one_name_get_their_files_names_in_front(
    chat: Asker, server: ToolServer, write: Writer, trust: list[str]
) -> None:
    code = 'return require("openai").tool({ name = "hi", call = function() return "%s" end })'
    files = [write(code % name, f"{name}.lua") for name in ("one", "two")]
    server.script({"calls": [["two_hi", {}], ["one_hi", {}]]}, {"text": "Hi"})
    chat(*(word for file in files for word in ("--tools", file)), *trust, "Hello")
    assert answers(server) == ["two", "one"]


def test_a_plugins_call_is_held_to_its_limits(
    chat: Asker, server: ToolServer, write: Writer
) -> None:
    path = write(
        'return { tools = { require("openai").tool({ name = "loop", '
        "call = function() while true do end end }) } }"
    )
    server.script({"calls": [["loop", {}]]}, {"text": "It takes long"})
    done = chat("--tools", path, "--max-seconds", "0.1", "Loop")
    assert done.stdout == "It takes long\n"
    assert "seconds: the limit is 0.1" in answers(server)[0]


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["--ask", "x"], "--ask goes with --tools"),
        (["--trust", "x"], "--trust goes with --tools"),
        (["--max-seconds", "1", "x"], "--max-seconds goes with --tools"),
        (
            ["--tools", "x.lua", "--trust", "--max-memory-mb", "1", "x"],
            "--max-memory-mb and --trust exclude each other",
        ),
        (
            ["--tools", "x.lua", "--max-seconds", "soon", "x"],
            "argument --max-seconds: expected a number",
        ),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(args: list[str], complaint: str) -> None:
    done = start(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"luaopenai chat: {complaint}; see luaopenai chat --help\n"


# --- What is shown ---


def test_on_a_pipe_what_the_model_says_beside_its_calls_is_no_answer(
    chat: Asker, server: ToolServer, write: Writer
) -> None:
    server.script({"text": "Let me look.", **OSLO}, {"text": "4 degrees"})
    done = chat("--tools", write(WEATHER), "--trust", "How warm?")
    assert done.stdout == "4 degrees\n"
    assert done.stderr.startswith("Let me look.\n")


def test_a_call_is_one_line_that_cannot_command_the_terminal_and_fits_it(
    talk: Callable[..., Talk], server: ToolServer, write: Writer
) -> None:
    city = "\x1b[2J\n\u202e" + "Oslo" * 50
    server.script({"calls": [["weather", {"city": city}]]}, {"text": "4 degrees"})
    one = talk("--base-url", server.base_url, "--tools", write(WEATHER), "--trust", COLUMNS="40")
    shown = one.say("How warm?").splitlines()
    assert shown[-2:] == ['→ weather{city="\\u001b[2J\\n\\u202eOsloOs…', "4 degrees"]
    assert len(shown[-2]) == 40


def test_the_error_of_a_file_that_cannot_be_loaded_cannot_command_the_terminal(
    server: ToolServer, write: Writer
) -> None:
    path = write(r'error("\27]0;title\7\27[2J\nluaopenai: all is well")')
    args = ["--base-url", server.base_url, "--tools", path, "How warm?"]
    with Terminal([*CHAT, *args], OPENAI_API_KEY=KEY) as terminal:
        shown = terminal.read_until(r"all is well\r\n")
        assert terminal.wait() == 1
    assert re.search(r"\\u001b\]0;title\\u0007\\u001b\[2J\\nluaopenai: all is well\n\Z", shown)
    assert "\x1b" not in shown


def test_a_call_that_is_nested_too_deeply_to_be_shown_is_named_and_not_allowed() -> None:
    deep: list[object] = []
    for _ in range(sys.getrecursionlimit()):
        deep = [deep]
    call = ToolCall("call", "weather", {"city": deep}, result=deep)
    assert line(call) == "weather{…} = …"
    assert ask(call) == (False, "its arguments are nested too deeply to be shown")


def test_what_a_tool_prints_begins_on_a_line_of_its_own(
    talk: Callable[..., Talk], server: ToolServer, write: Writer
) -> None:
    server.script({"text": "Let me look.", **OSLO}, {"text": "4 degrees"})
    one = talk("--base-url", server.base_url, "--tools", write(WEATHER), "--trust")
    assert one.say("How warm?").splitlines() == [
        "Let me look.",
        "looking at Oslo",
        '→ weather{city="Oslo"} = {"celsius":4}',
        "4 degrees",
    ]


# --- Asking before a call ---


def test_ask_lets_a_call_run_that_is_allowed_and_tells_the_model_of_one_that_is_not(
    talk: Callable[..., Talk], server: ToolServer, write: Writer
) -> None:
    args = ["--base-url", server.base_url, "--tools", write(WEATHER), "--trust", "--ask"]
    one = talk(*args)
    for typed, told in ("y", '{"celsius":4}'), ("", "refused: the user did not allow it"):
        server.script(OSLO, {"text": "Well"})
        one.terminal.type("How warm?\n")
        one.terminal.read_until(r'→ weather\{city="Oslo"\} - run it\? \[y/N\] ')
        one.terminal.type(f"{typed}\n")
        assert one.wait().endswith("Well\n")
        assert answers(server)[-1] == told


def test_what_was_typed_before_the_question_is_no_answer_to_it(
    talk: Callable[..., Talk], fault_server: Callable[[Script], FaultServer], write: Writer
) -> None:
    function = {"name": "weather", "arguments": '{"city": "Oslo"}'}
    call = {"index": 0, "id": "call_1", "type": "function", "function": function}
    asked, is_typed = threading.Event(), threading.Event()

    def script(connection: Connection) -> None:
        for delta in {"tool_calls": [call]}, {"content": "Well"}:
            connection.read_request()
            asked.set()
            assert is_typed.wait(PATIENCE)
            event = json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode()
            stream = chunk(b"data: " + event + b"\n\n") + chunk(b"data: [DONE]\n\n") + chunk(b"")
            connection.send(CHUNKED_STREAM + stream)

    server = fault_server(script)
    one = talk("--base-url", f"{server.url}/v1", "--tools", write(WEATHER), "--trust", "--ask")
    one.terminal.type("How warm?\n")
    assert asked.wait(PATIENCE)
    one.terminal.type("y\n")
    is_typed.set()
    one.terminal.read_until(r"run it\? \[y/N\] ")
    one.terminal.type("n\n")
    assert one.wait().endswith("Well\n")
    assert b"refused: the user did not allow it" in server.requests[1]


def test_a_question_comes_when_the_call_before_it_can_print_no_more(
    talk: Callable[..., Talk], server: ToolServer, write: Writer
) -> None:
    one = talk("--base-url", server.base_url, "--tools", write(WEATHER), "--ask")
    server.script({"calls": [["weather", {"city": city}] for city in ("Oslo", "Rome")]})
    one.terminal.type("How warm?\n")
    one.terminal.read_until(r'"Oslo"\} - run it\? \[y/N\] ')
    one.terminal.type("y\n")
    shown = one.terminal.read_until(r'"Rome"\} - run it\? \[y/N\] ')
    assert shown.splitlines()[-3:-1] == [
        "looking at Oslo",
        '→ weather{city="Oslo"} = {"celsius":4}',
    ]


def test_ask_shows_all_of_a_call_whatever_the_terminals_width(
    talk: Callable[..., Talk], server: ToolServer, write: Writer
) -> None:
    args = ["--base-url", server.base_url, "--tools", write(WEATHER), "--trust", "--ask"]
    one = talk(*args, COLUMNS="40")
    city = "Oslo" * 50
    server.script({"calls": [["weather", {"city": city}]]})
    one.terminal.type("How warm?\n")
    one.terminal.read_until(city + r'"\} - run it\? \[y/N\] ')


def test_ask_refuses_every_call_where_there_is_no_terminal(
    chat: Asker, server: ToolServer, write: Writer
) -> None:
    server.script(OSLO, {"text": "Pity"})
    done = chat("--tools", write(WEATHER), "--trust", "--ask", "How warm?")
    assert (done.returncode, done.stdout) == (0, "Pity\n")
    assert answers(server) == ["refused: nobody is there to allow it"]
    assert done.stderr == '→ weather{city="Oslo"} refused: nobody is there to allow it\n'


def test_ask_finds_the_terminal_when_the_pipes_are_in_use(
    server: ToolServer, write: Writer, tmp_path: Path
) -> None:
    server.script(OSLO, {"text": "4 degrees"})
    out = tmp_path / "out"
    shell = f'echo Oslo | "$@" >{out} 2>/dev/null'
    args = ["--base-url", server.base_url, "--tools", write(WEATHER), "--trust", "--ask", "Warm?"]
    with Terminal(["sh", "-c", shell, "sh", *CHAT, *args], OPENAI_API_KEY=KEY) as terminal:
        terminal.read_until(r"run it\? \[y/N\] ")
        terminal.type("y\n")
        assert terminal.wait() == 0
    assert out.read_text() == "4 degrees\n"


# --- Ctrl-C ---

LOOP = """
local openai = require("openai")
return {
  tools = {
    openai.tool({ name = "loop", call = function() print("begun") while true do end end }),
    openai.tool({ name = "sleep", call = function() print("begun") openai.sleep(600) end }),
    openai.tool({ name = "hi", call = function() return "hi" end }),
  },
}
"""


@both
@pytest.mark.parametrize("names", [["loop"], ["sleep"], ["sleep", "loop"]], ids=" ".join)
def test_ctrl_c_ends_calls_and_the_conversation_goes_on(
    talk: Callable[..., Talk], server: ToolServer, write: Writer, trust: list[str], names: list[str]
) -> None:
    limits = [] if trust else ["--max-seconds", "600"]
    one = talk("--base-url", server.base_url, "--tools", write(LOOP), *trust, *limits)
    calls = [[name, {}] for name in names]
    server.script({"calls": calls}, {"calls": [["hi", {}]]}, {"text": "Hello"})
    one.terminal.type("Loop\n")
    one.terminal.read_until("begun")
    time.sleep(0.1)
    one.terminal.type(CTRL_C)
    assert one.wait().endswith("^C\n")
    assert one.say("Say hi").endswith("Hello\n")
    assert answers(server) == [*["not run: the run was ended before"] * len(names), "hi"]
    assert one.leave() == 0


def test_ctrl_c_ends_the_command_while_a_script_of_its_prompt_runs(
    server: ToolServer, write: Writer
) -> None:
    server.script({"calls": [["loop", {}]]})
    args = ["--base-url", server.base_url, "--tools", write(LOOP), "--trust", "Loop"]
    with Terminal([*CHAT, *args], OPENAI_API_KEY=KEY) as terminal:
        terminal.read_until("begun")
        terminal.type(CTRL_C)
        assert terminal.wait() == 130


# --- Typed answers ---


@pytest.fixture
def schema(write: Writer) -> str:
    return write(json.dumps(SCHEMA), "person.json")


def test_json_answers_with_json_that_fits_the_schema(
    chat: Asker, server: ToolServer, schema: str
) -> None:
    server.script({"text": '{"name": "Ad\u00e4", "age": null}'})
    done = chat("--json", schema, "Who?")
    assert (done.returncode, done.stdout, done.stderr) == (0, '{"name": "Ad\u00e4"}\n', "")
    sent = server.requests[0]["response_format"]["json_schema"]
    assert sent["strict"]
    assert sent["schema"]["required"] == ["name", "age"]


def test_json_asks_again_for_an_answer_that_does_not_fit(
    chat: Asker, server: ToolServer, schema: str
) -> None:
    server.script({"text": "Ada"}, {"text": '{"name": "Ada", "age": 36}'})
    assert chat("--json", schema, "Who?").stdout == '{"name": "Ada", "age": 36}\n'
    server.script({"text": "Ada"}, {"text": "Ada"})
    done = chat("--json", schema, "Who?")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("luaopenai: no answer that fits after 2 attempts: not JSON: ")


def test_json_and_tools_go_together(
    chat: Asker, server: ToolServer, write: Writer, schema: str
) -> None:
    server.script(OSLO, {"text": '{"name": "Oslo"}'})
    done = chat("--json", schema, "--tools", write(WEATHER), "--trust", "Where?")
    assert done.stdout == '{"name": "Oslo"}\n'
    assert '→ weather{city="Oslo"} = {"celsius":4}\n' in done.stderr


def test_json_on_a_terminal_is_indented_and_has_no_control_characters(
    server: ToolServer, schema: str
) -> None:
    server.script({"text": '{"name": "\\u001b[31m\x9b2J\x7f"}'})
    args = ["--base-url", server.base_url, "--json", schema, "Who?"]
    with Terminal([*CHAT, *args], OPENAI_API_KEY=KEY) as terminal:
        assert terminal.wait() == 0
        shown = terminal.shown.decode()
    assert shown == '{\r\n  "name": "\\u001b[31m\\u009b2J\\u007f"\r\n}\r\n'


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "it is no JSON: Expecting property name enclosed in double quotes at line 1, "),
        ("[]", "it is no JSON schema: expected an object"),
        (b"\xff{}", "it is no JSON"),
        ('{"type": "object", "additionalProperties": true}', "it asks for what models cannot be "),
    ],
)
def test_a_file_that_is_no_schema_is_told_in_one_line(
    chat: Asker, server: ToolServer, tmp_path: Path, text: str | bytes, complaint: str
) -> None:
    path = tmp_path / "schema.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    done = chat("--json", str(path), "Who?")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"luaopenai: {path}: {complaint}")
    assert done.stderr.count("\n") == 1
    assert server.requests == []


def test_a_missing_schema_and_a_missing_prompt_are_told_in_one_line(
    chat: Asker, tmp_path: Path, server: ToolServer, schema: str
) -> None:
    missing = tmp_path / "missing.json"
    done = chat("--json", str(missing), "Who?")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"luaopenai: {missing}: cannot open it: No such file or directory\n"
    with Terminal([*CHAT, "--base-url", server.base_url, "--json", schema]) as terminal:
        assert terminal.wait() == 2
        assert b"--json needs a PROMPT" in terminal.shown


@pytest.mark.model
def test_the_embedded_model_follows_a_schema(model: Path, schema: str) -> None:
    done = start("--local", "--model-file", str(model), "--json", schema, "Ada is 36 years old.")
    assert (done.returncode, done.stderr) == (0, "")
    assert isinstance(json.loads(done.stdout)["name"], str)
