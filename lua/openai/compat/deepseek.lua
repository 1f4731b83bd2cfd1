-- A client of DeepSeek, through its OpenAI-compatible API.

local _, bridge = ...

---@class DeepSeek: OpenAI

---The class; calling it constructs.
---@class DeepSeek.Class: OpenAI.Class
---@field __base DeepSeek
---@field new fun(api_key?: string, config?: openai.Config): DeepSeek
---@overload fun(api_key?: string, config?: openai.Config): DeepSeek

---@class openai.compat.deepseek
---@field DeepSeek DeepSeek.Class
---@field new fun(api_key?: string, config?: openai.Config): DeepSeek
local module = bridge.bundled("openai.provider")("deepseek")

return module
