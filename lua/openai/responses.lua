-- Sessions over the Responses API: the server keeps the history.

local _, bridge = ...
local class = bridge.bundled("openai.class")
local json = bridge.bundled("openai.json")
local session = bridge.bundled("openai.session")
local session_parameters = bridge.constants().response_session_parameters

---@class openai.ResponseObject a response of the API; `tostring` gives its text
---@field id string
---@field output table[]
---@field model? string
---@field status? string
---@field usage? table
local response_methods = {}

---@return string # all `output_text` parts, joined
function response_methods:get_output_text()
  return bridge.output_text(json.encode(self, "response"))
end

---@return {b64_json: string}[] # the generated images
function response_methods:get_images()
  return json.decode(bridge.output_images(json.encode(self, "response")))
end

local response_mt = { __index = response_methods, __tostring = response_methods.get_output_text }

---@alias openai.TextCallback fun(chunk: {content: string}, event: table): any false for no more chunks

---@class ResponsesChatSession.Options
---@field model? string
---@field instructions? string
---@field tools? table[]
---@field previous_response_id? string

---@class ResponsesChatSession.SendOptions: openai.ResponseOptions
---@field stream_callback? openai.TextCallback asks for a stream

---@class ResponsesChatSession
---@field client OpenAI
---@field opts ResponsesChatSession.Options
---@field response_history openai.ResponseObject[]
---@field current_response_id? string what the next request continues from
local methods = {}

local function init(self, client, opts)
  self.client = client
  self.opts = opts or {}
  self.response_history = {}
  self.current_response_id = self.opts.previous_response_id
end

---Sends input that continues the conversation.
---@param input string|table[] text, or messages and items such as `function_call_output`
---@param opts_or_callback? ResponsesChatSession.SendOptions|openai.TextCallback
---@return openai.ResponseObject|string|nil response for a stream, its text
---@return string? failure
---@return any body what the server sent, on failure
function methods:send(input, opts_or_callback)
  return self:create_response(input, session.options(opts_or_callback))
end

local function keep(self, response)
  setmetatable(response, response_mt)
  self.current_response_id = response.id
  table.insert(self.response_history, response)
  return response
end

local function request_parameters(self, opts, callback)
  local parameters = { previous_response_id = self.current_response_id }
  for _, name in ipairs(session_parameters) do
    parameters[name] = self.opts[name]
  end
  for name, value in pairs(opts or {}) do
    parameters[name] = value
  end
  parameters.stream = callback and true or parameters.stream
  return parameters
end

-- Takes a stream's events; its text, final response and failure are to be found in the first result.
local function stream_reader(callback)
  local stream = { texts = {} }
  return stream,
    function(event)
      local kind, value = bridge.read_response_event(json.encode(event, "event"))
      if kind == "text" then
        table.insert(stream.texts, value)
        return callback(session.chunk({ content = value }), event)
      elseif kind == "done" then
        stream.response = event.response
      elseif kind == "failed" then
        stream.failure, stream.failed_event = value, event
      end
    end
end

---Creates a response with the parameters given.
---@param input string|table[]
---@param opts? openai.ResponseOptions over the session's own
---@param callback? openai.TextCallback asks for a stream
---@return openai.ResponseObject|string|nil response for a stream, its text
---@return string? failure
---@return any body
function methods:create_response(input, opts, callback)
  bridge.check_input(json.encode(input, "input"))
  local stream, on_event
  if callback then
    stream, on_event = stream_reader(callback)
  end
  local status, body =
    session.ask(self.client, "create_response", input, request_parameters(self, opts, callback), on_event)
  if not status then
    return nil, body, stream and table.concat(stream.texts)
  end
  if stream and stream.failure then
    return nil, stream.failure, stream.failed_event
  end
  local response = body
  if stream and status == 200 then
    response = stream.response
    if not response then
      return table.concat(stream.texts)
    end
  end
  local failure = bridge.response_failure(status, json.encode(response, "body"))
  if failure then
    return nil, failure, body
  end
  keep(self, response)
  return stream and table.concat(stream.texts) or response
end

---The class; calling it constructs.
---@class ResponsesChatSession.Class: openai.Class
---@field __base ResponsesChatSession
---@field new fun(client: OpenAI, opts?: ResponsesChatSession.Options): ResponsesChatSession
---@overload fun(client: OpenAI, opts?: ResponsesChatSession.Options): ResponsesChatSession
local ResponsesChatSession = class("ResponsesChatSession", methods, init)

---@class openai.responses
---@field ResponsesChatSession ResponsesChatSession.Class
local responses = { ResponsesChatSession = ResponsesChatSession }

return responses
