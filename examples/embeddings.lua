-- Finds which of some sentences is nearest in meaning to a question, by their embeddings.

local openai = require("openai")
local client = openai.new(os.getenv("OPENAI_API_KEY"))

local sentences = {
  "The cat sleeps on the warm windowsill.",
  "Interest rates rose by half a percent.",
  "Our train to Vienna leaves at nine.",
}
local question = "When do we travel by rail?"

local input = { question, unpack(sentences) }
local status, response = client:embedding(input, { model = "text-embedding-3-small" })
if status ~= 200 then
  local message = type(response) == "table" and response.error and response.error.message or response
  error("status " .. status .. ": " .. tostring(message))
end

local function cosine(a, b)
  local dot, aa, bb = 0, 0, 0
  for i = 1, #a do
    dot, aa, bb = dot + a[i] * b[i], aa + a[i] * a[i], bb + b[i] * b[i]
  end
  return dot / math.sqrt(aa * bb)
end

print(question)
local asked = response.data[1].embedding
for i, sentence in ipairs(sentences) do
  print(("%6.3f  %s"):format(cosine(asked, response.data[i + 1].embedding), sentence))
end
