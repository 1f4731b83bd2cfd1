"""Lets ``python -m luaopenai.cli.lua`` do what the ``luaopenai-lua`` command does."""

from luaopenai.cli import lua_main

if __name__ == "__main__":
    lua_main()
