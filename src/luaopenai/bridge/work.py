"""Work that Lua waits for: done at once, or begun under a ticket."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from luaopenai.bridge.tickets import Tickets


def _keep(result: Any) -> Any:
    return result


def _forget(_: object) -> None:
    pass


class Work:
    """An operation whose arguments have been read.

    Attributes:
        run: does it, in any thread; it touches nothing of Lua's.
        finish: makes of what ``run`` has returned, in the thread that asked, what is asked for.
        discard: takes what ``run`` has returned if nobody wants it, and None if it has failed.
    """

    def __init__(
        self,
        run: Callable[[], Any],
        finish: Callable[[Any], Any] = _keep,
        discard: Callable[[Any], object] = _forget,
    ) -> None:
        self.run = run
        self.finish = finish
        self.discard = discard

    def do(self) -> Any:
        """Does the work at once; returns its result."""
        return self.finish(self.run())

    def begin(self, tickets: Tickets, callback: int) -> int | tuple[None, Any]:
        """Has the work done elsewhere; returns its ticket, or None and a result that is there
        already.

        Args:
            tickets: those of the Lua state.
            callback: the ticket whose work has called Lua back, which has led here; 0 for none.
        """
        return tickets.begin(self)
