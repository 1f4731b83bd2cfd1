--- The `tableshape` module: types that check and transform Lua values, after release 2.7 of leafo's rock.

local base = require("tableshape.base")
local values = require("tableshape.values")
local tables = require("tableshape.tables")

local basic = values.basic

---@alias tableshape.Field tableshape.BaseType|string|number|boolean a type, or a literal
---@alias tableshape.Length tableshape.BaseType|number

---@class tableshape.ShapeOptions
---@field open? boolean other fields may be there
---@field extra_fields? tableshape.BaseType checks each other field as a table of one
---@field check_all? boolean the error names all that is wrong

---@class tableshape.ArrayOptions
---@field keep_nils? boolean items that become nil are kept
---@field length? tableshape.Length
---@field short_circuit? boolean of `array_contains`: the first match is enough

---@class tableshape.Types
---@field any tableshape.BaseType
---@field string tableshape.Type
---@field number tableshape.Type
---@field func tableshape.Type
---@field boolean tableshape.Type
---@field userdata tableshape.Type
---@field null tableshape.Type nil, not `cjson.null`
---@field table tableshape.Type
---@field array tableshape.BaseType the keys 1 to n
---@field clone tableshape.BaseType
---@field integer tableshape.BaseType
---@field one_of fun(options: any[]): tableshape.BaseType
---@field all_of fun(types: tableshape.BaseType[]): tableshape.BaseType
---@field shape fun(fields: table<any, tableshape.Field>, opts?: tableshape.ShapeOptions): tableshape.Shape
---@field partial fun(fields: table<any, tableshape.Field>, opts?: tableshape.ShapeOptions): tableshape.Shape
---@field pattern fun(pattern: string, opts?: {coerce: boolean|tableshape.BaseType}): tableshape.BaseType
---@field array_of fun(item: tableshape.Field, opts?: tableshape.ArrayOptions): tableshape.BaseType
---@field array_contains fun(item: tableshape.Field, opts?: tableshape.ArrayOptions): tableshape.BaseType
---@field map_of fun(key: tableshape.Field, value: tableshape.Field): tableshape.BaseType
---@field literal fun(value: any): tableshape.BaseType
---@field range fun(left: number|string, right: number|string): tableshape.BaseType
---@field equivalent fun(value: any): tableshape.BaseType
---@field custom fun(check: fun(value: any, state?: table): any, string?): tableshape.BaseType
---@field scope fun(inner: tableshape.BaseType, opts?: {tag: string|function}): tableshape.BaseType
---@field proxy fun(get_type: fun(): tableshape.BaseType): tableshape.BaseType
---@field assert fun(inner: tableshape.BaseType): tableshape.BaseType
---@field annotate fun(inner: tableshape.Field, opts?: {format_error: function}): tableshape.BaseType
---@field describe fun(inner: tableshape.BaseType, description: string|function|table): tableshape.BaseType
---@field optional fun(inner: tableshape.BaseType): tableshape.BaseType
---@field metatable_is fun(metatable: table, opts?: {allow_metatable_update: boolean}): tableshape.BaseType
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
  integer = values.integer,

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

  -- The types that operators and methods build, for code that looks into types.
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

---@class tableshape
---@field types tableshape.Types
---@field is_type fun(value: any): boolean
local tableshape = {
  VERSION = "2.7.0",
  types = types,
  check_shape = check_shape,
  is_type = base.is_type,
  BaseType = base.BaseType,
  FailedTransform = base.FailedTransform,
}

return tableshape
