-- Lets the model call a Lua function over the Responses API; the items go back with every request.

local cjson = require("cjson")
local openai = require("openai")
local client = openai.new(os.getenv("OPENAI_API_KEY"))

local temperatures = { Oslo = 4, Rome = 19, Cairo = 31 }

local tools = {
  {
    type = "function",
    name = "temperature",
    description = "Tells the temperature in a city",
    parameters = {
      type = "object",
      properties = { city = { type = "string", enum = { "Oslo", "Rome", "Cairo" } } },
      required = { "city" },
    },
  },
}

local function ask(input)
  local session = client:new_responses_chat_session({ tools = tools })
  local response, failure = session:send(input, { temperature = 0, max_output_tokens = 80 })
  if not response then
    error(failure)
  end
  return response
end

local function run(arguments_json)
  local decoded, arguments = pcall(cjson.decode, arguments_json)
  local celsius = decoded and temperatures[arguments.city]
  return cjson.encode(celsius and { celsius = celsius } or { error = "no station there" })
end

-- Adds each call among the items and what came of it; returns whether there was one.
local function run_calls(items, input)
  local before = #input
  for _, item in ipairs(items) do
    if item.type == "function_call" then
      local output = run(item.arguments)
      print(item.name .. item.arguments .. " = " .. output)
      table.insert(input, item)
      table.insert(input, { type = "function_call_output", call_id = item.call_id, output = output })
    end
  end
  return #input > before
end

local input = { { role = "user", content = "How warm is it in Rome?" } }
local response = ask(input)
for _ = 1, 3 do
  if not run_calls(response.output, input) then
    break
  end
  response = ask(input)
end
print(response)
