--- Uploads, bodies that are bytes, and endpoints that have no method of their own; over real connections.

local server = require("support.server")

-- Every byte there is, each line end, and what looks like the end of a form.
local BYTES = {}
for byte = 0, 255 do
  BYTES[#BYTES + 1] = string.char(byte)
end
BYTES = table.concat(BYTES) .. "\r\n\n\r--boundary--\r\n"

local client

-- A form's parts by name, as RFC 7578 lays them out: `{content=, filename=, type=}`.
local function parts_of(body, content_type)
  local boundary = assert(content_type:match("^multipart/form%-data; boundary=(.+)$"))
  local parts, position = {}, 1
  while true do
    local head_end = select(2, body:find("\r\n\r\n", position, true))
    if not head_end then
      return parts
    end
    local head = body:sub(position, head_end)
    local content_end = assert(body:find("\r\n--" .. boundary, head_end, true))
    table.insert(parts, {
      name = head:match('; name="(.-)"'),
      filename = head:match('filename="(.-)"'),
      type = head:match("Content%-Type: ([^\r]+)"),
      content = body:sub(head_end + 1, content_end - 1),
    })
    position = content_end + 2
  end
end

-- The form that a client's method sends, by its parts' names. The server sends each body back as it came.
local function form_of(upload)
  local body, content_type
  local send = client._request
  function client:_request(method, path, payload, headers, ...)
    local _, mirrored = send(self, "POST", "/mirror", payload, { ["Content-Type"] = "application/octet-stream" })
    body, content_type = mirrored, headers["Content-Type"]
    return send(self, method, path, payload, headers, ...)
  end
  local status = upload()
  assert.equal(200, status)
  local named = {}
  for _, part in ipairs(parts_of(body, content_type)) do
    local name = part.name
    named[name] = named[name] and named[name] .. "," .. part.content or part.content
    named[name .. " filename"], named[name .. " type"] = part.filename, part.type
  end
  return named
end

local describe_with_server = server.describe_with(describe, pending)

describe_with_server("an upload", function()
  local path

  before_each(function()
    client = server.client()
    path = os.tmpname()
    local file = assert(io.open(path, "wb"))
    file:write(BYTES)
    file:close()
  end)

  after_each(function()
    os.remove(path)
  end)

  it("goes to /files as a form, with the key", function()
    client:create_file({ file = path, purpose = "batch" })
    local request = server.last_request()
    assert.same({ "POST", "/v1/files" }, { request.method, request.path })
    assert.equal("Bearer sk-secret", request.headers.authorization)
    assert.matches("^multipart/form%-data; boundary=", request.headers["content-type"])
  end)

  it("holds the file's exact bytes, under the file's own name, and the purpose", function()
    local form = form_of(function()
      return client:create_file({ file = path, purpose = "batch" })
    end)
    assert.equal(BYTES, form.file)
    assert.equal(path:match("[^/]+$"), form["file filename"])
    assert.equal("batch", form.purpose)
  end)

  it("may come from memory, with a name", function()
    local form = form_of(function()
      return client:create_file({ file = { name = "batch.jsonl", content = BYTES }, purpose = "batch" })
    end)
    assert.same({ BYTES, "batch.jsonl" }, { form.file, form["file filename"] })
  end)

  it("may be several, by their paths or from memory", function()
    local form = form_of(function()
      return client:image_edit({ image = { path, { filename = "b.png", content = "B" } }, prompt = "blue" })
    end)
    assert.same({ BYTES .. ",B", "blue" }, { form["image[]"], form.prompt })
  end)

  it("sends speech to /audio/transcriptions with the model and other fields", function()
    local form = form_of(function()
      return client:transcription({
        file = { name = "speech.wav", content = BYTES },
        model = "whisper-1",
        temperature = 0.5,
        stream = false,
        timestamp_granularities = { "word", "segment" },
        prompt = "Zürich",
      })
    end)
    assert.equal("/v1/audio/transcriptions", server.last_request().path)
    assert.equal(BYTES, form.file)
    assert.same(
      { "whisper-1", "0.5", "false", "word,segment", "Zürich" },
      { form.model, form.temperature, form.stream, form["timestamp_granularities[]"], form.prompt }
    )
  end)

  local refused = {
    ["no parameters"] = { nil, "params must be a table" },
    ["a path alone"] = { "file.txt", "params must be a table" },
    ["no file"] = { { purpose = "batch", model = "m" }, "file is required" },
    ["a file that is not there"] = {
      { file = "/no/such/file", purpose = "batch", model = "m" },
      "file: cannot read /no/such/file: No such file or directory",
    },
    ["content without a name"] = {
      { file = { content = "x" }, purpose = "batch", model = "m" },
      "file: expected a filename and its content",
    },
    ["a list in a list"] = {
      { file = { name = "a", content = "b" }, purpose = { { "batch" } }, model = "m" },
      "purpose: a form takes text, numbers, booleans and files",
    },
  }

  for what, case in pairs(refused) do
    it("is refused with " .. what, function()
      for _, method in ipairs({ "create_file", "transcription" }) do
        assert.has_error(function()
          client[method](client, case[1])
        end, case[2])
      end
    end)
  end
end)

describe_with_server("client:request", function()
  before_each(function()
    client = server.client()
  end)

  it("reaches any endpoint with any method, and a table goes out as JSON", function()
    local status, body = client:request("PUT", "/batches/b_1?limit=2", { metadata = { a = "b" } })
    assert.same({ 200, "PUT", "/v1/batches/b_1?limit=2" }, { status, body.request.method, body.request.path })
    assert.equal('{"metadata":{"a":"b"}}', body.request.body)
    assert.equal("application/json", body.request.headers["content-type"])
    assert.equal("Bearer sk-secret", body.request.headers.authorization)
  end)

  it("sends no body without a payload", function()
    local _, body = client:request("GET", "/batches")
    assert.same({ "GET", "" }, { body.request.method, body.request.body })
  end)

  it("puts the caller's headers in the place of its own, in whatever case", function()
    local headers = { ["content-type"] = "text/plain", authorization = "Bearer other", ["X-Team"] = "tests" }
    local _, body = client:request("POST", "/any", "as it is", headers)
    local sent = body.request.headers
    assert.same({ "text/plain", "Bearer other", "tests" }, { sent["content-type"], sent.authorization, sent["x-team"] })
    assert.equal("as it is", body.request.body)
  end)

  it("hands the callback each event of a stream", function()
    local stream = 'event: a\ndata: {"n":1}\n\ndata: {"n":2}\r\n\r\ndata: [DONE]\n\n'
    local seen = {}
    local headers = { ["Content-Type"] = "text/event-stream" }
    local status, body = client:request("POST", "/mirror", stream, headers, function(event)
      seen[#seen + 1] = event.n
    end)
    assert.same({ 200, { 1, 2 }, stream }, { status, seen, body })
  end)

  it("calls _request, which a script may replace", function()
    function client._request(_, ...)
      return 200, { ... }
    end
    local _, asked = client:request("GET", "/any", nil, { a = "b" })
    assert.same({ "GET", "/any", nil, { a = "b" } }, asked)
  end)

  it("returns headers with lower-case names, the request's id among them", function()
    local _, _, headers = client:request("POST", "/mirror", {})
    assert.equal("req_mirror", headers["x-request-id"])
  end)
end)

describe_with_server("a body", function()
  local function mirrored(text, content_type)
    local _, body = server.client():request("POST", "/mirror", text, { ["Content-Type"] = content_type })
    return body
  end

  for _, content_type in ipairs({ "application/octet-stream", "audio/mpeg", "Image/PNG; q=1", "application/pdf" }) do
    it("of type " .. content_type .. " comes back as its exact bytes", function()
      assert.equal(BYTES, mirrored(BYTES, content_type))
    end)
  end

  it("that is a file is not decoded, though it may look like JSON", function()
    assert.equal("[1,2]", mirrored("[1,2]", "application/octet-stream"))
  end)

  it("that is JSON is decoded", function()
    assert.same({ 1, 2 }, mirrored("[1,2]", "application/json; charset=utf-8"))
  end)

  it("that is neither is its text, byte for byte", function()
    assert.equal("caf\233", mirrored("caf\233", "text/plain"))
  end)
end)
