--- The `tableshape.moonscript` module: types for the classes that MoonScript makes, and for their instances.

local class = require("tableshape.base").class
local tableshape = require("tableshape")

local BaseType, FailedTransform = tableshape.BaseType, tableshape.FailedTransform

--- Makes `_transform` from a function that says what is wrong with a value, or returns nil.
local function passing_unless(fault)
  return function(self, value, state)
    local reason = fault(value, self)
    if reason then return FailedTransform, reason end
    return value, state
  end
end

local function class_fault(value)
  if type(value) ~= "table" then return "expecting table" end
  if rawget(value, "__base") == nil then return "table is not class (missing __base)" end
  local metatable = getmetatable(value)
  if type(metatable) ~= "table" or rawget(metatable, "__call") == nil then
    return "table is not class (missing constructor)"
  end
end

local function instance_fault(value)
  if type(value) ~= "table" then return "expecting table" end
  local metatable = getmetatable(value)
  if type(metatable) ~= "table" then return "table is not instance (missing metatable)" end
  if rawget(metatable, "__index") ~= metatable then
    return "table is not instance (metatable __index does not refer to metatable)"
  end
  if rawget(value, "__index") == value then return "table is not instance (__base object, not instance)" end
  if value.__index == value then return "table is an instance metatable (__base)" end
end

--- Returns whether a class or one of its parents is the one meant, by name or by identity.
local function descends(cls, identifier)
  while cls do
    local known_as = cls
    if type(identifier) == "string" then known_as = cls.__name end
    if known_as == identifier then return true end
    cls = cls.__parent
  end
  return false
end

local function check_identifier(identifier)
  return assert(identifier, "expecting class identifier (string or class object)")
end

local function name_of(identifier)
  return type(identifier) == "string" and identifier or identifier.__name or "Class"
end

local ClassType = class("ClassType", BaseType, {
  _describe = function() return "class" end,
  _transform = passing_unless(class_fault),
})

local InstanceType = class("InstanceType", BaseType, {
  _describe = function() return "instance" end,
  _transform = passing_unless(instance_fault),
})

---@class tableshape.SubclassOf: tableshape.BaseType
local SubclassOf = class("SubclassOf", BaseType, {
  _describe = function(self) return "subclass of " .. name_of(self.class_identifier) end,
  _transform = passing_unless(function(value, self)
    local reason = class_fault(value)
    if reason then return reason end
    local first = value
    if not self.allow_same then first = value.__parent end
    if not descends(first, self.class_identifier) then return "table is not " .. self:_describe() end
  end),
}, function(self, identifier, opts)
  self.class_identifier = check_identifier(identifier)
  self.allow_same = opts and opts.allow_same and true or false
end)

---@class tableshape.InstanceOf: tableshape.BaseType
local InstanceOf = class("InstanceOf", BaseType, {
  _describe = function(self) return "instance of " .. name_of(self.class_identifier) end,
  _transform = passing_unless(function(value, self)
    local reason = instance_fault(value)
    if reason then return reason end
    if not descends(value.__class, self.class_identifier) then return "table is not " .. self:_describe() end
  end),
}, function(self, identifier)
  self.class_identifier = check_identifier(identifier)
end)

---@class tableshape.moonscript
---@field class_type tableshape.BaseType
---@field instance_type tableshape.BaseType
---@field subclass_of fun(name_or_class: string|table, opts?: { allow_same?: boolean }): tableshape.BaseType
---@field instance_of fun(name_or_class: string|table): tableshape.BaseType
return setmetatable({
  class_type = ClassType(),
  instance_type = InstanceType(),
  subclass_of = SubclassOf,
  instance_of = InstanceOf,
}, {
  __index = function(_, name)
    error(("Type checker does not exist: `%s`"):format(tostring(name)), 2)
  end,
})
