-- Holds what both kinds of session share: options or a callback, chunks, network failures.

local _, bridge = ...

local request = bridge.bundled("openai.request")

local session = {}

local function text(chunk)
  return chunk.content
end

local chunk_mt = { __tostring = text }
local empty_chunk_mt = { __tostring = text }

---Gives a chunk of a stream its `tostring`.
---@generic T: {content: string}
---@param chunk T
---@param is_content_empty? boolean whether its event has a content without a text, such as null
---@return T
function session.chunk(chunk, is_content_empty)
  return setmetatable(chunk, is_content_empty and empty_chunk_mt or chunk_mt)
end

---Returns whether a chunk comes from an event whose content has no text.
---@param chunk table
---@return boolean
function session.is_content_empty(chunk)
  return getmetatable(chunk) == empty_chunk_mt
end

---Splits a session's argument into options and callback; something to call stands for `{stream_callback = it}`.
---@param opts_or_callback? table|function
---@return table opts without the callback
---@return function? callback
function session.options(opts_or_callback)
  if type(opts_or_callback) == "table" then
    local meta = getmetatable(opts_or_callback)
    if not (meta and meta.__call) then
      local opts = {}
      for name, value in pairs(opts_or_callback) do
        opts[name] = value
      end
      local callback = opts.stream_callback
      opts.stream_callback = nil
      return opts, callback
    end
  end
  return {}, opts_or_callback
end

---Raises unless these are a client and options for a session.
---@param client any
---@param opts any
function session.check(client, opts)
  if client ~= nil and type(client) ~= "table" then
    error("client: expected an OpenAI client, got " .. type(client), 0)
  elseif opts ~= nil and type(opts) ~= "table" then
    error("opts: expected a table, got " .. type(opts), 0)
  end
end

---Raises for an option that is neither nil nor a list.
---@param value any
---@param name string
function session.check_list(value, name)
  local is_list = type(value) == "table" and (value[1] ~= nil or next(value) == nil)
  if value and not is_list then
    local kind = type(value) == "table" and "a table with names" or type(value)
    error(("%s: expected a list, got %s"):format(name, kind), 0)
  end
end

---Raises for `chat.send(...)`, where `chat:send(...)` was meant.
---@param self any
---@param name string of the method
function session.check_self(self, name)
  if type(self) ~= "table" or self[name] == nil then
    error(("%s: call it with a colon: session:%s(...)"):format(name, name), 0)
  end
end

---Returns the API's parameters: a session's options, without those that it keeps in fields of its own, overridden by
---those of a call.
---@param own table<string, boolean>
---@param given table the session's
---@param opts? table the call's
---@return table
function session.parameters(own, given, opts)
  local parameters = {}
  for name, value in pairs(given) do
    if not own[name] then
      parameters[name] = value
    end
  end
  for name, value in pairs(opts or {}) do
    parameters[name] = value
  end
  return parameters
end

-- Returns the results of a client's method; a network failure becomes nil and its message.
local function settle(client, method, ok, status, body)
  if ok then
    return status, body
  end
  if status == nil or status ~= request.network_failure(client) then
    bridge.rethrow(bridge.failure(status, method))
  end
  return nil, status
end

---Calls a method of the client: each hop can be overridden.
---@param client OpenAI
---@param method string
---@return integer? status nil when the network failed
---@return any body or the failure's message
function session.ask(client, method, ...)
  if client == nil then
    error("this session has no client", 0)
  end
  local f = client[method]
  return settle(client, f, bridge.protect(f, client, ...))
end

---Clears up after a run that an interrupt has ended, if there was one; every `send` begins with it.
---@param self table
function session.mend(self)
  local runs = bridge.loaded("openai.runs")
  if runs then
    runs.mend(self)
  end
end

return session
