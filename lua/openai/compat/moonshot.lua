-- A client of Moonshot AI's Kimi, through its OpenAI-compatible API.

local _, bridge = ...

---@class Moonshot: OpenAI

---The class; calling it constructs.
---@class Moonshot.Class: OpenAI.Class
---@field __base Moonshot
---@field new fun(api_key?: string, config?: openai.Config): Moonshot
---@overload fun(api_key?: string, config?: openai.Config): Moonshot

---@class openai.compat.moonshot
---@field Moonshot Moonshot.Class
---@field new fun(api_key?: string, config?: openai.Config): Moonshot
local module = bridge.bundled("openai.provider")("moonshot")

return module
