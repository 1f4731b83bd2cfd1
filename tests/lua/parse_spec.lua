--- `session:parse` and `client:parse`: what is asked for, what comes of an answer, and what is said of none.

local cjson = require("cjson")
local openai = require("openai")
local types = require("tableshape").types
local kinds = require("support.session_kinds")
local tool_server = require("support.tool_server")

local describe_with_server = tool_server.describe_with(describe, pending)
local script, requests = tool_server.script, tool_server.requests

local PERSON = types.shape({ name = types.string, age = types.integer:is_optional() })

local function shape_of(schema)
  table.sort(schema.required)
  return { schema.additionalProperties, schema.required, schema.properties.age.type }
end

--- A client, as a session: it has no history of its own.
local alone = {
  name = "A client",
  new = function()
    local client = tool_server.client()
    return {
      parse = function(_, message, ...)
        return client:parse({ { role = "user", content = message } }, ...)
      end,
    }
  end,
  answers = kinds[1].answers,
}

for _, session_kind in ipairs({ kinds[1], kinds[2], alone }) do
  for _, is_streamed in ipairs({ false, true }) do
    local function options(opts)
      opts = opts or {}
      opts.stream_callback = is_streamed and (opts.stream_callback or function() end) or nil
      return opts
    end

    local function parse(replies, kind, opts)
      script(unpack(replies))
      return session_kind.new():parse("Who?", kind or PERSON, options(opts))
    end

    --- The format that a request asks for, in the form of chat completions, whichever API it is for.
    local function format_of(request)
      return request.response_format and request.response_format.json_schema or request.text.format
    end

    local what = ("%s's parse %s"):format(session_kind.name, is_streamed and "in streams" or "without streams")

    describe_with_server(what, function()
      it("returns what the type makes of the answer, and its text", function()
        local text = '{"name":"Ada","age":null}'
        local value, said = parse({ { text = text } }, types.shape({
          name = types.string / string.upper,
          age = types.integer:is_optional(),
        }))
        assert.same({ { name = "ADA" }, text }, { value, said })
      end)

      it("asks for the strict schema", function()
        parse({ { text = '{"name":"Ada","age":36}' } })
        local format = format_of(requests()[1])
        assert.same({ true, "answer" }, { format.strict, format.name })
        assert.same({ false, { "age", "name" }, { "integer", "null" } }, shape_of(format.schema))
      end)

      it("calls the type as it is told", function()
        parse({ { text = '{"name":"Ada"}' } }, nil, { name = "person" })
        assert.equal("person", format_of(requests()[1]).name)
        assert.is_nil(requests()[1].name)
      end)

      it("takes a JSON schema, and checks by it", function()
        local schema = {
          type = "object",
          properties = { name = { type = "string" }, age = { type = "integer" } },
          required = { "name" },
        }
        local value = parse({ { text = '{"name":5}' }, { text = '{"name":"Ada","age":null}' } }, schema)
        assert.same({ name = "Ada" }, value)
        local told = cjson.encode(requests()[2]):gsub('\\"', '"')
        assert.matches('That answer does not fit: name: expected type "string", got "number"', told, 1, true)
      end)

      it("takes a type of no object, which the API wants in one", function()
        assert.same({ 1, 2 }, (parse({ { text = '{"value":[1,2]}' } }, types.array_of(types.number))))
        assert.equal("C", (parse({ { text = '{"value":"C"}' } }, types.one_of({ "C", "F" }))))
        assert.equal(false, (parse({ { text = '{"value":false}' } }, types.boolean)))
      end)

      it("sends an answer back that does not fit, with what is wrong", function()
        for _, case in ipairs({
          { '{"name":5}', 'name: expected type "string", got "number"' },
          { '{"age":5}', 'name: expected type "string", got "nil"' },
          { "Ada", "not JSON: Expecting value at character 1" },
          { '{"name":"Ada","age":-1}', "age: expected at least 0, got -1" },
        }) do
          local value = parse({ { text = case[1] }, { text = '{"name":"Ada"}' } })
          assert.same({ name = "Ada" }, value)
          local second = requests()[2]
          local history = second.messages or second.input
          local told = type(history) == "string" and history or history[#history].content
          local again = "That answer does not fit: %s. Answer again, with JSON that fits the schema alone."
          assert.equal(again:format(case[2]), told)
          if second.messages then
            assert.equal(case[1], history[#history - 1].content)
          end
        end
      end)

      it("gives up after the last attempt", function()
        local wrong = { text = '{"name":5}' }
        local failure = 'no answer that fits after %s: name: expected type "string", got "number"'
        assert.same({ n = 3, nil, failure:format("2 attempts"), wrong.text }, { n = 3, parse({ wrong, wrong, wrong }) })
        assert.equal(2, #requests())
        local _, said = parse({ wrong }, nil, { attempts = 1 })
        assert.equal(failure:format("1 attempt"), said)
        assert.same({ name = "Ada" }, (parse({ wrong, wrong, { text = '{"name":"Ada"}' } }, nil, { attempts = 3 })))
      end)

      it("returns the model's words when it refuses", function()
        local value, failure = parse({ { refusal = "I must not say." } })
        assert.same({ nil, "I must not say." }, { value, failure })
        assert.equal(1, #requests())
      end)

      it("says that the answer was cut off", function()
        local value, failure, text = parse({ { text = '{"name":"A', finish_reason = "length" } })
        assert.is_nil(value)
        assert.matches("^the answer was cut off: it reached max_%w*_?tokens$", failure)
        assert.equal('{"name":"A', text)
        assert.equal(1, #requests())
      end)

      it("takes an answer that is whole where the limit was reached", function()
        local value = parse({ { text = '{"name":"Ada"}', finish_reason = "length" } })
        assert.same({ name = "Ada" }, value)
      end)

      it("returns a failure of the server as send does", function()
        local value, failure, body = parse({ { status = 500 } })
        assert.is_nil(value)
        assert.matches("status: 500: Told to fail", failure)
        assert.is_truthy(body)
      end)

      it("runs tools on the way", function()
        local tool = openai.tool({ name = "who", call = function() return "Ada" end })
        local value = parse({ { calls = { { "who", {} } } }, { text = '{"name":"Ada"}' } }, nil, { tools = { tool } })
        assert.same({ name = "Ada" }, value)
        assert.same({ "Ada" }, session_kind.answers(requests()[2]))
        assert.is_truthy(format_of(requests()[2]).schema)
      end)

      it("sends the options that send takes, and none of its own", function()
        parse({ { text = "x" }, { text = "x" } }, nil, { temperature = 0, attempts = 2, name = "x" })
        for _, request in ipairs(requests()) do
          assert.same({ 0, nil, nil }, { request.temperature, request.attempts, request.name })
        end
      end)

      it("names what is wrong with its arguments, and sends nothing", function()
        for message, arguments in pairs({
          ["parse: type: expected a tableshape type or a JSON schema, got nil"] = { nil },
          ["parse: type: expected a tableshape type or a JSON schema, got string"] = { "x" },
          ["parse: attempts: expected a number from 1, got 0"] = { PERSON, { attempts = 0 } },
          ["parse: name: expected a string, got 5"] = { PERSON, { name = 5 } },
          ["schema: strict mode has no object with free keys"] = { types.map_of(types.string, types.number) },
        }) do
          script()
          local session = session_kind.new()
          assert.has_error(function() session:parse("x", arguments[1], arguments[2]) end, message)
          assert.same({}, requests())
        end
      end)
    end)
  end
end

describe_with_server("A session's parse", function()
  it("goes on from the history as it stands without a message", function()
    script({ text = '{"name":"Ada"}' })
    local session = kinds[1].new({ messages = { { role = "user", content = "Who?" } } })
    assert.same({ name = "Ada" }, (session:parse(nil, PERSON)))
    assert.equal(2, #session.messages)
  end)

  it("takes a callback in the place of the options", function()
    for _, session_kind in ipairs(kinds) do
      script({ text = '{"name":"Ada"}' })
      local texts = {}
      session_kind.new():parse("Who?", PERSON, function(chunk) texts[#texts + 1] = chunk.content end)
      assert.equal('{"name":"Ada"}', table.concat(texts))
    end
  end)

  it("keeps other fields of text on the Responses API", function()
    script({ text = '{"name":"Ada"}' }, { text = '{"name":"Ada"}' })
    local session = kinds[2].new({ text = { verbosity = "low" } })
    session:parse("Who?", PERSON)
    session:parse("Who?", PERSON, { text = { verbosity = "high" } })
    assert.same({ "low", "high" }, { requests()[1].text.verbosity, requests()[2].text.verbosity })
    assert.equal("json_schema", requests()[2].text.format.type)
    assert.same({ verbosity = "low" }, session.opts.text)
  end)

  it("is called with a colon", function()
    for _, session_kind in ipairs(kinds) do
      assert.has_error(function() session_kind.new().parse("x") end, "parse: call it with a colon: session:parse(...)")
    end
  end)
end)

describe_with_server("A client's parse", function()
  it("leaves the messages as they are", function()
    script({ text = "x" }, { text = '{"name":"Ada"}' })
    local messages = { { role = "user", content = "Who?" } }
    assert.same({ name = "Ada" }, (tool_server.client():parse(messages, PERSON)))
    assert.same({ { role = "user", content = "Who?" } }, messages)
  end)

  it("names what is wrong with the messages", function()
    local client = tool_server.client()
    assert.has_error(function() client:parse("x", PERSON) end, "messages: expected a list, got string")
    assert.has_error(function()
      client:parse({ { role = "user", content = "x" }, { role = "x" } }, PERSON)
    end, 'messages[2].role: expected one of system, developer, user, assistant, function, tool; got "x"')
    assert.has_error(function() client.parse({}, PERSON) end, "parse: call it with a colon: client:parse(...)")
  end)
end)
