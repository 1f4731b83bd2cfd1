--- Loads a module both from this package and, where it is installed, from the rock that ours stands in for, so that one
--- spec holds both to the same behaviour.

local OUR_FOLDER = os.getenv("LUAOPENAI_LUA_DIR") or "lua"
local OUR_PATH = ("%s/?.lua;%s/?/init.lua"):format(OUR_FOLDER, OUR_FOLDER)

-- The modules that require one another, and so must come from the same side.
local FAMILY = { "ltn12", "mime", "mime.core", "socket", "socket.core", "socket.url" }

---@param file string?
---@return string? # what is in it
local function contents(file)
  local handle = file and io.open(file, "rb")
  if not handle then return nil end
  local text = handle:read("*a")
  handle:close()
  return text
end

--- The module search path without the folders that hold our copy, by whatever name they go there.
---@param name string
---@return string
local function path_without_ours(name)
  local our_text = contents(assert(package.searchpath(name, OUR_PATH)))
  local is_ours = {}
  for folder in package.path:gmatch("([^;?]*)%?[^;]*") do
    is_ours[folder] = is_ours[folder] or contents(package.searchpath(name, folder .. "?.lua")) == our_text
  end
  local kept = {}
  for template in package.path:gmatch("[^;]+") do
    if not is_ours[template:match("^[^?]*")] then kept[#kept + 1] = template end
  end
  return table.concat(kept, ";")
end

--- Requires a module and its family afresh along a path, and leaves `require` as it was.
---@param name string
---@param path string
---@return boolean ok
---@return any module_or_message
local function load_afresh(name, path)
  local loaded, usual_path = {}, package.path
  for _, member in ipairs(FAMILY) do
    loaded[member], package.loaded[member] = package.loaded[member], nil
  end
  package.path = path
  local ok, module = pcall(require, name)
  package.path = usual_path
  for _, member in ipairs(FAMILY) do
    package.loaded[member] = loaded[member]
  end
  return ok, module
end

---@class Implementation
---@field name string
---@field module? table
---@field absent? string why there is no module

---@param name string as `require` takes it
---@return Implementation[] # ours, then the original
return function(name)
  local ok, ours = load_afresh(name, OUR_PATH .. ";" .. package.path)
  assert(ok, ours)

  local original = { name = "the original" }
  local path = path_without_ours(name)
  if package.searchpath(name, path) then
    ok, original.module = load_afresh(name, path)
    if not ok then original.module, original.absent = nil, original.module end
  else
    original.absent = "the original " .. name .. " is not installed"
  end
  return { { name = "ours", module = ours }, original }
end
