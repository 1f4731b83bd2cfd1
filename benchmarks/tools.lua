-- What `benchmarks.tools` measures: luaopenai run tools.lua BASE_URL; prints a line for each figure.

local cjson = require("cjson")
local openai = require("openai")
local socket = require("socket")
local types = require("tableshape").types

local SAMPLES, RUNS = 31, 10

local base_url = ...
local check_arguments = types.shape({ city = types.string, unit = types.one_of({ "C", "F" }):is_optional() })

local function answer(arguments)
  return { city = arguments.city, celsius = 4 }
end

local function client_for(path)
  return openai.new("key", { base_url = base_url .. path })
end

local weather = openai.tool({
  name = "weather",
  description = "Tells the weather in a city",
  parameters = check_arguments,
  call = answer,
})
-- The same, as a script declares it that has no `openai.tool`.
local declared = cjson.decode(cjson.encode(weather))

local client = client_for("/rounds-10-1")

local function by_run()
  local chat = client:new_chat_session({ tools = { weather } })
  return (assert(chat:run("How warm is it in Oslo?")))
end

local function run_call(call)
  local ok, arguments = pcall(cjson.decode, call["function"].arguments)
  if not ok then
    return cjson.encode({ error = "the arguments are not JSON" })
  end
  local fits, fault = check_arguments(arguments)
  if not fits then
    return cjson.encode({ error = fault })
  end
  local called, result = pcall(answer, arguments)
  return cjson.encode(called and result or { error = tostring(result) })
end

local function by_hand()
  local chat = client:new_chat_session({ tools = { declared } })
  local reply = assert(chat:send("How warm is it in Oslo?"))
  while type(reply) == "table" do
    for _, call in ipairs(reply.tool_calls) do
      chat:append_message({ role = "tool", tool_call_id = call.id, content = run_call(call) })
    end
    reply = assert(chat:generate_response())
  end
  return reply
end

local function timed(f)
  local start = socket.gettime()
  for _ = 1, RUNS do
    f()
  end
  return (socket.gettime() - start) / RUNS
end

local function median(list)
  table.sort(list)
  return list[math.ceil(#list / 2)]
end

assert(by_run() == by_hand())
local run, hand, ratios = {}, {}, {}
for sample = 0, SAMPLES do
  local is_first = sample % 2 == 0
  local first, second = timed(is_first and by_run or by_hand), timed(is_first and by_hand or by_run)
  -- The first is made to warm up.
  if sample > 0 then
    run[sample], hand[sample] = is_first and first or second, is_first and second or first
    ratios[sample] = run[sample] / hand[sample]
  end
end
print(median(run), median(hand), median(ratios))

local slow = openai.tool({
  name = "weather",
  parameters = check_arguments,
  call = function(arguments)
    openai.sleep(0.25)
    return answer(arguments)
  end,
})
local start = socket.gettime()
assert(client_for("/rounds-1-8"):new_chat_session({ tools = { slow } }):run("How warm is it?"))
print(socket.gettime() - start)
