"""The errors that end a plugin's call; light to import, for a worker that starts."""

from __future__ import annotations

from luaopenai.bridge.errors import LuaError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class LimitExceeded(Exception):  # noqa: N818 (it is no error of anyone's)
    """A limit stopped a plugin's call; the host goes on, and so do later calls.

    Attributes:
        kind: the name of the limit, as in ``Limits``.
        limit: its value.
        used: how much the call (for a ``total``, the host) had used.
        plugin: the plugin's name.
    """

    def __init__(self, kind: str, limit: float, used: float, plugin: str = "") -> None:
        named = f"plugin {plugin}: " if plugin else ""
        super().__init__(f"{named}{kind}: the limit is {limit:g}, used {used:.6g}")
        self.kind = kind
        self.limit = limit
        self.used = used
        self.plugin = plugin

    def __reduce__(self) -> tuple[Any, ...]:
        return LimitExceeded, (self.kind, self.limit, self.used, self.plugin)


class Stop(BaseException):
    """Ends a plugin's call whatever ``pcall`` it is in; carries the ``LimitExceeded``."""

    def __init__(self, exceeded: LimitExceeded) -> None:
        super().__init__(exceeded)
        self.exceeded = exceeded


def describe(error: Exception) -> str:
    """Returns the text of a host's exception for a plugin, with its type where that says more."""
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


def plugin_error(plugin: str, what: str) -> LuaError:
    """Returns an error about a plugin, such as ``is closed``."""
    return LuaError(f"plugin {plugin} {what}", plugin=plugin)
