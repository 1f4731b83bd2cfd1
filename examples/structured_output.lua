-- Asks for an answer that keeps to a JSON schema, and checks it before using it.

local cjson = require("cjson")
local openai = require("openai")
local types = require("tableshape").types
local client = openai.new(os.getenv("OPENAI_API_KEY"))

local chat = client:new_chat_session({
  temperature = 0,
  response_format = {
    type = "json_schema",
    json_schema = {
      name = "city",
      strict = true,
      schema = {
        type = "object",
        properties = {
          name = { type = "string", maxLength = 40 },
          country = { type = "string", maxLength = 40 },
          is_capital = { type = "boolean" },
        },
        required = { "name", "country", "is_capital" },
        additionalProperties = false,
      },
    },
  },
})

local reply, failure = chat:send("Tell me about Paris: its name, its country, and whether it is the capital.")
if not reply then
  error(failure)
end

local city = cjson.decode(reply)
assert(types.shape({ name = types.string, country = types.string, is_capital = types.boolean })(city))
print(("%s lies in %s and %s its capital."):format(city.name, city.country, city.is_capital and "is" or "is not"))
