"""A worker's permits: asked for, thrown away when they are old, and always given back."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from urllib3.connection import HTTPConnection
from urllib3.exceptions import NewConnectionError, ProtocolError

from luaopenai.batch.authority import Authority
from luaopenai.batch.exchange import Usage
from luaopenai.batch.pace import SLACK, Need, Price, Rates, is_worth_telling
from luaopenai.batch.permits import Permits, RunIsOverError
from luaopenai.client.cancel import Call, Cancelled
from luaopenai.client.connections import KeptConnectionLostError
from support.waiting import GENEROUS, eventually, waiting_threads

URL = "http://127.0.0.1:1/v1/chat/completions"
BODY = b'{"model":"small","max_tokens":5,"messages":[]}'
QUESTION = len(BODY) // 4
ONE = Need("small", 10, 5)


class Line:
    """What a worker's permits say to the one who gives them; ``ages`` are those of its permits."""

    def __init__(self, *ages: float) -> None:
        self.asked: list[int] = []
        self.withdrawn: list[int] = []
        self.settled: list[list[Any]] = []
        self._ages = list(ages)
        self.permits = Permits(
            self._ask,
            self.withdrawn.append,
            lambda status, headers: None,
            self.settled.extend,
            is_limited=True,
            names_models=True,
        )

    def _ask(self, number: int, need: Need) -> None:
        self.asked.append(number)
        self.permits.grant([number], time.monotonic() - self._ages.pop(0))


def test_a_permit_that_is_too_old_is_given_back_and_another_is_asked_for() -> None:
    line = Line(SLACK * 2, 0.0)
    sent = line.permits.before("POST", URL, BODY, {})
    assert sent is not None
    assert line.asked == [1, 2]
    assert line.withdrawn == [1]
    assert sent.number == 2


def test_nothing_is_sent_once_the_run_is_over() -> None:
    line = Line(0.0)
    line.permits.end()
    with pytest.raises(RunIsOverError):
        line.permits.before("POST", URL, BODY, {})
    assert line.withdrawn == line.asked


@pytest.mark.parametrize(
    ("failure", "tokens"),
    [
        (ProtocolError("cut off"), QUESTION),
        (NewConnectionError(HTTPConnection("127.0.0.1", 1), "refused"), 0),
        (KeptConnectionLostError(), 0),
    ],
)
def test_a_request_without_an_answer_counts_its_question_where_a_server_may_have_it(
    failure: Exception, tokens: int
) -> None:
    line = Line(0.0)
    sent = line.permits.before("POST", URL, BODY, {})
    assert sent is not None
    line.permits.after(sent, None, {}, failure)
    assert line.settled == [[1, "small", 1, tokens, 0]]


EVENT = b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'
STREAM = "text/event-stream"
JSON = "application/json"
TOLD = b'"usage":{"prompt_tokens":7,"completion_tokens":9}'


@pytest.mark.parametrize(
    ("path", "kind", "pieces", "used"),
    [
        ("chat/completions", JSON, [b"{" + TOLD[:9], TOLD[9:] + b"}"], [7, 9]),
        ("chat/completions", JSON, [b"x" * 400], [QUESTION, 100]),
        ("chat/completions", STREAM, [EVENT] * 3, [QUESTION, 3]),
        ("chat/completions", STREAM, [b"data: {" + TOLD + b"}\n\n"], [7, 9]),
        (
            "chat/completions",
            STREAM,
            [EVENT, b":" * (1 << 16), b"\ndata: {" + TOLD + b"}"],
            [7, 9],
        ),
        ("chat/completions", JSON, [b'{"usage":{"total_tokens":1},' + TOLD + b"}"], [7, 9]),
        ("chat/completions", JSON, [b"{" + TOLD + b',"usage":{}}'], [7, 9]),
        ("embeddings", JSON, [b"x" * 400], [QUESTION, 0]),
        ("files", JSON, [b"x" * 400], [0, 0]),
    ],
)
def test_an_answer_counts_what_it_tells_last_or_else_what_is_seen_of_it(
    path: str, kind: str, pieces: list[bytes], used: list[int]
) -> None:
    line = Line(0.0)
    sent = line.permits.before("POST", f"http://127.0.0.1:1/v1/{path}", BODY, {})
    assert sent is not None
    observe = line.permits.after(sent, 200, {"content-type": kind}, None)
    assert observe is not None
    for piece in pieces:
        observe(piece)
    assert not line.settled
    observe(b"")
    assert line.settled == [[1, "small", 1, *used]]
    assert line.permits.take_used() == []


def test_what_requests_without_permits_have_used_is_told_once() -> None:
    line = Line()
    line.permits.is_limited = False
    for _ in range(2):
        sent = line.permits.before("POST", URL, BODY, {})
        assert sent is not None
        observe = line.permits.after(sent, 200, {}, None)
        assert observe is not None
        observe(b"{" + TOLD + b"}")
        observe(b"")
    assert line.permits.take_used() == [[None, "small", 2, 14, 18]]
    assert line.permits.take_used() == []
    assert not line.settled


@pytest.mark.parametrize(
    ("headers", "is_told"),
    [
        ({"x-ratelimit-remaining-tokens": "0"}, True),
        ({"x-ratelimit-remaining-tokens": "9", "x-ratelimit-limit-tokens": "100"}, True),
        ({"x-ratelimit-remaining-tokens": "10", "x-ratelimit-limit-tokens": "100"}, False),
        ({"x-ratelimit-remaining-tokens": "1"}, False),
        ({}, False),
    ],
)
def test_an_answer_is_told_where_a_server_has_little_left(
    headers: dict[str, str], is_told: bool
) -> None:
    assert is_worth_telling(200, headers) == is_told


def test_what_is_no_post_needs_no_permit() -> None:
    line = Line()
    assert line.permits.before("GET", "http://127.0.0.1:1/v1/models", None, {}) is None
    assert not line.asked


class Waiting:
    """A thread whose request waits for a permit that nobody gives."""

    def __init__(self) -> None:
        self.call = Call()
        self.withdrawn: list[int] = []
        self.failures: list[type[BaseException]] = []
        asked = threading.Event()
        self.permits = Permits(
            lambda number, need: asked.set(),
            self.withdrawn.append,
            lambda status, headers: None,
            lambda used: None,
            is_limited=True,
            names_models=True,
        )
        threading.Thread(target=self._wait, daemon=True).start()
        assert asked.wait(GENEROUS)

    def _wait(self) -> None:
        try:
            with self.call:
                self.permits.before("POST", URL, BODY, {})
        except BaseException as error:
            self.failures.append(type(error))


def test_a_request_that_waits_for_its_permit_ends_with_the_run() -> None:
    waiting = Waiting()
    waiting.permits.end()
    eventually(lambda: waiting.failures == [RunIsOverError])
    assert waiting.withdrawn == [1]


def test_a_request_that_waits_for_its_permit_can_be_cancelled() -> None:
    waiting = Waiting()
    waiting.call.cancel()
    eventually(lambda: waiting.failures == [Cancelled])
    assert waiting.withdrawn == [1]


@pytest.mark.parametrize("status", [400, 429, 500])
def test_a_refused_request_gives_its_permit_back_and_used_no_tokens(status: int) -> None:
    line = Line(0.0)
    sent = line.permits.before("POST", URL, BODY, {})
    assert sent is not None
    assert line.permits.after(sent, status, {}, None) is None
    assert line.settled == [[1, "small", 1, 0, 0]]


def test_a_request_that_was_broken_off_counts_its_question() -> None:
    line = Line(0.0)
    sent = line.permits.before("POST", URL, BODY, {})
    assert sent is not None
    line.permits.after(sent, None, {}, None)
    assert line.settled == [[1, "small", 1, QUESTION, 0]]


def test_a_request_that_waits_for_room_goes_when_another_has_used_less() -> None:
    authority = Authority(Rates(max_tokens=100), lambda: None)
    granted: list[int] = []
    authority.attach(1, lambda numbers, at: granted.extend(numbers))
    try:
        for number in (11, 12):
            authority.ask(1, number, Need("small", 10, 50))
        eventually(lambda: granted == [11])
        authority.book(1, [[11, "small", 1, 10, 5]])
        eventually(lambda: granted == [11, 12])
    finally:
        authority.close()


def test_a_request_that_was_withdrawn_makes_room_and_counts_nothing() -> None:
    authority = Authority(Rates(max_tokens=100), lambda: None)
    granted: list[int] = []
    authority.attach(1, lambda numbers, at: granted.extend(numbers))
    try:
        for number in (11, 12):
            authority.ask(1, number, Need("small", 10, 50))
        eventually(lambda: granted == [11])
        authority.book(1, [[11, None, 0, 0, 0]])
        eventually(lambda: granted == [11, 12])
        assert authority.take_usage() == Usage()
    finally:
        authority.close()


def test_a_lost_worker_is_told_nothing_more() -> None:
    authority = Authority(Rates(max_tokens=100), lambda: None)
    granted: list[int] = []
    for worker in (1, 2):
        authority.attach(worker, lambda numbers, at: granted.extend(numbers))
    authority.lose(1)
    try:
        authority.ask(1, 11, ONE)
        authority.ask(2, 22, ONE)
        eventually(lambda: 22 in granted)
        assert granted == [22]
    finally:
        authority.close()


def test_what_former_runs_have_cost_counts_towards_the_budget() -> None:
    authority = Authority(
        Rates(max_cost=1.0, prices={"small": Price(1.0, 1.0)}), on_change=lambda: None
    )
    authority.start_from(Usage(1, 1, 1, 1.0))
    try:
        authority.ask(1, 1, Need("small", 10, 50))
        eventually(lambda: authority.spent)
        assert "1 of 1 in cost" in str(authority.spent)
    finally:
        authority.close()


def test_a_budget_that_is_used_up_is_told_once() -> None:
    told = threading.Semaphore(0)
    authority = Authority(Rates(max_tokens=10), told.release)
    try:
        authority.ask(1, 11, Need("small", 10, 50))
        assert told.acquire(timeout=GENEROUS)
        authority.book(1, [[None, "small", 1, 10, 5]])
        assert authority.spent is not None
    finally:
        authority.close()
    assert not told.acquire(blocking=False)


def test_a_refusal_is_told_to_a_run_without_limits() -> None:
    told = threading.Semaphore(0)
    authority = Authority(Rates(), told.release)
    try:
        authority.report(200, {})
        assert not told.acquire(blocking=False)
        authority.report(429, {})
        assert told.acquire(blocking=False)
        assert authority.is_limited
    finally:
        authority.close()


def test_the_thread_ends_with_the_run() -> None:
    authority = Authority(Rates(max_tokens=10), lambda: None)
    authority.book(1, [])
    assert "luaopenai-pace" in waiting_threads()
    authority.close()
    eventually(lambda: "luaopenai-pace" not in waiting_threads())


def test_what_a_lost_worker_had_reserved_counts_as_used() -> None:
    rates = Rates(max_tokens=100, prices={"small": Price(1.0, 1.0)})
    authority = Authority(rates, lambda: None)
    granted: list[int] = []
    authority.attach(1, lambda numbers, at: granted.extend(numbers))
    try:
        authority.ask(1, 11, Need("small", 10, 50))
        eventually(lambda: granted == [11])
        authority.lose(1)
        used = authority.take_usage()
        assert used == Usage(1, 10, 50, Price(1.0, 1.0).of(10, 50))
        assert authority.take_usage() == Usage()
    finally:
        authority.close()
