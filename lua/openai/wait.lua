-- The waits: outside of tasks each blocks, inside a task it lets the other tasks go on.

local _, bridge = ...

local wait = {}

---Set by `openai.scheduler`: suspends the running task until a ticket is done, or nil where that cannot be.
---@return (fun(ticket: integer): ...)?
function wait.suspender() end

-- Suspends until a ticket is done; without one there is a failure, or the result is there already.
local function wait_for(suspend, ok, ticket, ...)
  if not ok then
    return false, ticket
  elseif not ticket then
    return true, ...
  end
  return suspend(ticket)
end

---A function that waits, of one that blocks and one that returns a ticket; both say first whether they succeeded.
---Where nothing has to be waited for, the second returns nil and then what the first would.
---@param block fun(...): boolean, ...
---@param begin fun(...): boolean, integer?, ...
---@return fun(...): boolean, ...
function wait.waiting(block, begin)
  return function(...)
    local suspend = wait.suspender()
    if suspend then
      return wait_for(suspend, begin(...))
    end
    return block(...)
  end
end

---Returns whether it succeeded; then status, reason, headers and the answer's number, or what failed.
wait.open = wait.waiting(bridge.open, bridge.begin_open)

---Returns whether it succeeded; then the piece of that answer, nil at its end, or what failed.
wait.read = wait.waiting(bridge.read, bridge.begin_read)

---Pauses; inside a task, the others go on.
---@param seconds number
function wait.sleep(seconds)
  if type(seconds) ~= "number" then
    error("sleep: expected a number, got " .. type(seconds), 0)
  end
  local suspend = wait.suspender()
  if suspend then
    suspend(bridge.begin_sleep(seconds))
  else
    bridge.sleep(seconds)
  end
end

return wait
