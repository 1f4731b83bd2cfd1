"""Calls: what each takes in a process that has made it before, the peers in turn."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.peers import Peer, Worker, environment
from benchmarks.report import Row


class Case(NamedTuple):
    """One row of the table.

    Attributes:
        text: what the table calls it.
        task: the peers' name of what is done.
        path: where the server is asked; see ``benchmarks.server``.
        unit: of the medians.
        per_second: units in a second, for one of what is counted.
        calls: in a row, for one sample.
        samples: of each peer.
        aim: for ours to lua-openai.
        tls: whether over HTTPS.
    """

    text: str
    task: str
    path: str
    unit: str
    per_second: float
    calls: int = 1
    samples: int = 11
    aim: str = ""
    tls: bool = False


def _stream(text: str, task: str, events: int, per_chunk: int, aim: str, samples: int = 9) -> Case:
    path = f"stream-{events}-{per_chunk}"
    return Case(text, task, path, "µs/event", 1e6 / events, samples=samples, aim=aim)


CASES = {
    "chat": [
        Case("small chat, HTTP", "chat", "small", "ms", 1e3, calls=50, samples=15, aim="≤ 1.0"),
        Case("small chat, HTTPS", "chat", "small", "ms", 1e3, calls=10, aim="≤ 0.1", tls=True),
    ],
    "stream": [
        _stream("raw stream, an event a chunk", "raw_stream", 2000, 1, "≤ 0.75"),
        _stream("raw stream, 20 events a chunk", "raw_stream", 2000, 20, "≤ 0.75"),
        _stream("session stream, an event a chunk", "session_stream", 2000, 1, "≤ 0.06", 5),
        _stream("session stream, 20 events a chunk", "session_stream", 2000, 20, "≤ 0.06", 5),
    ],
    "linearity": [
        _stream("session stream of 500 events", "session_stream", 500, 1, "", 5),
        _stream("session stream of 2,000 events", "session_stream", 2000, 1, "", 5),
        _stream("session stream of 8,000 events", "session_stream", 8000, 1, "", 1),
    ],
    "latency": [
        Case("event's arrival to its callback", "latency", "stamped-200", "µs", 1e6, samples=5),
    ],
    "embedding": [
        Case("embedding, 64 by 1536", "embedding", "embeddings", "ms", 1e3, aim="≤ 0.85"),
    ],
    "history": [
        Case("chat with 500 messages", "history", "small", "ms", 1e3, calls=5, aim="≤ 0.6"),
    ],
}


class Server(NamedTuple):
    """The ports of ``benchmarks.server``, and what its clients run in."""

    http: int
    https: int
    environment: Mapping[str, str]

    def url(self, path: str, *, tls: bool = False) -> str:
        return f"{'https' if tls else 'http'}://127.0.0.1:{self.https if tls else self.http}/{path}"


@contextmanager
def serving() -> Iterator[Server]:
    """Our server, in another process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.server", folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                http, https = map(int, process.stdout.readline().split())
                yield Server(http, https, environment(Path(folder, "ca.pem")))
            finally:
                process.terminate()


def measure(cases: Iterable[Case], peers: Mapping[str, Peer], server: Server) -> list[Row]:
    """Returns a row for each case, and two of what memory the peers had at the most."""
    workers = {name: Worker(peer, server.environment) for name, peer in peers.items()}
    try:
        for worker in workers.values():
            worker.measure("chat", server.url("small"), 1)
        memory = [_memory("peak memory, one chat", workers)]
        rows = [_row(case, workers, server.url(case.path, tls=case.tls)) for case in cases]
        memory.append(_memory("peak memory, all of these calls", workers))
    finally:
        for worker in workers.values():
            worker.close()
    return [*rows, *memory]


def _row(case: Case, workers: Mapping[str, Worker], url: str) -> Row:
    samples: dict[str, list[float]] = {name: [] for name in workers}
    # The first is made to warm up.
    for sample in range(1 + case.samples):
        counts = set()
        for name, worker in workers.items():
            seconds, count = worker.measure(case.task, url, case.calls)
            counts.add(count)
            if sample:
                samples[name].append(seconds * case.per_second)
        assert len(counts) == 1, f"{case.text}: the peers were given different answers: {counts}"
    medians = {name: median(found) for name, found in samples.items()}
    return Row(case.text, case.unit, medians, case.aim, "≤ 0.5")


def _memory(text: str, workers: Mapping[str, Worker]) -> Row:
    peaks = {name: worker.peak_memory() for name, worker in workers.items()}
    return Row(text, "MB", {name: peak and peak / 1e6 for name, peak in peaks.items()})
