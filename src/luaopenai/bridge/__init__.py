"""Lua inside Python: the only folder that imports lupa."""
