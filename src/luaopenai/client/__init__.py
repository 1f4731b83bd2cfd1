"""The OpenAI client in Python; it knows nothing of Lua."""
