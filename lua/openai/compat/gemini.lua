-- A client of Google's Gemini, through its OpenAI-compatible API.

local _, bridge = ...
local class = bridge.bundled("openai.class")
local OpenAI = bridge.bundled("openai").OpenAI
local provider = bridge.constants().providers.gemini

---@class Gemini: OpenAI

---The class; calling it constructs.
---@class Gemini.Class: OpenAI.Class
---@field __base Gemini
---@field new fun(api_key?: string, config?: openai.Config): Gemini
---@overload fun(api_key?: string, config?: openai.Config): Gemini
local Gemini = class("Gemini", {
  api_base = provider.api_base,
  default_model = provider.default_model,
  account_headers = {},
}, nil, OpenAI)

---@class openai.compat.gemini
---@field Gemini Gemini.Class
---@field new fun(api_key?: string, config?: openai.Config): Gemini
local gemini = { Gemini = Gemini, new = Gemini }

return gemini
