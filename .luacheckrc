std = "luajit"
max_line_length = 120
files["tests/lua"] = { std = "luajit+busted" }
files["lua/luaopenai/boot.lua"] = { globals = { "os" } }
files["examples/plugins"] = { read_globals = { "host" } }
files["tests/fuzz"] = { read_globals = { "host" } }
exclude_files = { ".venv", "lua_modules", "build", "dist" }
