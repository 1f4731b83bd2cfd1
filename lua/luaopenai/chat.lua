-- Finds the tools that a trusted file returns, for `luaopenai chat --trust`, and calls them.
--
-- It runs as a script does. What a file prints goes to standard error: standard output is the answers'.

local path = ...

local concat, error, getmetatable, pairs, select, tostring, type =
  table.concat, error, getmetatable, pairs, select, tostring, type
local stderr = io.stderr

io.stdout = stderr -- luacheck: ignore 122
io.output(stderr)
function print(...) -- luacheck: ignore 121 131
  local shown = {}
  for index = 1, select("#", ...) do
    shown[index] = tostring((select(index, ...)))
  end
  stderr:write(concat(shown, "\t"), "\n")
end

local chunk, problem = loadfile(path)
if not chunk then
  error(problem, 0)
end

local function is_tool(value)
  return type(value) == "table"
    and value.type == "function"
    and type(value["function"]) == "table"
    and (getmetatable(value) or {}).__call ~= nil
end

local tools, seen = {}, {}

local function add(value)
  if is_tool(value) and not seen[value] then
    tools[#tools + 1], seen[value] = value, true
  end
end

-- Adds the tools among a table's values: those of the list in their order, then the others in the order of their names.
local function add_all(values)
  local names = {}
  for _, value in ipairs(values) do
    add(value)
  end
  for name, value in pairs(values) do
    if type(name) == "string" and is_tool(value) then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    add(values[name])
  end
end

local returned = chunk(path)
add(returned)
if type(returned) == "table" and #tools == 0 then
  add(returned.tools)
  if type(returned.tools) == "table" and #tools == 0 then
    add_all(returned.tools)
  end
  add_all(returned)
end

local cjson = require("cjson")
local declarations = {}
for index, tool in ipairs(tools) do
  declarations[index] = cjson.encode(tool["function"])
end

-- Calls a tool with arguments as JSON; returns the text of its result.
local function call(number, arguments)
  local result, reason = tools[number](arguments)
  if result == nil and reason ~= nil then
    error(tostring(reason), 0)
  end
  return type(result) == "string" and result or cjson.encode(result == nil and cjson.null or result)
end

return { declarations = declarations, call = call }
