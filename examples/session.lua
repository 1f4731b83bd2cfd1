-- Holds a short conversation: the session keeps the history, and the last answers are streamed.

local openai = require("openai")
local client = openai.new(os.getenv("OPENAI_API_KEY"))

local chat = client:new_chat_session({
  messages = {
    { role = "system", content = "You answer in one or two short sentences." },
  },
  temperature = 0,
})

local function show(chunk)
  io.write(chunk.content)
  io.flush()
end

for _, question in ipairs({
  "What is the capital of France?",
  "Which river flows through it?",
  "Name one famous building there.",
}) do
  print("> " .. question)
  local reply, failure = chat:send(question, show)
  if not reply then
    error(failure)
  end
  print("\n")
end

print(("The session holds %d messages."):format(#chat.messages))
