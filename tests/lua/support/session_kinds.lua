--- Both kinds of session as the specs of tools see them: how each is made, and where it keeps the answers of calls.

local openai = require("openai")
local tool_server = require("support.tool_server")

---@class SessionKind
---@field name string
---@field new fun(opts?: table): table a session that speaks to the server
---@field answers fun(request: table): string[] what a request says of the calls before it, in order

local function texts_of(list, is_answer, field)
  local texts = {}
  for _, item in ipairs(list) do
    if type(item) == "table" and is_answer(item) then texts[#texts + 1] = item[field] end
  end
  return texts
end

---@type SessionKind[]
return {
  {
    name = "A chat session",
    new = function(opts) return openai.ChatSession(tool_server.client(), opts) end,
    answers = function(request)
      -- Those that end the history.
      local texts = {}
      for index = #request.messages, 1, -1 do
        local message = request.messages[index]
        if message.role == "assistant" then break end
        if message.role ~= "user" then table.insert(texts, 1, message.content) end
      end
      return texts
    end,
  },
  {
    name = "A Responses session",
    new = function(opts) return openai.ResponsesChatSession(tool_server.client(), opts) end,
    answers = function(request)
      return texts_of(type(request.input) == "table" and request.input or {}, function(item)
        return item.type == "function_call_output"
      end, "output")
    end,
  },
}
