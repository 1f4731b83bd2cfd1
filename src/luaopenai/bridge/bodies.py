"""The Python functions by which Lua reads what a server sends."""

from __future__ import annotations

from luaopenai.bridge.marks import export
from luaopenai.bridge.network import Network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_DECODING = "client.payload client.sse encodings.utf_16_le"
"""The modules that are needed to read a body: it may hold events and halves of characters."""


class Bodies(Network):
    """Reads one Lua state's responses and their streams."""

    @export(plugins=True, needs="client.errors client.lists " + _DECODING)
    def read_page(
        self, name: bytes, status: int, text: bytes, last: bytes | None
    ) -> tuple[object, ...]:
        """Returns the cursor of the next page; or nothing, and why the body is not a page.

        Args:
            name: the method's.
            status: the response's.
            text: its body as JSON; a page needs only the last of its items.
            last: the cursor of this page; None for the first.
        """
        from luaopenai.client.errors import APIError
        from luaopenai.client.lists import check_page, next_cursor
        from luaopenai.client.payload import decode

        body = decode(text)
        try:
            check_page(status, body)
            return next_cursor(status, body, text_of(last)), None
        except APIError as error:
            return None, f"{name.decode()}: {error}"

    @export(plugins=True, needs="client.completions " + _DECODING)
    def poll_failure(self, name: bytes, status: int, text: bytes) -> str | None:
        """Returns why a status is no success, in the words of the body, or nothing."""
        from luaopenai.client.completions import bad_status, is_success
        from luaopenai.client.payload import decode

        return (
            None if is_success(status) else f"{name.decode()}: {bad_status(status, decode(text))}"
        )

    @export(plugins=True, needs="client.completions client.tools " + _DECODING)
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

    @export(plugins=True, needs="client.streams client.tools " + _DECODING)
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

    @export(plugins=True, needs="client.payload")
    def is_binary(self, content_type: bytes) -> bool:
        """Returns whether a body of this type is handed to the caller undecoded."""
        from luaopenai.client.payload import is_binary

        return is_binary(content_type.decode("latin-1"))

    @export(plugins=True, needs="client.streams encodings.utf_16_le")
    def odd_event_reader(self) -> Callable[[bytes | None], tuple[object, ...]]:
        """Returns a function that reads the events that Lua cannot read itself.

        That function takes the data of an event. It returns whether the data is an event, whether
        the next data must come here too, and the events that are ready, as a list of JSON texts.
        At the stream's end it takes nil, and returns the events that it has held back.
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


def text_of(value: bytes | None) -> str | None:
    """Returns a string of Lua's as text; None for nil."""
    return None if value is None else value.decode("utf-8", "replace")


def _lua_words(error: Exception) -> str:
    """Returns an error's text with Lua's name for the type of null, which test suites compare."""
    text = str(error)
    bare = text.removesuffix(', got "null"')
    return text if bare == text else f'{bare}, got "userdata"'
