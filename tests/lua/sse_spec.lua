--- The filter that cuts a streamed body into events, wherever the network has cut it.

local sse = require("openai.sse")

--- The events that the filter finds in pieces of a body, the end included.
local function events_in(...)
  local events = {}
  local filter = sse.create_stream_filter(function(event) table.insert(events, event) end)
  for _, piece in ipairs({ ... }) do
    filter(piece)
  end
  filter(nil)
  return events
end

describe("create_stream_filter", function()
  for _, callback in ipairs({ "print", 5, {} }) do
    it(("refuses a %s for callback"):format(type(callback)), function()
      assert.has_error(
        function() sse.create_stream_filter(callback) end,
        "Must provide chunk_callback function when streaming response"
      )
    end)
  end

  it("refuses to do without a callback", function()
    assert.has_error(sse.create_stream_filter, "Must provide chunk_callback function when streaming response")
  end)

  it("takes a table that can be called", function()
    local callback = spy.new(function() end)
    sse.create_stream_filter(callback)('data: {"n":1}\n')
    assert.spy(callback).was.called_with({ n = 1 })
  end)

  it("returns its arguments unchanged, the end too", function()
    local filter = sse.create_stream_filter(function() end)
    assert.same({ 'data: {"n":1}\n', "more" }, { filter('data: {"n":1}\n', "more") })
    assert.equal(2, select("#", filter("data: ", nil)))
    assert.equal(1, select("#", filter(nil)))
    assert.is_nil((filter(nil)))
  end)

  it("keeps two streams apart", function()
    local seen = {}
    local one = sse.create_stream_filter(function(event) table.insert(seen, "one " .. event.n) end)
    local two = sse.create_stream_filter(function(event) table.insert(seen, "two " .. event.n) end)
    one('data: {"n"')
    two('data: {"n":2}\n')
    one(':1}\n')
    assert.same({ "two 2", "one 1" }, seen)
  end)

  it("tells of an event as soon as its line ends", function()
    local seen = {}
    local filter = sse.create_stream_filter(function(event) table.insert(seen, event.n) end)
    filter('data: {"n":1}')
    assert.same({}, seen)
    filter("\n")
    assert.same({ 1 }, seen)
  end)

  it("lets the callback's own error through", function()
    local mine = { "my own error" }
    local filter = sse.create_stream_filter(function() error(mine) end)
    local ok, raised = pcall(filter, 'data: {"n":1}\n')
    assert.is_false(ok)
    assert.equal(mine, raised)
  end)
end)

describe("An event", function()
  local ONE, TWO = { n = 1 }, { n = 2 }
  local read = {
    { "on a line each", 'data: {"n":1}\ndata: {"n":2}\n' },
    { "after blank lines", 'data: {"n":1}\n\n\ndata: {"n":2}\n\n' },
    { "with CRLF line ends", 'data: {"n":1}\r\n\r\ndata: {"n":2}\r\n\r\n' },
    { "with CR line ends", 'data: {"n":1}\r\rdata: {"n":2}\r\r' },
    { "without a space after the colon", 'data:{"n":1}\ndata:{"n":2}\n' },
    { "after white space", '  data: {"n":1}\n\t data: {"n":2}\n' },
    { "after a byte order mark", '\239\187\191data: {"n":1}\ndata: {"n":2}\n' },
    { "on a last line without a newline", 'data: {"n":1}\ndata: {"n":2}' },
    { "between comments", ': ping\n\ndata: {"n":1}\n\n: ping\ndata: {"n":2}\n:\n' },
    { "between other fields", 'event: delta\nid: 7\ndata: {"n":1}\n\nretry: 10\ndatabase: {}\ndata: {"n":2}\n\n' },
    { "before the end's mark", 'data: {"n":1}\n\ndata: {"n":2}\n\ndata: [DONE]\n\n' },
    { "around data that is not JSON", 'data: {"n":1}\n\ndata: {oops}\n\ndata: {"n":2}\n\n' },
    { "around data that is no object", 'data: 5\n\ndata: {"n":1}\n\ndata: "x"\n\ndata: {"n":2}\n\n' },
    { "after a broken one without a blank line", 'data: {"n":1}\ndata: {broken\ndata: {"n":2}\n' },
    { "with a line break in it", 'data: {"n":\n1}\n\ndata: {\r"n":2}\r\r' },
    { "on several data lines", 'data: {"n":\ndata: 1}\n\ndata: {\ndata: "n"\ndata: :2}\n\n' },
  }
  for _, row in ipairs(read) do
    local where, text = unpack(row)
    it(where .. " is found", function()
      assert.same({ ONE, TWO }, events_in(text))
    end)
  end

  it("keeps its null, its numbers and its text", function()
    local null = require("cjson").null
    assert.same(
      { { a = null, b = 0.5, c = "h\195\169 \n" } },
      events_in('data: {"a":null,"b":0.5,"c":"h\195\169 \\n"}\n')
    )
  end)

  it("keeps its control characters, and U+FFFD for what is not UTF-8", function()
    assert.same({ { s = "a\1\0\27b\239\191\189c" } }, events_in('data: {"s":"a\1\0\27b\255c"}\n'))
  end)

  it("has infinity and NaN for numbers that JSON has not", function()
    local event = events_in('data: {"a":Infinity,"b":-1e999,"c":NaN}\n')[1]
    assert.same({ math.huge, -math.huge }, { event.a, event.b })
    assert.is_true(event.c ~= event.c)
  end)

  it("has whole characters, joined from what two events have of them", function()
    local events = events_in('data: {"s":"a\\ud83d"}\n', 'data: {"s":"\\ude00b"}\n', 'data: {"s":"\\ud83d"}\n')
    assert.same({ { s = "a\240\159\152\128" }, { s = "b" }, { s = "\239\191\189" } }, events)
  end)

  it("is not made of nothing", function()
    assert.same({}, events_in())
    assert.same({}, events_in("", "\n", "data:\n\n", "data: [DONE]"))
  end)
end)

describe("A stream", function()
  local TEXT = table.concat({
    ': hi\r\n\r\ndata: {"n":1,"s":"h\195\169\226\130\172"}\r\n\r\n',
    'event: x\ndata: {"n":2}\n\n  data: {"n":\r\ndata: 3}\r\n\r\n',
    'data: {"n":4,"s":"a\\nb"}\n\ndata: oops\n\ndata: {"n":5}\n\ndata: [DONE]\n\n',
  })
  local EVENTS = {
    { n = 1, s = "h\195\169\226\130\172" },
    { n = 2 },
    { n = 3 },
    { n = 4, s = "a\nb" },
    { n = 5 },
  }

  it("gives the same events wherever it is cut in two", function()
    for cut = 0, #TEXT do
      assert.same(EVENTS, events_in(TEXT:sub(1, cut), TEXT:sub(cut + 1)), "cut after byte " .. cut)
    end
  end)

  it("gives the same events wherever it is cut in three", function()
    for first = 0, #TEXT, 3 do
      for second = first, #TEXT, 5 do
        local pieces = { TEXT:sub(1, first), TEXT:sub(first + 1, second), TEXT:sub(second + 1) }
        assert.same(EVENTS, events_in(unpack(pieces)), ("cut after bytes %d and %d"):format(first, second))
      end
    end
  end)

  it("gives the same events byte by byte", function()
    local bytes = {}
    for byte in TEXT:gmatch(".") do
      bytes[#bytes + 1] = byte
    end
    assert.same(EVENTS, events_in(unpack(bytes)))
  end)

  it("costs twice as much when it is twice as long", function()
    local function seconds(count)
      local filter = sse.create_stream_filter(function() end)
      local event = 'data: {"choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'
      collectgarbage()
      local start = os.clock()
      for _ = 1, count do
        filter(event)
      end
      return os.clock() - start
    end
    seconds(2000)
    local short, long = seconds(2000), seconds(16000)
    assert.is_true(long < 8 * short * 4, ("%.4f s for 2000 events, %.4f s for 16000"):format(short, long))
  end)
end)
