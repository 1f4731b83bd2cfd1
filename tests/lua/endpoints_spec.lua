--- What each endpoint's method sends and refuses: the same cases as for Python.

local cjson = require("cjson")
local openai = require("openai")
local vectors = require("support.vectors")

local function arguments_of(case)
  local arguments, count = {}, case.count - 1
  for number = 1, count do
    arguments[number] = case.call[number + 1]
  end
  if case.options then
    count = count + 1
    arguments[count] = case.options
  end
  return unpack(arguments, 1, count)
end

-- The names of a form's fields, in their order.
local function form_names(body)
  local names = {}
  for name in body:gmatch('form%-data; name="([^"]+)"') do
    names[#names + 1] = name
  end
  return names
end

local function call(case)
  local client, sent = openai.new("key"), {}
  function client._request(_, method, path, payload, headers)
    local form = type(payload) == "string" and form_names(payload) or nil
    sent = { method, path, not form and payload or nil, form = form }
    sent.beta = headers and headers["OpenAI-Beta"]
    return 200, {}
  end
  client[case.call[1]](client, arguments_of(case))
  return sent
end

describe("An endpoint's method", function()
  for _, case in ipairs(vectors("endpoints")) do
    if case.fails then
      it(("refuses %s: %s"):format(cjson.encode(case.call), case.fails), function()
        assert.has_error(function()
          call(case)
        end, case.fails)
      end)
    else
      it(("sends %s %s"):format(cjson.encode(case.call), table.concat(case.sends, " ", 1, 2)), function()
        local sent = call(case)
        assert.equal(case.beta, sent.beta)
        assert.same(case.form, sent.form)
        sent.beta, sent.form = nil, nil
        assert.same(case.sends, sent)
      end)
    end
  end

  for _, name in ipairs({ "upload_file", "audio_transcription", "image_edit", "create_batch" }) do
    it("wants a table: " .. name, function()
      for _, params in ipairs({ "text", false }) do
        assert.has_error(function()
          openai.new("key")[name](openai.new("key"), params or nil)
        end, "params must be a table")
      end
    end)
  end

  it("is there from the start, to be read, listed and replaced in the class", function()
    local listed = {}
    for name, value in pairs(openai.OpenAI.__base) do
      listed[name] = type(value)
    end
    for _, case in ipairs(vectors("endpoints")) do
      assert.equal("function", listed[case.call[1]])
    end
    local own = openai.OpenAI.__base.retrieve_batch
    openai.OpenAI.__base.retrieve_batch = function()
      return "replaced"
    end
    assert.equal("replaced", openai.new("key"):retrieve_batch("b"))
    openai.OpenAI.__base.retrieve_batch = own
  end)

  it("leaves the caller's tables as they are", function()
    local client = openai.new("key")
    function client._request()
      return 200, {}
    end
    local params = { input_file_id = "file-1", endpoint = "/v1/responses" }
    client:create_batch(params)
    assert.same({ input_file_id = "file-1", endpoint = "/v1/responses" }, params)
  end)

  it("hands forms to _multipart_request, which a script may replace", function()
    local client, sent = openai.new("key"), {}
    function client._multipart_request(_, ...)
      table.insert(sent, { ... })
      return 200, {}
    end
    local file = { filename = "a.mp3", content = "b" }
    client:audio_transcription({ file = file, model = "m" })
    client:image_edit({ image = { file, file }, prompt = "blue" })
    assert.same({
      { "POST", "/audio/transcriptions", { file = file, model = "m" } },
      { "POST", "/images/edits", { image = { file, file }, prompt = "blue" } },
    }, sent)
  end)

  it("returns what is in a file as it came, though it may look like JSON; but not a failure", function()
    local http = require("support.fake_http")({ '{"a": 1}' })
    local client = openai.new("key")
    function client.get_http()
      return http
    end
    assert.equal('{"a": 1}', (select(2, client:file_content("file-1"))))
    http.answer = { '{"a": 1}', status = 404 }
    assert.same({ a = 1 }, (select(2, client:file_content("file-1"))))
  end)
end)
