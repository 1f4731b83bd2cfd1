"""The thread that watches the calls of plugins in the host's process."""

from __future__ import annotations

import os
import threading

import pytest

from luaopenai.host.watchdog import Alarm, Watchdog, watchdog
from support.waiting import eventually

NAME = "luaopenai watchdog"


def watching_threads() -> int:
    return sum(thread.name == NAME for thread in threading.enumerate())


def test_it_rings_again_and_again_for_a_call_that_is_late() -> None:
    dog, rings = Watchdog(), threading.Semaphore(0)
    alarm = Alarm(lambda: True, rings.release)
    dog.watch(alarm)
    try:
        assert all(rings.acquire(timeout=10) for _ in range(3))
    finally:
        dog.forget(alarm)


def test_it_does_not_ring_for_a_call_that_is_in_time() -> None:
    dog, looks, rings = Watchdog(), threading.Semaphore(0), []

    def is_late() -> bool:
        looks.release()
        return False

    alarm = Alarm(is_late, lambda: rings.append(1))
    dog.watch(alarm)
    try:
        assert all(looks.acquire(timeout=10) for _ in range(3))
    finally:
        dog.forget(alarm)
    assert rings == []


def test_it_forgets_a_call_that_is_over() -> None:
    dog, rings = Watchdog(), []
    over, other = Alarm(lambda: True, lambda: rings.append(1)), threading.Semaphore(0)
    dog.watch(over)
    dog.forget(over)
    heard = len(rings)
    going_on = Alarm(lambda: True, other.release)
    dog.watch(going_on)
    try:
        assert all(other.acquire(timeout=10) for _ in range(3))
    finally:
        dog.forget(going_on)
    assert len(rings) == heard


def test_it_has_a_thread_only_while_there_are_calls() -> None:
    before = watching_threads()
    dog = Watchdog()
    alarms = [Alarm(lambda: False, lambda: None) for _ in range(5)]
    for alarm in alarms:
        dog.watch(alarm)
    assert watching_threads() == before + 1
    for alarm in alarms:
        dog.forget(alarm)
    eventually(lambda: watching_threads() <= before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a fork")
def test_a_process_that_is_forked_off_watches_its_own_calls_only() -> None:
    rang = threading.Event()
    inherited = Alarm(lambda: True, lambda: None)
    watchdog.watch(inherited)
    number = os.fork()
    if number == 0:
        has_none = not watchdog._alarms
        watchdog.watch(Alarm(lambda: True, rang.set))
        os._exit(0 if has_none and rang.wait(10) else 1)
    try:
        assert os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]) == 0
    finally:
        watchdog.forget(inherited)
