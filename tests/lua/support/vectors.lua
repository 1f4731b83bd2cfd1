--- The cases in tests/vectors, which the Python tests read too.

local cjson = require("cjson")

---@param value any
---@return any # the same with nil in the place of null, for arguments
local function without_null(value)
  if value == cjson.null then
    return nil
  elseif type(value) ~= "table" then
    return value
  end
  local copy = {}
  for key, item in pairs(value) do
    copy[key] = without_null(item)
  end
  return copy
end

---@param name string
---@param keeps_null? boolean leave the values as they were decoded, arrays marked as such
---@return table[] cases
return function(name, keeps_null)
  local file = assert(io.open("tests/vectors/" .. name .. ".json"))
  local text = file:read("*a")
  file:close()
  if keeps_null then
    local ours = require("cjson.instance").raising()
    ours.decode_array_with_array_mt(true)
    return ours.decode(text)
  end
  local cases = {}
  for index, case in ipairs(cjson.decode(text)) do
    local count = case.call and #case.call
    cases[index] = without_null(case)
    cases[index].count = count
  end
  return cases
end
