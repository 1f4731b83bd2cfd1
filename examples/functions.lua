-- Lets the model call a Lua function, and checks the arguments that it makes up before using them.

local cjson = require("cjson")
local openai = require("openai")
local types = require("tableshape").types
local client = openai.new(os.getenv("OPENAI_API_KEY"))

local chat = client:new_chat_session({
  messages = {
    { role = "system", content = "Compute only with the functions that you have." },
  },
  temperature = 0,
  functions = {
    {
      name = "add",
      description = "Adds two numbers",
      parameters = {
        type = "object",
        properties = { a = { type = "number" }, b = { type = "number" } },
        required = { "a", "b" },
      },
    },
  },
})

local check_arguments = types.shape({ a = types.number, b = types.number })

local function add(arguments_json)
  local decoded, arguments = pcall(cjson.decode, arguments_json)
  if not decoded then
    return cjson.encode({ error = "the arguments are not JSON" })
  end
  local fits, fault = check_arguments(arguments)
  if not fits then
    return cjson.encode({ error = fault })
  end
  return cjson.encode({ sum = arguments.a + arguments.b })
end

print("arguments that fit:   " .. add('{"a": 1, "b": 2}'))
print("arguments that don't: " .. add('{"a": 1, "b": "two"}'))

local reply, failure = chat:send("What is 2398 plus 4711?")
for _ = 1, 3 do
  local call = type(reply) == "table" and reply.function_call
  if not call then
    break
  end
  print("the model calls:      " .. call.name .. call.arguments)
  reply, failure = chat:send({ role = "function", name = call.name, content = add(call.arguments) })
end

if not reply then
  error(failure)
end
print("the model says:       " .. (type(reply) == "table" and tostring(reply.content) or reply))
