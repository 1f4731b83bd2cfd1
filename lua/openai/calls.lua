-- Finds the calls in a model's replies, and writes their answers: what is as most are, in Lua.
-- tests/vectors/calls.json holds this to client/tools.py, to which the unusual is left.

local _, bridge = ...
local json = bridge.bundled("openai.json")
local messages = bridge.bundled("openai.messages")

local type = type
local is_list, is_object, is_utf8 = messages.is_list, messages.is_object, json.is_utf8

-- One of `tool_calls`, a `function_call`, or a response's item of type `function_call` or `custom_tool_call`.
---@alias openai.CallKind "tool"|"function"|"response"|"custom"

---@class openai.FoundCall a call that a model asks for
---@field id string "" where the server gives none
---@field name string
---@field text string the arguments as the model wrote them
---@field kind openai.CallKind

local calls = {}

-- Returns whether these are texts of a call that need no mending.
local function are_plain(id, name, text)
  return type(id) == "string"
    and type(name) == "string"
    and name ~= ""
    and type(text) == "string"
    and is_utf8(id)
    and is_utf8(name)
    and is_utf8(text)
end

-- Returns a call of `tool_calls` if it is a function's, as nearly all are.
local function read_tool_call(call)
  local body = is_object(call) and call.type == "function" and call["function"]
  if is_object(body) and are_plain(call.id, body.name, body.arguments) then
    return { id = call.id, name = body.name, text = body.arguments, kind = "tool" }
  end
end

-- Returns a call of the Responses API if it is a function's.
local function read_item(item)
  if item.type == "function_call" and are_plain(item.call_id, item.name, item.arguments) then
    return { id = item.call_id, name = item.name, text = item.arguments, kind = "response" }
  end
end

---Returns the calls in an assistant's message, in their order.
---@param message openai.Message
---@return openai.FoundCall[]
function calls.find(message)
  local list, found = message.tool_calls, {}
  if is_list(list) and list[1] ~= nil then
    for index = 1, #list do
      found[index] = read_tool_call(list[index])
      if not found[index] then
        return json.decode(bridge.find_calls(json.encode_received(message, "message")))
      end
    end
  elseif is_object(message.function_call) and next(message.function_call) ~= nil then
    local call = message.function_call
    if not are_plain("", call.name, call.arguments) then
      return json.decode(bridge.find_calls(json.encode_received(message, "message")))
    end
    found[1] = { id = "", name = call.name, text = call.arguments, kind = "function" }
  end
  return found
end

---Returns the calls in a response of the Responses API, in their order.
---@param response table
---@return openai.FoundCall[]
function calls.find_in_response(response)
  local output, found = response.output, {}
  for index = 1, is_list(output) and #output or 0 do
    local item = output[index]
    if is_object(item) and (item.type == "function_call" or item.type == "custom_tool_call") then
      local call = read_item(item)
      if not call then
        return json.decode(bridge.find_response_calls(json.encode_received({ output = output }, "response")))
      end
      found[#found + 1] = call
    end
  end
  return found
end

---Returns the calls that a history leaves without an answer.
---@param history openai.Message[]
---@return openai.FoundCall[]
function calls.unanswered(history)
  local first = #history
  while first > 0 and (history[first].role == "tool" or history[first].role == "function") do
    first = first - 1
  end
  local last = history[first]
  if not last or last.role ~= "assistant" or not calls.find(last)[1] then
    return {}
  end
  local tail = setmetatable({}, json.array_mt)
  for index = first, #history do
    tail[#tail + 1] = history[index]
  end
  return json.decode(bridge.unanswered(json.encode_received(tail, "messages")))
end

---Returns the message, or the item of the Responses API, that answers a call.
---@param call openai.FoundCall
---@param text string
---@return table
function calls.answer(call, text)
  if call.kind == "function" then
    return { role = "function", name = call.name, content = text }
  elseif call.kind == "response" then
    return { type = "function_call_output", call_id = call.id, output = text }
  elseif call.kind == "custom" then
    return { type = "custom_tool_call_output", call_id = call.id, output = text }
  end
  return { role = "tool", tool_call_id = call.id, content = text }
end

return calls
