-- Coroutines that take turns: whenever one waits for the network, the others go on.
--
-- A task is a coroutine. It begins as `waiting`: for its first turn, then for a ticket of Python's, for the end of
-- another task, or, after a yield of the script's own, for its next turn. It is `running` from a resume to the next
-- yield, and so are the tasks that it has begun meanwhile, one inside the other. It ends once: `done` with results,
-- `failed` with a failure, or `cancelled`.
--
--   waiting -> running                      its turn has come: it is in `ready`, or its ticket is done
--   running -> waiting                      it has yielded a ticket, or nothing until it is made ready
--   running -> done, failed or cancelled    its function has returned, or raised, or raised after `cancel`
--   waiting -> running -> cancelled         `cancel` ends its ticket, and raises an error where it waits
--
-- A ticket stands for work of Python's, or for a pause. It is in `waiting` with the task that waits for it, until
-- `next_done` names it and `take` gives its results. While its work calls a Lua function, it is in `callbacks` too,
-- with the task that runs that function. The loop in `turn` resumes what is ready, else asks for the next ticket. It
-- runs wherever code outside of tasks waits: for a ticket, for a task or for all of them.

local _, bridge = ...
local errors = bridge.bundled("luaopenai.errors")
local wait = bridge.bundled("openai.wait")

local create, isyieldable, resume, running, yield =
  coroutine.create, coroutine.isyieldable, coroutine.resume, coroutine.running, coroutine.yield

local CANCELLED = "the task was cancelled"
local ENDED = { done = true, failed = true, cancelled = true }

-- How many tasks may go on inside one another; those that are begun deeper begin later. Each takes of C's stack.
local DEEPEST = 100
local TOO_DEEP = "too many tasks inside one another"

-- The first value of a yield that is for the scheduler, whatever coroutines lie between.
local WAIT = {}
-- The value with which a task is resumed when it shall end.
local CANCEL = {}

---@alias openai.TaskStatus "running"|"waiting"|"done"|"failed"|"cancelled"

---@class openai.ScheduledTask what the scheduler knows of a task; no script gets hold of it
---@field status openai.TaskStatus
---@field handle? openai.Task what the script has in its place
---@field thread thread
---@field ticket? integer what it waits for
---@field callback? integer the ticket whose work has called Lua back to begin this task, or those that led to it
---@field waiters table those that wait for its end
---@field results? table
---@field failure? luaopenai.Failure
---@field era integer which chunk of an interactive session has begun it
---@field owner? any what it works for: that of the task that has begun it, unless it is given another
---@field is_cancelled? boolean
---@field is_observed? boolean whether someone asks how it ends
---@field on_end? function

-- Coroutines whose yields reach the scheduler: tasks, and what they have resumed.
local entered = setmetatable({}, { __mode = "k" })

local current
local depth = 0
local alive = {}
local waiting = {}
-- Tasks in which a ticket's work has called Lua back, by ticket.
local callbacks = {}
-- Tasks whose failure nobody has asked about, in the order of their ends.
local unobserved = {}
local ready = { first = 1, last = 0 }
local era = 0

local scheduler = {}

---Packs values into a table, with their number in `n`.
---@return table
function scheduler.pack(...)
  return { n = select("#", ...), ... }
end

local pack = scheduler.pack

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

local function set_status(task, status)
  task.status = status
  if task.handle then
    rawset(task.handle, "status", status)
  end
end

-- Lets Python's threads end when nobody waits for them.
local function rest()
  if not next(alive) and not next(waiting) then
    bridge.rest()
  end
end

local function finish(task, status)
  set_status(task, status)
  alive[task] = nil
  for _, waiter in ipairs(task.waiters) do
    make_ready(waiter)
  end
  if status == "failed" and not task.is_observed then
    unobserved[#unobserved + 1] = task
  end
  if task.on_end then
    task.on_end()
  end
  rest()
end

-- Notes how a task's function ended; runs in the task's own coroutine.
local function note_end(task, f, ok, ...)
  if ok then
    task.results = pack(...)
  else
    task.failure = bridge.failure((...), f)
  end
end

---Returns a task that is to run a function; `start` or `make_ready` begins it.
---@param f function
---@param ... any its arguments
---@return openai.ScheduledTask
function scheduler.new(f, ...)
  local arguments = pack(...)
  local task = { status = "waiting", waiters = {}, callback = current and current.callback }
  task.era = current and current.era or era
  task.owner = current and current.owner
  task.thread = create(function(order)
    if order ~= CANCEL then
      note_end(task, f, bridge.protect(f, unpack(arguments, 1, arguments.n)))
    end
  end)
  entered[task.thread], alive[task] = true, true
  return task
end

---Says for what the running task works from now on, and the tasks that it begins.
---@param owner any
function scheduler.own(owner)
  current.owner = owner
end

---Returns for what the running task works.
---@return any
function scheduler.owner()
  return current and current.owner
end

---Has a task go on when its turn comes.
---@param task openai.ScheduledTask
---@param ... any what it is resumed with
scheduler.make_ready = make_ready

-- Sets a task's state after a resume.
local function take_yield(task, ok, first, ticket)
  if coroutine.status(task.thread) == "dead" then
    if not ok then
      task.failure = { value = first, traceback = "" }
    end
    finish(task, task.results and "done" or task.is_cancelled and "cancelled" or "failed")
  elseif first == WAIT then
    set_status(task, "waiting")
    task.ticket = ticket
    if ticket then
      waiting[ticket] = task
    end
  elseif task.is_cancelled then
    finish(task, "cancelled")
  else
    -- A yield of the script's own, to nobody: the others get their turn.
    make_ready(task)
  end
end

-- Lets a task go on. Where it would go too deep it stays ready, and the reason is returned.
local function step(task, ...)
  local previous, refusal = current, depth >= DEEPEST and TOO_DEEP or nil
  if not refusal then
    current, depth, task.ticket = task, depth + 1, nil
    set_status(task, "running")
    local ok, first, ticket = resume(task.thread, ...)
    current, depth = previous, depth - 1
    if ok or coroutine.status(task.thread) == "dead" then
      return take_yield(task, ok, first, ticket)
    end
    -- A plugin's walls allow no deeper nesting.
    refusal = first
  end
  set_status(task, "waiting")
  make_ready(task, ...)
  return refusal
end

---Begins a task at once, or soon where it would be too deep inside others.
---@param task openai.ScheduledTask
function scheduler.start(task)
  step(task)
end

-- A waiter is a task, or stands for code outside of tasks and has a field `results`.
local function go_on(waiter, results)
  if not waiter.thread then
    waiter.results = results
  elseif waiter.status == "waiting" or waiter.status == "running" then
    local refusal = step(waiter, unpack(results, 1, results.n))
    if refusal then
      error(refusal, 0)
    end
  end
end

---Notes that someone asks how a task ends.
---@param task openai.ScheduledTask
function scheduler.observe(task)
  task.is_observed = true
  for index, other in ipairs(unobserved) do
    if other == task then
      table.remove(unobserved, index)
      break
    end
  end
end

-- Runs the function that a ticket's work has called, and hands it the outcome.
local function answer_call(ticket, ...)
  bridge.answer(ticket, bridge.run(...))
end

-- Begins a task for a function that a ticket's work has called: it may wait, too.
local function call_back(ticket, ...)
  local task = scheduler.new(answer_call, ticket, ...)
  callbacks[ticket], task.callback, task.is_observed = task, ticket, true
  task.owner = waiting[ticket] and waiting[ticket].owner
  function task.on_end()
    callbacks[ticket] = nil
  end
  step(task)
end

-- Goes on with whoever waits for a ticket, or runs the function that its work calls.
local function serve(ticket, calls, ...)
  if calls then
    call_back(ticket, ...)
  else
    local waiter = waiting[ticket]
    waiting[ticket] = nil
    go_on(waiter, pack(bridge.take(ticket)))
  end
end

-- Does the same if there is a ticket; returns whether there was one.
local function serve_some(ticket, ...)
  if ticket then
    serve(ticket, ...)
  end
  return ticket ~= nil
end

-- Returns whether no ticket can end by itself, because each one's work waits for a task that it has called.
local function is_stuck()
  for ticket in pairs(waiting) do
    if not callbacks[ticket] then
      return false
    end
  end
  return true
end

-- Lets a ready task go on, or waits for the next ticket.
local function turn()
  local waiter, results = take_ready()
  if waiter then
    go_on(waiter, results)
  elseif not is_stuck() then
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

-- Returns whether a wait can let other tasks go on here; raises in a cancelled task, which is to wait no more.
local function can_suspend()
  if current and current.is_cancelled then
    error(CANCELLED, 0)
  end
  return current and entered[running()] and isyieldable()
end

function wait.suspender()
  if can_suspend() then
    return suspend, current.callback
  elseif not current and next(alive) then
    return suspend_outside
  end
end

---Waits until something that keeps a list of waiters is over.
---@param waiters table
---@param is_over fun(): boolean
function scheduler.await(waiters, is_over)
  if is_over() then
    return
  elseif can_suspend() then
    waiters[#waiters + 1] = current
    suspend()
  else
    loop(is_over)
  end
end

-- Returns the tasks that cannot go on before the running one ends: itself and, where it serves a ticket, the one that
-- waits for that.
local function find_dependent()
  local dependent, task = {}, current
  while task and task.thread do
    dependent[task] = true
    task = callbacks[task.callback] == task and waiting[task.callback] or nil
  end
  return dependent
end

---Waits for a task's end.
---@param task openai.ScheduledTask
---@return any ... what its function returned; its error is raised here
function scheduler.wait(task)
  if find_dependent()[task] then
    error("a task cannot wait for itself", 0)
  end
  scheduler.observe(task)
  scheduler.await(task.waiters, function()
    return ENDED[task.status]
  end)
  if task.status == "cancelled" then
    error(CANCELLED, 0)
  elseif task.status == "failed" then
    bridge.rethrow(task.failure)
  end
  return unpack(task.results, 1, task.results.n)
end

---Ends a task: what it waits for is given up, and its connection is closed.
---@param task openai.ScheduledTask
function scheduler.cancel(task)
  if ENDED[task.status] or task.is_cancelled then
    return
  end
  task.is_cancelled = true
  scheduler.observe(task)
  local ticket = task.ticket
  if ticket then
    bridge.cancel(ticket)
    waiting[ticket], task.ticket = nil, nil
    if callbacks[ticket] then
      scheduler.cancel(callbacks[ticket])
    end
  end
  if task.status == "waiting" then
    step(task, CANCEL)
  elseif coroutine.status(task.thread) == "suspended" then
    finish(task, "cancelled")
  end
end

---Returns whether the running task has been cancelled, so that its error is not one of what it does.
---@return boolean
function scheduler.is_cancelled()
  return current ~= nil and current.is_cancelled or false
end

---Runs all tasks to their end, and raises the first failure that nobody has asked about.
function scheduler.drain()
  if not next(alive) and not unobserved[1] then
    return
  end
  local dependent = find_dependent()
  for task in pairs(dependent) do
    if callbacks[task.callback] ~= task then
      error("a task cannot wait for all tasks", 0)
    end
  end
  loop(function()
    local task = next(alive)
    while task and dependent[task] do
      task = next(alive, task)
    end
    return not task
  end)
  local task = unobserved[1]
  unobserved = {}
  if task then
    bridge.rethrow(task.failure)
  end
end

---Lets tasks go on that need not wait; then raises the first failure that nobody has asked about.
---@param seconds number how long to wait for the first of them
---@return boolean whether one went on
function scheduler.turn(seconds)
  local went_on = false
  if next(alive) then
    local waiter, results = take_ready()
    if waiter then
      go_on(waiter, results)
      went_on = true
    else
      went_on = serve_some(bridge.next_done(seconds))
    end
    rest()
  end
  local task = table.remove(unobserved, 1)
  if task then
    bridge.rethrow(task.failure)
  end
  return went_on
end

---Begins an era of an interactive session, one for each of its chunks; tasks belong to that in which they were begun.
function scheduler.begin_era()
  era = era + 1
end

---Ends what Python has left in the midst of a chunk: its tasks end with it, those of former chunks go on.
function scheduler.end_era()
  current, depth = nil, 0
  for ticket, waiter in pairs(waiting) do
    if not waiter.thread then
      bridge.cancel(ticket)
      waiting[ticket] = nil
    end
  end
  local ended = {}
  for task in pairs(alive) do
    if task.era == era or coroutine.status(task.thread) == "dead" then
      ended[#ended + 1] = task
    end
  end
  for _, task in ipairs(ended) do
    task.on_end = nil
    if coroutine.status(task.thread) == "dead" then
      finish(task, "cancelled")
    else
      scheduler.cancel(task)
    end
  end
end

---Forgets all tasks: Python has left Lua in their midst.
function scheduler.forget()
  current, depth, alive, waiting, callbacks, unobserved = nil, 0, {}, {}, {}, {}
  ready = { first = 1, last = 0 }
end

-- Passes a wait inside a script's own coroutine on to the task that it runs in.
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

-- Puts the position of the call before a message that comes out of a coroutine, as Lua does.
local function with_position(message)
  if type(message) ~= "string" then
    return message
  end
  local _, text = pcall(error, message, 4)
  return text
end

local function unwrap(thread, ok, ...)
  if ok then
    return ...
  end
  errors.throw_from(with_position((...)), thread)
end

coroutine.resume = resume_within -- luacheck: ignore 122

function coroutine.wrap(f) -- luacheck: ignore 122
  local thread = create(f)
  return function(...)
    local is_alive = coroutine.status(thread) == "suspended"
    return unwrap(is_alive and thread, resume_within(thread, ...))
  end
end

return scheduler
