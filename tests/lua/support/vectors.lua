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
---@return table[] cases
return function(name)
  local file = assert(io.open("tests/vectors/" .. name .. ".json"))
  local cases = {}
  for index, case in ipairs(cjson.decode(file:read("*a"))) do
    local count = case.call and #case.call
    cases[index] = without_null(case)
    cases[index].count = count
  end
  file:close()
  return cases
end
