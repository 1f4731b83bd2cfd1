"""Passes messages between a job and its workers, from within Dask's scheduler.

This module is sent there as it stands and imports nothing of this package, which the scheduler need
not have. Messages ride on the streams that Dask keeps anyway, in both directions; so whatever a
worker has told before it ends a task is with the job before the task's end is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from distributed.diagnostics.plugin import SchedulerPlugin

if TYPE_CHECKING:
    from distributed import Scheduler

NAME = "luaopenai-relay-1"
"""To be changed with what is below: schedulers keep what they have."""
UP = "luaopenai-up-1"
"""From a worker to its job."""
DOWN = "luaopenai-down-1"
"""From a job to a worker."""
OPEN = "luaopenai_open_1"
CLOSE = "luaopenai_close_1"

TOPIC = "luaopenai"
GONE = b"e"
"""To a job: a worker is lost."""
OVER = b"z"
"""To a worker: its job has ended."""


def plugin_name(job: str) -> str:
    """Returns the name of a job's plugin in the workers."""
    return f"luaopenai-map-{job}"


class Relay(SchedulerPlugin):
    """Passes messages on; one for all jobs of a scheduler."""

    name = NAME
    idempotent = True

    def __init__(self) -> None:
        self._clients: dict[str, str] = {}
        """By job."""
        self._workers: dict[str, set[str]] = {}

    async def start(self, scheduler: Scheduler) -> None:
        """Begins to listen. What listens is never taken away: unknown messages end connections."""
        self._scheduler = scheduler
        scheduler.handlers[OPEN] = self._open
        scheduler.handlers[CLOSE] = self._close
        scheduler.stream_handlers[UP] = self._up
        scheduler.stream_handlers[DOWN] = self._down

    async def _open(self, job: str, client: str) -> None:
        self._clients[job] = client
        self._workers[job] = set()

    async def _close(self, job: str) -> None:
        self._forget(job)

    def _up(self, worker: str, job: str, sent: float, frames: list[bytes]) -> None:
        if job not in self._clients:
            self._send_down(worker, job, [OVER, b""])
            return
        self._workers[job].add(worker)
        self._send_up(job, worker, sent, frames)

    def _down(self, client: str, job: str, to: str, frames: list[bytes]) -> None:
        if to in self._workers.get(job, ()):
            self._send_down(to, job, frames)

    def _send_up(self, job: str, worker: str, sent: float, frames: list[bytes]) -> None:
        stream = self._scheduler.client_comms.get(self._clients[job])
        if stream is not None and not stream.closed():
            event = 0.0, (job, worker, sent, frames)
            stream.send({"op": "event", "topic": TOPIC, "event": event})

    def _send_down(self, worker: str, job: str, frames: list[bytes]) -> None:
        if worker in self._scheduler.stream_comms:
            self._scheduler.worker_send(worker, {"op": DOWN, "job": job, "frames": frames})

    def remove_worker(self, scheduler: Scheduler, worker: str, **_: Any) -> None:
        """Tells the jobs that a worker had rows of; its tasks are with others already."""
        for job, workers in self._workers.items():
            if worker in workers:
                workers.discard(worker)
                self._send_up(job, worker, 0.0, [GONE, b""])

    def remove_client(self, scheduler: Scheduler, client: str) -> None:
        """Ends the jobs of a client that has gone: nobody wants their rows any more."""
        for job in [job for job, its in self._clients.items() if its == client]:
            for worker in self._workers[job]:
                self._send_down(worker, job, [OVER, b""])
            self._forget(job)
            name = plugin_name(job)
            if name in scheduler.worker_plugins:
                scheduler.loop.add_callback(scheduler.unregister_worker_plugin, None, name)

    def _forget(self, job: str) -> None:
        self._clients.pop(job, None)
        self._workers.pop(job, None)
