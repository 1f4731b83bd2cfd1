-- Asks the model for a sentence about a note.

local client = require("openai").new()

local function on_note(note)
  local chat = client:new_chat_session({
    messages = { { role = "system", content = "Summarise the user's note in one short sentence." } },
    temperature = 0,
  })
  return { summary = assert(chat:send(note.text, { max_tokens = 40 })) }
end

return { on_note = on_note }
