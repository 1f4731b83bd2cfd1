--- Tool calling in chat sessions: calls come back whole, also from streams, and their results go out again.

local cjson = require("cjson")
local openai = require("openai")
local event_stream = require("support.event_stream")
local fake_http = require("support.fake_http")

local weather = {
  type = "function",
  ["function"] = {
    name = "weather",
    description = "Tells the weather",
    parameters = { type = "object", properties = { city = { type = "string" } }, required = { "city" } },
  },
}

---@return table session a chat session with tools
---@return table http the HTTP module that answers it
local function session_of(answer, opts)
  local http = fake_http(answer)
  local client = openai.new("sk-secret")
  client.get_http = function()
    return http
  end
  opts = opts or {}
  opts.tools = opts.tools or { weather }
  return client:new_chat_session(opts), http
end

local function call(id, arguments)
  return { id = id, type = "function", ["function"] = { name = "weather", arguments = arguments } }
end

local function reply(message)
  return { object = "chat.completion", choices = { { index = 0, message = message } } }
end

local function piece(delta)
  return { object = "chat.completion.chunk", choices = { { index = 0, delta = delta } } }
end

-- What a delta brings of the tool call with that index, counted from 0.
local function part(index, arguments, head)
  local found = head or {}
  found.index = index
  found["function"] = { name = found.name, arguments = arguments }
  found.name = nil
  return found
end

local function ignore() end

describe("a request with tools", function()
  it("carries the tools and what the session says of them", function()
    local session, http = session_of({ reply({ content = "Hi" }) }, {
      tool_choice = "auto",
      parallel_tool_calls = false,
    })
    session:send("Hello")
    local body = http.requests[1].body
    assert.same({ { weather }, "auto", false }, { body.tools, body.tool_choice, body.parallel_tool_calls })
  end)

  it("takes another tool choice for one call", function()
    local session, http = session_of({ reply({ content = "Hi" }) }, { tool_choice = "auto" })
    local forced = { type = "function", ["function"] = { name = "weather" } }
    session:send("Hello", { tool_choice = forced })
    session:send("Hello again")
    assert.same(forced, http.requests[1].body.tool_choice)
    assert.equal("auto", http.requests[2].body.tool_choice)
  end)

  it("goes out without tools once the script takes them away", function()
    local session, http = session_of({ reply({ content = "Hi" }) })
    session.tools = nil
    session:send("Hello")
    assert.is_nil(http.requests[1].body.tools)
  end)
end)

describe("a reply that calls tools", function()
  local message = {
    role = "assistant",
    content = cjson.null,
    refusal = cjson.null,
    tool_calls = { call("call_1", '{"city":"Oslo"}'), call("call_2", '{"city":"Rome"}') },
  }

  it("is returned as the server's whole message", function()
    assert.same(message, (session_of({ reply(message) }):send("Weather?")))
  end)

  it("joins the history with its role, content and calls, null kept as null", function()
    local session = session_of({ reply(message) })
    session:send("Weather?")
    assert.same({
      { role = "user", content = "Weather?" },
      { role = "assistant", content = cjson.null, tool_calls = message.tool_calls },
    }, session.messages)
  end)

  it("stays out of the history when asked to", function()
    local session = session_of({ reply(message) })
    session:append_message({ role = "user", content = "Weather?" })
    assert.same(message, (session:generate_response(false)))
    assert.equal(1, #session.messages)
  end)

  it("is answered by a tool message for each call", function()
    local session, http = session_of({ reply(message) })
    local asked = session:send("Weather?")
    http.answer = { reply({ role = "assistant", content = "Sunny in both." }) }
    session:append_message({ role = "tool", tool_call_id = asked.tool_calls[1].id, content = "sunny" })
    local text = session:send({ role = "tool", tool_call_id = asked.tool_calls[2].id, content = "sunny too" })
    assert.equal("Sunny in both.", text)
    assert.same({
      { role = "user", content = "Weather?" },
      { role = "assistant", content = cjson.null, tool_calls = message.tool_calls },
      { role = "tool", tool_call_id = "call_1", content = "sunny" },
      { role = "tool", tool_call_id = "call_2", content = "sunny too" },
    }, http.requests[2].body.messages)
  end)

  it("may carry text beside the calls", function()
    local spoken = { role = "assistant", content = "Let me see.", tool_calls = message.tool_calls }
    local session = session_of({ reply(spoken) })
    assert.same(spoken, (session:send("Weather?")))
    assert.equal("Let me see.", session:last_message().content)
  end)

  it("is plain text where the list of calls is empty", function()
    local session = session_of({ '{"choices":[{"message":{"content":"Hi","tool_calls":[]}}]}' })
    assert.equal("Hi", (session:send("Hello")))
    assert.same({ role = "assistant", content = "Hi" }, session:last_message())
  end)
end)

describe("a tool message", function()
  it("needs the id of its call", function()
    local session = session_of({})
    assert.has_error(function()
      session:send({ role = "tool", content = "sunny" })
    end, 'message.tool_call_id: required when role is "tool"')
    assert.same({}, session.messages)
  end)
end)

describe("a stream that calls tools", function()
  local oslo = call("call_1", '{"city":"Oslo"}')
  local rome = call("call_2", '{"city":"Rome"}')
  local head_1 = { id = "call_1", type = "function", name = "weather" }
  local head_2 = { id = "call_2", type = "function", name = "weather" }

  local function copy(head)
    return { id = head.id, type = head.type, name = head.name }
  end

  local function deltas(...)
    local events = { piece({ role = "assistant", content = cjson.null }) }
    for _, calls in ipairs({ ... }) do
      events[#events + 1] = piece({ tool_calls = calls })
    end
    events[#events + 1] = piece({})
    return event_stream(events)
  end

  it("puts one call together from many chunks", function()
    local session = session_of(deltas(
      { part(0, "", copy(head_1)) },
      { part(0, '{"ci') },
      { part(0, 'ty":"O') },
      { part(0, 'slo"}') }
    ))
    assert.same({ role = "assistant", content = cjson.null, tool_calls = { oslo } }, (session:send("?", ignore)))
  end)

  it("puts parallel calls together by their index, however they are mixed", function()
    local session = session_of(deltas(
      { part(0, "", copy(head_1)), part(1, "", copy(head_2)) },
      { part(1, '{"city"') },
      { part(0, '{"city":') },
      { part(1, ':"Rome"}'), part(0, '"Oslo"}') }
    ))
    assert.same({ oslo, rome }, session:send("?", ignore).tool_calls)
  end)

  it("keeps calls apart that share an index, by their ids", function()
    local session = session_of(deltas(
      { part(0, '{"city":', copy(head_1)) },
      { part(0, '"Oslo"}') },
      { part(0, '{"city":', copy(head_2)) },
      { part(0, '"Rome"}', copy(head_2)) }
    ))
    assert.same({ oslo, rome }, session:send("?", ignore).tool_calls)
  end)

  it("has no content where the stream sends none", function()
    local session = session_of(event_stream({ piece({ tool_calls = { part(0, '{"city":"Oslo"}', copy(head_1)) } }) }))
    assert.same({ role = "assistant", tool_calls = { oslo } }, (session:send("?", ignore)))
  end)

  it("orders calls by their index, not by their arrival", function()
    local session = session_of(deltas(
      { part(1, '{"city":"Rome"}', copy(head_2)) },
      { part(0, '{"city":"Oslo"}', copy(head_1)) }
    ))
    assert.same({ oslo, rome }, session:send("?", ignore).tool_calls)
  end)

  it("takes calls without an index as whole ones", function()
    local session = session_of(deltas({ oslo }, { rome }))
    assert.same({ oslo, rome }, session:send("?", ignore).tool_calls)
  end)

  it("keeps the text that comes before the calls", function()
    local session = session_of(event_stream({
      piece({ role = "assistant", content = "Let me " }),
      piece({ content = "see." }),
      piece({ tool_calls = { part(0, '{"city":"Oslo"}', copy(head_1)) } }),
    }))
    assert.same({ role = "assistant", content = "Let me see.", tool_calls = { oslo } }, (session:send("?", ignore)))
  end)

  it("hands the callback each piece of a call, with an empty text", function()
    local session = session_of(deltas({ part(0, "", copy(head_1)) }, { part(0, '{"city":"Oslo"}') }))
    local chunks = {}
    session:send("?", function(chunk, event)
      assert.equal("chat.completion.chunk", event.object)
      chunks[#chunks + 1] = chunk
    end)
    assert.same({
      { content = "", index = 0 },
      { content = "", index = 0, tool_calls = { part(0, "", copy(head_1)) } },
      { content = "", index = 0, tool_calls = { part(0, '{"city":"Oslo"}') } },
      { content = "", index = 0 },
    }, chunks)
  end)

  it("is followed by the tool's answer like any other reply", function()
    local session, http = session_of(deltas({ part(0, '{"city":"Oslo"}', copy(head_1)) }))
    session:send("Weather?", ignore)
    http.answer = event_stream({ piece({ content = "Sun" }), piece({ content = "ny." }) })
    assert.equal("Sunny.", (session:send({ role = "tool", tool_call_id = "call_1", content = "sunny" }, ignore)))
    assert.same({
      { role = "user", content = "Weather?" },
      { role = "assistant", content = cjson.null, tool_calls = { oslo } },
      { role = "tool", tool_call_id = "call_1", content = "sunny" },
      { role = "assistant", content = "Sunny." },
    }, session.messages)
  end)
end)

describe("openai.chat_completions", function()
  local chat_completions = require("openai.chat_completions")

  it("reads the tool calls in an event", function()
    local calls = { part(0, "{}", { id = "call_1" }) }
    assert.same(
      { content = "", index = 0, tool_calls = calls },
      chat_completions.parse_completion_chunk(piece({ tool_calls = calls }))
    )
  end)

  local oslo = call("call_1", '{"city":"Oslo"}')

  it("has a tableshape type for a tool call", function()
    local shape = chat_completions.tool_call_shape
    assert.is_true(shape(oslo))
    assert.same({ nil, "tool_call.id: expected a string, got nothing" }, { shape(call(nil, "{}")) })
  end)

  it("has a tableshape type for a message, which combines with others", function()
    local types = require("tableshape").types
    local messages = types.array_of(chat_completions.test_message)
    assert.is_true(messages({ { role = "user", content = "Hi" }, { role = "assistant", tool_calls = { oslo } } }))
    local ok, failure = messages({ { role = "tool", content = "Hi" } })
    assert.is_nil(ok)
    assert.equal('array item 1: message.tool_call_id: required when role is "tool"', failure)
  end)
end)
