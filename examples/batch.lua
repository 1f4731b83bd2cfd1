-- Has several questions answered as a batch, for less money, and prints the answers when they are there.

local cjson = require("cjson")
local openai = require("openai")
local client = openai.new(os.getenv("OPENAI_API_KEY"))

local function check(status, body)
  if status ~= 200 then
    local message = type(body) == "table" and body.error and body.error.message or body
    error("status " .. status .. ": " .. tostring(message))
  end
  return body
end

local questions = { "What is the capital of France?", "What is the capital of Italy?" }
local lines = {}
for number, question in ipairs(questions) do
  lines[number] = cjson.encode({
    custom_id = "question-" .. number,
    method = "POST",
    url = "/v1/chat/completions",
    body = { model = client.default_model, messages = { { role = "user", content = question } } },
  })
end

local file = check(client:create_file({
  file = { filename = "questions.jsonl", content = table.concat(lines, "\n") .. "\n" },
  purpose = "batch",
}))
local batch = check(client:create_batch({ input_file_id = file.id, endpoint = "/v1/chat/completions" }))

batch = client:wait_for("retrieve_batch", batch.id, {
  timeout = 24 * 3600,
  on_poll = function(found)
    print(found.id .. ": " .. found.status)
  end,
})
if batch.status ~= "completed" then
  error("the batch has ended as " .. batch.status)
end

for line in check(client:retrieve_file_content(batch.output_file_id)):gmatch("[^\n]+") do
  local answer = cjson.decode(line)
  print(answer.custom_id .. ": " .. answer.response.body.choices[1].message.content)
end

for found in client:each("list_batches", { limit = 20 }) do
  print("there is " .. found.id)
end
