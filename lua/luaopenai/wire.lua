-- Encodes plain values as JSON between a plugin and its host; keys that start with NUL mark what JSON lacks.

local _, bridge = ...
local cjson = bridge.bundled("cjson.instance").raising()
cjson.decode_array_with_array_mt(true)
cjson.encode_exact_numbers(true)
cjson.encode_invalid_numbers(true)
cjson.encode_mixed_tables(false)
cjson.encode_number_keys(false)
cjson.encode_sparse_array(false, 1, 0)

local null, array_mt = cjson.null, cjson.array_mt
local BYTES, PAIRS = "\0b", "\0p"
local MARK = '"\\u0000'
local MAX_DEPTH = 128

local wire = { null = null, array_mt = array_mt }

-- Returns a value with marks; a table with numbers for keys that is no list becomes a list of pairs.
local function mark(value, where, depth)
  local kind = type(value)
  if kind == "function" or kind == "thread" or kind == "cdata" or (kind == "userdata" and value ~= null) then
    error(("%s: a %s is no plain data"):format(where, kind), 0)
  elseif kind ~= "table" then
    return value
  elseif depth > MAX_DEPTH then
    error(where:sub(1, 60) .. ": nested too deeply; does the table contain itself?", 0)
  end
  local marked, count, strings, others = {}, 0, 0, 0
  for key, item in next, value do
    local inner = ("%s[%s]"):format(where, type(key) == "string" and ("%q"):format(key) or tostring(key))
    if type(key) ~= "string" and type(key) ~= "number" then
      error(("%s: a key is a %s"):format(where, type(key)), 0)
    elseif type(key) == "string" and key:byte() == 0 then
      error(("%s: a key starts with NUL"):format(where), 0)
    end
    marked[key] = mark(item, inner, depth + 1)
    count = count + 1
    if type(key) == "string" then
      strings = strings + 1
    else
      others = others + 1
    end
  end
  if strings > 0 and others > 0 then
    error(where .. ": the table mixes list items and named fields", 0)
  elseif others == 0 or others == #marked then
    return getmetatable(value) == array_mt and setmetatable(marked, array_mt) or marked
  end
  local list = {}
  for key, item in next, marked do
    list[#list + 1] = { key, item }
  end
  return { [PAIRS] = list }
end

local function unmark(value)
  if type(value) ~= "table" then
    return value
  elseif value[BYTES] then
    -- Each byte as the code point of its number.
    return (value[BYTES]:gsub("[\194\195][\128-\191]", function(pair)
      return string.char((pair:byte(1) - 194) * 64 + pair:byte(2))
    end))
  elseif value[PAIRS] then
    local found = {}
    for _, pair in ipairs(value[PAIRS]) do
      found[unmark(pair[1])] = unmark(pair[2])
    end
    return found
  end
  for key, item in pairs(value) do
    value[key] = unmark(item)
  end
  return value
end

---@param value table
---@param where string what to call it in errors
---@return string
function wire.encode(value, where)
  local ok, text = pcall(cjson.encode, value)
  if ok and not text:find(MARK, 1, true) then
    return text
  end
  return cjson.encode(mark(value, where, 0))
end

---@param text string
---@return any
function wire.decode(text)
  local value = cjson.decode(text)
  return text:find(MARK, 1, true) and unmark(value) or value
end

return wire
