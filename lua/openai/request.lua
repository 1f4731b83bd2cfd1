-- Sends the client's requests: URL, headers and body go out, the response's body comes in.

local _, bridge = ...
local json = bridge.bundled("openai.json")
local http = bridge.bundled("openai.http")
local ltn12 = bridge.bundled("ltn12")
local socket_url = bridge.bundled("socket.url")
local is_stopped = bridge.bundled("openai.sse").is_stopped
local constants = bridge.constants()

local request = {}

-- Holds the network failure that each client raised last: sessions return it instead of raising.
local failures = setmetatable({}, { __mode = "k" })

---Returns the message of the network failure that a client raised last.
---@param client OpenAI
---@return string?
function request.network_failure(client)
  return failures[client]
end

local function fail(client, message)
  failures[client] = tostring(message)
  error(failures[client], 0)
end

local function check_string(value, name)
  if type(value) ~= "string" then
    error(("%s: expected a string, got %s"):format(name, type(value)), 0)
  end
end

-- Sets headers in place of those with the same name, whatever its case.
local function add_headers(headers, more)
  for name, value in pairs(more or {}) do
    for known in pairs(headers) do
      if known:lower() == name:lower() then
        headers[known] = nil
      end
    end
    headers[name] = value
  end
end

local last_base, last_host

-- Returns the host in a base URL, with the port where one is given; most scripts have one base URL.
local function host_of(base)
  if base ~= last_base then
    local server = socket_url.parse(base) or {}
    last_base, last_host = base, server.host and server.port and server.host .. ":" .. server.port or server.host
  end
  return last_host
end

local function request_headers(client, body, more_headers)
  local headers = {
    ["Host"] = host_of(client.api_base),
    ["Accept"] = "application/json",
    ["Content-Type"] = "application/json",
    ["Content-Length"] = body and #body,
    ["Authorization"] = client.api_key and "Bearer " .. client.api_key,
  }
  add_headers(headers, client.account_headers)
  add_headers(headers, client.config.headers)
  add_headers(headers, client.headers)
  add_headers(headers, more_headers)
  return headers
end

-- Raises for a path that would lead the request, and the key with it, to another server.
local function check_path(client, path)
  if path:sub(1, 1) ~= "/" then
    error(('path: expected one that begins with /, got "%s"'):format(path), 0)
  end
  local names_server = client.api_base:find("//.", 1) ~= nil
  if not names_server and (client.api_base .. path):find("//", 1, true) then
    error(('path: "%s" leads to another server than the base URL'):format(path), 0)
  end
end

---Returns a path or a URL with a query appended.
---@param path string
---@param query table<string, string|number|boolean|string[]>
---@return string
function request.add_query(path, query)
  return bridge.add_query(path, json.encode(query, "query"))
end

local function request_url(client, path)
  local url = client.api_base .. path
  local query = client.config.query
  return query and request.add_query(url, query) or url
end

-- Returns the settings that the client was given, or nil for none.
local function request_settings(config)
  local settings
  for _, name in ipairs(constants.setting_names) do
    if config[name] ~= nil then
      settings = settings or {}
      settings[name] = config[name]
    end
  end
  return settings
end

local function encode_payload(payload)
  local text = json.encode(payload, "payload")
  if not json.is_utf8(text) then
    bridge.check_text(text, "payload")
  end
  return text
end

-- Returns an ltn12 sink that collects a body through the stream's filter, and a function that returns it all; that ends
-- the filter if nobody has.
local function collector(stream_fn)
  local pieces, ended = {}, not stream_fn
  local list = ltn12.sink.table(pieces)
  local function finish()
    if not ended and not is_stopped(stream_fn) then
      stream_fn(nil)
    end
    return table.concat(pieces)
  end
  if not stream_fn then
    return list, finish
  end
  local filtered = ltn12.sink.chain(function(piece, ...)
    ended = ended or piece == nil
    return stream_fn(piece, ...)
  end, list)
  local function sink(piece, failure)
    local taken, message = filtered(piece, failure)
    if taken and is_stopped(stream_fn) then
      return nil, "stopped"
    end
    return taken, message
  end
  return sink, finish
end

local JSON_TYPE = "application/json"

-- Returns a body for the caller: sound, pictures and files as they came, JSON decoded.
local function read_body(text, headers, is_file)
  if is_file then
    return text
  end
  local content_type = type(headers) == "table" and headers["content-type"]
  local is_json = content_type and content_type:sub(1, #JSON_TYPE) == JSON_TYPE
  if content_type and not is_json and bridge.is_binary(content_type) then
    return text
  end
  return json.decode_or_text(text)
end

local known = {}
for _, name in ipairs(constants.config_names) do
  known[name] = true
end

-- Warns on standard error, once, of a misspelt setting. Plugins may not write there: for them the function raises.
local function warn_of(name)
  known[name] = true
  if type(name) == "string" then
    pcall(bridge.warn_of_setting, name)
  end
end

---Sends a request; see `OpenAI:_request`.
---@param client OpenAI
---@param method string
---@param path string
---@param payload? table|string
---@param more_headers? table<string, string>
---@param stream_fn? function
---@param is_file? boolean
---@return integer status
---@return any body
---@return table<string, string> headers
function request.send(client, method, path, payload, more_headers, stream_fn, is_file)
  failures[client] = nil
  check_string(method, "method")
  check_string(path, "path")
  check_string(client.api_base, "api_base")
  check_path(client, path)
  check_string(client.api_key or "", "api_key")
  local body = type(payload) == "table" and encode_payload(payload) or payload
  local sink, finish = collector(stream_fn)
  local sent, status, headers, stopped_headers = client:get_http().request({
    url = request_url(client, path),
    method = method,
    headers = request_headers(client, body, more_headers),
    source = body and http.source(body),
    sink = sink,
    settings = request_settings(client.config),
  })
  if not sent then
    if not (stream_fn and is_stopped(stream_fn)) then
      finish() -- What came before the failure is for the stream's callback, too.
      fail(client, status)
    end
    -- Our own HTTP module still returns status and headers; another's only says that its sink refused.
    status, headers = type(headers) == "number" and headers or 200, stopped_headers or {}
  end
  return status, read_body(finish(), headers, is_file and status == 200), headers
end

-- Returns a module that a script or a test put in the place of ours, or whose `request` it replaced.
local function replaced(name)
  local module, ours = package.loaded[name], bridge.bundled(name)
  if module and (module ~= ours or ours.request ~= ours.own_request) then
    return module
  end
end

---Returns the HTTP module of a client; see `OpenAI:get_http`.
---@param client OpenAI
---@return table
function request.http_module(client)
  local provider = client.config.http_provider or (rawget(_G, "ngx") and "lapis.nginx.http")
  if provider then
    return require(provider)
  end
  return replaced("ssl.https") or replaced("socket.http") or http
end

---Sets the fields of a client that come from its configuration.
---@param client OpenAI
---@param config openai.Config
function request.configure(client, config)
  for name in pairs(config) do
    if not known[name] then
      warn_of(name)
    end
  end
  local base_name = config.base_url and "base_url" or "api_base"
  local base_url = config[base_name]
  if base_url then
    check_string(base_url, base_name)
    client.api_base = bridge.read_base_url(base_url, base_name)
  end
  if config.organization or config.project then
    local headers = {}
    add_headers(headers, client.account_headers)
    add_headers(headers, bridge.account_headers(config.organization, config.project))
    client.account_headers = headers
  end
end

return request
