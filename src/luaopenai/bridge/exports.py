"""The Python functions that our Lua files call.

Each takes and returns what crosses for little: numbers, byte strings, JSON text. Decisions are
the client's; here they are only put into Lua's hands.
"""

from __future__ import annotations

from luaopenai._version import __version__
from luaopenai.bridge.marks import export, find_marks
from luaopenai.bridge.network import Defaults, Network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from luaopenai.bridge.marks import Mark
    from luaopenai.bridge.values import Values
    from luaopenai.bridge.work import Work
    from luaopenai.client.endpoints import Endpoint

_CHECKING = "client.messages client.payload"
"""The modules that are needed to check a script's payloads."""

_DECODING = "client.payload client.sse encodings.utf_16_le"
"""The modules that are needed to read a body: it may hold events and halves of characters."""


class Exports(Network):
    """One Lua state's functions for Lua: all marked methods, by their own names."""

    def __init__(self, values: Values, defaults: Defaults) -> None:
        super().__init__(values, defaults)
        self._constants: object = None

    def functions(self) -> dict[bytes, tuple[Callable[..., object], bool]]:
        """Returns the exported functions by name, each with whether it fails softly."""
        marks = find_marks(type(self))
        return {
            name.encode(): (self._exported(name, marks[name]), marks[name].is_soft)
            for name in marks
        }

    def _exported(self, name: str, mark: Mark) -> Callable[..., object]:
        """Returns a marked method as Lua calls it."""
        method: Callable[..., Any] = getattr(self, name)
        if not mark.is_operation:
            return method

        def wait_or_begin(callback: int | bool, *args: object) -> object:
            work: Work = method(*args)
            return work.do() if callback is False else self.begin(work, callback)

        return wait_or_begin

    @export(plugins=True, needs="client.chat client.endpoints client.responses client.servers")
    def constants(self) -> object:
        """Returns version, endpoints, defaults and the names of options, as one Lua table."""
        if self._constants is None:
            self._constants = self._values.to_lua(self._gather_constants())
        return self._constants

    def _gather_constants(self) -> dict[str, object]:
        from luaopenai.client.chat import OWN_OPTIONS
        from luaopenai.client.endpoints import METHODS
        from luaopenai.client.responses import OWN_OPTIONS as OWN_RESPONSE_OPTIONS
        from luaopenai.client.servers import (
            CONFIG_NAMES,
            PROVIDERS,
            SETTING_NAMES,
            environment_accounts,
            environment_base_url,
            environment_model,
            read_base_url,
        )
        from luaopenai.client.sse import LONGEST_EVENT

        given = self._defaults.base_url
        return {
            "version": __version__,
            "api_base": read_base_url(given) if given else environment_base_url(),
            "api_key": self._defaults.api_key or False,
            "default_model": self._defaults.default_model or environment_model(),
            "account_headers": environment_accounts(),
            "setting_names": SETTING_NAMES,
            "config_names": CONFIG_NAMES,
            "longest_event": LONGEST_EVENT,
            "own_options": OWN_OPTIONS,
            "own_response_options": OWN_RESPONSE_OPTIONS,
            "providers": {
                name: {
                    "class_name": provider.class_name,
                    "api_base": provider.base_url,
                    "default_model": provider.default_model,
                }
                for name, provider in PROVIDERS.items()
            },
            "methods": " ".join(METHODS),
        }

    @export(plugins=True, needs="client.endpoints")
    def endpoint(self, name: bytes) -> object:
        """Returns the endpoint of a client's method, as a Lua table."""
        from luaopenai.client.endpoints import METHODS

        return self._values.to_lua(_constants_of(METHODS[name.decode()]))

    @export(plugins=True, needs="client.lists difflib")
    def find_list(self, name: bytes) -> tuple[object, ...]:
        """Returns how many ids a list method takes, and which field asks for the next page."""
        from luaopenai.client.lists import find_list

        endpoint = find_list(name.decode("utf-8", "replace"))
        return len(endpoint.ids), endpoint.pages

    @export(plugins=True, needs="client.errors client.lists " + _DECODING)
    def read_page(
        self, name: bytes, status: int, text: bytes, last: bytes | None
    ) -> tuple[object, ...]:
        """Returns the cursor of the next page; or nothing, and why the body is not a page.

        Args:
            name: the method's.
            status: the answer's.
            text: its body as JSON; a page's may be without all items but the last.
            last: what this page was asked for by.
        """
        from luaopenai.client.errors import APIError
        from luaopenai.client.lists import check_page, next_cursor
        from luaopenai.client.payload import decode

        body = decode(text)
        try:
            check_page(status, body)
            return next_cursor(status, body, _text(last)), None
        except APIError as error:
            return None, f"{name.decode()}: {error}"

    @export(plugins=True, needs="client.polling difflib")
    def find_polled(self, name: bytes) -> int:
        """Returns how many ids a method takes; raises unless it may be called again and again."""
        from luaopenai.client.polling import find_polled

        return len(find_polled(name.decode("utf-8", "replace")).ids)

    @export(plugins=True, needs="client.polling")
    def check_seconds(self, name: bytes, value: object) -> None:
        """Raises unless an option is a number of seconds."""
        from luaopenai.client.polling import check_seconds

        check_seconds(name.decode(), value)

    @export(plugins=True, needs="client.completions " + _DECODING)
    def poll_failure(self, name: bytes, status: int, text: bytes) -> str | None:
        """Returns why a status is no success, in the words of the body, or nothing."""
        from luaopenai.client.completions import bad_status, is_success
        from luaopenai.client.payload import decode

        return (
            None if is_success(status) else f"{name.decode()}: {bad_status(status, decode(text))}"
        )

    @export(plugins=True, needs="client.polling")
    def is_final(self, name: bytes, status: bytes | None) -> bool:
        """Returns whether a status will not change any more."""
        from luaopenai.client.polling import is_final

        return is_final(name.decode(), _text(status))

    @export(plugins=True, needs="client.polling client.payload")
    def next_pause(self, polls: int, interval: float | None, headers: bytes) -> float:
        """Returns the seconds to wait before the next poll."""
        from luaopenai.client.polling import next_pause

        return next_pause(polls, interval, _loads(headers, "headers") or {})

    @export(plugins=True, needs="client.polling")
    def too_late(self, name: bytes, timeout: float, status: bytes | None) -> str:
        """Returns the error text for a wait that ran out of time."""
        from luaopenai.client.polling import too_late

        return too_late(name.decode(), timeout, _text(status))

    @export(plugins=True, needs="client.servers")
    def account_headers(self, organization: object, project: object) -> object:
        """Returns the headers that name an organization and a project."""
        from luaopenai.client.servers import account_headers

        named = self._values.to_python(organization), self._values.to_python(project)
        return self._values.to_lua(account_headers(*named))

    @export(plugins=True, needs="client.servers")
    def read_base_url(self, url: bytes, name: bytes) -> str:
        """Returns a base URL as the client keeps it; raises where its scheme is missing."""
        from luaopenai.client.servers import read_base_url

        return read_base_url(url.decode("utf-8", "replace"), name.decode())

    @export()
    def warn_of_setting(self, name: bytes) -> None:
        """Warns on standard error of an unknown setting whose name is close to a known one."""
        import sys

        from luaopenai.client.servers import near_miss

        text = name.decode("utf-8", "replace")
        meant = near_miss(text)
        if meant:
            print(f"luaopenai: config.{text} is not known; did you mean {meant}?", file=sys.stderr)

    @export(plugins=True, needs="client.endpoints")
    def missing(self, field: bytes) -> str:
        """Returns the error text for a field that was left out."""
        from luaopenai.client.endpoints import missing

        return missing(field.decode())

    @export(plugins=True, needs="client.urls")
    def fill_path(self, path: bytes, *ids: object) -> str:
        """Returns a path with its placeholders filled by ids, which come in the same order."""
        from luaopenai.client.urls import fill_path, placeholders

        text = path.decode()
        known = (
            value if isinstance(value, bytes) else self._values.to_python(value) for value in ids
        )
        return fill_path(text, dict(zip(placeholders(text), known, strict=False)))

    @export(plugins=True, needs="client.urls client.payload")
    def add_query(self, path: bytes, query: bytes) -> bytes:
        """Returns a path or a URL with a query appended; the query is given as JSON."""
        from luaopenai.client.urls import add_query

        text = add_query(path.decode("utf-8", "surrogateescape"), _loads(query, "query"))
        return text.encode("utf-8", "surrogateescape")

    @export(plugins=True, needs=_CHECKING)
    def check_messages(self, text: bytes) -> None:
        """Raises unless the JSON text is a list of valid messages."""
        from luaopenai.client.messages import check_messages

        check_messages(_loads(text, "messages"), 1)

    @export(plugins=True, needs=_CHECKING)
    def check_message(self, text: bytes, where: bytes) -> None:
        """Raises unless the JSON text is a valid message."""
        from luaopenai.client.messages import check_message

        check_message(_loads(text, where.decode()), where.decode(), 1)

    @export(plugins=True, needs=_CHECKING)
    def check_tool_call(self, text: bytes, where: bytes) -> None:
        """Raises unless the JSON text is a tool call; ``where`` is what errors call it."""
        from luaopenai.client.messages import check_tool_call

        check_tool_call(_loads(text, where.decode()), where.decode())

    @export(plugins=True, needs=_CHECKING)
    def check_input(self, text: bytes) -> None:
        """Raises unless the JSON text is what the Responses API takes as input."""
        from luaopenai.client.messages import check_input

        check_input(_loads(text, "input"), 1)

    @export(plugins=True, needs=_CHECKING)
    def check_function(self, text: bytes, number: int) -> None:
        """Raises unless the JSON text is a function declaration."""
        from luaopenai.client.messages import check_function

        check_function(_loads(text, "function"), f"functions[{number}]")

    @export(plugins=True, needs="client.payload")
    def check_text(self, text: bytes, where: bytes) -> None:
        """Raises unless the JSON text is UTF-8."""
        if not self.is_utf8(text):
            _loads(text, where.decode())

    @export(plugins=True)
    def is_utf8(self, text: bytes) -> bool:
        """Returns whether bytes are UTF-8."""
        try:
            text.decode()
        except UnicodeDecodeError:
            return False
        return True

    @export(plugins=True, needs="client.payload")
    def explain(self, value: object, where: bytes) -> str:
        """Returns why a Lua value cannot be sent as JSON."""
        from luaopenai.client.payload import fault

        try:
            return fault(self._values.to_python(value, where.decode()), where.decode(), 1)
        except (TypeError, ValueError) as error:
            return str(error)

    @export(plugins=True, needs="client.completions " + _DECODING)
    def read_reply(self, status: int, text: bytes) -> tuple[object, ...]:
        """Returns what the body of a chat completion means.

        Returns ``None, MESSAGE`` for a failure, else the history's message as JSON, whether it is
        text only, and the whole message as JSON where the body's own cannot be sent again.
        """
        from luaopenai.client import completions
        from luaopenai.client.errors import APIError
        from luaopenai.client.payload import decode, encode

        body = decode(text)
        try:
            completions.check_status(status, body)
            message = completions.find_message(status, body)
        except APIError as error:
            return None, _lua_words(error)
        is_changed = message is not body["choices"][0]["message"]
        return (
            encode(completions.history_message(message)),
            completions.is_plain(message),
            encode(message) if is_changed else None,
        )

    @export(plugins=True, needs="client.streams " + _DECODING)
    def read_stream(
        self, text: bytes | None, pieces: bytes, is_content_empty: bool, body: bytes
    ) -> tuple[object, ...]:
        """Returns what a chat completion's stream comes to.

        Takes the text of its chunks, nil where it had none, what else they have brought as JSON,
        and its raw text, which may be left out where the chunks tell all.
        Returns ``None, MESSAGE, TEXT SO FAR`` for a failure, else the history's message as JSON
        and whether it is text only.
        """
        from luaopenai.client import completions, streams
        from luaopenai.client.errors import APIError
        from luaopenai.client.payload import decode, encode

        chunks = []
        if text is not None:
            chunks = [{"content": text.decode("utf-8", "replace")}, *decode(pieces)]
        raw = body.decode("utf-8", "replace")
        try:
            message = streams.read_reply(200, chunks, raw, is_content_empty)
        except APIError as error:
            return None, str(error), error.body
        return encode(completions.history_message(message)), completions.is_plain(message)

    @export(plugins=True, needs="client.lenient encodings.utf_16_le")
    def mended(self, text: bytes) -> bytes | None:
        """Returns a body's JSON as our decoder takes it, or nothing where the text may stay."""
        from luaopenai.client.lenient import mended

        return mended(text)

    @export(plugins=True, needs="client.responses " + _DECODING)
    def response_failure(self, status: int, text: bytes) -> str | None:
        """Returns why a body is not a response of the Responses API, or nothing."""
        from luaopenai.client import responses
        from luaopenai.client.errors import APIError
        from luaopenai.client.payload import decode

        body = decode(text)
        try:
            responses.check_response_status(status, body)
            responses.find_response(status, body)
        except APIError as error:
            return _lua_words(error)
        return None

    @export(plugins=True, needs="client.lenient client.responses")
    def read_response_event(self, text: bytes) -> tuple[object, ...]:
        """Returns the kind and the text that an event of a Responses stream carries."""
        from luaopenai.client.lenient import scan
        from luaopenai.client.responses import read_event

        try:
            return read_event(scan(text.decode("utf-8", "replace"), 0)[0])
        except RecursionError:
            return ()

    @export(plugins=True, needs="client.responses " + _DECODING)
    def stream_fault(self, body: object, text: bytes, refusal: bytes, is_over: bool) -> str | None:
        """Returns why a Responses stream did not give a usable response, or nothing."""
        from luaopenai.client.responses import stream_fault

        brought, refused = text.decode("utf-8", "replace"), refusal.decode("utf-8", "replace")
        raw = body.decode("utf-8", "replace") if isinstance(body, bytes) else None
        return stream_fault(raw, brought, refused, is_over) or None

    @export(plugins=True, needs="client.responses " + _DECODING)
    def output_images(self, text: bytes) -> bytes:
        """Returns a response's images, as JSON."""
        from luaopenai.client.payload import decode, encode
        from luaopenai.client.responses import output_images

        return encode(output_images(decode(text)))

    @export()
    def multipart(self, fields: object) -> tuple[object, ...]:
        """Returns a form's body and content type."""
        from luaopenai.client.multipart import encode

        return encode(self._values.to_python(fields, "params"))

    @export()
    def encode_multipart(self, fields: object, boundary: bytes) -> bytes:
        """Returns a form's body, with a boundary that the caller has chosen."""
        from luaopenai.client.multipart import join, parts

        return join(parts(self._values.to_python(fields, "params")), boundary)

    @export()
    def multipart_boundary(self, fields: object) -> str:
        """Returns a boundary that occurs in no part of a form."""
        from luaopenai.client.multipart import choose_boundary, parts

        return choose_boundary(parts(self._values.to_python(fields, "params")))

    @export()
    def read_file(self, path: object, field: bytes) -> tuple[object, ...]:
        """Returns the name and the content of a file for a form's field."""
        from luaopenai.client.multipart import read_file

        part = read_file(self._values.to_python(path, field.decode()), field.decode())
        return part.filename, part.content

    @export(plugins=True, needs="client.payload")
    def is_binary(self, content_type: bytes) -> bool:
        """Returns whether a body of this type is handed to the caller undecoded."""
        from luaopenai.client.payload import is_binary

        return is_binary(content_type.decode("latin-1"))

    @export(plugins=True, needs="client.streams encodings.utf_16_le")
    def odd_event_reader(self) -> Callable[[bytes | None], tuple[object, ...]]:
        """Returns a function that reads the events that Lua cannot read itself.

        It returns whether the data is an event, whether the next data must come here too, and the
        events that are ready, as a list of JSON texts. With nil, at the stream's end, it returns
        those that it has held back.
        """
        from luaopenai.client.streams import OddEvents

        reader = OddEvents()

        def read(data: bytes | None) -> tuple[object, ...]:
            is_event = False
            if data is None:
                reader.close()
            else:
                is_event = reader.read(data)
            texts = reader.ready()
            return is_event, reader.is_holding, self._values.byte_list(texts) if texts else None

        return read

    @export()
    def heed_signals(self) -> None:
        """Does nothing: on the way, Python runs the handlers of signals that came meanwhile."""

    @export()
    def execute(self, command: bytes) -> int:
        """Runs a command of the shell; returns its status as C's ``system`` does.

        While that waits, Ctrl-C is for the command alone; here it is for this program too.
        """
        import subprocess

        words: list[str | bytes] = ["sh", "-c", command]
        code = subprocess.Popen(words, executable="/bin/sh", close_fds=False).wait()
        return -code if code < 0 else code << 8

    @export()
    def exit(self, code: object = None, *_: object) -> None:
        """Leaves Lua, then Python, as ``os.exit`` does; whether to close the state is not asked."""
        if isinstance(code, bool) or not isinstance(code, int):
            code = 1 if code is False else 0
        raise SystemExit(code)


def _constants_of(endpoint: Endpoint) -> dict[str, object]:
    """Returns an endpoint as a table for Lua, which holds only the fields that are set."""
    names = ("argument", "binary", "chat_model", "files", "options", "required", "ids")
    given = {name: getattr(endpoint, name) for name in names if getattr(endpoint, name)}
    if endpoint.defaults:
        given["defaults"] = dict(endpoint.defaults)
    if endpoint.headers:
        given["headers"] = dict(endpoint.headers)
    return {"method": endpoint.method, "path": endpoint.path, **given}


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")


def _loads(text: bytes, where: str) -> Any:
    """Decodes JSON text from our encoder; raises ``ValueError`` for strings that are not UTF-8."""
    import json

    try:
        return json.loads(text.decode())
    except UnicodeDecodeError:
        from luaopenai.client.payload import fault

        value = json.loads(text.decode("utf-8", "surrogateescape"))
        raise ValueError(fault(value, where, 1)) from None


def _lua_words(error: Exception) -> str:
    """Returns an error's text with Lua's name for the type of null, which test suites compare."""
    text = str(error)
    bare = text.removesuffix(', got "null"')
    return text if bare == text else f'{bare}, got "userdata"'
