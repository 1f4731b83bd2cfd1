-- Finds the tools that a trusted file returns, for `luaopenai chat --trust`, and calls them.
--
-- It runs as a script does. What a file prints goes to standard error: standard output is the answers'.

local _, bridge = ...
local json = bridge.bundled("openai.json")
local tool = bridge.bundled("openai.tool")

local _G, concat, error, io, ipairs, loadfile, pairs, select, sort, tostring, type =
  _G, table.concat, error, io, ipairs, loadfile, pairs, select, table.sort, tostring, type
local stderr = io.stderr

local function print_beside(...)
  local shown = {}
  for index = 1, select("#", ...) do
    shown[index] = tostring((select(index, ...)))
  end
  stderr:write(concat(shown, "\t"), "\n")
end

local function is_tool(value)
  return tool.function_of(value) ~= nil and type(value["function"]) == "table"
end

-- Returns the tools in what a file has returned.
local function find_tools(returned)
  local tools, seen = {}, {}
  local function add(value)
    if is_tool(value) and not seen[value] then
      tools[#tools + 1], seen[value] = value, true
    end
  end
  -- Adds those among a table's values: of the list in their order, then the others in the order of their names.
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
    sort(names)
    for _, name in ipairs(names) do
      add(values[name])
    end
  end
  add(returned)
  if type(returned) == "table" and #tools == 0 then
    add(returned.tools)
    if type(returned.tools) == "table" and #tools == 0 then
      add_all(returned.tools)
    end
    add_all(returned)
  end
  return tools
end

-- Returns the text of a result, and whether the arguments fitted; the text says why not, where they did not.
local function read_answer(fits, result, reason)
  if not fits then
    return result, false
  elseif result == nil and reason ~= nil then
    error(tostring(reason), 0)
  end
  return type(result) == "string" and result or json.encode(result, "result"), true
end

return function(path)
  io.stdout = stderr -- luacheck: ignore 122
  io.output(stderr)
  _G.print = print_beside
  local chunk, problem = loadfile(path)
  if not chunk then
    error(problem, 0)
  end
  local tools, declarations = find_tools(chunk(path)), {}
  for index, found in ipairs(tools) do
    declarations[index] = json.encode(found["function"], "tool")
  end
  return {
    declarations = declarations,
    -- Calls a tool with arguments as JSON.
    call = function(number, arguments)
      return read_answer(tool.answer(tools[number], arguments))
    end,
  }
end
