-- Recognizes valid messages, which each turn checks; client/messages.py judges any other and words its error.
-- tests/vectors/messages.json holds both to the same: Python takes all that is taken here.

local _, bridge = ...
local buffer = require("string.buffer")
local json = bridge.bundled("openai.json")

local floor, huge, next, type, getmetatable = math.floor, math.huge, next, type, getmetatable
local null, array_mt, is_utf8 = json.null, json.array_mt, json.is_utf8

local DEEPEST = 32
local ROLES = { system = true, developer = true, user = true, assistant = true, ["function"] = true, tool = true }

-- Holds texts that most messages have, and that are UTF-8.
local KNOWN = { content = true, name = true, role = true, text = true, type = true, tool_call_id = true }
for role in pairs(ROLES) do
  KNOWN[role] = true
end

-- Gathers the texts of what is checked, a line each: whether they are UTF-8 is looked at once, for all.
local texts = buffer.new()

local function gather(text)
  if not KNOWN[text] then
    texts:put(text, "\n")
  end
end

-- Returns whether JSON can surely carry a value, if its texts, which are gathered, are UTF-8; deep tables, and those
-- with foreign metatables, are left to Python.
local function is_sendable(value, depth)
  local kind = type(value)
  if kind == "string" then
    gather(value)
    return true
  elseif kind == "number" then
    return value > -huge and value < huge
  elseif kind == "boolean" or value == null then
    return true
  elseif kind ~= "table" or depth == DEEPEST then
    return false
  end
  local meta = getmetatable(value)
  if meta ~= nil and meta ~= array_mt then
    return false
  end
  local count, length = 0, #value
  local is_list = length > 0 or meta == array_mt
  for key, item in next, value do
    if is_list then
      if type(key) ~= "number" or key < 1 or key > length or floor(key) ~= key then
        return false
      end
      count = count + 1
    elseif type(key) == "string" then
      gather(key)
    else
      return false
    end
    if not is_sendable(item, depth + 1) then
      return false
    end
  end
  return not is_list or count == length
end

local function is_list(value)
  return type(value) == "table" and (value[1] ~= nil or getmetatable(value) == array_mt)
end

local function is_object(value)
  return type(value) == "table" and not is_list(value)
end

local function is_absent(value)
  return value == nil or value == null
end

local function is_part(part)
  if not is_object(part) or type(part.type) ~= "string" then
    return false
  elseif part.type == "text" then
    return type(part.text) == "string"
  elseif part.type == "image_url" then
    local image = part.image_url
    return type(image) == "string" or (is_object(image) and type(image.url) == "string")
  end
  return true
end

local function is_content(content)
  if is_absent(content) or type(content) == "string" then
    return true
  elseif not is_list(content) then
    return false
  end
  for index = 1, #content do
    if not is_part(content[index]) then
      return false
    end
  end
  return true
end

local function is_text(value, is_required)
  return type(value) == "string" or (not is_required and is_absent(value))
end

-- Returns whether the API takes a message whose values are known to be sendable.
local function is_message(message)
  local role = message.role
  return ROLES[role] == true
    and is_content(message.content)
    and is_text(message.name, role == "function")
    and is_text(message.tool_call_id, role == "tool")
    and (is_absent(message.function_call) or is_object(message.function_call))
    and (is_absent(message.tool_calls) or is_list(message.tool_calls))
end

local function is_item(item)
  local kind = item.type
  if is_absent(kind) or kind == "message" then
    return is_message(item)
  elseif kind == "function_call_output" or kind == "custom_tool_call_output" then
    return type(item.call_id) == "string" and (type(item.output) == "string" or is_list(item.output))
  end
  return type(kind) == "string"
end

-- Returns whether a table is a list of sound items and nothing else.
local function are_sound(list, is_sound)
  if not is_list(list) then
    return false
  end
  local length, count = #list, 0
  for _ in next, list do
    count = count + 1
  end
  if count ~= length then
    return false
  end
  for index = 1, length do
    local item = list[index]
    if not (is_object(item) and is_sendable(item, 0) and is_sound(item)) then
      return false
    end
  end
  return true
end

-- Returns what a check returns, or false if a text that it has gathered is not UTF-8.
local function with_texts(check, ...)
  texts:reset()
  return check(...) and is_utf8(texts:get())
end

local function is_sound_message(message)
  return is_object(message) and is_sendable(message, 0) and is_message(message)
end

local messages = {}

---Raises unless the API takes a message.
---@param message any
---@param where string what errors call it
function messages.check(message, where)
  if not with_texts(is_sound_message, message) then
    bridge.check_message(json.encode(message, where), where)
  end
end

---Raises unless a value is a list of messages that the API takes.
---@param list any
function messages.check_all(list)
  if not with_texts(are_sound, list, is_message) then
    bridge.check_messages(json.encode(list, "messages"))
  end
end

---Raises unless the Responses API takes a value as input.
---@param input any
function messages.check_input(input)
  local is_sound = type(input) == "string" and is_utf8(input) or with_texts(are_sound, input, is_item)
  if not is_sound then
    bridge.check_input(json.encode(input, "input"))
  end
end

messages.is_list, messages.is_object, messages.is_absent = is_list, is_object, is_absent

return messages
