-- Keeps, in a Responses session, the outputs of a run's calls until a request has carried them.

local _, bridge = ...
local json = bridge.bundled("openai.json")
local messages = bridge.bundled("openai.messages")

local ipairs, type = ipairs, type

-- The id of the response that an output belongs to.
local owners = setmetatable({}, { __mode = "k" })

local pending = {}

---Keeps the output of a response's call.
---@param session ResponsesChatSession
---@param output table
---@param response_id? string
function pending.keep(session, output, response_id)
  owners[output] = response_id
  session.pending_outputs = session.pending_outputs or {}
  table.insert(session.pending_outputs, output)
end

-- Returns the outputs for what a request goes on from: a response, or a conversation, which goes on from its last.
local function find_due(session, parameters)
  local due = setmetatable({}, json.array_mt)
  for _, output in ipairs(session.pending_outputs or {}) do
    local owner = owners[output]
    if owner == nil or parameters.conversation ~= nil or owner == parameters.previous_response_id then
      due[#due + 1] = output
    end
  end
  return due
end

local function holds_outputs(input)
  for _, item in ipairs(type(input) == "table" and input or {}) do
    if item.type == "function_call_output" or item.type == "custom_tool_call_output" then
      return true
    end
  end
  return false
end

---Puts before a request's input what is pending, and not in it.
---@param session ResponsesChatSession
---@param input string|table[]
---@param parameters table the request's
---@return string|table[] input
---@return table[]? due the outputs that the request carries
function pending.add(session, input, parameters)
  local due = find_due(session, parameters)
  if not due[1] then
    return input
  end
  local missing = due
  if holds_outputs(input) then
    missing = json.decode(bridge.missing_outputs(json.encode(due, "pending_outputs"), json.encode(input, "input")))
    if not missing[1] then
      return input, due
    end
  end
  local whole = setmetatable({}, json.array_mt)
  for _, item in ipairs(missing) do
    whole[#whole + 1] = item
  end
  for _, item in ipairs(type(input) == "table" and input or { { role = "user", content = input } }) do
    whole[#whole + 1] = item
  end
  messages.check_input(whole)
  return whole, due
end

---Forgets outputs that a request has carried.
---@param session ResponsesChatSession
---@param carried table[]
function pending.remove(session, carried)
  local is_carried, kept = {}, {}
  for _, output in ipairs(carried) do
    is_carried[output] = true
  end
  for _, output in ipairs(session.pending_outputs or {}) do
    if not is_carried[output] then
      kept[#kept + 1] = output
    end
  end
  session.pending_outputs = kept
end

return pending
