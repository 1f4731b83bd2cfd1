--- What a message may hold beside plain text, and replies that keep to a schema.

local cjson = require("cjson")
local openai = require("openai")
local fake_http = require("support.fake_http")

local function client_of(content)
  local message = { role = "assistant", content = content }
  local http = fake_http({ { object = "chat.completion", choices = { { index = 0, message = message } } } })
  local client = openai.new("sk-secret")
  client.get_http = function()
    return http
  end
  return client, http
end

describe("a message's content", function()
  local parts = {
    { type = "text", text = "What is this?" },
    { type = "image_url", image_url = { url = "data:image/png;base64,iVBORw0KGgo=", detail = "low" } },
    { type = "input_audio", input_audio = { data = "UklGRg==", format = "wav" } },
    { type = "file", file = { file_id = "file-1" } },
    { type = "something_new", anything = { goes = true } },
  }

  it("may be a list of parts, of kinds that are not known yet too", function()
    local client, http = client_of("A fox.")
    assert.equal("A fox.", (client:new_chat_session():send({ role = "user", content = parts })))
    assert.same(parts, http.requests[1].body.messages[1].content)
  end)

  it("is left as it is by client:chat", function()
    local client, http = client_of("A fox.")
    local status = client:chat({ { role = "user", content = parts } })
    assert.equal(200, status)
    assert.same(parts, http.requests[1].body.messages[1].content)
  end)

  it("may name an image by its URL alone, as the first vision example of lua-openai does", function()
    local client, http = client_of("A fox.")
    local by_url = { { type = "image_url", image_url = "https://example.org/fox.png" } }
    client:chat({ { role = "user", content = by_url } })
    assert.same(by_url, http.requests[1].body.messages[1].content)
  end)

  it("goes out as null where it is null", function()
    local client, http = client_of("Hi")
    client:chat({ { role = "assistant", content = cjson.null } })
    assert.equal(cjson.null, http.requests[1].body.messages[1].content)
  end)

  local refused = {
    ["messages[1].content[2].type: expected a string, got nothing"] = { parts[1], { text = "no type" } },
    ["messages[1].content[1].text: expected a string, got nothing"] = { { type = "text" } },
    ["messages[1].content[1].image_url: expected a URL or a table with url"] = {
      { type = "image_url", image_url = 5 },
    },
    ["messages[1].content[1]: expected a table with type, got a string"] = { "just text" },
    ["messages[1].content: expected a string, null or a list of parts, got a number"] = 5,
  }

  for text, content in pairs(refused) do
    it("is refused before anything is sent: " .. text, function()
      local client, http = client_of("Hi")
      assert.has_error(function()
        client:chat({ { role = "user", content = content } })
      end, text)
      assert.same({}, http.requests)
    end)
  end
end)

describe("structured output", function()
  local format = {
    type = "json_schema",
    json_schema = {
      name = "city",
      strict = true,
      schema = {
        type = "object",
        properties = { name = { type = "string" }, tags = { type = "array", items = {} } },
        required = { "name" },
        additionalProperties = false,
      },
    },
  }

  it("is asked for by the session's response_format", function()
    local client, http = client_of('{"name":"Oslo"}')
    local reply = client:new_chat_session({ response_format = format }):send("Which city?")
    assert.same({ name = "Oslo" }, cjson.decode(reply))
    assert.same(format, http.requests[1].body.response_format)
  end)

  it("is asked for by one call's", function()
    local client, http = client_of("{}")
    local session = client:new_chat_session()
    session:send("Which city?", { response_format = { type = "json_object" } })
    session:send("And in words?")
    assert.same({ type = "json_object" }, http.requests[1].body.response_format)
    assert.is_nil(http.requests[2].body.response_format)
  end)
end)
