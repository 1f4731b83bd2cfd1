--- The `tableshape.ext.with_args` module: functions that check and transform their arguments before they run.

local tableshape = require("tableshape")

local function as_type(value)
  return tableshape.is_type(value) and value or tableshape.types.literal(value)
end

---@class tableshape.ArgumentTypes
---@field [integer] tableshape.BaseType|any the type of the argument at that place, or the one value that it may have
---@field rest? tableshape.BaseType|any the type of every argument after those; unchecked when left out
---@field assert? boolean a wrong argument raises an error instead of returning nil and the message

--- Wraps a function. What the wrapper is called with goes through the types, and what they make of it to the function.
---@param argument_types tableshape.ArgumentTypes
---@param fn function
---@return function wrapper returns what `fn` returns, or nil and what is wrong with an argument
local function with_args(argument_types, fn)
  assert(type(argument_types) == "table", "with_args expects table for first argument")
  assert(type(fn) == "function", "with_args expects function for second argument")

  local types = {}
  for index, argument_type in ipairs(argument_types) do types[index] = as_type(argument_type) end
  local rest = argument_types.rest and as_type(argument_types.rest)
  local raises = argument_types.assert

  return function(...)
    local arguments, count = { ... }, select("#", ...)
    for index = 1, math.max(count, #types) do
      local argument_type = types[index] or rest
      if argument_type then
        local value, state_or_error = argument_type:_transform(arguments[index])
        if value == tableshape.FailedTransform then
          local place = types[index] and "" or " (rest)"
          local message = ("argument %d%s: %s"):format(index, place, tostring(state_or_error))
          if raises then error(message, 2) end
          return nil, message
        end
        arguments[index] = value
        if value ~= nil then count = math.max(count, index) end
      end
    end
    return fn(unpack(arguments, 1, count))
  end
end

return { with_args = with_args }
