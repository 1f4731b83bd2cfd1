-- Asks for an answer of a type: what comes is a table that fits it, or nil and why there is none.

local openai = require("openai")
local types = require("tableshape").types
local client = openai.new(os.getenv("OPENAI_API_KEY"))

local city_type = types.shape({
  name = types.string:length(1, 40),
  country = types.string:length(1, 40) / string.upper,
  is_capital = types.boolean,
  continent = types.one_of({ "Africa", "America", "Asia", "Europe", "Oceania" }):is_optional(),
})

local chat = client:new_chat_session({ temperature = 0 })
local city = assert(chat:parse("Tell me about Paris: its country, and whether it is the capital.", city_type))
print(("%s lies in %s and %s its capital."):format(city.name, city.country, city.is_capital and "is" or "is not"))
