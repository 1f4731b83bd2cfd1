-- Takes HTTP requests in LuaSocket's generic form; Python sends them over kept connections.

local _, bridge = ...
local ltn12 = bridge.bundled("ltn12")
local wait = bridge.bundled("openai.wait")

---@class openai.HttpRequest
---@field url string
---@field method? string GET when left out
---@field headers? table<string, string|number>
---@field source? ltn12.Source the request's body
---@field sink? ltn12.Sink takes the answer's body as it arrives
---@field step? fun(source: ltn12.Source, sink: ltn12.Sink): any, any moves one piece
---@field settings? openai.Settings

---@class openai.HttpModule LuaSocket's generic interface
---@field request fun(request: openai.HttpRequest): integer?, integer|string, openai.Headers?, string?

-- Holds the bodies whose sources nobody has read from yet.
local whole = setmetatable({}, { __mode = "k" })

-- Reads a source to its end: in one step where it is one of `http.source` that no script has replaced.
local function drain(source)
  local body = whole[source]
  if body then
    return body
  end
  local pieces = {}
  while true do
    local piece, message = source()
    if not piece then
      return not message and table.concat(pieces), message
    end
    pieces[#pieces + 1] = piece
  end
end

-- Returns a body as an ltn12 source: piece by piece, or whole where the response has no number. No function of Python's
-- is on the stack while a sink runs.
local function as_source(number, text)
  return function()
    if not number then
      local piece = text ~= "" and text or nil
      text = nil
      return piece
    end
    local ok, piece = wait.read(number)
    if not ok then
      return nil, piece
    end
    return piece
  end
end

-- Replaces NUL, which stands between names and values, by a character that Python refuses with the header's name.
local function without_nul(text)
  return text:find("\0", 1, true) and text:gsub("%z", "\n") or text
end

-- Joins names and values in turn: handing over a table would cost more than all the rest.
local function flatten(headers)
  local fields = {}
  for name, value in pairs(headers) do
    local text = type(value) == "number" and ("%.14g"):format(value) or tostring(value)
    if type(value) == "table" or type(value) == "function" then
      return nil, ("headers: %s: expected a string, got %s"):format(name, type(value))
    end
    fields[#fields + 1], fields[#fields + 2] = without_nul(tostring(name)), without_nul(text)
  end
  return table.concat(fields, "\0")
end

local http = {}

---Returns a body as an ltn12 source, which gives it in pieces to others' modules and whole to ours.
---@param body string
---@return ltn12.Source
function http.source(body)
  local pieces = ltn12.source.string(body)
  local function source()
    whole[source] = nil
    return pieces()
  end
  whole[source] = body
  return source
end

---Sends a request, and asks for the body's sink once the headers are there.
---@param request openai.HttpRequest
---@param on_headers fun(status: integer, headers: table<string, string>): ltn12.Sink
---@return integer? # 1, or nil when the network failed or the sink refused
---@return integer|string status the HTTP status code, or what failed
---@return table<string, string>|integer|nil headers names in lower case; the status when the sink refused
---@return string|table|nil status_line the headers when the sink refused
function http.send(request, on_headers)
  local body, message
  if request.source then
    body, message = drain(request.source)
    if not body then
      return nil, message
    end
  end
  local fields, refusal = flatten(request.headers or {})
  if not fields then
    return nil, refusal
  end
  local ok, status, reason, headers, number, text =
    wait.open(request.method or "GET", request.url, fields, body, request.settings)
  if not ok then
    return nil, status
  end
  local ended, poured, failure =
    bridge.protect(ltn12.pump.all, as_source(number, text), on_headers(status, headers), request.step)
  local raised = not ended and bridge.failure(poured)
  if number and not (ended and poured) then
    bridge.close(number)
  end
  if raised then
    bridge.rethrow(raised)
  end
  if not poured then
    return nil, failure or "the sink refused the body", status, headers
  end
  return 1, status, headers, ("HTTP/1.1 %d %s"):format(status, reason)
end

---@param request openai.HttpRequest
---@return integer? # 1, or nil when the network failed
---@return integer|string status the HTTP status code, or what failed
---@return table<string, string>? headers names in lower case
---@return string? status_line
function http.request(request)
  return http.send(request, function()
    return request.sink or ltn12.sink.null()
  end)
end

return http
