-- The waits: outside of tasks each blocks, inside a task it lets the other tasks go on.

local _, bridge = ...

local wait = {}

---Set by `openai.tasks`: suspends the running task until a ticket is done, or nil where that cannot be.
---@return (fun(ticket: integer): ...)?
function wait.suspender() end

-- Suspends until a ticket is done, where there is one.
local function wait_for(suspend, ok, ticket)
  if not ok then
    return false, ticket
  end
  return suspend(ticket)
end

---@return boolean ok
---@return any ... status, reason, headers and the answer's number, or what failed
function wait.open(...)
  local suspend = wait.suspender()
  if suspend then
    return wait_for(suspend, bridge.begin_open(...))
  end
  return bridge.open(...)
end

---@param number integer the answer's
---@return boolean ok
---@return string? piece nil at the end, or what failed
function wait.read(number)
  local suspend = wait.suspender()
  if suspend then
    return wait_for(suspend, bridge.begin_read(number))
  end
  return bridge.read(number)
end

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
