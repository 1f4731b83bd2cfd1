-- Lets the model call a Lua function as a tool, several times at once if it likes, all in streams.

local cjson = require("cjson")
local openai = require("openai")
local types = require("tableshape").types
local client = openai.new(os.getenv("OPENAI_API_KEY"))

local temperatures = { Oslo = 4, Rome = 19, Cairo = 31 }

local function answer(arguments)
  local celsius = temperatures[arguments.city]
  return celsius and { celsius = celsius } or { error = "no station there" }
end

local check_arguments = types.shape({ city = types.string }, { open = true })

-- What goes back to the model for one call; it may have made up arguments that fit nothing.
local function run(call)
  local decoded, arguments = pcall(cjson.decode, call["function"].arguments)
  local fits = decoded and check_arguments(arguments)
  return cjson.encode(fits and answer(arguments) or { error = "expected a city's name" })
end

local chat = client:new_chat_session({
  temperature = 0,
  tools = {
    {
      type = "function",
      ["function"] = {
        name = "temperature",
        description = "Tells the temperature in a city",
        parameters = {
          type = "object",
          properties = { city = { type = "string", enum = { "Oslo", "Rome", "Cairo" } } },
          required = { "city" },
        },
      },
    },
  },
})

local function show(chunk)
  io.write(chunk.content)
  io.flush()
end

local reply, failure = chat:send("How warm is it in Rome?", { max_tokens = 80, stream_callback = show })
for _ = 1, 3 do
  if type(reply) ~= "table" then
    break
  end
  for _, call in ipairs(reply.tool_calls) do
    local result = run(call)
    print(call["function"].name .. call["function"].arguments .. " = " .. result)
    chat:append_message({ role = "tool", tool_call_id = call.id, content = result })
  end
  reply, failure = chat:generate_response(true, { max_tokens = 80, stream_callback = show })
end
print()
if not reply then
  error(failure)
end
