"""Clients of other companies' servers, through their OpenAI-compatible APIs."""

from __future__ import annotations

from luaopenai.client.openai import OpenAI
from luaopenai.client.servers import PROVIDERS


class Anthropic(OpenAI):
    """A client of Anthropic's Claude; key: ``ANTHROPIC_API_KEY``."""

    _provider = PROVIDERS["anthropic"]


class DeepSeek(OpenAI):
    """A client of DeepSeek; key: ``DEEPSEEK_API_KEY``."""

    _provider = PROVIDERS["deepseek"]


class Gemini(OpenAI):
    """A client of Google's Gemini; key: ``GEMINI_API_KEY``."""

    _provider = PROVIDERS["gemini"]


class MiMo(OpenAI):
    """A client of Xiaomi's MiMo; key: ``MIMO_API_KEY``."""

    _provider = PROVIDERS["mimo"]


class Mistral(OpenAI):
    """A client of Mistral; key: ``MISTRAL_API_KEY``."""

    _provider = PROVIDERS["mistral"]


class Moonshot(OpenAI):
    """A client of Moonshot AI's Kimi; key: ``MOONSHOT_API_KEY``."""

    _provider = PROVIDERS["moonshot"]


class OpenRouter(OpenAI):
    """A client of OpenRouter; key: ``OPENROUTER_API_KEY``."""

    _provider = PROVIDERS["openrouter"]
