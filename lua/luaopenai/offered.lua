-- Finds what a plugin offers to its host: functions, and tools for models.

local _, bridge = ...
local tool = bridge.bundled("openai.tool")
local wire = bridge.bundled("luaopenai.wire")

local error, ipairs, next, rawget, setmetatable, table, tostring, type =
  error, ipairs, next, rawget, setmetatable, table, tostring, type

local offered = {}

---Returns the key of a tool's function among what is found; no function of the plugin's has such a name.
---@param name string
---@return string
function offered.key(name)
  return "tool " .. name
end

-- Returns a tool's declaration, as plain data.
local function describe_tool(value)
  local declared = rawget(value, "function")
  local described = {}
  for _, field in ipairs({ "name", "description", "parameters", "strict" }) do
    described[field] = rawget(declared, field)
  end
  return described
end

-- Collects tools: those in a list named `tools`, and those among the named values.
local function make_tool_finder(found)
  local list, known = setmetatable({}, wire.array_mt), {}
  local finder = {}
  function finder.is_tool(value)
    return tool.function_of(value) ~= nil and type(rawget(value, "function")) == "table"
  end
  function finder.add(value)
    if known[value] then
      return
    end
    known[value] = true
    local described = describe_tool(value)
    local key = offered.key(tostring(described.name))
    if found[key] then
      error(("two tools of the plugin are named %s"):format(tostring(described.name)), 0)
    end
    found[key] = function(text)
      return tool.answer(value, text)
    end
    list[#list + 1] = described
  end
  function finder.add_list(values)
    for index, value in ipairs(values) do
      if not finder.is_tool(value) then
        error(("tools[%d]: expected a tool of openai.tool, got a %s"):format(index, type(value)), 0)
      end
      finder.add(value)
    end
  end
  function finder.found()
    return list
  end
  return finder
end

---Returns the functions and tools in the table that the plugin's file returned, or else those that it has defined.
---@param environment table the plugin's globals
---@param before table<string, boolean> those that are not its own
---@param returned any
---@return table<string, function> found what can be called, by key
---@return string[] names of the functions
---@return table[] tools declarations, as plain data
function offered.find(environment, before, returned)
  if returned ~= nil and type(returned) ~= "table" then
    error(("the plugin returned a %s; expected a table of functions"):format(type(returned)), 0)
  end
  local found, names, tool_keys = {}, {}, {}
  local finder = make_tool_finder(found)
  if returned and finder.is_tool(returned) then
    finder.add(returned)
    return found, names, finder.found()
  end
  for name, value in next, returned or environment do
    if type(name) == "string" and (returned or not before[name]) then
      if type(value) == "function" and name:find("^[%a_][%w_]*$") then
        found[name] = value
        names[#names + 1] = name
      elseif finder.is_tool(value) then
        tool_keys[#tool_keys + 1] = name
      end
    end
  end
  local listed = rawget(returned or environment, "tools")
  -- A global of that name may be for the plugin itself.
  if type(listed) == "table" and not finder.is_tool(listed) and (returned or finder.is_tool(listed[1])) then
    finder.add_list(listed)
  end
  table.sort(tool_keys)
  for _, name in ipairs(tool_keys) do
    finder.add((returned or environment)[name])
  end
  local tools = finder.found()
  if #names == 0 and #tools == 0 then
    error("the plugin returned no table of functions, and defines none", 0)
  end
  table.sort(names)
  return found, names, tools
end

return offered
