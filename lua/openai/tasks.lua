-- Runs many functions side by side, as scripts see them: `gather` and `spawn`.

local _, bridge = ...
local scheduler = bridge.bundled("openai.scheduler")

local DEFAULT_LIMIT = 32
local OPTIONS = { limit = true, settle = true, on_progress = true }

---@class openai.Task
---@field status openai.TaskStatus
---@field wait fun(self: openai.Task): ... what its function returned; its error is raised here
---@field cancel fun(self: openai.Task) ends it: what it waits for is given up, and its connection is closed

-- Returns a task's handle for the script; nothing in it leads to the scheduler.
local function make_handle(task)
  local handle = { status = task.status }
  function handle.wait()
    return scheduler.wait(task)
  end
  function handle.cancel()
    scheduler.cancel(task)
  end
  return handle
end

local function is_callable(f)
  return type(f) == "function" or (getmetatable(f) or {}).__call
end

local tasks = {}

---Runs a function side by side with what follows; it begins at once, and goes on whenever something waits.
---@param f function
---@param ... any its arguments
---@return openai.Task
function tasks.spawn(f, ...)
  if not is_callable(f) then
    error("spawn: expected a function, got " .. type(f), 0)
  end
  local task = scheduler.new(f, ...)
  task.handle = make_handle(task)
  scheduler.start(task)
  return task.handle
end

-- Returns the one value for a function's results: a list where there are several, not counting nils at the end.
local function value_of(results)
  for index = results.n, 2, -1 do
    if results[index] ~= nil then
      results.n = nil
      return results
    end
  end
  return results[1]
end

local function entry_of(task, settles)
  if task.status ~= "done" then
    return { ok = false, error = task.failure and task.failure.value }
  end
  local value = value_of(task.results)
  if settles then
    return { ok = true, value = value }
  end
  return value
end

local function raise_first_failure(children)
  for _, task in ipairs(children) do
    if task.status ~= "done" then
      scheduler.wait(task)
    end
  end
end

-- Returns what is wrong with the arguments of `gather`, or nil.
local function fault(functions, opts)
  if type(functions) ~= "table" then
    return "expected a list of functions, got " .. type(functions)
  elseif type(opts) ~= "table" then
    return "expected options as a table, got " .. type(opts)
  end
  for index = 1, #functions do
    if not is_callable(functions[index]) then
      return ("item %d: expected a function, got %s"):format(index, type(functions[index]))
    end
  end
  for key in pairs(functions) do
    if type(key) ~= "number" or key > #functions then
      return ("expected a list of functions, got a table with the key %s"):format(tostring(key))
    end
  end
  for name in pairs(opts) do
    if not OPTIONS[name] then
      return "no option " .. tostring(name)
    end
  end
  if opts.limit ~= nil and (type(opts.limit) ~= "number" or opts.limit < 1) then
    return "limit: expected a number from 1"
  elseif opts.on_progress and not is_callable(opts.on_progress) then
    return "on_progress: expected a function, got " .. type(opts.on_progress)
  end
end

-- Cancels the children after whoever waited for them was cancelled.
local function give_up(children, failure)
  for _, task in ipairs(children) do
    task.on_end = nil
    scheduler.cancel(task)
  end
  bridge.rethrow(failure)
end

-- Runs functions, so many at once, and calls `on_progress` at each end; returns their tasks, and the failure of that
-- callback if it has failed.
local function run_all(functions, limit, on_progress)
  local total, done, reported, next_index = #functions, 0, 0, 1
  local children, waiters = {}, {}

  local function has_news()
    return done == total or on_progress and done > reported
  end

  local start
  local function on_end()
    done = done + 1
    start()
    if waiters[1] and has_news() then
      scheduler.make_ready(table.remove(waiters))
    end
  end
  function start()
    if next_index <= total then
      local task = scheduler.new(functions[next_index])
      children[next_index], task.on_end, task.is_observed = task, on_end, true
      next_index = next_index + 1
      scheduler.make_ready(task)
    end
  end

  for _ = 1, math.min(limit, total) do
    start()
  end
  local report_failure
  while reported < total do
    local ok, failure = bridge.protect(scheduler.await, waiters, has_news)
    if not ok then
      give_up(children, bridge.failure(failure))
    end
    reported = on_progress and reported + 1 or total
    if on_progress and not report_failure then
      ok, failure = bridge.protect(on_progress, reported, total)
      report_failure = not ok and bridge.failure(failure, on_progress) or nil
    end
  end
  return children, report_failure
end

---Runs functions side by side; whenever one waits for the network, the others go on.
---@param functions function[]
---@param opts? openai.GatherOptions
---@return table results in the order of the functions; several results of one as a list
function tasks.gather(functions, opts)
  opts = opts or {}
  local wrong = fault(functions, opts)
  if wrong then
    error("gather: " .. wrong, 2)
  end
  local children, report_failure = run_all(functions, opts.limit or DEFAULT_LIMIT, opts.on_progress)
  if report_failure then
    bridge.rethrow(report_failure)
  elseif not opts.settle then
    raise_first_failure(children)
  end
  local results = {}
  for index, task in ipairs(children) do
    results[index] = entry_of(task, opts.settle)
  end
  return results
end

return tasks
