-- Many coroutines at once: whenever one waits for the network, the others go on.

local _, bridge = ...
local wait = bridge.bundled("openai.wait")

local create, isyieldable, resume, running, yield =
  coroutine.create, coroutine.isyieldable, coroutine.resume, coroutine.running, coroutine.yield

local DEFAULT_LIMIT = 32
local CANCELLED = "the task was cancelled"

-- The first value of a yield that is for the scheduler, whatever coroutines lie between.
local WAIT = {}
-- What a task is resumed with when it shall end.
local CANCEL = {}

---@class openai.Task
---@field status "running"|"waiting"|"done"|"failed"|"cancelled"
local Task = {}
Task.__index = Task

---@class openai.TaskState
---@field thread thread
---@field ticket? integer what it waits for
---@field answer? integer the answer that it is reading
---@field waiters table those that wait for its end
---@field results? table
---@field failure? any
---@field origin? table where the failure came from
---@field is_cancelled? boolean
---@field is_seen? boolean whether someone asks how it ends
---@field on_end? function

---@type table<openai.Task, openai.TaskState>
local states = setmetatable({}, { __mode = "k" })

-- Coroutines whose yields reach the scheduler.
local entered = setmetatable({}, { __mode = "k" })

local current
local alive = 0
local waiting = {}
-- Tasks whose failure nobody has asked about, in the order of their ends.
local unseen = {}
local ready = { first = 1, last = 0 }

local function pack(...)
  return { n = select("#", ...), ... }
end

local function make_ready(waiter, ...)
  ready.last = ready.last + 1
  ready[ready.last] = { waiter, pack(...) }
end

local function take_ready()
  local entry = ready[ready.first]
  if entry then
    ready[ready.first] = nil
    ready.first = ready.first + 1
    return entry[1], entry[2]
  end
end

local function finish(task, status)
  local state = states[task]
  task.status = status
  alive = alive - 1
  for _, waiter in ipairs(state.waiters) do
    make_ready(waiter)
  end
  if status == "failed" and not state.is_seen then
    unseen[#unseen + 1] = task
  end
  if state.on_end then
    state.on_end(task)
  end
end

-- Notes how a task's function ended; runs in the task's own coroutine.
local function note_end(state, ok, ...)
  if ok then
    state.results = pack(...)
  else
    state.failure, state.origin = (...), bridge.origin()
  end
end

-- What a resume of a task came to.
local function take_yield(task, ok, first, ticket, answer)
  local state = states[task]
  if coroutine.status(state.thread) == "dead" then
    if not ok and not state.results then
      state.failure = first
    end
    finish(task, state.results and "done" or state.is_cancelled and "cancelled" or "failed")
  elseif first ~= WAIT then
    -- A yield of the script's own, to nobody: the others get their turn.
    make_ready(task)
  elseif ticket then
    task.status, state.ticket, state.answer = "waiting", ticket, answer
    waiting[ticket] = task
  else
    task.status = "waiting"
  end
end

local function step(task, ...)
  local state = states[task]
  local previous = current
  current, task.status = task, "running"
  state.ticket, state.answer = nil, nil
  local outcome = pack(resume(state.thread, ...))
  current = previous
  take_yield(task, unpack(outcome, 1, math.max(4, outcome.n)))
end

-- A waiter is a task, or stands for code outside of tasks and has a field `results`.
local function go_on(waiter, results)
  if states[waiter] then
    if waiter.status == "waiting" or waiter.status == "running" then
      step(waiter, unpack(results, 1, results.n))
    end
  else
    waiter.results = results
  end
end

local function loop(is_over)
  while not is_over() do
    local waiter, results = take_ready()
    if not waiter then
      if not next(waiting) then
        error("every task waits for another one", 0)
      end
      local done = pack(bridge.next_done())
      waiter, waiting[done[1]] = waiting[done[1]], nil
      results = pack(unpack(done, 2, done.n))
    end
    if waiter then
      go_on(waiter, results)
    end
  end
  if alive == 0 and not next(waiting) then
    bridge.rest()
  end
end

local function check_cancelled(first, ...)
  if first == CANCEL then
    error(CANCELLED, 0)
  end
  return first, ...
end

-- Suspends the running task until a ticket is done, or, without a ticket, until it is made ready.
local function suspend(ticket, answer)
  if states[current].is_cancelled then
    error(CANCELLED, 0)
  end
  return check_cancelled(yield(WAIT, ticket, answer))
end

-- Lets the tasks go on until a ticket of code outside of them is done.
local function suspend_outside(ticket)
  local waiter = {}
  waiting[ticket] = waiter
  loop(function()
    return waiter.results
  end)
  return unpack(waiter.results, 1, waiter.results.n)
end

local function can_suspend()
  return current and entered[running()] and isyieldable()
end

function wait.suspender()
  if can_suspend() then
    return suspend
  elseif not current and alive > 0 then
    return suspend_outside
  end
end

-- Waits until something that keeps a list of waiters is over.
local function await(waiters, is_over)
  if is_over() then
    return
  elseif can_suspend() then
    waiters[#waiters + 1] = current
    suspend()
  else
    loop(is_over)
  end
end

-- A wait inside a script's own coroutine goes through to the task that it runs in.
local function pass_on(thread, ok, first, ...)
  if ok and first == WAIT then
    return pass_on(thread, resume(thread, yield(WAIT, ...)))
  end
  return ok, first, ...
end

function coroutine.resume(thread, ...) -- luacheck: ignore 122
  if not current then
    return resume(thread, ...)
  end
  entered[thread] = true
  return pass_on(thread, resume(thread, ...))
end

local function unwrap(ok, ...)
  if ok then
    return ...
  end
  local failure = ...
  error(failure, type(failure) == "string" and 3 or 0)
end

function coroutine.wrap(f) -- luacheck: ignore 122
  local thread = create(f)
  return function(...)
    return unwrap(coroutine.resume(thread, ...))
  end
end

local function new_task(f, ...)
  local arguments = pack(...)
  local task = setmetatable({ status = "waiting" }, Task)
  local state = { waiters = {} }
  state.thread = create(function(order)
    if order == CANCEL then
      return
    end
    note_end(state, bridge.protect(f, unpack(arguments, 1, arguments.n)))
  end)
  states[task], entered[state.thread] = state, true
  alive = alive + 1
  return task
end

local function see(task)
  states[task].is_seen = true
  for index, other in ipairs(unseen) do
    if other == task then
      table.remove(unseen, index)
      break
    end
  end
end

---Waits for the task's end.
---@return any ... what its function returned; its error is raised here
function Task:wait()
  local state = states[self]
  see(self)
  await(state.waiters, function()
    return self.status == "done" or self.status == "failed" or self.status == "cancelled"
  end)
  if self.status == "cancelled" then
    error(CANCELLED, 0)
  elseif self.status == "failed" then
    bridge.rethrow(state.failure, state.origin)
  end
  return unpack(state.results, 1, state.results.n)
end

---Ends the task: what it waits for is given up, and its connection is closed.
function Task:cancel()
  local state = states[self]
  if self.status ~= "waiting" and self.status ~= "running" or state.is_cancelled then
    return
  end
  state.is_cancelled = true
  see(self)
  if state.ticket then
    bridge.cancel(state.ticket)
    waiting[state.ticket] = nil
  end
  if state.answer then
    bridge.abort(state.answer)
  end
  if self ~= current then
    make_ready(self, CANCEL)
  end
end

local tasks = {}

---Runs a function side by side with what follows; it begins at once, and goes on whenever something waits.
---@param f function
---@param ... any its arguments
---@return openai.Task
function tasks.spawn(f, ...)
  local task = new_task(f, ...)
  step(task)
  return task
end

local function entry_of(task)
  local state = states[task]
  if not state.results then
    return nil, state.failure or CANCELLED
  elseif state.results.n > 1 then
    local list = { unpack(state.results, 1, state.results.n) }
    return list
  end
  return state.results[1]
end

local function collect(children, settles)
  local results = {}
  for index, task in ipairs(children) do
    local value, failure = entry_of(task)
    if not settles then
      results[index] = value
    elseif failure ~= nil then
      results[index] = { ok = false, error = failure }
    else
      results[index] = { ok = true, value = value }
    end
  end
  return results
end

local function raise_first_failure(children)
  for _, task in ipairs(children) do
    if task.status ~= "done" then
      task:wait()
    end
  end
end

local function check_options(functions, opts)
  if type(functions) ~= "table" then
    error("gather: expected a list of functions", 3)
  end
  for index, f in ipairs(functions) do
    if type(f) ~= "function" and not (getmetatable(f) or {}).__call then
      error(("gather: item %d is no function"):format(index), 3)
    end
  end
  local limit = opts.limit or DEFAULT_LIMIT
  if type(limit) ~= "number" or limit < 1 then
    error("gather: limit: expected a number from 1", 3)
  end
  return limit
end

---Runs functions side by side; whenever one waits for the network, the others go on.
---@param functions function[]
---@param opts? {limit: integer, settle: boolean, on_progress: fun(done: integer, total: integer)} how many run at once
--- (32 when left out); whether each result is `{ok = true, value =}` or `{ok = false, error =}`; told after each end
---@return table results in the order of the functions; several results of one as a list
function tasks.gather(functions, opts)
  opts = opts or {}
  local limit = check_options(functions, opts)
  local total, done, next_index = #functions, 0, 1
  local children, waiters = {}, {}
  local progress_failure

  local start
  local function on_end()
    done = done + 1
    if opts.on_progress and not progress_failure then
      local ok, failure = bridge.protect(opts.on_progress, done, total)
      progress_failure = not ok and { failure, bridge.origin() } or nil
    end
    start()
    if done == total then
      for _, waiter in ipairs(waiters) do
        make_ready(waiter)
      end
    end
  end
  function start()
    if next_index <= total then
      local task = new_task(functions[next_index])
      children[next_index], states[task].on_end = task, on_end
      see(task)
      next_index = next_index + 1
      make_ready(task)
    end
  end

  for _ = 1, math.min(limit, total) do
    start()
  end
  await(waiters, function()
    return done == total
  end)
  if progress_failure then
    bridge.rethrow(progress_failure[1], progress_failure[2])
  end
  if not opts.settle then
    raise_first_failure(children)
  end
  return collect(children, opts.settle)
end

---Pauses; inside a task, the others go on.
---@param seconds number
function tasks.sleep(seconds)
  wait.sleep(seconds)
end

---Runs all tasks to their end, and raises the first failure that nobody has asked about.
function tasks.drain()
  loop(function()
    return alive == 0
  end)
  local task = unseen[1]
  unseen = {}
  if task then
    bridge.rethrow(states[task].failure, states[task].origin)
  end
end

bridge.drain = tasks.drain

return tasks
