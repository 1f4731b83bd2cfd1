--- Turns Lua values into JSON text.

local buffer = require("string.buffer")
local ffi = require("ffi")
local sentinels = require("cjson.sentinels")

local byte, floor, huge, next, rawget, rep, tonumber, type =
  string.byte, math.floor, math.huge, next, rawget, string.rep, tonumber, type
local null, empty_array = sentinels.null, sentinels.empty_array
local array_mt, empty_array_mt = sentinels.array_mt, sentinels.empty_array_mt

-- As in lua-cjson, larger keys make no array: with sparse arrays let through, such an array would be endless.
local LAST_INDEX = 2 ^ 31 - 1

-- The precision at which string.buffer itself writes numbers.
local NATIVE_PRECISION = 14
local FORMATS = {}
for digits = 1, 17 do
  FORMATS[digits] = ("%%.%dg"):format(digits)
end

--- By byte: the escape, or false. The slash is escaped or not by a setting, hence two tables.
local function escape_table(slash)
  local escapes = {}
  for char = 0, 255 do
    local is_control = char < 32 or char == 127
    escapes[char] = is_control and ("\\u%04x"):format(char) or false
  end
  for char, letter in ('""\\\\\bb\ff\nn\rr\tt'):gmatch("(.)(.)") do
    escapes[byte(char)] = "\\" .. letter
  end
  escapes[byte("/")] = slash
  return escapes
end

local ESCAPES = escape_table("\\/")
local ESCAPES_BUT_SLASH = escape_table(false)

local function fail(kind, reason)
  error(("Cannot serialise %s: %s"):format(kind, reason), 0)
end

local function put_escaped(out, text, first, escapes)
  local bytes = ffi.cast("const uint8_t *", text)
  local written = 0
  out:put('"')
  for at = first - 1, #text - 1 do
    local escape = escapes[bytes[at]]
    if escape then
      out:putcdata(bytes + written, at - written):put(escape)
      written = at + 1
    end
  end
  out:putcdata(bytes + written, #text - written):put('"')
end

local function put_string(out, text, settings)
  local escapes = settings.encode_escape_forward_slash and ESCAPES or ESCAPES_BUT_SLASH
  for at = 1, #text do
    if escapes[byte(text, at)] then
      return put_escaped(out, text, at, escapes)
    end
  end
  out:put('"', text, '"')
end

-- Holds names of fields between quotes, which few documents have many of: to look one up costs a fraction of looking
-- through it.
local MOST_NAMES, LONGEST_NAME = 512, 40
local quoted_names, name_count = {}, 0

local function put_name(out, name, settings)
  local known = quoted_names[name]
  if known then
    out:put(known)
    return
  end
  put_string(out, name, settings)
  if name_count < MOST_NAMES and #name <= LONGEST_NAME then
    for at = 1, #name do
      if ESCAPES[byte(name, at)] then
        return
      end
    end
    quoted_names[name], name_count = '"' .. name .. '"', name_count + 1
  end
end

-- Writes a number with as few digits as read back as the same number.
local function put_exact(out, number)
  local digits = NATIVE_PRECISION
  local text = FORMATS[digits]:format(number)
  while tonumber(text) ~= number do
    digits = digits + 1
    text = FORMATS[digits]:format(number)
  end
  out:put(text)
end

local function put_number(out, number, settings)
  if number - number == 0 then
    if settings.encode_exact_numbers and (floor(number) ~= number or number > 1e14 or number < -1e14) then
      return put_exact(out, number)
    end
    local precision = settings.encode_number_precision
    if precision == NATIVE_PRECISION then
      out:put(number)
    else
      out:putf(FORMATS[precision], number)
    end
  elseif settings.encode_invalid_numbers == "null" then
    out:put("null")
  elseif not settings.encode_invalid_numbers then
    fail("number", "must not be NaN or Infinity")
  elseif number ~= number then
    out:put("NaN")
  else
    out:put(number == huge and "Infinity" or "-Infinity")
  end
end

--- Returns the length at which a table is an array, or nil when it is an object.
---@param tbl table
---@param settings table
---@return integer? length
local function array_length(tbl, settings)
  local length, count = 0, 0
  local is_object = false
  for key in next, tbl do
    if type(key) == "number" and key >= 1 and key <= LAST_INDEX and floor(key) == key then
      count = count + 1
      length = key > length and key or length
    elseif settings.encode_mixed_tables then
      return nil
    else
      is_object = true
    end
  end
  if is_object then
    if count > 0 then
      fail("table", "mixed array and object keys")
    end
    return nil
  end
  local ratio = settings.sparse_ratio
  if ratio > 0 and length > count * ratio and length > settings.sparse_safe then
    if not settings.sparse_convert then
      fail("table", "excessively sparse array")
    end
    return nil
  end
  return length
end

--- Returns whether there is no JSON for a value, whatever the settings.
local function is_unsupported(value)
  local kind = type(value)
  return kind == "function" or kind == "thread" or kind == "cdata"
    or (kind == "userdata" and value ~= null and value ~= empty_array)
end

local function put_key(out, key, settings)
  local kind = type(key)
  if kind == "string" then
    put_string(out, key, settings)
  elseif kind == "number" and settings.encode_number_keys then
    out:put('"')
    put_number(out, key, settings)
    out:put('"')
  else
    local allowed = settings.encode_number_keys and "a number or string" or "a string"
    fail(kind, "table key must be " .. allowed)
  end
end

local put_value

local function put_array(out, array, length, settings, depth)
  out:put("[")
  for index = 1, length do
    if index > 1 then
      out:put(",")
    end
    put_value(out, array[index], settings, depth)
  end
  out:put("]")
end

local function put_object(out, object, settings, depth)
  local is_first = true
  out:put("{")
  for key, value in next, object do
    if not is_first then
      out:put(",")
    end
    is_first = false
    -- Keys are strings but for the odd one, and the detour by put_key costs 3 % of an event.
    if type(key) == "string" then
      put_name(out, key, settings)
    else
      put_key(out, key, settings)
    end
    out:put(":")
    put_value(out, value, settings, depth)
  end
  out:put("}")
end

--- Returns the length at which a table is written as an array, or nil for an object.
local function chosen_length(tbl, settings)
  local mt = getmetatable(tbl)
  if mt == array_mt then
    return #tbl
  end
  local measure = type(mt) == "table" and rawget(mt, "__len")
  if measure then
    return tonumber(measure(tbl)) or 0
  end
  local length = array_length(tbl, settings)
  if length == 0 and settings.encode_empty_table_as_object and mt ~= empty_array_mt then
    return nil
  end
  return length
end

local function check_depth(depth, settings)
  if depth > settings.encode_max_depth then
    error(("Cannot serialise, excessive nesting (%d)"):format(depth), 0)
  end
end

local function put_table(out, tbl, settings, depth)
  check_depth(depth, settings)
  local length = chosen_length(tbl, settings)
  if length then
    return put_array(out, tbl, length, settings, depth)
  end
  return put_object(out, tbl, settings, depth)
end

function put_value(out, value, settings, depth)
  local kind = type(value)
  if kind == "string" then
    put_string(out, value, settings)
  elseif kind == "number" then
    put_number(out, value, settings)
  elseif kind == "table" then
    put_table(out, value, settings, depth + 1)
  elseif value == true then
    out:put("true")
  elseif value == false then
    out:put("false")
  elseif value == nil or value == null then
    out:put("null")
  elseif value == empty_array then
    out:put("[]")
  elseif not settings.encode_skip_unsupported_value_types then
    fail(kind, "type not supported")
  end
end

--- Goes through the elements of an array of this length, or through the fields when it has none.
local function each(tbl, length)
  if not length then
    return next, tbl
  end
  return function(_, index)
    if index < length then
      return index + 1, tbl[index + 1]
    end
  end, tbl, 0
end

--- Writes a value with line breaks, or without what there is no JSON for: apart from `put_value` for the speed of that.
local function put_laid_out(out, value, settings, depth)
  if type(value) ~= "table" then
    return put_value(out, value, settings, depth)
  end
  depth = depth + 1
  check_depth(depth, settings)
  local length = chosen_length(value, settings)
  local indent, skips = settings.encode_indent, settings.encode_skip_unsupported_value_types
  local line = indent ~= "" and "\n" .. rep(indent, depth) or ""
  local separator, is_empty = line, true
  out:put(length and "[" or "{")
  for key, item in each(value, length) do
    is_empty = false
    if not (skips and is_unsupported(item)) then
      out:put(separator)
      separator = "," .. line
      if not length then
        put_key(out, key, settings)
        out:put(indent == "" and ":" or ": ")
      end
      put_laid_out(out, item, settings, depth)
    end
  end
  if indent ~= "" and not is_empty then
    out:put("\n", rep(indent, depth - 1))
  end
  out:put(length and "]" or "}")
end

-- Kept between calls for its memory. It is taken away while in use, because a finalizer may encode too.
local spare = buffer.new()

---@param value any
---@param settings table see cjson.instance
---@return string? text nil on failure; alone when it is there, as scripts print what `cjson.safe` returns
---@return string? error
return function(value, settings)
  local out = spare or buffer.new()
  spare = nil
  local is_laid_out = settings.encode_indent ~= "" or settings.encode_skip_unsupported_value_types
  local ok, message = pcall(is_laid_out and put_laid_out or put_value, out, value, settings, 0)
  local text = ok and out:get() or nil
  if settings.encode_keep_buffer then
    spare = out:reset()
  end
  if text then return text end
  return nil, message
end
