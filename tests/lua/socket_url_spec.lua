--- How URLs and paths are taken apart, put together and resolved, in our module and in LuaSocket's.

local here = debug.getinfo(1, "S").source:match("^@(.*/)") or ""
local implementations = dofile(here .. "support/implementations.lua")

for _, implementation in ipairs(implementations("socket.url")) do
  describe("socket.url, " .. implementation.name .. ",", function()
    local url = implementation.module
    if not url then
      pending("is not checked: " .. implementation.absent)
      return
    end

    it("names its version", function()
      assert.equal("URL 1.0.3", url._VERSION)
    end)

    describe("parse", function()
      it("finds every part", function()
        assert.same({
          scheme = "https",
          authority = "user:word@example.org:8443",
          userinfo = "user:word",
          user = "user",
          password = "word",
          host = "example.org",
          port = "8443",
          path = "/v1/chat",
          params = "type=a",
          query = "q=1&r=/2",
          fragment = "top?x",
        }, url.parse("https://user:word@example.org:8443/v1/chat;type=a?q=1&r=/2#top?x"))
      end)

      it("gives no field for a part that is not there", function()
        assert.same(
          { scheme = "http", authority = "localhost", host = "localhost" },
          url.parse("http://localhost")
        )
        assert.same({ path = "a/b" }, url.parse("a/b"))
        assert.same({ scheme = "mailto", path = "me@example.org" }, url.parse("mailto:me@example.org"))
      end)

      it("tells an empty part from a missing one", function()
        assert.same({ path = "/", query = "", fragment = "" }, url.parse("/?#"))
        assert.equal("", url.parse("http://host:/").port)
        assert.same({ scheme = "file", authority = "", path = "/etc/hosts" }, url.parse("file:///etc/hosts"))
      end)

      it("takes the brackets off an IPv6 address", function()
        local parts = url.parse("http://[::1]:8080/")
        assert.equal("::1", parts.host)
        assert.equal("8080", parts.port)
        assert.equal("[::1]:8080", parts.authority)
        assert.is_nil(url.parse("http://[::1]/").port)
      end)

      it("splits a password off at the last colon, and the host off at the first @", function()
        local parts = url.parse("ftp://a:b:c@host@x/")
        assert.equal("a:b", parts.user)
        assert.equal("c", parts.password)
        assert.equal("host@x", parts.host)
        assert.is_nil(url.parse("ftp://a@host/").password)
      end)

      it("does not take a scheme from behind the start", function()
        assert.same({ path = "/a:b" }, url.parse("/a:b"))
        assert.equal("svn+ssh", url.parse("svn+ssh://host").scheme)
      end)

      it("fills in defaults without changing their table", function()
        local default = { scheme = "http", port = "80", path = "/" }
        local parts = url.parse("//host", default)
        assert.same({ scheme = "http", authority = "host", host = "host", port = "80", path = "/" }, parts)
        assert.same({ scheme = "http", port = "80", path = "/" }, default)
      end)

      it("takes a default authority apart too", function()
        local parts = url.parse("/a", { authority = "me:word@host:1" })
        assert.equal("host", parts.host)
        assert.equal("word", parts.password)
        assert.equal("1", parts.port)
      end)

      it("refuses an empty text or none", function()
        for _, nothing in ipairs({ "", false }) do
          local parts, message = url.parse(nothing or nil)
          assert.is_nil(parts)
          assert.equal("invalid url", message)
        end
      end)
    end)

    describe("build", function()
      it("gives back what parse took apart", function()
        for _, text in ipairs({
          "https://user:word@example.org:8443/v1/chat;type=a?q=1#top",
          "http://[::1]:8080/",
          "file:///etc/hosts",
          "mailto:me@example.org",
          "//host",
          "../a?b",
          "?",
          "#",
        }) do
          assert.equal(text, url.build(url.parse(text)))
        end
      end)

      it("prefers the finer fields", function()
        assert.equal("http://me@host:81/", url.build({
          scheme = "http",
          authority = "other:1",
          userinfo = "you",
          user = "me",
          host = "host",
          port = 81,
          path = "/",
        }))
      end)

      it("does with the coarser ones", function()
        assert.equal("http://me:word@host", url.build({ scheme = "http", userinfo = "me:word", host = "host" }))
        assert.equal("http://me@host:1/", url.build({ scheme = "http", authority = "me@host:1", path = "/" }))
      end)

      it("makes nothing of nothing", function()
        assert.equal("", url.build({}))
      end)
    end)

    describe("absolute", function()
      local BASE = "http://a/b/c/d;p?q"

      -- The examples of RFC 3986, section 5.4; LuaSocket differs where it splits params off the path.
      for relative, expected in pairs({
        ["g:h"] = "g:h",
        ["g"] = "http://a/b/c/g",
        ["./g"] = "http://a/b/c/g",
        ["g/"] = "http://a/b/c/g/",
        ["/g"] = "http://a/g",
        ["//g"] = "http://g",
        ["?y"] = "http://a/b/c/d;p?y",
        ["g?y"] = "http://a/b/c/g?y",
        ["#s"] = "http://a/b/c/d;p?q#s",
        ["g#s"] = "http://a/b/c/g#s",
        ["g?y#s"] = "http://a/b/c/g?y#s",
        [";x"] = "http://a/b/c/d;x",
        ["g;x"] = "http://a/b/c/g;x",
        ["g;x?y#s"] = "http://a/b/c/g;x?y#s",
        [""] = "http://a/b/c/d;p?q",
        ["."] = "http://a/b/c/",
        ["./"] = "http://a/b/c/",
        [".."] = "http://a/b/",
        ["../"] = "http://a/b/",
        ["../g"] = "http://a/b/g",
        ["../.."] = "http://a/",
        ["../../"] = "http://a/",
        ["../../g"] = "http://a/g",
        ["../../../g"] = "http://a/g",
        ["../../../../g"] = "http://a/g",
        ["/./g"] = "http://a/g",
        ["/../g"] = "http://a/g",
        ["g."] = "http://a/b/c/g.",
        [".g"] = "http://a/b/c/.g",
        ["g.."] = "http://a/b/c/g..",
        ["..g"] = "http://a/b/c/..g",
        ["./../g"] = "http://a/b/g",
        ["./g/."] = "http://a/b/c/g/",
        ["g/./h"] = "http://a/b/c/g/h",
        ["g/../h"] = "http://a/b/c/h",
        ["g;x=1/./y"] = "http://a/b/c/g;x=1/y",
      }) do
        it(("makes %q of %q"):format(expected, relative), function()
          assert.equal(expected, url.absolute(BASE, relative))
        end)
      end

      it("takes an empty segment for a segment", function()
        assert.equal("http://a/b//g", url.absolute("http://a/b/c", "x/..//g"))
        assert.equal("http://a/b/g", url.absolute("http://a/b/c", "x//../../g"))
      end)

      it("puts a slash between a host and a path", function()
        assert.equal("http://host/g", url.absolute("http://host", "g"))
      end)

      it("takes the base apart or as parts", function()
        local parts = { scheme = "http", authority = "host:1", path = "/a/b" }
        assert.equal("http://host:1/a/g", url.absolute(parts, "g"))
        assert.equal("http://host:1/a/b", url.absolute(parts, ""))
      end)

      it("keeps the base's user, password and port", function()
        assert.equal("http://me:word@host:1/g", url.absolute("http://me:word@host:1/a", "g"))
      end)

      it("leaves the relative URL as it is without a base", function()
        assert.equal("a/b", url.absolute("", "a/b"))
      end)

      it("climbs out of relative bases as far as they go", function()
        assert.equal("g", url.absolute("a/b", "../g"))
        assert.equal("../g", url.absolute("a/b", "../../g"))
        assert.equal("g", url.absolute("a/b", ".././g"))
        assert.equal("", url.absolute("a/b", "../"))
        assert.equal(".", url.absolute("a/b", "../."))
      end)

      it("keeps a dot that begins a relative URL", function()
        assert.equal("./a/", url.absolute("", "./a/."))
      end)
    end)

    describe("escape", function()
      it("leaves letters, digits and _ alone", function()
        assert.equal("aZ09_", url.escape("aZ09_"))
      end)

      it("writes every other byte in small hexadecimal", function()
        assert.equal("%2fa%20b%2d%c3%a9%00", url.escape("/a b-\195\169\0"))
      end)

      it("is undone by unescape", function()
        local bytes = {}
        for code = 0, 255 do bytes[#bytes + 1] = string.char(code) end
        local text = table.concat(bytes)
        assert.equal(text, url.unescape(url.escape(text)))
      end)

      it("returns one value, and so does unescape", function()
        assert.equal(1, select("#", url.escape("a b")))
        assert.equal(1, select("#", url.unescape("a%20b")))
      end)
    end)

    describe("unescape", function()
      it("takes capital and small hexadecimal", function()
        assert.equal("//", url.unescape("%2f%2F"))
      end)

      it("leaves what is no escape", function()
        assert.equal("100% %zz +%", url.unescape("100% %zz +%"))
      end)
    end)

    describe("parse_path", function()
      it("unescapes the segments", function()
        assert.same({ "a", "b/c", "d" }, url.parse_path("a/b%2fc//d"))
      end)

      it("marks absolute paths and folders", function()
        assert.same({ "a", is_absolute = 1 }, url.parse_path("/a"))
        assert.same({ "a", is_directory = 1 }, url.parse_path("a/"))
        assert.same({ is_absolute = 1, is_directory = 1 }, url.parse_path("/"))
      end)

      it("finds nothing in nothing", function()
        assert.same({}, url.parse_path(nil))
      end)
    end)

    describe("build_path", function()
      it("escapes what a segment cannot carry, in capital hexadecimal", function()
        assert.equal("a%2Fb/%3F%23%25/-_.!~*'():@&=+$,", url.build_path({ "a/b", "?#%", "-_.!~*'():@&=+$," }))
      end)

      it("leaves segments alone that are escaped already", function()
        assert.equal("a%2fb/c d", url.build_path({ "a%2fb", "c d" }, true))
      end)

      it("writes absolute paths and folders", function()
        assert.equal("/a/", url.build_path({ "a", is_absolute = 1, is_directory = 1 }))
        assert.equal("/a/", url.build_path({ "a", is_absolute = 1, is_directory = 1 }, true))
        assert.equal("/", url.build_path({ is_absolute = 1, is_directory = 1 }))
        assert.equal("", url.build_path({ is_directory = 1 }))
      end)

      it("undoes parse_path", function()
        for _, path in ipairs({ "/a%20b/c/", "a/%2Fb", "/", "" }) do
          assert.equal(path, url.build_path(url.parse_path(path)))
        end
      end)
    end)
  end)
end
