"""A worker of a job, seen from inside: a process that runs a script's function over rows."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

from luaopenai.batch import frames
from luaopenai.batch.frames import FrameError, Frames
from luaopenai.batch.pace import SLACK
from luaopenai.batch.permits import Permits
from luaopenai.batch.tidy import Tidy
from luaopenai.bridge.errors import LuaError
from luaopenai.bridge.exports import Exports
from luaopenai.bridge.marks import export, operation
from luaopenai.bridge.runtime import Runtime
from luaopenai.bridge.work import Work
from luaopenai.client.servers import account_headers

if TYPE_CHECKING:
    from luaopenai.batch.pace import Need
    from luaopenai.bridge.network import Defaults
    from luaopenai.bridge.values import Values
    from luaopenai.client.openai import OpenAI
    from luaopenai.client.transport import Transport

_GETENV = """
local known, getenv = ..., os.getenv
function os.getenv(name)
  local value = known[name]
  if value == nil then
    return getenv(name)
  end
  return value
end
"""


class Line(Protocol):
    """The way to a job."""

    def send(self, kind: bytes, payload: bytes = b"") -> None:
        """Sends a message; raises ``FrameError`` when nobody reads it."""


class Lines:
    """The worker's end of the line to its job, and what it keeps of what came: rows, and the end.

    Attributes:
        rows: batches, as ``map.lua`` takes them; None at the end.
        is_finishing: whether no further row is to begin.
        permits: what the transport asks.
    """

    def __init__(
        self, line: Line, *, is_limited: bool, names_models: bool, slack: float = SLACK
    ) -> None:
        self._line = line
        self.rows = SimpleQueue[bytes | None]()
        self.is_finishing = False
        self.permits = Permits(
            self._ask,
            self._withdraw,
            self._tell,
            self._settle,
            is_limited=is_limited,
            names_models=names_models,
            slack=slack,
        )

    def take(self, kind: bytes, payload: bytes) -> None:
        """Takes a message of the job's."""
        if kind in (frames.ROWS, frames.SUSPECTS):
            self.rows.put(kind + payload)
        elif kind == frames.GRANT:
            numbers, at = json.loads(payload)
            self.permits.grant(numbers, at)
        elif kind == frames.LIMIT:
            self.permits.limit()
        elif kind == frames.FINISH:
            self.is_finishing = True
            self.permits.end()
            self.rows.put(None)

    def give(self, lines: bytes) -> None:
        """Hands over outcomes. At the end, a failure may come of the end: the row is dropped.

        A script that cuts a text may cut a character; nothing paid for is thrown away for that.
        """
        try:
            lines.decode()
        except UnicodeDecodeError:
            lines = lines.decode("utf-8", "replace").encode()
        if self.is_finishing:
            kept = [line for line in lines.splitlines(True) if line.split(b"\t", 2)[1] != b"f"]
            lines = b"".join(kept)
        self.settle()
        if lines:
            self.send(frames.OUTCOMES, lines)

    def settle(self) -> None:
        """Tells what was used since the last time."""
        used = self.permits.take_used()
        if used:
            self._settle(used)

    def announce(self, number: int) -> None:
        """Tells that a suspect begins."""
        self.send(frames.BEGUN, b"%d" % number)

    def send(self, kind: bytes, payload: bytes = b"") -> None:
        """Sends a message; without a job to read it, the process ends."""
        try:
            self._line.send(kind, payload)
        except FrameError:
            os._exit(1)

    def _ask(self, number: int, need: Need) -> None:
        asked = [number, need.model, need.input_tokens, need.asked_tokens]
        self.send(frames.ASK, json.dumps(asked).encode())

    def _withdraw(self, number: int) -> None:
        self._settle([[number, None, 0, 0, 0]])

    def _tell(self, status: int, headers: dict[str, str]) -> None:
        # What was sent until now tells the rate that was too much.
        self.settle()
        self.send(frames.TOLD, json.dumps([status, headers]).encode())

    def _settle(self, used: list[list[Any]]) -> None:
        self.send(frames.USED, json.dumps(used).encode())


class MapExports(Exports):
    """The functions of a worker's Lua state."""

    def __init__(
        self,
        values: Values,
        defaults: Defaults,
        lines: Lines,
        tidy: Tidy,
        environment: Mapping[str, str],
    ) -> None:
        super().__init__(values, defaults)
        self._lines = lines
        self._tidy = tidy
        self._environment = environment

    def _gather_constants(self) -> dict[str, object]:
        constants = super()._gather_constants()
        names = ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID")
        accounts = [self._environment.get(name) for name in names]
        if any(accounts):
            constants["account_headers"] = account_headers(*accounts)
        return constants

    @operation()
    def next_rows(self) -> Work:
        """Waits for rows; nothing when no more are to begin."""
        return Work(self._lines.rows.get)

    @export()
    def give(self, lines: bytes) -> None:
        """Hands over outcomes."""
        self._lines.give(lines)

    @export()
    def announce(self, number: int) -> None:
        """Tells that a row begins that may end the process."""
        self._lines.announce(number)

    @export()
    def is_over(self) -> bool:
        """Returns whether the run ends, and requests that need a permit are refused."""
        return self._lines.is_finishing

    @export()
    def one_line(self, text: bytes) -> str:
        """Returns an error's text in one line, without keys."""
        return self._tidy(text.decode("utf-8", "replace"))


class MapRuntime(Runtime):
    """The Lua state of a worker.

    Args:
        lines: where rows come from.
        tidy: makes errors one line.
        transport: sends the requests, where there is no client.
        environment: variables of the job's, which ``os.getenv`` finds before the process's own.
        client, settings: as for ``Runtime``.
    """

    def __init__(
        self,
        lines: Lines,
        tidy: Tidy,
        transport: Transport,
        client: OpenAI | None,
        environment: Mapping[str, str],
        **settings: Any,
    ) -> None:
        self._lines = lines
        self._tidy = tidy
        self._transport = transport
        self._environment = environment
        super().__init__(client, **settings)
        if environment:
            self.call(self.compile(_GETENV, "getenv"), dict(environment))
        self._map: dict[bytes, Any] = dict(self._state.boot[b"map"]().items())

    def load(self, script: str, args: list[str]) -> None:
        """Runs a script and its ``setup``; raises ``LuaError``."""
        self.set_arg({0: script, **dict(enumerate(args, 1))})
        self._in_lua(self._map[b"load"], (self._compile_file(script), *args), _nothing)

    def run(self, concurrency: int) -> None:
        """Runs rows until no more are to begin."""
        self._in_lua(self._map[b"run"], (concurrency,), _nothing)

    def _make_exports(self, values: Values, defaults: Defaults) -> Exports:
        defaults.transport = defaults.transport or self._transport
        return MapExports(values, defaults, self._lines, self._tidy, self._environment)


def main() -> None:
    """Serve the job at the other end of standard input and output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    line = _take_standard_streams()
    try:
        kind, payload = line.receive()
    except FrameError:
        return
    assert kind == frames.BEGIN
    _serve(line, json.loads(payload))


def _serve(line: Frames, begin: dict[str, Any]) -> None:
    lines = Lines(line, is_limited=begin["limited"], names_models=begin["names_models"])
    threading.Thread(
        target=_receive, args=(line, lines), name="luaopenai-rows", daemon=True
    ).start()
    tidy = Tidy(begin["settings"].get("api_key"))
    try:
        run = load(begin, lines, tidy)
    except (LuaError, ValueError, OSError) as error:
        lines.send(frames.REFUSED, tidy(str(error)).encode())
        return
    lines.settle()
    lines.send(frames.BEGIN)
    status = 0
    try:
        run()
    except LuaError as error:
        # As where a script has taken functions away that this package's Lua needs.
        status = 1
        print(f"luaopenai map: a worker ends: {tidy(str(error))}", file=sys.stderr)
    lines.settle()
    _end(status)


def _receive(line: Frames, lines: Lines) -> None:
    """Takes what the job sends, for ever; the process ends with the job."""
    try:
        while True:
            lines.take(*line.receive())
    except FrameError:
        os._exit(1)


def load(begin: dict[str, Any], lines: Lines, tidy: Tidy) -> Callable[[], None]:
    """Returns what runs rows, once the script is loaded; raises what its loading raises.

    ``begin`` may have an ``environment``: variables that ``os.getenv`` is to know.
    """
    lines.permits.learn = tidy.learn
    settings = begin["settings"]
    concurrency = begin["concurrency"]
    environment = begin.get("environment", {})
    if begin.get("function") is not None:
        import pickle
        from base64 import b64decode

        from luaopenai.batch.functions import FunctionRows

        rows = FunctionRows(pickle.loads(b64decode(begin["function"])))
        return lambda: rows.run(lines, tidy, concurrency)
    transport = _make_transport(concurrency, lines.permits)
    if begin["sandbox"]:
        from luaopenai.batch.sandboxed import SandboxedRows

        client = make_client(settings, transport, environment)
        sandboxed = SandboxedRows(begin["script"], begin["args"], client, begin["limits"])
        return lambda: sandboxed.run(lines, tidy, concurrency)
    folder = os.path.dirname(begin["script"]) or "."
    beside = f"{folder}/?.lua;{folder}/?/init.lua"
    path = settings.get("lua_path")
    runtime = MapRuntime(
        lines,
        tidy,
        transport,
        make_client(settings, transport, environment) if settings.get("local") else None,
        environment,
        lua_path=f"{path};{beside}" if path else beside,
        lua_cpath=settings.get("lua_cpath"),
        rocks=not settings.get("no_rocks"),
        base_url=None if settings.get("local") else settings.get("base_url"),
        api_key=settings.get("api_key"),
        default_model=settings.get("model"),
    )
    runtime.load(begin["script"], begin["args"])
    return lambda: runtime.run(concurrency)


def _make_transport(concurrency: int, pace: Permits) -> Transport:
    """Returns a transport that keeps a connection for each row under way."""
    from luaopenai.client.settings import read_settings
    from luaopenai.client.transport import Transport

    least = read_settings({}).pool_size
    transport = Transport(read_settings({"pool_size": max(least, concurrency)}))
    transport.pace = pace
    return transport


def make_client(
    settings: dict[str, Any], transport: Transport, environment: Mapping[str, str]
) -> OpenAI:
    """Returns a client of the server that the settings name; a local one is told no key."""
    from luaopenai.client.doors import connection_of, speak_through
    from luaopenai.client.openai import OpenAI
    from luaopenai.client.servers import PROVIDERS
    from luaopenai.host.setup import company_client, find_company

    base_url = settings.get("base_url")
    if settings.get("local"):
        client, key = OpenAI(None, base_url), None
    else:
        company = find_company(base_url) if base_url else None
        variable = PROVIDERS[company].key_variable if company else "OPENAI_API_KEY"
        client = company_client(settings.get("api_key") or environment.get(variable), base_url)
        key = connection_of(client).api_key
    speak_through(client, transport, api_key=key)
    client.default_model = settings.get("model") or client.default_model
    return client


def _take_standard_streams() -> Frames:
    """Returns the line to the job; the script gets no input, and what it prints is for people."""
    reader, writer = os.dup(0), os.dup(1)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    if sys.platform == "win32":
        import msvcrt

        msvcrt.setmode(reader, os.O_BINARY)
        msvcrt.setmode(writer, os.O_BINARY)
    return Frames(reader, writer)


def _end(status: int) -> None:
    """Ends at once: threads that wait for what nobody wants would hold Python's own end up."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _nothing(_: object) -> None:
    """Drops results that nobody wants."""
