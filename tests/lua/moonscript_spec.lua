--- Subclasses as the MoonScript compiler writes them, with nothing between its output and our classes.

local openai = require("openai")
local fake_http = require("support.fake_http")

local OpenAI, ChatSession = openai.OpenAI, openai.ChatSession
local inherited_calls = {}

-- class Logged extends OpenAI
--   api_base: "http://127.0.0.1:1/v1"
--   @count: 0
--   new: (key, @log) =>
--     super key, timeout: 5
--     @@count += 1
--   _request: (method, path, ...) =>
--     table.insert @log, "#{method} #{path}"
--     super method, path, ...
--   new_chat_session: (opts) => Brief @, opts
local Logged
local Brief
do
  local _class_0
  local _parent_0 = OpenAI
  local _base_0 = {
    api_base = "http://127.0.0.1:1/v1",
    _request = function(self, method, path, ...)
      table.insert(self.log, tostring(method) .. " " .. tostring(path))
      return _class_0.__parent.__base._request(self, method, path, ...)
    end,
    new_chat_session = function(self, opts)
      return Brief(self, opts)
    end,
  }
  _base_0.__index = _base_0
  setmetatable(_base_0, _parent_0.__base)
  _class_0 = setmetatable({
    __init = function(self, key, log)
      self.log = log
      _class_0.__parent.__init(self, key, { timeout = 5 })
      self.__class.count = self.__class.count + 1
    end,
    __base = _base_0,
    __name = "Logged",
    __parent = _parent_0,
  }, {
    __index = function(cls, name)
      local val = rawget(_base_0, name)
      if val == nil then
        local parent = rawget(cls, "__parent")
        if parent then
          return parent[name]
        end
      else
        return val
      end
    end,
    __call = function(cls, ...)
      local _self_0 = setmetatable({}, _base_0)
      cls.__init(_self_0, ...)
      return _self_0
    end,
  })
  _base_0.__class = _class_0
  local self = _class_0
  self.count = 0
  if _parent_0.__inherited then
    _parent_0.__inherited(_parent_0, _class_0)
  end
  Logged = _class_0
end

-- class Brief extends ChatSession
--   @__inherited: (child) => table.insert inherited_calls, child.__name
--   send: (message, ...) =>
--     reply, err = super "Briefly: #{message}", ...
--     reply and reply\upper!, err
--   append_message: (...) =>
--     @appended = (@appended or 0) + select "#", ...
--     super ...
do
  local _class_0
  local _parent_0 = ChatSession
  local _base_0 = {
    send = function(self, message, ...)
      local reply, err = _class_0.__parent.__base.send(self, "Briefly: " .. tostring(message), ...)
      return reply and reply:upper(), err
    end,
    append_message = function(self, ...)
      self.appended = (self.appended or 0) + select("#", ...)
      return _class_0.__parent.__base.append_message(self, ...)
    end,
  }
  _base_0.__index = _base_0
  setmetatable(_base_0, _parent_0.__base)
  _class_0 = setmetatable({
    __init = function(self, ...)
      return _class_0.__parent.__init(self, ...)
    end,
    __base = _base_0,
    __name = "Brief",
    __parent = _parent_0,
  }, {
    __index = function(cls, name)
      local val = rawget(_base_0, name)
      if val == nil then
        local parent = rawget(cls, "__parent")
        if parent then
          return parent[name]
        end
      else
        return val
      end
    end,
    __call = function(cls, ...)
      local _self_0 = setmetatable({}, _base_0)
      cls.__init(_self_0, ...)
      return _self_0
    end,
  })
  _base_0.__class = _class_0
  local self = _class_0
  self.__inherited = function(_, child)
    return table.insert(inherited_calls, child.__name)
  end
  if _parent_0.__inherited then
    _parent_0.__inherited(_parent_0, _class_0)
  end
  Brief = _class_0
end

-- class Briefest extends Brief
local Briefest
do
  local _class_0
  local _parent_0 = Brief
  local _base_0 = {}
  _base_0.__index = _base_0
  setmetatable(_base_0, _parent_0.__base)
  _class_0 = setmetatable({
    __init = function(self, ...)
      return _class_0.__parent.__init(self, ...)
    end,
    __base = _base_0,
    __name = "Briefest",
    __parent = _parent_0,
  }, {
    __index = function(cls, name)
      local val = rawget(_base_0, name)
      if val == nil then
        local parent = rawget(cls, "__parent")
        if parent then
          return parent[name]
        end
      else
        return val
      end
    end,
    __call = function(cls, ...)
      local _self_0 = setmetatable({}, _base_0)
      cls.__init(_self_0, ...)
      return _self_0
    end,
  })
  _base_0.__class = _class_0
  if _parent_0.__inherited then
    _parent_0.__inherited(_parent_0, _class_0)
  end
  Briefest = _class_0
end

describe("a MoonScript class that extends OpenAI", function()
  local client, http

  before_each(function()
    http = fake_http({ { object = "chat.completion", choices = { { index = 0, message = { content = "hello" } } } } })
    client = Logged("sk-secret", {})
    client.get_http = function()
      return http
    end
  end)

  it("constructs through super, and counts in a class field", function()
    local before = Logged.count
    assert.same({ "sk-secret", 5 }, { Logged("sk-secret", {}).api_key, client.config.timeout })
    assert.equal(before + 1, Logged.count)
    assert.is_nil(rawget(OpenAI, "count"))
  end)

  it("constructs its own instances by new, as its parent does", function()
    assert.equal(Logged.__base, getmetatable(Logged.new("sk-secret", {})))
    assert.equal(OpenAI.__base, getmetatable(OpenAI.new("sk-secret")))
  end)

  it("has its class's fields before its parent's", function()
    assert.equal("http://127.0.0.1:1/v1", client.api_base)
    assert.equal(OpenAI.__base.default_model, client.default_model)
    assert.same({ "Logged", Logged, OpenAI }, { Logged.__name, client.__class, client.__class.__parent })
  end)

  it("sends every endpoint's request through its own method, then super", function()
    client:models()
    client:moderation("text")
    client:request("GET", "/batches")
    assert.same({ "GET /models", "POST /moderations", "GET /batches" }, client.log)
    assert.equal("http://127.0.0.1:1/v1/models", http.requests[1].url)
  end)

  it("makes sessions of the class that it wants", function()
    local chat = client:new_chat_session({ model = "m" })
    assert.same({ Brief, client }, { chat.__class, chat.client })
    assert.equal("HELLO", (chat:send("Hi")))
    assert.equal("Briefly: Hi", http.requests[1].body.messages[1].content)
    assert.same({ "POST /chat/completions" }, client.log)
  end)
end)

describe("a MoonScript class that extends ChatSession", function()
  it("has its append_message called for every message, from the constructor on", function()
    local http = fake_http({ { choices = { { index = 0, message = { role = "assistant", content = "hello" } } } } })
    local client = openai.new("sk-secret")
    client.get_http = function()
      return http
    end
    local chat = Brief(client, { messages = { { role = "system", content = "a" }, { role = "user", content = "b" } } })
    assert.equal(2, chat.appended)
    chat:send("Hi")
    assert.equal(4, chat.appended)
  end)

  it("keeps its parent's checks", function()
    assert.has_error(function()
      Brief(openai.new("sk-secret"), { messages = { { role = "user", content = 5 } } })
    end, "message.content: expected a string, null or a list of parts, got a number")
  end)

  it("passes on a failure of super as nil and the message", function()
    local client = openai.new("sk-secret")
    function client.chat()
      return 400, { error = { message = "no", code = "bad" } }
    end
    assert.same({ nil, "Bad status: 400: no (bad)" }, { Brief(client):send("Hi") })
  end)

  it("may be extended again, and is told of it", function()
    assert.same({ "Briefest" }, inherited_calls)
    local chat = Briefest(openai.new("sk-secret"), {})
    assert.equal(Brief.__base.send, chat.send)
    assert.equal(ChatSession.__base.last_message, chat.last_message)
  end)
end)
