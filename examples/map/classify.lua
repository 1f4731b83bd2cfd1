-- Sorts tickets, each by one chat: luaopenai map examples/map/classify.lua examples/map/tickets.jsonl -o labelled.jsonl

local cjson = require("cjson.safe")
local openai = require("openai")

local LABELS = { "delivery", "invoice", "other" }
local TASK = "You sort letters of customers. Answer with one word: delivery, invoice or other."

local client = openai.new(os.getenv("OPENAI_API_KEY"))

local answer_format = {
  type = "json_schema",
  json_schema = {
    name = "ticket",
    strict = true,
    schema = {
      type = "object",
      properties = { label = { type = "string", enum = LABELS } },
      required = { "label" },
      additionalProperties = false,
    },
  },
}

return function(ticket)
  local chat = client:new_chat_session({
    messages = { { role = "system", content = TASK } },
    response_format = answer_format,
    temperature = 0,
    max_tokens = 32,
  })
  local reply, problem, body = chat:send(ticket.text)
  if not reply then
    -- The row has failed: it is tried again, and told of in labelled.jsonl.failed.jsonl.
    return nil, problem, body
  end
  local answer = cjson.decode(reply)
  if not answer then
    return nil, "no label: " .. reply
  end
  return { id = ticket.id, label = answer.label, text = ticket.text }
end
