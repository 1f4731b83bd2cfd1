--- Sources, sinks, filters and pumps: the vocabulary in which LuaSocket-style modules pass data along in chunks.

--- Gives one chunk a call; nil at the end, nil and a message on failure.
---@alias ltn12.Source fun(): string?, any

--- Takes one chunk a call, and nil at the end; gives something true, or nil and a message.
---@alias ltn12.Sink fun(chunk: string?, err: any): any, any

--- Gives "" when it wants more input, and nil only after it was given nil.
---@alias ltn12.Filter fun(chunk: string?): string?

---@class ltn12
local M = {
  _VERSION = "LTN12 1.0.3",
  BLOCKSIZE = 2048,
  filter = {},
  source = {},
  sink = {},
  pump = {},
}

local filter, source, sink, pump = M.filter, M.source, M.sink, M.pump

local function end_of_data_refused()
  error("filter returned inappropriate nil", 3)
end

--- Makes a filter of a function that takes its context and returns the next one.
---@param low fun(context: any, chunk: string?, extra: any): string?, any
---@param context any
---@param extra any passed on with every call
---@return ltn12.Filter
function filter.cycle(low, context, extra)
  assert(low, "a function is needed")
  return function(chunk)
    local output
    output, context = low(context, chunk, extra)
    return output
  end
end

---@param first ltn12.Filter
---@param second ltn12.Filter
---@return ltn12.Filter
local function join(first, second)
  local first_ended, second_has_more = false, false

  return function(chunk)
    if first_ended then return second(chunk) end
    local ask_for_more = chunk and ""
    if second_has_more then
      local output = second("") or end_of_data_refused()
      if output ~= "" then return output end
      second_has_more, chunk = false, ask_for_more
    end
    while true do
      local between = first(chunk)
      if between == "" then return "" end
      if not between then
        first_ended = true
        return second(nil)
      end
      local output = second(between) or end_of_data_refused()
      if output ~= "" then
        second_has_more = true
        return output
      end
      chunk = ask_for_more
    end
  end
end

--- Makes one filter that passes data through all the given ones, left to right.
---@param first ltn12.Filter
---@param ... ltn12.Filter
---@return ltn12.Filter
function filter.chain(first, ...)
  local chained = first
  for index = 1, select("#", ...) do
    chained = join(chained, (select(index, ...)))
  end
  return chained
end

local function ended() end

---@return ltn12.Source # one that has nothing
function source.empty()
  return ended
end

---@param err any
---@return ltn12.Source # one that only fails
function source.error(err)
  return function() return nil, err end
end

--- Reads an open file in blocks and closes it at its end. Takes what `io.open` returns.
---@param handle file*?
---@param err any why there is no handle
---@return ltn12.Source
function source.file(handle, err)
  if not handle then return source.error(err or "unable to open file") end
  return function()
    local chunk = handle:read(M.BLOCKSIZE)
    if not chunk then handle:close() end
    return chunk
  end
end

--- Makes a plain source of one that may return, beside a chunk, the source to go on with.
---@param current fun(): string?, any
---@return ltn12.Source
function source.simplify(current)
  assert(current, "a source is needed")
  return function()
    local chunk, successor_or_err = current()
    if not chunk then return nil, successor_or_err end
    current = successor_or_err or current
    return chunk
  end
end

---@param text string?
---@return ltn12.Source # the text, in blocks
function source.string(text)
  if not text then return source.empty() end
  local position = 1
  return function()
    local chunk = text:sub(position, position + M.BLOCKSIZE - 1)
    position = position + M.BLOCKSIZE
    return chunk ~= "" and chunk or nil
  end
end

---@param chunks string[]
---@return ltn12.Source # the list's items, one a call
function source.table(chunks)
  assert(type(chunks) == "table", "a table is needed")
  local position = 0
  return function()
    position = position + 1
    return chunks[position]
  end
end

--- Makes a source that also takes chunks back: calling it with a chunk puts that in front of what is to come.
---@param inner ltn12.Source
---@return fun(chunk?: string): string?, any
function source.rewind(inner)
  assert(inner, "a source is needed")
  local returned = {}
  return function(chunk)
    if chunk then
      returned[#returned + 1] = chunk
      return
    end
    chunk = table.remove(returned)
    if chunk then return chunk end
    return inner()
  end
end

--- Makes a source that gives what `inner` gives, passed through the filters.
---@param inner ltn12.Source
---@param ... ltn12.Filter
---@return ltn12.Source
function source.chain(inner, ...)
  local through = filter.chain(...)
  assert(inner and through, "a source and a filter are needed")
  local input
  local has_more, has_ended = false, false

  return function()
    if has_ended then error("source is empty!", 2) end
    while true do
      if not has_more then
        local err
        input, err = inner()
        if err then return nil, err end
      end
      local output = through(input)
      if not output then
        if input then error("filter returned inappropriate nil") end
        has_ended = true
        return nil
      elseif output ~= "" then
        has_more = true
        input = input and ""
        return output
      elseif has_more and not input then
        error('filter returned ""')
      end
      has_more = false
    end
  end
end

---@param ... ltn12.Source
---@return ltn12.Source # the sources' data, one source after the other
function source.cat(...)
  local sources, position = { ... }, 1
  return function()
    while sources[position] do
      local chunk, err = sources[position]()
      if chunk then return chunk end
      if err then return nil, err end
      position = position + 1
    end
  end
end

---@param chunks string[]?
---@return ltn12.Sink
---@return string[] # where the sink puts its chunks
function sink.table(chunks)
  chunks = chunks or {}
  return function(chunk)
    if chunk then chunks[#chunks + 1] = chunk end
    return 1
  end, chunks
end

--- Makes a plain sink of one that may return, beside its success, the sink to go on with.
---@param current fun(chunk: string?, err: any): any, any
---@return ltn12.Sink
function sink.simplify(current)
  assert(current, "a sink is needed")
  return function(chunk, err)
    local ok, successor_or_err = current(chunk, err)
    if not ok then return nil, successor_or_err end
    current = successor_or_err or current
    return 1
  end
end

--- Writes to an open file and closes it at the end of the data. Takes what `io.open` returns.
---@param handle file*?
---@param err any why there is no handle
---@return ltn12.Sink
function sink.file(handle, err)
  if not handle then return sink.error(err or "unable to open file") end
  return function(chunk)
    if chunk then return handle:write(chunk) end
    handle:close()
    return 1
  end
end

local function discard()
  return 1
end

---@return ltn12.Sink # one that throws everything away
function sink.null()
  return discard
end

---@param err any
---@return ltn12.Sink # one that only fails
function sink.error(err)
  return function() return nil, err end
end

--- Makes a sink that passes data through the filters and on to the last argument, a sink.
---@param ... ltn12.Filter|ltn12.Sink
---@return ltn12.Sink
function sink.chain(...)
  local stages = { ... }
  local target = table.remove(stages)
  local through = filter.chain(unpack(stages))
  assert(through and target, "a filter and a sink are needed")

  return function(chunk, err)
    if chunk == "" then return 1 end
    local drained = chunk and ""
    repeat
      local output = through(chunk)
      local ok, target_err = target(output, err)
      if not ok then return nil, target_err end
      chunk = drained
    until output == drained
    return 1
  end
end

--- Moves one chunk.
---@param from ltn12.Source
---@param to ltn12.Sink
---@return 1? # nil at the end of the data
---@return any # what went wrong, if anything did
function pump.step(from, to)
  local chunk, source_err = from()
  local ok, sink_err = to(chunk, source_err)
  if chunk and ok then return 1 end
  return nil, source_err or sink_err
end

--- Moves everything.
---@param from ltn12.Source
---@param to ltn12.Sink
---@param step? fun(from: ltn12.Source, to: ltn12.Sink): any, any
---@return 1?
---@return any # what went wrong
function pump.all(from, to, step)
  assert(from and to, "a source and a sink are needed")
  step = step or pump.step
  local ok, err
  repeat
    ok, err = step(from, to)
  until not ok
  if err then return nil, err end
  return 1
end

return M
