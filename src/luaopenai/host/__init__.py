"""Plugins: Lua that is not trusted, inside a Python program."""
