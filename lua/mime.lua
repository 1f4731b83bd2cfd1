--- Base64, quoted-printable, line wrapping, line ends and SMTP dots: LuaSocket's functions, and ltn12 filters of them.

local bit = require("bit")
local buffer = require("string.buffer")
local ltn12 = require("ltn12")

local band, bor, lshift, rshift = bit.band, bit.bor, bit.lshift, bit.rshift
local byte, char, find, gmatch, gsub = string.byte, string.char, string.find, string.gmatch, string.gsub
local match, rep, sub = string.match, string.rep, string.sub

---@class mime
---@field encode fun(encoding?: "base64"|"quoted-printable", ...): ltn12.Filter
---@field decode fun(encoding?: "base64"|"quoted-printable"): ltn12.Filter
---@field wrap fun(encoding?: "text"|"base64"|"quoted-printable"|integer, length?: integer): ltn12.Filter
local M = { _VERSION = "MIME 1.0.3", encodet = {}, decodet = {}, wrapt = {} }

local CRLF = "\r\n"
local SOFT_BREAK = "=\r\n"
local LINE_LENGTH = 76

-- Level 3 blames whoever called the function `name`.
local BAD_ARGUMENT = "bad argument #%d to '%s' (%s expected, got %s)"

---@param name string
---@param position integer
---@param value any
---@return string?
local function text_argument(name, position, value)
  if value == nil or type(value) == "string" then return value end
  if type(value) == "number" then return tostring(value) end
  error(BAD_ARGUMENT:format(position, name, "string", type(value)), 3)
end

---@param name string
---@param position integer
---@param value any
---@return number
local function number_argument(name, position, value)
  local number = tonumber(value)
  if not number then error(BAD_ARGUMENT:format(position, name, "number", type(value)), 3) end
  return number
end

--- Makes a function that converts as much as it can and hands back the rest of its input, to come with the next call.
---@param name string
---@param convert fun(text: string, marker: string?): string, string what is done, and the rest
---@param finish fun(rest: string): string converts a rest that nothing follows
---@return fun(carried: string?, chunk: string?, marker: string?): string?, string?
local function incremental(name, convert, finish)
  return function(carried, chunk, marker)
    carried = text_argument(name, 1, carried)
    chunk = text_argument(name, 2, chunk)
    marker = text_argument(name, 3, marker)
    if not carried then return nil, nil end
    local done, rest = convert(carried .. (chunk or ""), marker)
    if chunk then return done, rest end
    done = done .. finish(rest)
    return done ~= "" and done or nil, nil
  end
end

local function drop()
  return ""
end

local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

-- Twelve bits at a time need half the look-ups that six do; filled as they turn up, so that loading stays cheap.
local DIGIT_PAIR = setmetatable({}, {
  __index = function(pairs_of_digits, value)
    local high, low = rshift(value, 6) + 1, band(value, 63) + 1
    local pair = sub(ALPHABET, high, high) .. sub(ALPHABET, low, low)
    pairs_of_digits[value] = pair
    return pair
  end,
})

local DIGIT_VALUE = { [byte("=")] = 0 }
for position = 1, #ALPHABET do
  DIGIT_VALUE[byte(ALPHABET, position)] = position - 1
end

local BYTE = {}
for code = 0, 255 do
  BYTE[code] = char(code)
end

---@param text string its length a multiple of 3
---@return string
local function encode_triples(text)
  local out = buffer.new()
  for position = 1, #text, 3 do
    local first, second, third = byte(text, position, position + 2)
    out:put(
      DIGIT_PAIR[bor(lshift(first, 4), rshift(second, 4))],
      DIGIT_PAIR[bor(lshift(band(second, 15), 8), third)]
    )
  end
  return out:get()
end

---@param text string digits or `=`, its length a multiple of 4
---@return string
local function decode_quads(text)
  local out = buffer.new()
  for position = 1, #text, 4 do
    local first, second, third, fourth = byte(text, position, position + 3)
    local value = bor(
      lshift(DIGIT_VALUE[first], 18),
      lshift(DIGIT_VALUE[second], 12),
      lshift(DIGIT_VALUE[third], 6),
      DIGIT_VALUE[fourth]
    )
    out:put(BYTE[rshift(value, 16)], BYTE[band(rshift(value, 8), 255)], BYTE[band(value, 255)])
  end
  return out:get()
end

---@param quad string
---@return integer # how many bytes its padding takes away
local function padding_of(quad)
  if sub(quad, 3, 3) == "=" then return 2 end
  return sub(quad, 4, 4) == "=" and 1 or 0
end

--- Encodes `carried .. chunk` as Base64, as far as whole triples go; with no chunk, all of it, padded.
M.b64 = incremental("b64", function(text)
  local whole = #text - #text % 3
  return encode_triples(sub(text, 1, whole)), sub(text, whole + 1)
end, function(rest)
  if rest == "" then return "" end
  local missing = 3 - #rest
  return sub(encode_triples(rest .. rep("\0", missing)), 1, 4 - missing) .. rep("=", missing)
end)

--- Decodes the Base64 in `carried .. chunk`, as far as whole groups go; all other characters are skipped.
M.unb64 = incremental("unb64", function(text)
  local digits = gsub(text, "[^%w+/=]+", "")
  local whole = #digits - #digits % 4
  local out = buffer.new()
  local from = 1
  while from <= whole do
    local padded = find(digits, "=", from, true) or whole
    local last = padded + (-padded) % 4
    if last > whole then last = whole end
    local decoded = decode_quads(sub(digits, from, last))
    out:put(sub(decoded, 1, #decoded - padding_of(sub(digits, last - 3, last))))
    from = last + 1
  end
  return out:get(), sub(digits, whole + 1)
end, drop)

local ESCAPED = {}
for code = 0, 255 do
  ESCAPED[char(code)] = ("=%02X"):format(code)
end

--- Encodes `carried .. chunk` as quoted-printable, as far as it is decided, with `marker` (CRLF unless given) for a
--- line end; with no chunk, all of it, and a soft line break after an undecided rest.
M.qp = incremental("qp", function(text, marker)
  -- The character after a blank or a CR decides how that is written.
  local tail = sub(text, -2)
  local rest = match(tail, "^[ \t].$") or match(tail, "[ \t\r]$") or ""
  local quoted = gsub(sub(text, 1, #text - #rest), "[^\t -<>-~]", ESCAPED)
  -- Every "=" of the text is quoted by now, so these are its line ends.
  quoted = gsub(quoted, "([ \t]?)=0D=0A", function(blank)
    return (ESCAPED[blank] or "") .. (marker or CRLF)
  end)
  return quoted, rest
end, function(rest)
  if rest == "" then return "" end
  return gsub(rest, "[^!-<>-~]", ESCAPED) .. SOFT_BREAK
end)

local UNQUOTED = { [CRLF] = CRLF, [SOFT_BREAK] = "" }
for high in gmatch("0123456789ABCDEFabcdef", ".") do
  for low in gmatch("0123456789ABCDEFabcdef", ".") do
    UNQUOTED["=" .. high .. low] = char(tonumber(high .. low, 16))
  end
end

--- Decodes the quoted-printable in `carried .. chunk`. Bytes that cannot occur in it are left out; a malformed
--- escape stays as it is.
M.unqp = incremental("unqp", function(text)
  local out = buffer.new()
  local from = 1
  while true do
    local at = find(text, "[=\r]", from)
    out:put((gsub(sub(text, from, (at or 0) - 1), "[^\t -~]+", "")))
    if not at then return out:get(), "" end
    local is_escape = byte(text, at) == byte("=")
    local last = at + (is_escape and 2 or 1)
    if last > #text then return out:get(), sub(text, at) end
    local token = sub(text, at, last)
    out:put(UNQUOTED[token] or is_escape and token or "")
    from = last + 1
  end
end, drop)

--- Writes text that has no line ends, broken before it would leave less than `reserve` characters of a line.
---@param out any a string buffer
---@param text string
---@param left number how many characters the line still takes
---@param length number how many a line takes
---@param reserve integer
---@param line_break string
---@return number left
local function fill(out, text, left, length, reserve, line_break)
  local from = 1
  while from <= #text do
    if left <= reserve then
      out:put(line_break)
      left = length
    end
    local last = math.min(#text, from + math.max(left - reserve, 1) - 1)
    out:put(sub(text, from, last))
    left = left - (last - from + 1)
    from = last + 1
  end
  return left
end

--- Makes a function that breaks lines which are too long and makes every line end CRLF.
---@param name string
---@param line_break string
---@param reserve integer how many characters of a line to keep free
---@param escape_reserve integer the same, from where a `=` stands
---@return fun(left: number, chunk: string?, length: number?): string?, number
local function wrapper(name, line_break, reserve, escape_reserve)
  return function(left, chunk, length)
    left = number_argument(name, 1, left)
    chunk = text_argument(name, 2, chunk)
    length = length and number_argument(name, 3, length) or LINE_LENGTH
    if not chunk then return left < length and line_break or nil, length end

    local out = buffer.new()
    for run, mark in gmatch(gsub(chunk, "\r", ""), "([^\n=]*)([\n=]?)") do
      left = fill(out, run, left, length, reserve, line_break)
      if mark == "\n" then
        out:put(CRLF)
        left = length
      else
        left = fill(out, mark, left, length, escape_reserve, line_break)
      end
    end
    return out:get(), left
  end
end

--- Wraps plain text: `left` characters fit on the current line and `length` (76 unless given) on the others.
M.wrp = wrapper("wrp", CRLF, 0, 0)

--- Wraps quoted-printable: with soft line breaks, and without tearing an escape apart.
M.qpwrp = wrapper("qpwrp", SOFT_BREAK, 1, 3)

local DOT_CONTEXT = { [1] = "\r", [2] = CRLF }

--- Doubles the dot at the start of a line.
---@param context number 2 at the start of a line, 1 after its CR, 0 elsewhere
---@param chunk string?
---@return string?
---@return number context for the next chunk
function M.dot(context, chunk)
  context = number_argument("dot", 1, context)
  chunk = text_argument("dot", 2, chunk)
  if not chunk then return nil, 2 end
  local before = DOT_CONTEXT[context] or ""
  local text = before .. chunk
  local ending = sub(text, -2)
  local next_context = ending == CRLF and 2 or sub(ending, -1) == "\r" and 1 or 0
  return sub(gsub(text, "\r\n%.", "\r\n.."), #before + 1), next_context
end

local EOL_CONTEXT = { [byte("\r")] = "\r", [byte("\n")] = "\n" }

--- Makes every line end, be it CR, LF, CRLF or LFCR, the marker.
---@param context number the byte of a line end whose second half may come, or 0
---@param chunk string?
---@param marker string? CRLF unless given
---@return string?
---@return number context for the next chunk
function M.eol(context, chunk, marker)
  context = number_argument("eol", 1, context)
  chunk = text_argument("eol", 2, chunk)
  marker = text_argument("eol", 3, marker) or CRLF
  if not chunk then return nil, 0 end
  local before = EOL_CONTEXT[context] or ""
  local text = before .. chunk
  local twice = marker .. marker
  local converted = gsub(text, "[\r\n][\r\n]?", {
    ["\r"] = marker, ["\n"] = marker, ["\r\n"] = marker, ["\n\r"] = marker, ["\r\r"] = twice, ["\n\n"] = twice,
  })
  if before ~= "" then converted = sub(converted, #marker + 1) end
  local is_open = #match(text:reverse(), "^[\r\n]*") % 2 == 1
  return converted, is_open and byte(text, -1) or 0
end

---@return ltn12.Filter
function M.encodet.base64()
  return ltn12.filter.cycle(M.b64, "")
end

--- In "binary" mode line ends are data like any other.
---@param mode string?
---@return ltn12.Filter
M.encodet["quoted-printable"] = function(mode)
  return ltn12.filter.cycle(M.qp, "", mode == "binary" and "=0D=0A" or CRLF)
end

---@return ltn12.Filter
function M.decodet.base64()
  return ltn12.filter.cycle(M.unb64, "")
end

---@return ltn12.Filter
M.decodet["quoted-printable"] = function()
  return ltn12.filter.cycle(M.unqp, "")
end

---@param length integer?
---@return ltn12.Filter
function M.wrapt.text(length)
  length = length or LINE_LENGTH
  return ltn12.filter.cycle(M.wrp, length, length)
end

M.wrapt.base64 = M.wrapt.text
M.wrapt.default = M.wrapt.text

---@return ltn12.Filter
M.wrapt["quoted-printable"] = function()
  return ltn12.filter.cycle(M.qpwrp, LINE_LENGTH, LINE_LENGTH)
end

---@param makers table<string, fun(...): ltn12.Filter>
---@return fun(name: any, ...: any): ltn12.Filter # takes a maker's name and arguments, or the default's arguments
local function chooser(makers)
  local function choose(name, ...)
    if type(name) ~= "string" then return choose("default", name, ...) end
    local make = makers[name]
    if not make then error("unknown key (" .. name .. ")", 2) end
    return make(...)
  end
  return choose
end

M.encode = chooser(M.encodet)
M.decode = chooser(M.decodet)
M.wrap = chooser(M.wrapt)

---@param marker string? CRLF unless given
---@return ltn12.Filter
function M.normalize(marker)
  return ltn12.filter.cycle(M.eol, 0, marker)
end

---@return ltn12.Filter # doubles the dots at the starts of lines
function M.stuff()
  return ltn12.filter.cycle(M.dot, 2)
end

return M
