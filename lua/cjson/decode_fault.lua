--- Words the error for JSON text that cannot be decoded, in the terms of lua-cjson.

local number_reader = require("cjson.number_reader")
local string_reader = require("cjson.string_reader")

local find, sub = string.find, string.sub

local TOKENS = {
  ["{"] = "T_OBJ_BEGIN",
  ["}"] = "T_OBJ_END",
  ["["] = "T_ARR_BEGIN",
  ["]"] = "T_ARR_END",
  [":"] = "T_COLON",
  [","] = "T_COMMA",
  [""] = "T_END",
}

---@param text string
---@param pos integer where the token starts
---@param lenient boolean whether numbers beyond JSON's are taken
---@return string name of the token, or what is wrong with it
---@return integer at
local function find_token(text, pos, lenient)
  local first = sub(text, pos, pos)
  if TOKENS[first] then
    return TOKENS[first], pos
  elseif first == '"' then
    local reason, at = string_reader.fault(text, pos + 1)
    if reason then
      return reason, at
    end
    return "T_STRING", pos
  elseif find(first, "[%d-]") then
    return number_reader.read(text, pos, lenient) and "T_NUMBER" or "invalid number", pos
  elseif find(text, "^true", pos) or find(text, "^false", pos) then
    return "T_BOOLEAN", pos
  elseif find(text, "^null", pos) then
    return "T_NULL", pos
  elseif lenient and number_reader.read_irregular(text, pos) then
    return "T_NUMBER", pos
  elseif lenient and first == "+" then
    return "invalid number", pos
  end
  return "invalid token", pos
end

---@param expected string what could have stood there
---@param text string
---@param pos integer where the unexpected token starts
---@param lenient boolean whether numbers beyond JSON's are taken
---@return string message
return function(expected, text, pos, lenient)
  local found, at = find_token(text, pos, lenient)
  return ("Expected %s but found %s at character %d"):format(expected, found, at)
end
