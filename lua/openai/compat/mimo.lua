-- A client of Xiaomi's MiMo, through its OpenAI-compatible API.

local _, bridge = ...

---@class MiMo: OpenAI

---The class; calling it constructs.
---@class MiMo.Class: OpenAI.Class
---@field __base MiMo
---@field new fun(api_key?: string, config?: openai.Config): MiMo
---@overload fun(api_key?: string, config?: openai.Config): MiMo

---@class openai.compat.mimo
---@field MiMo MiMo.Class
---@field new fun(api_key?: string, config?: openai.Config): MiMo
local module = bridge.bundled("openai.provider")("mimo")

return module
