--- How mime converts data that comes in pieces, in our module and in LuaSocket's.

local here = debug.getinfo(1, "S").source:match("^@(.*/)") or ""
local implementations = dofile(here .. "support/implementations.lua")

local EVERY_BYTE = {}
for code = 0, 255 do
  EVERY_BYTE[#EVERY_BYTE + 1] = string.char(code)
end
EVERY_BYTE = table.concat(EVERY_BYTE)

--- What a filter makes of a text that comes in chunks of `size`.
local function filtered(filter, text, size)
  local out = {}
  for position = 1, #text, size do
    out[#out + 1] = filter(text:sub(position, position + size - 1))
  end
  out[#out + 1] = filter(nil)
  return table.concat(out)
end

for _, implementation in ipairs(implementations("mime")) do
  describe("mime, " .. implementation.name .. ",", function()
    local mime = implementation.module
    if not mime then
      pending("is not checked: " .. implementation.absent)
      return
    end

    --- Asserts what one call of a low-level function returns.
    local function gives(expected, expected_rest, name, ...)
      local result, rest = mime[name](...)
      assert.equal(expected, result)
      assert.equal(expected_rest, rest)
    end

    it("names its version", function()
      assert.equal("MIME 1.0.3", mime._VERSION)
    end)

    describe("b64", function()
      it("encodes and pads a whole text", function()
        gives("YQ==", nil, "b64", "a")
        gives("YWI=", nil, "b64", "ab")
        gives("YWJj", nil, "b64", "abc")
        gives("AP+A", nil, "b64", "\0\255\128")
      end)

      it("keeps what does not make up a triple when more may come", function()
        gives("YWJj", "de", "b64", "abcd", "e")
        gives("", "a", "b64", "a", "")
        gives("YWJj", "", "b64", "a", "bc")
      end)

      it("ends with nil", function()
        gives(nil, nil, "b64", "")
        gives(nil, nil, "b64", nil)
        gives(nil, nil, "b64", nil, "a")
      end)

      it("encodes numbers as their text", function()
        gives("MTIz", nil, "b64", 123)
      end)

      it("refuses anything else", function()
        assert.error_matches(function() mime.b64({}) end, "bad argument #1 .*string expected, got table")
        assert.error_matches(function() mime.b64("", {}) end, "bad argument #2 .*string expected, got table")
      end)
    end)

    describe("unb64", function()
      it("decodes a whole text", function()
        gives("a", nil, "unb64", "YQ==")
        gives("ab", nil, "unb64", "YWI=")
        gives("\0\255\128", nil, "unb64", "AP+A")
      end)

      it("keeps an unfinished group when more may come", function()
        gives("abc", "YQ", "unb64", "YWJj", "YQ")
        gives("a", "", "unb64", "YQ", "==")
      end)

      it("drops an unfinished group at the end", function()
        gives(nil, nil, "unb64", "YQ=")
        gives("abc", nil, "unb64", "YWJjYQ")
      end)

      it("skips characters that are not base64", function()
        gives("abc", "Y", "unb64", "Y\nW-", " Jj\r\nY")
      end)

      it("goes on after padding", function()
        gives("abbc", nil, "unb64", "YQ==YmI=Yw==")
      end)

      it("takes padding in a strange place for zeros", function()
        gives("\0", nil, "unb64", "AA=A")
        gives("\1\4\16", nil, "unb64", "=QQQ")
      end)

      it("ends with nil", function()
        gives(nil, nil, "unb64", nil, "YQ==")
      end)
    end)

    describe("qp", function()
      it("quotes what may not stand for itself", function()
        gives("caf=C3=A9=3D", "", "qp", "caf\195\169=", "")
        gives("=00=0B=7F", "", "qp", "\0\11\127", "")
      end)

      it("quotes blanks only at the end of a line", function()
        gives("a b=20\r\n\tc=09\r\n", "", "qp", "a b \r\n\tc\t\r\n", "")
        gives("a =20\r\n", "", "qp", "a  \r\n", "")
      end)

      it("quotes a CR or an LF that is alone", function()
        gives("a=0Ab=0Dc=0D\r\n", "", "qp", "a\nb\rc\r\r\n", "")
      end)

      it("puts the marker at line ends", function()
        gives("a%1b=20%1", "", "qp", "a\r\nb \r\n", "", "%1")
        gives("a=0D=0A", "", "qp", "a\r\n", "", "=0D=0A")
      end)

      it("keeps what is not decided when more may come", function()
        gives("a", "\r", "qp", "a\r", "")
        gives("a", " ", "qp", "a ", "")
        gives("a", " \r", "qp", "a ", "\r")
        gives("a", " b", "qp", "a b", "")
      end)

      it("quotes the rest at the end and adds a soft line break", function()
        gives("a=20=\r\n", nil, "qp", "a ")
        gives("=20b=\r\n", nil, "qp", " b")
        gives("=0D=\r\n", nil, "qp", "\r")
        gives("a", nil, "qp", "a")
      end)

      it("ends with nil", function()
        gives(nil, nil, "qp", "")
        gives(nil, nil, "qp", nil, "a")
      end)

      it("refuses a marker that is no text", function()
        assert.error_matches(function() mime.qp("", "", {}) end, "bad argument #3 .*string expected, got table")
      end)
    end)

    describe("unqp", function()
      it("decodes escapes in capital and small letters", function()
        gives("caf\195\169\195\169", "", "unqp", "caf=C3=A9=c3=a9", "")
      end)

      it("keeps line ends and removes soft ones", function()
        gives("ab\r\nc", "", "unqp", "a=\r\nb\r\nc", "")
      end)

      it("leaves a malformed escape as it is", function()
        gives("=zz=4g", "", "unqp", "=zz=4g", "")
      end)

      it("leaves out bytes that cannot occur", function()
        gives("a\tb~", "", "unqp", "a\0\t\nb\200~", "")
      end)

      it("leaves out a CR that is alone, with the character after it", function()
        gives("ac", "", "unqp", "a\rbc", "")
      end)

      it("keeps an unfinished escape or line end when more may come", function()
        gives("a", "=4", "unqp", "a=", "4")
        gives("a", "\r", "unqp", "a\r", "")
      end)

      it("drops it at the end", function()
        gives("a", nil, "unqp", "a=4")
        gives(nil, nil, "unqp", "\r")
        gives(nil, nil, "unqp", nil, "a")
      end)
    end)

    describe("wrp", function()
      it("breaks lines at the length and says how much of the last one is left", function()
        gives("abcde\r\nfgh", 2, "wrp", 5, "abcdefgh", 5)
        gives("abcde", 0, "wrp", 5, "abcde", 5)
      end)

      it("goes on with a line that was begun", function()
        gives("a\r\nbc", 3, "wrp", 1, "abc", 5)
        gives("\r\nabc", 2, "wrp", 0, "abc", 5)
      end)

      it("makes line ends CRLF and starts to count again", function()
        gives("ab\r\nc\r\n\r\n", 5, "wrp", 5, "ab\r\nc\n\n", 5)
      end)

      it("leaves out other CRs", function()
        gives("abc", 2, "wrp", 5, "a\rb\rc", 5)
      end)

      it("has lines of 76 unless told otherwise", function()
        gives(("x"):rep(76) .. "\r\nx", 75, "wrp", 76, ("x"):rep(77))
      end)

      it("closes a line that was begun at the end", function()
        gives("\r\n", 5, "wrp", 4, nil, 5)
        gives(nil, 5, "wrp", 5, nil, 5)
      end)

      it("does not hang on lines without room", function()
        gives("\r\na\r\nb", -1, "wrp", 0, "ab", 0)
      end)

      it("needs to know how much is left", function()
        assert.error_matches(function() mime.wrp(nil, "a") end, "bad argument #1 .*number expected")
      end)
    end)

    describe("qpwrp", function()
      it("leaves room for its soft line breaks", function()
        gives("abcd=\r\nefg", 2, "qpwrp", 5, "abcdefg", 5)
      end)

      it("does not tear an escape apart", function()
        gives("abc=\r\n=41d", 2, "qpwrp", 6, "abc=41d", 6)
        gives("ab=41=\r\nd", 5, "qpwrp", 6, "ab=41d", 6)
      end)

      it("keeps hard line ends", function()
        gives("a\r\nb", 4, "qpwrp", 5, "a\r\nb", 5)
      end)

      it("closes a line that was begun at the end, softly", function()
        gives("=\r\n", 5, "qpwrp", 4, nil, 5)
        gives(nil, 5, "qpwrp", 5, nil, 5)
      end)
    end)

    describe("dot", function()
      it("doubles dots at the starts of lines only", function()
        gives("..a.b\r\n..\r\n...\n.c", 0, "dot", 2, ".a.b\r\n.\r\n..\n.c")
      end)

      it("remembers across chunks where it is in a line", function()
        gives("a\r", 1, "dot", 2, "a\r")
        gives("a\r\n", 2, "dot", 2, "a\r\n")
        gives("\n", 2, "dot", 1, "\n")
        gives("..", 0, "dot", 2, ".")
        gives(".", 0, "dot", 0, ".")
        gives("", 2, "dot", 2, "")
      end)

      it("starts anew after the end", function()
        gives(nil, 2, "dot", 0, nil)
      end)
    end)

    describe("eol", function()
      it("makes any line end the marker", function()
        gives("a|b|c|d|", 0, "eol", 0, "a\nb\rc\r\nd\n\r", "|")
        gives("a\r\nb", 0, "eol", 0, "a\nb")
      end)

      it("counts the same line end twice as two", function()
        gives("||a||b|||", 13, "eol", 0, "\n\na\r\rb\r\n\r\n\r", "|")
      end)

      it("remembers across chunks half a line end", function()
        gives("a|", 13, "eol", 0, "a\r", "|")
        gives("b", 0, "eol", 13, "\nb", "|")
        gives("|b", 0, "eol", 13, "\rb", "|")
        gives("b|", 10, "eol", 13, "b\n", "|")
        gives("", 13, "eol", 13, "", "|")
      end)

      it("starts anew after the end", function()
        gives(nil, 0, "eol", 13, nil)
      end)
    end)

    describe("as filters,", function()
      it("base64 survives any cut there and back", function()
        for size = 1, 7 do
          local encoded = filtered(mime.encode("base64"), EVERY_BYTE, size)
          assert.equal((mime.b64(EVERY_BYTE)), encoded)
          assert.equal(EVERY_BYTE, filtered(mime.decode("base64"), encoded, size))
        end
      end)

      it("quoted-printable survives any cut there and back", function()
        local text = "blank \r\ncaf\195\169 \t \r\n=\r\rend"
        for size = 1, 7 do
          local encoded = filtered(mime.encode("quoted-printable"), text, size)
          assert.equal("blank=20\r\ncaf=C3=A9 \t=20\r\n=3D=0D=0Dend", encoded)
          assert.equal(text, filtered(mime.decode("quoted-printable"), encoded, size))
        end
      end)

      it("quoted-printable in binary mode survives with bare line ends", function()
        for size = 1, 7 do
          local encoded = filtered(mime.encode("quoted-printable", "binary"), EVERY_BYTE .. "\r\n", size)
          assert.is_nil(encoded:gsub("=\r\n", ""):find("[^!-~\t ]"))
          assert.equal(EVERY_BYTE .. "\r\n", filtered(mime.decode("quoted-printable"), encoded, size))
        end
      end)

      it("text wraps at a length, wherever it is cut", function()
        for size = 1, 7 do
          assert.equal("abcde\r\nfgh\r\nij\r\n", filtered(mime.wrap("text", 5), "abcdefgh\nij", size))
          assert.equal("abcde\r\nfgh\r\n", filtered(mime.wrap("base64", 5), "abcdefgh", size))
          assert.equal("abcde\r\nfgh\r\n", filtered(mime.wrap(5), "abcdefgh", size))
        end
      end)

      it("text wraps at 76 unless told otherwise", function()
        assert.equal(("x"):rep(76) .. "\r\nx\r\n", filtered(mime.wrap(), ("x"):rep(77), 10))
      end)

      it("quoted-printable always wraps at 76", function()
        local expected = ("x"):rep(75) .. "=\r\nxx=\r\n"
        assert.equal(expected, filtered(mime.wrap("quoted-printable", 5), ("x"):rep(77), 10))
      end)

      it("line ends become one kind, wherever they are cut", function()
        for size = 1, 3 do
          assert.equal("a\r\nb\r\nc\r\n", filtered(mime.normalize(), "a\nb\rc\r\n", size))
          assert.equal("a\nb\nc\n", filtered(mime.normalize("\n"), "a\nb\rc\r\n", size))
        end
      end)

      it("dots are stuffed, wherever they are cut", function()
        for size = 1, 3 do
          assert.equal("..a\r\n..\r\nb.", filtered(mime.stuff(), ".a\r\n.\r\nb.", size))
        end
      end)

      it("a name nobody knows is refused", function()
        assert.error_matches(function() mime.encode("rot13") end, "unknown key %(rot13%)")
        assert.error_matches(function() mime.decode() end, "unknown key %(default%)")
      end)

      it("a script may add its own", function()
        mime.encodet.shout = function(mark)
          return function(chunk) return chunk and chunk:upper() .. mark end
        end
        finally(function() mime.encodet.shout = nil end)
        assert.equal("HEY!", mime.encode("shout", "!")("hey"))
      end)
    end)
  end)
end
