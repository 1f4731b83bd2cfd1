"""The public names of luaopenai, each loaded when it is first used."""

from luaopenai._version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from luaopenai.batch.mapping import MapResults, RowsFailedError, map
    from luaopenai.batch.options import BatchError
    from luaopenai.bridge.errors import LuaError
    from luaopenai.bridge.runtime import Runtime
    from luaopenai.client.aio import AsyncOpenAI
    from luaopenai.client.async_iterators import AsyncReplyStream, AsyncStream
    from luaopenai.client.chat import ChatSession
    from luaopenai.client.compat import (
        Anthropic,
        DeepSeek,
        Gemini,
        MiMo,
        Mistral,
        Moonshot,
        OpenRouter,
    )
    from luaopenai.client.errors import (
        AnswerError,
        APIConnectionError,
        APIError,
        APIStatusError,
        APITimeoutError,
        AuthenticationError,
        BadRequestError,
        ConflictError,
        InternalServerError,
        NotFoundError,
        OpenAIError,
        PermissionDeniedError,
        RateLimitError,
        ToolLoopError,
        UnprocessableEntityError,
    )
    from luaopenai.client.iterators import ReplyStream, Stream
    from luaopenai.client.openai import OpenAI, Response
    from luaopenai.client.responses import ResponseObject
    from luaopenai.client.responses_chat import ResponsesChatSession
    from luaopenai.client.runs import Run, ToolCall
    from luaopenai.client.tool import Tool, tool
    from luaopenai.host.faults import LimitExceeded
    from luaopenai.host.limits import Limits, Usage
    from luaopenai.host.plugin import Plugin
    from luaopenai.host.plugin_host import PluginHost

__all__ = [
    "APIConnectionError",
    "APIError",
    "APIStatusError",
    "APITimeoutError",
    "AnswerError",
    "Anthropic",
    "AsyncOpenAI",
    "AsyncReplyStream",
    "AsyncStream",
    "AuthenticationError",
    "BadRequestError",
    "BatchError",
    "ChatSession",
    "ConflictError",
    "DeepSeek",
    "Gemini",
    "InternalServerError",
    "LimitExceeded",
    "Limits",
    "LuaError",
    "MapResults",
    "NotFoundError",
    "MiMo",
    "Mistral",
    "Moonshot",
    "OpenAI",
    "OpenAIError",
    "OpenRouter",
    "PermissionDeniedError",
    "Plugin",
    "PluginHost",
    "RateLimitError",
    "ReplyStream",
    "Response",
    "ResponseObject",
    "ResponsesChatSession",
    "RowsFailedError",
    "Run",
    "Runtime",
    "Stream",
    "Tool",
    "ToolCall",
    "ToolLoopError",
    "UnprocessableEntityError",
    "Usage",
    "__version__",
    "map",
    "tool",
]

_HOMES = {
    "APIConnectionError": "luaopenai.client.errors",
    "APIError": "luaopenai.client.errors",
    "APIStatusError": "luaopenai.client.errors",
    "APITimeoutError": "luaopenai.client.errors",
    "AnswerError": "luaopenai.client.errors",
    "Anthropic": "luaopenai.client.compat",
    "AsyncOpenAI": "luaopenai.client.aio",
    "AsyncReplyStream": "luaopenai.client.async_iterators",
    "AsyncStream": "luaopenai.client.async_iterators",
    "AuthenticationError": "luaopenai.client.errors",
    "BadRequestError": "luaopenai.client.errors",
    "BatchError": "luaopenai.batch.options",
    "ChatSession": "luaopenai.client.chat",
    "ConflictError": "luaopenai.client.errors",
    "DeepSeek": "luaopenai.client.compat",
    "Gemini": "luaopenai.client.compat",
    "InternalServerError": "luaopenai.client.errors",
    "LimitExceeded": "luaopenai.host.faults",
    "Limits": "luaopenai.host.limits",
    "LuaError": "luaopenai.bridge.errors",
    "MapResults": "luaopenai.batch.mapping",
    "MiMo": "luaopenai.client.compat",
    "Mistral": "luaopenai.client.compat",
    "Moonshot": "luaopenai.client.compat",
    "NotFoundError": "luaopenai.client.errors",
    "OpenAI": "luaopenai.client.openai",
    "OpenAIError": "luaopenai.client.errors",
    "OpenRouter": "luaopenai.client.compat",
    "PermissionDeniedError": "luaopenai.client.errors",
    "Plugin": "luaopenai.host.plugin",
    "PluginHost": "luaopenai.host.plugin_host",
    "RateLimitError": "luaopenai.client.errors",
    "ReplyStream": "luaopenai.client.iterators",
    "Response": "luaopenai.client.openai",
    "ResponseObject": "luaopenai.client.responses",
    "ResponsesChatSession": "luaopenai.client.responses_chat",
    "RowsFailedError": "luaopenai.batch.mapping",
    "Run": "luaopenai.client.runs",
    "Runtime": "luaopenai.bridge.runtime",
    "Stream": "luaopenai.client.iterators",
    "Tool": "luaopenai.client.tool",
    "ToolCall": "luaopenai.client.runs",
    "ToolLoopError": "luaopenai.client.errors",
    "UnprocessableEntityError": "luaopenai.client.errors",
    "Usage": "luaopenai.host.limits",
    "map": "luaopenai.batch.mapping",
    "tool": "luaopenai.client.tool",
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
