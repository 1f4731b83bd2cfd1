--- Times our cjson against lua-cjson, where it is installed, on the documents that an OpenAI client meets.

-- Not `require("cjson")`: that is the C one where it is installed.
local ours = require("cjson.instance").raising()

local ROUNDS = 15
local ROUND_SECONDS = 0.02

local function c_cjson()
  local library = package.searchpath("cjson", package.cpath)
  local open = library and package.loadlib(library, "luaopen_cjson")
  return open and open()
end

local function event()
  return [[{"id":"chatcmpl-AbCdEf0123456789","object":"chat.completion.chunk","created":1731000000,]]
    .. [["model":"gpt-4.1","choices":[{"index":0,"delta":{"content":" hello"},"finish_reason":null}]}]]
end

local function completion()
  local text = ("The answer, with \\\"quotes\\\" and\\nlines, goes on for a while. "):rep(9)
  return [[{"id":"chatcmpl-AbCdEf0123456789","object":"chat.completion","created":1731000000,"model":"gpt-4.1",]]
    .. [["choices":[{"index":0,"message":{"role":"assistant","content":"]] .. text .. [[","tool_calls":[]},]]
    .. [["logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":19,"completion_tokens":104,]]
    .. [["total_tokens":123,"prompt_tokens_details":{"cached_tokens":0}},"service_tier":"default"}]]
end

local function list(count, item, separator)
  local items = {}
  for index = 1, count do
    items[index] = item(index)
  end
  return table.concat(items, separator)
end

local function document()
  local item = [[{"id": "item-%06d", "score": %.6g, "tags": ["alpha", "beta"], "ok": %s, "text": "%s", ]]
    .. [["nested": {"a": %d, "b": [1, 2, 3], "c": null}}]]
  return '{"object": "list",\n  "data": [\n    '
    .. list(2500, function(index)
      local text = ("lorem ipsum dolor sit amet\\n consectetur "):rep(math.random(1, 32))
      return item:format(index, math.random(), index % 3 == 0, text, index)
    end, ",\n    ")
    .. "\n  ]\n}"
end

--- As OpenAI prints them: nine digits at most; llama.cpp prints seventeen.
local function embeddings(digits)
  local number = ("%%.%dg"):format(digits)
  local rows = list(64, function(index)
    local vector = list(1536, function()
      return number:format((math.random() - 0.5) / 10)
    end, ",")
    return ('{"object":"embedding","index":%d,"embedding":[%s]}'):format(index - 1, vector)
  end, ",")
  return '{"object":"list","data":[' .. rows .. '],"model":"text-embedding-3-small"}'
end

local function seconds(convert, input, times)
  local start = os.clock()
  for _ = 1, times do
    convert(input)
  end
  return os.clock() - start
end

---@return number microseconds a call: the median of ROUNDS
local function median(convert, input)
  local times = 1
  while seconds(convert, input, times) < ROUND_SECONDS do
    times = times * 2
  end
  local samples = {}
  for round = 1, ROUNDS do
    samples[round] = seconds(convert, input, times) / times * 1e6
  end
  table.sort(samples)
  return samples[math.ceil(ROUNDS / 2)]
end

local function compare(name, input, our_function, c_function)
  local our_time = median(our_function, input)
  local line = ("%-34s ours %10.2f us"):format(name, our_time)
  if c_function then
    local c_time = median(c_function, input)
    line = line .. ("   lua-cjson %10.2f us   ratio %.2f"):format(c_time, our_time / c_time)
  end
  print(line)
end

math.randomseed(1)
local documents = {
  { "streaming event", event() },
  { "chat completion", completion() },
  { "document", document() },
  { "64 x 1536 embeddings", embeddings(9) },
  { "64 x 1536 embeddings, 17 digits", embeddings(17) },
}

local theirs = c_cjson()
if not theirs then
  print("lua-cjson (the C library) is not installed: nothing to compare with")
end
for _, entry in ipairs(documents) do
  local name, text = entry[1], entry[2]
  print(("\n%s, %d bytes"):format(name, #text))
  compare("  decode", text, ours.decode, theirs and theirs.decode)
  compare("  encode", ours.decode(text), ours.encode, theirs and theirs.encode)
end
