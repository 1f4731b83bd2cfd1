-- Makes the modules `openai.compat.NAME`: a subclass of the client for each company of the table.

local _, bridge = ...
local class = bridge.bundled("openai.class")
local OpenAI = bridge.bundled("openai").OpenAI
local providers = bridge.constants().providers

---@param name string
---@return table # the class under its own name and as `new`
return function(name)
  local provider = providers[name]
  local Client = class(provider.class_name, {
    api_base = provider.api_base,
    default_model = provider.default_model,
    account_headers = {},
  }, nil, OpenAI)
  return { [provider.class_name] = Client, new = Client }
end
