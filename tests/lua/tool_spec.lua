--- `openai.tool` and `openai.schema`: declarations with functions beside them, and the schemas of types.

local cjson = require("cjson")
local openai = require("openai")
local types = require("tableshape").types
local fake_http = require("support.fake_http")

local CITY = types.shape({ city = types.string, unit = types.one_of({ "C", "F" }):is_optional() })
local CITY_SCHEMA = {
  type = "object",
  properties = { city = { type = "string" }, unit = { type = "string", enum = { "C", "F" } } },
  required = { "city" },
  additionalProperties = false,
}

local function give_back(arguments) return arguments end

--- A tool's spec with these fields in the place of its own; false removes one.
local function spec_with(fields)
  local spec = { name = "weather", description = "Tells the weather", parameters = CITY, call = give_back }
  for name, value in pairs(fields or {}) do
    spec[name] = value or nil
    if value == false then spec[name] = nil end
  end
  return spec
end

local function tool_with(fields)
  return openai.tool(spec_with(fields))
end

local function same_json(expected, value)
  assert.same(cjson.decode(cjson.encode(expected)), cjson.decode(cjson.encode(value)))
end

describe("A tool", function()
  it("is a plain declaration, without its function", function()
    local tool = tool_with()
    local keys = {}
    for key in pairs(tool) do keys[#keys + 1] = key end
    table.sort(keys)
    assert.same({ "function", "type" }, keys)
    same_json({
      type = "function",
      ["function"] = { name = "weather", description = "Tells the weather", parameters = CITY_SCHEMA },
    }, tool)
  end)

  it("needs no more than a name and a function", function()
    same_json({ type = "function", ["function"] = { name = "now" } }, openai.tool({ name = "now", call = give_back }))
  end)

  it("takes a JSON schema, which is sent as it is", function()
    local schema = { type = "object", properties = { city = { type = "string" } }, required = { "city" } }
    assert.equal(schema, tool_with({ parameters = schema })["function"].parameters)
  end)

  it("has the strict form of its schema when it is strict", function()
    local declaration = tool_with({ strict = true })["function"]
    assert.is_true(declaration.strict)
    assert.is_false(declaration.parameters.additionalProperties)
    local required = declaration.parameters.required
    table.sort(required)
    same_json({ "city", "unit" }, required)
    same_json({ "string", "null" }, declaration.parameters.properties.unit.type)
  end)

  it("has a strict schema without fields when it is strict and takes nothing", function()
    local declaration = tool_with({ strict = true, parameters = false })["function"]
    assert.equal("object", declaration.parameters.type)
    assert.is_false(declaration.parameters.additionalProperties)
  end)

  it("goes through client:chat as any declaration does", function()
    local client, http = openai.new("key"), fake_http({ { choices = { { message = { content = "x" } } } } })
    function client.get_http() return http end
    local tool = tool_with()
    client:chat({ { role = "user", content = "x" } }, { tools = { tool } })
    same_json({ tool }, http.requests[1].body.tools)
  end)

  it("is flat, and not strict, for the Responses API", function()
    local client, http = openai.new("key"), fake_http({ { id = "r", output = {} } })
    function client.get_http() return http end
    client:create_response("x", { tools = { tool_with(), { type = "web_search" } } })
    same_json({
      {
        type = "function",
        name = "weather",
        description = "Tells the weather",
        parameters = CITY_SCHEMA,
        strict = false,
      },
      { type = "web_search" },
    }, http.requests[1].body.tools)
  end)

  it("is a legacy declaration among functions", function()
    local client, http = openai.new("key"), fake_http({ { choices = { { message = { content = "x" } } } } })
    function client.get_http() return http end
    client:new_chat_session({ functions = { tool_with({ strict = true, parameters = false }) } }):send("x")
    local sent = http.requests[1].body.functions[1]
    assert.same({ "weather", nil, nil }, { sent.name, sent.strict, sent.type })
  end)
end)

describe("Calling a tool", function()
  it("runs its function with what the type makes of the arguments", function()
    local tool = tool_with({ parameters = types.shape({ city = types.string / string.upper }) })
    assert.same({ city = "OSLO" }, tool({ city = "Oslo" }))
  end)

  it("takes the arguments as a model writes them", function()
    assert.same({ city = "Oslo" }, tool_with()('{"city":"Oslo","unit":null}'))
  end)

  it("has whole characters in arguments that hold half of one", function()
    assert.same({ city = "x\239\191\189" }, tool_with()([[{"city":"x\ud83d"}]]))
  end)

  it("returns all that the function returns", function()
    local tool = tool_with({ parameters = false, call = function() return 1, nil, 3 end })
    assert.same({ n = 3, 1, nil, 3 }, { n = select("#", tool()), tool() })
  end)

  it("raises one line for arguments that do not fit", function()
    for _, parameters in ipairs({ CITY, CITY_SCHEMA }) do
      local tool = tool_with({ parameters = parameters })
      assert.has_error(function() tool({}) end, 'arguments.city: expected type "string", got "nil"')
      assert.has_error(function() tool() end, 'arguments.city: expected type "string", got "nil"')
      assert.has_error(function() tool("[1]") end, 'arguments: expected type "object", got "array"')
    end
    assert.has_error(function() tool_with()(5) end, "arguments: expected a table, got number")
  end)

  it("tells what a described type is of", function()
    local tool = tool_with({ parameters = types.shape({ city = types.string:describe("the city's name") }) })
    assert.has_error(function() tool({ city = 5 }) end, 'arguments.city: expected type "string", got "number"')
  end)

  it("names a place deep inside as JSON does", function()
    local tool = tool_with({
      parameters = types.shape({ days = types.array_of(types.shape({ ["at-most"] = types.number })) }),
    })
    assert.has_error(function()
      tool({ days = { { ["at-most"] = 1 }, { ["at-most"] = "x" } } })
    end, 'arguments.days[1].at-most: expected type "number", got "string"')
  end)

  it("has the type's own words where the schema admits more", function()
    local tool = tool_with({
      parameters = types.shape({ days = types.array_of(types.shape({ name = types.pattern("^%u") })) }),
    })
    assert.has_error(function()
      tool({ days = { { name = "mon" } } })
    end, "arguments.days[0].name: doesn't match pattern \"^%u\"")
  end)

  it("has a line for a check that raises", function()
    local function check() error("boom") end
    local described = types.string * types.custom(check)
    local tool = tool_with({ parameters = types.shape({ city = described }) })
    assert.has_error(function() tool({ city = "x" }) end, "arguments: boom")
  end)
end)

describe("A bad spec", function()
  local BAD = {
    { { name = false }, "tool: name: expected a string, got nil" },
    { { name = 5 }, "tool: name: expected a string, got number" },
    { { name = "a b" }, "tool: name: expected a string of up to 64 letters, digits, _ and -, got 'a b'" },
    { { description = 5 }, "tool: description: expected a string, got number" },
    { { call = false }, "tool: call: expected a function, got nil" },
    { { call = "f" }, "tool: call: expected a function, got string" },
    { { strict = 1 }, "tool: strict: expected a boolean, got number" },
    { { parameters = "x" }, "tool: parameters: expected a tableshape type or a JSON schema, got string" },
    { { parameters = { "x" } }, "tool: parameters: expected a tableshape type or a JSON schema, got a list" },
    { { parameters = types.string }, 'tool: parameters: expected the type of an object, got one of type "string"' },
    { { parameters = types.any }, "tool: parameters: expected the type of an object, got one of no object" },
    {
      { parameters = types.shape({ f = types.userdata }) },
      'tool: parameters: field "f": there is no JSON Schema for type "userdata"',
    },
    {
      { parameters = types.shape({ any = types.any }), strict = true },
      "tool: parameters.any: strict mode needs a type",
    },
    { { fn = give_back }, "tool: fn: expected only name, description, parameters, call, strict" },
  }

  for _, case in ipairs(BAD) do
    it("is an error: " .. case[2], function()
      assert.has_error(function() tool_with(case[1]) end, case[2])
    end)
  end

  it("may be no table at all", function()
    assert.has_error(function() openai.tool("weather") end, "tool: expected a table with name and call, got string")
  end)

  it("may hold a name that is too long", function()
    local name = ("x"):rep(65)
    assert.error_matches(function() tool_with({ name = name }) end, "^tool: name: expected a string of up to 64")
    tool_with({ name = ("x"):rep(64) })
  end)

  it("may hold a description that is not UTF-8", function()
    assert.has_error(function()
      tool_with({ description = "\255" })
    end, "tool: description: the string is not valid UTF-8")
  end)
end)

describe("The schema of a type", function()
  it("is what tableshape's extension makes", function()
    local to_json_schema = require("tableshape.ext.json_schema").to_json_schema
    same_json(to_json_schema:transform(CITY), openai.schema(CITY))
    same_json(CITY_SCHEMA, openai.schema(CITY))
  end)

  it("has all keys, nullable where they were optional, in its strict form", function()
    local schema = openai.schema(types.partial({
      city = types.string,
      near = types.shape({ km = types.number }):is_optional(),
      unit = types.one_of({ "C", "F" }):is_optional(),
    }), { strict = true })
    table.sort(schema.required)
    same_json({
      type = "object",
      properties = {
        city = { type = "string" },
        near = {
          type = { "object", "null" },
          properties = { km = { type = "number" } },
          required = { "km" },
          additionalProperties = false,
        },
        unit = { type = { "string", "null" }, enum = { "C", "F", cjson.null } },
      },
      required = { "city", "near", "unit" },
      additionalProperties = false,
    }, schema)
  end)

  it("says in its strict form that types.integer takes no negative numbers", function()
    same_json({ type = "integer" }, openai.schema(types.integer))
    same_json({ type = "integer", minimum = 0 }, openai.schema(types.integer, { strict = true }))
    same_json({ type = "string" }, openai.schema(types.pattern("x"), { strict = true }))
  end)

  it("may be that of a JSON schema", function()
    same_json(
      { type = "object", properties = {}, required = setmetatable({}, cjson.array_mt), additionalProperties = false },
      openai.schema({ type = "object", properties = {} }, { strict = true })
    )
  end)

  it("is an error where there is none", function()
    for value, message in pairs({
      [5] = "schema: expected a tableshape type or a JSON schema, got number",
      [types.shape] = "schema: expected a tableshape type or a JSON schema, got a class",
      [types.userdata] = 'schema: there is no JSON Schema for type "userdata"',
      [types.string:is_optional()] = "schema: the type is optional, which only the field of a shape can be",
      [types.map_of(types.string, types.number)] = "schema: strict mode has no object with free keys",
    }) do
      assert.has_error(function() openai.schema(value, { strict = true }) end, message)
    end
  end)

  it("knows no other option", function()
    assert.has_error(function() openai.schema(CITY, { srict = true }) end, "schema: no option srict")
    assert.has_error(function() openai.schema(CITY, true) end, "schema: expected options as a table, got boolean")
  end)
end)
