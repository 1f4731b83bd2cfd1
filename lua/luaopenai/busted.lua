-- The script that `luaopenai test` runs: busted's own runner, or where to get it.

local found, runner = pcall(require, "busted.runner")
if not found then
  io.stderr:write(
    runner:find("module 'busted.runner' not found", 1, true)
        and "luaopenai: busted is not installed; get it with `luarocks install busted` or `apt install lua-busted`"
      or "luaopenai: " .. runner,
    "\n"
  )
  os.exit(1)
end
runner({ standalone = false })
