-- Makes tools: declarations of functions for models, each with its function beside it.

local _, bridge = ...
local json = bridge.bundled("openai.json")
local schema = bridge.bundled("openai.schema")

local byte, find, getmetatable, type = string.byte, string.find, getmetatable, type

local OPEN = 123
local FIELDS = { name = true, description = true, parameters = true, call = true, strict = true }

-- The key, in a tool's metatable, of what is not sent.
local SPEC = {}

---@class openai.ToolSpec what `openai.tool` takes
---@field name string up to 64 letters, digits, `_` and `-`
---@field description? string what the model reads
---@field parameters? openai.Type a tableshape type or a JSON schema of an object
---@field call fun(arguments: table): any, any the result; or nil and why there is none, which the model is told
---@field strict? boolean has the API hold the model to the schema

---@class openai.CallableTool: openai.Tool a tool with its function; `tool(arguments)` calls it, checked
---@overload fun(arguments?: table|string): ...

---@class openai.ToolFunction what a tool keeps beside its declaration
---@field call fun(arguments: any): ...
---@field checker? tableshape.BaseType
---@field schema? string the schema of the arguments as JSON, before it was made strict; nil for any arguments
---@field is_checked? boolean whether arguments are checked by the schema, for want of a type

local tool = {}

local function fail(field, problem)
  error(("tool: %s: %s"):format(field, problem), 0)
end

local function is_callable(f)
  return type(f) == "function" or (type(f) == "table" and (getmetatable(f) or {}).__call ~= nil)
end

local function check_spec(spec)
  if type(spec) ~= "table" then
    error("tool: expected a table with name and call, got " .. type(spec), 0)
  end
  for field in pairs(spec) do
    if not FIELDS[field] then
      fail(tostring(field), "expected only name, description, parameters, call, strict")
    end
  end
  local name = spec.name
  if type(name) ~= "string" then
    fail("name", "expected a string, got " .. type(name))
  elseif #name > 64 or not find(name, "^[%w_-]+$") then
    bridge.check_tool_name(json.encode(name, "tool: name"), "tool: name")
  elseif spec.description ~= nil and type(spec.description) ~= "string" then
    fail("description", "expected a string, got " .. type(spec.description))
  elseif not is_callable(spec.call) then
    fail("call", "expected a function, got " .. type(spec.call))
  elseif spec.strict ~= nil and type(spec.strict) ~= "boolean" then
    fail("strict", "expected a boolean, got " .. type(spec.strict))
  end
  if spec.description and not json.is_utf8(spec.description) then
    error(json.utf8_fault(spec.description, "tool: description"), 0)
  end
end

-- Returns the schema of a tool's parameters as JSON, and as it is sent.
local function read_parameters(spec)
  if spec.parameters == nil then
    return nil, spec.strict and json.decode(bridge.strict_schema('{"type":"object","properties":{}}', "")) or nil
  end
  local found = schema.of(spec.parameters, "tool: parameters")
  local is_object = found.type == "object" or (found.type == nil and type(found.properties) == "table")
  if not is_object then
    local kind = type(found.type) == "string" and ('of type "%s"'):format(found.type) or "of no object"
    fail("parameters", "expected the type of an object, got one " .. kind)
  end
  local text = json.encode(schema.of(spec.parameters, "tool: parameters", true), "tool: parameters")
  return text, spec.strict and json.decode(bridge.strict_schema(text, "tool: parameters")) or found
end

-- Returns arguments from JSON text, where nothing about it is unusual; or nil.
local function read_plain(text)
  if byte(text, 1) == OPEN and not find(text, "null", 1, true) then
    return json.is_plain(text) and json.decode_strict(text) or nil
  end
end

---Returns whether the arguments of a call fit; then what the function gets, or else why not, in a line; and the
---arguments as they were decoded, if they were.
---@param kept openai.ToolFunction
---@param text string as the model wrote them
---@return boolean fits
---@return any arguments_or_line
---@return any decoded
function tool.read(kept, text)
  local arguments = not kept.is_checked and read_plain(text) or nil
  if arguments == nil then
    local read, line = bridge.read_arguments(text, kept.schema, kept.is_checked or false)
    if not read then
      return false, line
    end
    arguments = json.decode(read)
  end
  if not kept.checker then
    return true, arguments, arguments
  end
  local fits, made = schema.check(kept.checker, arguments, kept.schema, "arguments")
  return fits, made, arguments
end

-- Calls a tool with arguments of the script's: a table, or JSON as a model writes it.
local function call_tool(self, arguments)
  local kept = getmetatable(self)[SPEC]
  if arguments ~= nil and type(arguments) ~= "table" and type(arguments) ~= "string" then
    error("arguments: expected a table, got " .. type(arguments), 0)
  end
  local fits, made
  if type(arguments) == "table" and kept.checker then
    fits, made = schema.check(kept.checker, arguments, kept.schema, "arguments")
  else
    local text = type(arguments) == "table" and json.encode(arguments, "arguments") or arguments or ""
    fits, made = tool.read(kept, text)
  end
  if not fits then
    error(made, 0)
  end
  return kept.call(made)
end

---Calls a tool for a host; returns true and what its function returns, or false and why the arguments do not fit.
---@param value openai.CallableTool
---@param text string the arguments as a model wrote them
---@return boolean fits
---@return any ...
function tool.answer(value, text)
  local kept = getmetatable(value)[SPEC]
  local fits, made = tool.read(kept, text)
  if not fits then
    return false, made
  end
  return true, kept.call(made)
end

---Makes a tool: a declaration, valid wherever one is taken, with its function beside it, which is never sent.
---@param spec openai.ToolSpec
---@return openai.CallableTool
function tool.make(spec)
  check_spec(spec)
  local text, parameters = read_parameters(spec)
  local declaration = { name = spec.name, description = spec.description }
  declaration.parameters, declaration.strict = parameters, spec.strict
  local kept = { call = spec.call, schema = text }
  kept.checker = schema.is_type(spec.parameters) and spec.parameters or nil
  kept.is_checked = text ~= nil and not kept.checker
  return setmetatable({ type = "function", ["function"] = declaration }, { __call = call_tool, [SPEC] = kept })
end

---Returns what a tool keeps beside its declaration; nil for what `openai.tool` has not made.
---@param value any
---@return openai.ToolFunction?
function tool.function_of(value)
  local meta = type(value) == "table" and getmetatable(value)
  return type(meta) == "table" and meta[SPEC] or nil
end

return tool
