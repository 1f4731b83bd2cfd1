--- The `tableshape.ext.json_schema` module: JSON Schemas from types.

local common = require("tableshape.base")
local simplifier = require("tableshape.ext.json_schema.simplifier")
local writer = require("tableshape.ext.json_schema.writer")

local class, BaseType, FailedTransform = common.class, common.BaseType, common.FailedTransform

--- Checks as the type that it wraps, and has the schema that it is given.
---@class tableshape.JsonSchema: tableshape.BaseType
local JsonSchema = class("JsonSchema", BaseType, {
  _describe = function(self)
    return self.base_type:_describe()
  end,
  _transform = function(self, value, state)
    return self.base_type:_transform(value, state)
  end,
  _visit = function(self, visitor)
    return visitor:json_schema(self, self.base_type, self.schema)
  end,
}, function(self, base_type, schema)
  assert(common.is_type(base_type), "expected a type checker")
  assert(type(schema) == "table" or type(schema) == "function", "expected table or function for schema")
  self.base_type, self.schema = base_type, schema
end)

local Simplify = class("Simplify", BaseType, {
  _describe = function() return "a type with a JSON Schema" end,
  _transform = function(_, value, state)
    local notes, reason = simplifier.simplify(value)
    if not notes then return FailedTransform, reason end
    if notes.optional or notes.description then
      local copy = common.shallow_copy(type(state) == "table" and state or {})
      copy.optional = notes.optional or copy.optional
      copy.description = copy.description or notes.description
      state = copy
    end
    return notes.bare, state
  end,
})

local ToJsonSchema = class("ToJsonSchema", BaseType, {
  _describe = function() return "a type with a JSON Schema" end,
  _transform = function(_, value, state)
    local schema, problem = writer.new():write(value)
    if not schema then return FailedTransform, problem end
    if problem then error("the type is optional, which only the field of a shape can be", 0) end
    return schema, state
  end,
})

---@class tableshape.json_schema
---@field to_json_schema tableshape.BaseType its `transform` returns a type's schema, or nil and why there is none
---@field simplify tableshape.BaseType its `transform` returns the bare type that a schema is made from
---@field JsonSchema fun(base_type: tableshape.BaseType, schema: table|fun(type: tableshape.BaseType): table): any
return {
  to_json_schema = ToJsonSchema(),
  simplify = Simplify(),
  JsonSchema = JsonSchema,
}
