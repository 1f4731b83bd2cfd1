-- A client of Anthropic's Claude, through its OpenAI-compatible API.

local _, bridge = ...

---@class Anthropic: OpenAI

---The class; calling it constructs.
---@class Anthropic.Class: OpenAI.Class
---@field __base Anthropic
---@field new fun(api_key?: string, config?: openai.Config): Anthropic
---@overload fun(api_key?: string, config?: openai.Config): Anthropic

---@class openai.compat.anthropic
---@field Anthropic Anthropic.Class
---@field new fun(api_key?: string, config?: openai.Config): Anthropic
local module = bridge.bundled("openai.provider")("anthropic")

return module
