"""The threads that do what tasks wait for, and their queue."""

from __future__ import annotations

import threading
from queue import Empty

from luaopenai.bridge.threads import ThreadExecutor, _Queue
from luaopenai.bridge.work import Work
from luaopenai.client.cancel import Cancelled
from support.waiting import GENEROUS, eventually, waiting_threads


def test_a_result_that_comes_for_nobody_is_discarded() -> None:
    threads, gate, discarded = ThreadExecutor(), threading.Event(), list[object]()
    threads.submit(1, Work(lambda: gate.wait(5), discard=discarded.append))
    threads.cancel(1)
    gate.set()
    eventually(lambda: discarded == [True])
    threads.stop()
    eventually(lambda: not waiting_threads())


def test_a_callback_that_comes_from_cancelled_work_is_not_served() -> None:
    threads, ended = ThreadExecutor(), list[type[BaseException]]()

    def work() -> None:
        try:
            threads.call_back(list, list)
        except BaseException as error:
            ended.append(type(error))
            raise

    threads.submit(1, Work(work))
    eventually(lambda: not threads._pool.done._items.empty())
    threads.cancel(1)
    assert threads.next_done(5) is None
    eventually(lambda: ended == [Cancelled])
    threads.stop()
    eventually(lambda: not waiting_threads())


def test_all_threads_leave_also_one_that_is_not_in_the_list() -> None:
    # An interrupt may come between a thread's beginning and its entry.
    executor, gate = ThreadExecutor(), threading.Event()
    for ticket in range(3):
        executor.submit(ticket, Work(gate.wait))
    threads = list(executor._pool.threads)
    executor._pool.threads.pop()
    gate.set()
    executor.stop()
    for thread in threads:
        thread.join(GENEROUS)
    assert not any(thread.is_alive() for thread in threads)


def test_a_pause_beside_calls_ends_in_time() -> None:
    queue, ends = _Queue(), list[int]()

    def write_and_wait() -> None:
        for _ in range(20_000):
            queue.put(1)
            queue.get(None)
            try:
                queue.get(1e-6)
            except Empty:
                ends.append(1)

    # In a thread, since what this is about is a wait that never ends.
    thread = threading.Thread(target=write_and_wait, daemon=True)
    thread.start()
    thread.join(30)
    assert len(ends) == 20_000
    queue.put(2)
    queue.put(3)
    assert (queue.get(1), queue.get(1)) == (2, 3)
    threading.Timer(0.01, queue.put, [4]).start()
    assert queue.get(10) == 4
