"""One Lua function over many rows: the job, its journal, and the workers that it hands rows to."""
