"""Why a run ends before all rows had their turn: the first reason counts, and the shortest time."""

from __future__ import annotations

from luaopenai.batch.exchange import Stop

PATIENCE_SECONDS = 60.0
"""How long rows under way may take to finish where nobody is in a hurry to stop."""


class RunStop:
    """Whether a run is to end early.

    Attributes:
        stop: why, and how long rows under way have to finish; None while it goes on.
    """

    def __init__(self) -> None:
        self.stop: Stop | None = None

    def request(self, reason: str, code: int, seconds: float = PATIENCE_SECONDS) -> None:
        """Ends the run; may be called from a signal's handler, and again with less time."""
        if self.stop is None:
            self.stop = Stop(reason, code, seconds)
        else:
            self.stop.seconds = min(self.stop.seconds, seconds)
