-- Runs a script's function over rows, many at once, in a worker of `luaopenai map`.
--
-- Rows come in batches of lines, `NUMBER TAB JSON`, and outcomes go back as lines, `NUMBER TAB STATUS TAB TEXT`. A
-- feeder task fetches batches; as many tasks as rows may be under way each take one row after the other. There is no
-- barrier between batches.

local _, bridge = ...
local json = bridge.bundled("openai.json")
local scheduler = bridge.bundled("openai.scheduler")
local wait = bridge.bundled("openai.wait")

local clock, concat, find, remove = os.clock, table.concat, string.find, table.remove
local getmetatable, pcall, select, tonumber, tostring, type = getmetatable, pcall, select, tonumber, tostring, type

local MOST_LINES = 512
-- Seconds of this process's own work after which outcomes go out, and of waiting.
local LONGEST_WORK = 0.05
local LONGEST_WAIT = 0.02

local next_rows = wait.waiting(bridge.next_rows)

local map = {}

-- The script's function.
local row_function

-- Batches that have come: each has `text`, `at`, where its next row begins, and whether its rows are `suspect`.
local batches = { first = 1, last = 0 }
local is_over, workers, under_way, concurrency = false, 0, 0, 1
-- Tasks that wait for rows.
local idle = {}

local lines, count, size, given_at = {}, 0, 0, 0
local is_flushing = false

local function flush()
  if count > 0 then
    bridge.give(concat(lines, "", 1, count))
    count, size = 0, 0
  end
  given_at = clock()
end

-- Gives out, soon, what tasks have ended with while all of them wait.
local function flush_soon()
  if not is_flushing and count > 0 then
    is_flushing = true
    scheduler.start(scheduler.new(function()
      wait.sleep(LONGEST_WAIT)
      is_flushing = false
      flush()
    end))
  end
end

local function note(number, status, text)
  count = count + 1
  lines[count] = number .. "\t" .. status .. "\t" .. text .. "\n"
  size = size + #text
  if count >= MOST_LINES or size >= 1048576 or clock() - given_at >= LONGEST_WORK then
    flush()
  end
end

-- An error's value as a text: bodies that servers have sent are tables.
local function make_text(value)
  if type(value) == "table" and not (getmetatable(value) or {}).__tostring then
    return json.encode(value, "error")
  end
  return tostring(value)
end

local function describe(value)
  local ok, text = pcall(make_text, value)
  return ok and text or "an error that is no text"
end

local function note_failure(number, message, body)
  local text = describe(message)
  if body ~= nil then
    local more = describe(body)
    if not find(text, more, 1, true) then
      text = text .. ": " .. more
    end
  end
  note(number, "f", bridge.one_line(text))
end

-- Notes that a request of a row was refused because the run ends.
local open = wait.open
local function note_refusal(ok, ...)
  local owner = not ok and scheduler.owner()
  if owner and bridge.is_over() then
    owner.was_refused = true
  end
  return ok, ...
end

function wait.open(...)
  return note_refusal(open(...))
end

-- The outcome of a row's function. `nil, message` is how sessions tell of a failure: that leaves no row out.
local function note_end(owner, ok, ...)
  local number, result, message, body = owner.number, ...
  if owner.was_refused then
    -- A script may make a result of the refusal. What fails at the end is dropped.
    note(number, "f", "the run is over")
  elseif not ok then
    note_failure(number, bridge.failure(result, row_function).value)
  elseif result ~= nil then
    local is_encoded, text = pcall(json.encode, result, "result")
    if is_encoded then
      note(number, "d", text)
    else
      note_failure(number, text)
    end
  elseif select("#", ...) > 1 and message ~= nil then
    note_failure(number, message, body)
  else
    note(number, "l", "")
  end
end

local function run_row(number, text)
  local ok, row = pcall(json.decode, text)
  if not ok then
    return note_failure(number, "the row is no JSON: " .. tostring(row))
  end
  local owner = { number = number }
  scheduler.own(owner)
  note_end(owner, bridge.protect(row_function, row, tonumber(number) + 1))
end

-- The next row: its number, its text, and whether it is a suspect; nothing where none is at hand.
local function take()
  local batch = batches[batches.first]
  while batch do
    local _, finish, number, text = find(batch.text, "^(%d+)\t([^\n]*)\n", batch.at)
    if number then
      batch.at = finish + 1
      return number, text, batch.suspect
    end
    batches[batches.first] = nil
    batches.first = batches.first + 1
    batch = batches[batches.first]
  end
end

local function has_rows()
  return is_over or batches[batches.first] ~= nil
end

-- One of the tasks that take rows.
local function work()
  while true do
    local number, text, suspect = take()
    if number then
      if suspect then
        bridge.announce(tonumber(number))
      end
      under_way = under_way + 1
      run_row(number, text)
      under_way = under_way - 1
      if suspect then
        flush()
      end
    elseif is_over then
      workers = workers - 1
      return
    else
      if under_way == 0 then
        flush()
      else
        flush_soon()
      end
      scheduler.await(idle, has_rows)
    end
    if count > 0 and under_way > 0 then
      flush_soon()
    end
  end
end

-- Has tasks take rows: those that wait, and new ones as long as there may be more.
local function wake(rows)
  while rows > 0 and (idle[1] or workers < concurrency) do
    local waiter = remove(idle)
    if not waiter then
      waiter = scheduler.new(work)
      workers = workers + 1
    end
    scheduler.make_ready(waiter)
    rows = rows - 1
  end
end

local function feed()
  while not is_over do
    local ok, text = next_rows()
    if ok and text then
      local _, finish, kind, rows = find(text, "^(%a)(%d+)\n")
      batches.last = batches.last + 1
      batches[batches.last] = { text = text, at = finish + 1, suspect = kind == "s" }
      wake(tonumber(rows))
    else
      is_over, batches = true, { first = 1, last = 0 }
      wake(#idle)
    end
  end
end

---Runs a script, and its `setup`.
---@param chunk fun(...): any
---@param ... string the script's arguments
function map.load(chunk, ...)
  local found = chunk(...)
  row_function = found
  local setup
  if type(found) == "table" and found.map ~= nil then
    row_function, setup = found.map, found.setup
  end
  if type(row_function) ~= "function" and not (getmetatable(row_function) or {}).__call then
    local what = type(found) == "table" and "a table without a function `map`" or type(found)
    local expected = "a function of a row, or a table with such a function as `map`"
    error(("the script must return %s; it returned %s"):format(expected, what), 0)
  end
  if setup ~= nil then
    setup({ ... })
  end
end

---Runs rows until there are no more.
---@param most integer how many may be under way at once
function map.run(most)
  concurrency = most
  local feeder = scheduler.new(feed)
  scheduler.start(feeder)
  scheduler.await({}, function()
    return is_over and workers == 0
  end)
  flush()
end

return map
