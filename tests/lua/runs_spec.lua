--- `session:run`, on both kinds of session: what is called, what the model is told, what the caller gets.

local cjson = require("cjson")
local openai = require("openai")
local types = require("tableshape").types
local kinds = require("support.session_kinds")
local tool_server = require("support.tool_server")

local describe_with_server = tool_server.describe_with(describe, pending)
local script, requests = tool_server.script, tool_server.requests

local NULL = cjson.null

--- A tool that takes a city, and perhaps a unit; its function is given.
local function weather_tool(call)
  return openai.tool({
    name = "weather",
    parameters = types.shape({ city = types.string, unit = types.one_of({ "C", "F" }):is_optional() }),
    call = call or function() return { celsius = 4 } end,
  })
end

local function weather(arguments)
  return { "weather", arguments or { city = "Oslo" } }
end

local function calls(...)
  return { calls = { ... } }
end

for _, session_kind in ipairs(kinds) do
  --- Runs a script of replies with one tool; returns what `run` does.
  local function run(replies, tool, opts, session_opts)
    script(unpack(replies))
    session_opts = session_opts or {}
    session_opts.tools = session_opts.tools or { tool or weather_tool() }
    local session = session_kind.new(session_opts)
    return session, session:run("How warm is it?", opts)
  end

  --- What the model was told of the calls before its Nth request.
  local function told(number)
    return session_kind.answers(requests()[number])
  end

  describe_with_server(session_kind.name .. " with tools", function()
    it("runs what the model calls, until it answers", function()
      local _, reply, done = run({ calls(weather()), calls(weather({ city = "Rome" })), { text = "It is 4." } })
      assert.equal("It is 4.", reply)
      assert.equal(2, #done)
      assert.same({ "weather", { celsius = 4 } }, { done[1].name, done[1].result })
      assert.same({ city = "Oslo" }, done[1].arguments)
      assert.same({ city = "Rome" }, done[2].arguments)
      assert.is_string(done[1].id)
      assert.is_true(done[1].seconds >= 0)
      assert.is_nil(done[1].error)
      assert.same({ 3, { '{"celsius":4}' } }, { #requests(), told(2) })
    end)

    it("returns a text at once where nothing is called, and an empty list", function()
      local _, reply, done = run({ { text = "Hello." } })
      assert.same({ "Hello.", {} }, { reply, done })
    end)

    it("gives each result its text: a string as it is, JSON for the rest, null for nil", function()
      local results = { "so-so", { 1, 2 }, true, 4.5 }
      local position = 0
      local tool = weather_tool(function()
        position = position + 1
        return results[position]
      end)
      run({ calls(weather(), weather(), weather(), weather(), weather()) }, tool, { limit = 1 })
      assert.same({ "so-so", "[1,2]", "true", "4.5", "null" }, told(2))
    end)

    it("leaves null out for an optional field, and gives the function what the type makes", function()
      local got
      local tool = openai.tool({
        name = "weather",
        parameters = types.shape({ city = types.string / string.upper, unit = types.string:is_optional() }),
        call = function(arguments) got = arguments end,
      })
      local _, _, done = run({ calls(weather({ city = "null", unit = NULL })) }, tool)
      assert.same({ city = "NULL" }, got)
      assert.equal(got, done[1].arguments)
    end)

    it("does the same for a tool with a JSON schema", function()
      local got = {}
      local tool = openai.tool({
        name = "weather",
        parameters = { type = "object", properties = { city = { type = "string" }, unit = { type = "string" } } },
        call = function(arguments) got[#got + 1] = arguments end,
      })
      run({ calls(weather({ city = "Oslo", unit = NULL }), weather({ city = 5 })) }, tool)
      assert.same({ { city = "Oslo" } }, got)
      assert.same({ "null", 'arguments.city: expected type "string", got "number"' }, told(2))
    end)

    it("hands any object to a tool without parameters, and takes no text for none", function()
      local got = {}
      local tool = openai.tool({ name = "weather", call = function(arguments) got[#got + 1] = arguments end })
      run({ calls(weather({ a = NULL }), { "weather", "" }) }, tool, { limit = 1 })
      assert.same({ { a = NULL }, {} }, got)
    end)

    it("tells the model in one line what is wrong with a call", function()
      local function fail() error("no station there") end
      local failing = weather_tool(fail)
      local _, reply, done = run({
        calls(weather(), weather({}), { "weather", "{oops" }, { "weather", "[]" }, { "storm", { a = 1 } }),
        { text = "Well." },
      }, failing)
      assert.equal("Well.", reply)
      local answers = told(2)
      assert.equal("error: no station there", answers[1])
      assert.equal('arguments.city: expected type "string", got "nil"', answers[2])
      assert.matches("^arguments: not JSON: ", answers[3])
      assert.equal('arguments: expected type "object", got "array"', answers[4])
      assert.equal("there is no tool 'storm'; the tools are: weather", answers[5])
      for index, call in ipairs(done) do
        assert.is_nil(call.result)
        assert.equal(index == 1 and "no station there" or answers[index], call.error)
        assert.is_nil(call.error:find("\n"))
      end
      assert.same({ { city = "Oslo" }, {}, "{oops", "[]", { a = 1 } }, {
        done[1].arguments, done[2].arguments, done[3].arguments, done[4].arguments, done[5].arguments,
      })
    end)

    it("shows no traceback and no path of an error", function()
      local raised = {
        "/home/me/tools/weather.lua:12: no /home/me/data.txt\nstack traceback:\n\t[C]: in ?",
        { code = 5 },
        setmetatable({}, { __tostring = function() return "an error of mine" end }),
      }
      local position = 0
      local tool = weather_tool(function()
        position = position + 1
        error(raised[position], 0)
      end)
      run({ calls(weather(), weather(), weather()) }, tool, { limit = 1 })
      assert.same({ "error: no data.txt", "error: {code = 5}", "error: an error of mine" }, told(2))
    end)

    it("takes nil and a reason for a failure", function()
      local _, _, done = run({ calls(weather()) }, weather_tool(function() return nil, "the line is busy" end))
      assert.same({ "error: the line is busy" }, told(2))
      assert.same({ "the line is busy", nil }, { done[1].error, done[1].result })
    end)

    it("takes any value for a reason, and false for a result", function()
      local results = { { nil, { code = 5 } }, { false, "x" } }
      local position = 0
      local tool = weather_tool(function()
        position = position + 1
        return unpack(results[position], 1, 2)
      end)
      run({ calls(weather(), weather()) }, tool, { limit = 1 })
      assert.same({ 'error: {"code":5}', "false" }, told(2))
    end)

    it("tells of results that JSON cannot carry", function()
      local results = { print, { f = print }, 0 / 0, "\255", { "\255" } }
      local position = 0
      local tool = weather_tool(function()
        position = position + 1
        return results[position]
      end)
      local _, _, done = run(
        { calls(weather(), weather(), weather(), weather(), weather()) },
        tool,
        { limit = 1 }
      )
      assert.same({
        "error: result: JSON has no function",
        "error: result.f: JSON has no function",
        "error: result: JSON has no nan",
        "error: result: the string is not valid UTF-8",
        "error: result[1]: the string is not valid UTF-8",
      }, told(2))
      assert.is_nil(done[1].result)
    end)

    it("says which tools can be called, of those that are declared", function()
      local storm = { type = "function", ["function"] = { name = "storm" } }
      local flat = { type = "function", name = "rain" }
      run({ calls({ "storm", {} }, { "rain", {} }) }, nil, nil, { tools = { storm, weather_tool(), flat } })
      assert.same({
        "there is no tool 'storm'; the tools are: weather",
        "there is no tool 'rain'; the tools are: weather",
      }, told(2))
    end)

    it("takes tools for one run, in the place of the session's", function()
      script(calls({ "now", {} }, weather()))
      local now = openai.tool({ name = "now", call = function() return "noon" end })
      session_kind.new({ tools = { weather_tool() } }):run("When?", { tools = { now } })
      assert.same({ "noon", "there is no tool 'weather'; the tools are: now" }, told(2))
    end)

    it("streams every round", function()
      local texts = {}
      local _, reply = run(
        { { calls = { weather() }, text = "Let me look. " }, { text = "It is 4." } },
        nil,
        { stream_callback = function(chunk) texts[#texts + 1] = chunk.content end }
      )
      assert.equal("It is 4.", reply)
      assert.equal("Let me look. It is 4.", table.concat(texts))
      assert.same({ true, true }, { requests()[1].stream, requests()[2].stream })
      assert.same({ '{"celsius":4}' }, told(2))
    end)

    it("takes a callback in the place of the options, as send does", function()
      local texts = {}
      local _, reply = run({ calls(weather()), { text = "It is 4." } }, nil, function(chunk)
        texts[#texts + 1] = chunk.content
      end)
      assert.same({ "It is 4.", "It is 4." }, { reply, table.concat(texts) })
    end)

    it("ends after max_steps rounds", function()
      local again = calls(weather())
      local session, reply, failure, body = run({ again, again, again }, nil, { max_steps = 2 })
      assert.same({ nil, "no answer after 2 rounds of tool calls" }, { reply, failure })
      assert.equal(session.last_response, body)
      assert.equal(3, #requests())
      assert.truthy(session:send("Well?"))
      assert.same({ "not run: the run was ended before" }, told(4))
    end)

    it("takes 10 rounds when none are named", function()
      local replies = {}
      for index = 1, 11 do replies[index] = calls(weather()) end
      local _, reply, failure = run(replies)
      assert.same({ nil, "no answer after 10 rounds of tool calls" }, { reply, failure })
      assert.equal(11, #requests())
      replies[11] = { text = "At last." }
      _, reply = run(replies)
      assert.equal("At last.", reply)
    end)

    it("forces a call in the first round only", function()
      for _, choice in ipairs({ "required", { type = "function", ["function"] = { name = "weather" } } }) do
        run({ calls(weather()), calls(weather()) }, nil, { tool_choice = choice })
        local sent = requests()
        assert.same({ choice, nil, nil }, { sent[1].tool_choice, sent[2].tool_choice, sent[3].tool_choice })
        local session = run({ calls(weather()) }, nil, nil, { tool_choice = choice })
        sent = requests()
        assert.same({ choice, "auto" }, { sent[1].tool_choice, sent[2].tool_choice })
        assert.same(choice, session.opts.tool_choice)
      end
    end)

    it("keeps other choices in every round", function()
      for _, choice in ipairs({ "auto", "none", { type = "allowed_tools", mode = "auto", tools = {} } }) do
        run({ calls(weather()) }, nil, { tool_choice = choice })
        assert.same(choice, requests()[2].tool_choice)
      end
    end)

    it("sends what its options hold, and none of its own", function()
      local function ignore() end
      local opts = {
        temperature = 0,
        max_steps = 3,
        limit = 2,
        raise = true,
        on_call = ignore,
        on_result = ignore,
      }
      run({ calls(weather()) }, nil, opts)
      for _, sent in ipairs(requests()) do
        assert.equal(0, sent.temperature)
        for _, name in ipairs({ "max_steps", "limit", "raise", "on_call", "on_result", "stream_callback" }) do
          assert.is_nil(sent[name])
        end
      end
      assert.equal(3, opts.max_steps)
    end)

    it("names an option of its own that is wrong, and sends nothing", function()
      script()
      local session = session_kind.new({ tools = { weather_tool() } })
      for options, message in pairs({
        [{ max_steps = 0 }] = "run: max_steps: expected a number from 1, got 0",
        [{ limit = "x" }] = "run: limit: expected a number from 1, got x",
        [{ on_call = 5 }] = "run: on_call: expected a function, got 5",
        [{ on_result = "f" }] = "run: on_result: expected a function, got f",
      }) do
        assert.has_error(function() session:run("x", options) end, message)
      end
      local twice = { tools = { weather_tool(), weather_tool() } }
      assert.has_error(function() session:run("x", twice) end, "run: tools: two are called weather")
      assert.has_error(function() session.run("x") end, "run: call it with a colon: session:run(...)")
      assert.same({}, requests())
    end)

    it("asks on_call before each call, and on_result is told of each", function()
      local seen = {}
      local function note(what)
        return function(call)
          seen[#seen + 1] = { what, call.name, call.arguments.city, call.result, call.error, call.seconds ~= nil }
        end
      end
      run({ calls(weather(), weather({ city = 5 })) }, nil, {
        limit = 1,
        on_call = note("before"),
        on_result = note("after"),
      })
      assert.same({
        { "before", "weather", "Oslo", nil, nil, false },
        { "after", "weather", "Oslo", { celsius = 4 }, nil, true },
        { "after", "weather", 5, nil, 'arguments.city: expected type "string", got "number"', true },
      }, seen)
    end)

    it("does not run what on_call refuses, and tells the model the reason", function()
      local count = 0
      local tool = weather_tool(function() count = count + 1 end)
      local answers = { { false, "not on a Sunday" }, { false }, { nil }, { true } }
      local position = 0
      local _, _, done = run({ calls(weather(), weather(), weather(), weather()) }, tool, {
        limit = 1,
        on_call = function()
          position = position + 1
          return unpack(answers[position], 1, 2)
        end,
      })
      assert.equal(2, count)
      assert.same({ "refused: not on a Sunday", "refused: this call is not allowed", "null", "null" }, told(2))
      assert.equal("refused: not on a Sunday", done[1].error)
    end)

    it("calls the function with the arguments that on_call has changed", function()
      local got
      run({ calls(weather()) }, weather_tool(function(arguments) got = arguments.city end), {
        on_call = function(call) call.arguments.city = "Rome" end,
      })
      assert.equal("Rome", got)
    end)

    it("returns a failure as send does", function()
      local _, reply, failure, body = run({ calls(weather()), { status = 500 } })
      assert.is_nil(reply)
      assert.matches("status: 500: Told to fail", failure)
      assert.equal("Told to fail", body.error.message)
    end)

    it("has no end of answers where a model calls and writes at once", function()
      local _, reply, done = run({ { calls = { weather() }, text = "One moment." }, { text = "It is 4." } })
      assert.same({ "It is 4.", 1 }, { reply, #done })
    end)
  end)

  describe_with_server(session_kind.name .. " with calls side by side", function()
    --- A tool whose calls note how many of them are under way.
    local function counting_tool(noted)
      local now = 0
      return weather_tool(function(arguments)
        now = now + 1
        noted.most = math.max(noted.most or 0, now)
        -- The first waits longest.
        openai.sleep(arguments.city == "1" and 0.02 or 0.001)
        now = now - 1
        return arguments.city
      end)
    end

    local function twelve()
      local list = {}
      for index = 1, 12 do list[index] = weather({ city = tostring(index) }) end
      return calls(unpack(list))
    end

    local IN_ORDER = { "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12" }

    it("runs 8 at once, and sends the results in the calls' order", function()
      local noted = {}
      local _, _, done = run({ twelve() }, counting_tool(noted))
      assert.equal(8, noted.most)
      assert.same(IN_ORDER, told(2))
      for index, call in ipairs(done) do assert.equal(IN_ORDER[index], call.result) end
    end)

    it("runs as many as limit says", function()
      local noted = {}
      run({ twelve() }, counting_tool(noted), { limit = 3 })
      assert.equal(3, noted.most)
      run({ twelve() }, counting_tool(noted), { limit = 12 })
      assert.equal(12, noted.most)
      noted.most = 0
      run({ twelve() }, counting_tool(noted), { limit = 1 })
      assert.same({ 1, IN_ORDER }, { noted.most, told(2) })
    end)

    it("runs beside other tasks", function()
      script(calls(weather()), { text = "a" })
      local order = {}
      local session = session_kind.new({
        tools = {
          weather_tool(function()
            order[#order + 1] = "begins"
            openai.sleep(0.02)
            order[#order + 1] = "ends"
          end),
        },
      })
      local task = openai.spawn(function() return session:run("x") end)
      while not order[1] do openai.sleep(0.001) end
      order[#order + 1] = "others"
      assert.equal("a", (task:wait()))
      assert.same({ "begins", "others", "ends" }, order)
    end)
  end)
end

describe_with_server("A chat session", function()
  it("runs legacy functions", function()
    for _, callback in ipairs({ false, function() end }) do
      script({ ["function"] = weather() }, { ["function"] = { "storm", {} } }, { text = "It is 4." })
      local session = kinds[1].new({ functions = { weather_tool(), { name = "storm" } }, function_call = "auto" })
      local reply, done = session:run("How warm?", { stream_callback = callback or nil })
      assert.equal("It is 4.", reply)
      assert.same({ nil, { celsius = 4 } }, { done[1].id, done[1].result })
      local sent = requests()
      assert.same({ role = "function", name = "weather", content = '{"celsius":4}' }, sent[2].messages[3])
      assert.equal("there is no tool 'storm'; the tools are: weather", sent[3].messages[5].content)
      assert.equal("weather", sent[1].functions[1].name)
      assert.is_nil(sent[1].tools)
      assert.truthy(session:send("Well?"))
    end
  end)

  it("forces a legacy function in the first round only", function()
    script({ ["function"] = weather() })
    kinds[1].new({ functions = { weather_tool() } }):run("x", { function_call = { name = "weather" } })
    local sent = requests()
    assert.same({ { name = "weather" }, nil }, { sent[1].function_call, sent[2].function_call })
  end)

  it("refuses a function that is none when it is made", function()
    assert.has_error(function()
      kinds[1].new({ functions = { { type = "function", ["function"] = { name = 5 } } } })
    end, "functions[1].name: expected a string, got a number")
  end)

  it("answers calls of other kinds too", function()
    local custom = { id = "c1", type = "custom", custom = { name = "sql", input = "select 1" } }
    local message = { role = "assistant", content = NULL, tool_calls = { custom } }
    script({ body = { choices = { { message = message } } } }, { text = "So be it." })
    assert.equal("So be it.", (kinds[1].new({ tools = { weather_tool() } }):run("x")))
    assert.equal("there is no tool 'sql'; the tools are: weather", requests()[2].messages[3].content)
  end)

  it("answers calls of a custom tool of the Responses API", function()
    script({ calls = { weather() }, custom = { "sql", "select 1" } }, { text = "So be it." })
    local reply, done = kinds[2].new({ tools = { weather_tool() } }):run("x")
    assert.equal("So be it.", reply)
    assert.equal("there is no tool 'sql'; the tools are: weather", done[2].error)
    assert.equal("custom_tool_call_output", requests()[2].input[2].type)
  end)

  it("keeps a given output of a custom tool's call", function()
    script({ custom = { "sql", "select 1" } }, { text = "So be it." })
    local session = kinds[2].new({})
    session:send("Hi")
    local output = { type = "custom_tool_call_output", call_id = "custom_2", output = "1" }
    assert.equal("So be it.", (session:run({ output })))
    assert.same({ output }, requests()[2].input)
  end)

  it("takes a message in the place of a text", function()
    script(calls(weather()))
    local session = kinds[1].new({ tools = { weather_tool() } })
    session:run({ role = "user", name = "me", content = "How warm?" })
    assert.equal("me", requests()[1].messages[1].name)
  end)

  it("goes on from the history as it stands without a message", function()
    script({ text = "Hello." })
    local session = kinds[1].new({ messages = { { role = "user", content = "Hi" } } })
    assert.equal("Hello.", (session:run()))
    assert.equal(2, #session.messages)
  end)

  it("runs the calls that a send has left", function()
    script(calls(weather()), { text = "It is 4." })
    local session = kinds[1].new({ tools = { weather_tool() } })
    session:send("How warm?")
    local reply, done = session:run()
    assert.same({ "It is 4.", 1 }, { reply, #done })
    assert.equal('{"celsius":4}', requests()[2].messages[3].content)
  end)

  it("runs what is left of calls that the script has answered itself", function()
    script(calls(weather(), weather()), { text = "It is 4." })
    local session = kinds[1].new({ tools = { weather_tool() } })
    local message = session:send("How warm?")
    session:append_message({ role = "tool", tool_call_id = message.tool_calls[1].id, content = "mine" })
    local reply, done = session:run()
    assert.same({ "It is 4.", 1 }, { reply, #done })
    assert.same({ "mine", '{"celsius":4}' }, kinds[1].answers(requests()[2]))
  end)

  it("answers calls that a send has left before it sends another message", function()
    script(calls(weather()))
    local session = kinds[1].new({ tools = { weather_tool() } })
    session:send("How warm?")
    assert.equal("done", (session:run("Never mind.")))
    assert.equal("not run: the run was ended before", requests()[2].messages[3].content)
  end)

  it("takes an answer of the script's, and says of the others that they were not run", function()
    script(calls(weather(), weather()))
    local session = kinds[1].new({ tools = { weather_tool() } })
    local message = session:send("How warm?")
    local answer = { role = "tool", tool_call_id = message.tool_calls[2].id, content = "mine" }
    assert.equal("done", (session:run(answer)))
    assert.same({ "mine", "not run: the run was ended before" }, kinds[1].answers(requests()[2]))
  end)

  it("has the answers in its history, each after its call", function()
    script(calls(weather(), weather()))
    local session = kinds[1].new({ tools = { weather_tool() } })
    session:run("How warm?")
    local roles = {}
    for index, message in ipairs(session.messages) do roles[index] = message.role end
    assert.same({ "user", "assistant", "tool", "tool", "assistant" }, roles)
  end)

  it("appends answers by its own method, when they are final", function()
    script(calls(weather(), weather()))
    local session = kinds[1].new({ tools = { weather_tool() } })
    local append, seen = session.append_message, {}
    function session.append_message(self, ...)
      for index = 1, select("#", ...) do
        local message = select(index, ...)
        seen[#seen + 1] = message.role .. ": " .. tostring(message.content)
      end
      return append(self, ...)
    end
    session:run("How warm?")
    assert.same({
      "user: How warm?",
      "assistant: " .. tostring(NULL),
      'tool: {"celsius":4}',
      'tool: {"celsius":4}',
      "assistant: done",
    }, seen)
    assert.equal(5, #session.messages)
  end)

  it("keeps its order where a tool appends a message", function()
    for _, is_replaced in ipairs({ false, true }) do
      script(calls(weather(), weather()))
      local session
      session = kinds[1].new({
        tools = {
          weather_tool(function()
            session:append_message({ role = "user", content = "By the way" })
            return "x"
          end),
        },
      })
      if is_replaced then
        local append = session.append_message
        function session.append_message(...) return append(...) end
      end
      assert.equal("done", (session:run("How warm?")))
      local roles = {}
      for index, message in ipairs(session.messages) do roles[index] = message.role end
      assert.same({ "user", "assistant", "tool", "tool", "user", "user", "assistant" }, roles)
    end
  end)

  it("asks by generate_response, which a script may replace", function()
    script(calls(weather()))
    local session = kinds[1].new({ tools = { weather_tool() } })
    local generate, asked = session.generate_response, 0
    function session.generate_response(self, ...)
      asked = asked + 1
      return generate(self, ...)
    end
    session:run("How warm?")
    assert.equal(2, asked)
  end)

  it("keeps a reply that a replaced generate_response has not kept", function()
    script()
    local session = kinds[1].new({ tools = { weather_tool() } })
    local call = { id = "c", type = "function", ["function"] = { name = "weather", arguments = '{"city":"x"}' } }
    local generate = session.generate_response
    function session.generate_response(self)
      self.generate_response = generate
      return { content = NULL, tool_calls = { call } }
    end
    assert.equal("done", (session:run("How warm?")))
    assert.equal(3, #requests()[1].messages)
  end)
end)

describe_with_server("A Responses session", function()
  it("asks by create_response, which a script may replace, and which sees the outputs", function()
    script(calls(weather()))
    local session = kinds[2].new({ tools = { weather_tool() } })
    local create, inputs = session.create_response, {}
    function session.create_response(self, input, ...)
      inputs[#inputs + 1] = input
      return create(self, input, ...)
    end
    session:run("How warm?")
    assert.equal("How warm?", inputs[1])
    assert.same({ "function_call_output", '{"celsius":4}' }, { inputs[2][1].type, inputs[2][1].output })
  end)

  it("takes a list in the place of a text", function()
    script(calls(weather()))
    local session = kinds[2].new({ tools = { weather_tool() } })
    assert.equal("done", (session:run({ { role = "user", content = "How warm?" } })))
  end)

  it("runs the calls that a send has left", function()
    script(calls(weather()), { text = "It is 4." })
    local session = kinds[2].new({ tools = { weather_tool() } })
    session:send("How warm?")
    local reply, done = session:run()
    assert.same({ "It is 4.", 1 }, { reply, #done })
  end)

  it("answers calls that a send has left before what it sends, but those that the script answers", function()
    script(calls(weather(), weather()), { text = "a" })
    local session = kinds[2].new({ tools = { weather_tool() } })
    local response = session:send("How warm?")
    local id = response.output[2].call_id
    assert.equal("a", (session:run({ { type = "function_call_output", call_id = id, output = "mine" } })))
    assert.same({ "not run: the run was ended before", "mine" }, kinds[2].answers(requests()[2]))
    assert.same({}, session.pending_outputs)
  end)

  it("works within a conversation", function()
    script(calls(weather()), calls(weather()))
    local session = kinds[2].new({ tools = { weather_tool() }, conversation = "conv_1" })
    assert.equal("done", (session:run("How warm?")))
    assert.same({ '{"celsius":4}' }, kinds[2].answers(requests()[3]))
    assert.is_nil(requests()[3].previous_response_id)
  end)
end)
