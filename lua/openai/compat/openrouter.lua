-- A client of OpenRouter.

local _, bridge = ...
local class = bridge.bundled("openai.class")
local OpenAI = bridge.bundled("openai").OpenAI
local provider = bridge.constants().providers.openrouter

---@class OpenRouter: OpenAI

---The class; calling it constructs.
---@class OpenRouter.Class: OpenAI.Class
---@field __base OpenRouter
---@field new fun(api_key?: string, config?: openai.Config): OpenRouter
---@overload fun(api_key?: string, config?: openai.Config): OpenRouter
local OpenRouter = class("OpenRouter", {
  api_base = provider.api_base,
  default_model = provider.default_model,
  account_headers = {},
}, nil, OpenAI)

---@class openai.compat.openrouter
---@field OpenRouter OpenRouter.Class
---@field new fun(api_key?: string, config?: openai.Config): OpenRouter
local openrouter = { OpenRouter = OpenRouter, new = OpenRouter }

return openrouter
