-- Shows the model a picture, from a file or from here, and asks what it sees: vision.lua [PICTURE.png]

local mime = require("mime")
local openai = require("openai")
local client = openai.new(os.getenv("OPENAI_API_KEY"))

-- A red dot, 5 by 5 pixels.
local picture = "iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4"
  .. "//8/w38GIAXDIBKE0DHxgljNBAAO9TXL0Y4OHwAAAABJRU5ErkJggg=="

local path = ...
if path then
  local file = assert(io.open(path, "rb"))
  picture = mime.b64(file:read("*a"))
  file:close()
end

local chat = client:new_chat_session()
local reply, failure = chat:send({
  role = "user",
  content = {
    { type = "text", text = "What is in this picture?" },
    { type = "image_url", image_url = { url = "data:image/png;base64," .. picture } },
  },
})
if not reply then
  error(failure)
end
print(reply)
