-- A client of Google's Gemini, through its OpenAI-compatible API.

local _, bridge = ...
local class = bridge.bundled("openai.class")
local OpenAI = bridge.bundled("openai").OpenAI
local provider = bridge.constants().providers.gemini

---@class Gemini: OpenAI
local Gemini = class("Gemini", {
  api_base = provider.api_base,
  default_model = provider.default_model,
  account_headers = {},
}, nil, OpenAI)

return { Gemini = Gemini, new = Gemini }
