--- The class that every type inherits from, and the types which its operators and methods build.

--- The value that a type's `_transform` returns, with an error, when the input does not match.
local FailedTransform = {}

--- Makes a class in MoonScript's layout, so that compiled MoonScript can extend it.
---@param name string
---@param parent table|nil
---@param base table the methods and metamethods of the instances
---@param init fun(self: table, ...)|nil the parent's constructor when left out
---@return table class
local function class(name, parent, base, init)
  base.__index = base
  local cls = setmetatable({
    __name = name,
    __base = base,
    __parent = parent,
    __init = init or parent.__init,
  }, {
    __index = function(_, key)
      local value = base[key]
      if value == nil and parent then return parent[key] end
      return value
    end,
    __call = function(cls, ...)
      local self = setmetatable({}, base)
      cls.__init(self, ...)
      return self
    end,
  })
  base.__class = cls
  if parent then
    setmetatable(base, parent.__base)
    parent.__inherited(parent, cls)
  end
  return cls
end

-- The methods of BaseType build these, which extend it.
local AnyType, DescribeNode, FirstOfNode, Literal, NotType, OptionalType, SequenceNode, TaggedType, TransformNode

local METAMETHODS = { "__div", "__mod", "__mul", "__add", "__unm", "__tostring" }

---@class tableshape.BaseType
---@operator add(any): tableshape.BaseType
---@operator mul(any): tableshape.BaseType
---@operator div(any): tableshape.BaseType
---@operator mod(any): tableshape.BaseType
---@operator unm: tableshape.BaseType
---@overload fun(value: any, state: table|nil): table|true|nil, any
local base = {}
local BaseType = class("BaseType", nil, base, function() end)

--- Gives each new subclass its metamethods: Lua finds them only in the metatable itself, so every class needs its own.
function BaseType.__inherited(parent, child)
  child.__base.__call = child.__call
  for _, name in ipairs(METAMETHODS) do
    child.__base[name] = parent[name]
  end
end

--- Returns true for an instance of BaseType or of a subclass; false for the classes themselves and their `__base`.
---@param value any
---@return boolean
function BaseType.is_base_type(_, value)
  if type(value) ~= "table" or rawget(value, "__index") == value then return false end
  local metatable = getmetatable(value)
  local cls = type(metatable) == "table" and metatable.__class
  return type(cls) == "table" and cls.is_base_type == BaseType.is_base_type
end

---@param value any
---@return boolean
local function is_type(value)
  return BaseType:is_base_type(value)
end

--- Returns the name of a literal or, by its `__tostring`, of a type for error messages.
---@param value any
---@return string
local function describe_value(value)
  if type(value) == "string" then
    local quote = not value:find('"', 1, true) and '"' or not value:find("'", 1, true) and "'" or "`"
    return quote .. value .. quote
  elseif type(value) == "table" and rawget(value, "__index") == value then
    -- A class's __base may have a __tostring that only works on instances.
    return tostring(rawget(value, "__class"))
  end
  return tostring(value)
end

---@param values any[]
---@param separator string
---@param last_separator string|nil
---@return string
local function describe_list(values, separator, last_separator)
  local names = {}
  for i, value in ipairs(values) do
    names[i] = describe_value(value)
  end
  local last = table.remove(names)
  if #names == 0 then return last or "" end
  return table.concat(names, separator) .. (last_separator or separator) .. last
end

--- Returns the type for an operand: itself, or a literal for a string, a number or a boolean.
---@param value any
---@return tableshape.BaseType|nil
---@return string|nil error
local function coerce_literal(value)
  if is_type(value) then return value end
  local kind = type(value)
  if kind == "string" or kind == "number" or kind == "boolean" then return Literal(value) end
  return nil, "failed to coerce literal into type, use types.literal() to test for literal value"
end

--- Returns the type that checks a part of a container: itself, or a literal for anything else.
---@param value any
---@return tableshape.BaseType
local function as_type(value)
  return is_type(value) and value or Literal(value)
end

---@param left any
---@param right any
---@param operation string
---@return tableshape.BaseType left
---@return tableshape.BaseType right
local function operands(left, right, operation)
  local function operand(side, value)
    local result, err = coerce_literal(value)
    return result or error(("%s hand side of %s: %s: %s"):format(side, operation, tostring(value), err), 4)
  end
  return operand("left", left), operand("right", right)
end

--- `left * right`: the value must pass both, and `right` gets what `left` makes of it.
function base.__mul(left, right)
  return SequenceNode(operands(left, right, "multiplication"))
end

--- `left + right`: the first that passes counts. A chain of `+` is one node with many options.
function base.__add(left, right)
  left, right = operands(left, right, "addition")
  if left.__class == FirstOfNode then
    local options = { unpack(left.options) }
    table.insert(options, right)
    return FirstOfNode(unpack(options))
  elseif right.__class == FirstOfNode then
    return FirstOfNode(left, unpack(right.options))
  end
  return FirstOfNode(left, right)
end

--- `type / replacement`: a value that passes becomes the replacement, or what that function returns for it.
function base:__div(replacement)
  return TransformNode(self, replacement)
end

--- `type % fn`: as `/`, but the function gets the state too.
function base:__mod(fn)
  local node = TransformNode(self, fn)
  node.with_state = true
  return node
end

--- `-type`: passes what the type does not.
function base:__unm()
  return NotType(self)
end

function base:__call(value, state)
  return self:check_value(value, state)
end

function base:__tostring()
  return self:_describe()
end

--- Implemented by code that looks into types: `type:_visit(visitor)` calls the one method that fits the type, with the
--- type and what it is made of, and returns what that returns. A script's own types are `other` until they say more.
---@class tableshape.Visitor
---@field any fun(self, type: tableshape.BaseType): ...
---@field basic fun(self, type: tableshape.BaseType, name: string, length?: tableshape.BaseType): ... one of Lua's types
---@field array fun(self, type: tableshape.BaseType): ...
---@field literal fun(self, type: tableshape.BaseType, value: any): ...
---@field pattern fun(self, type: tableshape.BaseType, pattern: string, coerce?: tableshape.BaseType): ...
---@field range fun(self, type: tableshape.BaseType, left: number|string, right: number|string): ...
---@field one_of fun(self, type: tableshape.BaseType, options: any[]): ... `types.one_of`, with plain values as they are
---@field first_of fun(self, type: tableshape.BaseType, options: tableshape.BaseType[]): ... `a + b`
---@field sequence fun(self, type: tableshape.BaseType, parts: tableshape.BaseType[]): ... `a * b`, and `types.all_of`
---@field shape fun(self, type: tableshape.BaseType, fields: table<any, tableshape.BaseType>, is_open: boolean,
--- extra_fields?: tableshape.BaseType): ...
---@field array_of fun(self, type: tableshape.BaseType, item: tableshape.BaseType, length?: tableshape.BaseType): ...
---@field map_of fun(self, type: tableshape.BaseType, key: tableshape.BaseType, value: tableshape.BaseType): ...
---@field optional fun(self, type: tableshape.BaseType, inner: tableshape.BaseType): ...
---@field described fun(self, type: tableshape.BaseType, inner: tableshape.BaseType): ...
---@field wrapped fun(self, type: tableshape.BaseType, inner: tableshape.BaseType): ... does more than `inner`:
--- transforms, tags, scopes, annotates, asserts
---@field proxy fun(self, type: tableshape.BaseType, get_type: fun(): tableshape.BaseType): ...
---@field other fun(self, type: tableshape.BaseType): ...

---@param visitor tableshape.Visitor
---@return any ...
function base:_visit(visitor)
  return visitor:other(self)
end

---@return string
function base:_describe()
  error("Node missing _describe: " .. self.__class.__name)
end

--- Tests a value.
---@param value any
---@param state table|nil the state to start from; it is not changed
---@return table|true|nil passed the state when there is one, nil when the value does not pass
---@return any error
function base:check_value(value, state)
  local result, new_state = self:_transform(value, state)
  if result == FailedTransform then return nil, new_state end
  return type(new_state) == "table" and new_state or true
end

--- Transforms a value; returns the value itself when nothing in it changes.
---@param value any
---@param state table|nil the state to start from; it is not changed
---@return any result nil when the value does not pass
---@return any state_or_error the state, when there is one
function base:transform(value, state)
  local result, new_state = self:_transform(value, state)
  if result == FailedTransform then return nil, new_state end
  if type(new_state) == "table" then return result, new_state end
  return result
end

--- The older name of `transform`.
function base:repair(value, state)
  return self:transform(value, state)
end

--- Gives a value that fails to the function, or to the type, and tries again.
---@param repair fun(value: any): any | tableshape.BaseType
---@return tableshape.BaseType
function base:on_repair(repair)
  if is_type(repair) then return self + repair * self end
  return (self + AnyType() / repair * self):describe(function() return self:_describe() end)
end

---@return tableshape.BaseType
function base:is_optional()
  return OptionalType(self)
end

--- Replaces the description, and with it the error `expected DESCRIPTION`; a table may give the error text apart.
---@param description string|fun(self: table): string|{type: string|function, error: string|function}
---@return tableshape.BaseType
function base:describe(description)
  return DescribeNode(self, description)
end

--- Stores what passes in the state: under a name, appended to a list under `name[]`, or by calling a function.
---@param tag string|fun(state: table, value: any)
---@return tableshape.BaseType
function base:tag(tag)
  return TaggedType(self, { tag = tag })
end

function base.clone_opts()
  error("clone_opts is not longer supported")
end

---@class tableshape.Literal: tableshape.BaseType
Literal = class("Literal", BaseType, {
  _describe = function(self)
    return describe_value(self.value)
  end,
  _transform = function(self, value, state)
    if self.value ~= value then return FailedTransform, "expected " .. self:_describe() end
    return value, state
  end,
  _visit = function(self, visitor)
    return visitor:literal(self, self.value)
  end,
}, function(self, value)
  self.value = value
end)

---@class tableshape.AnyType: tableshape.BaseType
AnyType = class("AnyType", BaseType, {
  _describe = function() return "anything" end,
  _transform = function(_, value, state) return value, state end,
  is_optional = function(self) return self end,
  _visit = function(self, visitor)
    return visitor:any(self)
  end,
})

---@class tableshape.TransformNode: tableshape.BaseType
TransformNode = class("TransformNode", BaseType, {
  _describe = function(self)
    return self.node:_describe()
  end,
  _transform = function(self, value, state)
    local new, new_state = self.node:_transform(value, state)
    if new == FailedTransform then return FailedTransform, new_state end

    local replacement = self.t_fn
    if type(replacement) ~= "function" then return replacement, new_state end
    if self.with_state then return replacement(new, new_state), new_state end
    return replacement(new), new_state
  end,
  _visit = function(self, visitor)
    return visitor:wrapped(self, self.node)
  end,
}, function(self, node, t_fn)
  self.node = assert(node, "missing node for transform")
  self.t_fn = t_fn
end)

---@class tableshape.SequenceNode: tableshape.BaseType
SequenceNode = class("SequenceNode", BaseType, {
  _describe = function(self)
    return describe_list(self.sequence, " then ")
  end,
  _transform = function(self, value, state)
    local sequence = self.sequence
    for i = 1, #sequence do
      value, state = sequence[i]:_transform(value, state)
      if value == FailedTransform then break end
    end
    return value, state
  end,
  _visit = function(self, visitor)
    return visitor:sequence(self, self.sequence)
  end,
}, function(self, ...)
  self.sequence = { ... }
end)

---@class tableshape.FirstOfNode: tableshape.BaseType
FirstOfNode = class("FirstOfNode", BaseType, {
  _describe = function(self)
    return describe_list(self.options, ", ", ", or ")
  end,
  _transform = function(self, value, state)
    local options = self.options
    if not options[1] then return FailedTransform, "no options for node" end
    for i = 1, #options do
      local new, new_state = options[i]:_transform(value, state)
      if new ~= FailedTransform then return new, new_state end
    end
    return FailedTransform, "expected " .. self:_describe()
  end,
  _visit = function(self, visitor)
    return visitor:first_of(self, self.options)
  end,
}, function(self, ...)
  self.options = { ... }
end)

---@class tableshape.NotType: tableshape.BaseType
NotType = class("NotType", BaseType, {
  _describe = function(self)
    return "not " .. self.base_type:_describe()
  end,
  _transform = function(self, value, state)
    if self.base_type:_transform(value, state) == FailedTransform then return value, state end
    return FailedTransform, "expected " .. self:_describe()
  end,
}, function(self, base_type)
  assert(is_type(base_type), "expected a type checker")
  self.base_type = base_type
end)

---@class tableshape.OptionalType: tableshape.BaseType
OptionalType = class("OptionalType", BaseType, {
  _describe = function(self)
    return "optional " .. self.base_type:_describe()
  end,
  _transform = function(self, value, state)
    if value == nil then return value, state end
    return self.base_type:_transform(value, state)
  end,
  is_optional = function(self) return self end,
  _visit = function(self, visitor)
    return visitor:optional(self, self.base_type)
  end,
}, function(self, base_type)
  assert(is_type(base_type), "expected a type checker")
  self.base_type = base_type
end)

---@class tableshape.DescribeNode: tableshape.BaseType
DescribeNode = class("DescribeNode", BaseType, {
  _transform = function(self, value, state)
    local new, new_state = self.node:_transform(value, state)
    if new ~= FailedTransform then return new, new_state end
    if self.err_handler then return FailedTransform, self.err_handler(value, new_state) end
    return FailedTransform, "expected " .. self:_describe()
  end,
  describe = function(self, description)
    return DescribeNode(self.node, description)
  end,
  _visit = function(self, visitor)
    return visitor:described(self, self.node)
  end,
}, function(self, node, description)
  local function text_or_function(text)
    if type(text) == "string" then return function() return text end end
    return text
  end

  self.node = node
  if type(description) == "table" then
    self._describe = text_or_function(description.type)
    self.err_handler = text_or_function(description.error)
  else
    self._describe = text_or_function(description)
  end
end)

local function shallow_copy(source)
  local copy = {}
  for key, value in pairs(source) do copy[key] = value end
  return copy
end

--- Copies a state, which is never changed in place: the branch that changed it may still fail.
local function copy_state(state)
  if type(state) ~= "table" then return {} end
  return setmetatable(shallow_copy(state), getmetatable(state))
end

---@class tableshape.TaggedType: tableshape.BaseType
TaggedType = class("TaggedType", BaseType, {
  --- Returns a copy of the state with the value in it. A function as a tag gets one more argument before the value.
  update_state = function(self, state, value, ...)
    local out, tag = copy_state(state), self.tag_name
    if self.tag_type == "function" then
      if select("#", ...) > 0 then tag(out, (...), value) else tag(out, value) end
    elseif self.tag_array and type(out[tag]) == "table" then
      out[tag] = shallow_copy(out[tag])
      table.insert(out[tag], value)
    else
      out[tag] = self.tag_array and { value } or value
    end
    return out
  end,
  _describe = function(self)
    return self.base_type:_describe() .. " tagged " .. describe_value(self.tag_name)
  end,
  _transform = function(self, value, state)
    local new, new_state = self.base_type:_transform(value, state)
    if new == FailedTransform then return FailedTransform, new_state end
    return new, self:update_state(new_state, new)
  end,
  _visit = function(self, visitor)
    return visitor:wrapped(self, self.base_type)
  end,
}, function(self, base_type, opts)
  local tag = assert(opts and opts.tag, "tagged type missing tag")
  self.base_type = base_type
  self.tag_name = tag
  self.tag_type = type(tag)
  if self.tag_type == "string" and tag:sub(-2) == "[]" then
    self.tag_name = tag:sub(1, -3)
    self.tag_array = true
  end
end)

--- Checks with a state of its own, which becomes the tag's value in the outer state.
---@class tableshape.TagScopeType: tableshape.TaggedType
local TagScopeType = class("TagScopeType", TaggedType, {
  create_scope_state = function() return nil end,
  _transform = function(self, value, state)
    local new, scope = self.base_type:_transform(value, self:create_scope_state(state))
    if new == FailedTransform then return FailedTransform, scope end
    if self.tag_name then state = self:update_state(state, scope, new) end
    return new, state
  end,
}, function(self, base_type, opts)
  if opts then
    TaggedType.__init(self, base_type, opts)
  else
    self.base_type = base_type
  end
end)

return {
  class = class,
  FailedTransform = FailedTransform,
  BaseType = BaseType,
  is_type = is_type,
  describe_value = describe_value,
  describe_list = describe_list,
  coerce_literal = coerce_literal,
  as_type = as_type,
  shallow_copy = shallow_copy,
  AnyType = AnyType,
  DescribeNode = DescribeNode,
  FirstOfNode = FirstOfNode,
  Literal = Literal,
  OptionalType = OptionalType,
  SequenceNode = SequenceNode,
  TaggedType = TaggedType,
  TagScopeType = TagScopeType,
  TransformNode = TransformNode,
}
