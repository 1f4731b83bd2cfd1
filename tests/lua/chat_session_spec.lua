--- Chat sessions: the history, what each turn sends, what it returns, and what failures leave behind.

local cjson = require("cjson")
local openai = require("openai")
local extend = require("support.moonscript")
local fake_http = require("support.fake_http")
local server = require("support.server")

local describe_with_server = server.describe_with(describe, pending)

local function user(text)
  return { role = "user", content = text }
end

local function assistant(text)
  return { role = "assistant", content = text }
end

--- A chat completion that carries a message.
local function completion(message)
  return { usage = {}, choices = { { message = message } } }
end

--- A session whose client's `chat` is stubbed to give an answer; the stub's calls are at `chat.calls`.
local function session_with_answer(status, body, opts)
  local client = openai.new("key")
  local chat = stub(client, "chat").returns(status, body)
  return client:new_chat_session(opts), chat
end

--- The same with a reply for an answer.
local function session_with_reply(message, opts)
  return session_with_answer(200, completion(message), opts)
end

--- What the stubbed `chat` got for its parameters in its last call.
local function parameters_of(chat)
  return chat.calls[#chat.calls].vals[3]
end

--- A session whose requests end in a fake HTTP module, and the fake.
local function session_over_http(opts, ...)
  local fake = fake_http({ ... })
  local client = openai.new("key")
  function client.get_http() return fake end
  return client:new_chat_session(opts), fake
end

--- A stream's text with an event for each delta.
local function stream_of(...)
  local lines = {}
  for _, delta in ipairs({ ... }) do
    local event = { object = "chat.completion.chunk", choices = { { index = 0, delta = delta } } }
    lines[#lines + 1] = "data: " .. cjson.encode(event) .. "\n\n"
  end
  return table.concat(lines) .. "data: [DONE]\n\n"
end

local SQRT = {
  name = "sqrt",
  description = "The square root of a number",
  parameters = { type = "object", properties = { a = { type = "number" } } },
}
local SQRT_CALL = { name = "sqrt", arguments = [[{ "a": 9 }]] }
local WEATHER = { type = "function", ["function"] = { name = "weather", parameters = { type = "object" } } }
local WEATHER_CALL = {
  id = "call_1",
  type = "function",
  ["function"] = { name = "weather", arguments = [[{"city":"Oslo"}]] },
}

describe("A session's raw response", function()
  it("is the decoded body: send's second result, and last_response", function()
    local body = completion(assistant("Hi"))
    body.usage = { total_tokens = 3 }
    local session = session_with_answer(200, body)
    local reply, raw = session:send("Hello")
    assert.same({ "Hi", 3 }, { reply, raw.usage.total_tokens })
    assert.equal(raw, session.last_response)
    assert.same({ "Hi", raw }, { session:generate_response(false) })
  end)

  it("comes after a message that calls, too", function()
    local session = session_with_reply({ role = "assistant", tool_calls = { WEATHER_CALL } })
    local message, raw = session:send("Hello")
    assert.equal(message, raw.choices[1].message)
  end)

  it("is the whole raw text of a stream", function()
    local text = stream_of({ content = "H" }, { content = "i" })
    local session = session_over_http(nil, text)
    local reply, raw = session:send("Hello", function() end)
    assert.same({ "Hi", text, text }, { reply, raw, session.last_response })
  end)

  it("is there after a failure, as the third result", function()
    local session = session_with_answer(500, { error = { message = "down" } })
    assert.same({ nil, "Bad status: 500: down", { error = { message = "down" } } }, { session:send("Hello") })
    assert.same({ error = { message = "down" } }, session.last_response)
  end)
end)

describe("An option of the API", function()
  it("is sent with every request, whatever it is called", function()
    local opts = { max_tokens = 5, seed = 7, a_new_one = { deep = true }, temperature = 0.5 }
    local session, chat = session_with_reply(assistant("Hi"), opts)
    session:send("Hello")
    assert.same(opts, parameters_of(chat))
    session:send("Hello", { seed = 8 })
    assert.same({ max_tokens = 5, seed = 8, a_new_one = { deep = true }, temperature = 0.5 }, parameters_of(chat))
  end)

  it("is not what the session keeps in fields of its own", function()
    local session, chat = session_with_reply(assistant("Hi"), { messages = { user("a") }, tools = { WEATHER } })
    session.tools = nil
    session:send("Hello")
    assert.same({}, parameters_of(chat))
  end)
end)

describe("A new session", function()
  it("comes from the client's methods and from the class", function()
    local client, opts = openai.new("key"), { temperature = 0.5 }
    for _, session in ipairs({
      client:new_chat_session(opts),
      client:new_chat_completions_session(opts),
      openai.ChatSession(client, opts),
      openai.ChatSession.new(client, opts),
    }) do
      assert.equal(openai.ChatSession.__base, getmetatable(session))
      assert.equal(client, session.client)
      assert.equal(opts, session.opts)
    end
  end)

  it("has an empty history, and neither functions nor tools", function()
    local session = openai.new("key"):new_chat_session()
    assert.same({}, session.opts)
    assert.same({}, session.messages)
    assert.is_nil(session.functions)
    assert.is_nil(session.tools)
    assert.is_nil(session:last_message())
  end)

  it("begins with the messages it is given, in a list of its own", function()
    local messages = { { role = "system", content = "Be brief." }, user("Hello") }
    local session = openai.new("key"):new_chat_session({ messages = messages })
    assert.same(messages, session.messages)
    assert.not_equal(messages, session.messages)
  end)

  it("has the functions and tools it is given", function()
    local session = openai.new("key"):new_chat_session({ functions = { SQRT }, tools = { WEATHER } })
    assert.same({ SQRT }, session.functions)
    assert.same({ WEATHER }, session.tools)
  end)

  local refused = {
    { "a message with a wrong role", { messages = { user("x"), { role = "robot" } } },
      "messages[2].role: expected one of system, developer, user, assistant, function, tool; got \"robot\"" },
    { "a function without a name", { functions = { SQRT, { description = "x" } } },
      "functions[2].name: expected a string, got nothing" },
    { "a function with a field of another kind", { functions = { { name = "f", strict = true } } },
      "functions[1].strict: expected only name, description, parameters" },
    { "a function whose parameters are no table", { functions = { { name = "f", parameters = "x" } } },
      "functions[1].parameters: expected a table, got a string" },
  }
  for _, row in ipairs(refused) do
    local what, opts, complaint = unpack(row)
    it("refuses " .. what, function()
      assert.has_error(function() openai.new("key"):new_chat_session(opts) end, complaint)
    end)
  end
end)

describe("append_message", function()
  local session
  before_each(function()
    session = openai.new("key"):new_chat_session()
  end)

  it("appends each message in its order", function()
    session:append_message(user("One"), assistant("Two"))
    session:append_message(user("Three"))
    assert.same({ user("One"), assistant("Two"), user("Three") }, session.messages)
    assert.equal(session.messages[3], session:last_message())
  end)

  local refused = {
    { "a wrong role", { role = "robot" },
      'message.role: expected one of system, developer, user, assistant, function, tool; got "robot"' },
    { "a wrong content", { role = "user", content = true },
      "message.content: expected a string, null or a list of parts, got a boolean" },
    { "a string that is not UTF-8", { role = "user", content = "caf\233" },
      "message.content: the string is not valid UTF-8" },
    { "a function's message without its name", { role = "function" },
      'message.name: required when role is "function"' },
    { "a number", 5, "message: expected a table with role and content, got a number" },
    { "nil", nil, "message: expected a table with role and content, got nothing" },
  }
  for _, row in ipairs(refused) do
    local what, message, complaint = row[1], row[2], row[3]
    it(("refuses %s and appends nothing"):format(what), function()
      assert.has_error(function() session:append_message(message) end, complaint)
      assert.same({}, session.messages)
    end)
  end
end)

describe("send", function()
  it("makes a string the user's message and returns the reply's text", function()
    local session, chat = session_with_reply(assistant("I am you"), { temperature = 0.75 })
    assert.equal("I am you", session:send("Who are you?"))
    assert.same({ temperature = 0.75 }, parameters_of(chat))
    assert.same({ user("Who are you?"), assistant("I am you") }, session.messages)
  end)

  it("takes a whole message", function()
    local session = session_with_reply(assistant("9"))
    local message = { role = "function", name = "sqrt", content = "3" }
    session:send(message)
    assert.equal(message, session.messages[1])
  end)

  it("sends the whole history every time, as the session's own table", function()
    local seen = {}
    local client = openai.new("key")
    local session = client:new_chat_session()
    stub(client, "chat").invokes(function(_, messages)
      assert.equal(session.messages, messages)
      table.insert(seen, #messages)
      return 200, completion(assistant("Yes"))
    end)
    session:send("One")
    session:send("Two")
    assert.same({ 1, 3 }, seen)
  end)

  it("sends the options of the session that are set, and no others", function()
    local opts = {
      function_call = "auto",
      model = "gpt-4",
      parallel_tool_calls = false,
      response_format = { type = "json_object" },
      temperature = 0,
      tool_choice = "none",
    }
    local session, chat = session_with_reply(assistant("x"), opts)
    session:send("Hello")
    assert.same(opts, parameters_of(chat))
  end)

  it("sends functions and tools where there are some", function()
    local session, chat = session_with_reply(assistant("x"), { functions = { SQRT }, tools = { WEATHER } })
    session:send("Hello")
    assert.same({ functions = { SQRT }, tools = { WEATHER } }, parameters_of(chat))
  end)

  it("sends nothing where nothing is set", function()
    local session, chat = session_with_reply(assistant("x"))
    session:send("Hello")
    assert.same({}, parameters_of(chat))
    assert.is_nil(chat.calls[1].vals[4])
  end)

  it("puts the call's options over the session's, for this call", function()
    local session, chat = session_with_reply(assistant("x"), { temperature = 0.5, model = "mine" })
    session:send("Hello", { temperature = 0, max_tokens = 5 })
    assert.same({ temperature = 0, model = "mine", max_tokens = 5 }, parameters_of(chat))
    session:send("Hello")
    assert.same({ temperature = 0.5, model = "mine" }, parameters_of(chat))
  end)

  it("sends what the script has made of messages and functions", function()
    local session, fake = session_over_http({ functions = { SQRT } }, completion(assistant("x")))
    session:send("One")
    session.functions = nil
    table.remove(session.messages)
    session.messages[1].content = "Edited"
    session:generate_response()
    assert.same({ SQRT }, fake.requests[1].body.functions)
    assert.is_nil(fake.requests[2].body.functions)
    assert.same({ user("Edited") }, fake.requests[2].body.messages)
  end)

  it("works on a history that the script has replaced", function()
    local session, fake = session_over_http(nil, completion(assistant("x")))
    session.messages = {}
    session:send("Hello")
    assert.same({ user("Hello") }, fake.requests[1].body.messages)
    assert.same({ user("Hello"), assistant("x") }, session.messages)
  end)
end)

describe("generate_response", function()
  it("replies to the history as it stands and appends the reply", function()
    local session = session_with_reply(assistant("Good day"), { messages = { user("Hello") } })
    assert.equal("Good day", session:generate_response())
    assert.same({ user("Hello"), assistant("Good day") }, session.messages)
  end)

  it("leaves the history alone if it is told so", function()
    local session = session_with_reply(assistant("Good day"), { messages = { user("Hello") } })
    assert.equal("Good day", session:generate_response(false))
    assert.same({ user("Hello") }, session.messages)
  end)

  it("takes request parameters", function()
    local session, chat = session_with_reply(assistant("x"), { messages = { user("Hello") } })
    session:generate_response(true, { seed = 1 })
    assert.same({ seed = 1 }, parameters_of(chat))
  end)
end)

describe("A reply", function()
  it("keeps only what belongs in the history", function()
    local reply = { role = "assistant", content = "Yes", refusal = cjson.null, annotations = {} }
    local session = session_with_reply(reply)
    session:send("Hello")
    assert.same(assistant("Yes"), session:last_message())
  end)

  it("may be empty text", function()
    local session = session_with_reply(assistant(""))
    assert.equal("", session:send("Hello"))
    assert.same(assistant(""), session:last_message())
  end)

  it("is the whole message when it calls a function, with its null kept", function()
    local message = { role = "assistant", content = cjson.null, function_call = SQRT_CALL }
    local session = session_with_reply(message, { functions = { SQRT } })
    assert.same(message, session:send("The root of 9?"))
    assert.same(message, session:last_message())
    assert.equal(cjson.null, session:last_message().content)
  end)

  it("is the whole message when it calls tools", function()
    local message = { role = "assistant", content = cjson.null, tool_calls = { WEATHER_CALL } }
    local session = session_with_reply(message)
    assert.same(message, session:send("How is Oslo?"))
    assert.same(message, session:last_message())
  end)

  it("is its text when its list of tool calls is empty", function()
    local session = session_over_http(nil, '{"choices":[{"message":{"content":"Yes","tool_calls":[]}}]}')
    assert.equal("Yes", session:send("Hello"))
    assert.same(assistant("Yes"), session:last_message())
  end)

  it("needs no usage beside it", function()
    local session = session_with_answer(200, { choices = { { message = assistant("Yes") } } })
    assert.equal("Yes", session:send("Hello"))
  end)

  it("goes back to the server with its null and its tool calls", function()
    local message = { role = "assistant", content = cjson.null, tool_calls = { WEATHER_CALL } }
    local session, fake = session_over_http(nil, completion(message))
    session:send("How is Oslo?")
    session:send({ role = "tool", tool_call_id = "call_1", content = "Rain" })
    assert.equal(cjson.null, fake.requests[2].body.messages[2].content)
    assert.same({ WEATHER_CALL }, fake.requests[2].body.messages[2].tool_calls)
  end)
end)

describe("A failure", function()
  --- What `send` returns for an answer, the history being the user's message then.
  local function results_for(status, body)
    local session = session_with_answer(status, body)
    local results = { session:send("Hello") }
    assert.same({ user("Hello") }, session.messages)
    return results
  end

  local function bad_status(name, status, body, message)
    it(("of status %d, %s"):format(status, name), function()
      assert.same({ nil, message, body }, results_for(status, body))
    end)
  end

  bad_status("without a word", 400, {}, "Bad status: 400")
  bad_status("with a message", 400, { error = { message = "No such thing" } }, "Bad status: 400: No such thing")
  bad_status("with a code", 429, { error = { message = "Slow down", code = "rate_limit" } },
    "Bad status: 429: Slow down (rate_limit)")
  bad_status("with a number for code, as llama.cpp sends it", 503, { error = { message = "Loading", code = 503 } },
    "Bad status: 503: Loading (503)")
  bad_status("with a code alone", 500, { error = { code = "oops" } }, "Bad status: 500 (oops)")
  bad_status("with null for code", 500, { error = { message = "No", code = cjson.null } }, "Bad status: 500: No")
  bad_status("with text for a body", 502, "<html>Bad gateway</html>", "Bad status: 502")
  bad_status("with bytes that are not UTF-8", 502, "Pas trouv\233", "Bad status: 502")

  local function unusable(name, body, fault)
    it("of an answer " .. name, function()
      assert.same({ nil, "Failed to parse response from server: " .. fault, body }, results_for(200, body))
    end)
  end

  unusable("without choices", { usage = {} }, 'field "choices": expected type "table", got "nil"')
  unusable("whose choices are no list", { choices = "x" }, 'field "choices": expected type "table", got "string"')
  unusable("with no choice", { choices = {} }, 'field "choices": field 1: expected type "table", got "nil"')
  unusable("without a message", { choices = { {} } },
    'field "choices": field 1: field "message": expected type "table", got "nil"')
  unusable("whose content is a number", completion({ role = "assistant", content = 5 }),
    'field "choices": field 1: field "message": field "content": expected type "string", got "number"')
  unusable("with neither text nor calls", completion({ role = "assistant", content = cjson.null }),
    'field "choices": field 1: field "message": field "content": expected type "string", got "userdata"')
  unusable("that is a web page", "<html>Log in</html>", 'expected type "table", got "string"')

  it("of the network returns nil and its message", function()
    local session = session_over_http()
    function session.client.get_http()
      return { request = function() return nil, "wire cut" end }
    end
    local reply, message = session:send("Hello")
    assert.is_nil(reply)
    assert.equal("wire cut", message)
    assert.same({ user("Hello") }, session.messages)
  end)

  it("of another kind is raised as it is", function()
    local session = openai.new("key"):new_chat_session()
    local mine = { "my own error" }
    function session.client.chat() error(mine) end
    local ok, raised = pcall(session.send, session, "Hello")
    assert.is_false(ok)
    assert.equal(mine, raised)
  end)

  it("of a message that cannot be sent leaves the history as it was", function()
    local session = openai.new("key"):new_chat_session({ messages = { user("Hello") } })
    assert.has_error(function() session:send("\255") end, "message.content: the string is not valid UTF-8")
    assert.has_error(function() session:send(5) end, "message: expected a table with role and content, got a number")
    assert.same({ user("Hello") }, session.messages)
  end)

  it("of a parameter that JSON cannot carry keeps the user's message", function()
    local session = session_over_http(nil, {})
    assert.has_error(
      function() session:send("Hello", { temperature = 0 / 0 }) end,
      "payload.temperature: JSON has no nan"
    )
    assert.same({ user("Hello") }, session.messages)
  end)

  it("of an edited history names the message", function()
    local session = session_over_http({ messages = { user("One"), user("Two") } }, {})
    session.messages[2].role = "robot"
    local ok, complaint = pcall(session.generate_response, session)
    assert.is_false(ok)
    assert.matches("^messages%[2%]%.role: ", complaint)
  end)

  it("can be tried again without a second message", function()
    local session, chat = session_with_answer(500, {})
    assert.is_nil((session:send("Hello")))
    chat.returns(200, completion(assistant("Good day")))
    assert.equal("Good day", session:generate_response())
    assert.same({ user("Hello"), assistant("Good day") }, session.messages)
  end)
end)

describe("A streamed reply", function()
  local GOOD_DAY = stream_of(
    { role = "assistant", content = cjson.null },
    { content = "Good " },
    { content = "day" },
    {}
  )

  it("gives the callback each chunk and its event, and returns the whole text", function()
    local session, fake = session_over_http(nil, GOOD_DAY)
    local chunks, events = {}, {}
    local reply = session:send("Hello", function(chunk, event)
      table.insert(chunks, chunk)
      table.insert(events, event.choices[1].delta)
    end)
    assert.equal("Good day", reply)
    local empty = { content = "", index = 0 }
    assert.same({ empty, { content = "Good ", index = 0 }, { content = "day", index = 0 }, empty }, chunks)
    local opening = { role = "assistant", content = cjson.null }
    assert.same({ opening, { content = "Good " }, { content = "day" }, {} }, events)
    assert.is_true(fake.requests[1].body.stream)
    assert.same({ user("Hello"), assistant("Good day") }, session.messages)
  end)

  it("has a string for content in every chunk", function()
    local session = session_over_http(nil, GOOD_DAY)
    session:send("Hello", function(chunk)
      assert.equal("string", type(chunk.content))
      assert.equal(chunk.content, tostring(chunk))
    end)
  end)

  it("may be asked for with stream_callback among options", function()
    local session, fake = session_over_http(nil, GOOD_DAY)
    local count = 0
    local opts = { temperature = 0, stream_callback = function() count = count + 1 end }
    assert.equal("Good day", session:send("Hello", opts))
    assert.equal(4, count)
    assert.equal(0, fake.requests[1].body.temperature)
    assert.is_nil(fake.requests[1].body.stream_callback)
    assert.equal("function", type(opts.stream_callback))
  end)

  it("may be asked for with a table that can be called", function()
    local session = session_over_http(nil, GOOD_DAY)
    local callback = spy.new(function() end)
    assert.equal("Good day", session:send("Hello", callback))
    assert.spy(callback).was.called(4)
  end)

  it("is left out of the history if generate_response is told so", function()
    local session = session_over_http({ messages = { user("Hello") } }, GOOD_DAY)
    assert.equal("Good day", session:generate_response(false, function() end))
    assert.same({ user("Hello") }, session.messages)
  end)

  it("puts tool calls together from their pieces", function()
    local session = session_over_http(nil, stream_of(
      { role = "assistant", content = cjson.null },
      { tool_calls = { { index = 0, id = "a", type = "function", ["function"] = { name = "f", arguments = "" } } } },
      { tool_calls = { { index = 1, id = "b", type = "function", ["function"] = { name = "g", arguments = "{" } } } },
      { tool_calls = { { index = 0, ["function"] = { arguments = '{"x"' } } } },
      { tool_calls = { { index = 1, ["function"] = { arguments = "}" } } } },
      { tool_calls = { { index = 0, ["function"] = { arguments = ":1}" } } } }
    ))
    local message = {
      role = "assistant",
      content = cjson.null,
      tool_calls = {
        { id = "a", type = "function", ["function"] = { name = "f", arguments = '{"x":1}' } },
        { id = "b", type = "function", ["function"] = { name = "g", arguments = "{}" } },
      },
    }
    assert.same(message, session:send("Go", function() end))
    assert.same(message, session:last_message())
  end)

  it("is what the server sent, whatever the callback makes of its chunks and events", function()
    local call = { index = 0, id = "a", type = "function", ["function"] = { name = "f", arguments = "{" } }
    local rest = { index = 0, ["function"] = { arguments = "}" } }
    local session = session_over_http(nil, stream_of(
      { content = "Good" },
      { tool_calls = { call } },
      { tool_calls = { rest } }
    ))
    local arguments = ""
    local reply = session:send("Go", function(chunk, event)
      local piece = chunk.tool_calls and chunk.tool_calls[1]
      if piece then
        arguments = arguments .. piece["function"].arguments
        piece["function"].arguments = arguments
      end
      chunk.content, event.choices[1].delta.content = "Bad", "Bad"
    end)
    assert.equal("Good", reply.content)
    assert.equal("{}", reply.tool_calls[1]["function"].arguments)
    assert.equal("{}", arguments)
  end)

  it("returns the server's refusal as a failure", function()
    local session, fake = session_over_http(nil, { error = { message = "No", code = "no" } })
    fake.answer.status = 401
    local reply, message, body = session:send("Hello", function() end)
    assert.is_nil(reply)
    assert.equal("Bad status: 401: No (no)", message)
    assert.same({ error = { message = "No", code = "no" } }, body)
    assert.same({ user("Hello") }, session.messages)
  end)

  it("may come from a chat of the script's own that only returns the stream's text", function()
    local session = session_with_answer(200, GOOD_DAY)
    assert.equal("Good day", session:send("Hello", function() end))
    assert.same(assistant("Good day"), session:last_message())
  end)

  it("needs a callback", function()
    local session = session_over_http(nil, GOOD_DAY)
    assert.has_error(
      function() session:send("Hello", { stream = true }) end,
      "Must provide chunk_callback function when streaming response"
    )
  end)
end)

describe("Every hop of a turn", function()
  local session, client, fake
  before_each(function()
    session, fake = session_over_http(nil, completion(assistant("From the server")))
    client = session.client
  end)

  it("ends in the HTTP module", function()
    session:send("Hello")
    assert.equal("https://api.openai.com/v1/chat/completions", fake.requests[1].url)
  end)

  it("goes through append_message, for the user's message and for the reply", function()
    local appended = {}
    function session.append_message(_, message) table.insert(appended, message) end
    session:send("Hello")
    assert.same({ user("Hello"), assistant("From the server") }, appended)
  end)

  it("goes through generate_response", function()
    function session.generate_response(_, append_response, callback) return "Mine", append_response, callback end
    assert.same({ "Mine", true, print }, { session:send("Hello", print) })
  end)

  it("goes through the client's chat", function()
    function client.chat() return 200, completion(assistant("Mine")) end
    assert.equal("Mine", session:send("Hello"))
  end)

  it("goes through the client's create_chat_completion", function()
    stub(client, "create_chat_completion").returns(200, completion(assistant("Mine")))
    assert.equal("Mine", session:send("Hello"))
  end)

  it("goes through the client's _request", function()
    local request = stub(client, "_request").returns(200, completion(assistant("Mine")))
    assert.equal("Mine", session:send("Hello"))
    assert.same({ model = "gpt-5.4", messages = session.messages }, request.calls[1].refs[4])
  end)

  it("can be overridden on one session", function()
    function session.send(_, text) return text:upper() end
    assert.equal("HELLO", session:send("Hello"))
    assert.not_equal(session.send, client:new_chat_session().send)
  end)

  it("can be overridden on the class", function()
    local base = openai.ChatSession.__base
    local before = base.last_message
    finally(function() base.last_message = before end)
    function base.last_message() return "Mine" end
    assert.equal("Mine", session:last_message())
  end)

  it("lets a client of the script's own stand in", function()
    local mine = { chat = function() return 200, completion(assistant("Mine")) end }
    assert.equal("Mine", openai.ChatSession(mine):send("Hello"))
  end)
end)

describe("A session subclassed by MoonScript", function()
  it("inherits, overrides and calls super", function()
    local Loud
    Loud = extend("Loud", openai.ChatSession, {
      send = function(self, text, ...)
        return Loud.__parent.__base.send(self, text:upper(), ...)
      end,
    }, function(self, client)
      Loud.__parent.__init(self, client, { messages = { user("First") } })
    end)
    local client = openai.new("key")
    stub(client, "chat").returns(200, completion(assistant("Yes")))
    local session = Loud(client)
    assert.equal("Yes", session:send("hello"))
    assert.same({ user("First"), user("HELLO"), assistant("Yes") }, session.messages)
    assert.equal("Loud", session.__class.__name)
  end)

  it("has its own append_message called from the constructor", function()
    local Polite
    Polite = extend("Polite", openai.ChatSession, {
      append_message = function(self, message, ...)
        Polite.__parent.__base.append_message(self, user(message.content .. ", please"), ...)
      end,
    })
    local session = Polite(openai.new("key"), { messages = { user("Tea") } })
    assert.same({ user("Tea, please") }, session.messages)
  end)
end)

describe_with_server("A session on a real server", function()
  local function session_on(model)
    return server.client():new_chat_session({ model = model })
  end

  --- Sends Hello; the history must hold only that afterwards.
  local function failure_of(session, ...)
    local reply, message, body = session:send("Hello", ...)
    assert.is_nil(reply)
    assert.same({ user("Hello") }, session.messages)
    return message, body
  end

  it("remembers what was said", function()
    local session = session_on("echo")
    assert.equal("You said: Hello", session:send("Hello"))
    assert.equal("You said: Again", session:send("Again"))
    assert.same(
      { model = "echo", messages = { user("Hello"), assistant("You said: Hello"), user("Again") } },
      cjson.decode(server.last_request().body)
    )
  end)

  it("streams text", function()
    local session, texts = session_on("null-first-delta"), {}
    local reply = session:send("Hello", function(chunk) table.insert(texts, tostring(chunk)) end)
    assert.equal("You said: Hello", reply)
    assert.same({ "", "You ", "said: ", "Hello", "" }, texts)
  end)

  it("gets the same tool calls whole and streamed", function()
    local whole, streamed = session_on("tools"), session_on("tools")
    local calls = whole:send("Hello").tool_calls
    assert.equal(2, #calls)
    assert.same(calls, streamed:send("Hello", function() end).tool_calls)
    assert.same(whole.messages, streamed.messages)
  end)

  it("reports what the server says of an error", function()
    assert.equal("Bad status: 429: Told to fail (told_to)", (failure_of(session_on("status-429"))))
    assert.equal("Bad status: 503: Told to fail (503)", (failure_of(session_on("status-503-number"))))
    assert.equal("Bad status: 400: Told to fail (told_to)", (failure_of(session_on("status-400"), function() end)))
  end)

  it("reports a web page, in any encoding, and gives it back", function()
    local message, body = failure_of(session_on("html"))
    assert.equal('Failed to parse response from server: expected type "table", got "string"', message)
    assert.equal("<html><p>Please log in</p></html>", body)
    message, body = failure_of(session_on("html-latin-1"))
    assert.equal("Bad status: 502", message)
    assert.equal("<p>V\233rifi\233</p>", body)
  end)

  it("puts U+FFFD for bytes of a reply that are not UTF-8, so that the talk can go on", function()
    local session = session_on("not-utf8")
    assert.equal("You\239\191\189 said: Hello", session:send("Hello"))
    assert.equal("You\239\191\189 said: Again", session:send("Again"))
  end)

  it("reports a connection that is refused", function()
    local session = session_on("echo")
    session.client.api_base = server.closed_address .. "/v1"
    assert.equal("connection refused: http://127.0.0.1:9/v1/chat/completions", (failure_of(session)))
  end)

  it("reports an answer that is cut off", function()
    assert.equal(
      "the answer was cut off: " .. server.address .. "/v1/chat/completions",
      (failure_of(session_on("cut")))
    )
  end)

  it("reports a stream that is cut off, after what came of it", function()
    local texts = {}
    local message, body = failure_of(session_on("cut"), function(chunk) table.insert(texts, chunk.content) end)
    assert.equal("the answer was cut off: " .. server.address .. "/v1/chat/completions", message)
    assert.same({ "You ", "said: ", "Hello" }, texts)
    assert.equal("You said: Hello", body)
  end)
end)
