-- The part of LuaSocket's `socket` that scripts use beside HTTP: the clock and a pause.

local _, bridge = ...
local wait = bridge.bundled("openai.wait")

return {
  _VERSION = "LuaSocket 3.1.0",
  ---@return number # seconds since the epoch
  gettime = bridge.now,
  ---@type fun(seconds: number)
  sleep = wait.sleep,
}
