-- Builds the walls and limits of a plugin: what it can reach, how long it may run, how much it may write.

local _, bridge = ...
local errors = bridge.bundled("luaopenai.errors")
local offered = bridge.bundled("luaopenai.offered")
local wait = bridge.bundled("openai.wait")
local wire = bridge.bundled("luaopenai.wire")

local collectgarbage, coroutine, debug, error, getmetatable, ipairs, jit, load, math, next, os, pairs, pcall =
  collectgarbage, coroutine, debug, error, getmetatable, ipairs, jit, load, math, next, os, pairs, pcall
local rawget, select, setmetatable, string, table, tonumber, tostring, type, unpack =
  rawget, select, setmetatable, string, table, tonumber, tostring, type, unpack
local now, held, sethook = bridge.now, bridge.held, bridge.sethook

-- How many instructions run between two looks at the clock.
local STRIDE = 10000
local NEVER = math.huge

local limits = { deadline = NEVER, bytes = NEVER, output = NEVER }
local exceeded
local peak = 0

local function throw()
  error("the plugin was stopped", 0)
end

-- Ends the call: throws after every instruction from here on, so that no pcall can hold it up.
local function stop(kind)
  exceeded = exceeded or kind
  sethook(throw, "", 1)
  throw()
end

local function bytes_used()
  return collectgarbage("count") * 1024
end

-- Ends the call unless there is room for so many more bytes; those that Python holds for the plugin count, too.
local function need(bytes)
  local used = bytes_used() + held()
  peak = math.max(peak, used)
  if used + bytes > limits.bytes then
    collectgarbage()
    if bytes_used() + held() + bytes > limits.bytes then
      stop("memory_mb")
    end
  end
end

local tick
function tick()
  -- It may have been made to fire at once.
  sethook(tick, "", STRIDE)
  if now() > limits.deadline then
    stop("seconds")
  end
  need(0)
end

local function say(...)
  local text = table.concat({ ... })
  if text == "" then
    return
  end
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

-- How many coroutines, calls of gsub and sorts may run inside one another: they take of C's stack, unwatched by LuaJIT.
local MAX_NESTING = 60
local TOO_MANY = "stack overflow: too many calls inside one another"
local nesting = 0

local function unnest(...)
  nesting = nesting - 1
  return ...
end

local function unwrap(f, ok, ...)
  if not ok then
    errors.rethrow(errors.failure((...), f))
  end
  return ...
end

-- Loads what tasks need, upon a resume that is counted: so theirs are.
local scheduler
local function load_tasks()
  local resume = coroutine.resume
  coroutine.resume = function(thread, ...) -- luacheck: ignore 122
    if type(thread) ~= "thread" then
      error("bad argument #1 to 'resume' (coroutine expected)", 2)
    end
    if nesting >= MAX_NESTING then
      return false, TOO_MANY
    end
    nesting = nesting + 1
    return unnest(resume(thread, ...))
  end
  bridge.bundled("openai.tasks")
  scheduler = bridge.bundled("openai.scheduler")
end

local function make_coroutine_library()
  local library = copy(coroutine, "create resume running status yield")
  local function unwrap_resume(thread, ok, ...)
    if not ok then
      errors.throw_from((...), thread)
    end
    return ...
  end
  function library.wrap(f)
    local thread = coroutine.create(f)
    return function(...)
      local is_alive = coroutine.status(thread) == "suspended"
      return unwrap_resume(is_alive and thread, library.resume(thread, ...))
    end
  end
  return library
end

-- Returns a function of C's that calls back as one whose nesting is counted.
local function counted(f)
  return function(...)
    if nesting >= MAX_NESTING then
      error(TOO_MANY, 2)
    end
    nesting = nesting + 1
    return unwrap(f, unnest(errors.protect(f, ...)))
  end
end

-- Returns a value's text for string.format, which would call `__tostring` on C's stack, as often as it gives a table.
local function shown(value)
  if type(value) ~= "table" then
    return value
  end
  local text = tostring(value)
  if type(text) ~= "string" then
    error("'__tostring' must return a string", 3)
  end
  return text
end

local function make_string_library()
  local library = copy(string, "byte char find gmatch len lower match reverse sub upper")
  library.gsub = counted(string.gsub)
  function library.format(format, ...)
    local values = { ... }
    for index = 1, select("#", ...) do
      values[index] = shown(values[index])
    end
    return string.format(format, unpack(values, 1, select("#", ...)))
  end
  function library.rep(text, count, separator)
    need((#tostring(text) + #tostring(separator or "")) * math.max(tonumber(count) or 0, 0))
    return string.rep(text, count, separator)
  end
  return library
end

local function make_table_library()
  local library = copy(table, "concat insert maxn remove")
  library.sort = counted(table.sort)
  -- From a position far outside of the list, table.insert counts all the way to it, and no hook could end that.
  function library.insert(list, ...)
    local position = ...
    if select("#", ...) == 2 and type(list) == "table" and tonumber(position) then
      -- NaN is neither within nor outside of any bounds.
      if not (tonumber(position) >= 1 and tonumber(position) <= #list + 1) then
        error("bad argument #2 to 'insert' (position out of bounds)", 2)
      end
    end
    return table.insert(list, ...)
  end
  return library
end

-- Reads the fields of os.time's table raw: the function would call `__index` on C's stack.
local function make_os_library()
  local library = copy(os, "clock date difftime")
  local time = os.time
  function library.time(date)
    if type(date) ~= "table" then
      return time(date)
    end
    local fields = {}
    for _, name in ipairs({ "year", "month", "day", "hour", "min", "sec", "isdst" }) do
      fields[name] = rawget(date, name)
    end
    return time(fields)
  end
  return library
end

-- The traceback of the error for which a plugin's handler runs.
local handled_traceback

local function handle(handler, f, ok, ...)
  if ok then
    return true, ...
  end
  handled_traceback = errors.failure((...), f).traceback
  local _, value = pcall(handler, ...)
  handled_traceback = nil
  return false, value
end

-- Runs the plugin's handler when the stack is unwound: before, no hook could end it while the plugin is stopped.
local function safe_xpcall(f, handler, ...)
  return handle(handler, f, errors.protect(f, ...))
end

local function traceback(...)
  local message = ...
  if handled_traceback and (message == nil or type(message) == "string" or type(message) == "number") then
    return (message and message .. "\n" or "") .. handled_traceback
  end
  return errors.traceback(...)
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

---Compiles text only: bytecode can break out of everything.
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
  socket.url tableshape tableshape.ext.json_schema tableshape.ext.with_args tableshape.moonscript]]):gmatch("%S+") do
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
    elseif name:find("^openai%.compat%.") then
      error(("module '%s' is there when the host's client speaks to that company's server"):format(name), 2)
    elseif modules then
      local chunk, message = compile(bridge.module(name), "=" .. name, environment)
      if not chunk then
        errors.throw_syntax(message)
      end
      module = chunk(name)
    else
      error(("module '%s' is not for plugins"):format(name), 2)
    end
    loaded[name] = module == nil and true or module
    return loaded[name]
  end
end

-- Encodes a list of values as JSON, each nil as null; returns nil for none.
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

-- Returns the values of such a list.
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

local ask = wait.waiting(bridge.host)

local function answered(ok, text)
  if not ok then
    error(text, 0)
  end
  return unpack_text(text)
end

local function make_host(names)
  local host = {}
  for _, name in ipairs(names) do
    host[name] = function(...)
      return answered(ask(name, pack("host." .. name, ...)))
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
  environment.coroutine = make_coroutine_library()
  environment.debug = { traceback = traceback }
  environment.host = make_host(names)
  environment.io = { write = say }
  environment.math = copy(math, [[abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp
    huge ldexp log log10 max min modf pi pow rad random randomseed sin sinh sqrt tan tanh]])
  environment.os = make_os_library()
  environment.string = make_string_library()
  environment.table = make_table_library()
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

-- Closes the methods of strings: a plugin may use them, but not change them.
local function close_strings(environment)
  local methods = {}
  for name, f in pairs(environment.string) do
    methods[name] = f
  end
  local meta = debug.getmetatable("")
  meta.__index, meta.__metatable = methods, "the methods of strings are closed"
end

-- The functions that the host may call: the plugin's own by their names, its tools' by `offered.key`.
local exports
-- The declarations of the plugin's tools for the host, as a JSON list; nil for none.
local offers

-- Keeps what the plugin's file has made; returns the names of its functions.
local function take_exports(...)
  local found, names, tools = offered.find(...)
  offers = tools[1] and pack("tools", tools) or nil
  exports = found
  return names
end

local function flush() end

-- Gives a script what plugins do not have, and returns its arguments.
local function add_script_parts(environment, path, args, variables)
  environment.arg = { [0] = path, unpack(args) }
  function environment.os.getenv(name)
    if type(name) ~= "string" then
      error("bad argument #1 to 'getenv' (string expected, got " .. type(name) .. ")", 2)
    end
    return variables[name]
  end
  environment.io.flush = flush
  environment.io.stdout = {
    flush = flush,
    setvbuf = flush,
    write = function(self, ...)
      say(...)
      return self
    end,
  }
  return args
end

local function read_lines(text)
  local lines = {}
  for line in text:gmatch("[^\n]+") do
    lines[#lines + 1] = line
  end
  return lines
end

local function load_plugin(source, name, host_names, modules, script)
  local environment = make_environment(read_lines(host_names), modules)
  local args = script and add_script_parts(environment, unpack_text(script)) or {}
  close_strings(environment)
  local before = {}
  for key in next, environment do
    before[key] = true
  end
  local chunk, message = compile(source, name, environment)
  if not chunk then
    errors.throw_syntax(message)
  end
  local returned = unwrap(chunk, errors.protect(chunk, unpack(args)))
  scheduler.drain()
  if script then
    return ""
  end
  local names = unwrap(chunk, errors.protect(take_exports, environment, before, returned))
  return table.concat(names, "\n")
end

-- Offers one function: it runs code, which is an expression or a chunk. What it calls last may leave no frame of the
-- code's, so the code is the origin of what has none.
local function load_code(host_names)
  local environment = make_environment(read_lines(host_names), false)
  close_strings(environment)
  exports = {}
  function exports.run(code)
    -- On one line with the code, so that its lines keep their numbers.
    local chunk = compile("return " .. code, "=code", environment)
    local message
    if not chunk then
      chunk, message = compile(code, "=code", environment)
    end
    if not chunk then
      errors.throw_syntax(message)
    end
    return unwrap(chunk, errors.protect(chunk))
  end
  return "run"
end

-- Runs all tasks to their end, then returns the call's results.
local function drained(...)
  scheduler.drain()
  return ...
end

local function call_export(name, arguments)
  local f = exports[name]
  return drained(unwrap(f, errors.protect(pack, "result", unwrap(f, errors.protect(f, unpack_text(arguments))))))
end

-- Hands Python a plugin's values as text alone: lupa would look a table's methods up in the plugin's table.
function errors.export(value)
  local ok, text = pcall(pack, "error", value)
  return ok and text or nil
end

local sandbox = {}

---Loads a plugin; returns the names of its functions, a line each.
sandbox.load = load_plugin

---Returns the declarations of the plugin's tools as a JSON list; nil where it has none.
---@return string?
function sandbox.offers()
  return offers
end

---Loads, in the place of a plugin, what runs code; returns the name of its function.
---@param host_names string the host's functions, a line each
sandbox.load_code = load_code

---Calls one of the plugin's functions; arguments and results are JSON lists, nil where there are none.
sandbox.call = call_export

---Sets the limits for the next call.
---@param deadline number on the clock of `bridge.now`
---@param bytes number of memory in all
---@param output number bytes that it may write
function sandbox.arm(deadline, bytes, output)
  exceeded, handled_traceback, peak, nesting = nil, nil, 0, 0
  limits.deadline, limits.bytes, limits.output = deadline, bytes, output
end

---Returns which limit stopped the last call, the memory in use, and the most that was.
function sandbox.state()
  local used = bytes_used()
  peak = math.max(peak, used)
  return exceeded, used, peak
end

function sandbox.collect()
  collectgarbage()
end

-- Python sets this hook, which looks at the clock.
sandbox.tick, sandbox.stride = tick, STRIDE

-- By its address, another thread finds the way to this Lua state.
sandbox.thread = coroutine.create(function() end)
sandbox.address = tostring(sandbox.thread)

-- Empties Lua's libraries of all but what our own modules look up while they run. A worker can open no files by the
-- time that the plugin asks for a module, so each is loaded before.
local function seal()
  local company = bridge.constants().company
  if company then
    REQUIRABLE["openai.compat." .. company] = true
  end
  for name in pairs(REQUIRABLE) do
    package.loaded[name] = bridge.bundled(name)
  end
  bridge.bundled("socket.http")
  bridge.bundled("ssl.https")
  bridge.bundled("openai.lists")
  bridge.bundled("openai.polling")
  bridge.bundled("openai.chat_runs")
  bridge.bundled("openai.response_runs")
  load_tasks()
  for name in pairs(package.loaded) do
    if not REQUIRABLE[name] then
      package.loaded[name] = nil
    end
  end
  package.loaders, package.preload = {}, {}
  for name in ([[collectgarbage debug dofile gcinfo getfenv io jit load loadfile loadstring module newproxy os
    setfenv]]):gmatch("%S+") do
    rawset(_G, name, nil)
  end
end

return function()
  jit.off()
  -- As fast as strings of a megabyte are made: with 200, Lua reached four times its limit before it had freed any.
  collectgarbage("setstepmul", 1000)
  jit.flush()
  seal()
  return sandbox
end
