"""The table of results: a row for each case, medians, and the ratios of ours to theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.peers import NATIVE, OFFICIAL, OUR_PYTHON, OURS


class Row(NamedTuple):
    """One case's results.

    Attributes:
        case: what the table calls it.
        unit: of the medians.
        medians: by peer.
        native_aim: what the ratio to lua-openai shall be.
        official_aim: what the ratios to openai shall be.
    """

    case: str
    unit: str
    medians: Mapping[str, float | None]
    native_aim: str = ""
    official_aim: str = ""

    def cells(self) -> list[str]:
        return [
            self.case,
            self._median(OURS),
            self._median(NATIVE),
            self._ratio(OURS, NATIVE),
            self.native_aim,
            self._median(OUR_PYTHON),
            self._median(OFFICIAL),
            self._ratio(OUR_PYTHON, OFFICIAL),
            self._ratio(OURS, OFFICIAL),
            self.official_aim,
        ]

    def _median(self, name: str) -> str:
        value = self.medians.get(name)
        if value is None:
            return "-"
        digits = 2 if value < 10 else 1 if value < 100 else 0
        return f"{value:.{digits}f} {self.unit}"

    def _ratio(self, ours: str, theirs: str) -> str:
        over, under = self.medians.get(ours), self.medians.get(theirs)
        return f"{over / under:.2f}" if over and under else "-"


HEADINGS = [
    "case",
    OURS,
    NATIVE,
    "ratio",
    "aim",
    OUR_PYTHON,
    OFFICIAL,
    "ratio",
    f"{OURS} to {OFFICIAL}",
    "aim",
]


def print_table(rows: list[Row]) -> None:
    """A Markdown table."""
    lines = [HEADINGS, ["---"] + ["--:"] * (len(HEADINGS) - 1), *(row.cells() for row in rows)]
    for line in lines:
        print(f"| {' | '.join(line)} |")
