-- The part of LuaSocket's `socket` that scripts use beside HTTP: the clock and a pause.

local _, bridge = ...
local wait = bridge.bundled("openai.wait")

---@class socket
---@field _VERSION string
---@field gettime fun(): number seconds since the epoch
---@field sleep fun(seconds: number)
local socket = {
  _VERSION = "LuaSocket 3.1.0",
  gettime = bridge.now,
  sleep = wait.sleep,
}

return socket
