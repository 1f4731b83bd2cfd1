-- Serves the interactive mode: shows values, completes names, lets Ctrl-C end a chunk, gives tasks their turns.

local _, bridge = ...

local debug, io, jit, math, table = debug, io, jit, math, table
local getmetatable, ipairs, next, pairs, pcall, rawget, select, tostring, type =
  debug.getmetatable, ipairs, next, pairs, pcall, rawget, select, tostring, type
local globals = _G
local null = require("string.buffer").decode("\3")

-- How many instructions run between two looks for Ctrl-C.
local STRIDE = 10000
-- How much of a value is shown: tables inside tables, fields of a table, bytes of a string, values in all.
local MAX_DEPTH, MAX_FIELDS, MAX_BYTES, MAX_VALUES = 8, 60, 300, 1000
local WIDTH = 80
-- How many names a completion offers.
local MAX_NAMES = 500

local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true
  until while]]):gmatch("%a+") do
  KEYWORDS[word] = true
end

local function is_name(key)
  return type(key) == "string" and key:find("^[%a_][%w_]*$") and not KEYWORDS[key]
end

local function quote(text)
  local rest = #text - MAX_BYTES
  local quoted = ("%q"):format(rest > 0 and text:sub(1, MAX_BYTES) or text)
  quoted = quoted:gsub("\\\n", "\\n")
  return rest > 0 and ("%s … %d bytes more"):format(quoted, rest) or quoted
end

-- Orders keys: numbers first, then strings, then the rest.
local function goes_before(a, b)
  local kind_a, kind_b = type(a), type(b)
  if kind_a == kind_b and (kind_a == "number" or kind_a == "string") then
    return a < b
  elseif kind_a == kind_b then
    return tostring(a) < tostring(b)
  end
  return kind_a == "number" or (kind_b ~= "number" and kind_a == "string")
end

local function sorted_keys(value, from)
  local keys = {}
  for key in next, value do
    if not (type(key) == "number" and key >= 1 and key <= from and key % 1 == 0) then
      keys[#keys + 1] = key
    end
  end
  table.sort(keys, goes_before)
  return keys
end

local show

local function show_key(key)
  if is_name(key) then
    return key
  end
  return ("[%s]"):format(type(key) == "string" and quote(key) or tostring(key))
end

-- Returns the fields of a table, each as a text; the list first.
local function show_fields(value, indent, state)
  local fields, length = {}, 0
  while rawget(value, length + 1) ~= nil do
    length = length + 1
  end
  local keys = sorted_keys(value, length)
  local total = length + #keys
  for index = 1, math.min(total, MAX_FIELDS) do
    if state.left <= 0 then
      fields[index] = ("… %d more"):format(total - index + 1)
      return fields
    end
    local key = keys[index - length]
    local text = show(rawget(value, index > length and key or index), indent + 2, state)
    fields[index] = index > length and show_key(key) .. " = " .. text or text
  end
  if total > MAX_FIELDS then
    fields[#fields + 1] = ("… %d more"):format(total - MAX_FIELDS)
  end
  return fields
end

local function show_table(value, indent, state)
  if state.around[value] then
    return "<cycle>"
  elseif next(value) == nil then
    return "{}"
  elseif indent >= 2 * MAX_DEPTH then
    return "{…}"
  end
  state.around[value] = true
  local fields = show_fields(value, indent, state)
  state.around[value] = nil
  local line = "{ " .. table.concat(fields, ", ") .. " }"
  if #line + indent <= WIDTH and not line:find("\n", 1, true) then
    return line
  end
  local margin = (" "):rep(indent)
  return ("{\n%s  %s\n%s}"):format(margin, table.concat(fields, ",\n" .. margin .. "  "), margin)
end

function show(value, indent, state)
  state.left = state.left - 1
  if type(value) == "string" then
    return quote(value)
  elseif value == null then
    return "null"
  elseif type(value) ~= "table" then
    return tostring(value)
  end
  local meta = getmetatable(value)
  if type(meta) == "table" and rawget(meta, "__tostring") then
    local ok, text = pcall(tostring, value)
    if ok and type(text) == "string" then
      return text
    end
  end
  return show_table(value, indent, state)
end

local repl = {}

---Writes values as an interactive session shows them: strings as they are, tables by what is in them.
function repl.present(...)
  local texts = {}
  for index = 1, select("#", ...) do
    local value = select(index, ...)
    texts[index] = type(value) == "string" and value or show(value, 0, { left = MAX_VALUES, around = {} })
  end
  if texts[1] then
    io.write(table.concat(texts, "\t"), "\n")
  end
end

-- Returns the tables in which an index of a value is looked up; a function as `__index` ends the list.
local function homes(value)
  local found, seen = {}, {}
  if type(value) ~= "table" then
    value = (getmetatable(value) or {}).__index
  end
  while type(value) == "table" and not seen[value] do
    found[#found + 1], seen[value] = value, true
    local meta = getmetatable(value)
    value = type(meta) == "table" and rawget(meta, "__index") or nil
  end
  return found
end

local function look_up(value, name)
  for _, home in ipairs(homes(value)) do
    local found = rawget(home, name)
    if found ~= nil then
      return found
    end
  end
end

local function is_callable(value)
  if type(value) == "table" then
    local meta = getmetatable(value)
    return type(meta) == "table" and rawget(meta, "__call") ~= nil
  end
  return type(value) == "function"
end

-- Returns the names of a value with a prefix, each once and sorted; those with an underscore only if one is typed.
local function names_of(value, prefix, wants_methods)
  local names, seen = {}, {}
  for _, home in ipairs(homes(value)) do
    for name, field in next, home do
      local fits = is_name(name) and name:sub(1, #prefix) == prefix and (prefix ~= "" or name:sub(1, 1) ~= "_")
      if fits and not seen[name] and (not wants_methods or is_callable(field)) then
        names[#names + 1], seen[name] = name, true
      end
    end
  end
  return names
end

---Returns the completions of a name: globals, fields after a dot, methods after a colon. Calls nothing.
---@param text string
---@return string names, each on a line
function repl.complete(text)
  local path, separator, prefix = text:match("^([%a_][%w_.]*)([.:])([%w_]*)$")
  if not path and not text:find("^[%w_]*$") then
    return ""
  end
  local value = globals
  for name in (path or ""):gmatch("[^.]+") do
    value = look_up(value, name)
  end
  local names = names_of(value, prefix or text, separator == ":")
  for word in pairs(KEYWORDS) do
    if not path and text ~= "" and word:sub(1, #text) == text then
      names[#names + 1] = word
    end
  end
  table.sort(names)
  local stem = path and path .. separator or ""
  for index = 1, math.min(#names, MAX_NAMES) do
    names[index] = stem .. names[index]
  end
  return table.concat(names, "\n", 1, math.min(#names, MAX_NAMES))
end

local function look_for_interrupt()
  bridge.heed_signals()
end

---Begins a chunk: from here on, Ctrl-C ends it wherever it is, and with it the tasks that it begins.
function repl.begin()
  local scheduler = bridge.loaded("openai.scheduler")
  if scheduler then
    scheduler.begin_era()
  end
  bridge.sethook(look_for_interrupt, "", STRIDE)
end

---Lets tasks go on that need not wait; raises a failure that nobody has asked about.
---@param seconds number how long to wait for the first
---@return boolean whether one went on
function repl.turn(seconds)
  repl.begin()
  local scheduler = bridge.loaded("openai.scheduler")
  return scheduler ~= nil and scheduler.turn(seconds)
end

---Ends the tasks of the chunk that Python has left upon Ctrl-C.
function repl.recover()
  local scheduler = bridge.loaded("openai.scheduler")
  if scheduler then
    scheduler.end_era()
  end
end

-- Compiled code runs no hooks.
jit.off()
jit.flush()

return repl
