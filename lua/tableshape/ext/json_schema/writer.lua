--- Writes the JSON Schemas of types. A kind of schema with other rules is a writer with other methods: `writer.new`.

local cjson = require("cjson")
local common = require("tableshape.base")
local simplifier = require("tableshape.ext.json_schema.simplifier")
local values = require("tableshape.values")

-- An installed lua-cjson may be older than `array_mt`.
local array_mt = cjson.array_mt or require("cjson.sentinels").array_mt

local MAX_DEPTH = 100

local TYPE_NAMES = { ["nil"] = "null", table = "object" }

--- Methods for the bare types that a simplifier leaves; every one returns a schema, or nil and why there is none.
---@class tableshape.SchemaWriter: tableshape.Visitor
---@field depth integer
local writer = {}
writer.__index = writer

---@param methods? table replace those of the same name
---@return tableshape.SchemaWriter
function writer.new(methods)
  local self = setmetatable({ depth = 0 }, writer)
  for name, method in pairs(methods or {}) do self[name] = method end
  return self
end

local function array(list)
  return setmetatable(list, array_mt)
end

--- The lowest and the highest number that a type takes, where it is a number or a range of them.
local function bounds(length)
  local schema = length and writer.new():write(length)
  if not schema then return nil end
  if type(schema.const) == "number" then return schema.const, schema.const end
  return schema.minimum, schema.maximum
end

function writer.any()
  return {}
end

function writer.array()
  return { type = "array" }
end

function writer.basic(_, _, name, length)
  local schema = { type = TYPE_NAMES[name] or name }
  if name == "string" then schema.minLength, schema.maxLength = bounds(length) end
  return schema
end

function writer.pattern(_, type)
  return { type = type == values.integer and "integer" or "string" }
end

function writer.range(_, _, left, right)
  if type(left) ~= "number" then return { type = "string" } end
  return { type = "number", minimum = left, maximum = right }
end

--- A `one_of` that is left has strings alone, or numbers alone.
function writer.one_of(_, _, options)
  local copy = common.shallow_copy(options)
  return { type = type(options[1]), enum = array(copy) }
end

function writer.literal(_, _, value)
  local kind = type(value)
  if kind == "nil" then return { type = "null" } end
  if kind == "function" or kind == "thread" or (kind == "userdata" and value ~= cjson.null) then
    return nil, ("there is no JSON Schema for a %s"):format(kind)
  end
  return { const = value }
end

function writer.json_schema(_, _, base_type, schema)
  if type(schema) == "function" then schema = schema(base_type) end
  assert(type(schema) == "table", "expected table for schema")
  return common.shallow_copy(schema)
end

function writer:array_of(_, item, length)
  local items, reason = self:write_required(item)
  if not items then return nil, "array item: " .. reason end
  local least, most = bounds(length)
  return { type = "array", items = items, minItems = least, maxItems = most }
end

function writer:map_of(_, key, value)
  local notes = simplifier.simplify(key)
  if not notes or notes.optional or notes.bare ~= values.basic.string then
    return nil, "the keys of a map must be types.string"
  end
  local schema, reason = self:write_required(value)
  if not schema then return nil, "map value: " .. reason end
  return { type = "object", additionalProperties = schema }
end

--- Returns an object's rule for fields that it does not name: false for none, a schema, or nil for any.
function writer:additional_properties(is_open, extra_fields)
  if is_open then return nil end
  if not extra_fields then return false end
  local schema = self:write_required(extra_fields)
  return schema and schema.additionalProperties
end

function writer:shape(_, fields, is_open, extra_fields)
  local properties, required = {}, {}
  for key, field in pairs(fields) do
    if type(key) ~= "string" then return nil, ("field %s: a name must be a string"):format(tostring(key)) end
    local schema, problem = self:write(field)
    if not schema then return nil, ('field "%s": %s'):format(key, problem) end
    properties[key] = schema
    if not problem then required[#required + 1] = key end
  end
  table.sort(required)
  return {
    type = "object",
    properties = properties,
    required = array(required),
    additionalProperties = self:additional_properties(is_open, extra_fields),
  }
end

---@param type tableshape.BaseType|any
---@return table? schema
---@return boolean|string|nil optional_or_reason true when the type takes nil beside; why there is no schema
function writer:write(type)
  if self.depth >= MAX_DEPTH then return nil, "the type contains itself" end
  local notes, reason = simplifier.simplify(type)
  if not notes then return nil, reason end
  self.depth = self.depth + 1
  local schema
  if common.is_type(notes.bare) then
    schema, reason = notes.bare:_visit(self)
  else
    schema, reason = self:literal(nil, notes.bare)
  end
  self.depth = self.depth - 1
  if not schema then return nil, reason end
  schema.description = notes.description or schema.description
  return schema, notes.optional
end

--- As `write`, for what cannot be left out.
---@return table? schema
---@return string? reason
function writer:write_required(type)
  local schema, problem = self:write(type)
  if schema and problem then return nil, "the type is optional, which only the field of a shape can be" end
  return schema, problem
end

return writer
