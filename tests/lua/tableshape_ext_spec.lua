--- What comes with tableshape: types for MoonScript's classes, checked arguments, JSON Schemas, an assertion.

local cjson = require("cjson")
local moonscript_class = require("support.moonscript")
local tableshape = require("tableshape")

local types = tableshape.types

describe("tableshape.moonscript", function()
  local moonscript = require("tableshape.moonscript")
  local Root = moonscript_class("Root", { __base = {}, __init = function() end }, {})
  local Middle = moonscript_class("Middle", Root, {})
  local Leaf = moonscript_class("Leaf", Middle, {})
  local Other = moonscript_class("Other", Root, {})

  local function refuses(checker, value, message)
    assert.same({ nil, message }, { checker(value) })
  end

  it("tells classes", function()
    assert.is_true(moonscript.class_type(Leaf))
    assert.equal("class", tostring(moonscript.class_type))
    refuses(moonscript.class_type, 5, "expecting table")
    refuses(moonscript.class_type, Leaf(), "table is not class (missing __base)")
    refuses(moonscript.class_type, Leaf.__base, "table is not class (missing __base)")
    refuses(moonscript.class_type, { __base = {} }, "table is not class (missing constructor)")
    refuses(moonscript.class_type, setmetatable({ __base = {} }, {}), "table is not class (missing constructor)")
  end)

  it("tells instances", function()
    local instance_type = moonscript.instance_type
    assert.is_true(instance_type(Leaf()))
    assert.equal("instance", tostring(instance_type))
    refuses(instance_type, nil, "expecting table")
    refuses(instance_type, {}, "table is not instance (missing metatable)")
    refuses(instance_type, Leaf, "table is not instance (metatable __index does not refer to metatable)")
    refuses(instance_type, Leaf.__base, "table is not instance (__base object, not instance)")
  end)

  it("tells subclasses by name and by identity", function()
    for _, identifier in ipairs({ "Middle", Middle }) do
      local checker = moonscript.subclass_of(identifier)
      assert.equal("subclass of Middle", tostring(checker))
      assert.is_true(checker(Leaf))
      refuses(checker, Middle, "table is not subclass of Middle")
      refuses(checker, Other, "table is not subclass of Middle")
      refuses(checker, Leaf(), "table is not class (missing __base)")
      assert.is_true(moonscript.subclass_of(identifier, { allow_same = true })(Middle))
    end
  end)

  it("tells instances of a class and of those below it", function()
    for _, identifier in ipairs({ "Middle", Middle }) do
      local checker = moonscript.instance_of(identifier)
      assert.equal("instance of Middle", tostring(checker))
      assert.is_true(checker(Middle()))
      assert.is_true(checker(Leaf()))
      refuses(checker, Other(), "table is not instance of Middle")
      refuses(checker, Middle, "table is not instance (metatable __index does not refer to metatable)")
      refuses(checker, {}, "table is not instance (missing metatable)")
    end
  end)

  it("has types that combine with others", function()
    assert.is_true((moonscript.instance_of("Leaf") + types.string)("a"))
    assert.is_true(tableshape.is_type(moonscript.class_type))
  end)

  it("knows no other names, and takes no class for nothing", function()
    assert.has_error(function() return moonscript.class_of end, "Type checker does not exist: `class_of`")
    assert.has_error(function() moonscript.instance_of() end, "expecting class identifier (string or class object)")
    assert.has_error(function() moonscript.subclass_of() end, "expecting class identifier (string or class object)")
  end)
end)

describe("with_args", function()
  local with_args = require("tableshape.ext.with_args").with_args

  local function all(...)
    return { n = select("#", ...), ... }
  end

  it("passes checked arguments and every result through", function()
    local swap = with_args({ types.number, types.string }, function(a, b) return b, a, nil end)
    assert.same({ n = 3, "x", 1 }, all(swap(1, "x")))
  end)

  it("returns nil and which argument is wrong", function()
    local add = with_args({ types.number, types.number }, function(a, b) return a + b end)
    assert.same({ nil, 'argument 2: expected type "number", got "string"' }, { add(1, "x") })
    assert.same({ nil, 'argument 2: expected type "number", got "nil"' }, { add(1) })
  end)

  it("raises at the caller's place when told to", function()
    local strict = with_args({ types.number, assert = true }, function() end)
    local ok, message = pcall(function() strict("x") end)
    assert.is_false(ok)
    assert.matches('tableshape_ext_spec.lua:%d+: argument 1: expected type "number", got "string"$', message)
  end)

  it("hands over what the types make of the arguments, nil and false too", function()
    local wrapped = with_args({ types.string / string.upper, types.any / false, rest = types.any / nil }, all)
    assert.same({ n = 4, "A", false }, wrapped("a", 1, 2, 3))
  end)

  it("fills in arguments that were left out", function()
    local wrapped = with_args({ types.number, types["nil"] / "here" + types.string, types.any:is_optional() }, all)
    assert.same({ n = 2, 1, "here" }, wrapped(1))
  end)

  it("checks the rest, or passes it as it is", function()
    local log = with_args({ types.number, rest = "ok" }, all)
    assert.same({ n = 3, 1, "ok", "ok" }, log(1, "ok", "ok"))
    assert.same({ nil, 'argument 3 (rest): expected "ok"' }, { log(1, "ok", "bad") })
    assert.same({ n = 3, 1, nil, "x" }, with_args({ types.number }, all)(1, nil, "x"))
  end)

  it("takes plain values for literals", function()
    local greet = with_args({ "hello" }, function(word) return word end)
    assert.equal("hello", greet("hello"))
    assert.same({ nil, 'argument 1: expected "hello"' }, { greet("hi") })
  end)

  it("says what it wants itself", function()
    assert.has_error(function() with_args("x", print) end, "with_args expects table for first argument")
    assert.has_error(function() with_args({}, "x") end, "with_args expects function for second argument")
  end)
end)

describe("json_schema", function()
  local json_schema = require("tableshape.ext.json_schema")
  local to_json_schema, simplify, JsonSchema =
    json_schema.to_json_schema, json_schema.simplify, json_schema.JsonSchema

  local function is_schema(expected, shape)
    assert.same(expected, assert(to_json_schema:transform(shape)))
  end

  local function object(properties, required, additional)
    return { type = "object", properties = properties, required = required, additionalProperties = additional }
  end

  it("names the plain types", function()
    is_schema({}, types.any)
    is_schema({ type = "null" }, types["nil"])
    is_schema({ type = "object" }, types.table)
    for _, name in ipairs({ "string", "number", "boolean", "integer", "array", "function" }) do
      is_schema({ type = name }, types[name])
    end
  end)

  it("has a constant for a literal", function()
    is_schema({ const = "a" }, "a")
    is_schema({ const = false }, false)
    is_schema({ const = 5 }, types.literal(5))
    is_schema({ const = cjson.null }, types.literal(cjson.null))
  end)

  it("has an enumeration for strings alone or numbers alone, and else what comes first", function()
    is_schema({ type = "string", enum = { "a", "b" } }, types.one_of({ "a", types.literal("b") }))
    is_schema({ type = "number", enum = { 1, 2 } }, types.one_of({ 1, 2 }))
    is_schema({ const = "a" }, types.one_of({ "a", 1 }))
    is_schema({ type = "string" }, types.one_of({ types.userdata, types.string }))
    local schema = to_json_schema:transform(types.one_of({ "a" }))
    assert.equal(cjson.array_mt or require("cjson.sentinels").array_mt, getmetatable(schema.enum))
  end)

  it("lists the fields of a shape, sorted where they are required", function()
    local fields = { name = types.string, age = types.number, note = types.string:is_optional() }
    local properties = { name = { type = "string" }, age = { type = "number" }, note = { type = "string" } }
    is_schema(object(properties, { "age", "name" }, false), types.shape(fields))
    is_schema(object(properties, { "age", "name" }), types.partial(fields))
    is_schema(object(properties, { "age", "name" }), types.shape(fields, { open = true }))
    is_schema(
      object({}, {}, { type = "number" }),
      types.shape({}, { extra_fields = types.map_of(types.string, types.number) })
    )
  end)

  it("writes no required fields as an empty list", function()
    local schema = to_json_schema:transform(types.shape({}))
    assert.is_table(getmetatable(schema.required))
  end)

  it("has items and their number for an array", function()
    is_schema({ type = "array", items = { type = "string" } }, types.array_of(types.string))
    local sized = { type = "array", items = { type = "string" }, minItems = 1, maxItems = 3 }
    is_schema(sized, types.array_of(types.string, { length = types.range(1, 3) }))
    sized.minItems = 3
    is_schema(sized, types.array_of(types.string, { length = 3 }))
    is_schema({ type = "array", items = { const = 1 } }, types.array_of(1))
  end)

  it("has the values of a map with strings for keys", function()
    is_schema({ type = "object", additionalProperties = { type = "number" } }, types.map_of(types.string, types.number))
    assert.same(
      { nil, "the keys of a map must be types.string" },
      { to_json_schema:transform(types.map_of(types.number, types.number)) }
    )
  end)

  it("has ranges, lengths of strings, and patterns as strings", function()
    is_schema({ type = "number", minimum = 1, maximum = 9 }, types.range(1, 9))
    is_schema({ type = "string", minLength = 2, maxLength = 4 }, types.string:length(2, 4))
    is_schema({ type = "string" }, types.pattern("^%d+$"))
  end)

  it("takes over descriptions, the outermost first", function()
    is_schema({ type = "string", description = "a name" }, types.string:describe("a name"))
    is_schema({ type = "string", description = "out" }, types.string:describe("in"):tag("t"):describe("out"))
    is_schema(
      object({ a = { type = "string", description = "in" } }, {}, false),
      types.shape({ a = types.string:describe("in"):is_optional() })
    )
  end)

  it("looks through what only transforms, tags or annotates", function()
    local seen_through = {
      types.string:tag("t"), types.annotate(types.string), types.scope(types.string, { tag = "t" }),
      types.string / string.upper, types.string % function(value) return value end, types.assert(types.string),
      types.string * types.custom(function() return true end), types.proxy(function() return types.string end),
    }
    for _, shape in ipairs(seen_through) do
      is_schema({ type = "string" }, shape)
      assert.equal(types.string, (simplify:transform(shape)))
    end
  end)

  it("leaves fields that may be nil out of what is required", function()
    is_schema(
      object({ a = { type = "string" }, b = { type = "string", enum = { "x", "y" } } }, {}, false),
      types.shape({ a = types["nil"] + types.string, b = types["nil"] + "x" + "y" })
    )
  end)

  it("is an error for what is optional on its own", function()
    local message = "the type is optional, which only the field of a shape can be"
    for _, shape in ipairs({ types.string:is_optional(), types["nil"] + types.string }) do
      assert.has_error(function() to_json_schema:transform(shape) end, message)
      assert.same({ nil, "array item: " .. message }, { to_json_schema:transform(types.array_of(shape)) })
    end
  end)

  it("says which part has no schema", function()
    local shape = types.shape({ a = types.array_of(types.userdata) })
    local message = 'field "a": array item: there is no JSON Schema for type "userdata"'
    assert.same({ nil, message }, { to_json_schema:transform(shape) })
    assert.is_nil((simplify:transform(types.userdata)))
  end)

  it("ends for types that contain themselves", function()
    local tree
    tree = types.shape({ children = types.array_of(types.proxy(function() return tree end)) })
    local schema, message = to_json_schema:transform(tree)
    assert.is_nil(schema)
    assert.matches("the type contains itself$", message)
  end)

  it("gives a type the schema that a script wants", function()
    local email = JsonSchema(types.string, { type = "string", format = "email", description = "own" })
    is_schema({ type = "string", format = "email", description = "own" }, email)
    is_schema({ type = "string", format = "email", description = "theirs" }, email:describe("theirs"))
    is_schema({ type = "string", format = "email", description = "own" }, email)
    is_schema({ title = "type \"number\"" }, JsonSchema(types.number, function(base_type)
      return { title = tostring(base_type) }
    end))
    assert.is_true(email("a@b"))
    assert.is_nil((email(5)))
    assert.has_error(function() JsonSchema(5, {}) end, "expected a type checker")
    assert.has_error(function() JsonSchema(types.any, 5) end, "expected table or function for schema")
  end)

  it("simplifies to plain values, and notes what it took off in the state", function()
    assert.equal("a", (simplify:transform("a")))
    assert.equal("yes", (simplify:transform(types.literal("yes"):describe("flag"):tag("t"))))
    local _, state = simplify:transform(types.string:describe("a name"):is_optional())
    assert.same({ description = "a name", optional = true }, state)
  end)
end)

describe("tableshape.ext.luassert", function()
  require("tableshape.ext.luassert")

  it("adds an assertion that shows the type", function()
    assert.shape(5, types.number)
    assert.not_shape("5", types.number)
    local ok, message = pcall(assert.shape, "5", types.number)
    assert.is_false(ok)
    assert.matches('to match shape:\ntype "number"', tostring(message), 1, true)
    assert.has_error(function() assert.shape(5, "number") end,
      "Expected tableshape type for second argument to assert.shape")
  end)
end)
