--- The scripted model behind both APIs that the harness starts, where there is one: it refuses calls without an answer.

local cjson = require("cjson")
local http = require("socket.http")
local ltn12 = require("ltn12")

local tool_server = {
  ---@type string?
  address = os.getenv("LUAOPENAI_TEST_TOOLS"),
}

--- Stands in for `describe` around behaviours that need the server: pending without it.
---@param describe function busted's
---@param pending function busted's
---@return function
function tool_server.describe_with(describe, pending)
  return tool_server.address and describe or pending
end

--- Sets what the model replies, one after the other, and forgets the requests; see tests/support/tool_server.py.
---@param ... table
function tool_server.script(...)
  local text = cjson.encode(setmetatable({ ... }, cjson.array_mt))
  local sink = {}
  local _, status = http.request({
    url = tool_server.address .. "/_script",
    method = "POST",
    headers = { ["Content-Length"] = #text },
    source = ltn12.source.string(text),
    sink = ltn12.sink.table(sink),
  })
  assert(status == 200, table.concat(sink))
end

---@return table[] # the payloads since `script`, those that were refused too
function tool_server.requests()
  return cjson.decode((http.request(tool_server.address .. "/_requests")))
end

---@return OpenAI # a client that speaks to the server, and takes its first answer
function tool_server.client()
  return require("openai").new("sk-secret", { base_url = tool_server.address .. "/v1", max_retries = 0 })
end

return tool_server
