"""A few seconds of the attacks at random that ``make fuzz`` makes for minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz.__main__ import run_batch

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts by /proc")


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("isolation", "seed", "count"), [("process", 1, 12), ("thread", 1, 25), ("thread", 2, 25)]
)
def test_the_walls_hold_against_attacks_at_random(isolation: str, seed: int, count: int) -> None:
    held, said = run_batch(isolation, seed, count)
    assert held, said


def test_a_batch_that_cannot_go_on_is_told_with_its_end() -> None:
    held, said = run_batch("neither", 1, 1)
    assert not held
    assert "AssertionError" in said
    assert said.endswith("ended with status 1")
