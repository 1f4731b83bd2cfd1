-- A client of OpenRouter.

local _, bridge = ...
local class = bridge.bundled("openai.class")
local OpenAI = bridge.bundled("openai").OpenAI
local provider = bridge.constants().providers.openrouter

---@class OpenRouter: OpenAI
local OpenRouter = class("OpenRouter", {
  api_base = provider.api_base,
  default_model = provider.default_model,
  account_headers = {},
}, nil, OpenAI)

return { OpenRouter = OpenRouter, new = OpenRouter }
