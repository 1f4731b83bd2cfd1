"""Runs for asyncio: decided as in ``runs``, with tools and callbacks that may be coroutines."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import Any

from luaopenai.client.aio import in_thread
from luaopenai.client.runs import Job, Loop, OnCall, Run, ToolCall


async def run_async(loop: Loop, message: Any) -> Run:
    """Sends a message, runs what the model calls, and so on; returns its answer.

    Nothing but requests leaves the event loop's thread, so that a cancelled one, which may end
    later than the task that awaits it, adds nothing to the history.
    """
    slots = loop.history.begin(message)
    while True:
        if slots:
            await _SideBySide(loop).run(loop.begin_round(slots))
        reply = loop.history.keep(await in_thread(loop.history.ask))
        slots = reply.slots
        if not slots:
            return Run(reply.text, loop.calls)


class _SideBySide:
    """The calls of one round, each in a task of its own."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._running: dict[asyncio.Task[Any], Job] = {}

    async def run(self, jobs: list[Job]) -> None:
        try:
            try:
                for job in jobs:
                    while len(self._running) >= self._loop.limit:
                        await self._tell(await self._collect())
                    if await self._is_ready(job):
                        self._running[asyncio.create_task(_timed(job))] = job
                while self._running:
                    await self._tell(await self._collect())
            except Exception:
                # What runs cannot be taken back: the history is to say what came of it.
                while self._running:
                    await self._collect()
                raise
        finally:
            for task in self._running:
                task.cancel()
            if self._running:
                await asyncio.gather(*self._running, return_exceptions=True)

    async def _is_ready(self, job: Job) -> bool:
        """Returns whether a call is to be run; one that is not has its answer."""
        ready = self._loop.check(job)
        if ready and self._loop.on_call is not None:
            ready = self._loop.accept(job, await _called(self._loop.on_call, job.record))
        if not ready:
            await self._tell(job)
        return ready

    async def _tell(self, job: Job) -> None:
        if self._loop.on_result is not None:
            await _called(self._loop.on_result, job.record)
        self._loop.raise_failure(job)

    async def _collect(self) -> Job:
        """Waits for a call to be done, and answers it."""
        done, _ = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        task = next(task for task in self._running if task in done)
        job = self._running.pop(task)
        seconds = job.record.seconds
        # A tool may await what somebody else has cancelled: that ends the tool, not the run.
        failure = RuntimeError("cancelled") if task.cancelled() else task.exception()
        if failure is None:
            self._loop.finish(job, task.result(), seconds)
        elif isinstance(failure, Exception):
            self._loop.fail(job, failure, seconds)
        else:
            raise failure
        return job


async def _timed(job: Job) -> Any:
    began = time.perf_counter()
    try:
        return await job.run_async()
    finally:
        job.record.seconds = time.perf_counter() - began


async def _called(callback: OnCall, call: ToolCall) -> Any:
    """Calls a callback, which may be a coroutine function."""
    result = callback(call)
    return await result if inspect.isawaitable(result) else result
