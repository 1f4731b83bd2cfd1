--- What stands in Lua and in Python alike, on the same cases as for Python.

local cjson = require("cjson")
local openai = require("openai")
local sse = require("openai.sse")
local vectors = require("support.vectors")

--- Bytes that are written as %XX.
local function bytes_of(text)
  return (text:gsub("%%(%x%x)", function(digits)
    return string.char(tonumber(digits, 16))
  end))
end

describe("The filter of a stream", function()
  for _, case in ipairs(vectors("sse", true)) do
    it("reads " .. case.what, function()
      local events = {}
      local filter = sse.create_stream_filter(function(event)
        table.insert(events, event)
      end)
      for _, piece in ipairs(case.pieces) do
        filter(bytes_of(piece))
      end
      filter(nil)
      assert.same(case.events, events)
    end)
  end
end)

describe("A chunk", function()
  local parse_completion_chunk = require("openai.chat_completions").parse_completion_chunk

  for number, case in ipairs(vectors("chunks", true)) do
    it(("is read, or not: %d"):format(number), function()
      local chunk = parse_completion_chunk(case.event)
      if case.chunk == cjson.null then
        assert.is_nil(chunk)
      else
        assert.same(case.chunk, chunk)
        assert.equal(case.chunk.content, tostring(chunk))
      end
    end)

    it(("has a content without a text, or not: %d"):format(number), function()
      local call = { index = 0, id = "c", ["function"] = { name = "f", arguments = "{}" } }
      local client = {}
      function client.chat(_, _, _, callback)
        local chunk = parse_completion_chunk(case.event)
        if chunk then
          callback(chunk, case.event)
        end
        callback({ content = "", index = 0, tool_calls = { call } }, {})
        return 200, ""
      end
      local session = openai.ChatSession(client)
      local ok = session:generate_response(true, function() end)
      local text = case.chunk ~= cjson.null and case.chunk.content or ""
      if ok and text == "" then
        assert.equal(case.is_content_empty and cjson.null or nil, session:last_message().content)
      end
    end)
  end
end)

describe("Messages and input", function()
  local client = openai.new("key")
  function client._request()
    return 200, {}
  end
  local checks = {
    message = function(value)
      openai.ChatSession(client):append_message(value)
    end,
    messages = function(value)
      client:create_chat_completion(value)
    end,
    input = function(value)
      openai.ResponsesChatSession(client):create_response(value)
    end,
  }

  for _, case in ipairs(vectors("messages", true)) do
    local shown = ("%s: %s"):format(case.checks, cjson.encode({ case.value }))
    it((case.fails and "are refused: " or "are taken: ") .. shown, function()
      if case.fails then
        assert.has_error(function()
          checks[case.checks](case.value)
        end, case.fails)
      else
        checks[case.checks](case.value)
      end
    end)
  end
end)

describe("What an answer means", function()
  local function chat(body)
    local client = {}
    function client.chat()
      return 200, body
    end
    return openai.ChatSession(client):generate_response()
  end

  local function respond(body)
    local client = {}
    function client.create_response()
      return 200, body
    end
    local response, failure = openai.ResponsesChatSession(client):send("x")
    return response and response:get_output_text(), failure
  end

  local function stream(event)
    local client, text = {}, cjson.null
    function client.create_response(_, _, _, callback)
      callback(event)
      return 200, ""
    end
    openai.ResponsesChatSession(client):send("x", function(chunk)
      text = chunk.content
    end)
    return text
  end

  local readers = { chat = chat, responses = respond, event = stream }

  for number, case in ipairs(vectors("answers", true)) do
    it(("is the same: %s %d"):format(case.of, number), function()
      local found, failure = readers[case.of](case.body)
      if case.fails then
        assert.is_nil(found)
        assert.equal(case.fails, failure)
      elseif case.message then
        assert.same(case.message, found)
      else
        assert.equal(case.text, found)
      end
    end)
  end
end)

describe("A reply's calls", function()
  local calls = require("openai.calls")

  for _, case in ipairs(vectors("calls", true)) do
    it("are found, and answered: " .. cjson.encode(case.message or case.response), function()
      local found = case.message and calls.find(case.message) or calls.find_in_response(case.response)
      local answers = {}
      for index, call in ipairs(found) do
        answers[index] = calls.answer(call, "ok")
      end
      assert.same(case.calls, found)
      assert.same(case.answers, answers)
    end)
  end
end)

describe("A tool", function()
  local declarations = require("openai.declarations")

  for _, case in ipairs(vectors("tools", true)) do
    it("is written as the API takes it: " .. cjson.encode(case.tool), function()
      local before = cjson.encode(case.tool)
      assert.same(case.response, declarations.for_responses(case.tool))
      assert.same(case["function"], declarations.for_functions(case.tool))
      assert.equal(case.name, declarations.name(case.tool) or "")
      assert.equal(before, cjson.encode(case.tool))
    end)
  end
end)

describe("The wire between a plugin and its host", function()
  local load = assert(loadfile(os.getenv("LUAOPENAI_LUA_DIR") .. "/luaopenai/wire.lua"))
  local wire = load("luaopenai.wire", { bundled = require })

  for _, case in ipairs(vectors("wire", true)) do
    it("carries " .. case.text, function()
      local values = wire.decode(case.text)
      assert.same(values, wire.decode(wire.encode(values, "x")))
      if case.values then
        assert.same(case.values, values)
      elseif case.bytes then
        -- Only Python has to mark bytes: a string of Lua's holds any.
        assert.same({ bytes_of(case.bytes) }, values)
      else
        local expected = {}
        for _, pair in ipairs(case.pairs) do
          expected[pair[1]] = pair[2]
        end
        assert.same({ expected }, values)
      end
    end)
  end
end)
