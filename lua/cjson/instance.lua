--- Makes the tables that `cjson` and `cjson.safe` are: functions around settings of their own.

local decode_text = require("cjson.decoder")
local encode_value = require("cjson.encoder")
local sentinels = require("cjson.sentinels")

-- Taken now: plugins are left no `debug` when they run.
local getinfo = debug.getinfo

--- Stands in for lua-cjson as OpenResty ships it. A setting's function takes new values, leaves those given as nil,
--- and returns the values then in force; a boolean may also be given as "on" or "off".
---@class cjson
---@field encode fun(value: any): string
---@field decode fun(text: string): any
---@field new fun(): cjson another instance, with the settings' defaults
---@field null userdata stands for JSON's null
---@field empty_array userdata is encoded as `[]`
---@field array_mt table the metatable of tables that are arrays whatever is in them
---@field empty_array_mt table the metatable of tables that are arrays when empty
---@field encode_sparse_array fun(convert?: boolean|string, ratio?: integer, safe?: integer): boolean, integer, integer
---@field encode_max_depth fun(depth?: integer): integer
---@field decode_max_depth fun(depth?: integer): integer
---@field encode_number_precision fun(digits?: integer): integer significant digits, 1 to 16
---@field encode_keep_buffer fun(keep?: boolean|string): boolean
---@field encode_invalid_numbers fun(setting?: boolean|string): boolean|string "null": as null
---@field decode_invalid_numbers fun(allow?: boolean|string): boolean
---@field encode_empty_table_as_object fun(as_object?: boolean|string): boolean
---@field decode_array_with_array_mt fun(tag?: boolean|string): boolean
---@field encode_escape_forward_slash fun(escape?: boolean|string): boolean
---@field encode_skip_unsupported_value_types fun(skip?: boolean|string): boolean functions, threads and userdata are
--- left out instead of being an error
---@field encode_indent fun(indent?: string): string what each level of an indented text begins with; "": no line breaks
---@field decode_allow_comment fun(allow?: boolean|string): boolean takes `// ...` and `/* ... */` for white space
---@field encode_mixed_tables fun(allow?: boolean|string): boolean luaopenai's own: false refuses a table that has
--- both array elements and other keys, which lua-cjson makes an object
---@field encode_exact_numbers fun(exact?: boolean|string): boolean luaopenai's own: true writes as many digits as it
--- takes to read back the same number, whatever the precision
---@field encode_number_keys fun(allow?: boolean|string): boolean luaopenai's own: false refuses numbers as names of
--- fields, which lua-cjson makes strings
---@field _NAME string
---@field _VERSION string of the lua-cjson release whose behaviour this is

---@class cjson.safe: cjson
---@field encode fun(value: any): string?, string? nil and the error when it fails
---@field decode fun(text: string): any, string? nil and the error when it fails
---@field new fun(): cjson.safe

local INT_MAX = 2 ^ 31 - 1

--- A check takes an argument and its index, and returns the setting, or nil, what is wrong and with which argument.

local function one_of(options)
  return function(argument, index)
    if type(argument) == "number" then
      argument = tostring(argument)
    elseif type(argument) ~= "string" and type(argument) ~= "boolean" then
      return nil, ("string expected, got %s"):format(type(argument)), index
    end
    if options[argument] == nil then
      return nil, ("invalid option '%s'"):format(argument), index
    end
    return options[argument]
  end
end

local function integer_between(min, max)
  return function(argument, index)
    local kind = type(argument)
    local number = (kind == "number" or kind == "string") and tonumber(argument)
    if not number then
      return nil, ("number expected, got %s"):format(kind), index
    end
    local integer = math.floor(number)
    if integer >= min and integer <= max then
      return integer
    end
    -- lua-cjson blames the first argument whichever it was.
    return nil, ("expected integer between %d and %d"):format(min, max), 1
  end
end

local function anything(argument)
  return argument
end

local function text(argument, index)
  local kind = type(argument)
  if kind ~= "string" and kind ~= "number" then
    return nil, ("string expected, got %s"):format(kind), index
  end
  return tostring(argument)
end

local boolean = one_of({ [true] = true, [false] = false, on = true, off = false })
local boolean_or_null = one_of({ [true] = true, [false] = false, on = true, off = false, null = "null" })
local size = integer_between(0, INT_MAX)
local depth = integer_between(1, INT_MAX)

--- For each function, what it sets: the key in the settings, the default and the check.
local SETTINGS = {
  encode_sparse_array = {
    { key = "sparse_convert", default = false, check = boolean },
    { key = "sparse_ratio", default = 2, check = size },
    { key = "sparse_safe", default = 10, check = size },
  },
  encode_max_depth = { { key = "encode_max_depth", default = 1000, check = depth } },
  decode_max_depth = { { key = "decode_max_depth", default = 1000, check = depth } },
  encode_number_precision = { { key = "encode_number_precision", default = 14, check = integer_between(1, 16) } },
  encode_keep_buffer = { { key = "encode_keep_buffer", default = true, check = boolean } },
  encode_invalid_numbers = { { key = "encode_invalid_numbers", default = false, check = boolean_or_null } },
  decode_invalid_numbers = { { key = "decode_invalid_numbers", default = true, check = boolean } },
  encode_empty_table_as_object = { { key = "encode_empty_table_as_object", default = true, check = boolean } },
  decode_array_with_array_mt = { { key = "decode_array_with_array_mt", default = false, check = boolean } },
  encode_escape_forward_slash = { { key = "encode_escape_forward_slash", default = true, check = boolean } },
  encode_skip_unsupported_value_types = {
    { key = "encode_skip_unsupported_value_types", default = false, check = boolean },
  },
  encode_indent = { { key = "encode_indent", default = "", check = text } },
  decode_allow_comment = { { key = "decode_allow_comment", default = false, check = boolean } },
  encode_exact_numbers = { { key = "encode_exact_numbers", default = false, check = boolean } },
  encode_number_keys = { { key = "encode_number_keys", default = true, check = boolean } },
  encode_mixed_tables = { { key = "encode_mixed_tables", default = true, check = boolean } },
}

---@param index integer
---@param reason string
---@param call? { name?: string, namewhat?: string } how the function was called; nil where no script called it
---@return string message in the words of LuaJIT's own library
local function bad_argument(index, reason, call)
  local name = call and call.name or "?"
  if call and call.namewhat == "method" then
    index = index - 1
    if index == 0 then
      return ("calling '%s' on bad self (%s)"):format(name, reason)
    end
  end
  return ("bad argument #%d to '%s' (%s)"):format(index, name, reason)
end

--- Raises the error for an argument of the function that calls this one as a C function would: with the name by which
--- and the position at which the function was called.
local function raise_bad_argument(index, reason)
  error(bad_argument(index, reason, getinfo(2, "n")), 3)
end

---@param settings table changed by the function
---@param parameters table[] an entry of SETTINGS
local function setter(settings, parameters)
  return function(...)
    if select("#", ...) > #parameters then
      raise_bad_argument(#parameters + 1, "found too many arguments")
    end
    local values = {}
    for index, parameter in ipairs(parameters) do
      local argument = select(index, ...)
      if argument ~= nil then
        local value, reason, culprit = parameter.check(argument, index)
        if reason then
          raise_bad_argument(culprit, reason)
        end
        settings[parameter.key] = value
      end
      values[index] = settings[parameter.key]
    end
    return unpack(values)
  end
end

--- Both take a check of the argument and a conversion that returns a result, or nil and an error, and make the function
--- that scripts call.

local function raising(check, convert)
  return function(...)
    if select("#", ...) ~= 1 then
      raise_bad_argument(1, "expected 1 argument")
    end
    local argument, reason = check((...), 1)
    if reason then
      raise_bad_argument(1, reason)
    end
    local result, message = convert(argument)
    if message then
      error(message, 2)
    end
    return result
  end
end

local function returning(check, convert)
  return function(...)
    if select("#", ...) ~= 1 then
      raise_bad_argument(1, "expected 1 argument")
    end
    local argument, reason = check((...), 1)
    if reason then
      return nil, bad_argument(1, reason)
    end
    return convert(argument)
  end
end

---@param wrap function `raising` or `returning`
---@return any # a `cjson` or a `cjson.safe`
local function new(wrap)
  local settings = {}
  local instance = {
    null = sentinels.null,
    empty_array = sentinels.empty_array,
    array_mt = sentinels.array_mt,
    empty_array_mt = sentinels.empty_array_mt,
    _NAME = "cjson",
    _VERSION = "2.1.0.11",
  }
  for name, parameters in pairs(SETTINGS) do
    for _, parameter in ipairs(parameters) do
      settings[parameter.key] = parameter.default
    end
    instance[name] = setter(settings, parameters)
  end

  instance.encode = wrap(anything, function(value)
    return encode_value(value, settings)
  end)
  instance.decode = wrap(text, function(json)
    return decode_text(json, settings)
  end)
  function instance.new()
    return new(wrap)
  end
  return instance
end

return {
  --- Returns an instance whose encode and decode raise their errors, as `cjson` does.
  ---@return cjson
  raising = function()
    return new(raising)
  end,
  --- Returns an instance whose encode and decode return nil and the error, as `cjson.safe` does.
  ---@return cjson.safe
  safe = function()
    return new(returning)
  end,
}
