-- JSON as the client speaks it: it loses nothing on a round trip and refuses what JSON cannot carry.

local _, bridge = ...
local ffi = require("ffi")
local instances = bridge.bundled("cjson.instance")

-- By a name of our own, so that a script may declare the function too.
ffi.cdef('size_t luaopenai_strspn(const char *text, const char *accepted) __asm__("strspn");')
local C, byte, find, tonumber = ffi.C, string.byte, string.find, tonumber

local OPEN = 123

local ascii = {}
for code = 1, 127 do
  ascii[code] = string.char(code)
end
local ASCII = table.concat(ascii)

local function instance(make)
  local cjson = (make or instances.raising)()
  cjson.decode_array_with_array_mt(true)
  cjson.encode_sparse_array(true)
  cjson.encode_mixed_tables(false)
  cjson.encode_exact_numbers(true)
  cjson.encode_escape_forward_slash(false)
  return cjson
end

local cjson, lenient, strict = instance(), instance(), instance(instances.safe)
lenient.encode_invalid_numbers(true)
strict.decode_invalid_numbers(false)

local json = { null = cjson.null, array_mt = cjson.array_mt }

local function encoder(encode)
  return function(value, where)
    local ok, text = pcall(encode, value)
    if ok then
      return text
    end
    local reason = bridge.explain(value, where)
    error(reason ~= "" and reason or where .. ": " .. text, 0)
  end
end

---@type fun(value: any, where: string): string
--- `where` is what to call the value in the error's text
json.encode = encoder(cjson.encode)

---@type fun(value: any, where: string): string
--- the same for what a server sent, which may hold infinity and NaN: for Python alone, never for a request
json.encode_received = encoder(lenient.encode)

json.decode = cjson.decode

---@type fun(text: string): any
--- returns nil for text that is no JSON by the standard
json.decode_strict = strict.decode

-- Returns whether a text is ASCII without NUL: C looks through 1,000 bytes in 0.2 µs, a pattern in 7.
local function is_ascii(text)
  return tonumber(C.luaopenai_strspn(text, ASCII)) == #text
end

if not pcall(is_ascii, "") then
  is_ascii = function(text)
    return find(text, "[%z\128-\255]") == nil
  end
end

---@param text string
---@return boolean
function json.is_utf8(text)
  return is_ascii(text) or bridge.is_utf8(text)
end

---Returns why JSON cannot carry a value in which a string is not UTF-8.
---@param value any
---@param where string what to call the value
---@return string
function json.utf8_fault(value, where)
  local reason = bridge.explain(value, where)
  return reason ~= "" and reason or where .. ": a string is not valid UTF-8"
end

---Returns whether a text can be decoded here: our decoder takes a NUL for the end, and does not check UTF-8.
---@param text string
---@return boolean
function json.is_plain(text)
  return is_ascii(text) or (find(text, "\0", 1, true) == nil and bridge.is_utf8(text))
end

---@param text string what a server sent
---@return any # the decoded value, or the text where it is not JSON
function json.decode_or_text(text)
  if byte(text, 1) ~= OPEN and text:find("^[%s:]*%l+:") then
    return text -- An event stream, which may be long.
  end
  -- In ASCII, only an escape can be odd: one of half a character.
  if not is_ascii(text) or find(text, "\\u", 1, true) then
    text = bridge.mended(text) or text
  end
  local ok, value = pcall(cjson.decode, text)
  if ok then
    return value
  end
  return text
end

return json
