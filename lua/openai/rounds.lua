-- Runs the calls of one round side by side, and gives each its answer.

local _, bridge = ...
local errors = bridge.bundled("luaopenai.errors")
local json = bridge.bundled("openai.json")
local tool = bridge.bundled("openai.tool")

local now, pcall, type = bridge.now, pcall, type

---@class openai.RunCall a call of a run, as its caller sees it
---@field id? string
---@field name string
---@field arguments any what its function gets; as the model wrote them where they cannot be used
---@field result? any what its function has returned
---@field error? string why there is no result, in a line
---@field seconds? number

---@class openai.RunState what the rounds of a run share
---@field functions table<string, openai.ToolFunction>
---@field names string[] of those functions
---@field limit number
---@field raise boolean
---@field on_call? fun(call: openai.RunCall): any, string?
---@field on_result? fun(call: openai.RunCall)
---@field failure? luaopenai.Failure what ends the run; calls under way go on to their end, no other begins

local rounds = {}

local function is_cancelled()
  local scheduler = bridge.loaded("openai.scheduler")
  return scheduler ~= nil and scheduler.is_cancelled()
end

-- Returns the failure that `bridge.protect` has returned; raises it again where the task was cancelled.
local function failure_of(value, f)
  local failure = bridge.failure(value, f)
  if is_cancelled() then
    bridge.rethrow(failure)
  end
  return failure
end

-- Returns a reason, which may be any value, as text.
local function text_of(reason)
  if type(reason) == "string" then
    return reason
  end
  local ok, text = pcall(json.encode, reason, "reason")
  return ok and text or tostring(reason)
end

-- Returns what a call's answer says of a result; or nil and why JSON cannot carry it.
local function result_text(value)
  local text = value
  if type(value) ~= "string" then
    local ok
    ok, text = pcall(json.encode, value, "result")
    if not ok then
      return nil, text
    end
  end
  if not json.is_utf8(text) then
    return nil, json.utf8_fault(value, "result")
  end
  return text
end

-- Notes why a call has failed; returns its answer.
local function note_failure(record, reason)
  local line, text = bridge.tool_failed(reason)
  record.error = line
  return text
end

-- Calls a tool's function; returns the call's answer.
local function call_function(run, kept, record)
  local ok, result, reason = bridge.protect(kept.call, record.arguments)
  if not ok then
    local failure = failure_of(result, kept.call)
    if run.raise then
      run.failure = run.failure or failure
    end
    return note_failure(record, (errors.report(failure)))
  elseif result == nil and reason ~= nil then
    return note_failure(record, text_of(reason))
  end
  local text, fault = result_text(result)
  if not text then
    return note_failure(record, fault)
  end
  record.result = result
  return text
end

-- Returns the answer to a call.
local function find_answer(run, call, record)
  local kept = run.functions[call.name]
  if not kept then
    local _, found = tool.read({}, call.text)
    record.arguments = type(found) == "table" and found or call.text
    record.error = bridge.unknown_tool(call.name, json.encode(setmetatable(run.names, json.array_mt), "names"))
    return record.error
  end
  local fits, arguments, decoded = tool.read(kept, call.text)
  if not fits then
    record.arguments = decoded == nil and call.text or decoded
    record.error = arguments
    return record.error
  end
  record.arguments = arguments
  if run.on_call then
    local allowed, reason = run.on_call(record)
    if allowed == false then
      record.error = bridge.refused(reason ~= nil and text_of(reason) or nil)
      return record.error
    end
  end
  return call_function(run, kept, record)
end

-- Runs a call, unless the run is to end.
local function perform(run, call, record, answer)
  if run.failure then
    return
  end
  local start = now()
  local ok, text = bridge.protect(find_answer, run, call, record)
  record.seconds = now() - start
  if ok then
    answer(text)
    if run.on_result then
      ok, text = bridge.protect(run.on_result, record)
    end
  end
  if not ok then
    local failure = failure_of(text, run.on_result)
    run.failure = run.failure or failure
  end
end

---Runs the calls of a round; raises what ends the run, when none is under way any more.
---@param run openai.RunState
---@param found openai.FoundCall[]
---@param records openai.RunCall[] what the run's caller is told; those of this round are appended
---@param answer fun(index: integer, text: string) is given each call's answer
function rounds.perform(run, found, records, answer)
  local works = {}
  for index, call in ipairs(found) do
    local record = { id = call.id ~= "" and call.id or nil, name = call.name }
    records[#records + 1] = record
    works[index] = function()
      perform(run, call, record, function(text)
        answer(index, text)
      end)
    end
  end
  if #works == 1 or run.limit == 1 then
    for _, work in ipairs(works) do
      work()
    end
  else
    bridge.bundled("openai.tasks").gather(works, { limit = run.limit })
  end
  if run.failure then
    bridge.rethrow(run.failure)
  end
end

return rounds
