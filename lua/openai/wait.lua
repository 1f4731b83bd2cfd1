-- The one wait: outside of tasks an operation blocks, inside a task it lets the other tasks go on.

local _, bridge = ...

local wait = {}

---Returns a function that suspends the running task until a ticket is done, or nil where none can; set by
---`openai.scheduler`.
---@return (fun(ticket: integer): ...)?
---@return integer? callback the ticket whose work has led here by calling Lua back
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

---Returns a function that waits for an operation of Python's and returns first whether that succeeded. Where there is
---nothing to wait for, an operation that is to be begun returns true, nil and then its results.
---@param operation luaopenai.Operation
---@return fun(...): boolean, ...
function wait.waiting(operation)
  return function(...)
    local suspend, callback = wait.suspender()
    if suspend then
      return wait_for(suspend, operation(callback or 0, ...))
    end
    return operation(false, ...)
  end
end

---Sends a request. Returns whether it succeeded; then status, reason, headers, the number of the response, or nil where
---its body came along, and that body; or the failure.
wait.open = wait.waiting(bridge.open)

---Reads a response. Returns whether it succeeded; then the next piece of the body, nil at its end, or the failure.
wait.read = wait.waiting(bridge.read)

local sleep = wait.waiting(bridge.sleep)

---Pauses; inside a task, the others go on.
---@param seconds number
function wait.sleep(seconds)
  if type(seconds) ~= "number" then
    error("sleep: expected a number, got " .. type(seconds), 0)
  end
  local ok, failure = sleep(seconds)
  if not ok then
    error(failure, 0)
  end
end

return wait
