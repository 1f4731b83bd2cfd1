-- Forms with files: encodes `multipart/form-data`, as uploads send it.

local _, bridge = ...

local multipart = {}

---Encodes a form's body. Fields are sorted by name; a table with `filename` and `content` is a file, a list becomes
---several fields `name[]`, other values are text, numbers and booleans.
---@param params table<string, any>
---@param boundary string
---@return string
function multipart.encode_multipart(params, boundary)
  return bridge.encode_multipart(params, boundary)
end

---Returns a boundary that occurs nowhere in a form.
---@param params table<string, any>
---@return string
function multipart.multipart_boundary(params)
  return bridge.multipart_boundary(params)
end

return multipart
