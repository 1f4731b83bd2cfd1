--- Makes the calls that standard input asks for: the same script under our interpreter and under luajit.
-- A line holds a task, a base URL and how often; the answer is the seconds that one call takes, and what it counted.

local openai = require("openai")
local gettime = require("socket").gettime

local QUESTION = { { role = "user", content = "Say hello." } }

local inputs, history = {}, {}
for number = 1, 64 do
  inputs[number] = "text number " .. number
end
for number = 1, 500 do
  local role = number % 2 == 1 and "user" or "assistant"
  history[number] = { role = role, content = number .. ": a message of a long talk, about as long as people write." }
end

local tasks = {}

function tasks.chat(client)
  local _, body = client:chat(QUESTION)
  return #body.choices[1].message.content
end

function tasks.history(client)
  local _, body = client:chat(history)
  return #body.choices[1].message.content
end

function tasks.raw_stream(client)
  local events = 0
  client:create_chat_completion(QUESTION, { stream = true }, function()
    events = events + 1
  end)
  return events
end

function tasks.session_stream(client)
  local chunks = 0
  local reply = client:new_chat_session():send("Say hello.", function(chunk)
    if (chunk.content or "") ~= "" then
      chunks = chunks + 1
    end
  end)
  return #reply + chunks
end

-- Seconds from an event's sending to its callback.
function tasks.latency(client)
  local delays = {}
  client:new_chat_session():send("Say hello.", function(chunk)
    if (chunk.content or "") ~= "" then
      delays[#delays + 1] = gettime() - tonumber(chunk.content)
    end
  end)
  table.sort(delays)
  return #delays, delays[math.ceil(#delays / 2)]
end

function tasks.embedding(client)
  local _, body = client:embedding(inputs, { model = "text-embedding-3-small", encoding_format = "float" })
  return #body.data * #body.data[1].embedding
end

local clients = {}

local function client_for(base_url)
  if not clients[base_url] then
    clients[base_url] = openai.new("key")
    clients[base_url].api_base = base_url
  end
  return clients[base_url]
end

for line in io.lines() do
  local name, base_url, calls = line:match("^(%S+) (%S+) (%d+)$")
  local client = client_for(base_url)
  local count, seconds
  local start = gettime()
  for _ = 1, tonumber(calls) do
    count, seconds = tasks[name](client)
  end
  print(("%.9f %d"):format(seconds or (gettime() - start) / calls, count))
  io.flush()
end
