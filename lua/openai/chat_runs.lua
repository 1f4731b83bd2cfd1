-- Runs tools in a chat session: the answers of calls are messages of its history.

local _, bridge = ...
local calls = bridge.bundled("openai.calls")
local json = bridge.bundled("openai.json")
local runs = bridge.bundled("openai.runs")
local typed = bridge.bundled("openai.typed")

---@class openai.ChatHistory: openai.History
---@field session ChatSession
---@field answers? openai.Message[] a round's, in the history
local ChatHistory = {}
ChatHistory.__index = ChatHistory

local function user(message)
  return type(message) == "string" and { role = "user", content = message } or message
end

function ChatHistory:begin(message)
  local session = self.session
  if message == nil then
    return calls.unanswered(session.messages)
  end
  message = user(message)
  -- An answer that the script gives may be one of several: what it leaves is not run.
  local is_answer = type(message) == "table" and (message.role == "tool" or message.role == "function")
  if not is_answer then
    self:mend()
  end
  session:append_message(message)
  if is_answer then
    self:mend()
  end
  return {}
end

local function text_of(reply)
  if type(reply) == "table" then
    return type(reply.content) == "string" and reply.content or ""
  end
  return reply
end

function ChatHistory:ask(opts, callback)
  opts.stream_callback = callback
  local reply, failure, body = self.session:generate_response(true, opts)
  if reply == nil then
    return nil, failure, body
  end
  self.reply = reply
  return text_of(reply), type(reply) == "table" and calls.find(reply) or {}
end

-- Puts a reply with calls into the history, where a method of the script's has not.
local function ensure_reply(session, reply)
  local last = session.messages[#session.messages]
  local has_calls = type(last) == "table" and last.role == "assistant" and calls.find(last)[1]
  if reply and not has_calls then
    local message = { role = "assistant", content = reply.content }
    message.tool_calls, message.function_call = reply.tool_calls, reply.function_call
    session:append_message(message)
  end
end

function ChatHistory:hold(found)
  local session, answers = self.session, {}
  ensure_reply(session, self.reply)
  for index, call in ipairs(found) do
    answers[index] = calls.answer(call, runs.NOT_RUN)
    table.insert(session.messages, answers[index])
  end
  self.answers, self.reply = answers, nil
  return function(index, text)
    answers[index].content = text
  end
end

local function position_of(list, item)
  for index = #list, 1, -1 do
    if list[index] == item then
      return index
    end
  end
end

-- Has a method of the script's append an answer in its place; whatever that does, the history holds it.
local function append_again(session, answer)
  local history = session.messages
  local position = position_of(history, answer)
  if not position then
    return
  end
  local rest = {}
  for index = position + 1, #history do
    rest[#rest + 1] = history[index]
  end
  for index = #history, position, -1 do
    history[index] = nil
  end
  local ok, failure = bridge.protect(session.append_message, session, answer)
  failure = not ok and bridge.failure(failure, session.append_message) or nil
  history = session.messages
  if not ok and not position_of(history, answer) then
    table.insert(history, answer)
  end
  for _, message in ipairs(rest) do
    table.insert(history, message)
  end
  if failure then
    bridge.rethrow(failure)
  end
end

-- Answers are in the history from the start, so that it is valid at any moment. A script that has replaced
-- `append_message` is shown them when they are final.
function ChatHistory:settle()
  local session, answers = self.session, self.answers or {}
  self.answers = nil
  if session.append_message ~= bridge.bundled("openai.chat_completions").ChatSession.__base.append_message then
    for _, answer in ipairs(answers) do
      append_again(session, answer)
    end
  end
end

function ChatHistory:mend()
  local found = calls.unanswered(self.session.messages)
  if found[1] then
    self:hold(found)
    self:settle()
  end
end

function ChatHistory:tool_lists(opts)
  local session = self.session
  return opts.tools or session.tools, opts.functions or session.functions
end

local function of(session)
  return setmetatable({ session = session }, ChatHistory)
end

local chat_runs = {}

---Runs the tools of a chat session; see `ChatSession:run`.
---@param session ChatSession
---@param message? string|openai.Message
---@param opts_or_callback any
function chat_runs.run(session, message, opts_or_callback)
  return runs.run(of(session), message, opts_or_callback)
end

-- Asks once for a typed answer. Returns what `run` does, and a function that tells why the answer was cut short.
local function ask_typed(conversation, message, opts, callback)
  local session, reason = conversation.session, nil
  opts.stream_callback = callback
    and function(chunk, event)
      reason = chunk.finish_reason or reason
      return callback(chunk, event)
    end
  local text, failure, body = session:run(message, opts)
  return text, failure, body, function()
    local last = session.last_response
    local answer = type(last) == "table" and last or { choices = { { finish_reason = reason } } }
    return bridge.why_cut(json.encode_received(answer, "body"))
  end
end

---Asks for a typed answer in a chat session; see `ChatSession:parse`.
---@param session ChatSession
---@param message? string|openai.Message
---@param kind openai.Type
---@param opts_or_callback any
function chat_runs.parse(session, message, kind, opts_or_callback)
  return typed.parse({ api = "chat", session = session, ask = ask_typed }, message, kind, opts_or_callback)
end

---Asks for a typed answer without a session; see `OpenAI:parse`.
---@param client OpenAI
---@param messages openai.Message[]
---@param kind openai.Type
---@param opts_or_callback any
function chat_runs.parse_alone(client, messages, kind, opts_or_callback)
  if type(messages) ~= "table" then
    error("messages: expected a list, got " .. type(messages), 0)
  end
  local session = bridge.bundled("openai.chat_completions").ChatSession(client, { messages = messages })
  return chat_runs.parse(session, nil, kind, opts_or_callback)
end

return chat_runs
