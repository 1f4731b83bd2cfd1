--- The types that look at one value as a whole, and those that choose between or wrap other types.

local common = require("tableshape.base")

local class = common.class
local BaseType, Literal = common.BaseType, common.Literal
local FailedTransform = common.FailedTransform
local is_type, coerce_literal = common.is_type, common.coerce_literal
local describe_value, describe_list = common.describe_value, common.describe_list

local Range

---@class tableshape.Type: tableshape.BaseType
---@field length fun(self: tableshape.Type, left: tableshape.BaseType|number, right?: number): tableshape.Type
---@operator add(any): tableshape.BaseType
---@operator mul(any): tableshape.BaseType
---@operator div(any): tableshape.BaseType
---@operator mod(any): tableshape.BaseType
---@operator unm: tableshape.BaseType
---@overload fun(value: any, state: table|nil): table|true|nil, any
local Type
Type = class("Type", BaseType, {
  --- Returns the same type with its length checked: by a type, or by the two ends of a range.
  length = function(self, left, right)
    return Type(self.t, { length = is_type(left) and left or Range(left, right) })
  end,
  _describe = function(self)
    local text = "type " .. describe_value(self.t)
    if self.length_type then text = text .. " length_type " .. self.length_type:_describe() end
    return text
  end,
  _transform = function(self, value, state)
    if type(value) ~= self.t then
      return FailedTransform, ('expected type "%s", got "%s"'):format(self.t, type(value))
    end
    if not self.length_type then return value, state end

    local result, new_state = self.length_type:_transform(#value, state)
    if result == FailedTransform then
      return FailedTransform, ("%s length %s, got %d"):format(self.t, tostring(new_state), #value)
    end
    return value, new_state
  end,
  _visit = function(self, visitor)
    return visitor:basic(self, self.t, self.length_type)
  end,
}, function(self, t, opts)
  self.t = t
  if opts and opts.length then self.length_type = assert(coerce_literal(opts.length)) end
end)

---@type table<string, tableshape.Type>
local basic = {}
for _, name in ipairs({ "string", "number", "function", "boolean", "userdata", "nil", "table" }) do
  basic[name] = Type(name)
end

---@class tableshape.ArrayType: tableshape.BaseType
local ArrayType = class("ArrayType", BaseType, {
  _describe = function() return "an array" end,
  _transform = function(_, value, state)
    if type(value) ~= "table" then return FailedTransform, "expecting table" end
    local expected = 1
    for index in pairs(value) do
      if type(index) ~= "number" then return FailedTransform, "non number field: " .. tostring(index) end
      if index ~= expected then
        return FailedTransform, ("non array index, got %s but expected %d"):format(tostring(index), expected)
      end
      expected = expected + 1
    end
    return value, state
  end,
  _visit = function(self, visitor)
    return visitor:array(self)
  end,
})

---@class tableshape.CloneType: tableshape.BaseType
local CloneType = class("CloneType", BaseType, {
  _describe = function() return "cloneable value" end,
  _transform = function(_, value, state)
    local kind = type(value)
    if kind == "table" then return setmetatable(common.shallow_copy(value), getmetatable(value)), state end
    if kind == "nil" or kind == "string" or kind == "number" or kind == "boolean" then return value, state end
    return FailedTransform, describe_value(value) .. " is not cloneable"
  end,
})

--- The set of a list's values when all are strings or numbers, else nil.
local function set_of_scalars(list)
  local set = {}
  for _, value in ipairs(list) do
    if type(value) ~= "string" and type(value) ~= "number" then return nil end
    set[value] = true
  end
  return set
end

---@class tableshape.OneOf: tableshape.BaseType
local OneOf = class("OneOf", BaseType, {
  _describe = function(self)
    return describe_list(self.options, ", ", ", or ")
  end,
  _transform = function(self, value, state)
    if self.options_hash then
      if self.options_hash[value] then return value, state end
    else
      for i, option in ipairs(self.options) do
        if option == value then return value, state end
        if self._is_type[i] then
          local new, new_state = option:_transform(value, state)
          if new ~= FailedTransform then return new, new_state end
        end
      end
    end
    return FailedTransform, "expected " .. self:_describe()
  end,
  _visit = function(self, visitor)
    return visitor:one_of(self, self.options)
  end,
}, function(self, options)
  assert(type(options) == "table", "expected table for options in one_of")
  self.options = options
  self.options_hash = set_of_scalars(options)
  self._is_type = {}
  for i, option in ipairs(options) do self._is_type[i] = is_type(option) end
end)

---@class tableshape.AllOf: tableshape.BaseType
local AllOf = class("AllOf", BaseType, {
  _describe = function(self)
    return describe_list(self.types, " and ")
  end,
  _transform = function(self, value, state)
    for _, checker in ipairs(self.types) do
      value, state = checker:_transform(value, state)
      if value == FailedTransform then break end
    end
    return value, state
  end,
  _visit = function(self, visitor)
    return visitor:sequence(self, self.types)
  end,
}, function(self, types)
  assert(type(types) == "table", "expected table for first argument")
  for _, checker in ipairs(types) do
    assert(is_type(checker), "all_of expects all type checkers")
  end
  self.types = types
end)

---@class tableshape.Pattern: tableshape.BaseType
local Pattern = class("Pattern", BaseType, {
  _describe = function(self)
    return "pattern " .. describe_value(self.pattern)
  end,
  --- Passes the value through as it came, though the matched part may be coerced.
  _transform = function(self, value, state)
    local subject, err = value, nil
    if self.coerce then subject, err = self.coerce:_transform(value) end
    if subject == FailedTransform then return FailedTransform, err end
    if type(subject) ~= "string" then return basic.string:_transform(subject) end
    if not subject:find(self.pattern) then return FailedTransform, "doesn't match " .. self:_describe() end
    return value, state
  end,
  _visit = function(self, visitor)
    return visitor:pattern(self, self.pattern, self.coerce)
  end,
}, function(self, pattern, opts)
  assert(type(pattern) == "string", "Pattern must be a string")
  self.pattern = pattern
  if not opts then return end
  assert(opts.initial_type == nil,
    ("initial_type has been removed from types.pattern (got: %s)"):format(tostring(opts.initial_type)))
  if opts.coerce then self.coerce = is_type(opts.coerce) and opts.coerce or common.AnyType() / tostring end
end)

---@class tableshape.Range: tableshape.BaseType
Range = class("Range", BaseType, {
  _describe = function(self)
    return ("range from %s to %s"):format(tostring(self.left), tostring(self.right))
  end,
  _transform = function(self, value, state)
    local result, new_state = self.value_type:_transform(value, state)
    if result == FailedTransform then return FailedTransform, "range " .. tostring(new_state) end
    if value < self.left or value > self.right then return FailedTransform, "not in " .. self:_describe() end
    return value, new_state
  end,
  _visit = function(self, visitor)
    return visitor:range(self, self.left, self.right)
  end,
}, function(self, left, right)
  assert(left <= right, "left range value should be less than right range value")
  self.left, self.right = left, right
  self.value_type = assert(basic[type(left)], "couldn't figure out type of range boundary")
end)

local function equivalent(a, b)
  if a == b then return true end
  if type(a) ~= "table" or type(b) ~= "table" then return false end
  for key, value in pairs(a) do
    if not equivalent(value, b[key]) then return false end
  end
  for key, value in pairs(b) do
    if rawget(a, key) == nil and not equivalent(value, a[key]) then return false end
  end
  return true
end

---@class tableshape.Equivalent: tableshape.BaseType
local Equivalent = class("Equivalent", BaseType, {
  _describe = function(self)
    return "equivalent to " .. describe_value(self.val)
  end,
  _transform = function(self, value, state)
    if equivalent(self.val, value) then return value, state end
    return FailedTransform, "not equivalent to " .. tostring(self.val)
  end,
}, function(self, val)
  self.val = val
end)

---@class tableshape.Custom: tableshape.BaseType
local Custom = class("Custom", BaseType, {
  _describe = function(self)
    return "custom checker " .. tostring(self.fn)
  end,
  _transform = function(self, value, state)
    local passed, err = self.fn(value, state)
    if not passed then return FailedTransform, err or "failed custom check" end
    return value, state
  end,
}, function(self, fn)
  assert(type(fn) == "function", "custom checker must be a function")
  self.fn = fn
end)

-- The proxies being described, so that a type which contains itself has a description that ends.
local described = setmetatable({}, { __mode = "k" })

---@class tableshape.Proxy: tableshape.BaseType
local Proxy = class("Proxy", BaseType, {
  _describe = function(self)
    if described[self] then return "recurse" end
    local target = assert(self.fn(), "proxy missing transformer")
    described[self] = true
    local text = target:_describe()
    described[self] = nil
    return text
  end,
  _transform = function(self, value, state)
    return assert(self.fn(), "proxy missing transformer"):_transform(value, state)
  end,
  _visit = function(self, visitor)
    return visitor:proxy(self, self.fn)
  end,
}, function(self, fn)
  self.fn = fn
end)

---@class tableshape.AssertType: tableshape.BaseType
local AssertType = class("AssertType", BaseType, {
  assert = assert,
  _describe = function(self)
    return "assert " .. self.base_type:_describe()
  end,
  _transform = function(self, value, state)
    local new, new_state = self.base_type:_transform(value, state)
    self.assert(new ~= FailedTransform, new_state)
    return new, new_state
  end,
  _visit = function(self, visitor)
    return visitor:wrapped(self, self.base_type)
  end,
}, function(self, base_type)
  assert(is_type(base_type), "expected a type checker")
  self.base_type = base_type
end)

---@class tableshape.AnnotateNode: tableshape.BaseType
local AnnotateNode = class("AnnotateNode", BaseType, {
  format_error = function(_, value, err)
    return tostring(value) .. ": " .. tostring(err)
  end,
  _describe = function(self)
    return self.base_type:_describe()
  end,
  _transform = function(self, value, state)
    local new, new_state = self.base_type:_transform(value, state)
    if new == FailedTransform then return FailedTransform, self:format_error(value, new_state) end
    return new, new_state
  end,
  _visit = function(self, visitor)
    return visitor:wrapped(self, self.base_type)
  end,
}, function(self, base_type, opts)
  self.base_type = assert(coerce_literal(base_type))
  if opts and opts.format_error then
    self.format_error = assert(basic["function"]:transform(opts.format_error))
  end
end)

---@class tableshape.MetatableIsType: tableshape.BaseType
local MetatableIsType = class("MetatableIsType", BaseType, {
  allow_metatable_update = false,
  _describe = function(self)
    return "has metatable " .. describe_value(self.metatable_type)
  end,
  _transform = function(self, value, state)
    if type(value) ~= "table" then return basic.table:_transform(value) end
    local metatable = getmetatable(value)
    local new, new_state = self.metatable_type:_transform(metatable, state)
    if new == FailedTransform then return FailedTransform, "metatable expected: " .. tostring(new_state) end
    if new ~= metatable then
      -- Not to be undone when an outer type fails, hence only on request.
      if not self.allow_metatable_update then
        return FailedTransform,
          "metatable was modified by a type but { allow_metatable_update = true } is not enabled"
      end
      setmetatable(value, new)
    end
    return value, new_state
  end,
}, function(self, metatable_type, opts)
  self.metatable_type = is_type(metatable_type) and metatable_type or Literal(metatable_type)
  if opts then self.allow_metatable_update = opts.allow_metatable_update end
end)

return {
  basic = basic,
  integer = Pattern("^%d+$", { coerce = basic.number / tostring }),
  AllOf = AllOf,
  AnnotateNode = AnnotateNode,
  ArrayType = ArrayType,
  AssertType = AssertType,
  CloneType = CloneType,
  Custom = Custom,
  Equivalent = Equivalent,
  MetatableIsType = MetatableIsType,
  OneOf = OneOf,
  Pattern = Pattern,
  Proxy = Proxy,
  Range = Range,
}
