--- The module `openai` and its client: what is sent, what comes back, what scripts can put their own in the place of.

local cjson = require("cjson")
local openai = require("openai")
local ltn12 = require("ltn12")
local extend = require("support.moonscript")
local fake_http = require("support.fake_http")
local fresh = require("support.fresh")
local server = require("support.server")

local describe_with_server = server.describe_with(describe, pending)

local HELLO = { { role = "user", content = "Hello" } }

--- Puts a module into package.loaded until the spec ends.
local function load_as(name, module)
  local before = package.loaded[name]
  package.loaded[name] = module
  finally(function() package.loaded[name] = before end)
end

--- A client whose requests end in a fake, and the fake.
local function faked(...)
  local fake = fake_http({ ... })
  local client = openai.new("sk-secret")
  function client.get_http() return fake end
  return client, fake
end

--- The request that a call of a client's method makes.
local function request_of(method, ...)
  local client, fake = faked({ ok = true })
  client[method](client, ...)
  assert.equal(1, #fake.requests)
  return fake.requests[1]
end

describe("The module openai", function()
  it("makes a client with new, with the class OpenAI, and with a call of it", function()
    assert.equal(openai.OpenAI, openai.new)
    assert.equal(openai.OpenAI.__base, getmetatable(openai.new("key")))
    assert.equal("key", openai.OpenAI("key").api_key)
  end)

  it("has the session classes", function()
    assert.equal("ChatSession", openai.ChatSession.__name)
    assert.equal("ResponsesChatSession", openai.ResponsesChatSession.__name)
  end)

  it("has a version", function()
    assert.matches("^%d+%.%d+%.%d+$", openai.VERSION)
  end)

  it("shares its session class with openai.chat_completions", function()
    assert.equal(openai.ChatSession, require("openai.chat_completions").ChatSession)
  end)

  it("gives the check of messages as a tableshape type", function()
    local test_message = require("openai.chat_completions").test_message
    assert.is_true(test_message({ role = "user", content = "Hi" }))
    local ok, message = test_message({ role = "robot" })
    assert.is_nil(ok)
    assert.matches("role", message)
  end)

  it("gives the shape of tool calls as a tableshape type", function()
    local tool_call_shape = require("openai.chat_completions").tool_call_shape
    local call = { id = "1", type = "function", ["function"] = { name = "f", arguments = "{}" } }
    assert.is_true(tool_call_shape(call))
    assert.is_nil((tool_call_shape({ id = 1 })))
  end)
end)

describe("A new client", function()
  it("speaks to OpenAI unless it is told otherwise", function()
    assert.equal("https://api.openai.com/v1", openai.new("key").api_base)
  end)

  it("takes its default address from OPENAI_BASE_URL", function()
    local environment = { OPENAI_BASE_URL = "http://localhost:11434/v1/" }
    assert.equal(
      "http://localhost:11434/v1",
      fresh([[print(require("openai").new("key").api_base)]], { environment = environment })
    )
  end)

  it("asks for gpt-5.4 by default", function()
    assert.equal("gpt-5.4", openai.new("key").default_model)
  end)

  it("asks for the model in OPENAI_MODEL by default where there is one", function()
    local environment = { OPENAI_MODEL = "mine" }
    assert.equal("mine", fresh([[print(require("openai").new("key").default_model)]], { environment = environment }))
  end)

  it("refuses an address without its scheme", function()
    local message = "base_url: http:// or https:// is missing in front of localhost:1234"
    assert.has_error(function() openai.new("key", { base_url = "localhost:1234" }) end, message)
  end)

  it("copies its config", function()
    local config = { http_provider = "some.module" }
    local client = openai.new("key", config)
    assert.same(config, client.config)
    assert.not_equal(config, client.config)
  end)

  it("has an empty config when none is given", function()
    assert.same({}, openai.new("key").config)
  end)

  it("has fields that a script may set", function()
    local client, fake = faked({})
    client.api_base = "http://localhost:11434/v1"
    client.api_key = "another"
    client.default_model = "mine"
    client:chat(HELLO)
    assert.equal("http://localhost:11434/v1/chat/completions", fake.requests[1].url)
    assert.equal("Bearer another", fake.requests[1].headers["Authorization"])
    assert.equal("mine", fake.requests[1].body.model)
  end)
end)

describe("An endpoint method", function()
  local BETA = "assistants=v1"
  local endpoints = {
    { "chat", { HELLO }, "POST", "/chat/completions", { model = "gpt-5.4", messages = HELLO } },
    { "create_chat_completion", { HELLO }, "POST", "/chat/completions", { model = "gpt-5.4", messages = HELLO } },
    { "completion", { "Once" }, "POST", "/completions",
      { model = "gpt-3.5-turbo-instruct", prompt = "Once" } },
    { "embedding", { "cat" }, "POST", "/embeddings", { model = "text-embedding-3-small", input = "cat" } },
    { "moderation", { "text" }, "POST", "/moderations", { input = "text" } },
    { "models", {}, "GET", "/models" },
    { "files", {}, "GET", "/files" },
    { "file", { "f-1" }, "GET", "/files/f-1" },
    { "delete_file", { "f-1" }, "DELETE", "/files/f-1" },
    { "assistants", {}, "GET", "/assistants", nil, BETA },
    { "threads", {}, "GET", "/threads", nil, BETA },
    { "thread_messages", { "t-1" }, "GET", "/threads/t-1/messages", nil, BETA },
    { "delete_thread", { "t-1" }, "DELETE", "/threads/t-1", nil, BETA },
    { "image_generation", { { prompt = "a cat", n = 2 } }, "POST", "/images/generations",
      { prompt = "a cat", n = 2 } },
  }

  for _, row in ipairs(endpoints) do
    local name, arguments, method, path, payload, beta = unpack(row, 1, 6)
    it(("%s sends %s %s"):format(name, method, path), function()
      local request = request_of(name, unpack(arguments))
      assert.equal(method, request.method)
      assert.equal("https://api.openai.com/v1" .. path, request.url)
      assert.same(payload, request.body)
      assert.equal(beta, request.headers["OpenAI-Beta"])
    end)
  end

  it("puts options over the defaults, key by key", function()
    assert.same(
      { model = "mine", prompt = "Once", temperature = 0, stop = "." },
      request_of("completion", "Once", { model = "mine", temperature = 0, stop = "." }).body
    )
  end)

  it("leaves the caller's options as they are", function()
    local opts = { temperature = 0 }
    request_of("chat", HELLO, opts)
    assert.same({ temperature = 0 }, opts)
  end)

  it("returns status, decoded body and headers", function()
    local client = faked({ id = "m" })
    local status, body, headers = client:models()
    assert.equal(200, status)
    assert.same({ id = "m" }, body)
    assert.same({}, headers)
  end)

  it("returns a body that is not JSON as it came", function()
    local client = faked("<html>", "\255")
    assert.equal("<html>\255", (select(2, client:models())))
  end)

  it("returns a bad status like any other", function()
    local client, fake = faked({ error = { message = "no" } })
    fake.answer.status = 404
    local status, body = client:file("gone")
    assert.equal(404, status)
    assert.equal("no", body.error.message)
  end)

  it("keeps null and empty arrays of an answer apart from nil and objects", function()
    local client, fake = faked('{"none":null,"list":[],"object":{}}')
    local _, body = client:models()
    assert.equal(cjson.null, body.none)
    client:image_generation({ list = body.list })
    client:image_generation({ object = body.object })
    assert.equal('{"list":[]}', fake.requests[2].text)
    assert.equal('{"object":{}}', fake.requests[3].text)
  end)

  for _, name in ipairs({ "embedding", "moderation" }) do
    it(name .. " wants an input", function()
      local client = faked()
      assert.has_error(function() client[name](client) end, "input must be provided")
    end)
  end

  for _, name in ipairs({ "file", "delete_file" }) do
    it(name .. " wants an id", function()
      local client = faked()
      assert.has_error(function() client[name](client) end, "file_id is required")
    end)
  end

  it("keeps an id inside its part of the path", function()
    assert.equal("https://api.openai.com/v1/files/a%2F..%2Fb%3Fc", request_of("file", "a/../b?c").url)
  end)
end)

describe("A request", function()
  it("carries the headers of the API", function()
    local request = request_of("chat", HELLO)
    assert.same({
      ["Host"] = "api.openai.com",
      ["Accept"] = "application/json",
      ["Content-Type"] = "application/json",
      ["Content-Length"] = #request.text,
      ["Authorization"] = "Bearer sk-secret",
    }, request.headers)
  end)

  it("has no Content-Length without a body", function()
    assert.is_nil(request_of("models").headers["Content-Length"])
  end)

  it("has no Authorization without a key", function()
    local client, fake = faked({})
    client.api_key = nil
    client:models()
    assert.is_nil(fake.requests[1].headers["Authorization"])
  end)

  it("sends no temperature unless it is asked for", function()
    assert.is_nil(request_of("chat", HELLO).body.temperature)
  end)

  it("sends null where the script says so", function()
    assert.equal(cjson.null, request_of("chat", HELLO, { stop = cjson.null }).body.stop)
  end)

  it("sends an empty list of messages as a list", function()
    assert.matches('"messages":[]', request_of("chat", {}).text, 1, true)
  end)
end)

describe("A message", function()
  --- The error that sending a message raises; nil if it is sent.
  local function complaint_about(message)
    local client = faked({})
    local ok, failure = pcall(client.chat, client, { { role = "system", content = "Be kind." }, message })
    return not ok and failure or nil
  end

  local ROLES = "expected one of system, developer, user, assistant, function, tool; got "

  local accepted = {
    ["from the system"] = { role = "system", content = "x" },
    ["from the developer"] = { role = "developer", content = "x" },
    ["from the user, with a name"] = { role = "user", content = "x", name = "Ann" },
    ["without content"] = { role = "assistant" },
    ["with null for content"] = { role = "assistant", content = cjson.null },
    ["with tool calls"] = { role = "assistant", tool_calls = { { id = "1" } } },
    ["with a function call"] = { role = "assistant", function_call = { name = "f", arguments = "{}" } },
    ["from a function"] = { role = "function", name = "f", content = "1" },
    ["from a tool"] = { role = "tool", tool_call_id = "1", content = "1" },
    ["of text and picture"] = {
      role = "user",
      content = { { type = "text", text = "x" }, { type = "image_url", image_url = { url = "data:," } } },
    },
    ["with parts of a kind yet to come"] = { role = "user", content = { { type = "smell", smell = {} } } },
  }
  for what, message in pairs(accepted) do
    it(what .. " is sent", function()
      assert.is_nil(complaint_about(message))
    end)
  end

  local refused = {
    { "with a role that there is not", { role = "robot" }, "messages[2].role: " .. ROLES .. '"robot"' },
    { "without a role", { content = "x" }, "messages[2].role: " .. ROLES .. "nothing" },
    { "with a number for content", { role = "user", content = 5 },
      "messages[2].content: expected a string, null or a list of parts, got a number" },
    { "with a part without text", { role = "user", content = { { type = "text" } } },
      "messages[2].content[1].text: expected a string, got nothing" },
    { "with a part that is a string", { role = "user", content = { "x" } },
      "messages[2].content[1]: expected a table with type, got a string" },
    { "from a function without its name", { role = "function", content = "1" },
      'messages[2].name: required when role is "function"' },
    { "from a tool without the call's id", { role = "tool", content = "1" },
      'messages[2].tool_call_id: required when role is "tool"' },
    { "that is a string", "Hello", "messages[2]: expected a table with role and content, got a string" },
    { "that is not UTF-8", { role = "user", content = "\255" },
      "messages[2].content: the string is not valid UTF-8" },
    { "with not a number for content", { role = "user", content = 0 / 0 }, "messages[2].content: JSON has no nan" },
    { "that mixes list and fields", { role = "user", content = { 1, a = 2 } },
      "messages[2].content: the table mixes list items and named fields" },
  }
  for _, row in ipairs(refused) do
    local what, message, complaint = unpack(row)
    it(what .. " is refused by name", function()
      assert.equal(complaint, complaint_about(message))
    end)
  end

  it("is refused before anything is sent", function()
    local client, fake = faked({})
    pcall(client.chat, client, { { role = "robot" } })
    assert.same({}, fake.requests)
  end)

  it("has to stand in a list", function()
    local client = faked({})
    assert.has_error(
      function() client:chat("Hello") end,
      "messages: expected a list of messages, got a string"
    )
  end)
end)

describe("A payload that JSON cannot carry", function()
  local cyclic = {}
  cyclic.self = cyclic
  local refused = {
    { "a number that is none", { temperature = 0 / 0 }, "payload.temperature: JSON has no nan" },
    { "infinity", { temperature = 1 / 0 }, "payload.temperature: JSON has no inf" },
    { "a function", { metadata = { f = print } }, "payload.metadata.f: JSON has no function" },
    { "list items beside fields", { metadata = { 1, 2, a = 3 } },
      "payload.metadata: the table mixes list items and named fields" },
    { "a key that is a table", { metadata = { [{}] = 1 } }, "payload.metadata: a key is a table" },
    { "bytes that are not UTF-8", { user = "\255" }, "payload.user: the string is not valid UTF-8" },
  }
  for _, row in ipairs(refused) do
    local what, opts, complaint = unpack(row)
    it(("is refused for %s, by name"):format(what), function()
      local client, fake = faked({})
      assert.has_error(function() client:chat(HELLO, opts) end, complaint)
      assert.same({}, fake.requests)
    end)
  end

  it("is refused for a table that contains itself", function()
    local client = faked({})
    local ok, complaint = pcall(client.chat, client, HELLO, { metadata = cyclic })
    assert.is_false(ok)
    assert.matches("^payload%.metadata%.self.*does it contain itself%?$", complaint)
  end)

  it("is refused by methods other than chat too", function()
    local client = faked({})
    assert.has_error(function() client:embedding("\255") end, "payload.input: the string is not valid UTF-8")
  end)
end)

describe("The HTTP module", function()
  it("is the one that config.http_provider names", function()
    local fake = fake_http({ {} })
    load_as("my.http", fake)
    local client = openai.new("key", { http_provider = "my.http" })
    assert.equal(fake, client:get_http())
    client:models()
    assert.equal("https://api.openai.com/v1/models", fake.requests[1].url)
  end)

  for _, name in ipairs({ "socket.http", "ssl.https" }) do
    it(("is a table that a suite put at package.loaded[%q]"):format(name), function()
      local fake = fake_http({ { id = "m" } })
      load_as(name, fake)
      local _, body = openai.new("key"):models()
      assert.same({ id = "m" }, body)
      assert.equal(1, #fake.requests)
    end)

    it(("is our %s once a suite stubs its request"):format(name), function()
      local module = require(name)
      local request = stub(module, "request").returns(nil, "stubbed")
      finally(function() request:revert() end)
      assert.has_error(function() openai.new("key"):models() end, "stubbed")
    end)
  end

  it("is lapis.nginx.http where there is a global ngx", function()
    local fake = fake_http({ {} })
    load_as("lapis.nginx.http", fake)
    _G.ngx = {}
    finally(function() _G.ngx = nil end)
    assert.equal(fake, openai.new("key"):get_http())
  end)

  it("is the provider even under nginx", function()
    local fake = fake_http({ {} })
    load_as("my.http", fake)
    _G.ngx = {}
    finally(function() _G.ngx = nil end)
    assert.equal(fake, openai.new("key", { http_provider = "my.http" }):get_http())
  end)

  it("may answer with nil and a message, which is raised", function()
    local client, fake = faked()
    function fake.request() return nil, "wire cut" end
    assert.has_error(function() client:models() end, "wire cut")
  end)

  it("may give the last piece without an end", function()
    local events = {}
    local client = faked('data: {"n":1}\n', 'data: {"n":2}')
    client:create_chat_completion(HELLO, { stream = true }, function(event) table.insert(events, event.n) end)
    assert.same({ 1, 2 }, events)
  end)
end)

describe("A stream", function()
  local FIRST = '{"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Good "}}]}'
  local SECOND = '{"object":"chat.completion.chunk","choices":[{"index":1,"delta":{"content":"day"}}]}'
  local TEXT = ("data: %s\n\ndata: %s\n\ndata: [DONE]\n\n"):format(FIRST, SECOND)

  --- What `chat`'s callback gets of the events in a stream.
  local function chunks_of(...)
    local client = faked(...)
    local chunks = {}
    client:chat(HELLO, { stream = true }, function(chunk) table.insert(chunks, chunk) end)
    return chunks
  end

  local function event(choices, object)
    return "data: " .. cjson.encode({ object = object or "chat.completion.chunk", choices = choices }) .. "\n\n"
  end

  it("gives chat's callback chunks of text and index", function()
    assert.same({ { content = "Good ", index = 0 }, { content = "day", index = 1 } }, chunks_of(TEXT))
  end)

  it("gives chat's callback the raw event second", function()
    local client = faked(TEXT)
    local seen = {}
    client:chat(HELLO, { stream = true }, function(_, raw) table.insert(seen, raw) end)
    assert.same({ cjson.decode(FIRST), cjson.decode(SECOND) }, seen)
  end)

  it("gives create_chat_completion's callback every event, raw", function()
    local client = faked('data: {"other":true}\n\n', TEXT)
    local seen = {}
    client:create_chat_completion(HELLO, { stream = true }, function(...) table.insert(seen, { ... }) end)
    assert.same({ { { other = true } }, { cjson.decode(FIRST) }, { cjson.decode(SECOND) } }, seen)
  end)

  it("asks for a stream in its payload", function()
    local client, fake = faked(TEXT)
    client:chat(HELLO, { stream = true }, function() end)
    assert.is_true(fake.requests[1].body.stream)
  end)

  it("returns its whole text as body", function()
    local client = faked(TEXT:sub(1, 20), TEXT:sub(21))
    local status, body = client:chat(HELLO, { stream = true }, function() end)
    assert.equal(200, status)
    assert.equal(TEXT, body)
  end)

  it("brings chunks whose tostring is their text", function()
    assert.equal("Good ", tostring(chunks_of(TEXT)[1]))
  end)

  it("brings a chunk with an empty text for null content, as servers open with", function()
    local opening = { role = "assistant", content = cjson.null }
    assert.same({ { content = "", index = 0 } }, chunks_of(event({ { index = 0, delta = opening } })))
  end)

  it("brings a chunk with an empty text and the reason for the end, as servers close with", function()
    local closing = { index = 0, delta = {}, finish_reason = "stop" }
    assert.same({ { content = "", index = 0, finish_reason = "stop" } }, chunks_of(event({ closing })))
  end)

  it("brings a chunk with an empty text for a thought, under either name", function()
    local chunk = { content = "", index = 0, reasoning = "Hm" }
    for _, name in ipairs({ "reasoning", "reasoning_content" }) do
      assert.same({ chunk }, chunks_of(event({ { index = 0, delta = { content = cjson.null, [name] = "Hm" } } })))
    end
  end)

  it("brings chunks for events that do not name their object", function()
    local bare = cjson.encode({ choices = { { index = 0, delta = { content = "x" } } } })
    assert.same({ { content = "x", index = 0 } }, chunks_of("data: " .. bare .. "\n\n"))
  end)

  it("brings no chunk for other objects, and for none or several choices", function()
    local choice = { index = 0, delta = { content = "x" } }
    assert.same({}, chunks_of(event({ choice }, "thread.message"), event({ choice, choice }), event({})))
  end)

  it("brings tool calls with a string for content", function()
    local calls = { { index = 0, id = "1", ["function"] = { name = "f", arguments = "" } } }
    assert.same(
      { { content = "", index = 0, tool_calls = calls } },
      chunks_of(event({ { index = 0, delta = { content = cjson.null, tool_calls = calls } } }))
    )
  end)

  for _, method in ipairs({ "chat", "create_chat_completion" }) do
    it(("is refused by %s without a callback"):format(method), function()
      local client, fake = faked(TEXT)
      assert.has_error(
        function() client[method](client, HELLO, { stream = true }) end,
        "Must provide chunk_callback function when streaming response"
      )
      assert.same({}, fake.requests)
    end)
  end

  it("passes on what its callback raises", function()
    local client = faked(TEXT)
    local mine = { "my own error" }
    local ok, raised = pcall(client.chat, client, HELLO, { stream = true }, function() error(mine) end)
    assert.is_false(ok)
    assert.equal(mine, raised)
  end)
end)

describe("_request", function()
  it("is given method, path, payload, headers and stream filter", function()
    local client = faked({})
    local request = stub(client, "_request").returns(200, {}, {})
    client:embedding("cat")
    assert.stub(request).was.called_with(
      client, "POST", "/embeddings", { model = "text-embedding-3-small", input = "cat" }
    )
    client:threads()
    assert.stub(request).was.called_with(client, "GET", "/threads", nil, { ["OpenAI-Beta"] = "assistants=v1" })
  end)

  it("gets a filter that a suite can feed", function()
    local client = faked({})
    local texts = {}
    stub(client, "_request").invokes(function(_, _, _, _, _, filter)
      filter('data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"con')
      filter('tent":"Hi"}}]}\n')
      return 200, ""
    end)
    client:chat(HELLO, { stream = true }, function(chunk) table.insert(texts, chunk.content) end)
    assert.same({ "Hi" }, texts)
  end)

  it("sends further headers over the usual ones", function()
    local client, fake = faked({})
    client:_request("GET", "/anything", nil, { ["Accept"] = "text/plain", ["X-More"] = "1" })
    assert.equal("text/plain", fake.requests[1].headers["Accept"])
    assert.equal("1", fake.requests[1].headers["X-More"])
  end)

  it("feeds its stream filter the pieces as they come, and returns the whole", function()
    local client = faked("one ", "two")
    local pieces = {}
    local _, body = client:_request("GET", "/x", nil, nil, function(piece)
      pieces[#pieces + 1] = piece
      return piece
    end)
    assert.equal("one ", pieces[1])
    assert.equal("one two", table.concat(pieces))
    assert.equal("one two", body)
  end)
end)

describe("A method of a client", function()
  it("can be stubbed by luassert", function()
    local client = openai.new("key")
    local chat = stub(client, "chat").returns(200, { choices = {} })
    assert.equal(200, (client:chat(HELLO)))
    assert.stub(chat).was.called_with(client, HELLO)
  end)

  it("can be replaced on one client alone", function()
    local client = openai.new("key")
    function client.create_chat_completion(_, messages) return 299, messages end
    local status, body = client:chat(HELLO)
    assert.equal(299, status)
    assert.equal(HELLO, body)
    assert.not_equal(client.create_chat_completion, openai.new("key").create_chat_completion)
  end)

  it("can be replaced on the class, for the clients there are too", function()
    local client, base = openai.new("key"), openai.OpenAI.__base
    local before = base.create_chat_completion
    finally(function() base.create_chat_completion = before end)
    function base.create_chat_completion() return 298 end
    assert.equal(298, (client:chat(HELLO)))
  end)

  it("sees defaults that are set on the class", function()
    local client, base = openai.new("key"), openai.OpenAI.__base
    finally(function() base.default_model = "gpt-5.4" end)
    base.default_model = "mine"
    assert.equal("mine", client.default_model)
  end)
end)

describe("A subclass from MoonScript", function()
  it("inherits fields and methods", function()
    local Mine = extend("Mine", openai.OpenAI, { default_model = "mine" })
    local client = Mine("key", { http_provider = "my.http" })
    local fake = fake_http({ {} })
    load_as("my.http", fake)
    client:chat(HELLO)
    assert.equal("mine", fake.requests[1].body.model)
    assert.equal("Bearer key", fake.requests[1].headers["Authorization"])
  end)

  it("calls super in its constructor and its methods", function()
    local Mine
    Mine = extend("Mine", openai.OpenAI, {
      _request = function(self, method, path, ...)
        return Mine.__parent.__base._request(self, method, "/mine" .. path, ...)
      end,
    }, function(self, key)
      Mine.__parent.__init(self, key, { mine = true })
    end)
    local client, fake = Mine("key"), fake_http({ {} })
    function client.get_http() return fake end
    client:models()
    assert.same({ mine = true }, client.config)
    assert.equal("https://api.openai.com/v1/mine/models", fake.requests[1].url)
  end)

  it("is told to a class that wants to know", function()
    local told, before = {}, openai.OpenAI.__inherited
    function openai.OpenAI.__inherited(parent, child) told = { parent, child } end
    finally(function() openai.OpenAI.__inherited = before end)
    local Mine = extend("Mine", openai.OpenAI, {})
    assert.equal(openai.OpenAI, told[1])
    assert.equal(Mine, told[2])
  end)

  it("finds on itself what its parent's class has", function()
    local Mine = extend("Mine", openai.OpenAI, {})
    assert.equal(openai.OpenAI.__base.chat, Mine.chat)
    assert.equal("Mine", Mine("key").__class.__name)
    assert.equal("Mine", Mine.new("key").__class.__name)
  end)
end)

describe_with_server("A client on a real server", function()
  it("sends what it says and reads what comes", function()
    local status, body, headers = server.client():chat(HELLO)
    assert.equal(200, status)
    assert.equal("You said: Hello", body.choices[1].message.content)
    assert.equal("application/json", headers["content-type"])
    local request = server.last_request()
    assert.equal("POST", request.method)
    assert.equal("/v1/chat/completions", request.path)
    assert.equal("Bearer sk-secret", request.headers.authorization)
    assert.equal("application/json", request.headers["content-type"])
    assert.same({ model = "gpt-5.4", messages = HELLO }, cjson.decode(request.body))
  end)

  it("sends all of a body, also where a script has read some of its source", function()
    local client, pieces = server.client(), {}
    local ours = client:get_http()
    function client.get_http()
      return {
        request = function(request)
          local source = request.source
          pieces[1] = source()
          request.source = ltn12.source.cat(ltn12.source.string(pieces[1]), source)
          return ours.request(request)
        end,
      }
    end
    client:chat({ { role = "user", content = ("x"):rep(3 * ltn12.BLOCKSIZE) } })
    assert.equal(ltn12.BLOCKSIZE, #pieces[1])
    local sent = server.last_request()
    assert.equal(tonumber(sent.headers["content-length"]), #sent.body)
    assert.equal(3 * ltn12.BLOCKSIZE, #cjson.decode(sent.body).messages[1].content)
  end)

  it("reads embeddings and models", function()
    local client = server.client()
    local _, embeddings = client:embedding({ "cat" })
    assert.same({ 0.5, -0.25 }, embeddings.data[1].embedding)
    local _, models = client:models()
    assert.equal("echo", models.data[1].id)
  end)

  it("deletes and sends no body with it", function()
    local _, echo = server.client():delete_thread("t-1")
    assert.equal("DELETE", echo.request.method)
    assert.equal("/v1/threads/t-1", echo.request.path)
    assert.equal("", echo.request.body)
  end)

  it("streams as real servers do", function()
    for _, model in ipairs({ "echo", "null-first-delta", "crlf" }) do
      local texts = {}
      local opts = { stream = true, model = model }
      local _, body = server.client():chat(HELLO, opts, function(chunk) table.insert(texts, chunk.content) end)
      assert.equal("You said: Hello", table.concat(texts))
      assert.matches("^data: .*data: %[DONE%]%s*$", body)
    end
  end)

  it("returns a web page as text", function()
    local status, body = server.client():chat(HELLO, { model = "html" })
    assert.equal(200, status)
    assert.equal("<html><p>Please log in</p></html>", body)
  end)

  it("raises a string for a connection that is refused", function()
    local client = server.client()
    client.api_base = server.closed_address .. "/v1"
    assert.has_error(
      function() client:models() end,
      "connection refused: http://127.0.0.1:9/v1/models"
    )
  end)

  it("raises a string for an answer that is cut off", function()
    local client = server.client()
    assert.has_error(
      function() client:chat(HELLO, { model = "cut" }) end,
      "the answer was cut off: " .. server.address .. "/v1/chat/completions"
    )
  end)

  it("raises a string when its time-out passes", function()
    local client = server.client({ timeout = 0.2 })
    assert.has_error(
      function() client:chat(HELLO, { model = "slow" }) end,
      "timed out: no answer within 0.2 s from " .. server.address .. "/v1/chat/completions"
    )
  end)

  it("shows no key in its errors", function()
    local client = server.client()
    client.api_key = "sk-secret\n"
    local ok, complaint = pcall(client.models, client)
    assert.is_false(ok)
    assert.equal("string", type(complaint))
    assert.not_matches("sk-secret", complaint, 1, true)
  end)
end)
