-- Asks one question over the Responses API, and prints the answer and what it cost.

local openai = require("openai")
local client = openai.new(os.getenv("OPENAI_API_KEY"))

local session = client:new_responses_chat_session({
  instructions = "You answer in one short sentence.",
})

local response, failure = session:send("What is the capital of France?", { max_output_tokens = 60 })
if not response then
  error(failure)
end
print(response:get_output_text())
print(("%d tokens"):format(response.usage.total_tokens))
