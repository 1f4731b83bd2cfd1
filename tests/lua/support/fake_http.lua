--- A stand-in for an HTTP module that keeps the requests it gets and answers as it is told.

local cjson = require("cjson")

---@class FakeHttp
---@field requests table[] what came, with the body as `text`, and decoded from JSON as `body`
---@field answer table status, headers, and the body's pieces as list

---@param source? function an ltn12 source
---@return string? # all that comes out of it
local function drained(source)
  local pieces = {}
  while source do
    local piece = source()
    if not piece then break end
    pieces[#pieces + 1] = piece
  end
  return source and table.concat(pieces)
end

---@param answer table `{status=, headers=, pieces...}`; a piece that is a table is sent as JSON
---@return FakeHttp
return function(answer)
  local fake = { requests = {}, answer = answer }
  function fake.request(request)
    request.text = drained(request.source)
    request.body = request.text and cjson.decode(request.text)
    table.insert(fake.requests, request)
    for _, piece in ipairs(fake.answer) do
      request.sink(type(piece) == "table" and cjson.encode(piece) or piece)
    end
    return true, fake.answer.status or 200, fake.answer.headers or {}
  end
  return fake
end
