--- The types that look inside tables. A table is copied only once something in it has changed.

local common = require("tableshape.base")
local table_type = require("tableshape.values").basic.table

local class = common.class
local BaseType = common.BaseType
local FailedTransform = common.FailedTransform
local is_type, as_type, coerce_literal = common.is_type, common.as_type, common.coerce_literal
local describe_value, describe_list = common.describe_value, common.describe_list

--- Returns a table's keys in an order that is the same in every process, for strings, numbers and booleans.
local function sorted_keys(source)
  local keys = {}
  for key in pairs(source) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b)
    local kind = type(a)
    if kind ~= type(b) then return kind < type(b) end
    if kind == "number" then return a < b end
    return tostring(a) < tostring(b)
  end)
  return keys
end

local function copy_fields(source, keys, count)
  local copy = {}
  for i = 1, count do copy[keys[i]] = source[keys[i]] end
  return copy
end

local function copy_items(source, count)
  local copy = {}
  for i = 1, count do copy[i] = source[i] end
  return copy
end

--- Puts the items after the `index`th behind the first `count` of `out`.
local function append_rest(out, count, source, index)
  for i = index + 1, #source do out[count + i - index] = source[i] end
end

local function appended(list, value)
  list = list or {}
  list[#list + 1] = value
  return list
end

local function field_error(key, err)
  return ("field %s: %s"):format(describe_value(key), tostring(err))
end

--- Returns the changed fields with those before them, or nil when none changed; the state; the errors, or nil.
local function transform_fields(self, value, state)
  local keys, fields = self._keys, self._fields
  local out, errors
  for i = 1, #keys do
    local key = keys[i]
    local old = value[key]
    local new, new_state = fields[key]:_transform(old, state)
    if new == FailedTransform then
      errors = appended(errors, field_error(key, new_state))
      if not self.check_all then break end
    else
      state = new_state
      if new ~= old and not out then out = copy_fields(value, keys, i - 1) end
      if out then out[key] = new end
    end
  end
  return out, state, errors
end

--- Gives each undeclared field to the type of extra fields as a table of one, which may rename or drop it.
--- Returns what becomes of the extra fields; whether that differs; the state; the errors, or nil.
local function transform_extras(self, value, state, errors)
  local extras, changed = {}, false
  for key, old in pairs(value) do
    if not self._fields[key] then
      local pair, new_state = self.extra_fields_type:_transform({ [key] = old }, state)
      if pair == FailedTransform then
        errors = appended(errors, field_error(key, new_state))
        if not self.check_all then break end
      else
        state = new_state
        local new_key, new
        if pair then new_key, new = next(pair) end
        if new_key ~= nil then extras[new_key] = new end
        changed = changed or new_key ~= key or new ~= old
      end
    end
  end
  return extras, changed, state, errors
end

--- Returns the fields of a value that a shape does not declare, or nil.
local function undeclared(self, value)
  local extras
  for key, item in pairs(value) do
    if not self._fields[key] then
      extras = extras or {}
      extras[key] = item
    end
  end
  return extras
end

---@class tableshape.Shape: tableshape.BaseType
---@field is_open fun(self: tableshape.Shape): tableshape.Shape
---@operator add(any): tableshape.BaseType
---@operator mul(any): tableshape.BaseType
---@operator div(any): tableshape.BaseType
---@operator mod(any): tableshape.BaseType
---@operator unm: tableshape.BaseType
---@overload fun(value: any, state: table|nil): table|true|nil, any
local Shape
Shape = class("Shape", BaseType, {
  open = false,
  check_all = false,
  --- Returns the same shape, open; a type for extra fields is dropped.
  is_open = function(self)
    return Shape(self.shape, { open = true, check_all = self.check_all or nil })
  end,
  _describe = function(self)
    local parts = {}
    for i, key in ipairs(self._keys) do
      parts[i] = describe_value(key) .. " = " .. describe_value(self._fields[key])
    end
    return "{ " .. table.concat(parts, ", ") .. " }"
  end,
  _transform = function(self, value, state)
    if type(value) ~= "table" then return table_type:_transform(value) end

    local out, errors
    out, state, errors = transform_fields(self, value, state)
    if errors and not self.check_all then return FailedTransform, errors[1] end

    local extras
    if self.open then
      extras = out and undeclared(self, value)
    elseif self.extra_fields_type then
      local changed
      extras, changed, state, errors = transform_extras(self, value, state, errors)
      if changed and not out then out = copy_fields(value, self._keys, #self._keys) end
    else
      extras = undeclared(self, value)
      if extras then errors = appended(errors, "extra fields: " .. describe_list(sorted_keys(extras), ", ")) end
    end

    if errors then return FailedTransform, table.concat(errors, "; ") end
    if out and extras then
      for key, item in pairs(extras) do out[key] = item end
    end
    return out or value, state
  end,
  _visit = function(self, visitor)
    return visitor:shape(self, self._fields, self.open and true or false, self.extra_fields_type)
  end,
}, function(self, shape, opts)
  assert(type(shape) == "table", "expected table for shape")
  self.shape = shape
  self._keys = sorted_keys(shape)
  self._fields = {}
  for key, field in pairs(shape) do self._fields[key] = as_type(field) end

  if not opts then return end
  self.open = opts.open
  self.check_all = opts.check_all
  if opts.extra_fields then
    assert(is_type(opts.extra_fields), "extra_fields_type must be type checker")
    assert(not self.open, "open can not be combined with extra_fields")
    self.extra_fields_type = opts.extra_fields
  end
end)

---@class tableshape.Partial: tableshape.Shape
local Partial = class("Partial", Shape, {
  open = true,
  is_open = function() error("is_open has no effect on Partial") end,
})

---@class tableshape.ArrayOf: tableshape.BaseType
local ArrayOf = class("ArrayOf", BaseType, {
  _describe = function(self)
    return "array of " .. describe_value(self.expected)
  end,
  _transform = function(self, value, state)
    if type(value) ~= "table" then return table_type:_transform(value) end

    if self.length_type then
      local result
      result, state = self.length_type:_transform(#value, state)
      if result == FailedTransform then
        return FailedTransform, ("array length %s, got %d"):format(tostring(state), #value)
      end
    end

    local item_type, keep_nils = self._item_type, self.keep_nils
    local out, count
    for i, old in ipairs(value) do
      local new
      new, state = item_type:_transform(old, state)
      if new == FailedTransform then
        return FailedTransform, ("array item %d: %s"):format(i, tostring(state))
      end
      if new ~= old and not out then out, count = copy_items(value, i - 1), i - 1 end
      if out and (new ~= nil or keep_nils) then
        count = count + 1
        out[count] = new
      end
    end
    return out or value, state
  end,
  _visit = function(self, visitor)
    return visitor:array_of(self, self._item_type, self.length_type)
  end,
}, function(self, expected, opts)
  self.expected = expected
  self._item_type = as_type(expected)
  if not opts then return end
  self.keep_nils = opts.keep_nils
  if opts.length then self.length_type = assert(coerce_literal(opts.length)) end
end)

---@class tableshape.ArrayContains: tableshape.BaseType
local ArrayContains = class("ArrayContains", BaseType, {
  short_circuit = true,
  keep_nils = false,
  _describe = function(self)
    return "array containing " .. describe_value(self.contains)
  end,
  _transform = function(self, value, state)
    if type(value) ~= "table" then return table_type:_transform(value) end

    local found = false
    local out, count
    for i, old in ipairs(value) do
      local new, new_state = self._item_type:_transform(old, state)
      if new == FailedTransform then
        new = old
      else
        found, state = true, new_state
      end

      if new ~= old and not out then out, count = copy_items(value, i - 1), i - 1 end
      if out and (new ~= nil or self.keep_nils) then
        count = count + 1
        out[count] = new
      end

      if found and self.short_circuit then
        if out then append_rest(out, count, value, i) end
        break
      end
    end

    if not found then return FailedTransform, "expected " .. self:_describe() end
    return out or value, state
  end,
}, function(self, contains, opts)
  assert(contains, "missing contains")
  self.contains = contains
  self._item_type = as_type(contains)
  if not opts then return end
  self.short_circuit = opts.short_circuit
  self.keep_nils = opts.keep_nils
end)

--- Copies the fields that `pairs` gives before one key.
local function copy_until(source, stop)
  local copy = {}
  for key, value in pairs(source) do
    if rawequal(key, stop) then break end
    copy[key] = value
  end
  return copy
end

---@class tableshape.MapOf: tableshape.BaseType
local MapOf = class("MapOf", BaseType, {
  _describe = function(self)
    return ("map of %s -> %s"):format(self.expected_key:_describe(), self.expected_value:_describe())
  end,
  _transform = function(self, value, state)
    if type(value) ~= "table" then return table_type:_transform(value) end

    local key_type, value_type = self.expected_key, self.expected_value
    local out
    for old_key, old in pairs(value) do
      local new_key, new
      new_key, state = key_type:_transform(old_key, state)
      if new_key == FailedTransform then return FailedTransform, "map key " .. tostring(state) end
      new, state = value_type:_transform(old, state)
      if new == FailedTransform then return FailedTransform, "map value " .. tostring(state) end

      if not out and (new_key ~= old_key or new ~= old) then out = copy_until(value, old_key) end
      if out and new_key ~= nil then out[new_key] = new end
    end
    return out or value, state
  end,
  _visit = function(self, visitor)
    return visitor:map_of(self, self.expected_key, self.expected_value)
  end,
}, function(self, expected_key, expected_value)
  self.expected_key = as_type(expected_key)
  self.expected_value = as_type(expected_value)
end)

return {
  ArrayContains = ArrayContains,
  ArrayOf = ArrayOf,
  MapOf = MapOf,
  Partial = Partial,
  Shape = Shape,
}
