"""Runs: what a model calls is called, round after round, until it answers with text."""

from __future__ import annotations

import contextlib
import contextvars
import inspect
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from luaopenai.client.arguments import check_callback
from luaopenai.client.cancel import Call as Work
from luaopenai.client.cancel import check_cancelled, current_call
from luaopenai.client.declarations import is_tool
from luaopenai.client.errors import ToolLoopError
from luaopenai.client.tools import (
    LIMIT,
    MAX_STEPS,
    ArgumentsError,
    not_run,
    one_line,
    read_arguments,
    refused,
    result_text,
    too_many_rounds,
    tool_failed,
    unknown_tool,
)

if TYPE_CHECKING:
    from luaopenai.client.histories import History, Slot
    from luaopenai.client.session import Session
    from luaopenai.client.tool import Tool

OnCall = Callable[["ToolCall"], Any]


@dataclass
class ToolCall:
    """A call that a model has made.

    Attributes:
        id: what its answer refers to; "" where the server gives none.
        name: the tool's.
        arguments: decoded; the text as it came where it is no JSON object.
        result: what the tool has returned.
        error: why there is no result, in a line, or None.
        seconds: how long the tool took.
    """

    id: str
    name: str
    arguments: Any
    result: Any = None
    error: str | None = None
    seconds: float = 0.0


@dataclass
class Run:
    """The result of a run; ``str(run)`` is its text.

    Attributes:
        text: the model's answer.
        calls: all calls on the way there, in the model's order.
    """

    text: str
    calls: list[ToolCall] = field(default_factory=list)

    def __str__(self) -> str:
        return self.text


class Job:
    """A call of a round, on the way to its answer.

    Attributes:
        record: what callbacks are given of it.
        fault: why its arguments are none, or "".
        failure: what its tool has raised, or None.
        tool: what runs it; None before its arguments are checked.
    """

    def __init__(self, slot: Slot) -> None:
        call = slot.call
        self.slot = slot
        self.record = ToolCall(call.id, call.name, call.text, error=not_run())
        self.fault = ""
        try:
            self.record.arguments = read_arguments(call.text)
        except ArgumentsError as error:
            self.fault = str(error)
        self.failure: Exception | None = None
        self.tool: Tool | None = None
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}

    def run(self) -> Any:
        """Runs the tool; raises whatever it does."""
        assert self.tool is not None
        return self.tool.function(*self.args, **self.kwargs)

    async def run_async(self) -> Any:
        """Runs the tool, awaited where it is a coroutine function and else in a thread."""
        assert self.tool is not None
        return await self.tool.run_async(self.args, self.kwargs)


class Loop:
    """One run: decides what is run and what each call is answered; waits for nothing.

    Args:
        history: of the session.
        max_steps: how many rounds of calls are run.
        limit: how many calls of a round are run at once.
        on_call: is given each call before it is run.
        on_result: is given each call when it has its answer.
        raise_errors: whether what a tool raises ends the run.
    """

    def __init__(
        self,
        history: History,
        *,
        max_steps: int = MAX_STEPS,
        limit: int = LIMIT,
        on_call: OnCall | None = None,
        on_result: OnCall | None = None,
        raise_errors: bool = False,
    ) -> None:
        for name, number in (("max_steps", max_steps), ("limit", limit)):
            if isinstance(number, bool) or not isinstance(number, int) or number < 1:
                raise ValueError(f"{name}: expected a whole number from 1, got {number!r}")
        check_callback(on_call, "on_call")
        check_callback(on_result, "on_result")
        self.history = history
        self.max_steps = max_steps
        self.limit = limit
        self.on_call = on_call
        self.on_result = on_result
        self.raise_errors = raise_errors
        self.calls: list[ToolCall] = []
        self._rounds = 0
        self.tools = find_tools(history.tools())

    def begin_round(self, slots: list[Slot]) -> list[Job]:
        """Returns the calls of a round; raises ``ToolLoopError`` where it is one too many."""
        jobs = [Job(slot) for slot in slots]
        self.calls += (job.record for job in jobs)
        self._rounds += 1
        if self._rounds > self.max_steps:
            raise ToolLoopError(too_many_rounds(self.max_steps), self.calls)
        return jobs

    def check(self, job: Job) -> bool:
        """Returns whether a call can be run; one that cannot has its answer then."""
        job.tool = self.tools.get(job.record.name)
        if job.tool is None or job.fault:
            unknown = "" if job.tool else unknown_tool(job.record.name, self.tools)
            return self._refuse(job, unknown or job.fault)
        try:
            job.args, job.kwargs = job.tool.check(job.record.arguments)
        except ValueError as error:
            return self._refuse(job, str(error))
        except Exception as error:
            return self.fail(job, error)
        job.record.error = None
        return True

    def accept(self, job: Job, verdict: object) -> bool:
        """Returns whether ``on_call`` lets a call be run; one refused has its answer then."""
        reason: object = verdict
        if isinstance(verdict, tuple) and len(verdict) == 2:
            verdict, reason = verdict
        if verdict is False or isinstance(verdict, str):
            return self._refuse(job, refused(reason if isinstance(reason, str) else None))
        return True

    def finish(self, job: Job, result: Any, seconds: float) -> None:
        """Answers a call with what its tool has returned."""
        job.record.seconds = seconds
        job.record.result = result
        try:
            self._answer(job, _text(result))
        except ValueError as error:
            self.fail(job, error, seconds)

    def fail(self, job: Job, failure: Exception, seconds: float = 0.0) -> bool:
        """Answers a call whose tool has failed, or has found its arguments unfit; returns False."""
        job.record.seconds = seconds
        if isinstance(failure, ArgumentsError):
            return self._refuse(job, one_line(str(failure)))
        text = tool_failed(_words(failure))
        job.failure = failure
        return self._answer(job, text, text.removeprefix("error: "))

    def raise_failure(self, job: Job) -> None:
        """Raises what a call's tool has raised where that ends the run."""
        if self.raise_errors and job.failure is not None:
            raise job.failure

    def _refuse(self, job: Job, line: str) -> bool:
        return self._answer(job, line, line)

    def _answer(self, job: Job, text: str, error: str | None = None) -> bool:
        job.record.error = error
        job.slot.fill(text)
        return False


def open_run(
    session: Session[Any, Any],
    stream_callback: Callable[..., Any] | None,
    tools: Iterable[Any] | None,
    *,
    max_steps: int = MAX_STEPS,
    limit: int = LIMIT,
    on_call: OnCall | None = None,
    on_result: OnCall | None = None,
    raise_errors: bool = False,
    **opts: Any,
) -> Loop:
    """Returns a run of a session that has not begun.

    Args:
        session: the session.
        stream_callback: is given the pieces of every reply.
        tools: in place of the session's; None for those.
        max_steps: as ``Loop`` takes it, like what follows.
        limit: likewise.
        on_call: likewise.
        on_result: likewise.
        raise_errors: likewise.
        opts: request parameters.
    """
    if tools is not None:
        opts["tools"] = list(tools)
    return Loop(
        session._open_history(stream_callback, opts),
        max_steps=max_steps,
        limit=limit,
        on_call=on_call,
        on_result=on_result,
        raise_errors=raise_errors,
    )


def find_tools(given: Iterable[Any]) -> dict[str, Tool]:
    """Returns the tools among what was given, by name; raises ``ValueError`` for a name twice."""
    found: dict[str, Tool] = {}
    for number, tool in enumerate(given):
        if is_tool(tool):
            if found.setdefault(tool.name, tool) is not tool:
                raise ValueError(f"tools: two are called {tool.name}")
        elif not isinstance(tool, dict):
            kind = type(tool).__name__
            raise TypeError(f"tools[{number}]: expected a Tool or a definition, got {kind}")
    return found


def _words(error: Exception) -> str:
    """Returns what an exception says, with its kind where the text alone says little."""
    kind = type(error).__name__
    try:
        text = str(error)
    except Exception:
        return kind
    if isinstance(error, LookupError) and type(error).__module__ == "builtins":
        return f"{kind}: {text}"
    return text or kind


def _text(result: Any) -> str:
    """Returns what a call's answer says; raises ``ValueError`` for what JSON cannot carry."""
    try:
        return result_text(result)
    except ValueError:
        return result_text(_plain(result))


def _plain(value: Any) -> Any:
    """Returns what pydantic, or else a dataclass, makes of a value for JSON."""
    make: Callable[[Any], Any] = asdict
    with contextlib.suppress(ImportError):
        from pydantic_core import to_jsonable_python

        make = to_jsonable_python
    try:
        return make(value)
    except Exception:
        return value


def run(loop: Loop, message: Any) -> Run:
    """Sends a message, runs what the model calls, and so on; returns its answer."""
    coroutine = next((tool for tool in loop.tools.values() if tool.is_async), None)
    if coroutine is not None:
        line = f"tools: {coroutine.name} is a coroutine function: AsyncOpenAI's sessions run it"
        raise TypeError(line)
    slots = loop.history.begin(message)
    while True:
        if slots:
            _run_round(loop, loop.begin_round(slots))
        reply = loop.history.keep(loop.history.ask())
        slots = reply.slots
        if not slots:
            return Run(reply.text, loop.calls)


def _run_round(loop: Loop, jobs: list[Job]) -> None:
    if loop.limit > 1 and len(jobs) > 1:
        _SideBySide(loop).run(jobs)
        return
    for job in jobs:
        if _is_ready(loop, job):
            began = time.perf_counter()
            try:
                result = _plainly(job.run())
            except Exception as error:
                loop.fail(job, error, time.perf_counter() - began)
            else:
                loop.finish(job, result, time.perf_counter() - began)
            _tell(loop, job)


def _is_ready(loop: Loop, job: Job) -> bool:
    """Returns whether a call is to be run; one that is not has its answer."""
    ready = loop.check(job)
    if ready and loop.on_call is not None:
        ready = loop.accept(job, loop.on_call(job.record))
    if not ready:
        _tell(loop, job)
    return ready


def _tell(loop: Loop, job: Job) -> None:
    if loop.on_result is not None:
        loop.on_result(job.record)
    loop.raise_failure(job)


def _plainly(result: Any) -> Any:
    """Returns a result; raises ``TypeError`` for a coroutine, which nobody would await."""
    if inspect.iscoroutine(result):
        result.close()
        raise TypeError("the function is a coroutine function: AsyncOpenAI's sessions run it")
    return result


class _SideBySide:
    """The calls of one round, each in a thread of its own; callbacks stay in the caller's."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._running: dict[Job, Work] = {}
        self._done: SimpleQueue[tuple[Job, Any, BaseException | None, float] | None]
        self._done = SimpleQueue()

    def run(self, jobs: list[Job]) -> None:
        try:
            try:
                for job in jobs:
                    while len(self._running) >= self._loop.limit:
                        _tell(self._loop, self._collect())
                    if _is_ready(self._loop, job):
                        self._start(job)
                while self._running:
                    _tell(self._loop, self._collect())
            except Exception:
                # What runs cannot be taken back: the history is to say what came of it.
                while self._running:
                    self._collect()
                raise
        finally:
            for work in self._running.values():
                work.cancel()

    def _start(self, job: Job) -> None:
        work = Work()
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=context.run, args=(self._work, job, work), name="luaopenai-tool", daemon=True
        )
        self._running[job] = work
        try:
            thread.start()
        except BaseException:
            del self._running[job]
            raise

    def _work(self, job: Job, work: Work) -> None:
        began = time.perf_counter()
        result, failure = None, None
        try:
            with work:
                result = _plainly(job.run())
        except BaseException as error:
            failure = error
        self._done.put((job, result, failure, time.perf_counter() - began))

    def _collect(self) -> Job:
        """Waits for a call to be done, and answers it."""
        job, result, failure, seconds = self._wait()
        del self._running[job]
        if failure is None:
            self._loop.finish(job, result, seconds)
        elif isinstance(failure, Exception):
            self._loop.fail(job, failure, seconds)
        else:
            raise failure
        return job

    def _wait(self) -> tuple[Job, Any, BaseException | None, float]:
        """Waits; raises ``Cancelled`` when nobody waits any more for the run."""
        call = current_call()
        if call is not None:
            call.attach(lambda: self._done.put(None))
        try:
            done = self._done.get()
        finally:
            if call is not None:
                call.detach()
        check_cancelled()
        assert done is not None
        return done
