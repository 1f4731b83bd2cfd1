"""Tests of Lua inside Python, with fixtures of their own."""
