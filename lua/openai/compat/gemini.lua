-- A client of Google's Gemini, through its OpenAI-compatible API.

local _, bridge = ...

---@class Gemini: OpenAI

---The class; calling it constructs.
---@class Gemini.Class: OpenAI.Class
---@field __base Gemini
---@field new fun(api_key?: string, config?: openai.Config): Gemini
---@overload fun(api_key?: string, config?: openai.Config): Gemini

---@class openai.compat.gemini
---@field Gemini Gemini.Class
---@field new fun(api_key?: string, config?: openai.Config): Gemini
local module = bridge.bundled("openai.provider")("gemini")

return module
