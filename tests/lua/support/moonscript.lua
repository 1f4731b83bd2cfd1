--- Makes a subclass the way compiled MoonScript code does for `class NAME extends PARENT`.

---@param name string
---@param parent table
---@param base table its methods
---@param init? fun(self: table, ...) `new`; where there is none, the parent's is called
---@return table class
return function(name, parent, base, init)
  local class
  base.__index = base
  setmetatable(base, parent.__base)
  class = setmetatable({
    __init = init or function(self, ...)
      return class.__parent.__init(self, ...)
    end,
    __base = base,
    __name = name,
    __parent = parent,
  }, {
    __index = function(cls, key)
      local value = rawget(base, key)
      if value ~= nil then return value end
      local above = rawget(cls, "__parent")
      return above and above[key]
    end,
    __call = function(cls, ...)
      local instance = setmetatable({}, base)
      cls.__init(instance, ...)
      return instance
    end,
  })
  base.__class = class
  if parent.__inherited then parent.__inherited(parent, class) end
  return class
end
