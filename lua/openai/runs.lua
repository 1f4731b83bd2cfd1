-- Runs a session's tools: sends, runs what the model calls, sends the results, until it answers with text.

local _, bridge = ...
local declarations = bridge.bundled("openai.declarations")
local json = bridge.bundled("openai.json")
local rounds = bridge.bundled("openai.rounds")
local session = bridge.bundled("openai.session")
local tool = bridge.bundled("openai.tool")

local DEFAULT_STEPS, DEFAULT_LIMIT, _, NOT_RUN = bridge.run_defaults()

---@class openai.RunOptions what `run` takes beside what `send` takes
---@field max_steps? integer rounds of calls at most; 10 when left out
---@field limit? integer calls of a round that run side by side; 8 when left out
---@field on_call? fun(call: openai.RunCall): any, string? is asked before each call; `false, reason` refuses it
---@field on_result? fun(call: openai.RunCall) is told of each call when it has its answer
---@field raise? boolean has an error of a tool's function end the run

---@class openai.History what a run does with the history of a kind of session
---@field session table
---@field begin fun(self: table, message: any): openai.FoundCall[] takes the message; returns calls to run before asking
---@field ask fun(self: table, opts: table, callback?: function): string?, any, any a reply's text and calls, or nil and
--- why there is none
---@field hold fun(self: table, found: openai.FoundCall[]): fun(index: integer, text: string) gives each call an answer
--- that says that it was not run, and returns what changes that
---@field settle fun(self: table) is told that a round's answers will not change any more
---@field mend fun(self: table) gives calls without an answer one
---@field tool_lists fun(self: table, opts: table): any, any the lists of tools in force

local runs = {}

-- The sessions that are in a run. An interrupt leaves Lua without a chance to clear up: the next `send` does that then.
local under_way = setmetatable({}, { __mode = "k" })

local function check(name, value, is_right, expected)
  if value ~= nil and not is_right(value) then
    error(("run: %s: expected %s, got %s"):format(name, expected, tostring(value)), 0)
  end
end

local function is_count(value)
  return type(value) == "number" and value >= 1
end

local function is_callable(f)
  return type(f) == "function" or (type(f) == "table" and (getmetatable(f) or {}).__call ~= nil)
end

-- Takes a run's own options out of the others.
local function take_settings(opts)
  local run = {
    max_steps = opts.max_steps,
    limit = opts.limit,
    on_call = opts.on_call,
    on_result = opts.on_result,
    raise = opts.raise and true or false,
  }
  opts.max_steps, opts.limit, opts.on_call, opts.on_result, opts.raise = nil, nil, nil, nil, nil
  check("max_steps", run.max_steps, is_count, "a number from 1")
  check("limit", run.limit, is_count, "a number from 1")
  check("on_call", run.on_call, is_callable, "a function")
  check("on_result", run.on_result, is_callable, "a function")
  run.max_steps, run.limit = run.max_steps or DEFAULT_STEPS, run.limit or DEFAULT_LIMIT
  return run
end

-- Sets the functions that the model may call: tools may come and go between rounds.
local function find_functions(run, ...)
  run.functions, run.names = {}, {}
  for index = 1, select("#", ...) do
    local list = select(index, ...)
    for _, item in ipairs(type(list) == "table" and list or {}) do
      local kept, name = tool.function_of(item), declarations.name(item)
      if kept and name and not run.functions[name] then
        run.functions[name] = kept
        run.names[#run.names + 1] = name
      elseif kept and name and run.functions[name] ~= kept then
        error("run: tools: two are called " .. name, 0)
      end
    end
  end
end

-- Returns the options from the second request on: a choice that forces a call counts once, or there were no end.
local function later_options(opts, given)
  for _, name in ipairs({ "tool_choice", "function_call" }) do
    local value = opts[name]
    if value == nil then
      value = given[name]
    end
    if value ~= nil and value ~= "auto" and value ~= "none" then
      local later = bridge.later_choice(json.encode(value, name))
      opts[name] = later and json.decode(later) or (given[name] ~= nil and "auto" or nil)
    end
  end
  return opts
end

---@param history openai.History
local function loop(history, message, run, opts, callback)
  local records, steps = {}, 0
  find_functions(run, history:tool_lists(opts))
  local found = history:begin(message)
  while true do
    if not found[1] then
      local text, found_or_failure, body = history:ask(opts, callback)
      if not text then
        return nil, found_or_failure, body
      elseif not found_or_failure[1] then
        return text, records
      end
      found, opts = found_or_failure, later_options(opts, history.session.opts)
    end
    local answer = history:hold(found)
    if steps == run.max_steps then
      history:settle()
      return nil, bridge.too_many_rounds(steps), history.session.last_response
    end
    steps = steps + 1
    find_functions(run, history:tool_lists(opts))
    local ok, failure = bridge.protect(rounds.perform, run, found, records, answer)
    failure = not ok and bridge.failure(failure) or nil
    local settled, fault = bridge.protect(history.settle, history)
    if failure or not settled then
      bridge.rethrow(failure or bridge.failure(fault))
    end
    found = {}
  end
end

-- Returns the results of the loop; after an error, gives all calls an answer and raises it again.
local function finish(history, ok, ...)
  under_way[history.session] = nil
  if ok then
    return ...
  end
  local failure = bridge.failure((...))
  bridge.protect(history.mend, history)
  bridge.rethrow(failure)
end

---Runs a session's tools until the model answers with text.
---@param history openai.History
---@param message any
---@param opts_or_callback any
---@return string? reply
---@return any calls_or_failure
---@return any body
function runs.run(history, message, opts_or_callback)
  local opts, callback = session.options(opts_or_callback)
  local run = take_settings(opts)
  under_way[history.session] = getmetatable(history)
  return finish(history, bridge.protect(loop, history, message, run, opts, callback))
end

---Clears up after a run of a session that an interrupt has ended.
---@param of table
function runs.mend(of)
  local kind = under_way[of]
  under_way[of] = nil
  if kind then
    setmetatable({ session = of }, kind):mend()
  end
end

runs.NOT_RUN = NOT_RUN

return runs
