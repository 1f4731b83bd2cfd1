"""The public names of luaopenai, each loaded when it is first used."""

from luaopenai._version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from luaopenai.bridge.errors import LuaError
    from luaopenai.bridge.runtime import Runtime
    from luaopenai.client.aio import AsyncOpenAI
    from luaopenai.client.chat import ChatSession
    from luaopenai.client.errors import APIConnectionError, APIError
    from luaopenai.client.openai import Gemini, OpenAI, OpenRouter, Response
    from luaopenai.client.responses import ResponseObject, ResponsesChatSession
    from luaopenai.host.limits import LimitExceeded, Limits, Usage
    from luaopenai.host.plugin import Plugin, PluginHost

__all__ = [
    "APIConnectionError",
    "APIError",
    "AsyncOpenAI",
    "ChatSession",
    "Gemini",
    "LimitExceeded",
    "Limits",
    "LuaError",
    "OpenAI",
    "OpenRouter",
    "Plugin",
    "PluginHost",
    "Response",
    "ResponseObject",
    "ResponsesChatSession",
    "Runtime",
    "Usage",
    "__version__",
]

_HOMES = {
    "APIConnectionError": "luaopenai.client.errors",
    "APIError": "luaopenai.client.errors",
    "AsyncOpenAI": "luaopenai.client.aio",
    "ChatSession": "luaopenai.client.chat",
    "Gemini": "luaopenai.client.openai",
    "LimitExceeded": "luaopenai.host.limits",
    "Limits": "luaopenai.host.limits",
    "LuaError": "luaopenai.bridge.errors",
    "OpenAI": "luaopenai.client.openai",
    "OpenRouter": "luaopenai.client.openai",
    "Plugin": "luaopenai.host.plugin",
    "PluginHost": "luaopenai.host.plugin",
    "Response": "luaopenai.client.openai",
    "ResponseObject": "luaopenai.client.responses",
    "ResponsesChatSession": "luaopenai.client.responses",
    "Runtime": "luaopenai.bridge.runtime",
    "Usage": "luaopenai.host.limits",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
