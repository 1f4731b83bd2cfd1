-- Asks one question with a list of messages, and prints the answer and what it cost.

local openai = require("openai")
local client = openai.new(os.getenv("OPENAI_API_KEY"))

local status, response = client:chat({
  { role = "system", content = "You answer in one short sentence." },
  { role = "user", content = "What is the capital of France?" },
}, {
  temperature = 0,
})

if status ~= 200 then
  local message = type(response) == "table" and response.error and response.error.message or response
  error("status " .. status .. ": " .. tostring(message))
end

print(response.choices[1].message.content)
print(("%d tokens"):format(response.usage.total_tokens))
