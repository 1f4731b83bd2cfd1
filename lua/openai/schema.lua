-- JSON Schemas of tableshape types, and values checked by a type: `openai.schema`, tools, typed answers.

local _, bridge = ...
local json = bridge.bundled("openai.json")

local getmetatable, pcall, rawget, tostring, type = getmetatable, pcall, rawget, tostring, type

---@class openai.SchemaOptions
---@field strict? boolean the form for the API's strict mode: all keys required, optional ones nullable, no others

---@alias openai.Type tableshape.BaseType|table a tableshape type, or a JSON schema

local schema = {}

---Returns whether a value is a tableshape type, also one of an installed rock.
---@param value any
---@return boolean
function schema.is_type(value)
  local meta = type(value) == "table" and rawget(value, "__index") ~= value and getmetatable(value)
  return type(meta) == "table"
    and type(rawget(meta, "__class")) == "table"
    and type(value.check_value) == "function"
    and type(value.transform) == "function"
end

-- Returns a type's schema with all that can be said of what it takes: to strict mode it must admit nothing else.
local function of_exact_type(value)
  local writer = bridge.bundled("tableshape.ext.json_schema.writer")
  local integer = bridge.bundled("tableshape").types.integer
  return writer.new({
    pattern = function(...)
      local found = writer.pattern(...)
      found.minimum = select(2, ...) == integer and 0 or nil
      return found
    end,
  }):write_required(value)
end

---Returns the JSON schema of a type, or a JSON schema as it is; raises where there is none.
---@param value openai.Type
---@param where string what errors call it
---@param is_exact? boolean whether it says more than tableshape's extension does
---@return table
function schema.of(value, where, is_exact)
  if not schema.is_type(value) then
    if type(value) ~= "table" or rawget(value, 1) ~= nil or rawget(value, "__base") then
      local kind = type(value) ~= "table" and type(value) or rawget(value, "__base") and "a class" or "a list"
      error(("%s: expected a tableshape type or a JSON schema, got %s"):format(where, kind), 0)
    end
    return value
  end
  local ok, found, reason
  if is_exact and bridge.bundled("tableshape").is_type(value) then
    ok, found, reason = pcall(of_exact_type, value)
  else
    local to_json_schema = require("tableshape.ext.json_schema").to_json_schema
    ok, found, reason = pcall(to_json_schema.transform, to_json_schema, value)
  end
  if not ok or not found then
    error(("%s: %s"):format(where, tostring(ok and reason or found)), 0)
  end
  return found
end

---Returns the JSON schema of a type, or the strict form of a schema.
---@param value openai.Type
---@param opts? openai.SchemaOptions
---@return table
function schema.make(value, opts)
  if opts ~= nil and type(opts) ~= "table" then
    error("schema: expected options as a table, got " .. type(opts), 0)
  end
  for name in pairs(opts or {}) do
    if name ~= "strict" then
      error("schema: no option " .. tostring(name), 0)
    end
  end
  local is_strict = opts and opts.strict or false
  local found = schema.of(value, "schema", is_strict)
  if not is_strict then
    return found
  end
  return json.decode(bridge.strict_schema(json.encode(found, "schema"), "schema"))
end

-- The beginnings of tableshape's errors that name a place, each with the form of that place.
local PLACES = {
  { '^field "([^"]*)": ()', ".%s" },
  { "^field '([^']*)': ()", ".%s" },
  { "^field `([^`]*)`: ()", ".%s" },
  { "^field (%d+): ()", "[%s]" },
  { "^array item (%d+): ()", "[%s]" },
}

-- Returns the place that an error of tableshape begins with, and the rest of it.
local function take_place(text)
  for _, place in ipairs(PLACES) do
    local name, rest = text:match(place[1])
    if name then
      -- In JSON, which is what a model sees, lists begin at 0.
      local shown = place[2] == "[%s]" and name - 1 or name
      return place[2]:format(shown), text:sub(rest)
    end
  end
end

-- Returns an error of tableshape with its place before it, as in `arguments.city: expected type "string", got "nil"`.
local function with_place(text, where)
  local place, rest = take_place(text)
  while place do
    where, text = where .. place, rest
    place, rest = take_place(text)
  end
  text = text:gsub('got "userdata"$', 'got "null"')
  where = where:gsub("^%.", "")
  return where == "" and text or where .. ": " .. text
end

---Returns whether a type takes a value; then what it makes of that, or else why not, in a line.
---@param checker tableshape.BaseType
---@param value any decoded JSON
---@param text string the type's schema as JSON: it tells more of most faults, for a description hides the type's words
---@param where string what to call the value, "" for nothing
---@return boolean fits
---@return any value_or_line
function schema.check(checker, value, text, where)
  local ok, made, failure = pcall(checker.transform, checker, value)
  if ok and (made ~= nil or failure == nil or type(failure) == "table") then
    return true, made
  end
  local encoded, json_text = pcall(json.encode, value, where)
  local line = encoded and bridge.schema_fault(json_text, text, where) or ""
  if line == "" then
    line = with_place(bridge.tool_failed(tostring(ok and failure or made)), where)
  end
  return false, line
end

return schema
