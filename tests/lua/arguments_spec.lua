-- What a script gets for an argument of the wrong type: one line that names the argument.

local fresh = require("support.fresh")
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
  ["organization: expected a string, got a number"] = function()
    openai.new("k", { organization = 12 })
  end,
  ["project: expected a string, got a table"] = function()
    openai.new("k", { project = { a = 1 } })
  end,
  ["query: expected a table of names and values, got a string"] = function()
    openai.new("k", { query = "a=b" }):models()
  end,
  ["models: call it with a colon: client:models(...)"] = function()
    client().models()
  end,
  ["chat: call it with a colon: client:chat(...)"] = function()
    client().chat(question)
  end,
  ["create_chat_completion: call it with a colon: client:create_chat_completion(...)"] = function()
    client().create_chat_completion(question, {})
  end,
  ["create_response: call it with a colon: client:create_response(...)"] = function()
    client().create_response("Hi")
  end,
  ["request: call it with a colon: client:request(...)"] = function()
    client().request("GET", "/models")
  end,
  ["new_chat_session: call it with a colon: client:new_chat_session(...)"] = function()
    client().new_chat_session({ messages = question })
  end,
  ["changes: expected a table, got number"] = function()
    client():with_options(5)
  end,
  ["last_message: call it with a colon: session:last_message(...)"] = function()
    client():new_chat_session().last_message()
  end,
  ["send: call it with a colon: session:send(...)"] = function()
    client():new_chat_session().send("Hi")
  end,
  ["append_message: call it with a colon: session:append_message(...)"] = function()
    client():new_chat_session().append_message(question[1])
  end,
  ["create_response: call it with a colon: session:create_response(...)"] = function()
    client():new_responses_chat_session().create_response("Hi")
  end,
  ["message: expected a table with role and content, got a number"] = function()
    client():new_chat_session():send(5)
  end,
  ["input: expected a string or a list, got a number"] = function()
    client():new_responses_chat_session():send(5)
  end,
  ["functions: expected a list, got string"] = function()
    client():new_chat_session({ functions = "add" })
  end,
  ["functions: expected a list, got a table with names"] = function()
    client():new_chat_session({ functions = { name = "add" } })
  end,
  ["functions[1]: expected a table with name, got a list"] = function()
    client():new_chat_session({ functions = { { "add" } } })
  end,
  ["tools: expected a list, got number"] = function()
    client():new_chat_session({ tools = 5 })
  end,
  ["tools: expected a list, got string"] = function()
    client():new_responses_chat_session({ tools = "search" })
  end,
  ["previous_response_id: expected a string, got number"] = function()
    client():new_responses_chat_session({ previous_response_id = 5 })
  end,
  ["messages: expected a list, got string"] = function()
    client():new_chat_session({ messages = "Hi" })
  end,
  ["client: expected an OpenAI client, got string"] = function()
    openai.ChatSession("key")
  end,
  ["opts: expected a table, got boolean"] = function()
    openai.ResponsesChatSession(client(), true)
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
  ["file_id: expected a string, got a table"] = function()
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

describe("A second argument of new that is no table", function()
  it("is ignored: assert passes its message on", function()
    local made = openai.new(assert("key", "set the key"))
    assert.same({ "key", {} }, { made.api_key, made.config })
  end)
end)

describe("A setting whose name is not known", function()
  local function complaints(config)
    return fresh(([[local openai = require("openai")
      openai.new("k", %s)
      openai.new("k", %s)]]):format(config, config))
  end

  local meant = { time_out = "timeout", max_retry = "max_retries", base_ur = "base_url", Headers = "headers" }
  for name, right in pairs(meant) do
    it(("is told of once, with the one that it is close to: %s"):format(name), function()
      local line = ("luaopenai: config.%s is not known; did you mean %s?"):format(name, right)
      assert.equal(line, complaints(("{ %s = 5 }"):format(name)))
    end)
  end

  it("is ignored when it is close to none", function()
    assert.equal("", complaints("{ temperature = 0, name = 'x', [1] = 2 }"))
  end)

  it("may be api_base, which means base_url", function()
    assert.equal("http://127.0.0.1:9/v1", openai.new("k", { api_base = "http://127.0.0.1:9/v1/" }).api_base)
    assert.equal("", complaints("{ api_base = 'http://127.0.0.1:9' }"))
  end)
end)
