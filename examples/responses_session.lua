-- Holds a conversation over the Responses API: the server keeps the history, the session where it stands.

local openai = require("openai")
local client = openai.new(os.getenv("OPENAI_API_KEY"))

local session = client:new_responses_chat_session({
  instructions = "You answer in one or two short sentences.",
})

for _, question in ipairs({
  "What is the capital of France?",
  "Which river flows through it?",
}) do
  print("> " .. question)
  local response, failure = session:send(question)
  if not response then
    error(failure)
  end
  print(response)
  print()
end

print(("%d responses, the last is %s"):format(#session.response_history, session.current_response_id))

-- The server keeps responses until they are deleted.
for _, response in ipairs(session.response_history) do
  local status = client:delete_response(response.id)
  if status ~= 200 then
    error("status " .. status)
  end
end
