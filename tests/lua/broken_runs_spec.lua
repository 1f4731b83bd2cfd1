--- What `session:run` leaves behind when something fails: each call has an answer, and the next send works.

local openai = require("openai")
local kinds = require("support.session_kinds")
local tool_server = require("support.tool_server")

local describe_with_server = tool_server.describe_with(describe, pending)
local script, requests = tool_server.script, tool_server.requests

local NOT_RUN = "not run: the run was ended before"

local function city_tool(call)
  return openai.tool({ name = "weather", call = function(arguments) return call(arguments.city) end })
end

--- A reply that calls the tool once for each city.
local function calls(...)
  local list = {}
  for index, city in ipairs({ ... }) do list[index] = { "weather", { city = city } } end
  return { calls = list }
end

local function raise_at(city)
  return city_tool(function(asked)
    if asked == city then error("no station in " .. city, 0) end
    return "4"
  end)
end

for _, session_kind in ipairs(kinds) do
  for _, is_streamed in ipairs({ false, true }) do
    local function options(opts)
      opts = opts or {}
      opts.stream_callback = is_streamed and (opts.stream_callback or function() end) or nil
      return opts
    end

    --- Asserts that the session goes on, and that these are the answers that its next request tells.
    local function assert_goes_on(session, answers)
      local reply, failure = session:send("Are you there?", options())
      assert.truthy(reply, failure)
      local sent = requests()
      assert.same(answers, session_kind.answers(sent[#sent]))
      assert.truthy(session:send("And now?", options()))
      sent = requests()
      assert.same({}, session_kind.answers(sent[#sent]))
    end

    local what = ("%s %s"):format(session_kind.name, is_streamed and "in streams" or "without streams")

    describe_with_server(what .. " stays valid", function()
      it("when a tool's error is raised", function()
        script(calls("Oslo", "Rome", "Bonn"))
        local session = session_kind.new({ tools = { raise_at("Rome") } })
        local ok, failure = pcall(session.run, session, "x", options({ raise = true, limit = 1 }))
        assert.same({ false, "no station in Rome" }, { ok, failure })
        assert_goes_on(session, { "4", "error: no station in Rome", NOT_RUN })
      end)

      it("when a tool's error is raised beside others, which go on to their ends", function()
        script(calls("Oslo", "Bonn", "Rome", "Kyiv"))
        local tool = city_tool(function(city)
          if city == "Rome" then error({ code = 5 }) end
          openai.sleep(0.002)
          return "4 in " .. city
        end)
        local session = session_kind.new({ tools = { tool } })
        local ok, failure = pcall(session.run, session, "x", options({ raise = true, limit = 3 }))
        assert.same({ false, { code = 5 } }, { ok, failure })
        assert_goes_on(session, { "4 in Oslo", "4 in Bonn", "error: {code = 5}", NOT_RUN })
      end)

      it("when two errors are raised, of which the first is told", function()
        script(calls("Oslo", "Rome"))
        local tool = city_tool(function(city)
          openai.sleep(city == "Oslo" and 0.001 or 0.02)
          error("no station in " .. city, 0)
        end)
        local session = session_kind.new({ tools = { tool } })
        local ok, failure = pcall(session.run, session, "x", options({ raise = true }))
        assert.same({ false, "no station in Oslo" }, { ok, failure })
        assert_goes_on(session, { "error: no station in Oslo", "error: no station in Rome" })
      end)

      it("when on_call raises", function()
        script(calls("Oslo", "Rome"))
        local session = session_kind.new({ tools = { raise_at() } })
        local function on_call(call)
          if call.arguments.city == "Rome" then error("nobody answers", 0) end
        end
        assert.has_error(function() session:run("x", options({ on_call = on_call })) end, "nobody answers")
        assert_goes_on(session, { "4", NOT_RUN })
      end)

      it("when on_result raises", function()
        script(calls("Oslo", "Rome"))
        local session = session_kind.new({ tools = { raise_at() } })
        local function on_result() error("the disk is full", 0) end
        assert.has_error(function()
          session:run("x", options({ on_result = on_result, limit = 1 }))
        end, "the disk is full")
        assert_goes_on(session, { "4", NOT_RUN })
      end)

      it("when the task is cancelled while tools run", function()
        for _, limit in ipairs({ 1, 2, 8 }) do
          script(calls("Oslo", "Rome", "Bonn"))
          local begun, noted = {}, {}
          local session = session_kind.new({
            tools = {
              city_tool(function(city)
                begun[#begun + 1] = city
                if city ~= "Oslo" then openai.sleep(60) end
                return "4"
              end),
            },
          })
          local task = openai.spawn(function()
            session:run("x", options({
              limit = limit,
              on_result = function(call) noted[#noted + 1] = call.arguments.city end,
            }))
          end)
          while not begun[2] do openai.sleep(0.001) end
          task:cancel()
          assert.error_matches(function() task:wait() end, "the task was cancelled")
          assert.same({ "Oslo" }, noted)
          assert_goes_on(session, { "4", NOT_RUN, NOT_RUN })
        end
      end)

      it("when the task is cancelled while the only tool runs", function()
        script(calls("Oslo"))
        local has_begun
        local session = session_kind.new({
          tools = {
            city_tool(function()
              has_begun = true
              openai.sleep(60)
            end),
          },
        })
        local task = openai.spawn(session.run, session, "x", options())
        while not has_begun do openai.sleep(0.001) end
        task:cancel()
        assert_goes_on(session, { NOT_RUN })
      end)

      it("when the task is cancelled while the model thinks", function()
        script(calls("Oslo"), { seconds = 0.3, text = "too late" })
        local is_called
        local session = session_kind.new({ tools = { city_tool(function() return "4" end) } })
        local task = openai.spawn(session.run, session, "x", options({
          on_result = function() is_called = true end,
        }))
        while not is_called do openai.sleep(0.001) end
        openai.sleep(0.02)
        task:cancel()
        assert_goes_on(session, { "4" })
      end)

      it("when the server fails in the midst", function()
        for _, reply in ipairs({ { status = 500 }, { status = 429 }, { cut = true }, { body = { 5 } } }) do
          script(calls("Oslo"), reply)
          local session = session_kind.new({ tools = { raise_at() } })
          local found, failure = session:run("x", options())
          assert.is_nil(found)
          assert.is_string(failure)
          assert_goes_on(session, { "4" })
        end
      end)

      it("when the server fails at once", function()
        script({ status = 500 })
        local session = session_kind.new({ tools = { raise_at() } })
        assert.is_nil((session:run("x", options())))
        assert_goes_on(session, {})
      end)

      it("when there are too many rounds", function()
        script(calls("Oslo"), calls("Rome", "Bonn"))
        local session = session_kind.new({ tools = { raise_at() } })
        assert.is_nil((session:run("x", options({ max_steps = 1 }))))
        assert_goes_on(session, { NOT_RUN, NOT_RUN })
      end)

      it("when another run follows", function()
        script(calls("Oslo", "Rome"), calls("Bonn"), { text = "It is 4." })
        local session = session_kind.new({ tools = { raise_at("Oslo") } })
        pcall(session.run, session, "x", options({ raise = true, limit = 1 }))
        local reply, done = session:run("Again", options())
        assert.same({ "It is 4.", 1 }, { reply, #done })
        assert.same({ "error: no station in Oslo", NOT_RUN }, session_kind.answers(requests()[2]))
      end)

      it("when a run without a message follows", function()
        script(calls("Oslo", "Rome"), { text = "It is 4." })
        local session = session_kind.new({ tools = { raise_at("Oslo") } })
        pcall(session.run, session, "x", options({ raise = true, limit = 1 }))
        assert.equal("It is 4.", (session:run(nil, options())))
        assert.same({ "error: no station in Oslo", NOT_RUN }, session_kind.answers(requests()[2]))
      end)

      it("at any moment of a round", function()
        script(calls("Oslo", "Rome"), { text = "by the way" }, { text = "It is 4." })
        local session
        session = session_kind.new({
          tools = {
            city_tool(function(city)
              if city == "Oslo" then assert(session:send("By the way", options())) end
              return "4"
            end),
          },
        })
        session:run("x", options({ limit = 1 }))
        assert.same({ NOT_RUN, NOT_RUN }, session_kind.answers(requests()[2]))
      end)
    end)
  end

  describe_with_server(session_kind.name .. " stays valid", function()
    it("when a stream's callback raises", function()
      script(calls("Oslo"), { text = "It is 4." })
      local session = session_kind.new({ tools = { city_tool(function() return "4" end) } })
      local function callback(chunk)
        if chunk.content ~= "" then error("the screen is full", 0) end
      end
      assert.has_error(function() session:run("x", callback) end, "the screen is full")
      assert.truthy(session:send("Are you there?"))
      assert.same({ "4" }, session_kind.answers(requests()[3]))
    end)

    it("when a method of the client's raises", function()
      script(calls("Oslo"))
      local session = session_kind.new({ tools = { city_tool(function() return "4" end) } })
      local request, count = session.client._request, 0
      function session.client._request(...)
        count = count + 1
        if count == 2 then error("not today", 0) end
        return request(...)
      end
      assert.has_error(function() session:run("x") end, "not today")
      assert.truthy(session:send("Are you there?"))
      assert.same({ "4" }, session_kind.answers(requests()[2]))
    end)

    it("when a method of the script's raises when a reply with calls has come", function()
      for _, name in ipairs({ "generate_response", "create_response" }) do
        script(calls("Oslo"))
        local session = session_kind.new({ tools = { city_tool(function() return "4" end) } })
        local method = session[name]
        if method then
          session[name] = function(...)
            method(...)
            error("the log is full", 0)
          end
          assert.has_error(function() session:run("x") end, "the log is full")
          session[name] = nil
          assert.truthy(session:send("Are you there?"))
          assert.same({ NOT_RUN }, session_kind.answers(requests()[2]))
        end
      end
    end)

    it("keeps the origin of a tool's error", function()
      script(calls("Oslo"))
      local session = session_kind.new({ tools = { city_tool(function() error("here") end) } })
      local ok, failure = pcall(session.run, session, "x", { raise = true })
      assert.is_false(ok)
      assert.matches("^tests/lua/broken_runs_spec.lua:%d+: here$", failure)
    end)
  end)
end

describe_with_server("A chat session stays valid", function()
  it("when its own append_message raises, now or then", function()
    for failing = 2, 4 do
      script(calls("Oslo", "Rome"))
      local session = kinds[1].new({ tools = { raise_at() } })
      local append, count = session.append_message, 0
      function session.append_message(...)
        count = count + 1
        if count == failing then error("the disk is full", 0) end
        return append(...)
      end
      assert.has_error(function() session:run("x") end, "the disk is full")
      session.append_message = nil
      assert.truthy(session:send("Are you there?"))
      local expected = failing == 2 and {} or { "4", "4" }
      assert.same(expected, kinds[1].answers(requests()[2]))
    end
  end)

  it("when a tool's error is raised and append_message is the script's", function()
    script(calls("Oslo", "Rome"))
    local session = kinds[1].new({ tools = { raise_at("Oslo") } })
    local append, seen = session.append_message, {}
    function session.append_message(self, message)
      seen[#seen + 1] = message.content
      return append(self, message)
    end
    assert.has_error(function()
      session:run("x", { raise = true, limit = 1 })
    end, "no station in Oslo")
    assert.same({ "error: no station in Oslo", NOT_RUN }, { seen[3], seen[4] })
    assert.truthy(session:send("Are you there?"))
  end)

  it("when its history is replaced by a tool", function()
    script(calls("Oslo"))
    local session
    session = kinds[1].new({
      tools = {
        city_tool(function()
          session.messages = { { role = "user", content = "another" } }
          return "4"
        end),
      },
    })
    assert.equal("done", (session:run("x")))
    assert.equal(1, #requests()[2].messages)
  end)

  it("after legacy functions that failed", function()
    script({ ["function"] = { "weather", { city = "Oslo" } } })
    local session = kinds[1].new({ functions = { raise_at("Oslo") } })
    assert.has_error(function() session:run("x", { raise = true }) end, "no station in Oslo")
    assert.truthy(session:send("Are you there?"))
    assert.equal("error: no station in Oslo", requests()[2].messages[3].content)
  end)
end)

describe_with_server("A Responses session's pending outputs", function()
  local function broken_session(opts)
    script(calls("Oslo"), { status = 500 })
    opts = opts or {}
    opts.tools = { raise_at() }
    local session = kinds[2].new(opts)
    assert.is_nil((session:run("x")))
    return session
  end

  it("are items that stay until a request has carried them", function()
    local session = broken_session()
    assert.equal(1, #session.pending_outputs)
    assert.same({ "function_call_output", "4" }, { session.pending_outputs[1].type, session.pending_outputs[1].output })
    session.client.api_base = "http://127.0.0.1:9/v1"
    assert.is_nil((session:send("x")))
    assert.equal(1, #session.pending_outputs)
    session.client.api_base = tool_server.address .. "/v1"
    assert.truthy(session:send("x"))
    assert.same({}, session.pending_outputs)
  end)

  it("come before a list of input, or a text", function()
    for _, input in ipairs({ "y", { { role = "user", content = "y" } } }) do
      local session = broken_session()
      session:send(input)
      local sent = requests()[3].input
      assert.same({ "function_call_output", "user", "y" }, { sent[1].type, sent[2].role, sent[2].content })
      assert.equal(2, #sent)
    end
  end)

  it("give way to an output of the script's own", function()
    local session = broken_session()
    local output = { type = "function_call_output", call_id = session.pending_outputs[1].call_id, output = "mine" }
    assert.truthy(session:send({ output }))
    assert.same({ "mine" }, kinds[2].answers(requests()[3]))
    assert.same({}, session.pending_outputs)
  end)

  it("do not go with a request that goes on from another response", function()
    local session = broken_session()
    assert.truthy(session:create_response("y", { previous_response_id = "resp_0" }))
    assert.same({}, kinds[2].answers(requests()[3]))
    assert.equal(1, #session.pending_outputs)
  end)

  it("go with any request of a conversation", function()
    local session = broken_session({ conversation = "conv_1" })
    assert.truthy(session:send("y"))
    assert.same({ "4" }, kinds[2].answers(requests()[3]))
  end)

  it("may be edited by the script", function()
    local session = broken_session()
    session.pending_outputs[1].output = "edited"
    table.insert(session.pending_outputs, { role = "user", content = "PS" })
    assert.truthy(session:send("y"))
    assert.same({ "edited" }, kinds[2].answers(requests()[3]))
    assert.equal("PS", requests()[3].input[2].content)
  end)
end)

describe_with_server("A chat session stays valid after calls", function()
  local told = { name = "weather", arguments = "{}" }
  local whole = { id = "call", type = "function", ["function"] = told }

  for what, reply in pairs({
    ["that are told twice, in the old form too"] = { tool_calls = { whole }, function_call = told },
    ["with an id that is a number"] = { tool_calls = { { id = 5, type = "function", ["function"] = told } } },
    ["without an id"] = { tool_calls = { { type = "function", ["function"] = told } } },
    ["that are none"] = { tool_calls = { "weather", whole } },
    ["whose name is a number"] = { function_call = { name = 5, arguments = "{}" } },
  }) do
    it(what, function()
      reply.role = "assistant"
      script({ body = { object = "chat.completion", choices = { { index = 0, message = reply } } } })
      local session = kinds[1].new({ tools = { city_tool(function() return "4" end) } })
      assert.equal("done", session:run("How warm?"))
      assert.equal("done", session:send("And now?"))
    end)
  end
end)
