--- Waits for what goes on in the background, by `client:wait_for`.

local openai = require("openai")

local QUICKLY = 0.001

--- A client whose method `retrieve_batch` tells one status after the other; the last stays.
local function client_with(...)
  local client, statuses, asked = openai.new("key"), { ... }, {}
  function client.retrieve_batch(_, ...)
    table.insert(asked, { ... })
    return 200, { status = statuses[math.min(#asked, #statuses)] }, { ["openai-poll-after-ms"] = "1" }
  end
  return client, asked
end

describe("wait_for", function()
  it("returns the body whose status does not change any more", function()
    for _, status in ipairs({ "completed", "failed", "cancelled", "expired", "succeeded" }) do
      local client, asked = client_with("validating", "in_progress", status)
      assert.same({ status = status }, client:wait_for("retrieve_batch", "b"))
      assert.same({ { "b" }, { "b" }, { "b" } }, asked)
    end
  end)

  it("asks the script when it is done, and shows it each body", function()
    local client, seen = openai.new("key"), {}
    local ready = 0
    function client.retrieve_vector_store_file(_, ...)
      ready = ready + 1
      return 200, { ready = ready, given = { ... } }, {}
    end
    local body = client:wait_for("retrieve_vector_store_file", "vs", "f", {
      interval = QUICKLY,
      done = function(found)
        return found.ready == 3
      end,
      on_poll = function(found)
        seen[#seen + 1] = found.ready
      end,
    })
    assert.same({ ready = 3, given = { "vs", "f" } }, body)
    assert.same({ 1, 2, 3 }, seen)
  end)

  it("puts further options into the query", function()
    local client, given = openai.new("key"), nil
    function client.retrieve_response(_, ...)
      given = { ... }
      return 200, { status = "completed" }, {}
    end
    client:wait_for("retrieve_response", "r", { include = { "x" }, timeout = 5 })
    assert.same({ "r", { include = { "x" } } }, given)
  end)

  it("says after its time what it has waited for", function()
    local client = client_with("in_progress")
    assert.has_error(function()
      client:wait_for("retrieve_batch", "b", { timeout = 0.02 })
    end, "wait_for: retrieve_batch was not done within 0.02 s; its last status was in_progress")
  end)

  it("raises what names the method and its bad status", function()
    local client = openai.new("key")
    function client.retrieve_batch()
      return 401, { error = { message = "who are you?" } }, {}
    end
    assert.has_error(function()
      client:wait_for("retrieve_batch", "b")
    end, "retrieve_batch: Bad status: 401: who are you?")
  end)

  it("needs done where an answer has no status", function()
    local client = openai.new("key")
    function client.retrieve_model()
      return 200, { id = "m" }, {}
    end
    assert.has_error(function()
      client:wait_for("retrieve_model", "m")
    end, "wait_for: the answer of retrieve_model has no status; done is to say when it is over")
  end)

  it("refuses what cannot be waited for before anything is sent", function()
    local client, asked = client_with("completed")
    for text, arguments in pairs({
      ['wait_for: no endpoint is called "batsh"; did you mean batch?'] = { "batsh" },
      ["wait_for: cancel_batch sends POST, which is not for polling"] = { "cancel_batch", "b" },
      ["wait_for: interval is a number of seconds, from 0"] = { "retrieve_batch", "b", { interval = -1 } },
      ["wait_for: timeout is a number of seconds, from 0"] = { "retrieve_batch", "b", { timeout = "5" } },
      ["wait_for: done: expected a function, got string"] = { "retrieve_batch", "b", { done = "completed" } },
      ["wait_for: expected a table after the ids, got string"] = { "retrieve_batch", "b", "c" },
      ["wait_for: expected a method's name, got nil"] = {},
    }) do
      assert.has_error(function()
        client:wait_for(unpack(arguments))
      end, text)
    end
    assert.same({}, asked)
  end)

  it("lets other tasks go on while it waits, and ends when its task is cancelled", function()
    local client, asked = client_with("in_progress")
    local waiting = openai.spawn(function()
      client:wait_for("retrieve_batch", "b")
    end)
    while #asked < 3 do
      openai.sleep(QUICKLY)
    end
    waiting.cancel()
    local before = #asked
    openai.sleep(5 * QUICKLY)
    assert.equal(before, #asked)
    assert.has_error(waiting.wait)
  end)
end)
