"""What ends a plugin's call or is told of it: light to import, for a worker that starts."""

from __future__ import annotations

from luaopenai.bridge.errors import LuaError
from luaopenai.host.limits import LimitExceeded


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
