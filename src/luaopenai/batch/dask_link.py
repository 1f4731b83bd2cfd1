"""Passes messages between a job and its workers on Dask, and answers some at once."""

from __future__ import annotations

import json
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import cloudpickle

from luaopenai.batch import dask_relay, frames
from luaopenai.batch.dask_relay import CLOSE, DOWN, GONE, OPEN, TOPIC, Relay, plugin_name
from luaopenai.batch.dask_tasks import Answer, Holder, Task, Tasks
from luaopenai.batch.dask_worker import GO, HELLO, START, JobPlugin
from luaopenai.batch.pace import Need

if TYPE_CHECKING:
    from luaopenai.batch.authority import Authority
    from luaopenai.batch.dask_cluster import Connection
    from luaopenai.batch.events import Events

_CLOSING_SECONDS = 10.0
"""How long the end of a run waits for the workers to let go of it."""

_links: dict[str, Link] = {}
"""By job. Dask keeps what it is given to call, and so it is given a function that holds nothing."""


def _receive(event: tuple[float, tuple[str, str, float, list[bytes]]]) -> None:
    """Takes what the relay has sent, in the thread of Dask's client."""
    job, worker, sent, messages = event[1]
    link = _links.get(job)
    if link is not None:
        link.receive(worker, sent, messages)


class Remote(Holder):
    """A worker of Dask's, as the job knows it."""

    def __init__(self, number: int, address: str) -> None:
        super().__init__()
        self.number = number
        self.address = address
        self.ahead = 0.0
        """By how much its clock is ahead of ours, at least."""


class Link:
    """The way between a job and its workers.

    Messages come in the thread of Dask's client. Those that cannot be answered there go on to the
    job's, in their order, as events.

    Args:
        connection: to the cluster.
        begin: the first message to a worker.
        tasks: the job's, some of which begin at once.
        authority: gives permits.
        events: what the job's thread takes.

    Attributes:
        job: its name.
        name: of its plugin, and the beginning of its tasks' names.
        workers: those that are there, by address.
    """

    def __init__(
        self,
        connection: Connection,
        begin: dict[str, Any],
        tasks: Tasks,
        authority: Authority,
        events: Events[Remote | Task],
    ) -> None:
        self.job = uuid.uuid4().hex[:12]
        self.name = plugin_name(self.job)
        self.workers: dict[str, Remote] = {}
        self._last_worker = 0
        self._connection = connection
        self._client = connection.client
        self._begin = begin
        self._tasks = tasks
        self._authority = authority
        self._events = events

    def open(self) -> None:
        """Has the scheduler and the workers expect the job."""
        client = self._client
        _links[self.job] = self
        cloudpickle.register_pickle_by_value(dask_relay)
        try:
            client.register_plugin(Relay())
        finally:
            cloudpickle.unregister_pickle_by_value(dask_relay)
        self._call(OPEN, job=self.job, client=client.id)
        client.subscribe_topic(TOPIC, _receive)
        client.register_plugin(JobPlugin(self.job, is_own=self._connection.is_own))

    def close(self) -> None:
        """Has the scheduler and the workers forget the job; then receives no more."""
        if not self._connection.is_lost:
            # The scheduler may be gone any moment, and a worker may hang.
            with suppress(Exception):
                self._call("unregister_worker_plugin", _CLOSING_SECONDS, name=self.name)
            with suppress(Exception):
                self._call(CLOSE, _CLOSING_SECONDS, job=self.job)
        _links.pop(self.job, None)

    def receive(self, address: str, sent: float, messages: list[bytes]) -> None:
        """Takes what a worker has sent, in the thread of Dask's client."""
        worker = self.workers.get(address)
        if messages[0] == GONE:
            if worker is not None:
                del self.workers[address]
                self._authority.lose(worker.number)
                self._events.put(worker, GONE)
            return
        if worker is None:
            worker = self._add_worker(address)
        worker.ahead = sent - time.monotonic()
        for kind, payload in zip(messages[::2], messages[1::2], strict=True):
            self._take(worker, kind, payload)

    def answer(self, worker: Remote, number: int, answer: Answer) -> None:
        """Tells a task whether it may go on."""
        orders = b""
        if answer.skip is not None:
            orders = json.dumps({"skip": answer.skip, "suspect": answer.is_suspect}).encode()
        self._send(worker, GO, b"%d\t%b" % (number, orders))

    def send_all(self, kind: bytes) -> None:
        """Sends a message to all workers."""
        for worker in list(self.workers.values()):
            self._send(worker, kind)

    def _add_worker(self, address: str) -> Remote:
        self._last_worker += 1
        worker = Remote(self._last_worker, address)
        self.workers[address] = worker

        def grant(numbers: list[int], at: float) -> None:
            granted = [numbers, at + worker.ahead]
            self._send(worker, frames.GRANT, json.dumps(granted).encode())

        self._authority.attach(worker.number, grant)
        return worker

    def _take(self, worker: Remote, kind: bytes, payload: bytes) -> None:
        if kind == HELLO:
            begin = {
                **self._begin,
                "limited": self._authority.is_limited,
                "hold": max(0.05, len(self.workers) / 1000),
            }
            self._send(worker, frames.BEGIN, json.dumps(begin).encode())
        elif kind == frames.ASK:
            number, model, input_tokens, asked = json.loads(payload)
            self._authority.ask(worker.number, number, Need(model, input_tokens, asked))
        elif kind == frames.USED:
            self._authority.book(worker.number, json.loads(payload))
        elif kind == frames.TOLD:
            self._authority.report(*json.loads(payload))
        elif kind != START or not self._start(worker, int(payload)):
            self._events.put(worker, kind, payload)

    def _start(self, worker: Remote, number: int) -> bool:
        """Answers a task that wants to begin, if that can be done at once."""
        answer = self._tasks.start(worker, number, time.monotonic())
        if answer is not None:
            self.answer(worker, number, answer)
        return answer is not None

    def _send(self, worker: Remote, kind: bytes, payload: bytes = b"") -> None:
        """Sends a message, from any thread."""
        message = {"op": DOWN, "job": self.job, "to": worker.address, "frames": [kind, payload]}

        def send() -> None:
            # Without a connection the run ends, and says so elsewhere.
            with suppress(Exception):
                comm: Any = self._client.scheduler_comm
                comm.send(message)

        with suppress(RuntimeError):
            loop: Any = self._client.loop
            loop.add_callback(send)

    def _call(self, method: str, seconds: float | None = None, **arguments: str) -> None:
        """Calls the scheduler, and waits: for ever, or for so many seconds."""
        call = getattr(self._client.scheduler, method)
        self._client.sync(call, callback_timeout=seconds, **arguments)
