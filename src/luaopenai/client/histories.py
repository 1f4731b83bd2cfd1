"""Keeps the history of a session valid while tools run, for either kind of session.

A reply with calls joins the history together with an answer to each, which says that it was not
run. When a call is done, its own answer takes that one's place. So the history is one that a
server takes at any moment, whatever ends the run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from luaopenai.client.answers import AnswerFormat, why_cut
from luaopenai.client.callbacks import two_arguments
from luaopenai.client.completions import history_message
from luaopenai.client.lenient import sendable
from luaopenai.client.messages import check_input, check_message
from luaopenai.client.responses import place_of
from luaopenai.client.tools import (
    Call,
    answer,
    find_calls,
    find_response_calls,
    later_choice,
    missing_outputs,
    not_run,
    unanswered,
)

if TYPE_CHECKING:
    from luaopenai.client.chat import ChatSession
    from luaopenai.client.responses import ResponseObject
    from luaopenai.client.responses_chat import ResponsesChatSession

_CHOICES = ("tool_choice", "function_call")


class Slot(NamedTuple):
    """A call, and its answer in the history."""

    call: Call
    held: dict[str, Any]

    def fill(self, text: str) -> None:
        """Puts another answer in the place of the one that there is.

        Halves of characters, as in names of files that are not UTF-8, become U+FFFD: no request
        could carry them.
        """
        self.held.update(answer(self.call, sendable(text)))


class Reply(NamedTuple):
    """A model's reply: its text, and the calls that it wants answered."""

    text: str
    slots: list[Slot]


class History:
    """The parts of a run's history that both kinds of session share.

    Args:
        stream_callback: is given the pieces of every reply.
        opts: the request parameters of the run, over the session's own.
    """

    def __init__(self, stream_callback: Callable[..., Any] | None, opts: dict[str, Any]) -> None:
        if opts.get("stream"):
            instead = "stream_callback, which is given the pieces of every round's reply"
            raise TypeError(f"stream: what is run gives no stream; use {instead}")
        self.opts = {**opts, "stream": None}
        self.callback = None if stream_callback is None else self._watched(stream_callback)
        self.was_stopped = False
        """Whether the callback has ended a stream, and with it the run."""
        self.finish_reason: Any = None
        """The reason that the last stream of a chat completion has given for its end."""

    def parameters(self) -> dict[str, Any]:
        """Returns the parameters of a request, those of the session among them."""
        raise NotImplementedError

    def begin(self, message: Any) -> list[Slot]:
        """Puts a message into the history; returns the calls to be run before a request.

        These are calls of the newest reply that have no answer: where a message is given, each
        gets the answer that it was not run. Raises ``ValueError`` for a bad message.
        """
        raise NotImplementedError

    def ask(self) -> Any:
        """Returns the model's answer, whatever it is, and leaves the history as it was."""
        raise NotImplementedError

    def keep(self, answered: Any) -> Reply:
        """Puts what ``ask`` has returned into the history, with an answer to each call."""
        raise NotImplementedError

    def ask_for(self, form: AnswerFormat) -> None:
        """Adds the format of an answer to the parameters of the requests."""
        raise NotImplementedError

    def cut(self) -> str:
        """Returns why the last reply was cut short, or ""."""
        raise NotImplementedError

    def tools(self) -> list[Any]:
        """Returns what models may call, as it was given."""
        parameters = self.parameters()
        return [tool for name in ("tools", "functions") for tool in parameters.get(name) or ()]

    def _go_on(self) -> None:
        """Lets the model choose from the second request on, or it would call forever."""
        parameters = self.parameters()
        for name in _CHOICES:
            if parameters.get(name) is not None:
                self.opts[name] = later_choice(parameters[name])

    def _watched(self, stream_callback: Callable[..., Any]) -> Callable[[Any, Any], object]:
        callback: Callable[[Any, Any], object] = two_arguments(stream_callback)

        def on_piece(piece: Any, event: Any) -> object:
            go_on = callback(piece, event)
            self.was_stopped = go_on is False
            self.finish_reason = piece.get("finish_reason")
            return go_on

        return on_piece


class ChatHistory(History):
    """The history of a ``ChatSession``."""

    def __init__(self, session: ChatSession, *args: Any) -> None:
        super().__init__(*args)
        self._session = session

    def parameters(self) -> dict[str, Any]:
        """See ``History.parameters``."""
        session = self._session
        own = {"tools": session.tools, "functions": session.functions, **session.opts}
        return {**own, **self.opts}

    def begin(self, message: str | dict[str, Any] | None) -> list[Slot]:
        """See ``History.begin``."""
        if message is None:
            return self._hold(unanswered(self._session.messages))
        if isinstance(message, str):
            message = {"role": "user", "content": message}
        check_message(message)
        if message["role"] in ("tool", "function"):
            self._session.append_message(message)
            self._hold(unanswered(self._session.messages))
        else:
            self._hold(unanswered(self._session.messages))
            self._session.append_message(message)
        return []

    def ask(self) -> str | dict[str, Any]:
        """See ``History.ask``."""
        return self._session.generate_response(False, self.callback, **self.opts)

    def keep(self, answered: str | dict[str, Any]) -> Reply:
        """See ``History.keep``."""
        message = answered if isinstance(answered, dict) else {"content": answered}
        text = message.get("content") or ""
        if self.was_stopped:
            message = {"content": text}
        self._go_on()
        return Reply(text, self._hold(find_calls(message), history_message(message)))

    def ask_for(self, form: AnswerFormat) -> None:
        """See ``History.ask_for``."""
        self.opts.update(form.parameters("chat"))

    def cut(self) -> str:
        """See ``History.cut``."""
        if self.callback is None:
            return why_cut(self._session.last_response)
        return why_cut({"choices": [{"finish_reason": self.finish_reason}]})

    def _hold(self, calls: list[Call], *messages: dict[str, Any]) -> list[Slot]:
        slots = [Slot(call, answer(call, not_run())) for call in calls]
        self._session.append_message(*messages, *(slot.held for slot in slots))
        return slots


class ResponsesHistory(History):
    """The history of a ``ResponsesChatSession``, most of which the server has."""

    def __init__(self, session: ResponsesChatSession, *args: Any) -> None:
        super().__init__(*args)
        self._session = session
        self._input: str | list[dict[str, Any]] = []
        self._sent: tuple[Any, dict[str, Any]] = ([], {})

    def parameters(self) -> dict[str, Any]:
        """See ``History.parameters``."""
        return {**self._session.opts, **self.opts}

    def begin(self, message: str | list[dict[str, Any]] | None) -> list[Slot]:
        """See ``History.begin``."""
        self._input = [] if message is None else message
        check_input(self._input)
        slots = self._hold(self._unanswered())
        return slots if message is None else []

    def ask(self) -> tuple[ResponseObject | None, str]:
        """See ``History.ask``."""
        self._sent = self._session._prepare(self._input, self.opts)
        return self._session._ask(self._sent[0], self.callback, self._sent[1])

    def keep(self, answered: tuple[ResponseObject | None, str]) -> Reply:
        """See ``History.keep``."""
        response, text = answered
        if response is None:
            return Reply(text, [])
        self._session._keep(response, *self._sent)
        self._input = []
        self.opts.pop("previous_response_id", None)
        self._go_on()
        return Reply(text, self._hold(find_response_calls(response)))

    def ask_for(self, form: AnswerFormat) -> None:
        """See ``History.ask_for``."""
        asked = form.parameters("responses")["text"]
        self.opts["text"] = {**(self.parameters().get("text") or {}), **asked}

    def cut(self) -> str:
        """See ``History.cut``."""
        history = self._session.response_history
        return why_cut(history[-1]) if history else ""

    def _unanswered(self) -> list[Call]:
        """Returns the calls of the newest response that neither wait to be sent nor are given."""
        session = self._session
        _, parameters = session._prepare([], self.opts)
        if not session.response_history or place_of(parameters) != session._place:
            return []
        calls = find_response_calls(session.response_history[-1])
        outputs = [answer(call, not_run()) for call in calls]
        left = missing_outputs(missing_outputs(outputs, session.pending_outputs), self._input)
        return [call for call, output in zip(calls, outputs, strict=True) if output in left]

    def _hold(self, calls: list[Call]) -> list[Slot]:
        slots = [Slot(call, answer(call, not_run())) for call in calls]
        if slots:
            self._session._await_outputs([slot.held for slot in slots])
        return slots
