"""The Python functions that our Lua files call.

Each takes and returns what crosses for little: numbers, byte strings, JSON text. Decisions are
the client's; here they are only put into Lua's hands.
"""

from __future__ import annotations

import os

from luaopenai._version import __version__
from luaopenai.bridge.network import Defaults, Network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from luaopenai.bridge.values import Values


_PYTHONS_OWN = {"begin", "call_back", "context", "functions", "is_elsewhere", "leave"}


class Exports(Network):
    """One runtime's functions for Lua: all public methods but those above, by their own names."""

    def __init__(self, values: Values, defaults: Defaults) -> None:
        super().__init__(values, defaults)
        self._constants: object = None

    def functions(self) -> dict[bytes, Callable[..., object]]:
        """The exported functions by name."""
        names = [
            name for name in dir(self) if not name.startswith("_") and name not in _PYTHONS_OWN
        ]
        return {name.encode(): getattr(self, name) for name in names}

    def constants(self) -> object:
        """Version, endpoints, defaults and session parameters, as one Lua table."""
        if self._constants is None:
            self._constants = self._values.to_lua(self._gather_constants())
        return self._constants

    def _gather_constants(self) -> dict[str, object]:
        from luaopenai.client.chat import SESSION_PARAMETERS
        from luaopenai.client.endpoints import (
            BASE_URL,
            DEFAULT_MODEL,
            ENDPOINTS,
            PROVIDERS,
            SETTING_NAMES,
            environment_accounts,
        )
        from luaopenai.client.responses import SESSION_PARAMETERS as RESPONSE_PARAMETERS

        base_url = self._defaults.base_url or os.environ.get("OPENAI_BASE_URL") or BASE_URL
        return {
            "version": __version__,
            "api_base": base_url.rstrip("/"),
            "api_key": self._defaults.api_key or False,
            "default_model": self._defaults.default_model or DEFAULT_MODEL,
            "account_headers": environment_accounts(),
            "setting_names": SETTING_NAMES,
            "session_parameters": SESSION_PARAMETERS,
            "response_session_parameters": RESPONSE_PARAMETERS,
            "providers": {
                name: {"api_base": provider.base_url, "default_model": provider.default_model}
                for name, provider in PROVIDERS.items()
            },
            "endpoints": {
                name: {
                    "method": endpoint.method,
                    "path": endpoint.path,
                    "argument": endpoint.argument or False,
                    "required": endpoint.required,
                    "chat_model": endpoint.chat_model,
                    "defaults": dict(endpoint.defaults),
                    "headers": dict(endpoint.headers),
                }
                for name, endpoint in ENDPOINTS.items()
            },
        }

    def account_headers(self, organization: bytes | None, project: bytes | None) -> object:
        """The headers that name an organization and a project."""
        from luaopenai.client.endpoints import account_headers

        named = (None if value is None else value.decode() for value in (organization, project))
        return self._values.to_lua(account_headers(*named))

    def check_messages(self, text: bytes) -> None:
        """Raise unless the JSON text is a list of valid messages."""
        from luaopenai.client.messages import check_messages

        check_messages(_loads(text, "messages"), 1)

    def check_message(self, text: bytes, where: bytes) -> None:
        """Raise unless the JSON text is a valid message."""
        from luaopenai.client.messages import check_message

        check_message(_loads(text, where.decode()), where.decode(), 1)

    def check_tool_call(self, text: bytes, where: bytes) -> None:
        """Raise unless the JSON text is a tool call; ``where`` is what errors call it."""
        from luaopenai.client.messages import check_tool_call

        check_tool_call(_loads(text, where.decode()), where.decode())

    def check_input(self, text: bytes) -> None:
        """Raise unless the JSON text is what the Responses API takes as input."""
        from luaopenai.client.messages import check_input

        check_input(_loads(text, "input"), 1)

    def check_function(self, text: bytes, number: int) -> None:
        """Raise unless the JSON text is a function declaration."""
        from luaopenai.client.messages import check_function

        check_function(_loads(text, "function"), f"functions[{number}]")

    def check_text(self, text: bytes, where: bytes) -> None:
        """Raise unless the JSON text is UTF-8."""
        if not _is_utf8(text):
            _loads(text, where.decode())

    def explain(self, value: object, where: bytes) -> str:
        """Why a Lua value cannot be sent as JSON."""
        from luaopenai.client.payload import fault

        try:
            return fault(self._values.to_python(value, where.decode()), where.decode(), 1)
        except (TypeError, ValueError) as error:
            return str(error)

    def read_reply(self, status: int, text: bytes) -> tuple[object, ...]:
        """What the body of a chat completion means.

        Returns ``None, MESSAGE`` for a failure, else the history's message as JSON and whether it
        is text only.
        """
        from luaopenai.client import completions
        from luaopenai.client.errors import APIError
        from luaopenai.client.payload import encode

        body = _loads_answer(text)
        try:
            completions.check_status(status, body)
            message = completions.find_message(status, body)
        except APIError as error:
            return None, str(error)
        return encode(completions.history_message(message)), completions.is_plain(message)

    def chunk_reader(self) -> Callable[[bytes], tuple[object, ...]]:
        """A function that takes a stream's event as JSON.

        It returns the content, index and tool calls (as JSON) of a chunk, nothing for another.
        """
        from luaopenai.client.completions import read_chunk
        from luaopenai.client.payload import encode

        scan = _scanner()

        def read(text: bytes) -> tuple[object, ...]:
            chunk = read_chunk(scan(text.decode("utf-8", "replace"), 0)[0])
            if chunk is None:
                return ()
            calls = chunk.get("tool_calls")
            content: str = chunk["content"]
            return content.encode(), chunk["index"], encode(calls) if calls else None

        return read

    def assemble(self, text: bytes) -> tuple[object, ...]:
        """The message that a stream's chunks make, as JSON, and whether it is text only."""
        from luaopenai.client import completions
        from luaopenai.client.payload import encode

        message = completions.assemble(_loads(text, "chunks") or ())
        return encode(completions.history_message(message)), completions.is_plain(message)

    def response_failure(self, status: int, text: bytes) -> str | None:
        """Why a body is no response of the Responses API, or nothing."""
        from luaopenai.client import responses
        from luaopenai.client.errors import APIError

        body = _loads(text, "body")
        try:
            responses.check_response_status(status, body)
            responses.find_response(status, body)
        except APIError as error:
            return str(error)
        return None

    def read_response_event(self, text: bytes) -> tuple[object, ...]:
        """What an event of a Responses stream brings: its kind and its text."""
        from luaopenai.client.responses import read_event

        return read_event(_loads(text, "event"))

    def output_text(self, text: bytes) -> str:
        """A response's text."""
        from luaopenai.client.responses import output_text

        return output_text(_loads(text, "response"))

    def output_images(self, text: bytes) -> bytes:
        """A response's images, as JSON."""
        from luaopenai.client.payload import encode
        from luaopenai.client.responses import output_images

        return encode(output_images(_loads(text, "response")))

    def read_stream(self, text: bytes) -> tuple[object, ...]:
        """What a chat completion's stream comes to, read again from its raw text.

        Returns ``MESSAGE`` of a failure or None, the message as JSON, and whether it is text only.
        """
        from luaopenai.client import completions, streams
        from luaopenai.client.payload import encode

        body = text.decode("utf-8", "replace")
        message = completions.assemble(streams.read_chunks(body))
        failure = streams.stream_failure(body) or None
        return failure, encode(completions.history_message(message)), completions.is_plain(message)

    def multipart(self, fields: object) -> tuple[object, ...]:
        """A form's body and content type."""
        from luaopenai.client.multipart import encode

        return encode(self._values.to_python(fields, "params"))

    def is_binary(self, content_type: bytes) -> bool:
        """Whether a body of this type is for the caller as it came."""
        from luaopenai.client.payload import is_binary

        return is_binary(content_type.decode("latin-1"))

    def sse(self) -> Callable[[bytes | None], object]:
        """A function that takes a body piece, nil for the end, and returns a list of events."""
        from luaopenai.client.sse import Decoder

        found: list[bytes] = []
        scan = _scanner()

        def accept(data: bytes) -> bool:
            try:
                text = data.decode().strip()
                value, end = scan(text, 0)
            except (StopIteration, ValueError, RecursionError):
                return False
            if type(value) is not dict or end != len(text):
                return False
            found.append(data)
            return True

        decoder = Decoder(accept)

        def feed(piece: bytes | None) -> object:
            if piece is None:
                decoder.close()
            else:
                decoder.feed(piece)
            if not found:
                return None
            events = self._values.byte_list(found)
            found.clear()
            return events

        return feed

    def exit(self, code: object = None, *_: object) -> None:
        """Leave Lua, then Python: ``os.exit``; whether to close the state is not asked."""
        if isinstance(code, bool) or not isinstance(code, int):
            code = 1 if code is False else 0
        raise SystemExit(code)


def _scanner() -> Callable[[str, int], tuple[Any, int]]:
    """JSON's own reader, without what ``json.loads`` does beside: half of the time of an event."""
    from json import JSONDecoder
    from json.scanner import make_scanner

    return make_scanner(JSONDecoder())  # type: ignore[arg-type]


def _loads(text: bytes, where: str) -> Any:
    """JSON text from our encoder; only a string that is not UTF-8 can be wrong with it."""
    import json

    try:
        return json.loads(text.decode())
    except UnicodeDecodeError:
        from luaopenai.client.payload import fault

        value = json.loads(text.decode("utf-8", "surrogateescape"))
        raise ValueError(fault(value, where, 1)) from None


def _loads_answer(text: bytes) -> Any:
    """A server's JSON; bytes that are not UTF-8 become U+FFFD, as they do for Python's client."""
    import json

    return json.loads(text.decode("utf-8", "replace"))


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
