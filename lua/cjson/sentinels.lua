--- The values by which JSON's null and arrays are told apart from other Lua values.

local deserialise = require("string.buffer").decode

return {
  -- The NULL lightuserdata: the very value that C libraries, lua-cjson among them, use for null.
  null = deserialise("\3"),
  -- A lightuserdata too, as lua-cjson's is; address 1 can be no one else's pointer.
  empty_array = deserialise("\4\1\0\0\0"),
  array_mt = {},
  empty_array_mt = {},
}
