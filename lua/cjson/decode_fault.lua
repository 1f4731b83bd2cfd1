--- Words the error for JSON text that cannot be decoded, in the terms of lua-cjson.

local comments = require("cjson.comments")
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

--- lua-cjson reads as an integer what no point, exponent or "x" follows.
local function number_token(text, pos, lenient)
  if not number_reader.read(text, pos, lenient) then
    return "invalid number"
  end
  return find(text, "^%-?%d+%f[^%d.eEx]", pos) and "T_INTEGER" or "T_NUMBER"
end

---@param text string
---@param pos integer where the token starts
---@param settings table see cjson.instance
---@return string name of the token, or what is wrong with it
---@return integer at
local function find_token(text, pos, settings)
  local first, lenient = sub(text, pos, pos), settings.decode_invalid_numbers
  if TOKENS[first] then
    return TOKENS[first], pos
  elseif first == '"' then
    local reason, at = string_reader.fault(text, pos + 1)
    if reason then
      return reason, at
    end
    return "T_STRING", pos
  elseif find(first, "[%d-]") then
    return number_token(text, pos, lenient), pos
  elseif find(text, "^true", pos) or find(text, "^false", pos) then
    return "T_BOOLEAN", pos
  elseif find(text, "^null", pos) then
    return "T_NULL", pos
  elseif lenient and number_reader.read_irregular(text, pos) then
    return "T_NUMBER", pos
  elseif lenient and first == "+" then
    return "invalid number", pos
  elseif settings.decode_allow_comment and comments.is_unclosed(text, pos) then
    return "unclosed multi-line comment", pos
  end
  return "invalid token", pos
end

---@param expected string what could have stood there
---@param text string
---@param pos integer where the unexpected token starts
---@param settings table see cjson.instance
---@return string message
return function(expected, text, pos, settings)
  local found, at = find_token(text, pos, settings)
  return ("Expected %s but found %s at character %d"):format(expected, found, at)
end
