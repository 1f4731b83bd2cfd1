"""A run that is to stop for several reasons stops for the first, within the shortest time."""

from __future__ import annotations

from luaopenai.batch.exchange import Stop
from luaopenai.batch.stopping import RunStop


def test_the_first_reason_counts_and_the_shortest_time() -> None:
    stop = RunStop()
    assert stop.stop is None
    stop.request("interrupted", 130, 60)
    stop.request("budget", 4, 90)
    assert stop.stop == Stop("interrupted", 130, 60)
    stop.request("interrupted again", 130, 0)
    assert stop.stop == Stop("interrupted", 130, 0)
