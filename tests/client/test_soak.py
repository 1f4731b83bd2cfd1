"""Thousands of requests through one client, with faults at random from a fixed seed.

A short run by default; ``LUAOPENAI_SOAK=full`` makes it 20,000 calls and 2,000 streams.
``pytest -s`` shows the figures.
"""

from __future__ import annotations

import gc
import json
import os
import random
import sys
import time
import urllib.request
from collections import Counter
from typing import Any, NamedTuple

import pytest

from luaopenai import APIConnectionError, OpenAI
from luaopenai.client import retries
from support.soak_server import REFUSALS, pieces_of, soak_server
from support.waiting import eventually

FULL = os.environ.get("LUAOPENAI_SOAK") == "full"
CALLS, STREAMS = (20_000, 2_000) if FULL else (600, 60)
MOST_BLOCKS_A_REQUEST = 0.25
"""Memory blocks that may come to stay with each request: a leak would leave one at least."""
SOME_BLOCKS = 100

HELLO = [{"role": "user", "content": "Hello"}]
FAULTS = ("reset", "503", "429", "slow", "last", "cut")


class Wish(NamedTuple):
    """One request: what it is, and the faults that the server shall make of it."""

    name: str
    kind: str
    plan: tuple[str, ...]


def make_wishes() -> list[Wish]:
    chance = random.Random(20_000)
    kinds = ["stream"] * STREAMS + chance.choices(["chat", "models", "response"], k=CALLS)
    chance.shuffle(kinds)
    plans = [tuple(chance.choices(FAULTS, k=chance.choice([0] * 12 + [1, 1, 2]))) for _ in kinds]
    storm = ("503",) * 3
    return [
        Wish(f"r{number}", kind, storm if chance.random() < 0.01 else plan)
        for number, (kind, plan) in enumerate(zip(kinds, plans, strict=True))
    ]


def foresee(wish: Wish) -> tuple[str, int]:
    """A wish's outcome, and how often the server sees it."""
    for attempt, fault in enumerate((*wish.plan, ""), 1):
        if fault == "cut" or (fault == "reset" and wish.kind == "response"):
            return "failed", attempt
        if fault in REFUSALS and attempt == 3:
            return "refused", attempt
        if fault not in REFUSALS and fault != "reset":
            return "served", attempt
    raise AssertionError(wish)


def make(wish: Wish, client: OpenAI) -> str:
    """Make a request; returns its outcome."""
    headers = {"X-Id": wish.name, "X-Kind": wish.kind, "X-Plan": ",".join(wish.plan)}
    client = client.with_options(headers=headers)
    texts: list[str] = []
    try:
        if wish.kind == "stream":
            answer = client.chat(HELLO, lambda chunk, event: texts.append(str(chunk)))
        elif wish.kind == "chat":
            answer = client.chat(HELLO)
        elif wish.kind == "models":
            answer = client.models()
        else:
            answer = client.create_response("Hello")
    except APIConnectionError:
        # What came before the cut is there once, and in its order.
        return "failed" if texts == pieces_of(wish.name)[: len(texts)] else "garbled"
    if answer.status != 200:
        return "refused"
    if wish.kind != "stream":
        texts = [answer.body["choices"][0]["message"]["content"]]
    expected = pieces_of(wish.name) if wish.kind == "stream" else [wish.name]
    return "served" if texts == expected else "garbled"


def ask_for_tally(url: str) -> Any:
    """What the server has seen, asked over a connection of its own."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{url}/tally") as body:
        return json.load(body)


def count_blocks() -> int:
    gc.collect()
    return sys.getallocatedblocks()


def count_files() -> int:
    return len(os.listdir("/dev/fd"))


@pytest.mark.soak
def test_nothing_is_lost_sent_twice_or_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_PAUSE", 0.001)
    wishes = make_wishes()
    outcomes = [""] * len(wishes)
    half = len(wishes) // 2
    with soak_server() as url, OpenAI("sk-soak", url, timeout=30) as client:
        started = time.monotonic()
        for number, wish in enumerate(wishes):
            if number == half:
                blocks, files = count_blocks(), count_files()
            outcomes[number] = make(wish, client)
        more_blocks, more_files = count_blocks() - blocks, count_files() - files
        seconds = time.monotonic() - started
        tally = ask_for_tally(url)
        client.close()
        eventually(lambda: ask_for_tally(url)["open"] == 1)

    unlucky = 0
    for number, (wish, outcome) in enumerate(zip(wishes, outcomes, strict=True)):
        seen, done = tally["seen"].get(wish.name, 0), tally["done"].get(wish.name, 0)
        if wish.kind == "response":
            assert done <= 1, wish
            after_farewell = "last" in wishes[number - 1].plan
            if (outcome, seen) == ("failed", 0) and after_farewell:
                # It went out while the server closed: nobody may send it again.
                unlucky += 1
                continue
        assert (outcome, seen) == foresee(wish), wish
    print(
        f"\n{len(wishes)} requests in {seconds:.1f} s: {dict(Counter(outcomes))},"
        f" {sum(tally['seen'].values())} attempts, {unlucky} lost to a closing connection;"
        f" in the second half {more_blocks:+} memory blocks and {more_files:+} open files;"
        f" at most {tally['most']} connections"
    )
    assert more_blocks < SOME_BLOCKS + MOST_BLOCKS_A_REQUEST * half
    assert more_files <= 1
    # What must not be sent twice keeps away for a second from connections of streams.
    assert tally["most"] <= 10
