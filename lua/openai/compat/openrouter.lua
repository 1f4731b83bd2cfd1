-- A client of OpenRouter, through its OpenAI-compatible API.

local _, bridge = ...

---@class OpenRouter: OpenAI

---The class; calling it constructs.
---@class OpenRouter.Class: OpenAI.Class
---@field __base OpenRouter
---@field new fun(api_key?: string, config?: openai.Config): OpenRouter
---@overload fun(api_key?: string, config?: openai.Config): OpenRouter

---@class openai.compat.openrouter
---@field OpenRouter OpenRouter.Class
---@field new fun(api_key?: string, config?: openai.Config): OpenRouter
local module = bridge.bundled("openai.provider")("openrouter")

return module
