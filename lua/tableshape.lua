--- The `tableshape` module: types that check and transform Lua values, after release 2.7 of leafo's rock.

local base = require("tableshape.base")
local values = require("tableshape.values")
local tables = require("tableshape.tables")

local basic = values.basic

local types = setmetatable({
  any = base.AnyType(),
  string = basic.string,
  number = basic.number,
  ["function"] = basic["function"],
  func = basic["function"],
  boolean = basic.boolean,
  userdata = basic.userdata,
  ["nil"] = basic["nil"],
  null = basic["nil"], -- The release means nil by it, not cjson.null; scripts have types.literal(cjson.null).
  table = basic.table,
  array = values.ArrayType(),
  clone = values.CloneType(),
  integer = values.Pattern("^%d+$", { coerce = basic.number / tostring }),

  one_of = values.OneOf,
  all_of = values.AllOf,
  shape = tables.Shape,
  partial = tables.Partial,
  pattern = values.Pattern,
  array_of = tables.ArrayOf,
  array_contains = tables.ArrayContains,
  map_of = tables.MapOf,
  literal = base.Literal,
  range = values.Range,
  equivalent = values.Equivalent,
  custom = values.Custom,
  scope = base.TagScopeType,
  proxy = values.Proxy,
  assert = values.AssertType,
  annotate = values.AnnotateNode,
  describe = base.DescribeNode,
  optional = base.OptionalType,
  metatable_is = values.MetatableIsType,

  -- What operators and methods build, for code that looks into types.
  _transform = base.TransformNode,
  _tagged_type = base.TaggedType,
  _tag_scope_type = base.TagScopeType,
  _sequence = base.SequenceNode,
  _first_of = base.FirstOfNode,
}, {
  __index = function(_, name)
    error(("Type checker does not exist: `%s`"):format(tostring(name)), 2)
  end,
})

--- Tests a value against anything with a `check_value` method.
---@param value any
---@param shape table
---@return table|true|nil passed
---@return any error
local function check_shape(value, shape)
  assert(shape.check_value, "missing check_value method from shape")
  return shape:check_value(value)
end

return {
  VERSION = "2.7.0",
  types = types,
  check_shape = check_shape,
  is_type = base.is_type,
  BaseType = base.BaseType,
  FailedTransform = base.FailedTransform,
}
