--- The clients of other companies' OpenAI-compatible servers.

local openai = require("openai")
local fake_http = require("support.fake_http")
local fresh = require("support.fresh")

local providers = {
  {
    module = "openai.compat.anthropic",
    name = "Anthropic",
    base = "https://api.anthropic.com/v1",
    model = "claude-sonnet-4-6",
  },
  {
    module = "openai.compat.deepseek",
    name = "DeepSeek",
    base = "https://api.deepseek.com/v1",
    model = "deepseek-chat",
  },
  {
    module = "openai.compat.mimo",
    name = "MiMo",
    base = "https://api.xiaomimimo.com/v1",
    model = "mimo-v2.5-pro",
  },
  {
    module = "openai.compat.mistral",
    name = "Mistral",
    base = "https://api.mistral.ai/v1",
    model = "mistral-large-3-25-12",
  },
  {
    module = "openai.compat.moonshot",
    name = "Moonshot",
    base = "https://api.moonshot.ai/v1",
    model = "kimi-k2.6",
  },
  {
    module = "openai.compat.gemini",
    name = "Gemini",
    base = "https://generativelanguage.googleapis.com/v1beta/openai",
    model = "gemini-2.5-flash",
  },
  {
    module = "openai.compat.openrouter",
    name = "OpenRouter",
    base = "https://openrouter.ai/api/v1",
    model = "openai/gpt-5.4",
  },
}

for _, provider in ipairs(providers) do
  describe(provider.module, function()
    local module = require(provider.module)
    local Client = module[provider.name]

    local function answered(client, message)
      local http = fake_http({ { object = "chat.completion", choices = { { index = 0, message = message } } } })
      client.get_http = function()
        return http
      end
      return http
    end

    it("constructs by new, by the class and by the class's new", function()
      for _, construct in ipairs({ module.new, Client, Client.new }) do
        local client = construct("key-1", { timeout = 5 })
        assert.equal(Client.__base, getmetatable(client))
        assert.same({ "key-1", 5 }, { client.api_key, client.config.timeout })
      end
    end)

    it("is a subclass of OpenAI with its own name", function()
      assert.same({ provider.name, openai.OpenAI }, { Client.__name, Client.__parent })
      assert.equal(openai.OpenAI.__base.chat, Client("key-1").chat)
    end)

    it("sends to the company's server, with its default model and the key", function()
      local client = module.new("key-1")
      local http = answered(client, { role = "assistant", content = "Hi" })
      assert.equal("Hi", (client:new_chat_session():send("Hello")))
      local request = http.requests[1]
      assert.equal(provider.base .. "/chat/completions", request.url)
      assert.equal(provider.model, request.body.model)
      assert.equal("Bearer key-1", request.headers.Authorization)
    end)

    it("takes another model for a session and for a call", function()
      local client = module.new("key-1")
      local http = answered(client, { role = "assistant", content = "Hi" })
      client:new_chat_session({ model = "m-1" }):send("Hello")
      client:chat({ { role = "user", content = "Hello" } }, { model = "m-2" })
      assert.same({ "m-1", "m-2" }, { http.requests[1].body.model, http.requests[2].body.model })
    end)

    it("lets a script name another server", function()
      local client = module.new("key-1")
      client.api_base = "http://127.0.0.1:1234/v1"
      local http = answered(client, { role = "assistant", content = "Hi" })
      client:chat({ { role = "user", content = "Hello" } })
      assert.equal("http://127.0.0.1:1234/v1/chat/completions", http.requests[1].url)
    end)

    it("leaves OpenAI's own client as it is", function()
      local before = openai.new("key-1").api_base
      module.new("key-1")
      assert.equal(before, openai.new("key-1").api_base)
      assert.equal("gpt-5.4", openai.new("key-1").default_model)
    end)

    it("keeps to its own server when OPENAI_BASE_URL names one", function()
      local code = ([[print(require("%s").new("key-1").api_base)]]):format(provider.module)
      local environment = { OPENAI_BASE_URL = "http://127.0.0.1:1234/v1" }
      assert.equal(provider.base, fresh(code, { environment = environment }))
    end)
  end)
end
