-- Chat sessions: a conversation that keeps its history, over the chat completions API.

local _, bridge = ...
local class = bridge.bundled("openai.class")
local events = bridge.bundled("openai.events")
local json = bridge.bundled("openai.json")
local messages = bridge.bundled("openai.messages")
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

---@class ChatSession.RunOptions: ChatSession.SendOptions, openai.RunOptions

---@class ChatSession.ParseOptions: ChatSession.RunOptions, openai.ParseOptions

---@class ChatSession
---@field client OpenAI
---@field opts ChatSession.Options
---@field messages openai.Message[] the history; a script may edit it between turns
---@field functions? openai.FunctionDeclaration[]
---@field tools? openai.Tool[]
---@field last_response any the body of the last answer, decoded; of a stream, its raw text
local methods = {}

-- Raises unless a value is a function's declaration, or a tool.
local function check_function(declaration, number)
  local checked = bridge.bundled("openai.declarations").for_functions(declaration)
  bridge.check_function(json.encode(checked, ("functions[%d]"):format(number)), number)
end

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
      check_function(declaration, number)
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
    messages.check(message, count > 1 and ("messages[%d]"):format(number) or "message")
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
  session.mend(self)
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

-- Appends a reply to the history; returns its text when it is that and no more, else `whole` or the message itself.
local function keep(self, append_response, message, is_plain, whole)
  if append_response then
    self:append_message(message)
  end
  return is_plain and message.content or whole or message
end

-- Returns a table for a stream's chunks: their texts, and the rest as JSON, before a callback can change it.
local function new_stream()
  return { count = 0, texts = {}, pieces = {}, is_content_empty = false }
end

local function add_chunk(stream, chunk)
  if type(chunk) ~= "table" then
    return
  end
  stream.count = stream.count + 1
  if type(chunk.content) == "string" then
    stream.texts[#stream.texts + 1] = chunk.content
  end
  stream.is_content_empty = stream.is_content_empty or session.is_content_empty(chunk)
  if chunk.tool_calls or chunk.function_call or chunk.refusal then
    local piece = { tool_calls = chunk.tool_calls, function_call = chunk.function_call, refusal = chunk.refusal }
    stream.pieces[#stream.pieces + 1] = json.encode_received(piece, "chunk")
  end
end

-- Returns a stream's message and whether it is text only; or nil, the failure and the text so far. The body is read
-- only where the chunks are not enough.
local function read_stream(stream, body)
  local raw = type(body) == "string" and (stream.count == 0 or body:find('"error"', 1, true)) and body or ""
  local text, pieces = table.concat(stream.texts), "[" .. table.concat(stream.pieces, ",") .. "]"
  local message, is_plain_or_failure, so_far =
    bridge.read_stream(stream.count > 0 and text or nil, pieces, stream.is_content_empty, raw)
  if not message then
    return nil, is_plain_or_failure, so_far
  end
  return json.decode(message), is_plain_or_failure
end

-- Reads a response that is no stream. Returns the history's message, whether it is text only, and the whole message; or
-- nil and the failure.
local function read_reply(status, body)
  local text = status == 200 and events.plain_reply(body)
  if text then
    return { role = "assistant", content = text }, true
  end
  local message, is_plain_or_failure, whole = bridge.read_reply(status, json.encode_received(body, "body"))
  if not message then
    return nil, is_plain_or_failure
  end
  return json.decode(message), is_plain_or_failure, whole and json.decode(whole) or body.choices[1].message
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
  local stream = callback and new_stream()
  local function collect(chunk, event)
    add_chunk(stream, chunk)
    return callback(chunk, event)
  end

  local parameters = request_parameters(self, opts, callback)
  local status, body = session.ask(self.client, "chat", self.messages, parameters, stream and collect)
  if not status then
    return nil, body, stream and table.concat(stream.texts)
  end
  self.last_response = body
  append_response = append_response ~= false
  -- A test's stand-in for `chat` may return a stream without having called back, and a server that knows no streams
  -- answers without one.
  if stream and status == 200 and (stream.count > 0 or type(body) ~= "table") then
    local message, is_plain_or_failure, text = read_stream(stream, body)
    if not message then
      return nil, is_plain_or_failure, text
    end
    return keep(self, append_response, message, is_plain_or_failure), body
  end
  local message, is_plain_or_failure, whole = read_reply(status, body)
  if not message then
    return nil, is_plain_or_failure, body
  end
  return keep(self, append_response, message, is_plain_or_failure, whole), body
end

---Appends a message and lets the model call tools, whose results it gets, until it answers with text. The history stays
---valid whatever happens: each call has an answer. Calls of a round run side by side.
---@param message? string|openai.Message a string is the user's; without one, goes on from the history as it stands
---@param opts_or_callback? ChatSession.RunOptions|openai.ChunkCallback
---@return string? reply
---@return any calls_or_failure what was called, `openai.RunCall[]`; why there is no reply
---@return any body what the server sent, on failure
function methods:run(message, opts_or_callback)
  session.check_self(self, "run")
  return bridge.bundled("openai.chat_runs").run(self, message, opts_or_callback)
end

---Asks for an answer of a type: the request holds its schema, and what comes is decoded and checked. An answer that
---does not fit is sent back with what is wrong.
---@param message? string|openai.Message as in `run`
---@param type openai.Type a tableshape type, or a JSON schema
---@param opts_or_callback? ChatSession.ParseOptions|openai.ChunkCallback
---@return any value what the type makes of the answer; nil on failure
---@return any text_or_failure the answer's text; why there is no value
---@return any body the answer's text, or what the server sent, on failure
function methods:parse(message, type, opts_or_callback)
  session.check_self(self, "parse")
  return bridge.bundled("openai.chat_runs").parse(self, message, type, opts_or_callback)
end

local function check(checker, what)
  return require("tableshape").types.custom(function(value)
    local ok, failure = pcall(checker, value, what)
    return ok or nil, failure
  end)
end

-- Makes the checks when they are asked for: few scripts do, and all would wait for tableshape.
local checks = {
  test_message = function()
    return check(messages.check, "message")
  end,
  tool_call_shape = function()
    return check(function(value, what)
      bridge.check_tool_call(json.encode(value, what), what)
    end, "tool_call")
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
  parse_completion_chunk = events.read_chunk,
}, {
  __index = function(module, name)
    local make = checks[name]
    module[name] = make and make()
    return rawget(module, name)
  end,
})

return chat_completions
