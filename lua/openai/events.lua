-- Reads the usual events of streams and bodies of responses; the unusual ones are left to Python.
-- tests/vectors/chunks.json and answers.json hold this to client/completions.py and client/responses.py.

local _, bridge = ...
local json = bridge.bundled("openai.json")
local messages = bridge.bundled("openai.messages")
local session = bridge.bundled("openai.session")

local floor, next, type = math.floor, next, type
local null, array_mt = json.null, json.array_mt
local is_absent, is_list, is_object = messages.is_absent, messages.is_list, messages.is_object

local EXACT = 2 ^ 53

-- Returns whether a value is neither null nor zero nor an empty text or table.
local function is_filled(value)
  if type(value) == "table" then
    return next(value) ~= nil
  end
  return value ~= nil and value ~= null and value ~= false and value ~= "" and value ~= 0
end

local function filled_text(value)
  return type(value) == "string" and value ~= "" and value or nil
end

local function pieces_of_calls(calls)
  if not is_list(calls) then
    return nil
  end
  local pieces = setmetatable({}, array_mt)
  for index = 1, #calls do
    if is_object(calls[index]) then
      pieces[#pieces + 1] = calls[index]
    end
  end
  return pieces[1] and pieces
end

local function read_index(index)
  if type(index) == "number" and index > -EXACT and index < EXACT and floor(index) == index then
    return index
  end
  return 0
end

local events = {}

---Returns the chunk in an event of a chat completion's stream; nil unless there is one choice, with a delta.
---@param event table
---@return openai.Chunk?
function events.read_chunk(event)
  if type(event) ~= "table" or not (event.object == "chat.completion.chunk" or is_absent(event.object)) then
    return nil
  end
  local choices = event.choices
  local choice = is_list(choices) and choices[2] == nil and choices[1]
  local delta = is_object(choice) and choice.delta
  if not is_object(delta) then
    return nil
  end
  local content = delta.content
  local chunk = { content = type(content) == "string" and content or "", index = read_index(choice.index) }
  for name in next, delta do
    if name ~= "content" then
      chunk.tool_calls = pieces_of_calls(delta.tool_calls)
      local call = delta.function_call
      chunk.function_call = is_object(call) and next(call) ~= nil and call or nil
      local reasoning = is_filled(delta.reasoning) and delta.reasoning or delta.reasoning_content
      chunk.reasoning = filled_text(reasoning)
      chunk.refusal = filled_text(delta.refusal)
      break
    end
  end
  chunk.finish_reason = filled_text(choice.finish_reason)
  return session.chunk(chunk, chunk.content == "" and content ~= nil)
end

---Returns the reply in a chat completion if it is a text and nothing else.
---@param body any
---@return string?
function events.plain_reply(body)
  local choice = is_object(body) and is_list(body.choices) and body.choices[1]
  local message = is_object(choice) and choice.message
  if
    is_object(message)
    and type(message.content) == "string"
    and is_absent(message.refusal)
    and is_absent(message.tool_calls)
    and is_absent(message.function_call)
    and json.is_utf8(message.content)
  then
    return message.content
  end
end

local function items(parent, field)
  local found = is_object(parent) and parent[field]
  return is_list(found) and found or {}
end

---Returns all `output_text` parts of a response, joined.
---@param response any
---@return string
function events.output_text(response)
  local texts = {}
  local output = items(response, "output")
  for number = 1, #output do
    local content = items(output[number], "content")
    for index = 1, #content do
      local part = content[index]
      if is_object(part) and part.type == "output_text" and type(part.text) == "string" then
        texts[#texts + 1] = part.text
      end
    end
  end
  return table.concat(texts)
end

---Returns whether a body is a response of the Responses API with a text; Python judges any other body.
---@param body any
---@return boolean
function events.is_plain_response(body)
  return is_object(body)
    and type(body.id) == "string"
    and is_list(body.output)
    and body.status ~= "failed"
    and events.output_text(body) ~= ""
end

---Returns the text that an event of a Responses stream carries, if any.
---@param event any
---@return string?
function events.text_delta(event)
  if is_object(event) and event.type == "response.output_text.delta" and type(event.delta) == "string" then
    return event.delta
  end
end

return events
