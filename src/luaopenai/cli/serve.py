"""Keeps the embedded model up for other programs: ``luaopenai serve``."""

from __future__ import annotations

import sys

from luaopenai.cli.options import UsageError, parse

HELP = """\
usage: luaopenai serve [OPTIONS]

Serves the embedded model to other programs, as an OpenAI-compatible server that needs no key,
until Ctrl-C. Prints the base URL.

  --port N            the port to listen on: 8080 unless given, 0 for a free one
  --host ADDRESS      the address to listen on: 127.0.0.1, this machine alone, unless given
  --model-file FILE   another model, as a GGUF file
"""

_PORT = 8080


def serve(argv: list[str]) -> int:
    """Runs ``luaopenai serve``; returns the exit status."""
    try:
        options = parse(argv, frozenset({"--port", "--host", "--model-file"}), frozenset())
        port = options.values.get("--port", str(_PORT))
        if options.script or options.steps or options.interactive or options.version:
            raise UsageError("takes options only")
        if not (port.isascii() and port.isdigit() and int(port) < 1 << 16):
            raise UsageError("--port takes a number from 0 to 65535")
    except UsageError as error:
        print(f"luaopenai serve: {error}; see luaopenai serve --help", file=sys.stderr)
        return 2
    if options.help:
        print(HELP, end="")
        return 0
    host = options.values.get("--host", "127.0.0.1")
    return _serve(host, int(port), options.values.get("--model-file"))


def _serve(host: str, port: int, model_file: str | None) -> int:
    import signal
    import time
    from pathlib import Path

    from luaopenai.cli.signals import quit_now
    from luaopenai.local import LocalModelError, LocalServer

    try:
        server = LocalServer(Path(model_file) if model_file else None, host=host, port=port)
    except LocalModelError as error:
        print(f"luaopenai: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    try:
        print(server.base_url, flush=True)
        print("luaopenai: serving until Ctrl-C", file=sys.stderr)
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # closing takes two seconds at most
    if not server.close():
        quit_now(130)
    return 130
