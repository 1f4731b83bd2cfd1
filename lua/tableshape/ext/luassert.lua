--- The `tableshape.ext.luassert` module: gives busted's `assert` the assertion `assert.shape(value, type)`.

local is_type = require("tableshape").is_type
local luassert = require("luassert")
local say = require("say")

say:set("assertion.shape.positive", "Expected %s to match shape:\n%s")
say:set("assertion.shape.negative", "Expected %s to not match shape:\n%s")

luassert:register("assertion", "shape", function(_, arguments)
  local value, shape = arguments[1], arguments[2]
  assert(is_type(shape), "Expected tableshape type for second argument to assert.shape")
  return shape(value) ~= nil
end, "assertion.shape.positive", "assertion.shape.negative")

luassert:add_formatter(function(value)
  if is_type(value) then return tostring(value) end
end)

return true
