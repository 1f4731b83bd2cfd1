--- The Responses API: the client's methods, and the session whose history the server keeps.

local cjson = require("cjson")
local openai = require("openai")
local event_stream = require("support.event_stream")
local fake_http = require("support.fake_http")
local server = require("support.server")

---@return table # a client, and the HTTP module that answers it
local function client_of(answer)
  local http = fake_http(answer)
  local client = openai.new("sk-secret")
  client.get_http = function()
    return http
  end
  return client, http
end

local function message(...)
  local content = {}
  for number, text in ipairs({ ... }) do
    content[number] = { type = "output_text", text = text }
  end
  return { id = "msg_1", type = "message", role = "assistant", status = "completed", content = content }
end

local function response(id, ...)
  return { id = id, object = "response", status = "completed", model = "gpt-5.4", output = { ... } }
end

local function delta(text)
  return { type = "response.output_text.delta", item_id = "msg_1", delta = text }
end

local function completed(id, text)
  return { type = "response.completed", response = response(id, message(text)) }
end

describe("client:create_response", function()
  it("posts the input and the default model to /responses", function()
    local client, http = client_of({ response("resp_1", message("Hello")) })
    local status, body = client:create_response("Hi")
    assert.equal(200, status)
    assert.equal("resp_1", body.id)
    assert.equal("POST", http.requests[1].method)
    assert.equal("https://api.openai.com/v1/responses", http.requests[1].url)
    assert.same({ model = "gpt-5.4", input = "Hi" }, http.requests[1].body)
  end)

  it("merges options over the defaults, structured output among them", function()
    local client, http = client_of({ response("resp_1", message("{}")) })
    local text = { format = { type = "json_schema", name = "city", schema = { type = "object" } } }
    client:create_response("Hi", { model = "gpt-5", text = text })
    assert.same({ model = "gpt-5", input = "Hi", text = text }, http.requests[1].body)
  end)

  it("hands the callback every event of a stream, raw, and returns the whole text", function()
    local sent = { { type = "response.created" }, delta("Hi"), completed("resp_1", "Hi") }
    local client = client_of(event_stream(sent))
    local seen = {}
    local status, body = client:create_response("Hi", { stream = true }, function(event)
      seen[#seen + 1] = event
    end)
    assert.equal(200, status)
    assert.same(sent, seen)
    assert.equal(table.concat(event_stream(sent)), body)
  end)

  it("returns the whole text of a stream without a callback, too", function()
    local sent = { { type = "response.created" }, delta("Hi"), completed("resp_1", "Hi") }
    local client, http = client_of(event_stream(sent))
    local status, body = client:create_response("Hi", { stream = true })
    assert.equal(200, status)
    assert.equal(table.concat(event_stream(sent)), body)
    assert.same({ model = "gpt-5.4", input = "Hi", stream = true }, http.requests[1].body)
  end)

  it("refuses a callback that cannot be called", function()
    local client, http = client_of({})
    assert.has_error(function()
      client:create_response("Hi", { stream = true }, "print")
    end, "Must provide chunk_callback function when streaming response")
    assert.same({}, http.requests)
  end)
end)

describe("a stored response", function()
  local requests = {
    response = { "GET", "/responses/resp_1" },
    delete_response = { "DELETE", "/responses/resp_1" },
    cancel_response = { "POST", "/responses/resp_1/cancel" },
  }

  for method, expected in pairs(requests) do
    it("is reached by client:" .. method, function()
      local client, http = client_of({ { id = "resp_1" } })
      local status, body = client[method](client, "resp_1")
      assert.same({ 200, { id = "resp_1" } }, { status, body })
      assert.same(expected, { http.requests[1].method, (http.requests[1].url:gsub("^.-/v1", "")) })
      assert.is_nil(http.requests[1].body)
    end)

    it("needs an id in client:" .. method, function()
      local client = client_of({})
      assert.has_error(function()
        client[method](client)
      end, "response_id is required")
    end)
  end
end)

describe("ResponsesChatSession", function()
  it("is the same class in every module that has it", function()
    local class = openai.ResponsesChatSession
    assert.equal(class, require("openai.responses").ResponsesChatSession)
    assert.equal(class.__base, getmetatable(openai.new():new_responses_chat_session()))
    assert.equal(class.__base, getmetatable(class.new(openai.new(), {})))
  end)

  it("returns the response, which knows its text", function()
    local client = client_of({ response("resp_1", message("Hello, ", "world"), message("!")) })
    local reply = client:new_responses_chat_session():send("Hi")
    assert.equal("resp_1", reply.id)
    assert.equal("Hello, world!", reply:get_output_text())
    assert.equal("Hello, world!", tostring(reply))
  end)

  it("passes over reasoning, tool calls and refusals in the text", function()
    local refusal = { type = "message", content = { { type = "refusal", refusal = "no" } } }
    local reasoning = { type = "reasoning", id = "rs_1", summary = { { type = "summary_text", text = "hm" } } }
    local call = { type = "function_call", call_id = "call_1", name = "f", arguments = "{}" }
    local client = client_of({ response("resp_1", reasoning, call, refusal, message("Hello")) })
    local reply = client:new_responses_chat_session():send("Hi")
    assert.equal("Hello", reply:get_output_text())
    assert.same(call, reply.output[2])
  end)

  it("has an empty text for a response without output", function()
    local client = client_of({ '{"id":"resp_1","output":[]}' })
    assert.equal("", client:new_responses_chat_session():send("Hi"):get_output_text())
  end)

  it("finds the images that were generated", function()
    local function image(result)
      return { type = "image_generation_call", status = "completed", result = result }
    end
    local client = client_of({ response("r", image("QUJD"), message("There."), image("REVG"), image(cjson.null)) })
    local reply = client:new_responses_chat_session():send("Draw")
    assert.same({ { b64_json = "QUJD" }, { b64_json = "REVG" } }, reply:get_images())
  end)

  it("continues from the response before", function()
    local client, http = client_of({ response("resp_1", message("one")) })
    local session = client:new_responses_chat_session()
    assert.is_nil(session.current_response_id)
    session:send("first")
    assert.equal("resp_1", session.current_response_id)
    http.answer = { response("resp_2", message("two")) }
    session:send("second")
    assert.same({ model = "gpt-5.4", input = "first" }, http.requests[1].body)
    assert.same({ model = "gpt-5.4", input = "second", previous_response_id = "resp_1" }, http.requests[2].body)
    assert.same({ "resp_1", "resp_2" }, { session.response_history[1].id, session.response_history[2].id })
  end)

  it("continues a conversation, in place of the response before", function()
    local client, http = client_of({ response("resp_1", message("one")) })
    local session = client:new_responses_chat_session({ conversation = "conv_1", previous_response_id = "resp_0" })
    for _ = 1, 2 do
      session:send("Hi")
    end
    for number = 1, 2 do
      assert.same({ model = "gpt-5.4", input = "Hi", conversation = "conv_1" }, http.requests[number].body)
    end
    assert.equal("resp_1", session.current_response_id)
  end)

  it("sends any other option with every request, under the call's own", function()
    local client, http = client_of({ response("resp_1", message("one")) })
    local session = client:new_responses_chat_session({ temperature = 0.5, reasoning = { effort = "low" } })
    session:send("Hi", { temperature = 1, conversation = "conv_1" })
    assert.same(
      { model = "gpt-5.4", input = "Hi", temperature = 1, reasoning = { effort = "low" }, conversation = "conv_1" },
      http.requests[1].body
    )
  end)

  it("returns the raw response after the reply, and keeps it", function()
    local client, http = client_of({ response("resp_1", message("one")) })
    local session = client:new_responses_chat_session()
    local reply, raw = session:send("Hi")
    assert.same({ "resp_1", "resp_1" }, { raw.id, session.last_response.id })
    assert.equal("one", tostring(reply))
    http.answer = event_stream({ delta("Hi"), completed("resp_2", "Hi") })
    local text, streamed = session:send("Hi", function() end)
    assert.equal("Hi", text)
    assert.equal(table.concat(http.answer), streamed)
    assert.equal(streamed, session.last_response)
  end)

  it("starts from the response that it is given", function()
    local client, http = client_of({ response("resp_2", message("two")) })
    client:new_responses_chat_session({ previous_response_id = "resp_1" }):send("go on")
    assert.equal("resp_1", http.requests[1].body.previous_response_id)
  end)

  it("lets a script move it to another response", function()
    local client, http = client_of({ response("resp_9", message("two")) })
    local session = client:new_responses_chat_session()
    session.current_response_id = "resp_7"
    session:send("go on")
    assert.equal("resp_7", http.requests[1].body.previous_response_id)
  end)

  it("sends model, instructions and tools with every request", function()
    local opts = { model = "gpt-5", instructions = "Be brief.", tools = { { type = "web_search" } } }
    local client, http = client_of({ response("resp_1", message("one")) })
    local session = client:new_responses_chat_session(opts)
    session:send("first")
    session:send("second")
    for _, request in ipairs(http.requests) do
      assert.same(opts, {
        model = request.body.model,
        instructions = request.body.instructions,
        tools = request.body.tools,
      })
    end
  end)

  it("takes other parameters for one call", function()
    local client, http = client_of({ response("resp_1", message("one")) })
    local session = client:new_responses_chat_session({ model = "gpt-5" })
    session:send("first", { model = "o4-mini", max_output_tokens = 20 })
    session:send("second")
    assert.same({ model = "o4-mini", input = "first", max_output_tokens = 20 }, http.requests[1].body)
    assert.equal("gpt-5", http.requests[2].body.model)
    assert.is_nil(http.requests[2].body.max_output_tokens)
  end)

  it("sends lists of messages and items as they are", function()
    local client, http = client_of({ response("resp_1", message("one")) })
    local input = {
      { role = "developer", content = "Be brief." },
      { role = "user", content = { { type = "input_image", image_url = "data:image/png;base64,QUJD" } } },
      { type = "message", role = "user", content = "What is this?" },
      { type = "reasoning", id = "rs_1", summary = { { type = "summary_text", text = "hm" } } },
      { type = "function_call", call_id = "call_1", name = "f", arguments = "{}" },
      { type = "function_call_output", call_id = "call_1", output = "42" },
    }
    client:new_responses_chat_session():send(input)
    assert.same(cjson.decode(cjson.encode(input)), http.requests[1].body.input)
  end)

  it("answers a function call with its output", function()
    local call = { type = "function_call", call_id = "call_1", name = "add", arguments = '{"a":1,"b":2}' }
    local client, http = client_of({ response("resp_1", call) })
    local session = client:new_responses_chat_session()
    local reply = session:send("Add 1 and 2")
    local arguments = cjson.decode(reply.output[1].arguments)
    http.answer = { response("resp_2", message("3")) }
    local sum = tostring(arguments.a + arguments.b)
    local output = { type = "function_call_output", call_id = reply.output[1].call_id, output = sum }
    assert.equal("3", tostring(session:send({ output })))
    local sent = { model = "gpt-5.4", input = { output }, previous_response_id = "resp_1" }
    assert.same(sent, http.requests[2].body)
  end)

  it("is given its answers by client:create_response", function()
    local client = openai.new()
    local session = client:new_responses_chat_session({ model = "m" })
    local asked
    function client:create_response(...)
      asked = { self, ... }
      return 200, response("resp_1", message("from the stub")), {}
    end
    assert.equal("from the stub", tostring(session:send("Hi")))
    assert.same({ client, "Hi", { model = "m" } }, asked)
  end)

  it("lets send be told apart from the lower level, which send uses", function()
    local client = client_of({})
    local session = client:new_responses_chat_session()
    function session.create_response(_, input, opts)
      return { input = input, opts = opts }
    end
    assert.same({ input = "Hi", opts = { model = "m" } }, session:send("Hi", { model = "m" }))
  end)
end)

describe("a Responses session checks its input and", function()
  local refused = {
    ["input must be provided"] = {},
    ["input: expected a string or a list, got a number"] = { 5 },
    ["input: expected a string or a list, got a table"] = { { role = "user", content = "Hi" } },
    ['input[1].role: expected one of system, developer, user, assistant, function, tool; got "robot"'] = {
      { { role = "robot", content = "Hi" } },
    },
    ["input[2].type: expected a string, got a number"] = { { { role = "user", content = "Hi" }, { type = 1 } } },
    ["input[1].call_id: expected a string, got nothing"] = { { { type = "function_call_output", output = "" } } },
    ["input[1].output: expected a string or a list, got a number"] = {
      { { type = "function_call_output", call_id = "call_1", output = 3 } },
    },
    ["input: the string is not valid UTF-8"] = { "caf\233" },
  }

  for text, arguments in pairs(refused) do
    it("raises: " .. text, function()
      local client, http = client_of({})
      assert.has_error(function()
        client:new_responses_chat_session():send(arguments[1])
      end, text)
      assert.same({}, http.requests)
    end)
  end
end)

describe("a Responses session in a stream", function()
  local events = {
    { type = "response.created", response = { id = "resp_1" } },
    delta("Hel"),
    delta("lo"),
    { type = "response.output_text.done", text = "Hello" },
    completed("resp_1", "Hello"),
  }

  it("hands the callback each piece of text and its event, and returns the text", function()
    local client, http = client_of(event_stream(events))
    local chunks, texts, raw = {}, {}, {}
    local reply = client:new_responses_chat_session():send("Hi", function(chunk, event)
      chunks[#chunks + 1] = chunk
      texts[#texts + 1] = tostring(chunk)
      raw[#raw + 1] = event
    end)
    assert.equal("Hello", reply)
    assert.same({ { content = "Hel" }, { content = "lo" } }, chunks)
    assert.same({ "Hel", "lo" }, texts)
    assert.same({ events[2], events[3] }, raw)
    assert.same({ model = "gpt-5.4", input = "Hi", stream = true }, http.requests[1].body)
  end)

  it("needs no callback: stream = true is enough, and the text is returned", function()
    local client, http = client_of(event_stream(events))
    local session = client:new_responses_chat_session()
    assert.equal("Hello", (session:create_response("Hi", { stream = true })))
    assert.equal("Hello", (session:send("Hi", { stream = true })))
    assert.equal("resp_1", session.current_response_id)
    assert.equal(2, #session.response_history)
    assert.is_true(http.requests[1].body.stream)
  end)

  it("keeps the response that ends it", function()
    local client = client_of(event_stream(events))
    local session = client:new_responses_chat_session()
    session:send("Hi", { stream_callback = function() end })
    assert.equal("resp_1", session.current_response_id)
    assert.equal("Hello", session.response_history[1]:get_output_text())
  end)

  it("keeps a response that was cut by its token limit", function()
    local cut = { type = "response.incomplete", response = response("resp_1", message("Hel")) }
    local client = client_of(event_stream({ delta("Hel"), cut }))
    local session = client:new_responses_chat_session()
    assert.equal("Hel", session:send("Hi", function() end))
    assert.equal("resp_1", session.current_response_id)
  end)

  it("lets the callback's own error through", function()
    local client = client_of(event_stream(events))
    assert.error_matches(function()
      client:new_responses_chat_session():send("Hi", function()
        error("the callback's own")
      end)
    end, "the callback's own")
  end)

  local failures = {
    ["Response failed: out of luck (server_error)"] = {
      type = "response.failed",
      response = { id = "resp_1", error = { code = "server_error", message = "out of luck" } },
    },
    ["Response failed: slow down (rate_limit)"] = { type = "error", message = "slow down", code = "rate_limit" },
    ["Response failed: no memory (500)"] = { error = { message = "no memory", code = 500 } },
  }

  for text, event in pairs(failures) do
    it("fails with its last event: " .. text, function()
      local client = client_of(event_stream({ delta("Hel"), event }))
      local session = client:new_responses_chat_session()
      local reply, failure, body = session:send("Hi", function() end)
      assert.is_nil(reply)
      assert.equal(text, failure)
      assert.same(event, body)
      assert.is_nil(session.current_response_id)
    end)
  end

  it("fails with a refused request's status and words", function()
    local refusal = { error = { message = "no such model", code = "model_not_found" } }
    local client = client_of({ refusal, status = 404 })
    local reply, failure, body = client:new_responses_chat_session():send("Hi", function() end)
    assert.is_nil(reply)
    assert.equal("Request failed with status: 404: no such model (model_not_found)", failure)
    assert.same(refusal, body)
  end)
end)

describe("a failed request in a Responses session", function()
  it("is nil, the status and the body", function()
    local client = client_of({ "gone fishing", status = 503 })
    local session = client:new_responses_chat_session({ previous_response_id = "resp_0" })
    local reply, failure, body = session:send("Hi")
    assert.is_nil(reply)
    assert.equal("Request failed with status: 503: gone fishing", failure)
    assert.equal("gone fishing", body)
    assert.same({}, session.response_history)
    assert.equal("resp_0", session.current_response_id)
  end)

  it("carries the server's own words", function()
    local client = client_of({ { error = { message = "bad id", code = 400 } }, status = 400 })
    local _, failure = client:new_responses_chat_session():send("Hi")
    assert.equal("Request failed with status: 400: bad id (400)", failure)
  end)

  local unusable = {
    ['expected type "table", got "string"'] = "<html>",
    ['field "id": expected type "string", got "nil"'] = { output = { message("Hi") } },
    ['field "output": expected type "table", got "nil"'] = { id = "resp_1" },
  }

  for reason, answer in pairs(unusable) do
    it("names what is wrong with the body: " .. reason, function()
      local client = client_of({ answer })
      local reply, failure, body = client:new_responses_chat_session():send("Hi")
      assert.is_nil(reply)
      assert.equal("Failed to parse response: " .. reason, failure)
      assert.same(answer, body)
    end)
  end

  it("is nil and a message when the network fails", function()
    local client = openai.new()
    client.api_base = server.closed_address
    local reply, failure, body = client:new_responses_chat_session():send("Hi")
    assert.same({ nil, "connection refused: http://127.0.0.1:9/responses" }, { reply, failure })
    assert.is_nil(body)
  end)
end)
