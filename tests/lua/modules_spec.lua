--- Which file `require` finds: what is bundled, what is installed, what the script has beside it.

local fresh = require("support.fresh")

--- Puts this in front of code that shall find no rocks and no files of its own.
local NOTHING_INSTALLED = [[package.path, package.cpath = "", "" ]]

--- A folder with files in it, gone when the spec ends.
local function folder_with(files)
  local folder = os.tmpname()
  os.remove(folder)
  finally(function() os.execute("rm -r " .. folder) end)
  for path, text in pairs(files) do
    assert(os.execute(("mkdir -p %s/%s"):format(folder, path:match("^(.*/)") or "")))
    local file = assert(io.open(folder .. "/" .. path, "w"))
    file:write(text)
    file:close()
  end
  return folder
end

local function in_folder_with(files)
  return { folder = folder_with(files) }
end

describe("Without any rocks", function()
  local bundled = {
    "cjson", "cjson.safe", "ltn12", "mime", "openai", "openai.chat_completions", "openai.responses", "openai.sse",
    "openai.compat.gemini", "openai.compat.openrouter", "socket", "socket.http", "socket.url", "ssl.https",
    "tableshape", "tableshape.ext.json_schema", "tableshape.ext.with_args", "tableshape.moonscript",
  }
  it("every bundled module is there", function()
    local code = NOTHING_INSTALLED .. [[for name in ("%s"):gmatch("%%S+") do
      if type(require(name)) ~= "table" then print(name) end
    end]]
    assert.equal("", fresh(code:format(table.concat(bundled, " "))))
  end)

  it("a module is loaded once", function()
    assert.equal("true", fresh(NOTHING_INSTALLED .. [[print(require("cjson") == require("cjson"))]]))
  end)

  it("the bundled socket tells the time and waits", function()
    local code = NOTHING_INSTALLED .. [[
      local socket = require("socket")
      local start = socket.gettime()
      socket.sleep(0.05)
      print(socket._VERSION, socket.gettime() - start >= 0.05, math.abs(start - os.time()) < 2)
    ]]
    assert.equal("LuaSocket 3.1.0\ttrue\ttrue", fresh(code))
  end)

  it("a module that is nowhere is called not found, with the places that were searched", function()
    local complaint = fresh(NOTHING_INSTALLED .. [[print(select(2, pcall(require, "no.such.rock")))]])
    assert.matches("^module 'no%.such%.rock' not found:", complaint)
    assert.matches("no field package.preload['no.such.rock']", complaint, 1, true)
    assert.matches("no bundled module 'no.such.rock'", complaint, 1, true)
  end)

  it("the interpreter's own Lua files are nobody's modules", function()
    assert.equal("false", fresh([[print((pcall(require, "luaopenai.boot")))]]))
  end)
end)

describe("A file beside the script", function()
  for _, name in ipairs({ "tableshape", "cjson", "ltn12", "socket", "socket.url", "mime" }) do
    it(("goes before the bundled %s"):format(name), function()
      local path = name:gsub("%.", "/") .. ".lua"
      assert.equal("mine", fresh(
        ("print(require(%q).whose)"):format(name),
        in_folder_with({ [path] = [[return { whose = "mine" }]] })
      ))
    end)
  end

  for _, name in ipairs({ "openai", "openai.sse", "socket.http", "ssl.https" }) do
    it(("does not go before our %s"):format(name), function()
      local path = name:gsub("%.", "/") .. ".lua"
      assert.equal("nil", fresh(
        ("print(require(%q).whose)"):format(name),
        in_folder_with({ [path] = [[return { whose = "mine" }]] })
      ))
    end)
  end

  it("that is no module of ours is found as a file and as a folder", function()
    assert.equal("one\ttwo", fresh(
      [[print(require("one"), require("two"))]],
      in_folder_with({ ["one.lua"] = [[return "one"]], ["two/init.lua"] = [[return "two"]] })
    ))
  end)

  it("may add to the names under openai", function()
    assert.equal("mine", fresh(
      [[print(require("openai.plugins.mine"))]],
      in_folder_with({ ["openai/plugins/mine.lua"] = [[return "mine"]] })
    ))
  end)

  it("leaves the client on its own JSON and its own ltn12", function()
    local code = [[
      local client = require("openai").new("key")
      function client.get_http()
        return { request = function(request) print((request.source())) return 1, 200, {} end }
      end
      client:embedding("cat")
    ]]
    local files = { ["cjson.lua"] = "return {}", ["ltn12.lua"] = "return {}", ["socket/url.lua"] = "return {}" }
    assert.matches('"input":"cat"', fresh(code, in_folder_with(files)), 1, true)
  end)
end)

describe("The search order", function()
  it("begins with package.loaded", function()
    assert.equal("mine", fresh([[package.loaded.openai = "mine" print(require("openai"))]]))
  end)

  for _, name in ipairs({ "openai", "socket.http", "cjson" }) do
    it(("goes on with package.preload, for %s too"):format(name), function()
      local code = [[package.preload[%q] = function() return "mine" end print(require(%q))]]
      assert.equal("mine", fresh(code:format(name, name)))
    end)
  end

  it("has LUA_PATH before the script's folder", function()
    local options = in_folder_with({ ["one.lua"] = [[return "beside"]], ["first/one.lua"] = [[return "first"]] })
    options.environment = { LUA_PATH = options.folder .. "/first/?.lua" }
    assert.equal("first", fresh([[print(require("one"))]], options))
  end)

  it("has a project's lua_modules before the bundled modules", function()
    local files = { ["lua_modules/share/lua/5.1/tableshape.lua"] = [[return "installed"]] }
    assert.equal("installed", fresh([[print(require("tableshape"))]], in_folder_with(files)))
  end)

  it("has the user's LuaRocks tree before the bundled modules", function()
    local options = in_folder_with({ [".luarocks/share/lua/5.1/tableshape/init.lua"] = [[return "installed"]] })
    options.environment = { HOME = options.folder }
    assert.equal("installed", fresh([[print(require("tableshape"))]], options))
  end)

  it("follows what a script makes of package.path", function()
    local options = in_folder_with({ ["more/one.lua"] = [[return "more"]] })
    assert.equal("more", fresh([[package.path = "./more/?.lua" print(require("one"))]], options))
  end)
end)
