-- Makes classes of the form that compiled MoonScript code extends and calls.

---@class openai.Class
---@field __name string
---@field __base table the methods; metatable of every instance
---@field __init fun(self: table, ...)
---@field __parent? openai.Class
---@field new fun(...): table the same as calling the class
---@overload fun(...): table

-- Returns the lookup that MoonScript gives a class with a parent.
local function inherit(base, parent)
  setmetatable(base, parent.__base)
  return function(class, name)
    local value = rawget(base, name)
    if value ~= nil then
      return value
    end
    return rawget(class, "__parent")[name]
  end
end

-- Adds `new`, a plain function, so that each class needs its own; subclasses get theirs when MoonScript reports them.
local function add_new(class)
  class.new = rawget(class, "new") or function(...)
    return class(...)
  end
  return class
end

local function inherited(_, child)
  add_new(child)
end

---@param name string
---@param base table its methods and the instances' default fields
---@param init? fun(self: table, ...) the constructor; the parent's when left out
---@param parent? openai.Class
---@return openai.Class
return function(name, base, init, parent)
  local class = { __name = name, __base = base, __parent = parent, __inherited = inherited }
  class.__init = init or function(self, ...)
    return parent.__init(self, ...)
  end
  base.__index = base
  base.__class = class
  setmetatable(class, {
    __index = parent and inherit(base, parent) or base,
    __call = function(cls, ...)
      local instance = setmetatable({}, base)
      cls.__init(instance, ...)
      return instance
    end,
  })
  return add_new(class)
end
