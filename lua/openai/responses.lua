-- Sessions over the Responses API: the server keeps the history.

local _, bridge = ...
local class = bridge.bundled("openai.class")
local events = bridge.bundled("openai.events")
local json = bridge.bundled("openai.json")
local check_input = bridge.bundled("openai.messages").check_input
local session = bridge.bundled("openai.session")

local own_options = {}
for _, name in ipairs(bridge.constants().own_response_options) do
  own_options[name] = true
end

---@class openai.ResponseObject a response of the API; `tostring` gives its text
---@field id string
---@field output table[]
---@field model? string
---@field status? string
---@field usage? table
local response_methods = {}

---@return string # all `output_text` parts, joined
function response_methods:get_output_text()
  return events.output_text(self)
end

---@return {b64_json: string}[] # the generated images
function response_methods:get_images()
  return json.decode(bridge.output_images(json.encode_received(self, "response")))
end

local response_mt = { __index = response_methods, __tostring = response_methods.get_output_text }

---@alias openai.TextCallback fun(chunk: {content: string}, event: table): any false for no more chunks

---@class ResponsesChatSession.Options
---@field model? string
---@field instructions? string
---@field tools? table[]
---@field previous_response_id? string
---@field conversation? string an id, sent with every request in place of `previous_response_id`
---@field [string] any another parameter of the API

---@class ResponsesChatSession.SendOptions: openai.ResponseOptions
---@field stream_callback? openai.TextCallback asks for a stream

---@class ResponsesChatSession.RunOptions: ResponsesChatSession.SendOptions, openai.RunOptions

---@class ResponsesChatSession.ParseOptions: ResponsesChatSession.RunOptions, openai.ParseOptions

---@class ResponsesChatSession
---@field client OpenAI
---@field opts ResponsesChatSession.Options
---@field response_history openai.ResponseObject[]
---@field current_response_id? string what the next request continues from
---@field pending_outputs table[] outputs of a run's calls that no request has carried yet: the next one does
---@field last_response any the body of the last answer, decoded; of a stream, its raw text
local methods = {}

local function init(self, client, opts)
  session.check(client, opts)
  self.client = client
  self.opts = opts or {}
  self.response_history = {}
  self.pending_outputs = {}
  session.check_list(self.opts.tools, "tools")
  local before = self.opts.previous_response_id
  if before ~= nil and type(before) ~= "string" then
    error("previous_response_id: expected a string, got " .. type(before), 0)
  end
  self.current_response_id = before
end

---Sends input that continues the conversation.
---@param input string|table[] text, or messages and items such as `function_call_output`
---@param opts_or_callback? ResponsesChatSession.SendOptions|openai.TextCallback
---@return openai.ResponseObject|string|nil response for a stream, its text
---@return any failure why there is none; else the body of the answer, or a stream's raw text
---@return any body what the server sent, on failure
function methods:send(input, opts_or_callback)
  session.check_self(self, "send")
  session.mend(self)
  return self:create_response(input, session.options(opts_or_callback))
end

local function keep(self, response)
  setmetatable(response, response_mt)
  self.current_response_id = response.id
  table.insert(self.response_history, response)
  return response
end

local function request_parameters(self, opts, callback)
  local parameters = session.parameters(own_options, self.opts, opts)
  -- The API takes one of them.
  if parameters.conversation == nil and parameters.previous_response_id == nil then
    parameters.previous_response_id = self.current_response_id
  end
  parameters.stream = callback and true or parameters.stream
  return parameters
end

local function read_event(event)
  local text = events.text_delta(event)
  if text then
    return "text", text
  end
  return bridge.read_response_event(json.encode_received(event, "event"))
end

-- Does nothing: the callback of a stream of which only the text is wanted.
local function ignore() end

-- Returns a table that collects a stream, and the callback that fills it with the stream's events.
local function stream_reader(callback)
  local stream = { texts = {}, refusals = {} }
  return stream,
    function(event)
      local kind, value = read_event(event)
      stream.has_events = true
      if kind == "text" then
        table.insert(stream.texts, value)
        local go_on = callback(session.chunk({ content = value }), event)
        stream.is_over = stream.is_over or go_on == false
        return go_on
      elseif kind == "refusal" then
        table.insert(stream.refusals, value)
      elseif kind == "done" then
        stream.response, stream.is_over = event.response, true
      elseif kind == "failed" and not stream.failure then
        stream.failure, stream.failed_event = value, event
      end
    end
end

-- Returns the response at a stream's end, if there is one; or nil, the failure and the text so far.
local function finish_stream(stream, body)
  local text = table.concat(stream.texts)
  if stream.failure then
    return nil, stream.failure, stream.failed_event
  end
  local fault = bridge.stream_fault(body, text, table.concat(stream.refusals), stream.is_over or false)
  if fault then
    return nil, fault, text
  end
  -- A server that knows no streams answers without one.
  return stream.response or (not stream.has_events and type(body) == "table" and body) or nil
end

---Creates a response with the parameters given.
---@param input string|table[]
---@param opts? openai.ResponseOptions over the session's own
---@param callback? openai.TextCallback asks for a stream, as `stream = true` in the options does
---@return openai.ResponseObject|string|nil response for a stream, its text
---@return any failure
---@return any body
function methods:create_response(input, opts, callback)
  session.check_self(self, "create_response")
  session.check(nil, opts)
  check_input(input)
  local parameters = request_parameters(self, opts, callback)
  local carried
  if self.pending_outputs and self.pending_outputs[1] then
    input, carried = bridge.bundled("openai.pending").add(self, input, parameters)
  end
  local stream, on_event
  if parameters.stream then
    stream, on_event = stream_reader(callback or ignore)
  end
  local status, body = session.ask(self.client, "create_response", input, parameters, on_event)
  if not status then
    return nil, body, stream and table.concat(stream.texts)
  end
  self.last_response = body
  local response = body
  if stream and status == 200 then
    local failure, what_came
    response, failure, what_came = finish_stream(stream, body)
    if not response then
      if failure then
        return nil, failure, what_came
      end
      return table.concat(stream.texts), body
    end
  end
  local failure = not (status == 200 and events.is_plain_response(response))
    and bridge.response_failure(status, json.encode_received(response, "body"))
  if failure then
    return nil, failure, stream and status == 200 and response or body
  end
  keep(self, response)
  if carried then
    bridge.bundled("openai.pending").remove(self, carried)
  end
  if not stream then
    return response, body
  end
  local text = table.concat(stream.texts)
  return text ~= "" and text or response:get_output_text(), body
end

---Sends input and lets the model call tools, whose results it gets, until it answers with text. Each call has an output
---whatever happens: those that no request has carried are in `pending_outputs`. Calls of a round run side by side.
---@param input? string|table[] without it, goes on from the conversation as it stands
---@param opts_or_callback? ResponsesChatSession.RunOptions|openai.TextCallback
---@return string? reply
---@return any calls_or_failure what was called, `openai.RunCall[]`; why there is no reply
---@return any body what the server sent, on failure
function methods:run(input, opts_or_callback)
  session.check_self(self, "run")
  return bridge.bundled("openai.response_runs").run(self, input, opts_or_callback)
end

---Asks for an answer of a type: the request holds its schema, and what comes is decoded and checked. An answer that
---does not fit is sent back with what is wrong.
---@param input? string|table[] as in `run`
---@param type openai.Type a tableshape type, or a JSON schema
---@param opts_or_callback? ResponsesChatSession.ParseOptions|openai.TextCallback
---@return any value what the type makes of the answer; nil on failure
---@return any text_or_failure the answer's text; why there is no value
---@return any body the answer's text, or what the server sent, on failure
function methods:parse(input, type, opts_or_callback)
  session.check_self(self, "parse")
  return bridge.bundled("openai.response_runs").parse(self, input, type, opts_or_callback)
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
