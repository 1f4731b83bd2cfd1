-- Lets the model call a Lua function as a tool, several times at once if it likes, all in streams.

local cjson = require("cjson")
local openai = require("openai")
local types = require("tableshape").types
local client = openai.new(os.getenv("OPENAI_API_KEY"))

local temperatures = { Oslo = 4, Rome = 19, Cairo = 31 }

local temperature = openai.tool({
  name = "temperature",
  description = "Tells the temperature in a city",
  parameters = types.shape({ city = types.one_of({ "Oslo", "Rome", "Cairo" }) }),
  call = function(arguments)
    return { celsius = temperatures[arguments.city] }
  end,
})

local chat = client:new_chat_session({ temperature = 0, tools = { temperature } })
assert(chat:run("How warm is it in Rome?", {
  max_tokens = 80,
  stream_callback = function(chunk)
    io.write(chunk.content)
    io.flush()
  end,
  on_result = function(call)
    print(call.name .. cjson.encode(call.arguments) .. " = " .. cjson.encode(call.result or call.error))
  end,
}))
print()
