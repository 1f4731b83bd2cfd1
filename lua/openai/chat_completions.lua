-- Chat sessions: a conversation that keeps its history, over the chat completions API.

local _, bridge = ...
local class = bridge.bundled("openai.class")
local json = bridge.bundled("openai.json")
local session = bridge.bundled("openai.session")

local own_options = {}
for _, name in ipairs(bridge.constants().own_options) do
  own_options[name] = true
end

---@class openai.Message
---@field role "system"|"developer"|"user"|"assistant"|"function"|"tool"
---@field content? string|openai.ContentPart[]|userdata text or parts or `cjson.null`
---@field name? string for role `function` it is required
---@field tool_call_id? string for role `tool` it is required
---@field function_call? openai.FunctionCall
---@field tool_calls? openai.ToolCall[]

---@class openai.ContentPart
---@field type string `text`, `image_url` and others
---@field text? string
---@field image_url? {url: string, detail?: string}|string

---@class openai.FunctionCall
---@field name string
---@field arguments string JSON

---@class openai.ToolCall
---@field id string
---@field type string
---@field index? integer of a piece in a stream
---@field ["function"] openai.FunctionCall

---@class openai.FunctionDeclaration
---@field name string
---@field description? string
---@field parameters? table its JSON schema

---@class openai.Tool
---@field type string `function` and others
---@field ["function"]? openai.FunctionDeclaration

---@class openai.Chunk a piece of a streamed reply; `tostring` gives its text
---@field content string
---@field index integer
---@field tool_calls? openai.ToolCall[] pieces of calls
---@field function_call? openai.FunctionCall a piece of a call
---@field finish_reason? string
---@field reasoning? string
---@field refusal? string

---@alias openai.ChunkCallback fun(chunk: openai.Chunk, event: table): any false for no more chunks

---@class ChatSession.Options
---@field messages? openai.Message[]
---@field functions? openai.FunctionDeclaration[]
---@field tools? openai.Tool[]
---@field tool_choice? string|table
---@field parallel_tool_calls? boolean
---@field function_call? string|table
---@field temperature? number
---@field model? string
---@field response_format? table
---@field [string] any another parameter of the API

---@class ChatSession.SendOptions: openai.ChatOptions
---@field stream_callback? openai.ChunkCallback asks for a stream

local read_chunk

---The chunk in a raw event of a stream, or nil: it takes exactly one choice, with a delta.
---@param event table
---@return openai.Chunk?
local function parse_completion_chunk(event)
  read_chunk = read_chunk or bridge.wrap(bridge.chunk_reader())
  local content, index, more, is_content_empty = read_chunk(json.encode_received(event, "event"))
  if not content then
    return nil
  end
  local chunk = { content = content, index = index }
  if more then
    for field, value in pairs(json.decode(more)) do
      chunk[field] = value
    end
  end
  return session.chunk(chunk, is_content_empty)
end

local function check_message(message, where)
  bridge.check_message(json.encode(message, where), where)
end

---@class ChatSession
---@field client OpenAI
---@field opts ChatSession.Options
---@field messages openai.Message[] the history; a script may edit it between turns
---@field functions? openai.FunctionDeclaration[]
---@field tools? openai.Tool[]
---@field last_response any the body of the last answer, decoded; of a stream, its raw text
local methods = {}

local function init(self, client, opts)
  session.check(client, opts)
  self.client = client
  self.opts = opts or {}
  self.messages = setmetatable({}, json.array_mt)
  for _, name in ipairs({ "messages", "functions", "tools" }) do
    session.check_list(self.opts[name], name)
  end
  if self.opts.messages then
    self:append_message(unpack(self.opts.messages))
  end
  if self.opts.functions then
    self.functions = {}
    for number, declaration in ipairs(self.opts.functions) do
      bridge.check_function(json.encode(declaration, ("functions[%d]"):format(number)), number)
      self.functions[number] = declaration
    end
  end
  self.tools = self.opts.tools or nil
end

---Checks each message and appends it to the history.
---@param ... openai.Message
function methods:append_message(...)
  session.check_self(self, "append_message")
  local count = select("#", ...)
  for number = 1, count do
    local message = (select(number, ...))
    check_message(message, count > 1 and ("messages[%d]"):format(number) or "message")
    table.insert(self.messages, message)
  end
end

---@return openai.Message?
function methods:last_message()
  session.check_self(self, "last_message")
  return self.messages[#self.messages]
end

---Appends a message and returns the model's reply.
---@param message string|openai.Message a string is the user's
---@param opts_or_callback? ChatSession.SendOptions|openai.ChunkCallback
---@return string|openai.Message|nil reply its text, or the whole message when it calls tools or a function
---@return any failure why there is no reply; with one, the body of the answer, or a stream's raw text
---@return any body what the server sent, on failure
function methods:send(message, opts_or_callback)
  session.check_self(self, "send")
  if type(message) == "string" then
    message = { role = "user", content = message }
  end
  self:append_message(message)
  return self:generate_response(true, opts_or_callback)
end

local function request_parameters(self, opts, callback)
  local parameters = session.parameters(own_options, self.opts, opts)
  if parameters.functions == nil then
    parameters.functions = self.functions
  end
  if parameters.tools == nil then
    parameters.tools = self.tools
  end
  parameters.stream = callback and true or parameters.stream
  return parameters
end

local function keep(self, append_response, message_json, is_plain, whole)
  local message = json.decode(message_json)
  if append_response then
    self:append_message(message)
  end
  return is_plain and message.content or whole or message
end

local function text_of(chunks)
  local texts = {}
  for _, chunk in ipairs(chunks) do
    texts[#texts + 1] = type(chunk.content) == "string" and chunk.content or nil
  end
  return table.concat(texts)
end

---Returns the model's reply to the history as it stands.
---@param append_response? boolean whether the reply joins the history; true when left out
---@param opts_or_callback? ChatSession.SendOptions|openai.ChunkCallback
---@return string|openai.Message|nil reply
---@return any failure
---@return any body
function methods:generate_response(append_response, opts_or_callback)
  session.check_self(self, "generate_response")
  local opts, callback = session.options(opts_or_callback)
  local chunks = setmetatable({}, json.array_mt)
  local function collect(chunk, event)
    chunks[#chunks + 1] = chunk
    return callback(chunk, event)
  end

  local parameters = request_parameters(self, opts, callback)
  local status, body = session.ask(self.client, "chat", self.messages, parameters, callback and collect)
  if not status then
    return nil, body, callback and text_of(chunks)
  end
  self.last_response = body
  append_response = append_response ~= false
  -- What a test puts in the place of `chat` may return a stream without having called anyone back, and a server that
  -- knows no streams answers without one.
  if not callback or status ~= 200 or (#chunks == 0 and type(body) == "table") then
    local message, is_plain_or_failure, whole = bridge.read_reply(status, json.encode_received(body, "body"))
    if not message then
      return nil, is_plain_or_failure, body
    end
    whole = whole and json.decode(whole) or body.choices[1].message
    return keep(self, append_response, message, is_plain_or_failure, whole), body
  end
  local message, is_plain_or_failure, text = bridge.read_stream(
    json.encode_received(chunks, "chunks"),
    session.has_empty_content(chunks),
    type(body) == "string" and body or ""
  )
  if not message then
    return nil, is_plain_or_failure, text
  end
  return keep(self, append_response, message, is_plain_or_failure), body
end

local function check(checker, what)
  return require("tableshape").types.custom(function(value)
    local ok, failure = pcall(function()
      checker(json.encode(value, what), what)
    end)
    return ok or nil, failure
  end)
end

-- Made when they are asked for: few scripts do, and all would wait for tableshape.
local checks = {
  test_message = function()
    return check(bridge.check_message, "message")
  end,
  tool_call_shape = function()
    return check(bridge.check_tool_call, "tool_call")
  end,
}

---The class; calling it constructs.
---@class ChatSession.Class: openai.Class
---@field __base ChatSession
---@field new fun(client: OpenAI, opts?: ChatSession.Options): ChatSession
---@overload fun(client: OpenAI, opts?: ChatSession.Options): ChatSession
local ChatSession = class("ChatSession", methods, init)

---@class openai.chat_completions
---@field ChatSession ChatSession.Class
---@field parse_completion_chunk fun(event: table): openai.Chunk?
---@field test_message tableshape.BaseType checks a message
---@field tool_call_shape tableshape.BaseType checks a tool call
local chat_completions = setmetatable({
  ChatSession = ChatSession,
  parse_completion_chunk = parse_completion_chunk,
}, {
  __index = function(module, name)
    local make = checks[name]
    module[name] = make and make()
    return rawget(module, name)
  end,
})

return chat_completions
