-- Prepares a fresh Lua state for scripts: module search, os.exit, errors; runs once, before any script.

---@class luaopenai.Settings
---@field folder string the folder of the bundled Lua files
---@field path string package.path
---@field cpath string package.cpath

local as_function, exports, settings = ...
---@cast settings luaopenai.Settings

local debug, package, io, os, loadstring, require = debug, package, io, os, loadstring, require
local error, pairs, pcall, rawget, rawset, select, setmetatable, tostring, type, unpack, xpcall =
  error, pairs, pcall, rawget, rawset, select, setmetatable, tostring, type, unpack, xpcall
local getmetatable, loadfile, sethook, traceback = debug.getmetatable, loadfile, debug.sethook, debug.traceback

-- Python objects stay out of scripts' hands: they could reach all of Python through one.
rawset(_G, "python", nil)
package.loaded.python = nil

local function leave()
  error("leaving Lua", 0)
end

-- What C holds back of a script's output would come after what Python prints next. A script may have closed it.
local stdout = io.stdout
local function flush()
  pcall(stdout.flush, stdout)
end

-- Python keeps what it wants to raise (an exit, an interrupt) and says so with nil. The hook then throws after every
-- instruction, so that no pcall on the way out can hold on.
local function depart()
  flush()
  sethook(leave, "", 1)
  leave()
end

local interrupt

-- A Python function raises only where an interrupt hits it before it can keep that back.
local function unwrap_soft(called, ok, ...)
  if not called then
    interrupt = ok
  end
  if not called or ok == nil then
    depart()
  end
  return ok, ...
end

local function unwrap(called, ok, ...)
  if called and ok then
    return ...
  end
  error((select(2, unwrap_soft(called, ok, ...))), 0)
end

-- What lupa makes a Python object of it finds again by the coroutine that it came from, which may be gone by then. So
-- such values stay here, and Python fetches them from the main state.
local boxes, last_box = {}, 0

local function unbox(number)
  local values = boxes[number]
  boxes[number] = nil
  return values.n, unpack(values, 1, values.n)
end

local PLAIN = { ["nil"] = true, boolean = true, number = true, string = true }

-- Calls a Python function; tells it first which box its arguments are in, if they are in one.
local function pass(f, ...)
  local count = select("#", ...)
  for index = 1, count do
    if not PLAIN[type((select(index, ...)))] then
      local number = last_box + 1
      last_box, boxes[number] = number, { n = count, ... }
      return f(number)
    end
  end
  return f(false, ...)
end

-- A Python function as a Lua function that raises a string when Python fails.
local function wrap(python_function)
  local f = as_function(python_function)
  return function(...)
    return unwrap(pcall(pass, f, ...))
  end
end

-- The same, but it returns `true, results` or `false, message`.
local function wrap_soft(python_function)
  local f = as_function(python_function)
  return function(...)
    return unwrap_soft(pcall(pass, f, ...))
  end
end

---@class luaopenai.Bridge what every bundled file gets as its second argument
local bridge = { wrap = wrap, wrap_soft = wrap_soft }
local says_how_it_went = {}
for _, name in pairs({ "open", "read", "host", "begin_open", "begin_read", "begin_host", "take" }) do
  says_how_it_went[name] = true
end
for name, python_function in pairs(exports) do
  bridge[name] = (says_how_it_went[name] and wrap_soft or wrap)(python_function)
end
bridge.sethook = sethook

local templates = settings.folder .. "/?.lua;" .. settings.folder .. "/?/init.lua"
local bundled_modules = {}

-- A bundled module, whatever the script has installed or put into package.loaded.
function bridge.bundled(name)
  local module = bundled_modules[name]
  if module == nil then
    local chunk = assert(loadfile(assert(package.searchpath(name, templates))))
    module = chunk(name, bridge)
    bundled_modules[name] = module
  end
  return module
end

local always_ours = { ["socket.http"] = true, ["ssl.https"] = true }

local function find_bundled(name)
  if name:find("^luaopenai%.") then
    return "\n\tno public module '" .. name .. "'"
  end
  if package.searchpath(name, templates) then
    return bridge.bundled
  end
  return "\n\tno bundled module '" .. name .. "'"
end

local function find_ours(name)
  if always_ours[name] or name == "openai" or name:find("^openai%.") then
    return find_bundled(name)
  end
end

package.path, package.cpath = settings.path, settings.cpath
table.insert(package.loaders, 2, find_ours)
table.insert(package.loaders, find_bundled)

os.exit = bridge.exit

local function show_field(value)
  return type(value) == "string" and ("%q"):format(value) or tostring(value)
end

-- A table as error value, by its fields.
local function show_table(value)
  local fields = {}
  for key, field in pairs(value) do
    fields[#fields + 1] = (type(key) == "string" and key or "[" .. tostring(key) .. "]") .. " = " .. show_field(field)
  end
  table.sort(fields)
  return "{" .. table.concat(fields, ", ") .. "}"
end

local function show(value)
  if type(value) ~= "table" then
    return tostring(value)
  end
  local meta = getmetatable(value)
  local ok, text = pcall((meta and rawget(meta, "__tostring")) and tostring or show_table, value)
  return ok and type(text) == "string" and text or "(error object is a table)"
end

-- The innermost line of the script's own code, from a level of the stack outwards.
local function find_line(level)
  local info = debug.getinfo(level + 1, "Sl")
  while info and (info.what == "C" or info.source:find("@" .. settings.folder, 1, true)) do
    level = level + 1
    info = debug.getinfo(level + 1, "Sl")
  end
  if info then
    return info.short_src, info.currentline
  end
end

-- Where an error was raised; a handler of xpcall asks with level 2.
local function locate(level)
  local chunk, line = find_line(level + 1)
  local text = traceback("", level + 1):gsub("^\n", "")
  -- Without this file's own frames at its foot.
  text = text:match("^(.*)\n\t%[C%]: in function 'xpcall'\n[^\n]*$") or text
  return { traceback = text, chunk = chunk, line = line }
end

-- The origin of the error that `bridge.protect` caught last, and of the one that `bridge.rethrow` passes on.
local caught, passing

---Does what pcall does, and remembers where the error came from.
function bridge.protect(f, ...)
  return xpcall(f, function(value)
    caught = passing and rawequal(passing.value, value) and passing or locate(2)
    caught.value, passing = value, nil
    return value
  end, ...)
end

---Where the error came from that `bridge.protect` caught last.
---@param f? function stands for the place where a tail call has left none of the script's lines
function bridge.origin(f)
  if caught and not caught.line and type(f) == "function" then
    local info = debug.getinfo(f, "S")
    if info.what == "Lua" then
      caught.chunk, caught.line = info.short_src, info.linedefined
      caught.traceback = ("%s\n\t%s:%d: in a function that ended with a call"):format(
        caught.traceback,
        info.short_src,
        info.linedefined
      )
    end
  end
  return caught
end

---Raises what `bridge.protect` caught, as if it had never been caught.
---@param value any
---@param origin? table what `bridge.origin` said of it; the last when left out
function bridge.rethrow(value, origin)
  passing = origin or caught
  error(value, 0)
end

local function describe(value)
  local origin = passing and rawequal(passing.value, value) and passing or locate(2)
  passing = nil
  origin.message = show(value)
  return origin
end

local function finish(ok, ...)
  flush()
  if ok then
    return true, ...
  end
  local failure = ...
  if type(failure) ~= "table" then
    -- There was no room for `describe`.
    return false, tostring(failure), nil, nil, ""
  end
  return false, failure.message, failure.chunk, failure.line, failure.traceback
end

-- Calls a function; returns true and its results, or false, message, chunk, line and traceback.
local function run(f, ...)
  return finish(xpcall(f, describe, ...))
end

-- What a task calls for Python: its work, which a thread does, has come back to Lua.
function bridge.answer_call(ticket, ...)
  bridge.answer(ticket, run(...))
end

-- A Python function of the host's as one that raises a string when it fails. In a task it is begun, and waited for.
local function wrap_waiting(call, begin)
  local f, begun = as_function(call), wrap(begin)
  local waiting = bridge.bundled("openai.wait").waiting(function(...)
    return pcall(pass, f, ...)
  end, function(...)
    return true, begun(bridge.callback(), ...)
  end)
  return function(...)
    return unwrap(waiting(...))
  end
end

local null = require("string.buffer").decode("\3")
local array_mt = bridge.bundled("cjson.sentinels").array_mt

return {
  -- What Python raised and could not keep; once.
  interrupt = function()
    local raised = interrupt
    interrupt = nil
    return raised
  end,
  null = null,
  is_null = function(value)
    return value == null
  end,
  is_array = function(value)
    return getmetatable(value) == array_mt
  end,
  empty_array = function()
    return setmetatable({}, array_mt)
  end,
  wrap_waiting = wrap_waiting,
  unbox = unbox,
  run = run,
  -- The walls and limits for code that is not trusted.
  sandbox = function(...)
    return bridge.bundled("luaopenai.sandbox")(...)
  end,
  -- Runs what the script has spawned to its end.
  drain = function()
    if bridge.drain then
      bridge.drain()
    end
  end,
  -- Python has left Lua in their midst.
  forget_tasks = function()
    if bridge.forget_tasks then
      bridge.forget_tasks()
    end
  end,
  -- Called from Python without arguments, ends the throwing that `depart` began.
  sethook = sethook,
  loadfile = loadfile,
  loadstring = loadstring,
  require = require,
  set_arg = function(arg)
    rawset(_G, "arg", arg)
  end,
}
