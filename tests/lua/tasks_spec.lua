--- Many chats at once: `openai.gather`, `openai.spawn` and `openai.sleep`, over real connections.

local cjson = require("cjson")
local http = require("socket.http")
local native_resume = coroutine.resume
local openai = require("openai")
local server = require("support.server")

local crowd = os.getenv("LUAOPENAI_TEST_CROWD")
local describe_with_crowd = crowd and describe or pending

--- What the server has counted since it was asked last.
local function count()
  return cjson.decode((http.request(crowd .. "/crowd")))
end

local function client(config)
  config = config or {}
  config.base_url, config.max_retries = crowd .. "/v1", config.max_retries or 0
  return openai.new("sk-secret", config)
end

--- A function that holds a chat whose answer comes after some milliseconds.
local function chatting(said, milliseconds)
  return function()
    return (assert(client():new_chat_session({ model = "wait-" .. (milliseconds or 1) }):send(said)))
  end
end

--- A function that holds a chat whose answer comes once as many have been under way at once.
local function meeting(said, number, config)
  return function()
    return (assert(client(config):new_chat_session({ model = "meet-" .. number }):send(said)))
  end
end

local function repeated(times, make)
  local list = {}
  for number = 1, times do
    list[number] = make(number)
  end
  return list
end

--- Waits until the server has counted as many.
local function eventually(field, number)
  local found
  for _ = 1, 3000 do
    found = count()[field]
    if found == number then return end
    openai.sleep(0.01)
  end
  assert.equal(number, found, field)
end

describe_with_crowd("gather", function()
  before_each(count)

  it("returns the results in the order of the functions, whichever ends first", function()
    assert.same({ "slow", "fast" }, openai.gather({ chatting("slow", 150), chatting("fast", 1) }))
  end)

  it("waits for all at once", function()
    local results = openai.gather(repeated(10, function(n) return meeting("c" .. n, 10) end))
    assert.equal(10, #results)
    assert.equal(10, count().most)
  end)

  it("gives several results of a function as a list", function()
    local results = openai.gather({
      function() return 1, nil, 3 end,
      function() return nil, "why not" end,
      function() return "one", nil end,
      function() end,
    })
    assert.same({ { 1, nil, 3 }, { nil, "why not" }, "one" }, results)
  end)

  it("returns an empty list for no functions", function()
    assert.same({}, openai.gather({}))
  end)

  it("runs no more than 32 at once, or as many as the limit says", function()
    openai.gather(repeated(40, function(n) return meeting("c" .. n, 32) end))
    assert.equal(32, count().most)
    openai.gather(repeated(9, function(n) return meeting("c" .. n, 3) end), { limit = 3 })
    local seen = count()
    assert.equal(3, seen.most)
    assert.equal(9, seen.came)
  end)

  it("may run more at once than connections are kept", function()
    local results = openai.gather(repeated(60, function(n)
      return meeting("c" .. n, 60, { pool_size = 2 })
    end), { limit = 60 })
    assert.equal("c60", results[60])
    assert.equal(60, count().most)
  end)

  it("takes tables that can be called", function()
    local callable = setmetatable({}, { __call = function() return "called" end })
    assert.same({ "called" }, openai.gather({ callable }))
  end)

  it("refuses what it cannot run, at the caller's line", function()
    local function refusal(...)
      local arguments = { ... }
      return select(2, pcall(function() openai.gather(unpack(arguments)) end))
    end
    assert.matches("^%S+tasks_spec.lua:%d+: gather: expected a list of functions, got nil$", refusal())
    assert.matches("gather: item 2: expected a function, got number$", refusal({ print, 7 }))
    assert.matches("gather: item 2: expected a function, got nil$", refusal({ print, nil, print }))
    assert.matches("gather: expected a list of functions, got a table with the key x$", refusal({ x = print }))
    assert.matches("gather: limit: expected a number from 1$", refusal({}, { limit = 0 }))
    assert.matches("gather: expected options as a table, got number$", refusal({}, 3))
    assert.matches("gather: no option limits$", refusal({}, { limits = 3 }))
    assert.matches("gather: on_progress: expected a function, got string$", refusal({}, { on_progress = "x" }))
  end)

  it("tells each end to on_progress", function()
    local told = {}
    openai.gather({ chatting("b", 60), chatting("a", 1), function() end }, {
      on_progress = function(done, total) told[#told + 1] = done .. "/" .. total end,
    })
    assert.same({ "1/3", "2/3", "3/3" }, told)
  end)

  it("tells an end while others are under way, inside a task too", function()
    local told, seen = 0, false
    local function look()
      for _ = 1, 400 do
        if told > 0 then
          seen = true
          return
        end
        openai.sleep(0.005)
      end
    end
    openai.gather({
      function()
        openai.gather({ function() end, look }, { on_progress = function(done) told = done end })
      end,
    })
    assert.is_true(seen)
  end)

  it("tells failures to on_progress too", function()
    local told = 0
    openai.gather({ function() error("no") end, function() end }, {
      settle = true,
      on_progress = function(done) told = done end,
    })
    assert.equal(2, told)
  end)

  it("raises an error of on_progress once all have ended", function()
    local failure, ended, calls = {}, 0, 0
    local ok, raised = pcall(openai.gather, repeated(3, function()
      return function() openai.sleep(0.01) ended = ended + 1 end
    end), { on_progress = function() calls = calls + 1 error(failure) end })
    assert.is_false(ok)
    assert.equal(failure, raised)
    assert.equal(3, ended)
    assert.equal(1, calls)
  end)

  it("raises the first function's error, the same value, once the others have ended", function()
    local failure, ended = { code = 7 }, false
    local ok, raised = pcall(openai.gather, {
      function() openai.sleep(0.03) ended = true end,
      function() error(failure) end,
      function() error("another") end,
    })
    assert.is_false(ok)
    assert.equal(failure, raised)
    assert.is_true(ended)
  end)

  it("collects results and errors with settle", function()
    assert.same({ { ok = true, value = "a" }, { ok = false, error = "no" }, { ok = false } }, openai.gather({
      chatting("a"),
      function() error("no", 0) end,
      function() error() end,
    }, { settle = true }))
  end)

  it("goes on when a server is dead in the midst", function()
    local dead = openai.new("sk-secret", { base_url = server.closed_address .. "/v1", max_retries = 0 })
    local results = openai.gather({
      chatting("a", 30),
      function() return dead:new_chat_session():send("b") end,
      function() return client():new_chat_session({ model = "drop" }):send("c") end,
      chatting("d", 60),
    }, { settle = true })
    assert.equal("a", results[1].value)
    assert.matches("connection refused", results[2].value[2])
    assert.matches("closed the connection", results[3].value[2])
    assert.equal("d", results[4].value)
  end)

  it("tells of bad settings as outside", function()
    local function ask()
      return pcall(openai.new("k", { base_url = crowd .. "/v1", timeout = "soon" }).models)
    end
    local function request()
      return http.request({ url = "ftp://nowhere" })
    end
    assert.same({ { ask() }, { request() } }, openai.gather({ ask, request }))
  end)

  it("can be called inside itself", function()
    local results = openai.gather(repeated(3, function(outer)
      return function()
        return openai.gather(repeated(3, function(inner) return meeting(outer .. "." .. inner, 9) end))
      end
    end))
    assert.same({ "2.1", "2.2", "2.3" }, results[2])
    assert.equal(9, count().most)
  end)
end)

describe_with_crowd("Streams side by side", function()
  it("call back as their events arrive, one at a time", function()
    local order, inside = {}, 0
    local function stream(name)
      return function()
        local text = {}
        local chat = client():new_chat_session({ model = "drip-5-30" })
        local reply = chat:send(name, function(chunk)
          inside = inside + 1
          assert.equal(1, inside)
          order[#order + 1] = name
          text[#text + 1] = chunk.content
          inside = inside - 1
        end)
        assert.equal(table.concat(text), reply)
        return reply
      end
    end
    local results = openai.gather({ stream("a"), stream("b"), stream("c") })
    assert.same({ "a0 a1 a2 a3 a4 ", "b0 b1 b2 b3 b4 ", "c0 c1 c2 c3 c4 " }, results)
    local switches = 0
    for index = 2, #order do
      switches = switches + (order[index] ~= order[index - 1] and 1 or 0)
    end
    -- Two would be one after the other.
    assert.is_true(switches > 2, table.concat(order))
  end)

  it("may wait in their callbacks", function()
    local function stream()
      local pieces = {}
      client():new_chat_session({ model = "drip-3-1" }):send("s", function(chunk)
        openai.sleep(0.02)
        pieces[#pieces + 1] = chunk.content
      end)
      return table.concat(pieces)
    end
    assert.same({ "s0 s1 s2 ", "s0 s1 s2 " }, openai.gather({ stream, stream }))
  end)

  it("can be stopped by their callbacks", function()
    local function stream()
      local calls = 0
      client():new_chat_session({ model = "drip-50-5" }):send("s", function()
        calls = calls + 1
        return calls < 2
      end)
      return calls
    end
    assert.same({ 2, 2 }, openai.gather({ stream, stream }))
    eventually("now", 0)
  end)
end)

describe_with_crowd("A wait inside a task", function()
  --- Runs a function beside one that notes the time, and says whether that was held up.
  local function beside(f)
    local ticks, over = 0, false
    local results = openai.gather({
      function()
        local value = f()
        over = true
        return value
      end,
      function()
        while not over do
          openai.sleep(0.01)
          ticks = ticks + 1
        end
      end,
    })
    return ticks, results[1]
  end

  it("may be a sleep", function()
    assert.is_true((beside(function() openai.sleep(0.1) end)) > 0)
  end)

  it("may be a plain HTTP request", function()
    local ticks, body = beside(function() return (http.request(server.address .. "/pieces")) end)
    assert.equal("one two three", body)
    assert.is_true(ticks > 0)
  end)

  it("may be a retry's pause", function()
    local ticks, reply = beside(function()
      return (assert(client({ max_retries = 1 }):new_chat_session({ model = "busy-150" }):send("again")))
    end)
    assert.equal("again", reply)
    assert.is_true(ticks > 0)
  end)

  it("may be inside pcall and xpcall, which catch what it raises", function()
    local ticks, caught = beside(function()
      local ok, failure = pcall(function()
        openai.sleep(0.05)
        xpcall(openai.sleep, print, 0.05)
        error("mine", 0)
      end)
      return tostring(ok) .. failure
    end)
    assert.equal("falsemine", caught)
    assert.is_true(ticks > 0)
  end)

  it("may be inside a metamethod", function()
    local lazy = setmetatable({}, { __index = function(_, key) return chatting(key, 80)() end })
    local ticks, value = beside(function() return lazy.word end)
    assert.equal("word", value)
    assert.is_true(ticks > 0)
  end)

  it("blocks where Lua cannot leave, such as in a comparator, and works", function()
    local _, sorted = beside(function()
      local list = { 3, 1, 2 }
      table.sort(list, function(a, b)
        openai.sleep(0.005)
        return a < b
      end)
      return list
    end)
    assert.same({ 1, 2, 3 }, sorted)
  end)

  it("may wait for a task in a comparator", function()
    local _, sorted = beside(function()
      local list = { 3, 1, 2 }
      table.sort(list, function(a, b)
        return openai.spawn(function() openai.sleep(0.005) return a < b end):wait()
      end)
      return list
    end)
    assert.same({ 1, 2, 3 }, sorted)
  end)

  it("may be inside a coroutine in a comparator", function()
    local _, sorted = beside(function()
      local list = { 3, 1, 2 }
      table.sort(list, function(a, b)
        return coroutine.wrap(function() openai.sleep(0.005) coroutine.yield(a < b) end)()
      end)
      return list
    end)
    assert.same({ 1, 2, 3 }, sorted)
  end)

  it("may be inside a script's own generator", function()
    local function words()
      return coroutine.wrap(function()
        for _, word in ipairs({ "one", "two", "three" }) do
          coroutine.yield(chatting(word, 50)())
        end
      end)
    end
    local ticks, text = beside(function()
      local found = {}
      for word in words() do found[#found + 1] = word end
      return table.concat(found, " ")
    end)
    assert.equal("one two three", text)
    assert.is_true(ticks > 0)
  end)

  it("may be inside coroutines within coroutines, whose values arrive", function()
    local ticks, text = beside(function()
      local outer = coroutine.create(function(first)
        local inner = coroutine.create(function(...)
          openai.sleep(0.05)
          local got = coroutine.yield(...)
          openai.sleep(0.05)
          return got
        end)
        local _, a, b = coroutine.resume(inner, first, "b")
        local second = coroutine.yield(a .. b)
        local _, c = coroutine.resume(inner, second)
        return c
      end)
      local _, one = coroutine.resume(outer, "a")
      local ok, two = coroutine.resume(outer, "c")
      assert.is_true(ok)
      assert.equal("dead", coroutine.status(outer))
      return one .. two
    end)
    assert.equal("abc", text)
    assert.is_true(ticks > 0)
  end)

  it("blocks in a coroutine that a resume runs which was taken before", function()
    local results = openai.gather({
      function()
        local ok, value = native_resume(coroutine.create(function()
          openai.sleep(0.01)
          return "slept"
        end))
        return tostring(ok) .. value
      end,
    })
    assert.same({ "trueslept" }, results)
  end)

  it("keeps another from resuming the coroutine that it is in", function()
    local generator = coroutine.create(function()
      openai.sleep(0.05)
      return "mine"
    end)
    local results = openai.gather({
      function() return select(2, coroutine.resume(generator)) end,
      function() return coroutine.resume(generator) end,
    })
    assert.same({ "mine", { false, "cannot resume a coroutine that waits" } }, results)
  end)
end)

describe("Coroutines once tasks are in use", function()
  it("yield, fail and end as before, inside a task and outside", function()
    local function behave()
      local found = {}
      local function note(...) found[#found + 1] = { ... } end
      local thread = coroutine.create(function(...)
        note(coroutine.yield(...))
        error("at the end")
      end)
      note(coroutine.resume(thread, 1, nil, 3))
      local ok, message = coroutine.resume(thread, "in")
      note(ok, message, coroutine.status(thread))
      note(coroutine.resume(thread))
      local failing = coroutine.wrap(function() error({ 7 }) end)
      note(pcall(failing))
      local ended = coroutine.wrap(function() end)
      ended()
      note(pcall(ended))
      note(pcall(function() ended() end))
      note(pcall(function() coroutine.wrap(function() error("inner", 0) end)() end))
      return found
    end
    local found = behave()
    assert.same({ true, 1, nil, 3 }, found[1])
    assert.equal("in", found[2][1])
    assert.same({ false, "dead" }, { found[3][1], found[3][3] })
    assert.same({ false, "cannot resume dead coroutine" }, found[4])
    assert.same({ false, { 7 } }, found[5])
    assert.matches("tasks_spec.lua:%d+: cannot resume dead coroutine$", found[7][2])
    assert.matches("tasks_spec.lua:%d+: inner$", found[8][2])
    assert.same(found, openai.gather({ behave })[1])
  end)

  it("let the others go on where a task yields to nobody", function()
    local order = {}
    local function note(name)
      return function()
        for _ = 1, 2 do
          order[#order + 1] = name
          coroutine.yield()
        end
      end
    end
    openai.gather({ note("a"), note("b") })
    assert.equal("abab", table.concat(order))
  end)
end)

describe_with_crowd("spawn", function()
  before_each(count)

  it("begins at once and gives its arguments", function()
    local got
    local task = openai.spawn(function(...) got = { ... } end, 1, "b")
    assert.same({ 1, "b" }, got)
    assert.equal("done", task.status)
    task:wait()
  end)

  it("runs beside what follows, which waits for it with wait", function()
    local one, two = openai.spawn(meeting("one", 3)), openai.spawn(meeting("two", 3))
    assert.equal("waiting", one.status)
    assert.equal("three", meeting("three", 3)())
    assert.same({ "one", "two" }, { one:wait(), two:wait() })
    assert.equal("done", one.status)
  end)

  it("returns all results from wait, every time", function()
    local task = openai.spawn(function() openai.sleep(0.001) return 1, nil, 3 end)
    assert.same({ 1, nil, 3 }, { task:wait() })
    assert.equal(3, select("#", task:wait()))
  end)

  it("raises the task's error from wait, the same value", function()
    local failure = {}
    local task = openai.spawn(function() openai.sleep(0.001) error(failure) end)
    local ok, raised = pcall(task.wait, task)
    assert.is_false(ok)
    assert.equal(failure, raised)
    assert.equal("failed", task.status)
  end)

  it("works inside tasks, whose end it may outlast", function()
    local child
    openai.gather({ function() child = openai.spawn(chatting("child", 60)) end })
    assert.equal("waiting", child.status)
    assert.equal("child", child:wait())
  end)

  it("lets several tasks wait for one", function()
    local task = openai.spawn(chatting("shared", 30))
    local function waiting() return task:wait() end
    assert.same({ "shared", "shared" }, openai.gather({ waiting, waiting }))
  end)

  it("complains when every task waits for another", function()
    local one, two
    one = openai.spawn(function() openai.sleep(0.001) return two:wait() end)
    two = openai.spawn(function() return one:wait() end)
    assert.has_error(function() one:wait() end, "every task waits for another one")
    one:cancel()
    assert.same({ "cancelled", "waiting" }, { one.status, two.status })
    assert.has_error(function() two:wait() end, "the task was cancelled")
  end)

  it("complains when a task waits for itself", function()
    local task
    task = openai.spawn(function() openai.sleep(0.001) task:wait() end)
    assert.error_matches(function() task:wait() end, "a task cannot wait for itself")
  end)
end)

describe_with_crowd("cancel", function()
  before_each(count)

  it("closes the task's connection, and its wait raises", function()
    local task = openai.spawn(chatting("never", 5000))
    eventually("now", 1)
    task:cancel()
    assert.equal("cancelled", task.status)
    eventually("now", 0)
    assert.has_error(function() task:wait() end, "the task was cancelled")
  end)

  it("closes a stream's connection", function()
    local chunks = 0
    local task = openai.spawn(function()
      client():new_chat_session({ model = "drip-500-10" }):send("s", function() chunks = chunks + 1 end)
    end)
    while chunks == 0 do openai.sleep(0.005) end
    task:cancel()
    local before = chunks
    eventually("now", 0)
    assert.equal(before, chunks)
  end)

  it("closes the connection of a stream that is silent", function()
    local task = openai.spawn(function()
      client():new_chat_session({ model = "drip-2-5000" }):send("s", print)
    end)
    eventually("now", 1)
    openai.sleep(0.05)
    task:cancel()
    eventually("now", 0)
  end)

  it("ends a sleep", function()
    local task = openai.spawn(openai.sleep, math.huge)
    task:cancel()
    assert.equal("cancelled", task.status)
  end)

  it("cuts a retry's pause short, and sends no more", function()
    local task = openai.spawn(function()
      return client({ max_retries = 1 }):new_chat_session({ model = "busy-300" }):send("given up")
    end)
    eventually("came", 1)
    task:cancel()
    openai.sleep(0.4)
    assert.equal(0, count().came)
  end)

  it("is an error inside the task, which pcall can see but not outlive", function()
    local seen
    local task = openai.spawn(function()
      seen = { pcall(openai.sleep, 60) }
      seen[3] = pcall(chatting("more"))
      seen[4] = { pcall(openai.gather, { chatting("more") }) }
      chatting("even more")()
      seen[5] = "unreachable"
    end)
    task:cancel()
    assert.same({ false, "the task was cancelled", false, { false, "the task was cancelled" } }, seen)
    assert.equal("cancelled", task.status)
    assert.equal(0, count().came)
  end)

  it("ends what the task gathers", function()
    local task = openai.spawn(openai.gather, repeated(5, function(n)
      return chatting("c" .. n, 5000)
    end), { limit = 2 })
    openai.spawn(openai.sleep, 0.05):wait()
    eventually("now", 2)
    task:cancel()
    eventually("now", 0)
    openai.sleep(0.05)
    assert.equal(0, count().came)
  end)

  it("reaches through a task's own coroutines", function()
    local task = openai.spawn(function()
      return coroutine.wrap(function() return chatting("never", 5000)() end)()
    end)
    eventually("now", 1)
    task:cancel()
    eventually("now", 0)
    assert.equal("cancelled", task.status)
  end)

  it("may come from the task itself", function()
    local task
    task = openai.spawn(function()
      openai.sleep(0.001)
      task:cancel()
      openai.sleep(0.001)
    end)
    assert.has_error(function() task:wait() end, "the task was cancelled")
  end)

  it("may come from a task's child", function()
    local parent
    parent = openai.spawn(function()
      openai.sleep(0.001)
      openai.spawn(function() parent:cancel() end)
      openai.sleep(60)
    end)
    assert.has_error(function() parent:wait() end, "the task was cancelled")
  end)

  it("ends a task that only yields", function()
    local task = openai.spawn(function() while true do coroutine.yield() end end)
    task:cancel()
    assert.equal("cancelled", task.status)
  end)

  it("does nothing to a task that has ended", function()
    local task = openai.spawn(function() return 7 end)
    task:cancel()
    assert.equal("done", task.status)
    assert.equal(7, task:wait())
  end)

  it("leaves other tasks alone", function()
    local one, two = openai.spawn(chatting("one", 5000)), openai.spawn(chatting("two", 500))
    eventually("now", 2)
    one:cancel()
    eventually("now", 1)
    assert.equal("waiting", two.status)
    assert.equal("two", two:wait())
  end)
end)
