-- Streams an answer over the Responses API, text first and then what the whole response says of itself.

local openai = require("openai")
local client = openai.new(os.getenv("OPENAI_API_KEY"))

local session = client:new_responses_chat_session()

local pieces = 0
local text, failure = session:send("Count from one to five, in words.", {
  max_output_tokens = 60,
  stream_callback = function(chunk)
    pieces = pieces + 1
    io.write(chunk.content)
    io.flush()
  end,
})
print()
if not text then
  error(failure)
end

local response = session.response_history[1]
print(("%d pieces, %d characters, status %s"):format(pieces, #text, response.status))
