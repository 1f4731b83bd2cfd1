--- What `cjson` and `cjson.safe` do: one list of behaviours, run over ours and over lua-cjson where it is installed.

local NULL = require("string.buffer").decode("\3")

local OUR_FOLDER = os.getenv("LUAOPENAI_LUA_DIR") or "lua"

--- Ours, found by its Lua file: `require` may find lua-cjson.
local function ours(name)
  return dofile(assert(package.searchpath(name, OUR_FOLDER .. "/?.lua")))
end

local c_library = package.searchpath("cjson", package.cpath)
local implementations = {
  ours = { cjson = ours("cjson"), safe = ours("cjson.safe") },
}
if c_library then
  implementations["lua-cjson"] = {
    cjson = package.loadlib(c_library, "luaopen_cjson")(),
    safe = package.loadlib(c_library, "luaopen_cjson_safe")(),
  }
end

--- The message of the error that a call raises; pcall itself being the caller, no position comes before it.
local function failure(call, ...)
  local ok, message = pcall(call, ...)
  assert.is_false(ok)
  return message
end

local function nested(depth)
  local value = {}
  for _ = 2, depth do
    value = { value }
  end
  return value
end

--- Short and long, exact and rounded, with and without exponents: these take different ways through a decoder.
local NUMBERS = {
  "0", "-0", "7", "-12", "0.5", "-0.0069292834", "1.0", "3.14159265358979", "100000000000000000000",
  "9007199254740991", "9007199254740992", "9007199254740993", "-9007199254740995", "0.1234567890123456789",
  "1e5", "1E+5", "25e-3", "1e22", "1e23", "1e-22", "1e-23", "123456789e-30", "6.02214076e23", "4.9e-324",
  "2.2250738585072011e-308", "2.2250738585072014e-308", "1.7976931348623157e308", "1e400", "-1e400", "1e-400",
  "8.5e-05", "0.000000000000000000000000000001", "179769313486231580793728971405301e276",
  "-0.0069292834959924221", "0.0042139398632399907", "9007199254740993.0000001", "72057594037927945",
}

local EQUAL_TEXTS = {
  ["the empty array"] = { "[]", {} },
  ["the empty object"] = { "{}", {} },
  ["nested structures"] = { '{"a":[1,{"b":[[]]}],"c":{}}', { a = { 1, { b = { {} } } }, c = {} } },
  ["white space of all four kinds around every token"] = {
    '\t{ "a"\n:\r\n[ 1 , 2 ]\t, "b" : "" } ', { a = { 1, 2 }, b = "" },
  },
  ["the last of two equal keys"] = { '{"a":1,"a":{"b":2}}', { a = { b = 2 } } },
  ["a number of more digits than a double has room for"] = { "[" .. ("1"):rep(400) .. "]", { math.huge } },
  ["digits in a key as a string"] = { '{"1":"x"}', { ["1"] = "x" } },
  ["a lone value"] = { "true", true },
  ["a number given as a Lua number"] = { 12.5, 12.5 },
  ["every short escape"] = { [["\"\\\/\b\f\n\r\t"]], "\"\\/\b\f\n\r\t" },
  ["escapes next to each other and apart"] = { [["\\\\ a\n b\"c\" \\"]], "\\\\ a\n b\"c\" \\" },
  ["an escape in a key"] = { [[{"a\"b":1,"c":"d"}]], { ['a"b'] = 1, c = "d" } },
  ["\\u escapes as UTF-8 of one, two and three bytes"] = { [["\u0041\u00e9\u20AC\u0000"]], "A\195\169\226\130\172\0" },
  ["a surrogate pair as one character"] = { [["\ud83d\ude00"]], "\240\159\152\128" },
  ["the first and the last surrogate pair"] = {
    [["\ud800\udc00\udbff\udfff"]], "\240\144\128\128\244\143\191\191",
  },
  ["bytes that are not UTF-8 unchanged"] = { '"\255\192\1\127"', "\255\192\1\127" },
}

local BAD_TEXTS = {
  [""] = "Expected value but found T_END at character 1",
  [" \n "] = "Expected value but found T_END at character 4",
  ["[1,2"] = "Expected comma or array end but found T_END at character 5",
  ["[1,]"] = "Expected value but found T_ARR_END at character 4",
  ["[1 2.5]"] = "Expected comma or array end but found T_NUMBER at character 4",
  ["[1 2e1]"] = "Expected comma or array end but found T_NUMBER at character 4",
  ["[}"] = "Expected value but found T_OBJ_END at character 2",
  ["[1}"] = "Expected comma or array end but found T_OBJ_END at character 3",
  ["{"] = "Expected object key string but found T_END at character 2",
  ["{,"] = "Expected object key string but found T_COMMA at character 2",
  ["{true:1}"] = "Expected object key string but found T_BOOLEAN at character 2",
  ["{null:1}"] = "Expected object key string but found T_NULL at character 2",
  ['{"a"}'] = "Expected colon but found T_OBJ_END at character 5",
  ['{"a":[{"b":1},  '] = "Expected value but found T_END at character 17",
  ['{"a":1,}'] = "Expected object key string but found T_OBJ_END at character 8",
  ['{"a":1 "b":2}'] = "Expected comma or object end but found T_STRING at character 8",
  ['{"a":1]'] = "Expected comma or object end but found T_ARR_END at character 7",
  ["1 {"] = "Expected the end but found T_OBJ_BEGIN at character 3",
  ["[1] ["] = "Expected the end but found T_ARR_BEGIN at character 5",
  ["1 :"] = "Expected the end but found T_COLON at character 3",
  ["truth"] = "Expected value but found invalid token at character 1",
  ["nul"] = "Expected value but found invalid token at character 1",
  [".5"] = "Expected value but found invalid token at character 1",
  ["truest"] = "Expected the end but found invalid token at character 5",
  ["\239\187\191{}"] = "Expected value but found invalid token at character 1",
  ["-"] = "Expected value but found invalid number at character 1",
  ["- 1"] = "Expected value but found invalid number at character 1",
  ["+"] = "Expected value but found invalid number at character 1",
  ["1e"] = "Expected the end but found invalid token at character 2",
  ['"abc'] = "Expected value but found unexpected end of string at character 5",
  ['{"a\\"'] = "Expected object key string but found unexpected end of string at character 6",
  ['"a\\xb"'] = "Expected value but found invalid escape code at character 3",
  ['"\\u12G4"'] = "Expected value but found invalid unicode escape code at character 2",
  ['"\\ud83d"'] = "Expected value but found invalid unicode escape code at character 2",
  ['"\\ud83d\\u0041"'] = "Expected value but found invalid unicode escape code at character 2",
  ['"\\ud83d\\ud83d"'] = "Expected value but found invalid unicode escape code at character 2",
  ['"\\udc00\\udc00"'] = "Expected value but found invalid unicode escape code at character 2",
  ['"\\ude00"'] = "Expected value but found invalid unicode escape code at character 2",
  ["[1\0]"] = "Expected comma or array end but found T_END at character 3",
  ['"a\0b"'] = "Expected value but found unexpected end of string at character 3",
  ["1\0"] = "JSON parser does not support UTF-16 or UTF-32",
  ["\0\"\0a"] = "JSON parser does not support UTF-16 or UTF-32",
}

local IRREGULAR_NUMBERS = {
  ["Infinity"] = math.huge, ["-infinity"] = -math.huge, ["inf"] = math.huge, ["-INF"] = -math.huge,
  ["+inf"] = math.huge, ["0x10"] = 16, ["-0X1F"] = -31, ["0x1.8p1"] = 3, ["0x.8"] = 0.5, ["+1"] = 1, ["007"] = 7,
  ["-01"] = -1,
}

local ENCODED = {
  ["nil as null"] = { nil, "null" },
  ["null"] = { NULL, "null" },
  ["true"] = { true, "true" },
  ["false"] = { false, "false" },
  ["an empty table as an object"] = { {}, "{}" },
  ["a sequence as an array"] = { { 1, "a", { true } }, '[1,"a",[true]]' },
  ["holes as null"] = { { [1] = 1, [3] = 3 }, "[1,null,3]" },
  ["string keys as an object"] = { { a = { b = "c" } }, '{"a":{"b":"c"}}' },
  ["a numeric string key as an object's"] = { { ["1"] = 1 }, '{"1":1}' },
  ["the key 0 as an object's"] = { { [0] = 1 }, '{"0":1}' },
  ["a negative key as an object's"] = { { [-1] = 1 }, '{"-1":1}' },
  ["a fractional key as an object's"] = { { [1.5] = 1 }, '{"1.5":1}' },
  ["an array of ten with nine holes"] = { { [10] = 1 }, "[" .. ("null,"):rep(9) .. "1]" },
  ["quote, backslash, slash and delete escaped"] = { '"\\/\127', [["\"\\\/\u007f"]] },
  ["control characters escaped, the known ones by letter"] = {
    "\0\1\b\t\n\11\f\r\31", [["\u0000\u0001\b\t\n\u000b\f\r\u001f"]],
  },
  ["an escape between plain text"] = { "plain\nplain", [["plain\nplain"]] },
  ["bytes that are not UTF-8 unchanged"] = { "\255\192é", '"\255\192é"' },
  ["a key escaped"] = { { ["a/b"] = 1 }, [[{"a\/b":1}]] },
  ["an integer without a point"] = { 1e5, "100000" },
  ["14 significant digits"] = { 1 / 3, "0.33333333333333" },
  ["numbers from 1e14 on with an exponent"] = { 1e14, "1e+14" },
  ["the sign of zero"] = { -0.0, "-0" },
}

local UNENCODABLE = {
  ["a function"] = { print, "Cannot serialise function: type not supported" },
  ["a coroutine"] = { coroutine.create(print), "Cannot serialise thread: type not supported" },
  ["a userdata"] = { io.stdout, "Cannot serialise userdata: type not supported" },
  ["cdata, deep inside"] = { { { x = 5LL } }, "Cannot serialise cdata: type not supported" },
  ["a boolean key"] = { { [true] = 1 }, "Cannot serialise boolean: table key must be a number or string" },
  ["null as a key"] = { { [NULL] = 1 }, "Cannot serialise userdata: table key must be a number or string" },
  ["an array of eleven with ten holes"] = { { [11] = 1 }, "Cannot serialise table: excessively sparse array" },
  ["a table 1001 deep"] = { nested(1001), "Cannot serialise, excessive nesting (1001)" },
}

--- Setting functions: the default, a value to set (with what is returned then), and a value that is refused.
local SETTINGS = {
  encode_max_depth = { 1000, { 5, 5 }, { 0, "expected integer between 1 and 2147483647" } },
  decode_max_depth = { 1000, { "7", 7 }, { 2 ^ 31, "expected integer between 1 and 2147483647" } },
  encode_number_precision = { 14, { 3.9, 3 }, { {}, "number expected, got table" } },
  encode_keep_buffer = { true, { "off", false }, { "null", "invalid option 'null'" } },
  encode_invalid_numbers = { false, { "null", "null" }, { print, "string expected, got function" } },
  decode_invalid_numbers = { true, { false, false }, { 1, "invalid option '1'" } },
}
local OUR_SETTINGS = {
  encode_empty_table_as_object = { true, { false, false }, { "yes", "invalid option 'yes'" } },
  decode_array_with_array_mt = { false, { "on", true }, { {}, "string expected, got table" } },
  encode_escape_forward_slash = { true, { "off", false }, { "null", "invalid option 'null'" } },
  encode_skip_unsupported_value_types = { false, { "on", true }, { "skip", "invalid option 'skip'" } },
  encode_indent = { "", { 3, "3" }, { {}, "string expected, got table" } },
  decode_allow_comment = { false, { true, true }, { "yes", "invalid option 'yes'" } },
  encode_exact_numbers = { false, { true, true }, { {}, "string expected, got table" } },
  encode_mixed_tables = { true, { false, false }, { 0, "invalid option '0'" } },
  encode_number_keys = { true, { false, false }, { 0, "invalid option '0'" } },
}

local function setting_behaviours(cjson, settings)
  for name, case in pairs(settings) do
    local default, change, refusal = unpack(case)

    it(name .. " returns its default", function()
      assert.equal(default, cjson.new()[name]())
    end)

    it(name .. " sets, and returns what it set", function()
      local json = cjson.new()
      assert.equal(change[2], json[name](change[1]))
      assert.equal(change[2], json[name]())
      assert.equal(change[2], json[name](nil))
    end)

    it(name .. " refuses what it cannot be set to, and keeps its value", function()
      local json = cjson.new()
      local message = failure(json[name], refusal[1])
      assert.equal(refusal[2], message:match("^bad argument #1 to '.-' %((.+)%)$"))
      assert.equal(default, json[name]())
    end)

    it(name .. " refuses a second argument", function()
      assert.matches("bad argument #2 to '.-' %(found too many arguments%)", failure(cjson.new()[name], nil, nil))
    end)
  end
end

for name, implementation in pairs(implementations) do
  describe(name .. ": decode", function()
    local cjson = implementation.cjson

    for what, case in pairs(EQUAL_TEXTS) do
      it("reads " .. what, function()
        assert.same(case[2], cjson.decode(case[1]))
      end)
    end

    for _, text in ipairs(NUMBERS) do
      it("reads " .. text .. " as tonumber does, to the last bit", function()
        assert.equal(("%a"):format(tonumber(text)), ("%a"):format(cjson.decode(text)))
      end)
    end

    it("reads a number with so many digits before and behind the point as tonumber does", function()
      local DIGITS = "98765432101234567890"
      for whole = 1, #DIGITS do
        for zeros = 0, #DIGITS, 5 do
          for digits = 1, #DIGITS do
            local text = ("%s.%s%s"):format(DIGITS:sub(1, whole), ("0"):rep(zeros), DIGITS:sub(-digits))
            local short = text:gsub("^%d+", "0")
            local read = cjson.decode(("[%s,-%s,%s]"):format(text, text, short))
            assert.same({ tonumber(text), -tonumber(text), tonumber(short) }, read)
          end
        end
      end
    end)

    it("takes an exponent of any length", function()
      local text = "[1e1234567890,-1e1234567890,0e1234567890,1e-1234567890,0x1p1234567890]"
      assert.same({ math.huge, -math.huge, 0, 0, math.huge }, cjson.decode(text))
    end)

    it("reads null as the NULL lightuserdata, in tables too", function()
      assert.equal(NULL, cjson.decode("null"))
      local value = cjson.decode('{"a":null,"b":[null,null]}')
      assert.equal(NULL, value.a)
      assert.equal(2, #value.b)
    end)

    for text, message in pairs(BAD_TEXTS) do
      it(("refuses %q"):format(text), function()
        assert.equal(message, failure(cjson.decode, text))
      end)
    end

    it("says where in the Lua code it was called from", function()
      local message = failure(function()
        local value = cjson.decode("[")
        return value
      end)
      assert.matches("cjson_spec%.lua:%d+: Expected value but found T_END at character 2$", message)
    end)

    it("reads a thousand levels, and no more", function()
      local deepest = ("["):rep(1000) .. ("]"):rep(1000)
      assert.equal(deepest:gsub("%[%]", "{}"), cjson.encode(cjson.decode(deepest)))
      assert.equal(
        "Found too many nested data structures (1001) at character 1001",
        failure(cjson.decode, "[" .. deepest .. "]")
      )
    end)

    it("counts levels, not structures", function()
      local json = cjson.new()
      json.decode_max_depth(2)
      assert.same({ { 1 }, { 2 }, { a = 3 } }, json.decode('[[1],[2],{"a":3}]'))
      assert.equal("Found too many nested data structures (3) at character 7", failure(json.decode, '[{"a":[]}]'))
    end)

    for text, value in pairs(IRREGULAR_NUMBERS) do
      it("reads " .. text .. " unless told not to", function()
        local json = cjson.new()
        assert.equal(value, json.decode(text))
        assert.equal(value, json.decode("[" .. text .. "]")[1])
        json.decode_invalid_numbers(false)
        assert.matches("^Expected value but found invalid %w+ at character 1$", failure(json.decode, text))
      end)
    end

    it("reads NaN unless told not to", function()
      local json = cjson.new()
      local values = json.decode("[nan,NaN,-nan,nan(1)]")
      assert.equal(4, #values)
      for _, value in ipairs(values) do
        assert.not_equal(value, value)
      end
      json.decode_invalid_numbers(false)
      assert.equal("Expected value but found invalid token at character 2", failure(json.decode, "[NaN]"))
      assert.equal("Expected value but found invalid number at character 2", failure(json.decode, "[-nan]"))
    end)

    it("wants exactly one argument, a string or a number", function()
      assert.matches("^bad argument #1 to '.-' %(expected 1 argument%)$", failure(cjson.decode))
      assert.matches("^bad argument #1 to '.-' %(expected 1 argument%)$", failure(cjson.decode, "1", 2))
      assert.matches("^bad argument #1 to '.-' %(string expected, got table%)$", failure(cjson.decode, {}))
      assert.matches("^bad argument #1 to '.-' %(string expected, got nil%)$", failure(cjson.decode, nil))
    end)
  end)

  describe(name .. ": encode", function()
    local cjson = implementation.cjson

    for what, case in pairs(ENCODED) do
      it("writes " .. what, function()
        assert.equal(case[2], cjson.encode(case[1]))
      end)
    end

    it("writes keys of both kinds as one object", function()
      local text = cjson.encode({ 5, a = 6 })
      assert.is_true(text == '{"1":5,"a":6}' or text == '{"a":6,"1":5}')
    end)

    for what, case in pairs(UNENCODABLE) do
      it("refuses " .. what, function()
        assert.equal(case[2], failure(cjson.encode, case[1]))
      end)
    end

    it("refuses a table that contains itself", function()
      local cycle = {}
      cycle.self = cycle
      assert.equal("Cannot serialise, excessive nesting (1001)", failure(cjson.encode, cycle))
    end)

    it("works on after a refusal", function()
      failure(cjson.encode, { "written", print })
      assert.equal('["x"]', cjson.encode({ "x" }))
    end)

    it("says where in the Lua code it was called from", function()
      local message = failure(function()
        local text = cjson.encode(print)
        return text
      end)
      assert.matches("cjson_spec%.lua:%d+: Cannot serialise function: type not supported$", message)
    end)

    it("writes a thousand levels", function()
      assert.equal(("["):rep(999) .. "{}" .. ("]"):rep(999), cjson.encode(nested(1000)))
    end)

    it("writes as few levels as it is told to", function()
      local json = cjson.new()
      json.encode_max_depth(1)
      assert.equal("[1]", json.encode({ 1 }))
      assert.equal("Cannot serialise, excessive nesting (2)", failure(json.encode, { {} }))
    end)

    it("refuses NaN and infinity, as keys too", function()
      for _, value in ipairs({ 0 / 0, math.huge, -math.huge, { [-math.huge] = 1 } }) do
        assert.matches("^Cannot serialise number: must not be NaN or Inf", failure(cjson.encode, value))
      end
    end)

    it("writes NaN and infinity as null when told to", function()
      local json = cjson.new()
      json.encode_invalid_numbers("null")
      assert.equal("[null,null,null]", json.encode({ 0 / 0, math.huge, -math.huge }))
    end)

    it("writes as many significant digits as it is told to, in keys too", function()
      local json = cjson.new()
      json.encode_number_precision(3)
      assert.equal('{"1.23e+03":0.333}', json.encode({ [1234.5] = 1 / 3 }))
    end)

    it("writes excessively sparse arrays as objects when told to", function()
      local json = cjson.new()
      assert.same({ true, 2, 10 }, { json.encode_sparse_array(true) })
      assert.equal('{"11":1}', json.encode({ [11] = 1 }))
    end)

    it("takes any array for dense when the ratio is 0", function()
      local json = cjson.new()
      assert.same({ false, 0, 10 }, { json.encode_sparse_array(nil, 0) })
      assert.equal("[" .. ("null,"):rep(99) .. "1]", json.encode({ [100] = 1 }))
    end)

    it("calls an array sparse by ratio and by safe length", function()
      local json = cjson.new()
      assert.same({ false, 3, 2 }, { json.encode_sparse_array(false, 3, 2) })
      assert.equal("[1,null,3]", json.encode({ [1] = 1, [3] = 3 }))
      assert.equal("Cannot serialise table: excessively sparse array", failure(json.encode, { [4] = 1 }))
    end)

    it("gives the same text whether it keeps its buffer or not", function()
      local json = cjson.new()
      for _, keep in ipairs({ false, true, false }) do
        json.encode_keep_buffer(keep)
        assert.equal('["a","b"]', json.encode({ "a", "b" }))
      end
    end)

    it("wants exactly one argument", function()
      assert.matches("^bad argument #1 to '.-' %(expected 1 argument%)$", failure(cjson.encode))
      assert.matches("^bad argument #1 to '.-' %(expected 1 argument%)$", failure(cjson.encode, 1, 2))
    end)
  end)

  describe(name .. ": the module", function()
    local cjson = implementation.cjson

    it("does the same once LuaJIT has compiled it", function()
      for _ = 1, 200 do
        for what, case in pairs(EQUAL_TEXTS) do
          assert.same(case[2], cjson.decode(case[1]), what)
        end
        for what, case in pairs(ENCODED) do
          assert.equal(case[2], cjson.encode(case[1]), what)
        end
        for text, message in pairs(BAD_TEXTS) do
          assert.equal(message, failure(cjson.decode, text))
        end
      end
    end)

    setting_behaviours(cjson, SETTINGS)

    it("has the NULL lightuserdata as null", function()
      assert.equal(NULL, cjson.null)
    end)

    it("names itself and a version", function()
      assert.equal("cjson", cjson._NAME)
      assert.matches("^2%.1%.0", cjson._VERSION)
    end)

    it("makes instances with settings of their own", function()
      local json = cjson.new()
      json.encode_max_depth(2)
      assert.equal(1000, cjson.encode_max_depth())
      assert.equal(1000, json.new().encode_max_depth())
    end)

    it("sets what is given of several values, and leaves the rest", function()
      local json = cjson.new()
      json.encode_sparse_array(true, 1, 3)
      assert.same({ true, 5, 3 }, { json.encode_sparse_array(nil, 5) })
    end)

    it("says which of several values is wrong", function()
      local set = cjson.new().encode_sparse_array
      assert.matches("bad argument #4 to '.-' %(found too many arguments%)", failure(set, 1, 2, 3, 4))
      assert.matches("bad argument #2 to '.-' %(number expected, got boolean%)", failure(set, nil, true))
    end)

    it("calls a function in errors what the script calls it, and \"?\" when pcall calls it", function()
      local convert = cjson.encode
      local calls = {
        ["bad argument #1 to 'convert' (expected 1 argument)"] = function() convert() end,
        ["bad argument #1 to 'encode' (expected 1 argument)"] = function() cjson.encode(1, 2) end,
        ["bad argument #1 to 'decode' (string expected, got nil)"] = function() cjson.decode(nil) end,
        ["bad argument #1 to 'encode_max_depth' (number expected, got string)"] = function()
          cjson.encode_max_depth("deep")
        end,
        ["calling 'encode' on bad self (expected 1 argument)"] = function() cjson:encode(1) end,
      }
      for message, call in pairs(calls) do
        assert.equal(message, (failure(call):gsub("^[^:]*cjson_spec.lua:%d+: ", "")))
      end
      assert.equal("bad argument #1 to '?' (expected 1 argument)", failure(cjson.encode))
      assert.equal("bad argument #1 to '?' (string expected, got nil)", failure(cjson.decode, nil))
      assert.equal("bad argument #2 to '?' (found too many arguments)", failure(cjson.decode_max_depth, 1, 2))
    end)

    it("blames the first value for any that is out of range", function()
      local message = failure(cjson.new().encode_sparse_array, nil, -1)
      assert.matches("bad argument #1 to '.-' %(expected integer between 0 and 2147483647%)", message)
    end)
  end)

  describe(name .. ": cjson.safe", function()
    local safe = implementation.safe

    it("returns what encode and decode make", function()
      assert.equal("[1]", safe.encode({ 1 }))
      assert.same({ 1 }, safe.decode("[1]"))
      assert.is_false(safe.decode("false"))
    end)

    it("returns the text or the value alone, so that print shows no more", function()
      assert.equal(1, select("#", safe.encode({ 1 })))
      assert.equal(1, select("#", safe.encode({ {}, "text" })))
      assert.equal(1, select("#", safe.decode("[1]")))
    end)

    it("returns nil and the error, without a position", function()
      assert.same({ nil, "Expected value but found T_END at character 2" }, { safe.decode("[") })
      assert.same({ nil, "Cannot serialise function: type not supported" }, { safe.encode(print) })
      local value, message = safe.decode({})
      assert.is_nil(value)
      assert.equal("bad argument #1 to '?' (string expected, got table)", message)
    end)

    it("raises what is wrong with the number of arguments, or with a setting", function()
      assert.matches("expected 1 argument", failure(safe.decode))
      assert.matches("expected 1 argument", failure(safe.encode, 1, 2))
      assert.matches("expected integer", failure(safe.encode_max_depth, 0))
    end)

    it("makes instances that are safe too", function()
      assert.is_nil((safe.new().decode("[")))
    end)
  end)
end

describe("ours, as OpenResty's lua-cjson", function()
  local cjson = implementations.ours.cjson

  setting_behaviours(cjson, OUR_SETTINGS)

  it("is release 2.1.0.11", function()
    assert.equal("2.1.0.11", cjson._VERSION)
  end)

  it("tells integers from other numbers in the error", function()
    assert.equal("Expected comma or array end but found T_INTEGER at character 4", failure(cjson.decode, "[1 -2]"))
    assert.equal("Expected the end but found T_INTEGER at character 3", failure(cjson.decode, "1 2"))
  end)

  it("reads the elements of a table with a metatable as a script would", function()
    assert.equal('["x",1]', cjson.encode(setmetatable({ [2] = 1 }, { __index = { "x" } })))
    local squares = setmetatable({}, {
      __len = function() return 3 end,
      __index = function(_, index) return index * index end,
    })
    assert.equal("[1,4,9]", cjson.encode(squares))
  end)

  it("breaks and indents lines when told what with", function()
    local json = cjson.new()
    json.encode_indent("  ")
    assert.equal('[\n  1,\n  {\n    "a": []\n  },\n  {}\n]', json.encode({ 1, { a = json.empty_array }, {} }))
    assert.equal("3", json.encode(3))
    json.encode_indent("ab")
    assert.equal("[\nab[\nababnull\nab]\n]", json.encode({ { NULL } }))
    json.encode_indent("")
    assert.equal("[[1,2]]", json.encode({ { 1, 2 } }))
  end)

  it("counts how deep an indented text is", function()
    local json = cjson.new()
    json.encode_indent(" ")
    json.encode_max_depth(2)
    assert.equal("Cannot serialise, excessive nesting (3)", failure(json.encode, nested(3)))
  end)

  it("leaves out what there is no JSON for when told to", function()
    local json = cjson.new()
    json.encode_skip_unsupported_value_types(true)
    local values = { print, 1, coroutine.create(print), NULL, io.stdout, 5LL, json.empty_array }
    assert.equal("[1,null,[]]", json.encode(values))
    assert.equal('{"b":2}', json.encode({ a = print, b = 2 }))
    assert.equal("{}", json.encode({ a = print }))
    assert.equal("", json.encode(print))
    json.encode_indent(" ")
    assert.equal('{\n "b": 2\n}', json.encode({ a = print, b = 2 }))
  end)

  local COMMENTED = {
    ["// one\n[1, // two\r\n2] // three"] = "[1,2]",
    ["/* one */[1/**/,/* 2, */3]"] = "[1,3]",
    ['{"a" /* b */ : /* c\nd */ 1}'] = '{"a":1}',
    ['/*first*//*second*/"// not /* this */ \\" // nor this"'] = [["\/\/ not \/* this *\/ \" \/\/ nor this"]],
    ["1//"] = "1",
    ["/* **/1"] = "1",
  }
  local BADLY_COMMENTED = {
    ["{} /* never"] = "Expected the end but found unclosed multi-line comment at character 12",
    ["[1, /*"] = "Expected value but found unclosed multi-line comment at character 7",
    ["/*/1"] = "Expected value but found unclosed multi-line comment at character 5",
    ["{ // }"] = "Expected object key string but found T_END at character 7",
    ["[1 / 2]"] = "Expected comma or array end but found invalid token at character 4",
    ["/* a\n */ [1 2]"] = "Expected comma or array end but found T_INTEGER at character 13",
    ['"a /* b'] = "Expected value but found unexpected end of string at character 8",
  }

  it("takes comments for white space when told to", function()
    local json = cjson.new()
    json.decode_allow_comment(true)
    for text, expected in pairs(COMMENTED) do
      assert.equal(expected, json.encode(json.decode(text)), text)
    end
  end)

  it("says where a comment is wrong, and keeps count of characters in comments", function()
    local json = cjson.new()
    json.decode_allow_comment(true)
    for text, message in pairs(BADLY_COMMENTED) do
      assert.equal(message, failure(json.decode, text))
    end
  end)

  it("refuses comments unless told otherwise", function()
    assert.equal("Expected value but found invalid token at character 1", failure(cjson.decode, "/* one */1"))
    assert.equal("Expected the end but found invalid token at character 3", failure(cjson.decode, "1 // one"))
  end)

  it("names NaN and Infinity in the error", function()
    assert.equal("Cannot serialise number: must not be NaN or Infinity", failure(cjson.encode, 0 / 0))
  end)

  it("writes NaN and infinity as JavaScript does when told to", function()
    local json = cjson.new()
    json.encode_invalid_numbers(true)
    assert.equal("[NaN,Infinity,-Infinity]", json.encode({ 0 / 0, math.huge, -math.huge }))
  end)

  it("writes up to 16 digits, so that every integer up to 2^53 stays one", function()
    local json = cjson.new()
    json.encode_number_precision(16)
    assert.equal("[9007199254740992,0.1,-3]", json.encode({ 2 ^ 53, 0.1, -3 }))
  end)

  it("writes empty_array as an empty array", function()
    assert.equal("userdata", type(cjson.empty_array))
    assert.equal('{"a":[]}', cjson.encode({ a = cjson.empty_array }))
  end)

  it("writes an empty table with empty_array_mt as an array, and a full one as what is in it", function()
    assert.equal("[]", cjson.encode(setmetatable({}, cjson.empty_array_mt)))
    assert.equal("[1]", cjson.encode(setmetatable({ 1 }, cjson.empty_array_mt)))
    assert.equal('{"a":1}', cjson.encode(setmetatable({ a = 1 }, cjson.empty_array_mt)))
  end)

  it("writes the elements of a table with array_mt, and nothing else", function()
    assert.equal("[]", cjson.encode(setmetatable({}, cjson.array_mt)))
    assert.equal("[1,2]", cjson.encode(setmetatable({ 1, 2, a = 3 }, cjson.array_mt)))
  end)

  it("writes empty tables as arrays when told to", function()
    local json = cjson.new()
    json.encode_empty_table_as_object(false)
    assert.equal("[[]]", json.encode({ {} }))
  end)

  it("leaves slashes alone when told to", function()
    local json = cjson.new()
    json.encode_escape_forward_slash(false)
    assert.equal([["https://a/b\"c\u007f"]], json.encode('https://a/b"c\127'))
    assert.equal([["\/"]], cjson.encode("/"))
  end)

  it("marks decoded arrays, empty ones too, as arrays when told to", function()
    local json = cjson.new()
    local text = '{"a":[{"b":[]}]}'
    assert.equal('{"a":[{"b":{}}]}', json.encode(json.decode(text)))
    json.decode_array_with_array_mt(true)
    local value = json.decode(text)
    assert.equal(text, json.encode(value))
    assert.equal(cjson.array_mt, getmetatable(value.a))
    assert.is_nil(getmetatable(value))
  end)

  it("shares null, empty_array and the metatables among all instances", function()
    for _, instance in ipairs({ cjson.new(), implementations.ours.safe, implementations.ours.safe.new() }) do
      for _, field in ipairs({ "null", "empty_array", "empty_array_mt", "array_mt" }) do
        assert.equal(cjson[field], instance[field])
      end
    end
  end)

  it("is not disturbed by finalizers that use it, as lua-cjson may be", function()
    local was_compiling = jit.status()
    jit.off() -- uncompiled code allocates, and so runs finalizers, in more places
    finally(function()
      if was_compiling then
        jit.on()
      end
    end)
    local value = {}
    for index = 1, 50 do
      value[index] = "\n/"
    end
    local text = cjson.encode(value)
    local right, wrong = 0, 0
    local function count(outcome)
      right, wrong = right + (outcome and 1 or 0), wrong + (outcome and 0 or 1)
    end
    for _ = 1, 3000 do
      getmetatable(newproxy(true)).__gc = function()
        local ok, same = pcall(function()
          return cjson.decode(cjson.encode("\n")) == "\n"
        end)
        count(ok and same)
      end
    end
    for _ = 1, 30000 do
      assert.is_true(cjson.encode(value) == text)
      assert.is_true(cjson.encode(cjson.decode(text)) == text)
      if right + wrong == 3000 then
        break
      end
    end
    assert.same({ 3000, 0 }, { right, wrong })
  end)

  it("refuses tables with array elements and other keys when told to", function()
    local json = cjson.new()
    json.encode_mixed_tables(false)
    for _, mixed in ipairs({ { 1, a = 2 }, { [3] = 1, [0] = 2 }, { 1, [1.5] = 2 } }) do
      assert.equal("Cannot serialise table: mixed array and object keys", failure(json.encode, mixed))
    end
    assert.equal('[{"a":1},[2],{"1.5":3},{}]', json.encode({ { a = 1 }, { 2 }, { [1.5] = 3 }, {} }))
  end)

  it("refuses numbers as names of fields when told to", function()
    local json = cjson.new()
    json.encode_number_keys(false)
    for _, named in ipairs({ { [0] = 1 }, { [1.5] = 2 }, { a = { [-1] = 3 } } }) do
      assert.equal("Cannot serialise number: table key must be a string", failure(json.encode, named))
    end
    assert.equal('[[1,2],{"a":1}]', json.encode({ { 1, 2 }, { a = 1 } }))
  end)

  it("writes numbers with as few digits as read back the same when told to", function()
    local json = cjson.new()
    assert.equal("0.3", json.encode(0.1 + 0.2))
    json.encode_exact_numbers(true)
    local texts = { "0.1", "0.30000000000000004", "9007199254740992", "1e+300", "0.12345678901234568", "-1.5", "3" }
    for _, text in ipairs(texts) do
      assert.equal(text, json.encode(tonumber(text)))
    end
  end)

  it("writes keys too large for an array as an object's", function()
    local json = cjson.new()
    json.encode_sparse_array(false, 0)
    assert.equal('{"2147483648":1}', json.encode({ [2 ^ 31] = 1 }))
  end)
end)

describe("ours beside lua-cjson", function()
  it("has the same null", function()
    if not c_library then
      pending("lua-cjson is not installed")
    end
    assert.equal(implementations["lua-cjson"].cjson.null, implementations.ours.cjson.null)
  end)
end)
