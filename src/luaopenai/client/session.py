"""The methods that the sessions of both APIs share: ``run`` and ``parse``."""

from __future__ import annotations

from luaopenai.client.light_typing import Generic, TypeVar, overload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from luaopenai.client.histories import History
    from luaopenai.client.runs import OnCall, Run

Answer = TypeVar("Answer")
Callback = TypeVar("Callback", bound="Callable[..., Any]")
Message = TypeVar("Message")


class Session(Generic[Message, Callback]):
    """A session in which tools run, and whose answers may be values of a type."""

    def _open_history(self, stream_callback: Any, opts: dict[str, Any]) -> History:
        """Returns what keeps the history of this kind of session valid during a run."""
        raise NotImplementedError

    def run(
        self,
        message: Message | None = None,
        stream_callback: Callback | None = None,
        *,
        tools: Iterable[Any] | None = None,
        max_steps: int = 10,
        limit: int = 8,
        on_call: OnCall | None = None,
        on_result: OnCall | None = None,
        raise_errors: bool = False,
        **opts: Any,
    ) -> Run:
        """Sends a message, runs what the model calls, until it answers with text.

        Whatever ends it, each call in the history has an answer, if need be in ``pending_outputs``,
        so that the session goes on.

        Args:
            message: what ``send`` takes; None goes on from the history as it stands, and runs those
                calls of its last reply first that have no answer.
            stream_callback: called with the pieces of each round's reply, as in ``send``.
            tools: in place of the session's; ``Tool``s, and definitions as ``send`` takes them.
            max_steps: how many rounds of calls are run.
            limit: how many calls of a round run at once, in threads; with 1, one after the other
                in the caller's.
            on_call: called with each ``ToolCall`` before it is run, in the caller's thread; False,
                a reason, or ``(False, reason)`` refuses it.
            on_result: called with each ``ToolCall`` once it has its answer.
            raise_errors: whether what a tool raises ends the run; else the model is told.
            opts: request parameters, as in ``send``. A ``tool_choice`` that is neither ``"auto"``
                nor ``"none"`` counts for the first request only.

        Returns:
            The run: ``text``, ``calls``, and ``str(run)``, which is the text.

        Raises:
            ToolLoopError: the model called tools for more rounds than ``max_steps``.
            ValueError: the message is not a valid one.
            APIError: the server refused, or its answer holds no reply.
            APIConnectionError: no complete answer came.
        """
        from luaopenai.client.runs import open_run, run

        loop = open_run(
            self,
            stream_callback,
            tools,
            max_steps=max_steps,
            limit=limit,
            on_call=on_call,
            on_result=on_result,
            raise_errors=raise_errors,
            **opts,
        )
        return run(loop, message)

    @overload
    def parse(self, message: Message | None, kind: type[Answer], **options: Any) -> Answer: ...
    @overload
    def parse(self, message: Message | None, kind: Any, **options: Any) -> Any: ...
    def parse(
        self,
        message: Message | None,
        kind: Any,
        *,
        attempts: int = 2,
        stream_callback: Callback | None = None,
        tools: Iterable[Any] | None = None,
        **options: Any,
    ) -> Any:
        """Sends a message as ``run`` does, and returns the answer as a value of a type.

        The model is sent the type's JSON schema, in its strict form. An answer that does not fit is
        sent back with what is wrong; all that stays in the history.

        Args:
            message: as ``run`` takes it.
            kind: a pydantic model, a dataclass, a ``TypedDict`` or another type that pydantic
                knows, for which it is needed (``pip install 'luaopenai[pydantic]'``); or a JSON
                schema, a dict, for decoded JSON.
            attempts: how many answers may be asked for.
            stream_callback: as in ``run``.
            tools: as in ``run``.
            options: what ``run`` takes further.

        Raises:
            AnswerError: no answer has fitted, or it was cut short.
            APIError: as in ``run``; where the model refuses, with its words.
            TypeError: there is no JSON schema for the type.
            ValueError: strict mode cannot say the schema.
        """
        from luaopenai.client.runs import open_run
        from luaopenai.client.typed import parse

        loop = open_run(self, stream_callback, tools, **options)
        return parse(loop, message, kind, attempts)
