-- Runs tools in a Responses session: the outputs of calls go into the next request's input.

local _, bridge = ...
local calls = bridge.bundled("openai.calls")
local events = bridge.bundled("openai.events")
local json = bridge.bundled("openai.json")
local pending = bridge.bundled("openai.pending")
local runs = bridge.bundled("openai.runs")
local typed = bridge.bundled("openai.typed")

---@class openai.ResponsesHistory: openai.History
---@field session ResponsesChatSession
---@field input any of the next request
---@field response? table the last
local ResponsesHistory = {}
ResponsesHistory.__index = ResponsesHistory

-- Returns the last response, if it is what the session goes on from.
local function current_response(session)
  local last = session.response_history[#session.response_history]
  return last and last.id == session.current_response_id and last or nil
end

-- Returns the calls of a response for which nothing is pending.
local function unanswered(session, response)
  local has_output, left = {}, {}
  for _, output in ipairs(session.pending_outputs or {}) do
    has_output[output.call_id] = true
  end
  for _, call in ipairs(response and calls.find_in_response(response) or {}) do
    if not has_output[call.id] then
      left[#left + 1] = call
    end
  end
  return left
end

function ResponsesHistory:begin(input)
  local session = self.session
  self.response = current_response(session)
  if input == nil then
    return unanswered(session, self.response)
  end
  -- What the input itself holds counts more than what is pending.
  self:mend()
  self.input = input
  return {}
end

-- Returns what is pending as an input; a session's method may be a script's, which shall see it.
local function pending_input(session)
  local input = setmetatable({}, json.array_mt)
  for _, output in ipairs(session.pending_outputs or {}) do
    input[#input + 1] = output
  end
  return input
end

function ResponsesHistory:ask(opts, callback)
  local session = self.session
  local input = self.input or pending_input(session)
  local count = #session.response_history
  local reply, failure, body = session:create_response(input, opts, callback)
  if reply == nil then
    return nil, failure, body
  end
  self.input = nil
  -- A stream gives a text; its response is in the history.
  local is_new = #session.response_history > count
  self.response = type(reply) == "table" and reply or (is_new and session.response_history[#session.response_history])
  local text = type(reply) == "string" and reply or events.output_text(reply)
  return text, self.response and calls.find_in_response(self.response) or {}
end

function ResponsesHistory:hold(found)
  local session, outputs = self.session, {}
  for index, call in ipairs(found) do
    outputs[index] = calls.answer(call, runs.NOT_RUN)
    pending.keep(session, outputs[index], self.response and self.response.id)
  end
  return function(index, text)
    outputs[index].output = text
  end
end

function ResponsesHistory:settle() -- luacheck: no unused args
end

function ResponsesHistory:mend()
  self.response = current_response(self.session)
  self:hold(unanswered(self.session, self.response))
end

function ResponsesHistory:tool_lists(opts)
  return opts.tools or self.session.opts.tools
end

local function of(session)
  return setmetatable({ session = session }, ResponsesHistory)
end

local response_runs = {}

---Runs the tools of a Responses session; see `ResponsesChatSession:run`.
---@param session ResponsesChatSession
---@param input? string|table[]
---@param opts_or_callback any
function response_runs.run(session, input, opts_or_callback)
  return runs.run(of(session), input, opts_or_callback)
end

-- Asks once for a typed answer. Returns what `run` does, and a function that tells why the answer was cut short.
local function ask_typed(conversation, input, opts, callback)
  local session = conversation.session
  opts.stream_callback = callback
  local text, failure, body = session:run(input, opts)
  return text, failure, body, function()
    return bridge.why_cut(json.encode_received(current_response(session), "body"))
  end
end

---Asks for a typed answer in a Responses session; see `ResponsesChatSession:parse`.
---@param session ResponsesChatSession
---@param input? string|table[]
---@param kind openai.Type
---@param opts_or_callback any
function response_runs.parse(session, input, kind, opts_or_callback)
  return typed.parse({ api = "responses", session = session, ask = ask_typed }, input, kind, opts_or_callback)
end

return response_runs
