-- Asks two companies' models the same question through OpenRouter; the key is in OPENROUTER_API_KEY.

local openrouter = require("openai.compat.openrouter")
local client = openrouter.new(os.getenv("OPENROUTER_API_KEY"))

for _, model in ipairs({ client.default_model, "anthropic/claude-sonnet-4" }) do
  local chat = client:new_chat_session({ model = model })
  local reply, failure = chat:send("What is the capital of France? Answer in one word.")
  if not reply then
    error(failure)
  end
  print(model .. ": " .. reply)
end
