--- Lists that come in pages, followed by `client:each`.

local cjson = require("cjson")
local openai = require("openai")

--- A client whose method `list_batches` returns one answer after the other, and keeps what it was called with.
local function client_with(...)
  local client, answers, asked = openai.new("key"), { ... }, {}
  function client.list_batches(_, query)
    local copy = {}
    for name, value in pairs(query or {}) do
      copy[name] = value
    end
    table.insert(asked, copy)
    local answer = answers[#asked]
    return answer.status or 200, answer.body or answer, {}
  end
  return client, asked
end

local function collect(...)
  local found = {}
  for item in ... do
    found[#found + 1] = item
  end
  return found
end

local A, B, C = { id = "a" }, { id = "b" }, { id = "c" }

describe("each", function()
  it("gives the items of all pages, one after the other", function()
    local client, asked = client_with(
      { data = { A, B }, has_more = true, last_id = "b" },
      { data = { C }, has_more = false }
    )
    assert.same({ A, B, C }, collect(client:each("list_batches", { limit = 2 })))
    assert.same({ { limit = 2 }, { limit = 2, after = "b" } }, asked)
  end)

  it("goes on after the last item where the page names no last_id, and by next where it has that", function()
    local client, asked = client_with(
      { data = { A }, has_more = true },
      { data = { B }, has_more = true, next = "cursor" },
      { data = {}, has_more = false }
    )
    assert.same({ A, B }, collect(client:each("list_batches")))
    assert.same({ {}, { after = "a" }, { after = "cursor" } }, asked)
  end)

  it("asks for a page only when its first item is due", function()
    local client, asked = client_with({ data = { A, B }, has_more = true }, { data = { C } })
    local items = client:each("list_batches")
    assert.equal(0, #asked)
    assert.equal(A, items())
    assert.equal(B, items())
    assert.equal(1, #asked)
    assert.equal(C, items())
    assert.is_nil(items())
    assert.is_nil(items())
    assert.equal(2, #asked)
  end)

  it("gives a null as cjson.null, and ends at no item before the last", function()
    local client = client_with({ data = { cjson.null, false, "x" } })
    assert.same({ cjson.null, false, "x" }, collect(client:each("list_batches")))
  end)

  it("leaves the script's query as it is", function()
    local client = client_with({ data = { A }, has_more = true }, { data = { B } })
    local query = { limit = 1 }
    collect(client:each("list_batches", query))
    assert.same({ limit = 1 }, query)
  end)

  it("hands ids on, before the query", function()
    local client, given = openai.new("key"), {}
    function client.list_vector_store_files(_, ...)
      given = { ... }
      return 200, { data = { A } }, {}
    end
    collect(client:each("list_vector_store_files", "vs_1", { order = "asc" }))
    assert.same({ "vs_1", { order = "asc" } }, given)
  end)

  it("raises what names the method and its bad status, after the items before", function()
    local client = client_with(
      { data = { A }, has_more = true },
      { status = 404, body = { error = { message = "gone" } } }
    )
    local items = client:each("list_batches")
    assert.equal(A, items())
    local ok, message = pcall(items)
    assert.is_false(ok)
    assert.equal("list_batches: Bad status: 404: gone", message)
  end)

  it("raises for an answer that is no page", function()
    for _, body in ipairs({ "text", { object = "list" }, { data = { a = 1 } } }) do
      local client = client_with({ body = body })
      assert.has_error(function()
        client:each("list_batches")()
      end, "list_batches: The answer is not a page of a list")
    end
  end)

  it("does not ask a server that knows no pages for the same one for ever", function()
    local same = { data = { A }, has_more = true }
    local client = client_with(same, same, same)
    assert.has_error(function()
      collect(client:each("list_batches"))
    end, "list_batches: The list has more, but its page does not tell how to go on")
  end)

  it("refuses what does not list", function()
    local client = openai.new("key")
    for text, arguments in pairs({
      ['each: no endpoint is called "list_batchs"; did you mean list_batches?'] = { "list_batchs" },
      ["each: create_batch does not return a list"] = { "create_batch" },
      ["each: expected a method's name, got table"] = { {} },
      ["each: expected a table after the ids, got string"] = { "list_batches", "batch_1" },
    }) do
      assert.has_error(function()
        client:each(unpack(arguments))
      end, text)
    end
    assert.has_error(function()
      client.each("list_batches")
    end, "each: call it with a colon: client:each(...)")
  end)

  it("lets other tasks go on while a page is on its way", function()
    local client = openai.new("key")
    local order = {}
    function client.list_batches()
      openai.sleep(0.01)
      table.insert(order, "page")
      return 200, { data = { A } }, {}
    end
    openai.gather({
      function()
        collect(client:each("list_batches"))
      end,
      function()
        table.insert(order, "other task")
      end,
    })
    assert.same({ "other task", "page" }, order)
  end)
end)
