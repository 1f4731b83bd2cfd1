"""Asks a model and shows its answers: once, or line by line at a prompt."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from luaopenai.cli.calls import ask, line
from luaopenai.cli.harmless import escaped, valid
from luaopenai.client.errors import APIConnectionError, OpenAIError
from luaopenai.client.streams import no_stream_failure

if TYPE_CHECKING:
    from luaopenai.cli.line_editor import LineEditor
    from luaopenai.cli.screen import Screen
    from luaopenai.client.chat import ChatSession
    from luaopenai.client.completions import Chunk
    from luaopenai.client.runs import ToolCall

Result = TypeVar("Result")


class Conversation:
    """A session whose answers are shown as they arrive.

    An answer that is interrupted, or that fails on its way, stays in the history as far as it has
    come; before its first word, the message that it was to answer is taken back.

    Args:
        session: with its tools.
        screen: where to show all.
        limit: how many calls of tools may run at once.
        asks: whether to ask the user before each call.
    """

    def __init__(
        self, session: ChatSession, screen: Screen, *, limit: int = 8, asks: bool = False
    ) -> None:
        self._session = session
        self._screen = screen
        self._limit = limit
        self._asks = asks
        # Elsewhere, only the end of a round tells whether its text is the answer.
        self._is_shown_at_once = screen.is_terminal or not session.tools
        self._editor: LineEditor | None = None
        self._arrived: list[str] = []
        self._length = 0
        self._is_cut = False

    def answer(self, message: str) -> bool:
        """Sends a message and shows the answer; returns whether there was one."""
        session, before = self._session, len(self._session.messages)
        self._is_cut = False
        run = self._try(lambda: session.run(message, self._show, **self._options()))
        if run is None:
            return False
        self._end(run.text)
        if self._is_cut:
            self._screen.note("the answer is cut short: it has reached the limit of tokens")
        if not run.text:
            del session.messages[before:]
            self._screen.complain(_emptiness(session.last_response))
        return bool(run.text)

    def answer_typed(self, message: str, schema: dict[str, Any]) -> bool:
        """Sends a message and shows the answer as JSON that fits a schema; returns whether there
        was one.
        """
        parsed = self._try(lambda: (self._session.parse(message, schema, **self._options()),))
        if parsed is None:
            return False
        indent = 2 if self._screen.is_terminal else None
        self._screen.write(escaped(json.dumps(parsed[0], ensure_ascii=False, indent=indent)))
        self._screen.end_line()
        return True

    def _options(self) -> dict[str, Any]:
        calls = {"on_call": self._before_call, "on_result": self._after_call}
        return {"limit": self._limit, **calls}

    def _try(self, work: Callable[[], Result]) -> Result | None:
        """Returns what the session makes of a message; None for a failure, which is told."""
        before = self._length = len(self._session.messages)
        self._arrived.clear()
        try:
            return work()
        except BaseException as error:
            self._settle(before)
            if not isinstance(error, OpenAIError | ValueError):
                raise
            self._end("".join(self._arrived))
            self._screen.complain(_failure(error))
            return None

    def hold(self, name: str) -> None:
        """Reads messages and answers them until the input ends.

        Args:
            name: the model's, to be shown.
        """
        self._screen.note(f"{name}; Ctrl-C ends an answer, Ctrl-D the conversation")
        with self._line_editor():
            while True:
                try:
                    message = self._read()
                    if message is None:
                        break
                    if message.strip():
                        self.answer(message)
                except KeyboardInterrupt:
                    self._screen.break_off()
        self._screen.break_off()

    def _show(self, chunk: Chunk, _event: object) -> None:
        self._forget_past_rounds()
        text: str = chunk["content"]
        if text:
            self._arrived.append(text)
            if self._is_shown_at_once:
                self._screen.write(text)
        if chunk.get("finish_reason") == "length":
            self._is_cut = True

    def _end(self, text: str) -> None:
        """Ends an answer, of which what has not been shown yet is shown."""
        if not (self._is_shown_at_once and self._arrived):
            self._screen.write(text)
        self._screen.end_line()

    def _before_call(self, call: ToolCall) -> object:
        self._show_beside()
        self._screen.make_room()
        return ask(call) if self._asks else True

    def _after_call(self, call: ToolCall) -> None:
        self._show_beside()
        self._screen.note(f"→ {line(call)}")

    def _show_beside(self) -> None:
        """Shows what the model has said with its calls, which is no answer."""
        if self._arrived and not self._is_shown_at_once:
            self._screen.say("".join(self._arrived))
        self._arrived.clear()

    def _forget_past_rounds(self) -> None:
        """Drops the text that is in the history."""
        if self._length != len(self._session.messages):
            self._length = len(self._session.messages)
            self._arrived.clear()

    def _settle(self, before: int) -> None:
        """Leaves a history that can go on after an answer that has not come to its end."""
        messages = self._session.messages
        self._forget_past_rounds()
        if self._arrived:
            text = "".join(self._arrived)
            self._session.append_message({"role": "assistant", "content": text})
        elif len(messages) == before + 1:
            del messages[before:]

    def _line_editor(self) -> contextlib.AbstractContextManager[object]:
        if sys.stdin.isatty() and self._screen.is_terminal:
            with contextlib.suppress(ImportError):
                from luaopenai.cli.line_editor import LineEditor

                self._editor = LineEditor(lambda _: [], lambda _: None, "chat-history")
                return self._editor
        return contextlib.nullcontext()

    def _read(self) -> str | None:
        """Reads a message, whose lines but the last end with a backslash; None at the end."""
        lines: list[str] = []
        while True:
            line = self._read_line(">> " if lines else "> ")
            if line is None:
                return None
            if not line.endswith("\\"):
                return valid("\n".join([*lines, line]))
            lines.append(line[:-1])

    def _read_line(self, prompt: str) -> str | None:
        try:
            if self._editor is not None:
                return self._editor.read(prompt)
            # Python's own prompt would be on standard output, which is the answers'.
            print(prompt, end="", file=sys.stderr, flush=True)
            return input()
        except EOFError:
            return None


def _emptiness(body: object) -> str:
    """Returns what is wrong with an answer without text."""
    return (isinstance(body, str) and no_stream_failure(body)) or "the answer is empty"


def _failure(error: Any) -> str:
    text = str(error)
    if isinstance(error, APIConnectionError) and error.body:
        return f"the answer broke off: {text}"
    return text
