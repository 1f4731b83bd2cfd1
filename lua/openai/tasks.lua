-- Many coroutines at once: whenever one waits for the network, the others go on.

local _, bridge = ...
local wait = bridge.bundled("openai.wait")

local create, isyieldable, resume, running, yield =
  coroutine.create, coroutine.isyieldable, coroutine.resume, coroutine.running, coroutine.yield

local DEFAULT_LIMIT = 32
local CANCELLED = "the task was cancelled"
local ENDED = { done = true, failed = true, cancelled = true }

-- The first value of a yield that is for the scheduler, whatever coroutines lie between.
local WAIT = {}
-- What a task is resumed with when it shall end.
local CANCEL = {}
-- The field of a task that holds what is the scheduler's alone.
local STATE = {}

---@class openai.Task
---@field status "running"|"waiting"|"done"|"failed"|"cancelled"
local Task = {}
Task.__index = Task

---@class openai.TaskState
---@field thread thread
---@field ticket? integer what it waits for
---@field waiters table those that wait for its end
---@field results? table
---@field failure? any
---@field origin? table where the failure came from
---@field is_cancelled? boolean
---@field is_seen? boolean whether someone asks how it ends
---@field on_end? function

-- Coroutines whose yields reach the scheduler: tasks, and what they have resumed.
local entered = setmetatable({}, { __mode = "k" })

local current
local alive = {}
local waiting = {}
-- Tasks in which a ticket's work has called Lua back, by ticket.
local callbacks = {}
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

-- Lets the threads go that nobody waits for.
local function rest()
  if not next(alive) and not next(waiting) then
    bridge.rest()
  end
end

local function finish(task, status)
  local state = task[STATE]
  task.status = status
  alive[task] = nil
  for _, waiter in ipairs(state.waiters) do
    make_ready(waiter)
  end
  if status == "failed" and not state.is_seen then
    unseen[#unseen + 1] = task
  end
  if state.on_end then
    state.on_end()
  end
  rest()
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
local function take_yield(task, ok, first, ticket)
  local state = task[STATE]
  if coroutine.status(state.thread) == "dead" then
    if not ok then
      state.failure = first
    end
    finish(task, state.results and "done" or state.is_cancelled and "cancelled" or "failed")
  elseif first == WAIT then
    task.status, state.ticket = "waiting", ticket
    if ticket then
      waiting[ticket] = task
    end
  elseif state.is_cancelled then
    finish(task, "cancelled")
  else
    -- A yield of the script's own, to nobody: the others get their turn.
    make_ready(task)
  end
end

-- Lets a task go on; where a plugin's walls allow no deeper nesting, it stays ready, and their refusal is returned.
local function step(task, ...)
  local state = task[STATE]
  local previous = current
  current, task.status, state.ticket = task, "running", nil
  local ok, first, ticket = resume(state.thread, ...)
  current = previous
  if not ok and coroutine.status(state.thread) == "suspended" then
    task.status = "waiting"
    make_ready(task, ...)
    return first
  end
  take_yield(task, ok, first, ticket)
end

-- A waiter is a task, or stands for code outside of tasks and has a field `results`.
local function go_on(waiter, results)
  if not waiter[STATE] then
    waiter.results = results
  elseif waiter.status == "waiting" or waiter.status == "running" then
    local refusal = step(waiter, unpack(results, 1, results.n))
    if refusal then
      error(refusal, 0)
    end
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
  task[STATE], entered[state.thread] = state, true
  alive[task] = true
  return task
end

local function see(task)
  task[STATE].is_seen = true
  for index, other in ipairs(unseen) do
    if other == task then
      table.remove(unseen, index)
      break
    end
  end
end

-- The work of a ticket calls Lua back: a task does that, for it may wait too.
local function call_back(ticket, ...)
  local task = new_task(bridge.answer_call, ticket, ...)
  callbacks[ticket] = task
  task[STATE].on_end = function()
    callbacks[ticket] = nil
  end
  see(task)
  step(task)
end

-- A ticket is at its end or, with a function behind it, calls that.
local function serve(ticket, f, ...)
  if f then
    call_back(ticket, f, ...)
  else
    local waiter = waiting[ticket]
    waiting[ticket] = nil
    go_on(waiter, pack(bridge.take()))
  end
end

-- Runs what is ready, or waits for what is next.
local function turn()
  local waiter, results = take_ready()
  if waiter then
    go_on(waiter, results)
  elseif next(waiting) then
    serve(bridge.next_done())
  else
    error("every task waits for another one", 0)
  end
end

local function loop(is_over)
  while not is_over() do
    turn()
  end
  rest()
end

local function check_order(first, ...)
  if first == CANCEL then
    error(CANCELLED, 0)
  end
  return first, ...
end

-- Suspends the running task until a ticket is done, or, without a ticket, until it is made ready.
local function suspend(ticket)
  return check_order(yield(WAIT, ticket))
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

-- Whether a wait can let the others go on here. A cancelled task is to wait for nothing more.
local function can_suspend()
  if current and current[STATE].is_cancelled then
    error(CANCELLED, 0)
  end
  return current and entered[running()] and isyieldable()
end

function wait.suspender()
  if can_suspend() then
    return suspend
  elseif not current and next(alive) then
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
  entered[thread] = nil
  return ok, first, ...
end

local function resume_within(thread, ...)
  if entered[thread] and coroutine.status(thread) == "suspended" then
    return false, "cannot resume a coroutine that waits"
  elseif not (current and entered[running()] and isyieldable()) then
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
  error(failure, type(failure) == "string" and 2 or 0)
end

coroutine.resume = resume_within -- luacheck: ignore 122

function coroutine.wrap(f) -- luacheck: ignore 122
  local thread = create(f)
  return function(...)
    return unwrap(resume_within(thread, ...))
  end
end

---Waits for the task's end.
---@return any ... what its function returned; its error is raised here
function Task:wait()
  if self == current then
    error("a task cannot wait for itself", 2)
  end
  local state = self[STATE]
  see(self)
  await(state.waiters, function()
    return ENDED[self.status]
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
  local state = self[STATE]
  if ENDED[self.status] or state.is_cancelled then
    return
  end
  state.is_cancelled = true
  see(self)
  if state.ticket then
    bridge.cancel(state.ticket)
    waiting[state.ticket] = nil
    if callbacks[state.ticket] then
      callbacks[state.ticket]:cancel()
    end
  end
  if self.status == "waiting" then
    step(self, CANCEL)
  elseif coroutine.status(state.thread) == "suspended" then
    finish(self, "cancelled")
  end
end

local tasks = {}

---Runs a function side by side with what follows; it begins at once, and goes on whenever something waits.
---@param f function
---@param ... any its arguments
---@return openai.Task
function tasks.spawn(f, ...)
  if type(f) ~= "function" and not (getmetatable(f) or {}).__call then
    error("spawn: expected a function, got " .. type(f), 0)
  end
  local task = new_task(f, ...)
  step(task)
  return task
end

-- What a function returned: several results as a list, but nils at the end are none.
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
  local state = task[STATE]
  if task.status ~= "done" then
    return { ok = false, error = state.failure }
  end
  local value = value_of(state.results)
  if settles then
    return { ok = true, value = value }
  end
  return value
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
  elseif type(opts) ~= "table" then
    error("gather: expected options as a table", 3)
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

-- Whoever waited for the children has been cancelled: so are they.
local function give_up(children, failure)
  local origin = bridge.origin()
  for _, task in ipairs(children) do
    task[STATE].on_end = nil
    task:cancel()
  end
  bridge.rethrow(failure, origin)
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

  local function tell_progress()
    if opts.on_progress and not progress_failure then
      local ok, failure = bridge.protect(opts.on_progress, done, total)
      progress_failure = not ok and { failure, bridge.origin() } or nil
    end
  end

  local start
  local function on_end()
    done = done + 1
    start()
    tell_progress()
    if done == total then
      for _, waiter in ipairs(waiters) do
        make_ready(waiter)
      end
    end
  end
  function start()
    if next_index <= total then
      local task = new_task(functions[next_index])
      children[next_index], task[STATE].on_end = task, on_end
      see(task)
      next_index = next_index + 1
      make_ready(task)
    end
  end

  for _ = 1, math.min(limit, total) do
    start()
  end
  local ok, failure = bridge.protect(await, waiters, function()
    return done == total
  end)
  if not ok then
    give_up(children, failure)
  elseif progress_failure then
    bridge.rethrow(progress_failure[1], progress_failure[2])
  elseif not opts.settle then
    raise_first_failure(children)
  end
  local results = {}
  for index, task in ipairs(children) do
    results[index] = entry_of(task, opts.settle)
  end
  return results
end

---Runs all tasks to their end, and raises the first failure that nobody has asked about.
function tasks.drain()
  if not next(alive) and not unseen[1] then
    return
  end
  loop(function()
    return not next(alive)
  end)
  local task = unseen[1]
  unseen = {}
  if task then
    bridge.rethrow(task[STATE].failure, task[STATE].origin)
  end
end

bridge.drain = tasks.drain

-- Python has left Lua in the midst of tasks: nobody will go on with them.
function bridge.forget_tasks()
  current, alive, waiting, callbacks, unseen, ready = nil, {}, {}, {}, {}, { first = 1, last = 0 }
end

return tasks
