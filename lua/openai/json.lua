-- JSON as the client speaks it: it loses nothing on a round trip and refuses what JSON cannot carry.

local _, bridge = ...

local function instance()
  local cjson = bridge.bundled("cjson.instance").raising()
  cjson.decode_array_with_array_mt(true)
  cjson.encode_sparse_array(true)
  cjson.encode_mixed_tables(false)
  cjson.encode_exact_numbers(true)
  cjson.encode_escape_forward_slash(false)
  return cjson
end

local cjson, lenient = instance(), instance()
lenient.encode_invalid_numbers(true)

local json = { null = cjson.null, array_mt = cjson.array_mt }

local function encoder(encode)
  return function(value, where)
    local ok, text = pcall(encode, value)
    if ok then
      return text
    end
    local reason = bridge.explain(value, where)
    error(reason ~= "" and reason or where .. ": " .. text, 0)
  end
end

---@type fun(value: any, where: string): string
--- `where` is what to call the value in the error's text
json.encode = encoder(cjson.encode)

---@type fun(value: any, where: string): string
--- the same for what a server sent, which may hold infinity and NaN: for Python alone, never for a request
json.encode_received = encoder(lenient.encode)

json.decode = cjson.decode

---@param text string what a server sent
---@return any # the decoded value, or the text where it is not JSON
function json.decode_or_text(text)
  if text:find("^[%s:]*%l+:") then
    return text -- An event stream, which may be long.
  end
  text = bridge.mended(text) or text
  local ok, value = pcall(cjson.decode, text)
  if ok then
    return value
  end
  return text
end

return json
