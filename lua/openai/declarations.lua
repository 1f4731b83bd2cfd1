-- Writes tools as each part of the API takes them, whichever form they have.
-- tests/vectors/tools.json holds this to client/tools.py.

local _, bridge = ...
local is_object = bridge.bundled("openai.messages").is_object

local pairs, type = pairs, type

local declarations = {}

-- Returns the function in a tool's chat form, or nil.
local function function_of(tool)
  local inner = is_object(tool) and tool["function"]
  return is_object(inner) and inner or nil
end

local function copy_without(fields, name)
  local copy = {}
  for key, value in pairs(fields) do
    if key ~= name then
      copy[key] = value
    end
  end
  return copy
end

---Returns a tool as the Responses API takes it: with its name beside `type`. There, a tool is strict unless it says
---that it is not, and parameters may not be left out.
---@param tool table
---@return table
function declarations.for_responses(tool)
  local inner = is_object(tool) and tool.type == "function" and function_of(tool)
  if not inner then
    return tool
  end
  local made = copy_without(inner)
  made.type, made.strict = "function", inner.strict == true
  made.parameters = inner.parameters or { type = "object", properties = {} }
  return made
end

---Returns a tool as the legacy `functions` take it.
---@param tool table
---@return table
function declarations.for_functions(tool)
  local inner = function_of(tool)
  return inner and copy_without(inner, "strict") or tool
end

---Returns the name in a tool of any form; nil where it has none.
---@param tool any
---@return string?
function declarations.name(tool)
  local name = (function_of(tool) or (is_object(tool) and tool) or {}).name
  return type(name) == "string" and name or nil
end

---Returns a list with each of its tools in another form; the list itself where none has to change.
---@param list any
---@param convert fun(tool: table): table
---@return any
function declarations.convert(list, convert)
  local made
  for index = 1, type(list) == "table" and #list or 0 do
    local tool = list[index]
    local converted = convert(tool)
    if converted ~= tool then
      made = made or { unpack(list) }
      made[index] = converted
    end
  end
  return made or list
end

return declarations
