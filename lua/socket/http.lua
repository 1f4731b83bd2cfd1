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

--- Returns the header for a name and a password: the request's own, or those in its URL.
local function basic_authorization(request)
  local url = socket_url.parse(request.url) or {}
  local user = request.user or url.user and socket_url.unescape(url.user)
  local password = request.password or url.password and socket_url.unescape(url.password)
  return user and password and "Basic " .. bridge.bundled("mime").b64(user .. ":" .. password) or nil
end

--- Returns the request's headers, and those that it leaves to us.
local function headers_of(request)
  local sent, named = {}, {}
  local headers = request.headers
  if headers ~= nil and type(headers) ~= "table" then
    error("headers: expected a table, got " .. type(headers), 0)
  end
  for name, value in pairs(headers or {}) do
    if type(name) ~= "string" then
      error("headers: expected names, got the key " .. tostring(name), 0)
    end
    sent[name] = value
    named[name:lower()] = true
  end
  if not named["user-agent"] then
    sent["User-Agent"] = http.USERAGENT
  end
  if not named.authorization then
    sent["Authorization"] = basic_authorization(request)
  end
  return sent
end

local function scheme_of(url)
  local parts = socket_url.parse(url)
  return parts and parts.scheme and parts.scheme:lower()
end

--- Returns the URL to which a response redirects; nil where that is not to be followed.
local function next_url(request, status, headers)
  local method = request.method or "GET"
  local is_redirect = REDIRECTED[status] and headers.location and (method == "GET" or method == "HEAD")
  if not is_redirect or request.redirect == false then
    return nil
  end
  local target = socket_url.absolute(request.url, headers.location)
  local scheme = scheme_of(target)
  local keeps_tls = scheme == "https" or scheme_of(request.url) ~= "https"
  return (scheme == "http" or scheme == "https") and keeps_tls and target or nil
end

local function may_follow(request, redirects)
  local limit = request.maxredirects
  return limit == false or redirects < (limit or MAX_REDIRECTS)
end

local function send(request, redirects)
  if type(request.url) ~= "string" then
    return nil, "url: expected a string, got " .. type(request.url)
  end
  local target
  local sink = request.sink or ltn12.sink.null()
  local function on_headers(status, headers)
    target = may_follow(request, redirects) and next_url(request, status, headers) or nil
    return target and ltn12.sink.null() or sink
  end
  local ok, status, headers, line = openai_http.send({
    url = request.url,
    method = request.method,
    headers = headers_of(request),
    source = request.source,
    step = request.step,
    settings = { timeout = http.TIMEOUT, proxy = request.proxy or http.PROXY, max_retries = 0 },
  }, on_headers)
  if not ok or not target then
    return ok, status, headers, line
  end
  -- The name and the password were for this server.
  local following = { url = target, user = false, password = false }
  return send(setmetatable(following, { __index = request }), redirects + 1)
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

---`request(url, body)` returns the response's body, status, headers and status line;
---`request{url=, method=, headers=, source=, sink=, step=, user=, password=, redirect=, maxredirects=, proxy=}` returns
---1 in place of the body.
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
