-- The module `openai`: the client class, with one method for each endpoint of the API.

local _, bridge = ...
local class = bridge.bundled("openai.class")
local json = bridge.bundled("openai.json")
local check_messages = bridge.bundled("openai.messages").check_all
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
---@field pool_size? integer how many idle connections to a server are kept; 100 when left out
---@field max_response_mb? number how large an answer, or a line of a stream, may be; 512 when left out

---@class openai.Config: openai.Settings
---@field http_provider? string a Lua module with LuaSocket's generic `request`
---@field base_url? string
---@field api_base? string the same as `base_url`
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

local function check_opts(opts)
  if opts and type(opts) ~= "table" then
    error("opts: expected a table, got " .. type(opts), 0)
  end
end

local function copy(into, from)
  for key, value in pairs(from or {}) do
    into[key] = value
  end
  return into
end

-- Raises for `client.chat(...)`, where `client:chat(...)` was meant.
local function check_self(self, name)
  if type(self) ~= "table" or self._request == nil then
    error(("%s: call it with a colon: client:%s(...)"):format(name, name), 0)
  end
end

-- Returns the fields to send: the endpoint's defaults, then its argument, then the caller's options over them.
local function payload_of(self, endpoint, argument, opts)
  local payload = copy({}, endpoint.defaults)
  if endpoint.chat_model then
    payload.model = self.default_model
  end
  if endpoint.argument then
    payload[endpoint.argument] = argument
  end
  copy(payload, opts)
  if endpoint.required then
    for _, name in ipairs(endpoint.required) do
      if payload[name] == nil then
        error(bridge.missing(name), 0)
      end
    end
  end
  return payload
end

-- Returns a field's file or list of files; a path is replaced by the file there.
local function read_files(value, name)
  if type(value) ~= "table" then
    local filename, content = bridge.read_file(value, name)
    return { filename = filename, content = content }
  elseif value[1] == nil then
    return value
  end
  local files = {}
  for index, file in ipairs(value) do
    files[index] = read_files(file, name)
  end
  return files
end

-- Sends a form.
---@param self OpenAI
local function upload(self, endpoint, path, params)
  local fields = payload_of(self, endpoint, nil, params)
  for _, name in ipairs(endpoint.files) do
    if fields[name] ~= nil then
      fields[name] = read_files(fields[name], name)
    end
  end
  return self:_multipart_request(endpoint.method, path, fields, endpoint.headers and copy({}, endpoint.headers))
end

-- Sends an endpoint's request. `_request` gets no more arguments than it needs: suites compare them.
---@param self OpenAI
local function send(self, endpoint, path, payload)
  local headers = endpoint.headers and copy({}, endpoint.headers)
  if endpoint.binary then
    return self:_request(endpoint.method, path, payload, headers, nil, true)
  elseif headers then
    return self:_request(endpoint.method, path, payload, headers)
  elseif payload then
    return self:_request(endpoint.method, path, payload)
  end
  return self:_request(endpoint.method, path)
end

local known_endpoints = {}

-- Returns the endpoint of a method, fetched from Python at its first call: all at once would slow every start.
local function endpoint_of(name)
  local endpoint = known_endpoints[name] or bridge.endpoint(name)
  known_endpoints[name] = endpoint
  return endpoint
end

-- Calls an endpoint with its ids, its argument and the caller's options, each where it has them.
---@param self OpenAI
---@return integer status, any body, openai.Headers headers
local function call(self, endpoint, ...)
  local path, argument, opts = endpoint.path, ...
  if endpoint.ids then
    local count = #endpoint.ids
    path = bridge.fill_path(path, unpack({ ... }, 1, count))
    argument, opts = select(count + 1, ...)
  end
  if not endpoint.argument then
    argument, opts = nil, argument
    if endpoint.required and type(opts) ~= "table" then
      error("params must be a table", 0)
    end
  end
  if endpoint.options == "form" then
    return upload(self, endpoint, path, opts)
  end
  if endpoint.options == "query" then
    return send(self, endpoint, opts and request.add_query(path, opts) or path)
  elseif endpoint.argument or (endpoint.options and opts) then
    check_opts(opts)
    return send(self, endpoint, path, payload_of(self, endpoint, argument, opts))
  end
  return send(self, endpoint, path)
end

-- Writes the tools in a payload, which is ours, as its endpoint takes them.
local function write_tools(payload, field, form)
  if payload[field] ~= nil then
    local declarations = bridge.bundled("openai.declarations")
    payload[field] = declarations.convert(payload[field], declarations[form])
  end
end

-- Calls an endpoint that can be streamed.
---@param self OpenAI
local function call_streaming(self, endpoint, argument, opts, callback, needs_callback)
  check_opts(opts)
  local filter
  if opts and opts.stream and (callback ~= nil or needs_callback) then
    filter = bridge.bundled("openai.sse").create_stream_filter(callback)
  end
  local payload = payload_of(self, endpoint, argument, opts)
  write_tools(payload, "functions", "for_functions")
  if endpoint.path == "/responses" then
    write_tools(payload, "tools", "for_responses")
  end
  return self:_request(endpoint.method, endpoint.path, payload, nil, filter)
end

---Returns a session over the chat completions API.
---@param opts? ChatSession.Options
---@return ChatSession
function methods:new_chat_session(opts)
  check_self(self, "new_chat_session")
  return self:new_chat_completions_session(opts)
end

---@param opts? ChatSession.Options
---@return ChatSession
function methods:new_chat_completions_session(opts)
  check_self(self, "new_chat_completions_session")
  return require("openai.chat_completions").ChatSession(self, opts)
end

---Returns a session over the Responses API, whose history the server keeps.
---@param opts? ResponsesChatSession.Options
---@return ResponsesChatSession
function methods:new_responses_chat_session(opts)
  check_self(self, "new_responses_chat_session")
  return require("openai.responses").ResponsesChatSession(self, opts)
end

---Sends `POST /chat/completions`. In a stream (`opts.stream`), the callback is given each piece of the reply.
---@param messages openai.Message[]
---@param opts? openai.ChatOptions
---@param callback? openai.ChunkCallback
---@return integer status, any body, openai.Headers headers
function methods:chat(messages, opts, callback)
  check_self(self, "chat")
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

---Sends `POST /chat/completions`. In a stream (`opts.stream`), the callback is given every event, raw.
---@param messages openai.Message[]
---@param opts? openai.ChatOptions
---@param callback? openai.EventCallback
---@return integer status, any body, openai.Headers headers
function methods:create_chat_completion(messages, opts, callback)
  check_self(self, "create_chat_completion")
  if type(messages) == "table" and next(messages) == nil then
    messages = setmetatable({}, json.array_mt)
  end
  check_messages(messages)
  return call_streaming(self, endpoint_of("create_chat_completion"), messages, opts, callback, true)
end

---Sends `POST /responses`. In a stream (`opts.stream`), the callback is given every event; without a callback, the body
---is the stream's text.
---@param input string|table[]
---@param opts? openai.ResponseOptions
---@param callback? openai.EventCallback
---@return integer status, any body, openai.Headers headers
function methods:create_response(input, opts, callback)
  check_self(self, "create_response")
  return call_streaming(self, endpoint_of("create_response"), input, opts, callback)
end

-- The methods above can stream to a callback; openai/endpoints.lua declares these for editors.
for name in constants.methods:gmatch("%S+") do
  methods[name] = methods[name]
    or function(self, ...)
      check_self(self, name)
      return call(self, endpoint_of(name), ...)
    end
end

---Iterates over the items of a list, page after page, each page when its first item is due:
---`for batch in client:each("list_batches", { limit = 100 }) do`. Raises an error that names the method and its status.
---@param name string the method that lists
---@param ... any its ids, and then its query
---@return fun(): any
function methods:each(name, ...)
  check_self(self, "each")
  return bridge.bundled("openai.lists").each(self, name, ...)
end

---@class openai.WaitOptions what else is in it goes into the query
---@field done? fun(body: any): any whether this is what to wait for; when left out, a `status` that is final is
---@field interval? number seconds before the second time, 1 when left out; the pauses grow by half, up to 30
---@field timeout? number seconds to wait in all; as long as it takes when left out
---@field on_poll? fun(body: any) is given each body

---Asks for an answer of a type, without a session: the request holds the type's schema, and what comes is decoded and
---checked. An answer that does not fit is sent back with what is wrong. The list of messages stays as it is.
---@param messages openai.Message[]
---@param type openai.Type a tableshape type, or a JSON schema
---@param opts_or_callback? ChatSession.ParseOptions|openai.ChunkCallback
---@return any value what the type makes of the answer; nil on failure
---@return any text_or_failure the answer's text; why there is no value
---@return any body the answer's text, or what the server sent, on failure
function methods:parse(messages, type, opts_or_callback)
  check_self(self, "parse")
  return bridge.bundled("openai.chat_runs").parse_alone(self, messages, type, opts_or_callback)
end

---Repeats a request until something is done that the server does in the background; in a task, the others go on:
---`local batch = client:wait_for("retrieve_batch", batch_id, { timeout = 3600 })`. Raises an error that names the
---method and a bad status, or says that the time is over.
---@param name string the method to ask by, a `GET`
---@param ... any its ids, and then `openai.WaitOptions`
---@return any body
function methods:wait_for(name, ...)
  check_self(self, "wait_for")
  return bridge.bundled("openai.polling").wait_for(self, name, ...)
end

---Sends a request to any other endpoint.
---@param method string
---@param path string below `api_base`, with its leading slash
---@param payload? table|string a table is sent as JSON, a string as it is
---@param headers? openai.Headers
---@param callback? openai.EventCallback is given each event of the answer, a stream
---@return integer status, any body, openai.Headers headers
function methods:request(method, path, payload, headers, callback)
  check_self(self, "request")
  local filter = callback and bridge.bundled("openai.sse").create_stream_filter(callback) or nil
  return self:_request(method, path, payload, headers, filter)
end

---Sends a request; every other method that sends calls this one.
---@param method string
---@param path string below `api_base`
---@param payload? table|string a table is sent as JSON, a string as it is
---@param more_headers? openai.Headers
---@param stream_fn? fun(piece?: string): string? an ltn12 filter, fed the answer's body as it arrives
---@param is_file? boolean whether the body of a success is for the caller as it came
---@return integer status
---@return any body decoded from JSON where it is JSON, else the text
---@return openai.Headers headers
function methods:_request(method, path, payload, more_headers, stream_fn, is_file)
  check_self(self, "_request")
  return request.send(self, method, path, payload, more_headers, stream_fn, is_file)
end

---Sends a form with files, as `openai.multipart` encodes it.
---@param method string
---@param path string below `api_base`
---@param params table<string, any>
---@param more_headers? openai.Headers
---@return integer status, any body, openai.Headers headers
function methods:_multipart_request(method, path, params, more_headers)
  local body, content_type = bridge.multipart(params)
  local headers = copy({ ["Content-Type"] = content_type }, more_headers)
  return self:_request(method, path, body, headers)
end

---Returns the HTTP module in use.
---@return openai.HttpModule
function methods:get_http()
  return request.http_module(self)
end

---Returns a client like this one with other settings, for a request or a few:
---`client:with_options({ timeout = 5 }):models()`. Headers and query are added to this client's.
---@param changes openai.Config
---@return OpenAI
function methods:with_options(changes)
  check_self(self, "with_options")
  if type(changes) ~= "table" then
    error("changes: expected a table, got " .. type(changes), 0)
  end
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
  -- Anything but a table is ignored: scripts write `new(assert(os.getenv("KEY"), "set it"))`, which passes two values.
  config = type(config) == "table" and config or {}
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

-- Returns a function of a module that is loaded when it is first called: few scripts need all of them. Without the
-- tasks' module, all waits block.
local function from(module, name)
  return function(...)
    return bridge.bundled(module)[name](...)
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
---@field tool fun(spec: openai.ToolSpec): openai.CallableTool a declaration, with its function beside it
---@field schema fun(type: openai.Type, opts?: openai.SchemaOptions): table the JSON schema of a type
---@field sleep fun(seconds: number)
local openai = {
  new = OpenAI,
  OpenAI = OpenAI,
  VERSION = constants.version,
  ChatSession = bridge.bundled("openai.chat_completions").ChatSession,
  ResponsesChatSession = bridge.bundled("openai.responses").ResponsesChatSession,
  gather = from("openai.tasks", "gather"),
  spawn = from("openai.tasks", "spawn"),
  tool = from("openai.tool", "make"),
  schema = from("openai.schema", "make"),
  sleep = wait.sleep,
}

return openai
