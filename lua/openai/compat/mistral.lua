-- A client of Mistral, through its OpenAI-compatible API.

local _, bridge = ...

---@class Mistral: OpenAI

---The class; calling it constructs.
---@class Mistral.Class: OpenAI.Class
---@field __base Mistral
---@field new fun(api_key?: string, config?: openai.Config): Mistral
---@overload fun(api_key?: string, config?: openai.Config): Mistral

---@class openai.compat.mistral
---@field Mistral Mistral.Class
---@field new fun(api_key?: string, config?: openai.Config): Mistral
local module = bridge.bundled("openai.provider")("mistral")

return module
