"""Runs Lua scripts: ``luaopenai run`` and ``luaopenai-lua``."""

from __future__ import annotations

import os
import sys

from luaopenai._version import __version__
from luaopenai.bridge.errors import LuaError
from luaopenai.cli.options import Options, UsageError, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from luaopenai.bridge.runtime import Runtime
    from luaopenai.client.openai import OpenAI

HELP = """\
usage: luaopenai run [OPTIONS] SCRIPT [ARGS...]

Runs SCRIPT (- for standard input) as `lua SCRIPT ARGS` would.

  -e CODE              run CODE first; without SCRIPT, run only that
  -l MODULE            require MODULE first
  --base-url URL       where openai.new() sends, unless the script says otherwise
  --model NAME         what clients ask for that name no model; default: OPENAI_MODEL
  --api-key-env NAME   the environment variable that holds the key
  --local              use the model embedded in this program; no key, no network
  --model-file FILE    with --local: another model, as a GGUF file
  --lua-path PATH      templates for package.path, searched first
  --lua-cpath PATH     templates for package.cpath, searched first
  --sandbox            run SCRIPT, which is not trusted, as a plugin behind walls, with limits:
    --max-seconds N, --max-memory-mb N, --max-requests N, --max-tokens N, --max-output-kb N
    --allow-env NAME   let it see this environment variable; may be given several times
  --no-rocks           search only what is named here, in LUA_PATH and LUA_CPATH, and
                       the bundled modules
  --version
"""

LUA_HELP = """\
usage: luaopenai-lua [OPTIONS] [SCRIPT [ARGS...]]

Takes what the lua command takes, for tools that want an interpreter.

  -e CODE     run CODE first
  -l MODULE   require MODULE first
  -i          read lines from the terminal after SCRIPT
  -v          tell the version
  --          no more options
  -           run standard input
"""

_LIMITS = {
    "--max-seconds": "seconds",
    "--max-memory-mb": "memory_mb",
    "--max-requests": "requests",
    "--max-tokens": "tokens",
    "--max-output-kb": "output_kb",
}
_VALUES = frozenset(
    {
        "--allow-env",
        "--api-key-env",
        "--base-url",
        "--lua-cpath",
        "--lua-path",
        "--model",
        "--model-file",
        *_LIMITS,
    }
)
_FLAGS = frozenset({"--local", "--no-rocks", "--sandbox"})


def run(argv: list[str]) -> int:
    """Runs ``luaopenai run``; returns the exit status."""
    try:
        options = parse(argv, _VALUES, _FLAGS)
        if not (options.help or options.version):
            _check(options)
    except UsageError as error:
        return _usage_error("luaopenai run", str(error))
    if options.help:
        print(HELP, end="")
        return 0
    if options.version:
        print(version())
        return 0
    key_name = options.values.get("--api-key-env")
    if key_name:
        if key_name not in os.environ:
            return _complain("luaopenai", f"the environment has no {key_name}")
        os.environ["OPENAI_API_KEY"] = os.environ[key_name]
    if "--local" in options.flags:
        return _run_locally(options)
    return _run_options("luaopenai", options, options.values.get("--base-url"))


def run_lua(argv: list[str]) -> int:
    """Runs ``luaopenai-lua``; returns the exit status."""
    try:
        options = parse(argv, frozenset(), frozenset())
    except UsageError as error:
        return _usage_error("luaopenai-lua", str(error))
    if options.help:
        print(LUA_HELP, end="")
        return 0
    if options.version:
        print(version())
    nothing = not (options.script or options.steps or options.version or options.interactive)
    if nothing and not sys.stdin.isatty():
        options.script = "-"
    elif nothing:
        options.interactive = True
    return _run_options("luaopenai-lua", options)


def version() -> str:
    """Returns the versions of everything that runs a script."""
    from luaopenai.bridge.runtime import Runtime

    luajit = Runtime(rocks=False).run_string("return jit.version")
    python = ".".join(map(str, sys.version_info[:3]))
    return f"luaopenai {__version__} ({luajit}, Python {python})"


def _check(options: Options) -> None:
    if options.interactive:
        raise UsageError("-i is for luaopenai-lua")
    if options.script is None and not options.steps:
        raise UsageError("a script is missing")
    limited = [option for option in _LIMITS if option in options.values]
    for_sandbox = [*limited, *(["--allow-env"] if "--allow-env" in options.values else [])]
    if "--sandbox" in options.flags:
        if options.script is None or options.steps:
            raise UsageError("--sandbox takes a script, and neither -e nor -l")
    elif for_sandbox:
        raise UsageError(f"{for_sandbox[0]} goes with --sandbox")
    for option in limited:
        digits = options.values[option].replace(".", "", 1)
        if not (digits.isascii() and digits.isdigit()):
            raise UsageError(f"{option} takes a number")
    if "--model-file" in options.values and "--local" not in options.flags:
        raise UsageError("--model-file goes with --local")
    if "--base-url" in options.values and "--local" in options.flags:
        raise UsageError("--base-url and --local exclude each other")
    if "--base-url" in options.values:
        from luaopenai.client.servers import read_base_url

        try:
            read_base_url(options.values["--base-url"], "--base-url")
        except ValueError as error:
            raise UsageError(str(error)) from None


def _make_client(options: Options, base_url: str | None) -> OpenAI:
    """Returns the client for a script in the sandbox: of the company whose server it is to speak
    to.
    """
    from luaopenai.host.setup import company_client

    key = os.environ.get(options.values.get("--api-key-env", ""))
    return company_client(key, base_url)


def _visible_environment(options: Options, client: OpenAI) -> dict[str, str]:
    """Returns the variables that a sandboxed script may see; raises ``UsageError`` for a key."""
    names = options.repeated.get("--allow-env", [])
    holders = {"OPENAI_API_KEY", options.values.get("--api-key-env")}
    from luaopenai.client.doors import connection_of

    keys = [key for key in (connection_of(client).api_key, os.environ.get("OPENAI_API_KEY")) if key]
    for name in names:
        if name in holders or any(key in os.environ.get(name, "") for key in keys):
            raise UsageError(f"--allow-env {name}: this holds the key, which no script needs here")
    return {name: os.environ[name] for name in names if name in os.environ}


def _run_sandboxed(options: Options, base_url: str | None, client: OpenAI | None) -> int:
    """Runs the script as a plugin, in a process of its own."""
    from luaopenai import LimitExceeded, Limits, PluginHost

    limits = {
        name: float(options.values[option])
        for option, name in _LIMITS.items()
        if option in options.values
    }

    def show(_plugin: str, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    assert options.script is not None
    try:
        if options.script == "-":
            code = sys.stdin.buffer.read()
        else:
            with open(options.script, "rb") as file:
                code = file.read()
    except OSError as error:
        return _complain("luaopenai", f"cannot open {options.script}: {error.strerror}")
    try:
        client = client or _make_client(options, base_url)
        client.default_model = options.values.get("--model") or client.default_model
        visible = _visible_environment(options, client)
    except UsageError as error:
        return _usage_error("luaopenai run", str(error))
    except ValueError as error:
        return _complain("luaopenai", str(error))
    with client:
        host = PluginHost(client, limits=Limits(**limits), output=show)  # type: ignore[arg-type]
        try:
            host.run_script(_without_shebang(code), options.script, options.args, visible)
        except LuaError as error:
            return _complain("luaopenai", error.message, error.traceback)
        except LimitExceeded as error:
            return _complain("luaopenai", f"stopped: {error}")
    return 0


def _run_locally(options: Options) -> int:
    from pathlib import Path

    from luaopenai.cli.local_client import local_client
    from luaopenai.cli.signals import quit_now
    from luaopenai.local import LocalModelError, LocalServer

    file = options.values.get("--model-file")
    try:
        server = LocalServer(Path(file) if file else None)
    except LocalModelError as error:
        return _complain("luaopenai", str(error))
    code = 1
    try:
        with local_client(server.base_url, is_embedded=file is None) as client:
            code = _run_options("luaopenai", options, client=client)
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 0
    finally:
        if not server.close():
            quit_now(code)
    return code


def _run_options(
    program: str,
    options: Options,
    base_url: str | None = None,
    client: OpenAI | None = None,
) -> int:
    if "--sandbox" in options.flags:
        return _run_sandboxed(options, base_url, client)
    from luaopenai.cli.signals import watch_signals

    watch_signals()
    runtime = _runtime_class(options)(
        client,
        lua_path=options.values.get("--lua-path"),
        lua_cpath=options.values.get("--lua-cpath"),
        rocks="--no-rocks" not in options.flags,
        base_url=base_url,
        api_key=os.environ.get(options.values.get("--api-key-env", "")),
        default_model=options.values.get("--model"),
    )
    runtime.set_arg(_arg(options))
    try:
        _run_steps(runtime, options)
        runtime.finish_tasks()
    except LuaError as error:
        # `error(nil)` ends a script without a word, as under lua: so busted leaves when specs fail.
        return 1 if error.message == "nil" else _complain(program, error.message, error.traceback)
    if options.interactive:
        from luaopenai.cli.repl import InteractiveRuntime, Repl

        assert isinstance(runtime, InteractiveRuntime)
        Repl(runtime).loop()
    return 0


def _runtime_class(options: Options) -> type[Runtime]:
    if options.interactive:
        from luaopenai.cli.repl import InteractiveRuntime

        return InteractiveRuntime
    from luaopenai.bridge.runtime import Runtime

    return Runtime


def _run_steps(runtime: Runtime, options: Options) -> None:
    initial = os.environ.get("LUA_INIT", "")
    if initial.startswith("@"):
        runtime.execute_file(initial[1:])
    elif initial:
        runtime.execute_string(initial, "LUA_INIT")
    for letter, text in options.steps:
        if letter == "-e":
            runtime.execute_string(text, "(command line)")
        else:
            runtime.execute_string(f"require({_quoted(text)})", "(command line)")
    args = [os.fsencode(arg) for arg in options.args]
    if options.script == "-":
        runtime.execute_string(_without_shebang(sys.stdin.buffer.read()), "stdin", *args)
    elif options.script is not None:
        runtime.execute_file(options.script, *args)


def _arg(options: Options) -> dict[int, object]:
    """Returns Lua's ``arg``: the script is number 0, the words before it have negative numbers."""
    words = list(sys.orig_argv)
    script = len(words) - len(options.args) - (options.script is not None)
    arg: dict[int, object] = {i - script: os.fsencode(word) for i, word in enumerate(words)}
    return arg


def _without_shebang(code: bytes) -> bytes:
    """Empties a first line that starts with #, which is for the shell; the line numbers stay."""
    if not code.startswith(b"#"):
        return code
    _, newline, rest = code.partition(b"\n")
    return newline + rest


def _quoted(text: str) -> str:
    return '"' + "".join(f"\\{byte:03d}" for byte in os.fsencode(text)) + '"'


def _usage_error(program: str, text: str) -> int:
    print(f"{program}: {text}; see {program} --help", file=sys.stderr)
    return 2


def _complain(program: str, message: str, traceback: str = "") -> int:
    print(f"{program}: {message}", file=sys.stderr)
    if traceback:
        print(traceback, file=sys.stderr)
    return 1
