-- The module `openai`: the client class, with one method for each endpoint of the API.

local _, bridge = ...
local class = bridge.bundled("openai.class")
local json = bridge.bundled("openai.json")
local ltn12 = bridge.bundled("ltn12")
local url = bridge.bundled("socket.url")
local constants = bridge.constants()

-- The network failures that `_request` raised last, by client: sessions give them back instead of raising.
local failures = setmetatable({}, { __mode = "k" })

---@class openai.Config
---@field http_provider? string a Lua module with LuaSocket's generic `request`
---@field timeout? number|table seconds, or `{connect=, read=}`

---@class OpenAI
---@field api_key? string
---@field api_base string
---@field default_model string
---@field config openai.Config
---@field headers? table<string, string> sent with every request
local methods = {
  api_base = constants.api_base,
  default_model = constants.default_model,
}

local function endpoint_path(endpoint, id)
  return (endpoint.path:gsub("{(.-)}", function(name)
    if id == nil then
      error(name .. " is required", 0)
    end
    return url.escape(tostring(id))
  end))
end

local function copy(into, from)
  for key, value in pairs(from or {}) do
    into[key] = value
  end
  return into
end

-- Calls an endpoint: its defaults, then its argument, then the caller's options over them.
local function call(self, name, argument, opts, stream_fn)
  local endpoint = constants.endpoints[name]
  if not endpoint.argument then
    local more_headers = next(endpoint.headers) and copy({}, endpoint.headers) or nil
    return self:_request(endpoint.method, endpoint_path(endpoint, argument), opts, more_headers)
  end
  local payload = copy({}, endpoint.defaults)
  if endpoint.chat_model then
    payload.model = self.default_model
  end
  if endpoint.required and argument == nil then
    error(endpoint.argument .. " must be provided", 0)
  end
  payload[endpoint.argument] = argument
  return self:_request(endpoint.method, endpoint.path, copy(payload, opts), nil, stream_fn)
end

---A session over the chat completions API.
---@param opts? ChatSession.Options
---@return ChatSession
function methods:new_chat_session(opts)
  return self:new_chat_completions_session(opts)
end

---@param opts? ChatSession.Options
---@return ChatSession
function methods:new_chat_completions_session(opts)
  return require("openai.chat_completions").ChatSession(self, opts)
end

---A session over the Responses API, whose history the server keeps.
---@param opts? ResponsesChatSession.Options
---@return ResponsesChatSession
function methods:new_responses_chat_session(opts)
  return require("openai.responses").ResponsesChatSession(self, opts)
end

---`POST /chat/completions`. In a stream (`opts.stream`), the callback is given each piece of the reply.
---@param messages openai.Message[]
---@param opts? table further payload fields
---@param callback? fun(chunk: openai.Chunk, event: table)
---@return integer status
---@return table|string body
---@return table<string, string> headers
function methods:chat(messages, opts, callback)
  local on_event
  if callback then
    local read_chunk = require("openai.chat_completions").parse_completion_chunk
    function on_event(event)
      local chunk = read_chunk(event)
      if chunk then
        return callback(chunk, event)
      end
    end
  end
  return self:create_chat_completion(messages, opts, on_event)
end

---`POST /chat/completions`. In a stream (`opts.stream`), the callback is given every event, raw.
---@param messages openai.Message[]
---@param opts? table further payload fields
---@param callback? fun(event: table)
---@return integer status
---@return table|string body
---@return table<string, string> headers
function methods:create_chat_completion(messages, opts, callback)
  bridge.check_messages(json.encode(messages, "messages"))
  local filter = opts and opts.stream and bridge.bundled("openai.sse").create_stream_filter(callback) or nil
  return call(self, "create_chat_completion", messages, opts, filter)
end

---`POST /completions`
---@param prompt string|string[]
---@param opts? table further payload fields
function methods:completion(prompt, opts)
  return call(self, "completion", prompt, opts)
end

---`POST /embeddings`
---@param input string|string[]
---@param opts? table further payload fields
function methods:embedding(input, opts)
  return call(self, "embedding", input, opts)
end

---`POST /moderations`
---@param input string|table
---@param opts? table further payload fields
function methods:moderation(input, opts)
  return call(self, "moderation", input, opts)
end

---`GET /models`
function methods:models()
  return call(self, "models")
end

---`GET /files`
function methods:files()
  return call(self, "files")
end

---`GET /files/ID`
---@param file_id string
function methods:file(file_id)
  return call(self, "file", file_id)
end

---`DELETE /files/ID`
---@param file_id string
function methods:delete_file(file_id)
  return call(self, "delete_file", file_id)
end

-- Sends a form with a file.
local function upload(self, name, params)
  local endpoint = constants.endpoints[name]
  local body, content_type = bridge.multipart(params or {})
  return self:_request(endpoint.method, endpoint.path, body, { ["Content-Type"] = content_type })
end

---`POST /files`, an upload.
---@param params {file: string|{name: string, content: string}, purpose: string} `file` is a path, or a name and content
function methods:create_file(params)
  return upload(self, "create_file", params)
end

---`POST /audio/transcriptions`, an upload.
---@param params {file: string|{name: string, content: string}, model: string} `file` is a path, or a name and content
function methods:transcription(params)
  return upload(self, "transcription", params)
end

---`GET /assistants`
function methods:assistants()
  return call(self, "assistants")
end

---`GET /threads`
function methods:threads()
  return call(self, "threads")
end

---`GET /threads/ID/messages`
---@param thread_id string
function methods:thread_messages(thread_id)
  return call(self, "thread_messages", thread_id)
end

---`DELETE /threads/ID`
---@param thread_id string
function methods:delete_thread(thread_id)
  return call(self, "delete_thread", thread_id)
end

---`POST /images/generations`
---@param params table the payload
function methods:image_generation(params)
  return call(self, "image_generation", nil, params)
end

---`POST /responses`. In a stream (`opts.stream`), the callback is given every event.
---@param input string|table[]
---@param opts? table further payload fields
---@param callback? fun(event: table)
function methods:create_response(input, opts, callback)
  local filter = opts and opts.stream and bridge.bundled("openai.sse").create_stream_filter(callback) or nil
  return call(self, "create_response", input, opts, filter)
end

---`GET /responses/ID`
---@param response_id string
function methods:response(response_id)
  return call(self, "response", response_id)
end

---`DELETE /responses/ID`
---@param response_id string
function methods:delete_response(response_id)
  return call(self, "delete_response", response_id)
end

---`POST /responses/ID/cancel`
---@param response_id string
function methods:cancel_response(response_id)
  return call(self, "cancel_response", response_id)
end

-- Remembers a network failure, so that a session can tell it from other errors, and raises it.
local function fail(self, message)
  failures[self] = tostring(message)
  error(failures[self], 0)
end

-- An ltn12 sink into a list, through the stream's filter; `finish` tells the filter of the end if nobody has.
local function collector(stream_fn)
  local pieces, ended = {}, not stream_fn
  local sink = ltn12.sink.table(pieces)
  local function filter(piece, ...)
    ended = ended or piece == nil
    return stream_fn(piece, ...)
  end
  local function finish()
    if not ended then
      filter(nil)
    end
    return table.concat(pieces)
  end
  return stream_fn and ltn12.sink.chain(filter, sink) or sink, finish
end

---Any other endpoint.
---@param method string
---@param path string below `api_base`, with its leading slash
---@param payload? table|string a table is sent as JSON, a string as it is
---@param headers? table<string, string>
---@param callback? fun(event: table) is given each event of the answer, a stream
---@return integer status
---@return any body
---@return table<string, string> headers
function methods:request(method, path, payload, headers, callback)
  local filter = callback and bridge.bundled("openai.sse").create_stream_filter(callback) or nil
  return self:_request(method, path, payload, headers, filter)
end

-- A body for the caller: as it came where it is sound, a picture or a file, else decoded where it is JSON.
local function read_body(text, headers)
  local content_type = type(headers) == "table" and headers["content-type"]
  if content_type and bridge.is_binary(content_type) then
    return text
  end
  return json.decode_or_text(text)
end

---Sends a request: the one place that does.
---@param method string
---@param path string below `api_base`
---@param payload? table|string a table is sent as JSON, a string as it is
---@param more_headers? table<string, string>
---@param stream_fn? fun(piece?: string): string? an ltn12 filter, fed the answer's body as it arrives
---@return integer status
---@return any body decoded from JSON where it is JSON, else the text
---@return table<string, string> headers
function methods:_request(method, path, payload, more_headers, stream_fn)
  local body = type(payload) == "table" and json.encode(payload, "payload") or payload
  if body then
    bridge.check_text(body, "payload")
  end
  local headers = {
    ["Host"] = url.parse(self.api_base).host,
    ["Accept"] = "application/json",
    ["Content-Type"] = "application/json",
    ["Content-Length"] = body and #body,
    ["Authorization"] = self.api_key and "Bearer " .. self.api_key,
  }
  copy(copy(headers, self.headers), more_headers)
  local sink, finish = collector(stream_fn)
  local sent, status, answer_headers = self:get_http().request({
    url = self.api_base .. path,
    method = method,
    headers = headers,
    source = body and ltn12.source.string(body),
    sink = sink,
    timeout = self.config.timeout,
  })
  if not sent then
    fail(self, status)
  end
  return status, read_body(finish(), answer_headers), answer_headers
end

-- A module that a script or a test put in the place of ours, or whose `request` it replaced.
local function replaced(name)
  local module, ours = package.loaded[name], bridge.bundled(name)
  if module and (module ~= ours or ours.request ~= ours.own_request) then
    return module
  end
end

---The HTTP module in use.
---@return {request: fun(request: table): integer?, integer|string, table?}
function methods:get_http()
  local provider = self.config.http_provider or (rawget(_G, "ngx") and "lapis.nginx.http")
  if provider then
    return require(provider)
  end
  return replaced("ssl.https") or replaced("socket.http") or bridge.bundled("openai.http")
end

---@param api_key? string
---@param config? openai.Config
local function init(self, api_key, config)
  -- The host program's key is for the host program's server.
  self.api_key = api_key or (self.api_base == constants.api_base and constants.api_key) or nil
  self.config = copy({}, config)
end

local OpenAI = class("OpenAI", methods, init)

-- The message of the network failure that a client raised last.
function bridge.network_failure(client)
  return failures[client]
end

return {
  new = OpenAI,
  OpenAI = OpenAI,
  VERSION = constants.version,
  ChatSession = bridge.bundled("openai.chat_completions").ChatSession,
  ResponsesChatSession = bridge.bundled("openai.responses").ResponsesChatSession,
}
