-- LuaSocket's `socket.http`, over Python's kept connections; `https://` works as `http://` does.

local _, bridge = ...
local ltn12 = bridge.bundled("ltn12")
local socket_url = bridge.bundled("socket.url")
local openai_http = bridge.bundled("openai.http")

local MAX_REDIRECTS = 5
local REDIRECTED = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }

---@class socket.http
---@field TIMEOUT? number seconds to connect and for each read
---@field USERAGENT? string
---@field PROXY? string URL of a proxy
local http = {}

local function with_user_agent(headers)
  local sent, named = {}, false
  if headers ~= nil and type(headers) ~= "table" then
    error("headers: expected a table, got " .. type(headers), 0)
  end
  for name, value in pairs(headers or {}) do
    if type(name) ~= "string" then
      error("headers: expected names, got the key " .. tostring(name), 0)
    end
    sent[name] = value
    named = named or name:lower() == "user-agent"
  end
  if http.USERAGENT and not named then
    sent["User-Agent"] = http.USERAGENT
  end
  return sent
end

local function should_follow(request, status, headers)
  local method = request.method or "GET"
  return request.redirect ~= false
    and REDIRECTED[status]
    and headers.location
    and (method == "GET" or method == "HEAD")
end

local function send(request, redirects)
  local followed = false
  local sink = request.sink or ltn12.sink.null()
  local function on_headers(status, headers)
    followed = redirects < MAX_REDIRECTS and should_follow(request, status, headers)
    return followed and ltn12.sink.null() or sink
  end
  local ok, status, headers, line = openai_http.send({
    url = request.url,
    method = request.method,
    headers = with_user_agent(request.headers),
    source = request.source,
    step = request.step,
    settings = { timeout = http.TIMEOUT, proxy = request.proxy or http.PROXY, max_retries = 0 },
  }, on_headers)
  if not ok or not followed then
    return ok, status, headers, line
  end
  local target = setmetatable({ url = socket_url.absolute(request.url, headers.location) }, { __index = request })
  return send(target, redirects + 1)
end

local function request_simple(url, body)
  local pieces = {}
  local request = { url = url, sink = ltn12.sink.table(pieces) }
  if body then
    request.method = "POST"
    request.source = ltn12.source.string(body)
    request.headers = {
      ["Content-Length"] = #body,
      ["Content-Type"] = "application/x-www-form-urlencoded",
    }
  end
  local ok, status, headers, line = send(request, 0)
  if not ok then
    return nil, status
  end
  return table.concat(pieces), status, headers, line
end

---`request(url, body)` returns the answer's body, status, headers and status line;
---`request{url=, method=, headers=, source=, sink=, step=, redirect=, proxy=}` returns 1 in place of the body.
---@param request string|table
---@param body? string makes the simple form a POST
---@return string|integer? # nil when the network failed
---@return integer|string status or what failed
---@return table<string, string>? headers names in lower case
---@return string? status_line
function http.request(request, body)
  if type(request) == "string" then
    return request_simple(request, body)
  end
  return send(request, 0)
end

http.own_request = http.request

return http
