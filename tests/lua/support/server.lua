--- The real HTTP server that the harness starts for the specs, where there is one.

local cjson = require("cjson")

local server = {
  ---@type string? such as `http://127.0.0.1:4000`
  address = os.getenv("LUAOPENAI_TEST_SERVER"),
  ---@type string? the same over TLS
  tls_address = os.getenv("LUAOPENAI_TEST_TLS_SERVER"),
  --- Where nobody listens.
  closed_address = "http://127.0.0.1:9",
}

--- Stands in for `describe` around behaviours that need the server: pending without it.
---@param describe function busted's
---@param pending function busted's
---@return function
function server.describe_with(describe, pending)
  return server.address and describe or pending
end

---@param config? openai.Config
---@return OpenAI # one that speaks to the server, and takes its first answer
function server.client(config)
  config = config or {}
  config.max_retries = config.max_retries or 0
  local client = require("openai").new("sk-secret", config)
  client.api_base = server.address .. "/v1"
  return client
end

---@return {method: string, path: string, headers: table<string, string>, body: string} # what the server was asked last
function server.last_request()
  return cjson.decode((require("socket.http").request(server.address .. "/_last")))
end

return server
