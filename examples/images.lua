-- Has a picture made, and writes it to a file: images.lua [FILE.png]

local mime = require("mime")
local openai = require("openai")
local client = openai.new(os.getenv("OPENAI_API_KEY"))

local path = ... or "fox.png"

local status, response = client:image_generation({
  model = "gpt-image-1",
  prompt = "A fox that reads a book under a tree, as a woodcut",
  size = "1024x1024",
})
if status ~= 200 then
  local message = type(response) == "table" and response.error and response.error.message or response
  error("status " .. status .. ": " .. tostring(message))
end

local picture = mime.unb64(response.data[1].b64_json)
local file = assert(io.open(path, "wb"))
file:write(picture)
file:close()
print(("%s: %d bytes"):format(path, #picture))
