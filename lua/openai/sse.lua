-- Server-sent events: cuts a streamed body into the JSON objects that it carries, as client/sse.py does.
-- tests/vectors/sse.json holds both to the same: what is no plain JSON, Python reads.

local _, bridge = ...
local json = bridge.bundled("openai.json")
local longest_event = bridge.constants().longest_event

local byte, concat, find, gsub, sub = string.byte, table.concat, string.find, string.gsub, string.sub

local TAB, NEWLINE, RETURN, SPACE, OPEN, CLOSE = 9, 10, 13, 32, 123, 125
local BYTE_ORDER_MARK = "\239\187\191"
local FIELDS = { [""] = true, data = true, event = true, id = true, retry = true }

---@alias openai.EventCallback fun(event: table): any false for no more events

local function is_callable(value)
  local meta = type(value) == "table" and getmetatable(value)
  return type(value) == "function" or (meta and meta.__call ~= nil) or false
end

-- Returns the position of the first character that is no white space.
local function first_of(text)
  local at = 1
  local char = byte(text, at)
  while char == SPACE or (char and char >= TAB and char <= RETURN) do
    at = at + 1
    char = byte(text, at)
  end
  return at
end

-- Returns the position of the last character that is no white space.
local function last_of(text)
  local at = #text
  local char = byte(text, at)
  while char == SPACE or (char and char >= TAB and char <= RETURN) do
    at = at - 1
    char = byte(text, at)
  end
  return at
end

local function is_field(line)
  return FIELDS[sub(line, 1, (find(line, ":", 1, true) or 0) - 1)] == true
end

-- Returns two functions: one reads the data of an event and returns whether it is an object; the other returns the
-- events that are ready by then, nil for none, and takes whether the stream is at its end.
local function event_reader()
  local ready, read_odd, is_holding = {}, nil, false

  local function take(texts)
    for _, text in ipairs(texts or {}) do
      ready[#ready + 1] = json.decode(text)
    end
  end

  local function read(data)
    if not is_holding and json.is_plain(data) then
      local event = json.decode_strict(data)
      if type(event) == "table" and getmetatable(event) ~= json.array_mt then
        ready[#ready + 1] = event
        return true
      end
    end
    read_odd = read_odd or bridge.wrap(bridge.odd_event_reader())
    local is_event, texts
    is_event, is_holding, texts = read_odd(data)
    take(texts)
    return is_event
  end

  local function take_ready(is_end)
    if is_end and is_holding then
      take((select(3, read_odd(nil))))
      is_holding = false
    end
    if ready[1] == nil then
      return nil
    end
    local events = ready
    ready = {}
    return events
  end

  return read, take_ready
end

-- Cuts a body into the data of its events. Returns two functions: one takes the next piece, the other the end.
---@param read fun(data: string): boolean
---@param limit integer how many bytes of an event are held before it has ended
local function cutter(read, limit)
  local partial, partial_count = {}, 0 -- The pieces of a line that has not ended.
  local lines, line_count = {}, 0 -- The data of an event that has not ended.
  local held, ends_in_return, is_first = 0, false, true

  local function add(text)
    line_count = line_count + 1
    lines[line_count] = text
  end

  local function dispatch()
    if line_count > 0 then
      local data = line_count == 1 and lines[1] or concat(lines, "\n")
      lines, line_count, held = {}, 0, 0
      read(data)
    end
  end

  local function take_data(data)
    local last = last_of(data)
    if byte(data, last) == CLOSE and byte(data, 1) == OPEN then
      local before = lines[line_count]
      if before and byte(before, last_of(before)) == CLOSE then
        dispatch() -- No JSON goes on with an object there, so it was whole.
      end
      if not read(data) then
        add(data)
      elseif line_count > 0 then
        lines, line_count = {}, 0
      end
    elseif sub(data, 1, last) == "[DONE]" then
      dispatch()
    else
      add(data)
    end
  end

  local function take_line(line)
    local first = first_of(line)
    if is_first then
      is_first = false
      if sub(line, first, first + 2) == BYTE_ORDER_MARK then
        first = first + 3
      end
    end
    if first > #line then
      dispatch()
    elseif sub(line, first, first + 4) == "data:" then
      take_data(sub(line, byte(line, first + 5) == SPACE and first + 6 or first + 5))
    elseif line_count > 0 and byte(lines[1], 1) == OPEN and not is_field(sub(line, first)) then
      add(line) -- A line break that the server has not escaped.
    end
  end

  local function take_partial(text)
    partial_count = partial_count + 1
    partial[partial_count] = text
  end

  -- Returns the line that has begun in earlier pieces and ends with this text.
  local function ended(text)
    if partial_count == 0 then
      return text
    end
    take_partial(text)
    local line = concat(partial)
    partial, partial_count = {}, 0
    return line
  end

  local function feed(piece)
    local after_return = ends_in_return
    ends_in_return = byte(piece, #piece) == RETURN
    if after_return and byte(piece, 1) == NEWLINE then
      piece = sub(piece, 2)
    end
    if find(piece, "\r", 1, true) then
      piece = gsub(gsub(piece, "\r\n", "\n"), "\r", "\n")
    end
    held = held + #piece
    local pos, stop = 1, find(piece, "\n", 1, true)
    if stop then
      take_line(ended(sub(piece, 1, stop - 1)))
      pos, stop = stop + 1, find(piece, "\n", stop + 1, true)
      while stop do
        take_line(sub(piece, pos, stop - 1))
        pos, stop = stop + 1, find(piece, "\n", stop + 1, true)
      end
      if line_count == 0 then
        held = #piece - pos + 1
      end
    end
    if pos <= #piece then
      take_partial(sub(piece, pos))
    end
    if held > limit then
      partial, partial_count, lines, line_count, held = {}, 0, {}, 0, 0
      error(("an event of the stream is larger than %d bytes"):format(limit), 0)
    end
  end

  local function close()
    local line = ended("")
    if line ~= "" then
      take_line(line)
    end
    dispatch()
  end

  return feed, close
end

-- Holds the filters whose callback returned false.
local stopped = setmetatable({}, { __mode = "k" })

---@class openai.sse
local sse = {}

---Returns an ltn12 filter that calls `callback` with each event's decoded object as it comes by.
---@param callback openai.EventCallback
---@return fun(...): ... # takes body pieces of any size, and nil at the end; returns what it is given
function sse.create_stream_filter(callback)
  if not is_callable(callback) then
    error("Must provide chunk_callback function when streaming response", 0)
  end
  local read, take_ready = event_reader()
  local feed, close = cutter(read, longest_event)

  local function filter(...)
    local piece = ...
    if stopped[filter] or (piece ~= nil and type(piece) ~= "string") then
      return ...
    elseif piece then
      feed(piece)
    else
      close()
    end
    for _, event in ipairs(take_ready(piece == nil) or {}) do
      if callback(event) == false then
        stopped[filter] = true
        break
      end
    end
    return ...
  end
  return filter
end

---Returns whether a filter's callback has asked for no more events.
---@param filter function one of `create_stream_filter`, or any other
---@return boolean
function sse.is_stopped(filter)
  return stopped[filter] == true
end

return sse
