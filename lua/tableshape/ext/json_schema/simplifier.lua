--- Finds the bare type or value from which a JSON Schema is made: takes off what only transforms, tags or describes.

local common = require("tableshape.base")
local values = require("tableshape.values")

-- Types that contain themselves have no end.
local MAX_DEPTH = 100

---@class tableshape.SchemaNotes
---@field bare any a type, or a plain value for a literal
---@field description? string
---@field optional? boolean

--- Every method returns notes, or nil and why there is no schema.
---@class tableshape.Simplifier: tableshape.Visitor
---@field depth integer
local simplifier = {}
simplifier.__index = simplifier

local function bare(_, type)
  return { bare = type }
end

for _, kind in ipairs({ "any", "array", "shape", "array_of", "map_of", "json_schema" }) do
  simplifier[kind] = bare
end

local function refuse(type)
  return nil, ("there is no JSON Schema for %s"):format(tostring(type))
end

function simplifier.other(_, type)
  return refuse(type)
end

function simplifier.basic(_, type, name)
  if name == "userdata" then return refuse(type) end
  return { bare = type }
end

function simplifier.pattern(_, type, _, coerce)
  -- A coerced value may be anything; types.integer alone says which kind of number it takes.
  if coerce and type ~= values.integer then return refuse(type) end
  return { bare = type }
end

function simplifier.range(_, type)
  return { bare = type }
end

function simplifier.literal(_, _, value)
  return { bare = value }
end

---@param inner tableshape.BaseType|any
---@return tableshape.SchemaNotes?, string?
function simplifier:inside(inner)
  if not common.is_type(inner) then return { bare = inner } end
  if self.depth >= MAX_DEPTH then return nil, "the type contains itself" end
  self.depth = self.depth + 1
  local notes, reason = inner:_visit(self)
  self.depth = self.depth - 1
  return notes, reason
end

function simplifier:wrapped(_, inner)
  return self:inside(inner)
end

function simplifier:proxy(_, get_type)
  return self:inside(get_type())
end

function simplifier:optional(_, inner)
  local notes, reason = self:inside(inner)
  if notes then notes.optional = true end
  return notes, reason
end

function simplifier:described(type, inner)
  local notes, reason = self:inside(inner)
  if notes then notes.description = tostring(type) end
  return notes, reason
end

--- The notes of those parts that have any; and why the first of the others has none.
function simplifier:all_inside(parts)
  local found, reason = {}, nil
  for _, part in ipairs(parts) do
    local notes, why = self:inside(part)
    if notes then
      found[#found + 1] = notes
    else
      reason = reason or why
    end
  end
  return found, reason
end

--- The plain values in all of the notes when they are strings alone or numbers alone.
local function enumeration(found)
  local kind = found[1] and type(found[1].bare)
  if kind ~= "string" and kind ~= "number" then return nil end
  local options = {}
  for index, notes in ipairs(found) do
    if type(notes.bare) ~= kind or notes.optional then return nil end
    options[index] = notes.bare
  end
  return options
end

--- One of these, to stand for the type that has them as options.
local function choose(type, found, reason)
  local plain = not reason and enumeration(found)
  if plain then return { bare = values.OneOf(plain) } end
  if found[1] then return found[1] end
  if reason then return nil, reason end
  return refuse(type)
end

function simplifier:one_of(type, options)
  return choose(type, self:all_inside(options))
end

function simplifier:sequence(type, parts)
  local found, reason = self:all_inside(parts)
  if found[1] then return found[1] end
  if reason then return nil, reason end
  return refuse(type)
end

--- As `one_of`, but nil among the options makes the rest optional.
function simplifier:first_of(type, options)
  local found, reason = self:all_inside(options)
  local rest = {}
  for _, notes in ipairs(found) do
    if notes.bare ~= values.basic["nil"] then rest[#rest + 1] = notes end
  end
  if #rest == #found then return choose(type, found, reason) end
  if #rest == 0 then return found[1] end
  -- A description would be that of one option, not of the field.
  return { bare = choose(type, rest, reason).bare, optional = true }
end

---@param type tableshape.BaseType|any
---@return tableshape.SchemaNotes? notes
---@return string? reason why there is no schema
function simplifier.simplify(type)
  return setmetatable({ depth = 0 }, simplifier):inside(type)
end

return simplifier
