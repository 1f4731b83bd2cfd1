--- Runs Lua code in a new interpreter of the kind that runs the spec, for what is decided when one starts.

local function quoted(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

--- The words of the command line that come before the script.
local function interpreter()
  local words, number = {}, -1
  while arg[number] do
    table.insert(words, 1, quoted(arg[number]))
    number = number - 1
  end
  return table.concat(words, " ")
end

---@param code string
---@param options? {folder?: string, environment?: table<string, string>}
---@return string output what it prints and complains about, without the last newline
return function(code, options)
  options = options or {}
  local words = { "cd", quoted(options.folder or "."), "&& env" }
  for name, value in pairs(options.environment or {}) do
    words[#words + 1] = name .. "=" .. quoted(value)
  end
  words[#words + 1] = interpreter()
  words[#words + 1] = "-e " .. quoted(code) .. " 2>&1"
  local pipe = assert(io.popen(table.concat(words, " ")))
  local output = pipe:read("*a")
  pipe:close()
  return (output:gsub("\n$", ""))
end
