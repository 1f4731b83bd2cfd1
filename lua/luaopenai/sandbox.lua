-- The walls and limits of a plugin: what it can reach, how long it may run, how much it may say.

local _, bridge = ...
local wire = bridge.bundled("luaopenai.wire")

local collectgarbage, debug, error, getmetatable, ipairs, load, next, pairs =
  collectgarbage, debug, error, getmetatable, ipairs, load, next, pairs
local select, setmetatable, string, table, tonumber, tostring, type, unpack, xpcall =
  select, setmetatable, string, table, tonumber, tostring, type, unpack, xpcall
local now, sethook = bridge.now, bridge.sethook

-- How many instructions run between two looks at the clock.
local STRIDE = 10000
local NEVER = math.huge

local limits = { deadline = NEVER, bytes = NEVER, output = NEVER }
local exceeded

local function throw()
  error("the plugin was stopped", 0)
end

-- Ends the call: throws after every instruction from here on, so that no pcall can hold on.
local function stop(kind)
  exceeded = exceeded or kind
  sethook(throw, "", 1)
  throw()
end

local function bytes_used()
  return collectgarbage("count") * 1024
end

local function tick()
  if now() > limits.deadline then
    stop("seconds")
  elseif bytes_used() > limits.bytes then
    collectgarbage()
    if bytes_used() > limits.bytes then
      stop("memory_mb")
    end
  end
end

local function say(...)
  local text = table.concat({ ... })
  limits.output = limits.output - #text
  if limits.output < 0 then
    stop("output_kb")
  end
  bridge.write(text)
end

local function copy(from, names)
  local to = {}
  for name in names:gmatch("%S+") do
    to[name] = from[name]
  end
  return to
end

local function make_string_library()
  local library = copy(string, "byte char find format gmatch gsub len lower match reverse sub upper")
  function library.rep(text, count, separator)
    local length = (#tostring(text) + #(separator or "")) * (tonumber(count) or 0)
    if length > limits.bytes then
      stop("memory_mb")
    end
    return string.rep(text, count, separator)
  end
  return library
end

-- A plugin's handler must not run once it is being stopped: there, no hook could end it.
local function safe_xpcall(f, handler, ...)
  return xpcall(f, function(value)
    if exceeded or bridge.is_departing() then
      return value
    end
    return handler(value)
  end, ...)
end

local function read_source(source)
  if type(source) ~= "function" then
    return source
  end
  local pieces = {}
  for piece in source do
    if type(piece) ~= "string" or piece == "" then
      break
    end
    pieces[#pieces + 1] = piece
  end
  return table.concat(pieces)
end

---Text only: bytecode can break out of everything.
local function compile(source, name, environment)
  local text = read_source(source)
  if type(text) ~= "string" then
    return nil, "load: expected a string or a function that gives one"
  end
  local chunk, failure = load(text, name or "=(load)", "t", environment)
  return chunk, failure
end

local REQUIRABLE = {}
for name in ([[cjson cjson.safe ltn12 mime openai openai.chat_completions openai.responses openai.sse
  socket.url tableshape]]):gmatch("%S+") do
  REQUIRABLE[name] = true
end

local function make_require(environment, modules)
  local loaded = {}
  return function(name)
    if type(name) ~= "string" then
      error("require: expected a module's name", 2)
    end
    if loaded[name] ~= nil then
      return loaded[name]
    end
    local module
    if REQUIRABLE[name] then
      module = bridge.bundled(name)
    elseif modules then
      local chunk, failure = compile(bridge.module(name), "=" .. name, environment)
      if not chunk then
        error(failure, 0)
      end
      module = chunk(name)
    else
      error(("module '%s' is not for plugins"):format(name), 2)
    end
    loaded[name] = module == nil and true or module
    return loaded[name]
  end
end

-- A list of values as JSON, each nil as null; nil for none.
local function pack(where, ...)
  local count = select("#", ...)
  if count == 0 then
    return nil
  end
  local list = setmetatable({ ... }, wire.array_mt)
  for index = 1, count do
    if list[index] == nil then
      list[index] = wire.null
    end
  end
  return wire.encode(list, where)
end

-- The values of such a list.
local function unpack_text(text)
  if not text then
    return
  end
  local list = wire.decode(text)
  local count = #list
  for index = 1, count do
    if list[index] == wire.null then
      list[index] = nil
    end
  end
  return unpack(list, 1, count)
end

local function make_host(names)
  local host = {}
  for _, name in ipairs(names) do
    host[name] = function(...)
      return unpack_text(bridge.host(name, pack("host." .. name, ...)))
    end
  end
  return host
end

local function make_environment(names, modules)
  local environment = copy(_G, [[assert error ipairs next pairs pcall rawequal rawget rawset select
    tonumber tostring type unpack _VERSION]])
  environment._G = environment
  environment.bit = copy(bit, [[arshift band bnot bor bswap bxor lshift rol ror rshift tobit
    tohex]])
  environment.coroutine = copy(coroutine, "create resume running status wrap yield")
  environment.debug = { traceback = debug.traceback }
  environment.host = make_host(names)
  environment.io = { write = say }
  environment.math = copy(math, [[abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp
    huge ldexp log log10 max min modf pi pow rad random randomseed sin sinh sqrt tan tanh]])
  environment.os = copy(os, "clock date difftime time")
  environment.string = make_string_library()
  environment.table = copy(table, "concat insert maxn remove sort")
  environment.xpcall = safe_xpcall
  environment.require = make_require(environment, modules)

  function environment.getmetatable(value)
    if type(value) == "table" then
      return getmetatable(value)
    end
  end
  function environment.setmetatable(value, meta)
    if type(value) ~= "table" then
      error("bad argument #1 to 'setmetatable' (table expected)", 2)
    end
    return setmetatable(value, meta)
  end
  function environment.collectgarbage(option)
    if option == "count" then
      return collectgarbage("count")
    end
    return 0
  end
  function environment.load(source, name, mode, env)
    if mode == "b" then
      return nil, "load: bytecode is not for plugins"
    end
    return compile(source, name, env or environment)
  end
  function environment.loadstring(source, name)
    return compile(source, name, environment)
  end
  function environment.print(...)
    local words = { ... }
    for index = 1, select("#", ...) do
      words[index] = tostring(words[index])
    end
    say(table.concat(words, "\t"), "\n")
  end
  return environment
end

-- What a plugin makes of the methods of strings is its own affair, but it cannot change them.
local function close_strings(environment)
  local methods = {}
  for name, f in pairs(environment.string) do
    methods[name] = f
  end
  local meta = debug.getmetatable("")
  meta.__index, meta.__metatable = methods, "the methods of strings are closed"
end

local exports

-- The functions of the table that the plugin's file returned, or else those that it has defined.
local function find_exports(environment, before, returned)
  if returned ~= nil and type(returned) ~= "table" then
    error(("the plugin returned a %s; expected a table of functions"):format(type(returned)), 0)
  end
  local found, names = {}, {}
  for name, value in next, returned or environment do
    if type(name) == "string" and type(value) == "function" and (returned or not before[name]) then
      found[name] = value
      names[#names + 1] = name
    end
  end
  if #names == 0 then
    error("the plugin returned no table of functions, and defines none", 0)
  end
  table.sort(names)
  return found, names
end

local function load_plugin(source, name, host_names, modules, is_script)
  local names = {}
  for host_name in host_names:gmatch("[^\n]+") do
    names[#names + 1] = host_name
  end
  local environment = make_environment(names, modules)
  close_strings(environment)
  local before = {}
  for key in next, environment do
    before[key] = true
  end
  local chunk, failure = compile(source, name, environment)
  if not chunk then
    error(failure, 0)
  end
  local returned = chunk()
  if is_script then
    return ""
  end
  exports, names = find_exports(environment, before, returned)
  return table.concat(names, "\n")
end

local function call_export(name, arguments)
  return pack("result", exports[name](unpack_text(arguments)))
end

local sandbox = {}

---Loads a plugin; returns the names of its functions, a line each.
sandbox.load = load_plugin

---Calls one of the plugin's functions; arguments and results are JSON lists, nil where there are none.
sandbox.call = call_export

---Sets the limits for the next call.
---@param deadline number on the clock of `bridge.now`
---@param bytes number of memory in all
---@param output number bytes that it may write
function sandbox.arm(deadline, bytes, output)
  exceeded = nil
  bridge.arrive()
  limits.deadline, limits.bytes, limits.output = deadline, bytes, output
end

---Which limit stopped the last call, and the memory in use.
function sandbox.state()
  return exceeded, bytes_used()
end

function sandbox.collect()
  collectgarbage()
end

-- Called from Python, starts or starts again the looks at the clock.
sandbox.tick, sandbox.stride = tick, STRIDE

return function()
  jit.off()
  return sandbox
end
