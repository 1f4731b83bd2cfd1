"""Puts definitions into a request's fields, also where a caller has given ``Tool``s."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def declared(parameters: dict[str, Any], api: str) -> dict[str, Any]:
    """Returns the parameters of a request with definitions as this API takes them.

    Args:
        parameters: ``tools`` and ``functions`` may hold ``Tool``s, and definitions as the other
            API takes them; they are left alone.
        api: ``"chat"`` or ``"responses"``.
    """
    if not parameters.get("tools") and not parameters.get("functions"):
        return parameters
    from luaopenai.client import tools

    form = tools.response_definition if api == "responses" else tools.chat_definition
    made = dict(parameters)
    for name, put in (("tools", form), ("functions", tools.function_declaration)):
        if isinstance(parameters.get(name), list | tuple):
            made[name] = [_defined(one, put) for one in parameters[name]]
    return made


def _defined(tool: Any, form: Callable[[Any], Any]) -> Any:
    if is_tool(tool):
        tool = tool.definition
    return form(tool) if isinstance(tool, dict) else tool


def is_tool(value: object) -> bool:
    """Returns whether a value is a ``Tool``, without loading what makes one."""
    kind = type(value)
    return hasattr(kind, "response_definition") and hasattr(kind, "function_definition")
