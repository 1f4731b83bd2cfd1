-- Talks to Google's Gemini through its OpenAI-compatible API; the key is in GEMINI_API_KEY.

local gemini = require("openai.compat.gemini")
local client = gemini.new(os.getenv("GEMINI_API_KEY"))

local chat = client:new_chat_session()
local reply, failure = chat:send("What is the capital of France?", function(chunk)
  io.write(chunk.content)
  io.flush()
end)
print()
if not reply then
  error(failure)
end
