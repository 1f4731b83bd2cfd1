-- The module `openai`: the client class, with one method for each endpoint of the API.

local _, bridge = ...
local class = bridge.bundled("openai.class")
local json = bridge.bundled("openai.json")
local request = bridge.bundled("openai.request")
local wait = bridge.bundled("openai.wait")
local constants = bridge.constants()

---@alias openai.Headers table<string, string> names in lower case, in what a server answers

---@class openai.Settings
---@field timeout? number|{connect?: number, read?: number, total?: number} seconds; 5, 600 and none when left out
---@field max_retries? integer 2 when left out
---@field proxy? string URL of a proxy; the environment's when left out
---@field verify? boolean false trusts any certificate
---@field ca_bundle? string a file of certificates to trust
---@field pool_size? integer how many idle connections to a server are kept; 10 when left out
---@field max_response_mb? number how large an answer, or a line of a stream, may be; 512 when left out

---@class openai.Config: openai.Settings
---@field http_provider? string a Lua module with LuaSocket's generic `request`
---@field base_url? string
---@field headers? openai.Headers sent with every request
---@field query? table<string, string|number> added to every URL
---@field organization? string
---@field project? string

---@class openai.ChatOptions payload fields of a chat completion; any other goes out as it is
---@field model? string the client's `default_model` when left out
---@field stream? boolean
---@field temperature? number
---@field top_p? number
---@field max_tokens? integer
---@field max_completion_tokens? integer
---@field stop? string|string[]
---@field seed? integer
---@field functions? openai.FunctionDeclaration[]
---@field function_call? string|table
---@field tools? openai.Tool[]
---@field tool_choice? string|table
---@field parallel_tool_calls? boolean
---@field response_format? table
---@field stream_options? {include_usage: boolean}

---@class openai.ResponseOptions payload fields of a response; any other goes out as it is
---@field model? string the client's `default_model` when left out
---@field stream? boolean
---@field instructions? string
---@field previous_response_id? string
---@field tools? table[]
---@field tool_choice? string|table
---@field temperature? number
---@field max_output_tokens? integer
---@field reasoning? table
---@field text? table
---@field store? boolean

---@class OpenAI
---@field api_key? string
---@field api_base string
---@field default_model string
---@field config openai.Config
---@field headers? openai.Headers sent with every request
---@field account_headers openai.Headers name the organization and the project
local methods = {
  api_base = constants.api_base,
  default_model = constants.default_model,
  account_headers = constants.account_headers,
}

local function endpoint_path(endpoint, id)
  return (endpoint.path:gsub("{(.-)}", function(name)
    if id == nil then
      error(name .. " is required", 0)
    elseif type(id) ~= "string" and type(id) ~= "number" then
      error(("%s: expected a string, got %s"):format(name, type(id)), 0)
    elseif id == "" or id == "." or id == ".." then
      error(('%s: expected an id, got "%s"'):format(name, id), 0)
    end
    return (tostring(id):gsub("[^%w%-._~]", function(character)
      return ("%%%02X"):format(character:byte())
    end))
  end))
end

local function check(value, kind, name)
  if type(value) ~= kind then
    error(("%s: expected a %s, got %s"):format(name, kind, type(value)), 0)
  end
end

local function copy(into, from)
  for key, value in pairs(from or {}) do
    into[key] = value
  end
  return into
end

-- Calls an endpoint: its defaults, then its argument, then the caller's options over them.
---@param self OpenAI
---@return integer status, any body, openai.Headers headers
local function call(self, name, argument, opts, stream_fn)
  check(opts or {}, "table", "opts")
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
---@param opts? openai.ChatOptions
---@param callback? openai.ChunkCallback
---@return integer status, any body, openai.Headers headers
function methods:chat(messages, opts, callback)
  local on_event = callback
  if type(callback) == "function" or type(callback) == "table" then
    local read_chunk = require("openai.chat_completions").parse_completion_chunk
    on_event = function(event)
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
---@param opts? openai.ChatOptions
---@param callback? openai.EventCallback
---@return integer status, any body, openai.Headers headers
function methods:create_chat_completion(messages, opts, callback)
  if type(messages) == "table" and next(messages) == nil then
    messages = setmetatable({}, json.array_mt)
  end
  bridge.check_messages(json.encode(messages, "messages"))
  check(opts or {}, "table", "opts")
  local filter = opts and opts.stream and bridge.bundled("openai.sse").create_stream_filter(callback) or nil
  return call(self, "create_chat_completion", messages, opts, filter)
end

---`POST /completions`
---@param prompt string|string[]
---@param opts? table further payload fields
---@return integer status, any body, openai.Headers headers
function methods:completion(prompt, opts)
  return call(self, "completion", prompt, opts)
end

---`POST /embeddings`
---@param input string|string[]
---@param opts? table further payload fields
---@return integer status, any body, openai.Headers headers
function methods:embedding(input, opts)
  return call(self, "embedding", input, opts)
end

---`POST /moderations`
---@param input string|table
---@param opts? table further payload fields
---@return integer status, any body, openai.Headers headers
function methods:moderation(input, opts)
  return call(self, "moderation", input, opts)
end

---`GET /models`
---@return integer status, any body, openai.Headers headers
function methods:models()
  return call(self, "models")
end

---`GET /files`
---@return integer status, any body, openai.Headers headers
function methods:files()
  return call(self, "files")
end

---`GET /files/ID`
---@param file_id string
---@return integer status, any body, openai.Headers headers
function methods:file(file_id)
  return call(self, "file", file_id)
end

---`DELETE /files/ID`
---@param file_id string
---@return integer status, any body, openai.Headers headers
function methods:delete_file(file_id)
  return call(self, "delete_file", file_id)
end

-- Sends a form with a file.
---@param self OpenAI
---@return integer status, any body, openai.Headers headers
local function upload(self, name, params)
  local endpoint = constants.endpoints[name]
  local body, content_type = bridge.multipart(params or {})
  return self:_request(endpoint.method, endpoint.path, body, { ["Content-Type"] = content_type })
end

---`POST /files`, an upload.
---@param params {file: string|{name: string, content: string}, purpose: string} `file` is a path, or a name and content
---@return integer status, any body, openai.Headers headers
function methods:create_file(params)
  return upload(self, "create_file", params)
end

---`POST /audio/transcriptions`, an upload.
---@param params {file: string|{name: string, content: string}, model: string} `file` is a path, or a name and content
---@return integer status, any body, openai.Headers headers
function methods:transcription(params)
  return upload(self, "transcription", params)
end

---`GET /assistants`
---@return integer status, any body, openai.Headers headers
function methods:assistants()
  return call(self, "assistants")
end

---`GET /threads`
---@return integer status, any body, openai.Headers headers
function methods:threads()
  return call(self, "threads")
end

---`GET /threads/ID/messages`
---@param thread_id string
---@return integer status, any body, openai.Headers headers
function methods:thread_messages(thread_id)
  return call(self, "thread_messages", thread_id)
end

---`DELETE /threads/ID`
---@param thread_id string
---@return integer status, any body, openai.Headers headers
function methods:delete_thread(thread_id)
  return call(self, "delete_thread", thread_id)
end

---`POST /images/generations`
---@param params table the payload
---@return integer status, any body, openai.Headers headers
function methods:image_generation(params)
  return call(self, "image_generation", nil, params)
end

---`POST /responses`. In a stream (`opts.stream`), the callback is given every event.
---@param input string|table[]
---@param opts? openai.ResponseOptions
---@param callback? openai.EventCallback
---@return integer status, any body, openai.Headers headers
function methods:create_response(input, opts, callback)
  check(opts or {}, "table", "opts")
  local filter = opts and opts.stream and bridge.bundled("openai.sse").create_stream_filter(callback) or nil
  return call(self, "create_response", input, opts, filter)
end

---`GET /responses/ID`
---@param response_id string
---@return integer status, any body, openai.Headers headers
function methods:response(response_id)
  return call(self, "response", response_id)
end

---`DELETE /responses/ID`
---@param response_id string
---@return integer status, any body, openai.Headers headers
function methods:delete_response(response_id)
  return call(self, "delete_response", response_id)
end

---`POST /responses/ID/cancel`
---@param response_id string
---@return integer status, any body, openai.Headers headers
function methods:cancel_response(response_id)
  return call(self, "cancel_response", response_id)
end

---Any other endpoint.
---@param method string
---@param path string below `api_base`, with its leading slash
---@param payload? table|string a table is sent as JSON, a string as it is
---@param headers? openai.Headers
---@param callback? openai.EventCallback is given each event of the answer, a stream
---@return integer status, any body, openai.Headers headers
function methods:request(method, path, payload, headers, callback)
  local filter = callback and bridge.bundled("openai.sse").create_stream_filter(callback) or nil
  return self:_request(method, path, payload, headers, filter)
end

---Sends a request: the one place that does.
---@param method string
---@param path string below `api_base`
---@param payload? table|string a table is sent as JSON, a string as it is
---@param more_headers? openai.Headers
---@param stream_fn? fun(piece?: string): string? an ltn12 filter, fed the answer's body as it arrives
---@return integer status
---@return any body decoded from JSON where it is JSON, else the text
---@return openai.Headers headers
function methods:_request(method, path, payload, more_headers, stream_fn)
  return request.send(self, method, path, payload, more_headers, stream_fn)
end

---The HTTP module in use.
---@return openai.HttpModule
function methods:get_http()
  return request.http_module(self)
end

---A client like this one with other settings, for a request or a few:
---`client:with_options({ timeout = 5 }):models()`. Headers and query are added to this client's.
---@param changes openai.Config
---@return OpenAI
function methods:with_options(changes)
  local other = setmetatable(copy({}, self), getmetatable(self))
  other.config = copy(copy({}, self.config), changes)
  other.config.headers = copy(copy({}, self.config.headers), changes.headers)
  other.config.query = copy(copy({}, self.config.query), changes.query)
  request.configure(other, changes)
  return other
end

---Closes the connections that are not in use; all clients of a script share them.
function methods:close() -- luacheck: no unused args
  bridge.close_connections()
end

---@param api_key? string
---@param config? openai.Config
local function init(self, api_key, config)
  check(config or {}, "table", "config")
  -- The host program's key is for the host program's server.
  self.api_key = api_key or (self.api_base == constants.api_base and constants.api_key) or nil
  self.config = copy({}, config)
  request.configure(self, self.config)
end

---The class; calling it constructs.
---@class OpenAI.Class: openai.Class
---@field __base OpenAI
---@field new fun(api_key?: string, config?: openai.Config): OpenAI
---@overload fun(api_key?: string, config?: openai.Config): OpenAI
local OpenAI = class("OpenAI", methods, init)

-- The functions for many chats at once, loaded when they are first called: without them, all waits block.
local function from_tasks(name)
  return function(...)
    return bridge.bundled("openai.tasks")[name](...)
  end
end

---@class openai.GatherOptions
---@field limit? integer how many run at once; 32 when left out
---@field settle? boolean each result is `{ok = true, value =}` or `{ok = false, error =}`, and nothing is raised
---@field on_progress? fun(done: integer, total: integer)

---@class openai
---@field new fun(api_key?: string, config?: openai.Config): OpenAI the same value as `OpenAI`
---@field OpenAI OpenAI.Class
---@field VERSION string
---@field ChatSession ChatSession.Class
---@field ResponsesChatSession ResponsesChatSession.Class
---@field gather fun(functions: function[], opts?: openai.GatherOptions): table[] the results in their functions' order
---@field spawn fun(f: function, ...): openai.Task
---@field sleep fun(seconds: number)
local openai = {
  new = OpenAI,
  OpenAI = OpenAI,
  VERSION = constants.version,
  ChatSession = bridge.bundled("openai.chat_completions").ChatSession,
  ResponsesChatSession = bridge.bundled("openai.responses").ResponsesChatSession,
  gather = from_tasks("gather"),
  spawn = from_tasks("spawn"),
  sleep = wait.sleep,
}

return openai
