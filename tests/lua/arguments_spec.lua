-- What a script gets for an argument of the wrong type: one line that names the argument.

local openai = require("openai")

local question = { { role = "user", content = "Hi" } }

local function client()
  return openai.new("k", { base_url = "http://127.0.0.1:9/v1", max_retries = 0 })
end

local function with(field, value)
  local changed = client()
  changed[field] = value
  return changed
end

local cases = {
  ["config: expected a table, got string"] = function()
    openai.new("k", "http://127.0.0.1:9")
  end,
  ["base_url: expected a string, got number"] = function()
    openai.new("k", { base_url = 5 })
  end,
  ["api_key: expected a string, got table"] = function()
    with("api_key", {}):models()
  end,
  ["api_base: expected a string, got boolean"] = function()
    with("api_base", false):models()
  end,
  ["opts: expected a table, got string"] = function()
    client():chat(question, "gpt-4.1")
  end,
  ["Must provide chunk_callback function when streaming response"] = function()
    client():chat(question, { stream = true }, "print")
  end,
  ["method: expected a string, got nil"] = function()
    client():request()
  end,
  ["path: expected a string, got nil"] = function()
    client():request("GET")
  end,
  ["file_id: expected a string, got table"] = function()
    client():file({})
  end,
  ["headers: X-A: expected a string, got table"] = function()
    openai.new("k", { headers = { ["X-A"] = {} } }):models()
  end,
  ["header X-A: its value holds a character that no header can carry, such as a line break"] = function()
    openai.new("k", { headers = { ["X-A"] = "a\0b" } }):models()
  end,
  ["headers: expected a table, got string"] = function()
    require("socket.http").request({ url = "http://127.0.0.1:9/", headers = "x" })
  end,
  ["headers: expected names, got the key 1"] = function()
    require("socket.http").request({ url = "http://127.0.0.1:9/", headers = { "x" } })
  end,
  ["spawn: expected a function, got nil"] = function()
    openai.spawn()
  end,
  ["sleep: expected a number, got string"] = function()
    openai.sleep("soon")
  end,
}

describe("an argument of the wrong type", function()
  for message, call in pairs(cases) do
    it("is refused with: " .. message, function()
      local ok, failure = pcall(call)
      assert.is_false(ok)
      assert.equal(message, failure)
    end)
  end
end)

describe("a session without a client", function()
  it("holds a history, and says what it lacks when it is to send", function()
    local chat = openai.ChatSession()
    chat:append_message(question[1])
    assert.equal(question[1], chat:last_message())
    assert.same({ false, "this session has no client" }, { pcall(chat.send, chat, "Hi") })
    local responses = openai.ResponsesChatSession()
    assert.same({ false, "this session has no client" }, { pcall(responses.send, responses, "Hi") })
  end)
end)
