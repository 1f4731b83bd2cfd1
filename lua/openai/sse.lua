-- Server-sent events: cuts a streamed body into the JSON objects that it carries.

local _, bridge = ...
local json = bridge.bundled("openai.json")

---@alias openai.EventCallback fun(event: table): any false for no more events

local function is_callable(value)
  local meta = type(value) == "table" and getmetatable(value)
  return type(value) == "function" or (meta and meta.__call ~= nil) or false
end

-- Filters whose callback returned false.
local stopped = setmetatable({}, { __mode = "k" })

---@class openai.sse
local sse = {}

---An ltn12 filter that calls `callback` with each event's decoded object as it comes by.
---@param callback openai.EventCallback
---@return fun(...): ... # takes body pieces of any size, and nil at the end; returns what it is given
function sse.create_stream_filter(callback)
  if not is_callable(callback) then
    error("Must provide chunk_callback function when streaming response", 0)
  end
  local feed = bridge.wrap(bridge.sse())
  local function filter(...)
    local piece = ...
    local events = piece ~= "" and not stopped[filter] and feed(piece) or {}
    for _, data in ipairs(events) do
      local ok, event = pcall(json.decode, data)
      if ok and callback(event) == false then
        stopped[filter] = true
        break
      end
    end
    return ...
  end
  return filter
end

---Whether a filter's callback has asked for no more events.
---@param filter function one of `create_stream_filter`, or any other
---@return boolean
function sse.is_stopped(filter)
  return stopped[filter] == true
end

return sse
