-- Waits for what a server does in the background: `client:wait_for`.

local _, bridge = ...
local json = bridge.bundled("openai.json")
local lists = bridge.bundled("openai.lists")
local wait = bridge.bundled("openai.wait")

local polling = {}

local PAUSE_HEADERS = { "openai-poll-after-ms", "retry-after-ms", "retry-after" }

-- Removes an option from the options and returns it; raises unless it is a function or nil.
local function take_function(options, name)
  local value = options[name]
  options[name] = nil
  if value ~= nil and type(value) ~= "function" then
    error(("wait_for: %s: expected a function, got %s"):format(name, type(value)), 0)
  end
  return value
end

-- Does the same for an option that is a number of seconds.
local function take_seconds(options, name)
  local value = options[name]
  options[name] = nil
  if value ~= nil then
    bridge.check_seconds(name, type(value) == "number" and value or type(value))
  end
  return value
end

-- Returns the headers that may ask for a pause, as JSON.
local function pause_headers(headers)
  local found = {}
  for _, name in ipairs(type(headers) == "table" and PAUSE_HEADERS or {}) do
    found[name] = type(headers[name]) == "string" and headers[name] or nil
  end
  return json.encode(found, "headers")
end

---Repeats a request until something is done; see `OpenAI:wait_for`.
---@param client OpenAI
---@param name string
---@param ... any
---@return any body
function polling.wait_for(client, name, ...)
  lists.check_name("wait_for", name)
  local count = bridge.find_polled(name)
  local arguments, query = lists.split("wait_for", count, ...)
  local done, on_poll = take_function(query, "done"), take_function(query, "on_poll")
  local interval, timeout = take_seconds(query, "interval"), take_seconds(query, "timeout")
  arguments[count + 1] = next(query) ~= nil and query or nil
  local deadline = timeout and bridge.now() + timeout
  local polls = 0
  while true do
    local status, body, headers = client[name](client, unpack(arguments, 1, count + 1))
    polls = polls + 1
    local failure = bridge.poll_failure(name, status, json.encode_received(body, "body"))
    if failure then
      error(failure, 0)
    end
    if on_poll then
      on_poll(body)
    end
    local state = type(body) == "table" and type(body.status) == "string" and body.status or nil
    local is_done
    if done then
      is_done = done(body)
    else
      is_done = bridge.is_final(name, state)
    end
    if is_done then
      return body
    end
    local left = deadline and deadline - bridge.now() or math.huge
    if left <= 0 then
      error(bridge.too_late(name, timeout, state), 0)
    end
    wait.sleep(math.min(bridge.next_pause(polls, interval, pause_headers(headers)), left))
  end
end

return polling
