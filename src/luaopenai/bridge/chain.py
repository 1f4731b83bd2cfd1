"""Which calls have led to what runs here, in whatever thread that is."""

from __future__ import annotations

from contextvars import ContextVar, Token


class Link:
    """A call that is under way, or over.

    Attributes:
        callee: what was called.
        is_over: whether it has ended; copies of its context may last longer.
    """

    def __init__(self, callee: object) -> None:
        self.callee = callee
        self.is_over = False
        self._token: Token[tuple[Link, ...]] | None = None

    def __enter__(self) -> Link:
        above = [link for link in _chain.get() if not link.is_over]
        self._token = _chain.set((*above, self))
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over = True
        assert self._token is not None
        _chain.reset(self._token)
        self._token = None


_chain: ContextVar[tuple[Link, ...]] = ContextVar("luaopenai_chain", default=())
"""The outermost first."""


def is_inside(callee: object) -> bool:
    """Returns whether this code runs inside a call of ``callee``, at any depth."""
    return any(link.callee is callee and not link.is_over for link in _chain.get())
