--- Turns JSON text into Lua values.
-- One loop with a stack of its own rather than recursion, and compiled string functions rather than patterns:
-- so LuaJIT's traces stay few and whole, whatever the shape of the documents.

local blank_comments = require("cjson.comments").blank
local fault = require("cjson.decode_fault")
local number_reader = require("cjson.number_reader")
local sentinels = require("cjson.sentinels")
local string_reader = require("cjson.string_reader")

local byte, find, sub = string.byte, string.find, string.sub
local read_number, read_irregular = number_reader.read, number_reader.read_irregular
local read_escaped = string_reader.read
local null, array_mt = sentinels.null, sentinels.array_mt

local TAB, NEWLINE, RETURN, SPACE = 9, 10, 13, 32
local QUOTE, COMMA, MINUS, ZERO, NINE, COLON = 34, 44, 45, 48, 57, 58
local OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT = 91, 93, 123, 125
local NOTHING = -1
local LOWER_F, LOWER_N, LOWER_T = 102, 110, 116

local function skip_space(text, pos, char)
  while char == SPACE or char == NEWLINE or char == RETURN or char == TAB do
    pos = pos + 1
    char = byte(text, pos) or 0
  end
  return pos, char
end

-- Most tokens have no white space before them, or one space: for these, there is no loop in the way of LuaJIT's.
---@return integer pos where the next token starts
---@return integer char its first byte, 0 at the end of the text
local function next_token(text, pos)
  local char = byte(text, pos) or 0
  if char == SPACE then
    pos = pos + 1
    char = byte(text, pos) or 0
  end
  if char > SPACE then
    return pos, char
  end
  return skip_space(text, pos, char)
end

---@param text string
---@param pos integer where the opening quote stands
---@param backslash integer where the first backslash from there on stands, or past the text
---@return string? value, integer? pos, integer? backslash
local function read_string(text, pos, backslash)
  local close = find(text, '"', pos + 1, true)
  if close and close < backslash then
    return sub(text, pos + 1, close - 1), close + 1, backslash
  end
  return read_escaped(text, pos + 1, backslash)
end

---@return any value true, false, null or an irregular number; nil when there is none
---@return integer pos
local function read_word(text, pos, char, lenient)
  if char == LOWER_N and sub(text, pos, pos + 3) == "null" then
    return null, pos + 4
  elseif char == LOWER_T and sub(text, pos, pos + 3) == "true" then
    return true, pos + 4
  elseif char == LOWER_F and sub(text, pos, pos + 4) == "false" then
    return false, pos + 5
  elseif lenient then
    return read_irregular(text, pos)
  end
  return nil, pos
end

---@param text string up to its first NUL
---@param settings table
---@return any value, string? error
local function decode_document(text, settings)
  local lenient, max_depth = settings.decode_invalid_numbers, settings.decode_max_depth
  local tags_arrays = settings.decode_array_with_array_mt
  local backslash = find(text, "\\", 1, true) or #text + 1

  -- The document is the one element of an array that nothing closes.
  local container, closer, count, key = {}, NOTHING, 0, nil
  local containers, closers, depth = {}, {}, 0

  local pos, char = next_token(text, 1)
  while true do
    if closer == CLOSE_OBJECT then
      local start = pos
      if char == QUOTE then
        key, pos, backslash = read_string(text, pos, backslash)
      end
      if char ~= QUOTE or not key then
        return nil, fault("object key string", text, start, settings)
      end
      pos, char = next_token(text, pos)
      if char ~= COLON then
        return nil, fault("colon", text, pos, settings)
      end
      pos, char = next_token(text, pos + 1)
    end

    local value
    local start, inner = pos, nil
    if char == QUOTE then
      value, pos, backslash = read_string(text, pos, backslash)
    elseif char == OPEN_OBJECT or char == OPEN_ARRAY then
      value = {}
      inner = char == OPEN_OBJECT and CLOSE_OBJECT or CLOSE_ARRAY
      pos = pos + 1
    elseif char == MINUS or (char >= ZERO and char <= NINE) then
      value, pos = read_number(text, pos, lenient)
    else
      value, pos = read_word(text, pos, char, lenient)
    end
    if value == nil then
      return nil, fault("value", text, start, settings)
    end
    if closer == CLOSE_OBJECT then
      container[key] = value
    else
      count = count + 1
      container[count] = value
    end

    local after_opening = false
    if inner then
      depth = depth + 1
      if depth > max_depth then
        return nil, ("Found too many nested data structures (%d) at character %d"):format(depth, start)
      end
      containers[depth], closers[depth] = container, closer
      container, closer, count = value, inner, 0
      after_opening = true
    end

    pos, char = next_token(text, pos)
    while char == closer do
      if tags_arrays and closer == CLOSE_ARRAY then
        setmetatable(container, array_mt)
      end
      container, closer = containers[depth], closers[depth]
      count = #container
      depth = depth - 1
      after_opening = false
      pos, char = next_token(text, pos + 1)
    end
    if not after_opening then
      if depth == 0 then
        break
      elseif char ~= COMMA then
        return nil, fault(closer == CLOSE_OBJECT and "comma or object end" or "comma or array end", text, pos, settings)
      end
      pos, char = next_token(text, pos + 1)
    end
  end

  if char ~= 0 then
    return nil, fault("the end", text, pos, settings)
  end
  return container[1]
end

---@param text string
---@param settings table see cjson.instance
---@return any value nil on failure
---@return string? error
return function(text, settings)
  local nul = find(text, "\0", 1, true)
  if nul then
    if nul <= 2 and #text >= 2 then
      return nil, "JSON parser does not support UTF-16 or UTF-32"
    end
    -- lua-cjson takes a NUL for the end.
    text = sub(text, 1, nul - 1)
  end
  if settings.decode_allow_comment then
    text = blank_comments(text)
  end
  return decode_document(text, settings)
end
