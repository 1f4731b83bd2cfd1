-- A plugin that attacks its host: each function does what a seed chooses, so that it can be done again.

local openai = require("openai")
local cjson = require("cjson")
local sse = require("openai.sse")
local ltn12 = require("ltn12")
local MODULES = [[cjson cjson.safe ltn12 mime openai openai.chat_completions openai.responses openai.sse
  socket.url tableshape]]

local state = 1

local function random(count)
  state = state * 16807 % 2147483647
  return math.floor(state / 2147483647 * count) + 1
end

local function pick(list)
  return list[random(#list)]
end

-- Until the next seed, strings are no longer than this.
local longest = 1000

-- --- Every function in reach, with arguments of every kind ---

local function find_functions()
  local seen, found = {}, {}
  local function visit(value, path, depth)
    local kind = type(value)
    if (kind ~= "table" and kind ~= "function") or seen[value] or depth > 8 then
      return
    end
    seen[value] = true
    if kind == "function" then
      found[#found + 1] = { path = path, call = value }
      return
    end
    local meta = getmetatable(value)
    if type(meta) == "table" then
      visit(meta, path .. "<meta>", depth + 1)
    end
    for key, item in next, value do
      visit(item, path .. "." .. tostring(key), depth + 1)
    end
  end
  local client = openai.new()
  visit(_G, "_G", 0)
  for name in MODULES:gmatch("%S+") do
    visit(require(name), name, 0)
  end
  visit(getmetatable(require("openai.chat_completions")), "checks", 0)
  visit(client, "client", 0)
  visit(client:get_http(), "http", 0)
  visit(client:new_chat_session(), "session", 0)
  visit(client:new_responses_chat_session(), "responses", 0)
  visit(cjson.new(), "new_cjson", 0)
  visit(openai.spawn(function() end), "task", 0)
  table.sort(found, function(a, b) return a.path < b.path end)
  return found
end

local functions

local NUMBERS = { 0, 1, -1, 2, 3, 7, 0.5, 100, 65536, 2 ^ 31, 2 ^ 31 - 1, -2 ^ 31, 2 ^ 32, 2 ^ 53, 1e15, 1e308,
  math.huge, -math.huge, 0 / 0 }
local TEXTS = { "", "x", "0", "-1", "1e9", "0x10", "\0", "\255\254", "%", "%s", "%5.5s", "%q", "%c", "%99.99f", "(",
  "[", "[^", "%b()", "^.-$", "(.)%1", "()", "%f[%w]", "{}", "[]", "null", '{"a":[1,{"b":null}]}', "[[[[",
  "data: {}\n\n", "data: {", "data: [DONE]\n\n", "return 1", "return ...", "while true do end", "\27LJ\2",
  "model", "content", "role",
  "user", "n", "count", "b", "t", "openai", "cjson", "http://x/y", "https://host.invalid/v1/chat/completions", "POST",
  "GET", "*t", "!%c", "%Ex", "__index", "__gc", "__mode", "k" }
local EVENTS = { "__index", "__newindex", "__call", "__concat", "__unm", "__add", "__eq", "__lt", "__le", "__len",
  "__tostring", "__gc", "__mode", "__metatable", "__pairs" }

local value

local function callback()
  local kind = random(8)
  local given = value(2)
  return function(...)
    if kind == 1 then error(given, 0)
    elseif kind == 2 then return coroutine.yield(given)
    elseif kind == 3 then return given, given
    elseif kind == 4 then return ...
    elseif kind == 5 then return pick(functions).call(...)
    elseif kind == 6 then return nil
    elseif kind == 7 then return false
    end
    return "x"
  end
end

local function nasty_table(depth)
  local made = {}
  for _ = 1, random(4) - 1 do
    local key = value(depth + 1)
    if key ~= nil and key == key then
      rawset(made, key, value(depth + 1))
    end
  end
  local kind = random(6)
  if kind == 1 then
    made.self = made
  elseif kind == 2 then
    local meta = {}
    for _ = 1, random(3) do
      meta[pick(EVENTS)] = random(3) == 1 and value(depth + 1) or callback()
    end
    return setmetatable(made, meta)
  elseif kind == 3 then
    for index = 1, random(200) do made[index] = index end
  elseif kind == 4 then
    for _ = 1, random(300) do made = { made } end
  end
  return made
end

local makers = {
  function() return nil end,
  function() return random(2) == 1 end,
  function() return pick(NUMBERS) end,
  function() return pick(NUMBERS) end,
  function() return random(1000) - 500 end,
  function() return pick(TEXTS) end,
  function() return pick(TEXTS) end,
  function() return (pick({ "x", "ab ", "\n", "\195\164", "\0", "[", "{" }):rep(random(longest))) end,
  nasty_table,
  nasty_table,
  function() return { { role = "user", content = pick(TEXTS) } } end,
  callback,
  function() return pick(functions).call end,
  function() return coroutine.create(callback()) end,
  function() return coroutine.wrap(callback()) end,
  function() return cjson.null end,
  function() return openai.new() end,
}

function value(depth)
  if (depth or 0) > 4 then
    return pick(NUMBERS)
  end
  return pick(makers)(depth or 0)
end

local function arguments()
  local count = random(5) - 1
  local list = {}
  for index = 1, count do
    list[index] = value()
  end
  return count, list
end

local function call_anything(count)
  functions = functions or find_functions()
  for _ = 1, count do
    local chosen, given, list = pick(functions), arguments()
    if random(5) == 1 then
      pcall(coroutine.wrap(chosen.call), unpack(list, 1, given))
    elseif random(8) == 1 then
      pcall(openai.spawn, chosen.call, unpack(list, 1, given))
    else
      pcall(chosen.call, unpack(list, 1, given))
    end
  end
end

-- --- Callbacks of every kind inside one another ---

local function with(event, f)
  return setmetatable({}, { [event] = function() f() return "x" end })
end

local nests = {
  function(f) return pcall(f) end,
  function(f) local ok, failure = pcall(f) if not ok then error(failure, 0) end end,
  function(f) return xpcall(f, function(...) return ... end) end,
  function(f) return xpcall(error, f) end,
  function(f) return (("x"):gsub("x", f)) end,
  function(f) return (("x"):gsub("x", with("__index", f))) end,
  function(f) return table.sort({ 3, 2, 1 }, function() f() return false end) end,
  function(f) local one = with("__lt", f) return table.sort({ one, setmetatable({}, getmetatable(one)) }) end,
  function(f) return coroutine.wrap(f)() end,
  function(f) return coroutine.resume(coroutine.create(f)) end,
  function(f) local ok, failure = coroutine.resume(coroutine.create(f)) if not ok then error(failure, 0) end end,
  function(f) return tostring(with("__tostring", f)) end,
  function(f) return tostring(setmetatable({}, { __tostring = f })) end,
  function(f) return print(with("__tostring", f)) end,
  function(f) return ("%s"):format(with("__tostring", f)) end,
  function(f) return io.write(with("__tostring", f)) end,
  function(f) return with("__index", f).field end,
  function(f) with("__newindex", f).field = 1 end,
  function(f) return with("__call", f)() end,
  function(f) return with("__concat", f) .. "x" end,
  function(f) return -with("__unm", f) end,
  function(f) return with("__add", f) + 1 end,
  function(f) local one = with("__eq", f) return one == setmetatable({}, getmetatable(one)) end,
  function(f) local one = with("__le", f) return one <= setmetatable({}, getmetatable(one)) end,
  function(f) return #with("__len", f) end,
  function(f) return load(f) end,
  function(f) return load("local f = ... return f()")(f) end,
  function(f) return os.time(with("__index", f)) end,
  function(f) return os.date(with("__tostring", f)) end,
  function(f) return openai.spawn(f) end,
  function(f) return openai.spawn(f):wait() end,
  function(f) return openai.gather({ f }) end,
  function(f) return openai.gather({ f, f }) end,
  function(f) return openai.gather({ f }, { limit = 1, settle = true }) end,
  function(f) openai.sleep(0) return f() end,
  function(f) return sse.create_stream_filter(function() f() end)("data: {}\n\n") end,
  function(f) return ltn12.pump.all(f, ltn12.sink.null()) end,
  function(f) return ltn12.pump.all(ltn12.source.string("x"), f) end,
  function(f) return cjson.encode(with("__index", f)) end,
  function(f) for _ in f do break end end, -- luacheck: ignore 512
  function(f) host.echo(1) return f() end,
  function(f) return host.echo(with("__index", f)) end,
  function(f) return unpack(setmetatable({}, { __index = f }), 1, 3) end,
  function(f) return table.concat(setmetatable({ "x" }, { __index = f }), "", 1, 3) end,
  function(f) return error(setmetatable({}, { __tostring = f })) end,
  function(f) return require("tableshape").types.custom(f)(1) end,
  function(f)
    local client = openai.new()
    function client.get_http() return { request = f } end
    return client:models()
  end,
  function(f)
    return openai.new():chat({ { role = "user", content = "x" } }, { model = "m", stream = true }, function() f() end)
  end,
}

local function nest()
  local chosen = {}
  for index = 1, random(4) do
    chosen[index] = pick(nests)
  end
  local function down(level)
    chosen[level % #chosen + 1](function() return down(level + 1) end)
  end
  local start = pick({
    down,
    function(level) return coroutine.wrap(down)(level) end,
    function(level) return openai.spawn(down, level):wait() end,
    function(level) return pcall(down, level) end,
  })
  return start(0)
end

-- --- Memory up to its limit, with the host's doing in between ---

local held = {}

-- Takes memory until only about so many bytes are left.
local function fill(rest)
  local size = 2 ^ 24
  while size > rest do
    local ok = pcall(function()
      local part = ("y"):rep(math.floor(size / 4))
      held[#held + 1] = part .. part .. part .. #held
    end)
    if not ok then
      size = size / 2
    end
  end
end

local deeds = {
  function() fill(pick({ 1, 64, 1000, 20000, 300000 })) end,
  function() fill(pick({ 1, 64, 1000, 20000, 300000 })) end,
  function() pcall(host.big, pick({ 10, 10000, 3000000 })) end,
  function() host.big(pick({ 10, 1000000 })) end,
  function() held = {} end,
  function() error({ 1 }) end,
  function() error(("x"):rep(1e6)) end,
  function() return ("z"):rep(3e6) end,
  function() pcall(error, setmetatable({}, { __tostring = function() return ("q"):rep(5e6) end })) end,
  function() error(setmetatable({}, { __tostring = function() fill(10) return ("q"):rep(5e6) end })) end,
  function() coroutine.wrap(function() fill(100) host.big(1000) end)() end,
  function() print(("x"):rep(1000)) end,
  function() print(held[#held]) end,
  function() for _ = 1, 1e5 do held[#held + 1] = {} end end,
  function() for index = 1, 1e5 do held[#held + 1] = coroutine.create(function() return index end) end end,
  function() pcall(host.fail, ("e"):rep(10000)) end,
  function() host.fail("x") end,
  function() local list = {} for index = 1, 2000 do list[index] = index end pcall(host.take, list) end,
  function() while true do pcall(fill, 10) end end,
  function() xpcall(function() fill(10) error("x") end, function(said) return debug.traceback(said .. said) end) end,
  function() openai.spawn(function() fill(50) host.big(100) end) end,
  function() openai.gather({ function() fill(40) return host.big(10) end, function() return host.big(1e6) end }) end,
  function() return host.list(20000) end,
  function() pcall(cjson.encode, held) end,
  function() pcall(cjson.decode, held[#held]) end,
  function() return held end,
  function() local text = "x" while true do text = text .. text end end,
  function() held[#held + 1] = ("x"):rep(1e6):gsub("x", "yy") end,
  function() held[#held + 1] = ("%d"):rep(1e5):format(unpack({}, 1, 5000)) end,
  function() table.concat(held, ("s"):rep(1000)) end,
  function() load(("x = 1 "):rep(1e5)) end,
  function() load("return {" .. ("{},"):rep(1e5) .. "}")() end,
  function() local function deep(n) return n and 1 + deep(n) end deep(1) end,
  function() fill(200) openai.new():models() end,
  function() fill(200) openai.new():chat({ { role = "user", content = "x" } }, { model = "m" }) end,
  function()
    fill(2000)
    openai.new():chat({ { role = "user", content = "x" } }, { model = "m", stream = true }, function(chunk)
      held[#held + 1] = chunk
    end)
  end,
  function() for _ = 1, 1000 do held[#held + 1] = sse.create_stream_filter(print) end end,
  function()
    local filter = sse.create_stream_filter(print)
    held[#held + 1] = filter
    for _ = 1, 100 do filter(("x"):rep(2e5)) end
  end,
  function() held[#held + 1] = cjson.new() end,
  function() fill(100) local _ = openai.new() end,
  function() fill(100) require("openai").sleep(0.001) end,
}

local function fill_memory()
  local result
  for _ = 1, random(6) do
    result = pick(deeds)()
  end
  return result
end

local function seeded(f)
  return function(seed, longest_text, ...)
    state, longest = seed, longest_text
    return f(...)
  end
end

return {
  call_anything = seeded(call_anything),
  nest = seeded(nest),
  fill_memory = seeded(fill_memory),
  give_back = function(...) return ... end,
  pass_on = function(...) return host.echo(...) end,
  fail_with = function(...) error(..., 0) end,
  rest = function() return "alive" end,
}
