-- Goes through lists that come in pages: `client:each`.

local _, bridge = ...
local json = bridge.bundled("openai.json")

local lists = {}

-- Returns the part of a page that Python looks at: all but its items, and the last item's id.
local function outline(body)
  if type(body) ~= "table" or type(body.data) ~= "table" or (body.data[1] == nil and next(body.data) ~= nil) then
    return body
  end
  local outlined = {}
  for key, value in pairs(body) do
    outlined[key] = value
  end
  local last = body.data[#body.data]
  outlined.data = setmetatable({}, json.array_mt)
  if last ~= nil then
    outlined.data[1] = { id = type(last) == "table" and last.id or nil }
  end
  return outlined
end

---@param caller string
---@param name any
function lists.check_name(caller, name)
  if type(name) ~= "string" then
    error(("%s: expected a method's name, got %s"):format(caller, type(name)), 0)
  end
end

---Splits a method's arguments into its ids and its options.
---@param caller string
---@param count integer how many ids there are
---@param ... any
---@return table arguments of the method, with room for one more
---@return table options a copy
function lists.split(caller, count, ...)
  local arguments, options = { unpack({ ... }, 1, count) }, select(count + 1, ...)
  if options ~= nil and type(options) ~= "table" then
    error(("%s: expected a table after the ids, got %s"):format(caller, type(options)), 0)
  end
  local copy = {}
  for key, value in pairs(options or {}) do
    copy[key] = value
  end
  return arguments, copy
end

---Iterates over a list's items; see `OpenAI:each`.
---@param client OpenAI
---@param name string
---@param ... any
---@return fun(): any
function lists.each(client, name, ...)
  lists.check_name("each", name)
  local count, field = bridge.find_list(name)
  local arguments, query = lists.split("each", count, ...)
  local items, index, is_last = {}, 0, false

  local function turn_page()
    arguments[count + 1] = next(query) ~= nil and query or nil
    local status, body = client[name](client, unpack(arguments, 1, count + 1))
    local cursor, failure = bridge.read_page(name, status, json.encode_received(outline(body), "body"), query[field])
    if failure then
      error(failure, 0)
    end
    items, index, is_last, query[field] = body.data, 0, not cursor, cursor
  end

  return function()
    index = index + 1
    while items[index] == nil and not is_last do
      turn_page()
      index = 1
    end
    return items[index]
  end
end

return lists
