-- Asks for answers of a type: sends its schema, decodes and checks what comes, and tells the model what does not fit.

local _, bridge = ...
local json = bridge.bundled("openai.json")
local schema = bridge.bundled("openai.schema")
local session = bridge.bundled("openai.session")

local _, _, DEFAULT_ATTEMPTS = bridge.run_defaults()

---@class openai.ParseOptions what `parse` takes beside what `run` takes
---@field attempts? integer answers that are asked for at most; 2 when left out
---@field name? string what the API calls the type

---@class openai.AnswerFormat
---@field checker? tableshape.BaseType
---@field schema string the type's as JSON, before it was made strict
---@field parameters table that ask for it

local typed = {}

-- Takes an option out of the others; raises unless it is right.
local function take(opts, name, is_right, expected)
  local value = opts[name]
  opts[name] = nil
  if value ~= nil and not is_right(value) then
    error(("parse: %s: expected %s, got %s"):format(name, expected, tostring(value)), 0)
  end
  return value
end

local function is_count(value)
  return type(value) == "number" and value >= 1
end

local function is_text(value)
  return type(value) == "string"
end

---@return openai.AnswerFormat
local function make_format(kind, name, api)
  local text = json.encode(schema.of(kind, "parse: type", true), "parse: type")
  return {
    checker = schema.is_type(kind) and kind or nil,
    schema = text,
    parameters = json.decode(bridge.answer_parameters(text, name, api)),
  }
end

-- Returns whether an answer fits; then the value, or else why not, in a line.
local function read(format, text)
  local found, line = bridge.read_answer(text, format.schema, format.checker == nil)
  if not found then
    return false, line
  end
  local value = json.decode(found)
  if not format.checker then
    return true, value
  end
  return schema.check(format.checker, value, format.schema, "")
end

-- Puts the format's parameters under those of the caller: `text` of the Responses API has other fields beside.
local function add_parameters(opts, parameters, given)
  for field, value in pairs(parameters) do
    local beside = field == "text" and (opts.text or given.text)
    for name, other in pairs(type(beside) == "table" and beside or {}) do
      if value[name] == nil then
        value[name] = other
      end
    end
    opts[field] = value
  end
end

---Asks for an answer of a type.
---@param of openai.TypedConversation
---@param message any
---@param kind openai.Type
---@param opts_or_callback any
---@return any value
---@return any text_or_failure
---@return any body
function typed.parse(of, message, kind, opts_or_callback)
  local opts, callback = session.options(opts_or_callback)
  local attempts = take(opts, "attempts", is_count, "a number from 1") or DEFAULT_ATTEMPTS
  local format = make_format(kind, take(opts, "name", is_text, "a string"), of.api)
  add_parameters(opts, format.parameters, of.session.opts or {})
  local attempt = 0
  while true do
    attempt = attempt + 1
    local text, failure, body, cut = of:ask(message, opts, callback)
    if text == nil then
      return nil, failure, body
    end
    local fits, value = read(format, text)
    if fits then
      return value, text
    elseif cut() then
      return nil, cut(), text
    elseif attempt >= attempts then
      return nil, bridge.no_fit(attempt, value), text
    end
    message = bridge.ask_again(value)
  end
end

---@class openai.TypedConversation what `parse` needs of a kind of session
---@field api "chat"|"responses"
---@field session table
---@field ask fun(self: table, message: any, opts: table, callback?: function): string?, any, any, fun(): string?

return typed
