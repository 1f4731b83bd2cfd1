"""Asks a model, once or in a conversation: ``luaopenai chat``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from luaopenai.cli.harmless import one_line, valid
from luaopenai.cli.screen import Screen

if TYPE_CHECKING:
    from luaopenai.client.openai import OpenAI
    from luaopenai.client.tool import Tool

_USAGE = "luaopenai chat [OPTIONS] [PROMPT...]"
_DESCRIPTION = """\
Asks a model and shows its answer as it arrives. Text from a pipe goes before PROMPT:

  luaopenai chat "Name three rivers"
  git diff | luaopenai chat "Write a commit message"
  luaopenai chat --tools weather.lua "How warm is it in Oslo?"

Without PROMPT and pipe it is a conversation. Ctrl-C ends an answer; what has come of it is kept. A
line that ends with \\ goes on in the next. Ctrl-D ends the conversation.
"""
_EPILOG = """\
exit status: 0 the model has answered, or the conversation has ended; 1 there is no answer; 2 the
command is wrong; 130 interrupted.
"""
_TOOLS_HELP = (
    "offer the model the tools that a Lua file returns: { tools = { openai.tool{...} } }; it runs "
    "as a plugin behind walls; may be given several times"
)
_LIMITS = {
    "seconds": "seconds that a call may run; default: 2",
    "memory_mb": "megabytes of Lua memory; default: 64",
    "requests": "requests to the model in a call; default: 20",
    "tokens": "tokens of these requests; default: 50000",
    "output_kb": "kilobytes that a call may print; default: 256",
    "answer_kb": "kilobytes that a tool's result may come to; default: 64",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(f"luaopenai chat: {message}; see luaopenai chat --help", file=sys.stderr)
        raise SystemExit(2)


def chat(argv: list[str]) -> int:
    """Runs ``luaopenai chat``; returns the exit status."""
    try:
        parser = _parser()
        end = argv.index("--") if "--" in argv else len(argv)
        options = parser.parse_intermixed_args(argv[:end])
        _check(parser, options)
        schema = None if options.json is None else _read_schema(options.json)
        prompt = _read_prompt(parser, options.prompt + argv[end + 1 :])
        if schema is not None and prompt is None:
            parser.error("--json needs a PROMPT")
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0
    except ValueError as error:
        return _complain(f"{options.json}: {error}")
    options.schema = schema
    try:
        return _chat_locally(options, prompt) if options.local else _chat(options, prompt)
    except BrokenPipeError:
        return 141


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        "luaopenai chat",
        usage=_USAGE,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(
            prog, max_help_position=22, width=100
        ),
        allow_abbrev=False,
    )
    parser.add_argument("prompt", metavar="PROMPT", nargs="*", help=argparse.SUPPRESS)

    def group(title: str) -> Callable[..., Any]:
        return parser.add_argument_group(title).add_argument

    add = group("the conversation")
    add("--system", metavar="TEXT", help="what the model is told first")
    add(
        "--json",
        metavar="SCHEMA",
        help="answer PROMPT with JSON that fits the JSON schema in a file",
    )

    add = group("tools")
    add("--tools", metavar="FILE", action="append", default=[], help=_TOOLS_HELP)
    add("--ask", action="store_true", help="ask on the terminal before each call")
    add("--trust", action="store_true", help="run the files as scripts, without walls and limits")
    for name, what in _LIMITS.items():
        option = f"--max-{name.replace('_', '-')}"
        add(option, metavar="N", type=_number, help=what)

    add = group("the model")
    add("--model", metavar="NAME", help="which one; default: OPENAI_MODEL")
    add("--base-url", metavar="URL", help="the server; default: OPENAI_BASE_URL, else OpenAI's")
    add("--api-key-env", metavar="NAME", help="the environment variable that holds the key")
    add("--local", action="store_true", help="use the model embedded in this program")
    add("--model-file", metavar="FILE", help="with --local: another model, as a GGUF file")
    return parser


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if options.model_file is not None and not options.local:
        parser.error("--model-file goes with --local")
    if options.base_url is not None:
        if options.local:
            parser.error("--base-url and --local exclude each other")
        from luaopenai.client.servers import read_base_url

        try:
            read_base_url(options.base_url, "--base-url")
        except ValueError as error:
            parser.error(str(error))
    limited = [name for name in _LIMITS if getattr(options, f"max_{name}") is not None]
    for name in (*(f"max_{name}" for name in limited), "ask", "trust"):
        if getattr(options, name) not in (None, False) and not options.tools:
            parser.error(f"--{name.replace('_', '-')} goes with --tools")
    if options.trust and limited:
        parser.error(f"--max-{limited[0].replace('_', '-')} and --trust exclude each other")
    if options.api_key_env is not None and options.api_key_env not in os.environ:
        parser.error(f"the environment has no {options.api_key_env}")


def _read_prompt(parser: argparse.ArgumentParser, words: list[str]) -> str | None:
    """Returns what to ask, with the text of a pipe before it; None for a conversation."""
    prompt = valid(" ".join(words))
    if sys.stdin is not None and sys.stdin.isatty():
        return prompt or None
    piped = sys.stdin.buffer.read().decode("utf-8", "replace") if sys.stdin is not None else ""
    whole = "\n\n".join(text for text in (piped.rstrip("\n"), prompt) if text.strip())
    if not whole:
        parser.error("there is nothing to ask: no PROMPT, and no text in the pipe")
    return whole


def _number(text: str) -> float:
    if not text.replace(".", "", 1).isdecimal():
        raise argparse.ArgumentTypeError("expected a number")
    return float(text)


def _read_schema(path: str) -> dict[str, Any]:
    """Returns the JSON schema in a file; raises ``ValueError``."""
    import json

    from luaopenai.client.answers import AnswerFormat

    try:
        with open(path, "rb") as file:
            schema = json.load(file)
    except OSError as error:
        raise ValueError(f"cannot open it: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise ValueError(
            f"it is no JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except (ValueError, RecursionError):
        raise ValueError("it is no JSON") from None
    if not isinstance(schema, dict):
        raise ValueError("it is no JSON schema: expected an object")
    try:
        AnswerFormat(schema)
    except ValueError as error:
        raise ValueError(f"it asks for what models cannot be held to: {error}") from None
    return schema


def _chat_locally(options: argparse.Namespace, prompt: str | None) -> int:
    from pathlib import Path

    from luaopenai.cli.local_client import local_client
    from luaopenai.cli.signals import quit_now
    from luaopenai.local import LocalModelError, LocalServer

    file = options.model_file
    try:
        server = LocalServer(Path(file) if file else None)
    except LocalModelError as error:
        return _complain(str(error))
    code = 1
    try:
        with local_client(server.base_url, is_embedded=file is None) as client:
            code = _chat_with(client, options, prompt)
    finally:
        if not server.close():
            quit_now(code)
    return code


def _chat(options: argparse.Namespace, prompt: str | None) -> int:
    from luaopenai.client.doors import connection_of
    from luaopenai.host.setup import company_client

    try:
        client = company_client(os.environ.get(options.api_key_env or ""), options.base_url)
    except ValueError as error:
        return _complain(str(error))
    with client:
        variable = _key_variable(client.base_url)
        if variable and not connection_of(client).api_key:
            return _complain(
                f"there is no key: set {variable}, or name another server with --base-url, or use "
                "the embedded model with --local"
            )
        return _chat_with(client, options, prompt)


def _key_variable(base_url: str) -> str | None:
    """Returns the variable with the key of a server that is known to want one."""
    from luaopenai.client.servers import BASE_URL, PROVIDERS
    from luaopenai.host.setup import find_company

    if base_url == BASE_URL:
        return "OPENAI_API_KEY"
    company = find_company(base_url)
    return PROVIDERS[company].key_variable if company else None


def _chat_with(client: OpenAI, options: argparse.Namespace, prompt: str | None) -> int:
    client.default_model = options.model or client.default_model
    screen = Screen()
    if not options.tools:
        return _converse(client, options, prompt, screen, [])
    from luaopenai.cli.chat_tools import ToolFileError, plugin_tools, script_tools

    try:
        if options.trust:
            from luaopenai.cli.signals import watch_signals

            watch_signals()
            tools = script_tools(options.tools, client, is_interactive=prompt is None)
            return _converse(client, options, prompt, screen, tools)
        given = {name: getattr(options, f"max_{name}") for name in _LIMITS}
        limits = {name: value for name, value in given.items() if value is not None}
        with plugin_tools(options.tools, client, limits, screen) as tools:
            return _converse(client, options, prompt, screen, tools)
    except ToolFileError as error:
        return _complain(str(error))


def _converse(
    client: OpenAI,
    options: argparse.Namespace,
    prompt: str | None,
    screen: Screen,
    tools: list[Tool],
) -> int:
    from luaopenai.cli.conversation import Conversation
    from luaopenai.cli.signals import raise_on_interrupt

    session = client.new_chat_session(tools=tools or None)
    if options.system:
        session.append_message({"role": "system", "content": valid(options.system)})
    # One Lua state runs one call at a time, best in this thread, where Ctrl-C ends it.
    # What a call prints must not come below the question about the next one.
    limit = 1 if options.trust or options.ask else 8
    conversation = Conversation(session, screen, limit=limit, asks=options.ask)
    if prompt is not None:
        if options.schema is None:
            return 0 if conversation.answer(prompt) else 1
        return 0 if conversation.answer_typed(prompt, options.schema) else 1
    raise_on_interrupt()
    conversation.hold(_model_name(client, options))
    return 0


def _model_name(client: OpenAI, options: argparse.Namespace) -> str:
    if not options.local:
        return client.default_model
    return os.path.basename(options.model_file) if options.model_file else "the embedded model"


def _complain(message: str) -> int:
    print(f"luaopenai: {one_line(message)}", file=sys.stderr)
    return 1
