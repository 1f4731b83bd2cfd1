-- Reads a raw stream: the callback is given each chunk of text and the event that it came in.

local openai = require("openai")
local client = openai.new(os.getenv("OPENAI_API_KEY"))

local events = 0
local status, body = client:chat({
  { role = "user", content = "Count from one to five, in words." },
}, {
  stream = true,
  temperature = 0,
  max_tokens = 60,
}, function(chunk)
  events = events + 1
  io.write(chunk.content)
  io.flush()
end)

print()
if status ~= 200 then
  local message = type(body) == "table" and body.error and body.error.message or body
  error("status " .. status .. ": " .. tostring(message))
end
print(("%d chunks, %d bytes of server-sent events"):format(events, #body))
