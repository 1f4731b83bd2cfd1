-- JSON as the client speaks it: it loses nothing on a round trip and refuses what JSON cannot carry.

local _, bridge = ...

local cjson = bridge.bundled("cjson.instance").raising()
cjson.decode_array_with_array_mt(true)
cjson.encode_sparse_array(true)
cjson.encode_mixed_tables(false)
cjson.encode_exact_numbers(true)
cjson.encode_escape_forward_slash(false)

local json = { null = cjson.null, array_mt = cjson.array_mt }

---@param value any
---@param where string what to call the value in the error's text
---@return string
function json.encode(value, where)
  local ok, text = pcall(cjson.encode, value)
  if ok then
    return text
  end
  local reason = bridge.explain(value, where)
  error(reason ~= "" and reason or where .. ": " .. text, 0)
end

json.decode = cjson.decode

---@param text string
---@return any # the decoded value, or the text where it is not JSON
function json.decode_or_text(text)
  local ok, value = pcall(cjson.decode, text)
  if ok then
    return value
  end
  return text
end

return json
