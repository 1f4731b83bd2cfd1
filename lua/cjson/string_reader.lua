--- Reads JSON strings with backslash escapes, and says what is wrong with one that cannot be read.

local buffer = require("string.buffer")
local ffi = require("ffi")

local byte, char, find = string.byte, string.char, string.find

local QUOTE, BACKSLASH, LOWER_U = 34, 92, 117

local SIMPLE = {}
for letter, meaning in ('""\\\\//b\bf\fn\nr\rt\t'):gmatch("(.)(.)") do
  SIMPLE[byte(letter)] = meaning
end

local HEX = {}
for value = 0, 15 do
  local digit = ("%x"):format(value)
  HEX[byte(digit)] = value
  HEX[byte(digit:upper())] = value
end

---@return integer? unit the UTF-16 code unit in the four hexadecimal digits at `pos`
local function read_hex4(text, pos)
  local a, b = HEX[byte(text, pos)], HEX[byte(text, pos + 1)]
  local c, d = HEX[byte(text, pos + 2)], HEX[byte(text, pos + 3)]
  if a and b and c and d then
    return ((a * 16 + b) * 16 + c) * 16 + d
  end
end

---@param text string
---@param pos integer where the backslash stands
---@return integer? codepoint nil for a bad escape or half a surrogate pair
---@return integer? pos past the escape
local function read_codepoint(text, pos)
  local unit = read_hex4(text, pos + 2)
  if not unit or (unit >= 0xDC00 and unit < 0xE000) then
    return nil
  elseif unit < 0xD800 or unit >= 0xE000 then
    return unit, pos + 6
  end
  if byte(text, pos + 6) ~= BACKSLASH or byte(text, pos + 7) ~= LOWER_U then
    return nil
  end
  local low = read_hex4(text, pos + 8)
  if not low or low < 0xDC00 or low >= 0xE000 then
    return nil
  end
  return 0x10000 + (unit - 0xD800) * 0x400 + (low - 0xDC00), pos + 12
end

local function utf8(codepoint)
  if codepoint < 0x80 then
    return char(codepoint)
  end
  local rest = codepoint % 64
  local lead = (codepoint - rest) / 64
  if codepoint < 0x800 then
    return char(0xC0 + lead, 0x80 + rest)
  end
  local middle = lead % 64
  lead = (lead - middle) / 64
  if codepoint < 0x10000 then
    return char(0xE0 + lead, 0x80 + middle, 0x80 + rest)
  end
  local upper = lead % 64
  return char(0xF0 + (lead - upper) / 64, 0x80 + upper, 0x80 + middle, 0x80 + rest)
end

---@param text string
---@param pos integer where the backslash stands
---@return string? meaning nil for a bad escape
---@return integer? pos past the escape
local function read_escape(text, pos)
  local letter = byte(text, pos + 1)
  if letter ~= LOWER_U then
    return SIMPLE[letter], pos + 2
  end
  local codepoint, past = read_codepoint(text, pos)
  return codepoint and utf8(codepoint), past
end

-- Kept between calls for its memory. It is taken away while in use, because a finalizer may decode too.
local spare = buffer.new()

local reader = {}

--- Reads a string that may have escapes.
---@param text string
---@param pos integer past the opening quote
---@param backslash integer where the first backslash from `pos` on stands, or past the text
---@return string? value nil when the string is malformed
---@return integer? pos past the closing quote
---@return integer? backslash the first from there on, or past the text
function reader.read(text, pos, backslash)
  local pieces = spare or buffer.new()
  spare = nil
  local bytes = ffi.cast("const uint8_t *", text)
  local close = find(text, '"', pos, true)
  while close and backslash < close do
    local meaning, past = read_escape(text, backslash)
    if not meaning then
      close = nil
      break
    end
    pieces:putcdata(bytes + (pos - 1), backslash - pos):put(meaning)
    pos = past
    if close < pos then
      close = find(text, '"', pos, true)
    end
    backslash = find(text, "\\", pos, true) or #text + 1
  end
  local value
  if close then
    value = pieces:putcdata(bytes + (pos - 1), close - pos):get()
  end
  spare = pieces:reset()
  return value, close and close + 1, backslash
end

--- Says why a string cannot be read.
---@param text string
---@param pos integer past the opening quote
---@return string? reason nil when nothing is wrong
---@return integer at where it goes wrong
function reader.fault(text, pos)
  while true do
    local at = find(text, '["\\]', pos)
    if not at then
      return "unexpected end of string", #text + 1
    elseif byte(text, at) == QUOTE then
      return nil, at
    end
    local meaning, past = read_escape(text, at)
    if not meaning then
      return byte(text, at + 1) == LOWER_U and "invalid unicode escape code" or "invalid escape code", at
    end
    pos = past
  end
end

return reader
