--- What scripts may expect of the `tableshape` module: results, error texts and what is copied.

local moonscript_class = require("support.moonscript")
local tableshape = require("tableshape")
local types = tableshape.types
local BaseType, FailedTransform = tableshape.BaseType, tableshape.FailedTransform

local function accepts(checker, ...)
  for i = 1, select("#", ...) do
    assert.same({ true }, { checker((select(i, ...))) })
  end
end

local function refuses(checker, value, message)
  assert.same({ nil, message }, { checker(value) })
end

local function becomes(checker, value, expected)
  assert.same({ expected }, { checker:transform(value) })
end

local function unchanged(checker, value)
  assert.equal(value, (checker:transform(value)))
end

local function shout(text) return text .. "!" end
local function double(number) return number * 2 end

describe("the tableshape module", function()
  it("says which release it follows", function()
    assert.equal("2.7.0", tableshape.VERSION)
  end)

  it("checks a shape with check_shape", function()
    assert.same({ true }, { tableshape.check_shape("x", types.string) })
    assert.same({ nil, 'expected type "string", got "number"' }, { tableshape.check_shape(1, types.string) })
  end)

  it("refuses a shape without check_value", function()
    assert.has_error(function() tableshape.check_shape(1, {}) end, "missing check_value method from shape")
  end)

  it("tells types from anything else", function()
    for _, value in ipairs({ types.string, types.shape({}), types.array_of({}), types.string:describe("x") }) do
      assert.is_true(tableshape.is_type(value))
    end
    for _, value in ipairs({
      "hello", {}, print, types, types.shape, types.array_of, types.shape.__base, types.string.__class.__base,
      setmetatable({}, { __class = {} }), setmetatable({}, { __metatable = 5 }),
    }) do
      assert.is_false(tableshape.is_type(value))
    end
    assert.is_false(tableshape.is_type(nil))
  end)

  it("raises an error for a type that does not exist", function()
    assert.has_error(function() return types.strnig end, "Type checker does not exist: `strnig`")
  end)

  it("gives access to the classes that operators and methods make", function()
    local classes = {
      [types._transform] = types.string / 1,
      [types._sequence] = types.string * "a",
      [types._first_of] = types.string + 1,
      [types._tagged_type] = types.string:tag("a"),
      [types.describe] = types.string:describe("a"),
      [types.optional] = types.string:is_optional(),
    }
    for class, instance in pairs(classes) do
      assert.equal(class, instance.__class)
    end
    assert.equal(types.scope, types._tag_scope_type)
  end)
end)

describe("basic types", function()
  local examples = {
    string = "a", number = 1.5, boolean = false, table = {}, userdata = newproxy(), ["function"] = print,
  }

  for name, example in pairs(examples) do
    it("types." .. name .. " accepts its type and names both in the error", function()
      accepts(types[name], example)
      refuses(types[name], nil, ('expected type "%s", got "nil"'):format(name))
      assert.equal(('type "%s"'):format(name), tostring(types[name]))
    end)
  end

  it("types.func is types['function']", function()
    assert.equal(types["function"], types.func)
  end)

  it("types.nil accepts nil alone", function()
    accepts(types["nil"], nil)
    refuses(types["nil"], false, 'expected type "nil", got "boolean"')
  end)

  it("types.null is types.nil and does not know cjson.null", function()
    assert.equal(types["nil"], types.null)
    refuses(types.null, require("string.buffer").decode("\3"), 'expected type "nil", got "userdata"')
  end)

  it("types.any accepts everything and is optional already", function()
    accepts(types.any, nil, false, 0, {})
    assert.equal(types.any, types.any:is_optional())
    assert.equal("anything", tostring(types.any))
  end)

  it("types.integer accepts a number written in digits alone", function()
    accepts(types.integer, 0, 1234)
    unchanged(types.integer, 12)
    refuses(types.integer, 1.1, [[doesn't match pattern "^%d+$"]])
    refuses(types.integer, -1, [[doesn't match pattern "^%d+$"]])
    refuses(types.integer, "12", 'expected type "number", got "string"')
  end)

  it("types.array accepts the keys 1 to n", function()
    accepts(types.array, {}, { 1, 2, 3 })
    refuses(types.array, "x", "expecting table")
    refuses(types.array, { a = 1 }, "non number field: a")
    refuses(types.array, { [3] = 1 }, "non array index, got 3 but expected 1")
    assert.equal("an array", tostring(types.array))
  end)

  it("checks the length of a string by range, number or type", function()
    local name = types.string:length(2, 3)
    accepts(name, "ab", "abc")
    refuses(name, "a", "string length not in range from 2 to 3, got 1")
    refuses(name, 5, 'expected type "string", got "number"')
    refuses(types.string:length(types.literal(5)), "hello!", "string length expected 5, got 6")
    assert.equal('type "string" length_type range from 2 to 3', tostring(name))
  end)

  it("types.clone copies tables shallowly, with their metatable", function()
    local inner, metatable = {}, {}
    local source = setmetatable({ inner }, metatable)
    local copy = types.clone:transform(source)
    assert.not_equal(source, copy)
    assert.equal(inner, copy[1])
    assert.equal(metatable, getmetatable(copy))
  end)

  it("types.clone passes scalars and refuses what cannot be copied", function()
    accepts(types.clone, nil, "a", 1, false)
    refuses(types.clone, print, tostring(print) .. " is not cloneable")
    assert.equal("cloneable value", tostring(types.clone))
  end)
end)

describe("types.literal", function()
  it("compares with ==", function()
    local thing = {}
    accepts(types.literal("a"), "a")
    accepts(types.literal(thing), thing)
    refuses(types.literal("a"), nil, 'expected "a"')
    refuses(types.literal(5), "5", "expected 5")
    refuses(types.literal(thing), {}, "expected " .. tostring(thing))
  end)

  it("quotes text by what it contains", function()
    refuses(types.literal('a"b'), 1, [[expected 'a"b']])
    refuses(types.literal([[a"b'c]]), 1, [[expected `a"b'c`]])
  end)

  it("names the __base of a class by its class", function()
    local base = types.shape.__base
    assert.equal(tostring(types.shape), tostring(types.literal(base)))
  end)
end)

describe("types.one_of", function()
  it("accepts any of its literals", function()
    local limb = types.one_of({ "foot", "arm", 5 })
    accepts(limb, "foot", "arm", 5)
    refuses(limb, "head", 'expected "foot", "arm", or 5')
    refuses(limb, nil, 'expected "foot", "arm", or 5')
    assert.same({ foot = true, arm = true, [5] = true }, limb.options_hash)
  end)

  it("mixes literals and types", function()
    local t = types.one_of({ "none", true, types.number })
    accepts(t, "none", true, 3)
    refuses(t, false, 'expected "none", true, or type "number"')
    assert.is_nil(t.options_hash)
  end)

  it("accepts one of its types itself, as a value", function()
    accepts(types.one_of({ types.number }), types.number)
  end)

  it("transforms and tags by the first option that passes", function()
    local t = types.one_of({ types.number:tag("n") / double, types.string / shout })
    assert.same({ 4, { n = 2 } }, { t:transform(2) })
    becomes(t, "a", "a!")
  end)

  it("accepts nothing without options", function()
    refuses(types.one_of({}), 1, "expected ")
  end)

  it("needs a table", function()
    assert.has_error(function() types.one_of("a") end, "expected table for options in one_of")
  end)
end)

describe("types.all_of", function()
  it("passes the value through each type in turn", function()
    local t = types.all_of({ types.string, types.pattern("^a"), types.any / shout })
    becomes(t, "ab", "ab!")
    refuses(t, 5, 'expected type "string", got "number"')
    refuses(t, "b", [[doesn't match pattern "^a"]])
    assert.equal('type "string" and pattern "^a" and anything', tostring(t))
  end)

  it("takes types only", function()
    assert.has_error(function() types.all_of("a") end, "expected table for first argument")
    assert.has_error(function() types.all_of({ "a" }) end, "all_of expects all type checkers")
  end)
end)

describe("types.pattern", function()
  it("matches strings only", function()
    local t = types.pattern("^hello")
    accepts(t, "hello world")
    refuses(t, "hell", [[doesn't match pattern "^hello"]])
    refuses(t, 123, 'expected type "string", got "number"')
    refuses(types.pattern("1", {}), 1, 'expected type "string", got "number"')
  end)

  it("matches the text of any value with coerce, and returns the value as it came", function()
    local t = types.pattern("^%d+$", { coerce = true })
    accepts(t, "12")
    unchanged(t, 12)
    refuses(t, 2.5, [[doesn't match pattern "^%d+$"]])
  end)

  it("matches what a type as coerce makes of the value", function()
    local t = types.pattern("^1!", { coerce = types.number / function(n) return n .. "!" end })
    unchanged(t, 1)
    refuses(t, "1!", 'expected type "number", got "string"')
    refuses(types.pattern("a", { coerce = types.any / nil }), "a", 'expected type "string", got "nil"')
  end)

  it("needs a string and has no initial_type", function()
    assert.has_error(function() types.pattern(5) end, "Pattern must be a string")
    assert.has_error(function() types.pattern("a", { initial_type = "number" }) end,
      "initial_type has been removed from types.pattern (got: number)")
  end)
end)

describe("types.range", function()
  it("includes both ends", function()
    local t = types.range(5, 10)
    accepts(t, 5, 8, 10)
    accepts(types.range(5, 5), 5)
    refuses(t, 4, "not in range from 5 to 10")
    refuses(t, 11, "not in range from 5 to 10")
    refuses(t, nil, 'range expected type "number", got "nil"')
  end)

  it("compares strings too", function()
    local t = types.range("a", "f")
    accepts(t, "a", "c", "f")
    refuses(t, "g", "not in range from a to f")
    refuses(t, 5, 'range expected type "string", got "number"')
  end)

  it("needs ends of a type that has a checker", function()
    assert.has_error(function() types.range(1LL, 2LL) end, "couldn't figure out type of range boundary")
  end)

  it("needs its ends in order", function()
    assert.has_error(function() types.range(2, 1) end, "left range value should be less than right range value")
  end)
end)

describe("types.equivalent", function()
  it("compares tables by content", function()
    local t = types.equivalent({ "great", color = { {}, { 2 } } })
    accepts(t, { "great", color = { {}, { 2 } } })
    for _, value in ipairs({ "great", {}, { "great" }, { "great", color = { {}, { 3 } } },
      { "great", color = { {}, { 2 } }, extra = 1 } }) do
      refuses(t, value, "not equivalent to " .. tostring(t.val))
    end
  end)

  it("compares scalars by value", function()
    accepts(types.equivalent(nil), nil)
    refuses(types.equivalent("hi"), false, "not equivalent to hi")
    assert.equal('equivalent to "hi"', tostring(types.equivalent("hi")))
  end)
end)

describe("types.custom", function()
  it("asks the function, with value and state", function()
    local seen
    local t = types.custom(function(value, state)
      seen = { value, state }
      return value == 1, "not one"
    end)
    accepts(t, 1)
    refuses(t, 2, "not one")
    t(1, { a = 1 })
    assert.same({ 1, { a = 1 } }, seen)
  end)

  it("has an error text of its own", function()
    refuses(types.custom(function() end), 1, "failed custom check")
  end)

  it("hands errors that are not text on as they are, and joins them as text inside others", function()
    local failure = setmetatable({}, { __tostring = function() return "bad" end })
    local t = types.custom(function() return nil, failure end)
    assert.equal(failure, (select(2, t(1))))
    refuses(types.shape({ a = t }), {}, 'field "a": bad')
  end)

  it("needs a function", function()
    assert.has_error(function() types.custom("a") end, "custom checker must be a function")
    assert.matches("^custom checker function: ", tostring(types.custom(print)))
  end)
end)

describe("types.proxy", function()
  it("lets a type contain itself", function()
    local node
    node = types.shape({ value = types.number, next = types["nil"] + types.proxy(function() return node end) })
    accepts(node, { value = 1, next = { value = 2 } })
    refuses(node, { value = 1, next = {} }, 'field "next": expected type "nil", or '
      .. '{ "next" = type "nil", or recurse, "value" = type "number" }')
  end)

  it("raises an error when there is no type yet", function()
    local t = types.proxy(function() end)
    assert.has_error(function() t(1) end, "proxy missing transformer")
    assert.has_error(function() tostring(t) end, "proxy missing transformer")
  end)
end)

describe("types.assert", function()
  it("raises the error instead of returning it", function()
    local t = types.assert(types.number)
    accepts(t, 1)
    becomes(t / double, 2, 4)
    assert.has_error(function() t("a") end, 'expected type "number", got "string"')
    assert.equal('assert type "number"', tostring(t))
  end)

  it("needs a type", function()
    assert.has_error(function() types.assert("a") end, "expected a type checker")
  end)
end)

describe("types.annotate", function()
  it("puts the value before the error", function()
    local t = types.annotate(types.number)
    accepts(t, 1)
    refuses(t, "a", 'a: expected type "number", got "string"')
    assert.equal('type "number"', tostring(t))
  end)

  it("formats the error as asked, and takes a literal", function()
    local t = types.annotate("a", { format_error = function(_, value, err) return err .. " not " .. value end })
    refuses(t, "b", 'expected "a" not b')
  end)

  it("needs a function to format with and a type to annotate", function()
    assert.has_error(function() types.annotate("a", { format_error = 1 }) end, 'expected type "function", got "number"')
    assert.has_error(function() types.annotate({}) end)
  end)
end)

describe("types.metatable_is", function()
  it("checks the metatable by type or identity", function()
    local metatable = {}
    accepts(types.metatable_is(types["nil"]), {})
    accepts(types.metatable_is(metatable), setmetatable({}, metatable))
    refuses(types.metatable_is(types["nil"]), setmetatable({}, {}),
      'metatable expected: expected type "nil", got "table"')
    refuses(types.metatable_is(types.any), 5, 'expected type "table", got "number"')
    assert.equal('has metatable type "nil"', tostring(types.metatable_is(types["nil"])))
  end)

  it("replaces a metatable only when allowed", function()
    local new, value = {}, setmetatable({}, {})
    local replacing = types.table / new
    refuses(types.metatable_is(replacing), value,
      "metatable was modified by a type but { allow_metatable_update = true } is not enabled")
    assert.not_equal(new, getmetatable(value))
    assert.equal(value, (types.metatable_is(replacing, { allow_metatable_update = true }):transform(value)))
    assert.equal(new, getmetatable(value))
  end)

  it("hands on the state", function()
    local t = types.metatable_is(types.shape({ __index = types.any:tag("index") }))
    assert.same({ index = "a" }, t(setmetatable({}, { __index = "a" })))
  end)
end)

describe("types.shape", function()
  it("checks each field by type or literal", function()
    local t = types.shape({ color = "red", weight = types.number, [1] = true })
    accepts(t, { true, color = "red", weight = 1 })
    refuses(t, { true, color = "blue", weight = 1 }, 'field "color": expected "red"')
    refuses(t, { true, color = "red" }, 'field "weight": expected type "number", got "nil"')
    refuses(t, { color = "red", weight = 1 }, "field 1: expected true")
    refuses(t, "x", 'expected type "table", got "string"')
    refuses(t, nil, 'expected type "table", got "nil"')
  end)

  it("names the whole path in the error", function()
    local t = types.shape({ list = types.array_of(types.shape({ id = types.string })) })
    refuses(t, { list = { { id = "a" }, { id = 1 } } },
      'field "list": array item 2: field "id": expected type "string", got "number"')
  end)

  it("refuses fields that it does not declare, naming them in order", function()
    refuses(types.shape({}), { [10] = 1, [9] = 1, [true] = 1, [false] = 1, cool = 1, bad = 1 },
      'extra fields: false, true, 9, 10, "bad", "cool"')
    accepts(types.shape({ a = types["nil"] }), {})
  end)

  it("reports the first failure, or all with check_all", function()
    local fields, value = { "blue", "red" }, { "orange", "blue", "purple" }
    refuses(types.shape(fields), value, 'field 1: expected "blue"')
    refuses(types.shape(fields, { check_all = true }), value,
      'field 1: expected "blue"; field 2: expected "red"; extra fields: 3')
  end)

  it("looks no further after a failure, unless check_all", function()
    local count = 0
    local counted = types.custom(function() count = count + 1 end)
    types.shape({ counted, counted })({})
    assert.equal(1, count)
    types.shape({}, { extra_fields = counted })({ 1, 2 })
    assert.equal(2, count)
    types.shape({ counted, counted }, { extra_fields = counted, check_all = true })({ 1, 2, 3, 4 })
    assert.equal(6, count)
  end)

  it("describes itself field by field", function()
    assert.equal('{ "a" = "x", "b" = type "number" }', tostring(types.shape({ b = types.number, a = "x" })))
  end)

  it("returns the same table when nothing changes", function()
    unchanged(types.shape({ a = types.string, b = types.shape({}) }), { a = "x", b = {} })
    unchanged(types.shape({ a = types.string / "x" }), { a = "x" })
  end)

  it("returns a changed copy and leaves the input alone", function()
    local kept = {}
    local input = { a = 1, b = kept, c = "x" }
    local output = types.shape({ a = types.number, b = types.table, c = types.string / shout }):transform(input)
    assert.same({ a = 1, b = {}, c = "x!" }, output)
    assert.equal(kept, output.b)
    assert.same({ a = 1, b = {}, c = "x" }, input)
  end)

  it("removes a field that becomes nil and adds one that was missing", function()
    local t = types.shape({ a = types.any / nil, b = types["nil"] / "new" })
    becomes(t, { a = 1 }, { b = "new" })
  end)

  it("reads fields through __index", function()
    accepts(types.shape({ a = types.number }), setmetatable({}, { __index = { a = 1 } }))
  end)

  it("needs a table", function()
    assert.has_error(function() types.shape("a") end, "expected table for shape")
  end)

  describe("with open", function()
    it("accepts other fields and keeps them", function()
      local t = types.shape({ a = types.number / double }, { open = true })
      becomes(t, { a = 1, b = 2, 3 }, { a = 2, b = 2, 3 })
      unchanged(types.shape({ a = 1 }, { open = true }), { a = 1, b = 2 })
    end)

    it("comes from is_open and types.partial too", function()
      accepts(types.shape({ a = 1 }):is_open(), { a = 1, b = 2 })
      accepts(types.partial({ a = 1 }), { a = 1, b = 2 })
      refuses(types.partial({ a = 1 }), { b = 2 }, 'field "a": expected 1')
      assert.has_error(function() types.partial({}):is_open() end, "is_open has no effect on Partial")
    end)

    it("keeps check_all through is_open", function()
      refuses(types.shape({ "a", "b" }, { check_all = true }):is_open(), {},
        'field 1: expected "a"; field 2: expected "b"')
    end)

    it("takes options in types.partial", function()
      refuses(types.partial({ "a", "b" }, { check_all = true }), { x = 1 },
        'field 1: expected "a"; field 2: expected "b"')
      refuses(types.partial({}, { open = false }), { x = 1 }, 'extra fields: "x"')
    end)
  end)

  describe("with extra_fields", function()
    it("checks each other field as a table of one", function()
      local t = types.shape({ id = types.number }, { extra_fields = types.map_of(types.string, types.string) })
      accepts(t, { id = 1, a = "x" })
      refuses(t, { id = 1, a = 5 }, 'field "a": map value expected type "string", got "number"')
    end)

    it("returns the same table when they stay as they are", function()
      unchanged(types.shape({}, { extra_fields = types.any }), { a = 1 })
    end)

    it("renames, changes and drops them", function()
      local renamed = types.map_of(types.string / function(key) return "_" .. key end, types.any)
      becomes(types.shape({ id = 1 }, { extra_fields = renamed }), { id = 1, a = 2 }, { id = 1, _a = 2 })
      local changed = types.map_of(types.string, types.number / double)
      becomes(types.shape({ id = 1 }, { extra_fields = changed }), { id = 1, a = 2 }, { id = 1, a = 4 })
      becomes(types.shape({ id = 1 }, { extra_fields = types.any / nil }), { id = 1, a = 2, 3 }, { id = 1 })
    end)

    it("keeps them when a declared field changes", function()
      local t = types.shape({ id = types.number / double }, { extra_fields = types.any })
      becomes(t, { id = 1, a = 2, [false] = 3 }, { id = 2, a = 2, [false] = 3 })
    end)

    it("reports all failures with check_all", function()
      local t = types.shape({ id = 1 }, { extra_fields = types.shape({ a = types.string }), check_all = true })
      refuses(t, { a = 5 }, 'field "id": expected 1; field "a": field "a": expected type "string", got "number"')
    end)

    it("excludes open and needs a type", function()
      local both = { open = true, extra_fields = types.any }
      assert.has_error(function() types.shape({}, both) end, "open can not be combined with extra_fields")
      assert.has_error(function() types.partial({}, { extra_fields = types.any }) end,
        "open can not be combined with extra_fields")
      assert.has_error(function() types.shape({}, { extra_fields = "a" }) end,
        "extra_fields_type must be type checker")
    end)
  end)
end)

describe("types.array_of", function()
  it("checks each item by type or literal", function()
    local numbers = types.array_of(types.number)
    accepts(numbers, {}, { 1, 2.5 })
    refuses(numbers, nil, 'expected type "table", got "nil"')
    refuses(numbers, { 1, "x" }, 'array item 2: expected type "number", got "string"')
    refuses(types.array_of("a"), { "a", "b" }, 'array item 2: expected "a"')
    refuses(types.array_of(234), { "x" }, "array item 1: expected 234")
  end)

  it("describes itself", function()
    assert.equal('array of type "string", or type "nil"', tostring(types.array_of(types.string + types["nil"])))
    assert.equal('array of "a"', tostring(types.array_of("a")))
  end)

  it("returns the same table when nothing changes", function()
    unchanged(types.array_of(types.number + types.string / "x"), { 1, 2 })
  end)

  it("returns a changed copy and leaves the input alone", function()
    local input = { 1, "a", 3 }
    becomes(types.array_of(types.number + types.string / shout), input, { 1, "a!", 3 })
    assert.same({ 1, "a", 3 }, input)
  end)

  it("drops items that become nil, unless keep_nils", function()
    local strings = types.string + types.any / nil
    becomes(types.array_of(strings), { "a", 5, "b", 6 }, { "a", "b" })
    becomes(types.array_of(strings, { keep_nils = true }), { "a", 5, "b" }, { "a", nil, "b" })
  end)

  it("checks the length of the input", function()
    local t = types.array_of(types.string + types.any / nil, { length = types.range(2, 3) })
    becomes(t, { "a", 5 }, { "a" })
    refuses(t, { "a" }, "array length not in range from 2 to 3, got 1")
    refuses(types.array_of(types.any, { length = 2 }), {}, "array length expected 2, got 0")
    assert.has_error(function() types.array_of(types.any, { length = {} }) end)
  end)
end)

describe("types.array_contains", function()
  it("looks for one item by type or literal", function()
    local t = types.array_contains(types.number)
    accepts(t, { 1 }, { "a", 2, "b" })
    refuses(t, { "a", x = 5 }, 'expected array containing type "number"')
    refuses(t, nil, 'expected type "table", got "nil"')
    accepts(types.array_contains(77), { "a", 77 })
    refuses(types.array_contains(77), { 7 }, "expected array containing 77")
  end)

  it("transforms the first match, or all without short_circuit", function()
    local doubled = types.number / double
    becomes(types.array_contains(doubled), { "a", 1, 2 }, { "a", 2, 2 })
    becomes(types.array_contains(doubled, { short_circuit = false }), { "a", 1, 2 }, { "a", 2, 4 })
    unchanged(types.array_contains(types.number), { 1, 2 })
  end)

  it("keeps everything behind the match", function()
    becomes(types.array_contains(types.number / nil), { "a", 1, "b", "c" }, { "a", "b", "c" })
    becomes(types.array_contains(types.number / double), { 1, "b", "c" }, { 2, "b", "c" })
  end)

  it("drops items that become nil, unless keep_nils", function()
    local removed = types.number / nil
    becomes(types.array_contains(removed), { "a", 1, "b" }, { "a", "b" })
    becomes(types.array_contains(removed), { "a", 1 }, { "a" })
    becomes(types.array_contains(removed, { keep_nils = true }), { "a", 1, "b" }, { "a", nil, "b" })
  end)

  it("tags matches and forgets the tags of other items", function()
    local t = types.array_contains(types.shape({ a = types.number:tag("a"), b = 1 }))
    assert.same({ a = 2 }, t({ { a = 1, b = 0 }, { a = 2, b = 1 }, { a = 3, b = 1 } }))
  end)

  it("needs something to look for", function()
    assert.has_error(function() types.array_contains() end, "missing contains")
  end)
end)

describe("types.map_of", function()
  it("checks every key and value", function()
    local t = types.map_of(types.string, types.number)
    accepts(t, {}, { a = 1, b = 2 })
    refuses(t, nil, 'expected type "table", got "nil"')
    refuses(t, { 1 }, 'map key expected type "string", got "number"')
    refuses(t, { a = "x" }, 'map value expected type "number", got "string"')
  end)

  it("takes literals", function()
    local t = types.map_of("a", 5)
    accepts(t, {}, { a = 5 })
    refuses(t, { b = 5 }, 'map key expected "a"')
    refuses(t, { a = 6 }, "map value expected 5")
    assert.equal('map of "a" -> 5', tostring(t))
  end)

  it("returns the same table when nothing changes", function()
    unchanged(types.map_of(types.string, types.string + types.number / tostring), { a = "x" })
  end)

  it("changes keys and values in a copy", function()
    local input = { "10", "20", "30" }
    local t = types.map_of(types.number / tostring, types.string / tonumber)
    becomes(t, input, { ["1"] = 10, ["2"] = 20, ["3"] = 30 })
    assert.same({ "10", "20", "30" }, input)
  end)

  it("keeps the entries before and after the one that changes", function()
    local t = types.map_of(types.any, types.string + types.number / double)
    becomes(t, { a = "x", b = 1, c = "y", "z" }, { a = "x", b = 2, c = "y", "z" })
  end)

  it("drops an entry whose key or value becomes nil", function()
    becomes(types.map_of(types.string, types.number + types.any / nil), { a = 1, b = "x" }, { a = 1 })
    becomes(types.map_of(types.string + types.any / nil, types.any), { a = 1, 2, 3 }, { a = 1 })
  end)
end)

describe("operators", function()
  it("* passes the value on from left to right", function()
    local t = types.string / tonumber * types.number
    becomes(t, "5", 5)
    assert.same({ nil, 'expected type "number", got "nil"' }, { t:transform("x") })
    assert.equal('type "string" then type "number"', tostring(t))
  end)

  it("* stops at the first failure", function()
    local asked = false
    refuses(types.string * types.custom(function() asked = true end), 5, 'expected type "string", got "number"')
    assert.is_false(asked)
  end)

  it("+ takes the first type that passes", function()
    local t = types.number + types.string / shout + types.any / "other"
    becomes(t, 5, 5)
    becomes(t, "a", "a!")
    becomes(t, false, "other")
    refuses(types.literal(55) + types.string + types.array, 65, 'expected 55, type "string", or an array')
    refuses(types.string + types.number, true, 'expected type "string", or type "number"')
  end)

  it("+ keeps one flat list of options", function()
    local three = types.string + 5 + true
    assert.equal(3, #three.options)
    assert.equal(4, #("a" + three).options)
    assert.equal(2, #(types.string + 5).options)
  end)

  it("* and + take strings, numbers and booleans as literals on both sides", function()
    accepts(types.string * "a", "a")
    accepts("a" * types.string, "a")
    accepts(5 + types.string, 5, "x")
    accepts(types.string + true, true)
  end)

  it("* and + refuse other operands, naming the side", function()
    local reason = "failed to coerce literal into type, use types.literal() to test for literal value"
    local function fails(side, operation, operand, run)
      local message = ("%s hand side of %s: %s: %s"):format(side, operation, tostring(operand), reason)
      assert.has_error(run, message, 1, true)
    end
    fails("right", "multiplication", print, function() return types.string * print end)
    fails("left", "multiplication", types.array_of, function() return types.array_of * types.string end)
    fails("right", "addition", types.array_of, function() return types.string + types.array_of end)
    fails("left", "addition", print, function() return print + types.string end)
  end)

  it("/ replaces the value by a constant or by a function's result", function()
    becomes(types.string / shout, "a", "a!")
    becomes(types.string / false, "a", false)
    becomes(types.string / nil, "a", nil)
    assert.same({ nil, 'expected type "string", got "number"' }, { (types.string / shout):transform(5) })
    assert.equal('type "string"', tostring(types.string / shout))
  end)

  it("/ gives a function nothing but the value", function()
    local count
    local t = types.any / function(...) count = select("#", ...) end
    t:transform(5, { n = 1 })
    assert.equal(1, count)
  end)

  it("/ does not change what a check answers", function()
    accepts(types.string / nil, "a")
  end)

  it("% gives the function the state too", function()
    local t = types.number:tag("n") % function(value, state) return value + state.n end
    assert.same({ 4, { n = 2 } }, { t:transform(2) })
  end)

  it("- inverts a type and ignores its transforms and tags", function()
    local t = -(types.string / shout):tag("s")
    assert.same({ 5 }, { t:transform(5) })
    refuses(-types.string, "a", 'expected not type "string"')
    assert.equal('not type "string"', tostring(-types.string))
    assert.has_error(function() (-types.string).__class("a") end, "expected a type checker")
  end)

  it("says when there are no options at all", function()
    refuses(types._first_of(), 1, "no options for node")
  end)

  it("needs a type to transform", function()
    assert.has_error(function() types._transform() end, "missing node for transform")
  end)
end)

describe("the methods of a type", function()
  it("check_value is what calling does", function()
    assert.same({ true }, { types.string:check_value("a") })
    assert.same({ nil, 'expected type "string", got "number"' }, { types.string:check_value(5) })
  end)

  it("repair is transform", function()
    assert.same({ "a!", { n = 1 } }, { (types.string / shout):repair("a", { n = 1 }) })
  end)

  it("is_optional accepts nil too", function()
    local t = types.string:is_optional()
    accepts(t, nil, "a")
    refuses(t, 5, 'expected type "string", got "number"')
    assert.equal('optional type "string"', tostring(t))
    assert.equal(t, t:is_optional())
    assert.has_error(function() types.optional("a") end, "expected a type checker")
  end)

  it("is_optional does not transform nil", function()
    becomes((types.any / "x"):is_optional(), nil, nil)
  end)

  it("on_repair tries again with what the function returns", function()
    local t = types.number:on_repair(tonumber)
    becomes(t, 5, 5)
    becomes(t, "5", 5)
    assert.same({ nil, 'expected type "number"' }, { t:transform("x") })
  end)

  it("on_repair takes a type that transforms", function()
    local t = types.number:on_repair(types.string / tonumber)
    becomes(t, "42", 42)
    assert.same({ nil, 'expected type "number", or type "string" then type "number"' }, { t:transform(true) })
  end)

  it("repairs items before their list", function()
    local item = types.literal("drop") / nil + types.string:on_repair(function() return "fixed" end)
    local t = types.array_of(item):on_repair(function(value) return value ~= false and { "all" } or nil end)
    becomes(t, { "a", 2, "drop" }, { "a", "fixed" })
    becomes(t, "x", { "all" })
    assert.same({ nil, 'expected array of "drop", or type "string"' }, { t:repair(false) })
  end)

  it("describe replaces the description by text or function", function()
    local t = (types["nil"] + "a"):describe("a thing")
    accepts(t, nil, "a")
    refuses(t, 5, "expected a thing")
    refuses(types.string:describe(function() return "text" end), 5, "expected text")
    refuses(types.one_of({ "b", t }), 5, 'expected "b", or a thing')
  end)

  it("describe replaces the whole error, by text or function", function()
    local t = types.string:describe({ type = "name", error = "no name" })
    assert.equal("name", tostring(t))
    refuses(t, 5, "no name")
    refuses(types.string:describe({
      type = function() return "name" end,
      error = function(value, err) return value .. ": " .. err end,
    }), 5, '5: expected type "string", got "number"')
  end)

  it("describing again forgets the description before", function()
    refuses(types.string:describe({ type = "a", error = "b" }):describe("c"), 5, "expected c")
  end)

  it("clone_opts is gone, as in the release", function()
    assert.has_error(function() types.string:clone_opts() end, "clone_opts is not longer supported")
  end)
end)

describe("tags", function()
  it("store what passes, after its transforms", function()
    local t = types.shape({ types.string:tag("a"), (types.number / double):tag("b") })
    assert.same({ a = "x", b = 4 }, t({ "x", 2 }))
    assert.same({ { "x", 4 }, { a = "x", b = 4 } }, { t:transform({ "x", 2 }) })
  end)

  it("keep the last value under a name used again", function()
    assert.same({ n = 2 }, types.array_of(types.number:tag("n"))({ 1, 2 }))
  end)

  it("gather values under name[]", function()
    assert.same({ n = { 1, 2 } }, types.array_of(types.number:tag("n[]"))({ 1, 2 }))
  end)

  it("call a function with the state and the value", function()
    local t = types.array_of(types.number:tag(function(state, n) state.sum = (state.sum or 0) + n end))
    assert.same({ sum = 6 }, t({ 1, 2, 3 }))
  end)

  it("of a branch that fails are forgotten", function()
    local t = types.shape({ types.number:tag("a"), "x" }) + types.shape({ types.number:tag("b"), "y" })
    assert.same({ b = 1 }, t({ 1, "y" }))
    assert.is_nil((t({ 1, "z" })))
  end)

  it("start from the state given and leave it alone", function()
    local state = setmetatable({ list = { 0 } }, {})
    local out = types.array_of(types.number:tag("list[]"))({ 1 }, state)
    assert.same({ list = { 0, 1 } }, out)
    assert.equal(getmetatable(state), getmetatable(out))
    assert.same({ list = { 0 } }, state)
  end)

  it("work on lengths and on the keys and values of extra fields", function()
    assert.same({ len = 2, val = "hi" }, types.string:length(types.range(1, 2):tag("len")):tag("val")("hi"))
    assert.same({ len = 1 }, types.array_of(types.any, { length = types.range(1, 2):tag("len") })({ "x" }))
    local extra = types.map_of(types.string:tag("keys[]"), types.any:tag("values[]"))
    assert.same({ keys = { "a" }, values = { 1 } }, types.shape({}, { extra_fields = extra })({ a = 1 }))
  end)

  it("need a name", function()
    assert.has_error(function() types.string:tag() end, "tagged type missing tag")
    assert.equal('type "string" tagged "a"', tostring(types.string:tag("a[]")))
  end)

  it("see a state that every type has handed on", function()
    local inner = types.custom(function(_, state) return state and state.given == 1, "no state" end):tag("seen")
    local examples = {
      { inner, 5 },
      { inner / 1, 5 },
      { types.any * inner * types.literal(5) * types.number, 5 },
      { types.string + inner, 5 },
      { -types.string * inner * -(-inner), 5 },
      { inner:is_optional(), 5 },
      { types.any:is_optional() * inner, nil },
      { types.string:is_optional() * inner, nil },
      { inner:describe("x"), 5 },
      { types.string:length(inner), "x" },
      { types.array * inner, {} },
      { types.clone * inner, 5 },
      { types.clone * inner, {} },
      { types.one_of({ "a", 5 }) * inner, 5 },
      { types.one_of({ true }) * inner, true },
      { types.one_of({ types.string, inner }), 5 },
      { types.all_of({ types.any, inner }), 5 },
      { types.integer * inner, 5 },
      { types.range(1, 9) * inner, 5 },
      { types.equivalent(5) * inner, 5 },
      { types.proxy(function() return inner end), 5 },
      { types.assert(inner), 5 },
      { types.annotate(inner), 5 },
      { types.metatable_is(inner), setmetatable({}, {}) },
      { types.shape({ inner }), { 5 } },
      { types.shape({}, { extra_fields = inner }), { 5 } },
      { types.array_of(inner), { 5 } },
      { types.array_of(types.any, { length = inner }), { 5 } },
      { types.array_contains(inner), { 5 } },
      { types.map_of(inner, types.any), { 5 } },
      { types.map_of(types.any, inner), { 5 } },
      { types.scope(types.any, { tag = "x" }) * inner, 5 },
    }
    for _, example in ipairs(examples) do
      local checker, value = example[1], example[2]
      local state, err = checker(value, { given = 1 })
      assert.is_table(state, tostring(checker) .. ": " .. tostring(err))
      assert.equal(1, state.given)
      if value ~= nil then assert.is_not_nil(state.seen, tostring(checker)) end
    end
  end)

  it("ignore a state that is no table", function()
    assert.same({ "a" }, { types.string:transform("a", 5) })
    assert.same({ n = "a" }, types.string:tag("n")("a", 5))
  end)

  it("make a check return the state, even when it was only given", function()
    local state = {}
    assert.equal(state, types.string("a", state))
    assert.same({ "a", {} }, { types.string:transform("a", state) })
  end)
end)

describe("types.scope", function()
  local entry = types.shape({ id = types.string:tag("name") })

  it("gives a type a state of its own, stored under the tag", function()
    local t = types.array_of(types.scope(entry, { tag = "list[]" }))
    assert.same({ list = { { name = "a" }, { name = "b" } } }, t({ { id = "a" }, { id = "b" } }))
  end)

  it("throws that state away without a tag", function()
    assert.same({ { id = "a" } }, { types.scope(entry):transform({ id = "a" }) })
  end)

  it("calls a function with the state, the value and the inner state", function()
    local t = types.scope(entry, { tag = function(state, value, scope) state.seen = { value.id, scope.name } end })
    assert.same({ seen = { "a", "a" } }, t({ id = "a" }))
  end)

  it("passes nil to that function as a value", function()
    local count
    types.scope(types.any, { tag = function(...) count = select("#", ...) end })(nil)
    assert.equal(3, count)
  end)

  it("fails as the type does", function()
    refuses(types.scope(entry, { tag = "x" }), {}, 'field "id": expected type "string", got "nil"')
    assert.equal('type "string" tagged "x"', tostring(types.scope(types.string, { tag = "x" })))
  end)

  it("starts from what create_scope_state returns", function()
    local Copying = moonscript_class("Copying", types.scope, {
      create_scope_state = function(_, state) return { outer = state.id } end,
    })
    assert.same({ id = 1, x = { outer = 1, name = "a" } }, Copying(entry, { tag = "x" })({ id = "a" }, { id = 1 }))
  end)
end)

describe("classes", function()
  local Even = moonscript_class("Even", BaseType, {
    _describe = function() return "even number" end,
    _transform = function(_, value, state)
      if type(value) == "number" and value % 2 == 0 then return value, state end
      return FailedTransform, "odd"
    end,
  })

  it("have MoonScript's fields", function()
    assert.equal("Even", Even().__class.__name)
    assert.equal("Shape", types.shape.__name)
    assert.equal(types.shape, types.partial.__parent)
    assert.equal(BaseType, types.shape.__parent)
    assert.equal(types.shape.__base, getmetatable(types.shape({})))
    assert.equal(types.shape, types.shape.__base.__class)
    assert.is_function(types.shape.__init)
  end)

  it("have the names they have in the release", function()
    local names = {
      one_of = "OneOf", all_of = "AllOf", shape = "Shape", partial = "Partial", pattern = "Pattern",
      array_of = "ArrayOf", array_contains = "ArrayContains", map_of = "MapOf", literal = "Literal", range = "Range",
      equivalent = "Equivalent", custom = "Custom", scope = "TagScopeType", proxy = "Proxy", assert = "AssertType",
      annotate = "AnnotateNode", describe = "DescribeNode", optional = "OptionalType",
      metatable_is = "MetatableIsType", _transform = "TransformNode", _tagged_type = "TaggedType",
      _sequence = "SequenceNode", _first_of = "FirstOfNode",
    }
    for field, name in pairs(names) do
      assert.equal(name, types[field].__name)
    end
    local instances = { string = "Type", any = "AnyType", array = "ArrayType", clone = "CloneType" }
    for field, name in pairs(instances) do
      assert.equal(name, types[field].__class.__name)
    end
    assert.equal("NotType", (-types.any).__class.__name)
    assert.equal("BaseType", BaseType.__name)
  end)

  it("can be extended, and their instances are types", function()
    local even = Even()
    assert.is_true(tableshape.is_type(even))
    assert.is_false(tableshape.is_type(Even))
    accepts(even, 2)
    refuses(even, 1, "odd")
    assert.equal("even number", tostring(even))
  end)

  it("give subclasses every operator and method", function()
    becomes(Even() / double, 2, 4)
    becomes(Even() % double, 2, 4)
    accepts(Even() * types.number, 2)
    accepts(Even() + "a", "a")
    accepts(-Even(), 1)
    accepts(Even():is_optional(), nil)
    assert.same({ n = 2 }, Even():tag("n")(2))
    refuses(types.shape({ a = Even() }), { a = 1 }, 'field "a": odd')
  end)

  it("can be extended further down, with super", function()
    local Point
    Point = moonscript_class("Point", types.shape, {}, function(self, opts)
      return Point.__parent.__init(self, { x = types.number }, opts)
    end)
    accepts(Point(), { x = 1 })
    accepts(Point({ open = true }), { x = 1, y = 2 })
    refuses(Point(), { x = 1, y = 2 }, 'extra fields: "y"')
  end)

  it("raise an error for a type that does not describe itself", function()
    local Bare = moonscript_class("Bare", BaseType, {})
    assert.has_error(function() tostring(Bare()) end, "Node missing _describe: Bare")
  end)
end)
