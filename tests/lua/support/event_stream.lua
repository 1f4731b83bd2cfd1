--- Writes the body of a streamed answer, for `support.fake_http`.

local cjson = require("cjson")

-- Small and odd, so that lines and words are cut at many places.
local PIECE_BYTES = 7

---@param events table[]
---@return table answer the server-sent events, cut into small pieces
return function(events)
  local lines = {}
  for _, event in ipairs(events) do
    lines[#lines + 1] = "data: " .. cjson.encode(event) .. "\n\n"
  end
  lines[#lines + 1] = "data: [DONE]\n\n"
  local text, pieces = table.concat(lines), {}
  for start = 1, #text, PIECE_BYTES do
    pieces[#pieces + 1] = text:sub(start, start + PIECE_BYTES - 1)
  end
  return pieces
end
