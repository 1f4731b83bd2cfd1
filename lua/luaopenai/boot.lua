-- Prepares a fresh Lua state for scripts: module search, os.exit, errors; runs once, before any script.

---@class luaopenai.Settings
---@field folder string the folder of the bundled Lua files
---@field path string package.path
---@field cpath string package.cpath

local as_function, exports, is_soft, settings, compiled, keep_compiled = ...
---@cast settings luaopenai.Settings

local debug, package, io, os, loadstring, require = debug, package, io, os, loadstring, require
local error, pairs, pcall, rawset, select, setmetatable, tostring, type, unpack =
  error, pairs, pcall, rawset, select, setmetatable, tostring, type, unpack
local getmetatable, load, loadfile, sethook = debug.getmetatable, load, loadfile, debug.sethook
local dump = string.dump

-- Python objects stay out of scripts' hands: they could reach all of Python through one.
rawset(_G, "python", nil)
package.loaded.python = nil

local function leave()
  error("leaving Lua", 0)
end

-- Writes the output that C holds back: it would come after Python's next. A script may have closed the file.
local stdout = io.stdout
local function flush()
  pcall(stdout.flush, stdout)
end

-- Leaves Lua for an exception (an exit, an interrupt) that Python keeps. The hook throws after every instruction, so
-- that no pcall on the way out can hold it up.
local function depart()
  flush()
  sethook(leave, "", 1)
  leave()
end

local interrupt

-- Returns a Python function's results. It raises only where an interrupt hits it too early to be kept; a string is
-- Lua's own error: the stack is full, or memory is out.
local function unwrap_soft(called, ok, ...)
  if not called and type(ok) == "string" then
    return false, ok
  elseif not called then
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

-- Values that lupa would wrap as Python objects stay in these boxes, and Python fetches them from the main state: lupa
-- finds a wrapped value by the coroutine that it came from, which may be gone by then.
local boxes, last_box = {}, 0

local function unbox(number)
  local values = boxes[number]
  boxes[number] = nil
  return values.n, unpack(values, 1, values.n)
end

local PLAIN = { ["nil"] = true, boolean = true, number = true, string = true }

-- Calls a Python function; its first argument is the box that holds the others, or false.
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

-- Returns a Python function as a Lua function that raises a string when Python fails.
local function wrap(python_function)
  local f = as_function(python_function)
  return function(...)
    return unwrap(pcall(pass, f, ...))
  end
end

-- Does the same, but the function returns `true, results` or `false, message`.
local function wrap_soft(python_function)
  local f = as_function(python_function)
  return function(...)
    return unwrap_soft(pcall(pass, f, ...))
  end
end

-- Every bundled file gets this table as its second argument; bridge.lua documents it.
local bridge = { wrap = wrap, folder = settings.folder, sethook = sethook }
---@cast bridge luaopenai.Bridge
for name, python_function in pairs(exports) do
  bridge[name] = (is_soft[name] and wrap_soft or wrap)(python_function)
end

-- Returns one of our files as a function. To compile them takes most of a state's start, so a process that has many
-- states keeps them as bytecode.
local function load_ours(path)
  if not compiled then
    return assert(loadfile(path))
  elseif compiled[path] then
    return assert(load(compiled[path], "@" .. path, "b"))
  end
  local chunk = assert(loadfile(path))
  as_function(keep_compiled)(path, dump(chunk))
  return chunk
end

local templates = settings.folder .. "/?.lua;" .. settings.folder .. "/?/init.lua"
local bundled_modules = {}

-- Returns a bundled module, whatever the script has installed or put into package.loaded.
function bridge.bundled(name)
  local module = bundled_modules[name]
  if module == nil then
    module = load_ours(assert(package.searchpath(name, templates)))(name, bridge)
    bundled_modules[name] = module
  end
  return module
end

-- Returns a bundled module that somebody has asked for before, or nil.
function bridge.loaded(name)
  return bundled_modules[name]
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
bridge.bundled("luaopenai.waits")

local errors = bridge.bundled("luaopenai.errors")
bridge.protect, bridge.failure, bridge.rethrow = errors.protect, errors.failure, errors.rethrow
debug.traceback = errors.traceback -- luacheck: ignore 122

local function finish(f, ok, ...)
  flush()
  if ok then
    return true, ...
  end
  return false, errors.report(errors.failure((...), f))
end

-- Calls a function; returns true and its results, or false and what `errors.report` returns for its error.
local function run(f, ...)
  return finish(f, errors.protect(f, ...))
end

bridge.run = run

-- Seals the bridge: no file of ours puts anything on it for another.
setmetatable(bridge, {
  __index = function(_, name)
    error("there is no bridge." .. tostring(name), 2)
  end,
  __newindex = function(_, name)
    error("the bridge is sealed: " .. tostring(name), 2)
  end,
})

-- Returns the results of a call; raises its error, or the one that kept it from beginning.
local function unwrap_call(has_begun, ok, ...)
  if not has_begun then
    error(ok, 0)
  end
  return unwrap(true, ok, ...)
end

-- Returns an operation that calls a Python function as a Lua function that raises a string when that fails.
local function wrap_waiting(operation)
  local waiting = bridge.bundled("openai.wait").waiting(wrap_soft(operation))
  return function(...)
    return unwrap_call(waiting(...))
  end
end

local null = require("string.buffer").decode("\3")
local array_mt = bridge.bundled("cjson.sentinels").array_mt

return {
  -- Returns, once, the exception that Python raised and could not keep.
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
  -- Returns the chunk and the line of a syntax error.
  position = errors.position,
  -- Builds the walls and limits for code that is not trusted.
  sandbox = function(...)
    return bridge.bundled("luaopenai.sandbox")(...)
  end,
  -- Returns the functions of the interactive mode.
  repl = function()
    return bridge.bundled("luaopenai.repl")
  end,
  -- The worker's of `luaopenai map`.
  map = function()
    return bridge.bundled("luaopenai.map")
  end,
  -- Returns the function that finds the tools of a trusted file.
  chat = function()
    return bridge.bundled("luaopenai.chat")
  end,
  -- Runs what the script has spawned to its end.
  drain = function()
    local scheduler = bridge.loaded("openai.scheduler")
    if scheduler then
      scheduler.drain()
    end
  end,
  -- Forgets all tasks: Python has left Lua, and nobody will go on with them.
  forget_tasks = function()
    local scheduler = bridge.loaded("openai.scheduler")
    if scheduler then
      scheduler.forget()
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
