-- What `benchmarks.concurrency` measures, one case a process: luaopenai run concurrency.lua CASE BASE_URL

local openai = require("openai")
local socket = require("socket")

local case, base_url = ...
local client = openai.new("key", { base_url = base_url })
local question = { { role = "user", content = "Hi" } }

local function chat()
  assert(client:chat(question, { model = "slow" }) == 200)
end

-- The most memory that this process has held, in bytes.
local function peak()
  for line in io.lines("/proc/self/status") do
    local kilobytes = line:match("^VmHWM:%s*(%d+)")
    if kilobytes then
      return kilobytes * 1024
    end
  end
end

local function copies(f, times)
  local list = {}
  for index = 1, times do
    list[index] = f
  end
  return list
end

local function timed(f, ...)
  local start = socket.gettime()
  f(...)
  return socket.gettime() - start
end

local cases = {}

-- Chats a second.
function cases.rate(count, limit)
  local function brisk()
    assert(client:chat(question, { model = "brisk" }) == 200)
  end
  openai.gather(copies(brisk, limit), { limit = limit })
  return count / timed(openai.gather, copies(brisk, count), { limit = limit })
end

function cases.chats(count, limit)
  openai.gather({ chat })
  local before = peak()
  local seconds = timed(openai.gather, copies(chat, count), { limit = limit })
  return seconds, (peak() - before) / math.min(count, limit)
end

function cases.streams(count)
  local late = {}
  local function stream()
    client:create_chat_completion(question, { stream = true }, function(event)
      late[#late + 1] = socket.gettime() - event.sent
    end)
  end
  openai.gather({ chat })
  local seconds = timed(openai.gather, copies(stream, count), { limit = count })
  table.sort(late)
  return seconds, late[math.ceil(#late / 2)], late[math.ceil(#late * 0.99)], #late
end

-- Seconds of a call outside of tasks, in many rounds.
function cases.single(rounds, calls)
  local found = {}
  for round = 0, rounds do
    local seconds = timed(function()
      for _ = 1, calls do
        client:chat(question, { model = "quick" })
      end
    end)
    if round > 0 then
      found[round] = seconds / calls
    end
  end
  return unpack(found)
end

print(cases[case](tonumber((select(3, ...))), tonumber((select(4, ...)))))
