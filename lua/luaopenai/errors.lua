-- Finds where a script failed, and makes tracebacks that leave our own files out.

local _, bridge = ...
local util = require("jit.util")

local assert, band, error, ipairs, pairs, pcall, rawequal, rawget, tonumber, tostring, type, xpcall =
  assert, bit.band, error, ipairs, pairs, pcall, rawequal, rawget, tonumber, tostring, type, xpcall
local getinfo, getmetatable, native_traceback = debug.getinfo, debug.getmetatable, debug.traceback
local concat, floor, max, sort, status = table.concat, math.floor, math.max, table.sort, coroutine.status

local OURS = "@" .. bridge.folder .. "/"
local OUT_OF_MEMORY = "not enough memory"

-- Of a deep stack Lua shows the first 12 frames and the last 10; nobody looks at more than this many at either end.
local FIRST, LAST, LOOKED_AT = 12, 10, 50

---@class luaopenai.Failure what is known of an error
---@field value any what was raised
---@field chunk? string the name of the chunk of the script's innermost frame
---@field line? integer the line there
---@field traceback string "" where nothing of it is known
---@field is_memory? boolean whether LuaJIT could get no memory

-- Made beforehand: when memory is out, there may be none for a table.
local NO_MEMORY = { value = OUT_OF_MEMORY, traceback = "", is_memory = true }

local errors = {}

local function is_scripts(info)
  return info.what ~= "C" and info.source:sub(1, #OURS) ~= OURS
end

-- Levels count from the function that calls one of these, or from 0 in a coroutine that is suspended or dead.
local function look(thread, level, what)
  if thread then
    return getinfo(thread, level, what)
  end
  local info = getinfo(level + 1, what)
  return info
end

-- Returns the outermost level; nil where it is among those that are looked at anyway.
local function find_last(thread, level)
  local own = thread and 0 or 1
  local known, unknown = level, level + 2 * LOOKED_AT
  if not look(thread, unknown + own, "l") then
    return
  end
  while look(thread, unknown + own, "l") do
    known, unknown = unknown, unknown * 2
  end
  while unknown - known > 1 do
    local middle = floor((known + unknown) / 2)
    if look(thread, middle + own, "l") then
      known = middle
    else
      unknown = middle
    end
  end
  return known
end

local function show_script_frame(info)
  local at = ("\n\t%s:%s"):format(info.short_src, info.currentline > 0 and info.currentline .. ":" or "")
  if info.namewhat ~= "" then
    return ("%s in function '%s'"):format(at, info.name)
  elseif info.what == "main" then
    return at .. " in main chunk"
  end
  return ("%s in function <%s:%d>"):format(at, info.short_src, info.linedefined)
end

-- Returns one line for what a script has called: C's functions and ours look alike to it.
local function show_library_frame(info)
  return "\n\t[C]: in " .. (info.namewhat ~= "" and ("function '%s'"):format(info.name) or "?")
end

-- Returns the lines of a traceback from a level outwards, and the script's innermost frame.
local function read_stack(thread, level)
  level = level + (thread and 0 or 1)
  local lines, called, innermost = {}, nil, nil
  local last, middle = find_last(thread, level), level + LOOKED_AT
  while true do
    if last and level == middle then
      lines[#lines + 1], called, level = "\n\t...", nil, last - LOOKED_AT
    end
    local info = look(thread, level, "Snl")
    if not info then
      return lines, innermost
    elseif is_scripts(info) then
      lines[#lines + 1] = called and show_library_frame(called)
      lines[#lines + 1] = show_script_frame(info)
      called, innermost = nil, innermost or info
    else
      called = info
    end
    level = level + 1
  end
end

local function join(lines)
  local text = { "stack traceback:" }
  for index, line in ipairs(lines) do
    if #lines <= FIRST + LAST or index <= FIRST or index > #lines - LAST then
      text[#text + 1] = line
    elseif index == FIRST + 1 then
      text[#text + 1] = "\n\t..."
    end
  end
  return concat(text)
end

-- Returns the failure for an error at a level of the stack.
local function examine(value, thread, level)
  local lines, innermost = read_stack(thread, level + (thread and 0 or 1))
  return {
    value = value,
    chunk = innermost and innermost.short_src,
    line = innermost and innermost.currentline,
    traceback = join(lines),
  }
end

-- The last handler's error, and the failure that it made of that: nil where the stack had no room for it.
local handled, caught
-- The failure that `errors.rethrow` passes on.
local passing

-- Returns the failure for an error. Runs in a handler, in pcall: level 4 is the function that raised it.
local function describe(value)
  local raiser = getinfo(5, "f")
  if passing and rawequal(passing.value, value) and raiser and raiser.func == errors.rethrow then
    return passing
  end
  -- No tail call: the levels count from here.
  local failure = examine(value, nil, 4)
  return failure
end

-- Keeps the failure for an error. It is small, for it has the few slots that LuaJIT keeps free when a stack is full.
local function handler(value)
  handled, caught = value, nil
  if passing == NO_MEMORY and value == OUT_OF_MEMORY then
    caught = passing
    return value
  end
  local ok, failure = pcall(describe, value)
  caught = ok and failure or nil
  return value
end

---Calls a function as pcall does, and keeps what `errors.failure` returns.
function errors.protect(f, ...)
  return xpcall(f, handler, ...)
end

local function last_instruction(f)
  return band(util.funcbc(f, util.funcinfo(f).bytecodes - 1), 0xff)
end

local TAIL_CALLS = {
  [last_instruction(function(f)
    return f()
  end)] = true,
  [last_instruction(function(f, ...)
    return f(...)
  end)] = true,
}

-- Returns the line of a function's tail call, which leaves no frame; its first line where it has several.
local function find_tail_call(f, info)
  local found
  for at = 1, util.funcinfo(f).bytecodes - 1 do
    if TAIL_CALLS[band(util.funcbc(f, at), 0xff)] then
      local line = util.funcinfo(f, at).currentline
      if found and found ~= line then
        return max(info.linedefined, 1)
      end
      found = line
    end
  end
  return found or max(info.linedefined, 1)
end

-- Names a function as the origin of an error that has left none of the script's frames.
local function blame(failure, f)
  local info = getinfo(f, "S")
  if not is_scripts(info) then
    return
  end
  info.namewhat, info.currentline = "", find_tail_call(f, info)
  failure.chunk, failure.line = info.short_src, info.currentline
  failure.traceback = (failure.traceback ~= "" and failure.traceback or "stack traceback:") .. show_script_frame(info)
end

-- Returns the failure for an error that no handler was called for: memory is out or, at times, the stack is full.
local function unhandled(value)
  if value == OUT_OF_MEMORY and handled ~= value then
    return NO_MEMORY
  end
  local failure = { value = value, traceback = "" }
  if type(value) == "string" then
    failure.chunk, failure.line = errors.position(value)
  end
  return failure
end

---Returns the chunk and the line that a message of Lua's begins with.
---@param message string
---@return string? chunk
---@return integer? line
function errors.position(message)
  local chunk, line = message:match("^([^\n]-):(%d+): ")
  return chunk, tonumber(line)
end

---Returns the failure for the error that `errors.protect` has just returned.
---@param value any the error
---@param f any the function; the origin where a tail call has left none of the script's frames
---@return luaopenai.Failure
function errors.failure(value, f)
  local failure = caught
  if not (failure and rawequal(failure.value, value)) then
    failure = unhandled(value)
  end
  handled, caught = nil, nil
  if not failure.line and not failure.is_memory and type(f) == "function" then
    blame(failure, f)
  end
  return failure
end

---Raises a caught error as if it had never been caught.
---@param failure luaopenai.Failure
function errors.rethrow(failure)
  passing = failure
  error(failure.value, 0)
end

---Raises a syntax error, which has a position but no traceback.
---@param message string
function errors.throw_syntax(message)
  local chunk, line = errors.position(message)
  errors.rethrow({ value = message, chunk = chunk, line = line, traceback = "" })
end

---Raises the error of a coroutine's resume as if it had come from inside of the coroutine.
---@param value any
---@param thread thread|false false where the coroutine could not run
function errors.throw_from(value, thread)
  if not thread or status(thread) ~= "dead" then
    error(value, 0)
  end
  local raiser = value == OUT_OF_MEMORY and getinfo(thread, 0, "f")
  -- Whoever raises that text by hand has called one of these.
  if raiser and raiser.func ~= error and raiser.func ~= assert then
    errors.rethrow(NO_MEMORY)
  end
  errors.rethrow(examine(value, thread, 0))
end

local function show_field(value)
  return type(value) == "string" and ("%q"):format(value) or tostring(value)
end

-- Shows a table, as an error's value, by its fields.
local function show_table(value)
  local fields = {}
  for key, field in pairs(value) do
    fields[#fields + 1] = (type(key) == "string" and key or "[" .. tostring(key) .. "]") .. " = " .. show_field(field)
  end
  sort(fields)
  return "{" .. concat(fields, ", ") .. "}"
end

local function show(value)
  if type(value) ~= "table" then
    return tostring(value)
  end
  local meta = getmetatable(value)
  local ok, text = pcall((meta and rawget(meta, "__tostring")) and tostring or show_table, value)
  return ok and type(text) == "string" and text or "(error object is a table)"
end

---Returns the form in which Python gets an error value that is no string.
---@param value any
---@return any
function errors.export(value)
  return value
end

---Returns a failure's fields in the form that Python takes.
---@param failure luaopenai.Failure
---@return string message
---@return string? chunk
---@return integer? line
---@return string traceback
---@return any value nil for a string, which the message tells
---@return boolean is_memory
function errors.report(failure)
  local value = failure.value
  local exported
  if value ~= nil and type(value) ~= "string" then
    exported = errors.export(value)
  end
  return show(value), failure.chunk, failure.line, failure.traceback, exported, failure.is_memory or false
end

-- Makes a traceback as debug.traceback does; `errors.traceback` is level 3 here, and level 0 to the script.
local function trace(thread, message, level)
  if message ~= nil and type(message) ~= "string" and type(message) ~= "number" then
    return message
  end
  local lines = read_stack(thread, thread and (level or 0) or (level or 1) + 3)
  return (message and message .. "\n" or "") .. join(lines)
end

---Makes a traceback as debug.traceback does, without our own files.
function errors.traceback(...)
  local ok, text
  if type((...)) == "thread" then
    ok, text = pcall(trace, ...)
  else
    ok, text = pcall(trace, nil, ...)
  end
  if ok then
    return text
  end
  return native_traceback(...)
end

return errors
