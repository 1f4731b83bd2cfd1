--- `socket.http` and `ssl.https`: LuaSocket's two forms of a request, over real connections.

local cjson = require("cjson")
local http = require("socket.http")
local https = require("ssl.https")
local ltn12 = require("ltn12")
local server = require("support.server")

local describe_with_server = server.describe_with(describe, pending)
local address = server.address

--- The generic form's results, and the body.
local function fetch(request, module)
  local pieces = {}
  request.sink = ltn12.sink.table(pieces)
  local ok, status, headers, line = (module or http).request(request)
  return ok, status, headers, line, table.concat(pieces)
end

--- What the server's echo says it was asked.
local function echo_of(request)
  request.url = request.url or address .. "/echo"
  local ok, status, _, _, body = fetch(request)
  assert.equal(1, ok)
  assert.equal(200, status)
  return cjson.decode(body)
end

for name, module in pairs({ ["socket.http"] = http, ["ssl.https"] = https }) do
  describe_with_server(name .. ".request", function()
    it("with a URL gets the body, status, headers and status line", function()
      local body, status, headers, line = module.request(address .. "/bytes")
      assert.equal(256, #body)
      assert.equal(200, status)
      assert.equal("application/octet-stream", headers["content-type"])
      assert.equal("HTTP/1.1 200 OK", line)
    end)

    it("with a URL and a body posts a form", function()
      local asked = cjson.decode((module.request(address .. "/echo", "a=1&b=2")))
      assert.equal("POST", asked.method)
      assert.equal("a=1&b=2", asked.body)
      assert.equal("application/x-www-form-urlencoded", asked.headers["content-type"])
      assert.equal("7", asked.headers["content-length"])
    end)

    it("with a table returns 1 in place of the body, which goes to the sink", function()
      local ok, status, headers, line, body = fetch({ url = address .. "/status/404" }, module)
      assert.equal(1, ok)
      assert.equal(404, status)
      assert.equal("8", headers["content-length"])
      assert.equal("HTTP/1.1 404 Not Found", line)
      assert.equal("as asked", body)
    end)

    it("returns nil and a message when the connection is refused", function()
      local complaint = "connection refused: http://127.0.0.1:9/"
      assert.same({ nil, complaint }, { module.request(server.closed_address .. "/") })
      assert.same({ nil, complaint }, { module.request({ url = server.closed_address .. "/" }) })
    end)

    it("returns nil and a message when the answer is cut off", function()
      local ok, complaint = module.request(address .. "/cut")
      assert.is_nil(ok)
      assert.equal("the answer was cut off: " .. address .. "/cut", complaint)
    end)
  end)
end

describe_with_server("A request in the generic form", function()
  it("is a GET unless it says otherwise", function()
    assert.equal("GET", echo_of({}).method)
    assert.equal("DELETE", echo_of({ method = "DELETE" }).method)
    assert.equal("PUT", echo_of({ method = "PUT" }).method)
  end)

  it("sends its headers, numbers too", function()
    local headers = echo_of({ headers = { ["X-Text"] = "one two", ["X-Number"] = 12 } }).headers
    assert.equal("one two", headers["x-text"])
    assert.equal("12", headers["x-number"])
  end)

  it("sends all that its source gives, with a length or without", function()
    local text = ("0123456789"):rep(1000)
    local function source()
      return ltn12.source.cat(ltn12.source.string(text), ltn12.source.string("end"))
    end
    local sized = echo_of({ method = "POST", source = source(), headers = { ["Content-Length"] = #text + 3 } })
    assert.equal(text .. "end", sized.body)
    assert.equal(text .. "end", echo_of({ method = "POST", source = source() }).body)
  end)

  it("fails when its source does", function()
    local function source() return nil, "no more ink" end
    local request = { url = address .. "/echo", method = "POST", source = source }
    assert.same({ nil, "no more ink" }, { http.request(request) })
  end)

  it("works without a sink", function()
    local ok, status = http.request({ url = address .. "/bytes" })
    assert.same({ 1, 200 }, { ok, status })
  end)

  it("hands the sink bytes as they are", function()
    local bytes = {}
    for byte = 0, 255 do
      bytes[#bytes + 1] = string.char(byte)
    end
    local _, _, _, _, body = fetch({ url = address .. "/bytes" })
    assert.equal(table.concat(bytes), body)
  end)

  it("hands the sink pieces as they arrive", function()
    local pieces = {}
    http.request({ url = address .. "/pieces", sink = ltn12.sink.table(pieces) })
    assert.same({ "one ", "two ", "three" }, pieces)
  end)

  it("tells the sink of the end", function()
    local ended = false
    http.request({
      url = address .. "/bytes",
      sink = function(piece)
        ended = piece == nil
        return 1
      end,
    })
    assert.is_true(ended)
  end)

  it("fails when its sink does, and the next one works", function()
    local function sink() return nil, "disk full" end
    local ok, complaint = http.request({ url = address .. "/pieces", sink = sink })
    assert.is_nil(ok)
    assert.equal("disk full", complaint)
    assert.equal("GET", echo_of({}).method)
  end)

  it("lets its step move the pieces", function()
    local steps = 0
    local pieces = {}
    http.request({
      url = address .. "/pieces",
      sink = ltn12.sink.table(pieces),
      step = function(source, sink)
        steps = steps + 1
        return ltn12.pump.step(source, sink)
      end,
    })
    assert.equal("one two three", table.concat(pieces))
    assert.is_true(steps > 1)
  end)

  it("has headers without a body for HEAD", function()
    local ok, status, headers, _, body = fetch({ url = address .. "/bytes", method = "HEAD" })
    assert.same({ 1, 200, "256", "" }, { ok, status, headers["content-length"], body })
  end)

  it("may be made by a sink of another one", function()
    local inner
    http.request({
      url = address .. "/bytes",
      sink = function()
        inner = inner or http.request(address .. "/bytes")
        return 1
      end,
    })
    assert.equal(256, #inner)
  end)
end)

describe_with_server("A redirect", function()
  it("is followed, with only the last answer's body for the sink", function()
    local ok, status, _, _, body = fetch({ url = address .. "/redirect/2" })
    assert.same({ 1, 200 }, { ok, status })
    assert.equal("/echo", cjson.decode(body).path)
  end)

  it("is followed by the simple form", function()
    assert.equal("/echo", cjson.decode((http.request(address .. "/redirect/1"))).path)
  end)

  it("is returned if the request says so", function()
    local ok, status, headers, _, body = fetch({ url = address .. "/redirect/1", redirect = false })
    assert.same({ 1, 302, "/echo", "moved" }, { ok, status, headers.location, body })
  end)

  it("is returned after five others", function()
    local _, status = fetch({ url = address .. "/redirect/5" })
    assert.equal(200, status)
    _, status = fetch({ url = address .. "/redirect/6" })
    assert.equal(302, status)
  end)

  it("is returned after as many as the request's maxredirects, false for any number", function()
    local _, status = fetch({ url = address .. "/redirect/2", maxredirects = 1 })
    assert.equal(302, status)
    _, status = fetch({ url = address .. "/redirect/9", maxredirects = false })
    assert.equal(200, status)
  end)

  it("is returned where it leads to no HTTP server", function()
    local _, status, headers = fetch({ url = address .. "/to/ftp://127.0.0.1/file" })
    assert.same({ 302, "ftp://127.0.0.1/file" }, { status, headers.location })
  end)

  it("is returned where it would leave TLS", function()
    local _, status, headers = fetch({ url = server.tls_address .. "/to/" .. address .. "/echo" })
    assert.same({ 302, address .. "/echo" }, { status, headers.location })
    _, status = fetch({ url = server.tls_address .. "/redirect/1" })
    assert.equal(200, status)
  end)

  it("is returned to a POST", function()
    local body, status, headers = http.request(address .. "/see-other", "a=1")
    assert.same({ "see there", 303, "/echo" }, { body, status, headers.location })
  end)
end)

describe_with_server("A name and a password", function()
  -- The base64 of "ann:p@ss".
  local basic = "Basic YW5uOnBAc3M="
  local with_both = address and address:gsub("//", "//ann:p%%40ss@")

  local function authorization(request)
    return echo_of(request).headers.authorization
  end

  it("are sent when they are in the URL", function()
    assert.equal(basic, authorization({ url = with_both .. "/echo" }))
    assert.equal(basic, cjson.decode((http.request(with_both .. "/echo"))).headers.authorization)
  end)

  it("are sent when they are the request's own, before those in the URL", function()
    assert.equal(basic, authorization({ user = "ann", password = "p@ss" }))
    local url = address:gsub("//", "//bob:wrong@") .. "/echo"
    assert.equal(basic, authorization({ url = url, user = "ann", password = "p@ss" }))
  end)

  it("are sent only together", function()
    assert.is_nil(authorization({ url = address:gsub("//", "//ann@") .. "/echo" }))
    assert.is_nil(authorization({ user = "ann" }))
  end)

  it("give way to a header of the request's own", function()
    local headers = { authorization = "Bearer mine" }
    assert.equal("Bearer mine", authorization({ url = with_both .. "/echo", headers = headers }))
  end)

  it("do not follow a redirect to another server", function()
    local elsewhere = address:gsub("127%.0%.0%.1", "localhost")
    assert.is_nil(authorization({ url = with_both .. "/to/" .. elsewhere .. "/echo" }))
    assert.is_nil(authorization({ url = address .. "/to/" .. elsewhere .. "/echo", user = "ann", password = "p@ss" }))
  end)
end)

describe_with_server("The settings of socket.http", function()
  it("TIMEOUT: seconds to wait", function()
    finally(function() http.TIMEOUT = nil end)
    http.TIMEOUT = 0.2
    local ok, complaint = http.request(address .. "/slow")
    assert.is_nil(ok)
    assert.equal(("timed out: no answer within 0.2 s from %s/slow"):format(address), complaint)
  end)

  it("TIMEOUT: as long as it takes by default", function()
    assert.equal("late", (http.request(address .. "/slow")))
  end)

  it("USERAGENT: what the server is told, if the request does not say", function()
    finally(function() http.USERAGENT = nil end)
    http.USERAGENT = "mine/1.0"
    assert.equal("mine/1.0", echo_of({}).headers["user-agent"])
    assert.equal("its/2.0", echo_of({ headers = { ["user-agent"] = "its/2.0" } }).headers["user-agent"])
  end)

  it("PROXY: who is asked instead", function()
    finally(function() http.PROXY = nil end)
    http.PROXY = address
    assert.equal("http://no.such.host/echo", echo_of({ url = "http://no.such.host/echo" }).path)
  end)
end)

describe("A request that cannot be", function()
  it("is nil and a message for an unknown host", function()
    local ok, complaint = http.request("http://no-such-host.invalid/")
    assert.is_nil(ok)
    assert.equal("unknown host: no-such-host.invalid (http://no-such-host.invalid/)", complaint)
  end)

  it("is nil and a message for what is no URL", function()
    assert.same({ nil, "not a URL that can be sent to: nonsense" }, { http.request("nonsense") })
  end)

  it("is nil and a message when it has no URL", function()
    assert.same({ nil, "url: expected a string, got nil" }, { http.request({}) })
    assert.same({ nil, "url: expected a string, got number" }, { http.request({ url = 5 }) })
  end)

  it("shows no password", function()
    local _, complaint = http.request("http://ann:secret@127.0.0.1:9/")
    assert.equal("connection refused: http://127.0.0.1:9/", complaint)
  end)
end)

describe_with_server("TLS", function()
  for name, module in pairs({ ["socket.http"] = http, ["ssl.https"] = https }) do
    it("is spoken by " .. name, function()
      local body, status = module.request(server.tls_address .. "/echo")
      assert.equal(200, status)
      assert.equal("/echo", cjson.decode(body).path)
    end)
  end
end)
