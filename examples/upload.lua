-- Uploads a file, reads it back, and deletes it.

local openai = require("openai")
local client = openai.new(os.getenv("OPENAI_API_KEY"))

local function check(status, body)
  if status ~= 200 then
    local message = type(body) == "table" and body.error and body.error.message or body
    error("status " .. status .. ": " .. tostring(message))
  end
  return body
end

local content = '{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello"}]}\n'
local file = check(client:upload_file({
  file = { filename = "talk.jsonl", content = content },
  purpose = "fine-tune",
}))
print(("%s: %d bytes"):format(file.id, file.bytes))

local stored = check(client:file_content(file.id))
print(stored == content and "came back as it went" or "came back changed")

check(client:delete_file(file.id))
print("deleted")
